//! `trestle serve`: starts the server, prints the line `ready:`, and acts on signals and on the health of its threads.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use trestle_io::clock;
use trestle_server::config::{Config, ServeArgs};
use trestle_server::health::ThreadFault;
use trestle_server::{Server, raise_file_limit};

use crate::log::Log;

/// Exit code if a thread has ended that must run: EX_SOFTWARE of sysexits.h.
const THREAD_ENDED: i32 = 70;

/// How often the health of the threads is checked.
const HEALTH_EVERY: Duration = Duration::from_millis(500);

/// Runs the server until SIGTERM or SIGINT.
///
/// # Errors
/// A setting cannot be used, or the server cannot start.
pub(crate) fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let config = args.load()?;
    let log = Log::start(config.settings.log.log_level)?;
    raise_file_limit(&config);
    // Signals are caught before the line `ready:`, so that a program that waits for this line can stop the server at once.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _inside = runtime.enter();
    let mut signals = Signals::catch()?;
    let server = Server::start(&config)?;
    announce(&server, &config);
    runtime.block_on(until_stopped(&server, &log, &mut signals));
    tracing::info!("stopping");
    server.stop();
    Ok(ExitCode::SUCCESS)
}

/// Waits for a signal that ends the server, and checks its threads. Without a thread of it, the process ends here.
async fn until_stopped(server: &Server, log: &Log, signals: &mut Signals) {
    let mut health = tokio::time::interval(HEALTH_EVERY);
    let mut stuck = None;
    loop {
        tokio::select! {
            () = signals.stop() => return,
            _ = health.tick() => match server.health().check(clock::now()) {
                Err(fault) if fault.is_final() => end_for(&fault, log),
                Err(fault) if stuck.as_ref() != Some(&fault.thread) => {
                    tracing::error!("{fault}");
                    stuck = Some(fault.thread);
                }
                Err(_) => {}
                Ok(()) => stuck = None,
            },
        }
    }
}

/// Ends the process, so that the service manager starts it again. The other threads are not waited for: they can wait for the one
/// that has ended.
fn end_for(fault: &ThreadFault, log: &Log) -> ! {
    tracing::error!("{fault}; without it Trestle cannot work, and ends");
    log.flush();
    std::process::exit(THREAD_ENDED);
}

/// The signals that the server acts on.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Caught, so that they do not end the process.
    _ignored: Vec<Signal>,
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        let ignored =
            [SignalKind::hangup(), SignalKind::user_defined1(), SignalKind::user_defined2(), SignalKind::alarm()];
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _ignored: ignored.into_iter().map(signal).collect::<Result<_, _>>()?,
        })
    }

    /// Waits for SIGTERM or SIGINT.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Prints the one line on standard output: the server accepts commands. A program that waits for it has a pipe there; for all
/// others the server works without it.
fn announce(server: &Server, config: &Config) {
    let ng: Vec<_> = server.ng_addrs().iter().map(ToString::to_string).collect();
    let tcp: String = server.tcp_addrs().iter().map(|address| format!(", tcp-ng {address}")).collect();
    let http = server.http_addr().map_or("off".to_owned(), |address| address.to_string());
    let events = server.events_addr().map(|address| format!(", events {address}")).unwrap_or_default();
    let media: Vec<_> = config.interfaces.iter().flat_map(|interface| [interface.v4, interface.v6]).flatten().collect();
    let media: Vec<_> = media.iter().map(|address| address.local.to_string()).collect();
    let line = format!(
        "ready: ng {}, http {http}{tcp}{events}, media {} on ports {}, {} threads\n",
        ng.join(" "),
        media.join(" "),
        config.ports,
        config.num_threads
    );
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(line.as_bytes()).and_then(|()| out.flush()) {
        tracing::warn!(%error, "cannot write to standard output: {}", line.trim_end());
    }
}
