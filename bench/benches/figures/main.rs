//! The figures that a running Trestle is to reach, over real sockets on the loopback.
//!
//! ```text
//! cargo bench -p trestle-bench --bench figures -- --json figures.json
//! ```
//!
//! Trestle runs in this process as `trestle serve` runs it, the load in threads of its own. Nothing is asserted: a
//! figure shows what this machine did at this load, which is why the load average is printed above the table.
//! `--only flood` measures 10,000 commands a second beside 20 calls, for a minute. Two minutes in all. Without `--bench`, as `cargo test` starts it, a trial of a few seconds.

mod calls;
mod figure;
mod first_audio;
mod flood;
mod forward;
mod ground;
mod offers;
mod transcoding;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use figure::Figure;

/// How much of everything is measured.
struct Extent {
    /// Too little to say anything but that the bench runs.
    trial: bool,
    /// Calls offered, at 100 a second.
    offers: u32,
    /// Calls of which the first packets are timed.
    first_audio: u32,
    /// Calls with audio that is forwarded, for how long, and how long the same goes without Trestle.
    forward: (usize, Duration, Duration),
    /// Commands beside calls.
    flood: flood::Flood,
    /// Calls with audio that is transcoded, and for how long.
    transcoding: (u32, Duration),
}

const WHOLE: Extent = Extent {
    trial: false,
    offers: 1_000,
    first_audio: 20,
    forward: (100, Duration::from_secs(10), Duration::from_secs(4)),
    flood: flood::Flood { calls: 20, per_second: 10_000, length: Duration::from_secs(60) },
    transcoding: (10, Duration::from_secs(5)),
};

const TRIAL: Extent = Extent {
    trial: true,
    offers: 20,
    first_audio: 2,
    forward: (10, Duration::from_millis(500), Duration::from_millis(200)),
    flood: flood::Flood { calls: 2, per_second: 1_000, length: Duration::from_millis(500) },
    transcoding: (1, Duration::from_secs(2)),
};

fn main() -> ExitCode {
    let mut json: Option<PathBuf> = None;
    let mut extent = TRIAL;
    let mut only: Option<String> = None;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--bench" => extent = WHOLE,
            "--json" => json = args.next().map(PathBuf::from),
            "--only" => only = args.next(),
            _ => eprintln!("{arg} ignored; there are --json FILE and --only flood"),
        }
    }
    let before = ground::load_average();
    let figures = run(&extent, only.as_deref());
    let conditions = figure::Conditions {
        optimised: !cfg!(debug_assertions),
        trial: extent.trial,
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        load_before: before,
        load_after: ground::load_average(),
    };
    print!("{}", figure::table(&conditions, &figures));
    if let Some(path) = json
        && let Err(error) = std::fs::write(&path, figure::json(&conditions, &figures))
    {
        eprintln!("cannot write {}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(extent: &Extent, only: Option<&str>) -> Vec<Figure> {
    let mut figures = Vec::new();
    if only == Some("flood") {
        eprintln!("10,000 commands a second ...");
        return flood::run(extent.flood);
    }
    eprintln!("offers ...");
    figures.extend(offers::run(extent.offers));
    eprintln!("first audio ...");
    figures.extend(first_audio::run(extent.first_audio));
    eprintln!("forward path ...");
    let (calls, length, bare_length) = extent.forward;
    figures.extend(forward::run(calls, length, bare_length));
    eprintln!("transcoding path ...");
    let (calls, length) = extent.transcoding;
    figures.extend(transcoding::run(calls, length));
    eprintln!("10,000 commands a second ...");
    figures.extend(flood::run(extent.flood));
    figures
}
