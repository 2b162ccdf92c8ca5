//! The `trestle` program: the server, commands to a running server, and the tools.

mod ctl;
mod explain;
mod log;
mod privileges;
mod serve;
mod service_manager;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use trestle_server::config::ServeArgs;

/// A call consists of some hundred allocations, made by one thread and freed by another. The system's allocator takes a lock
/// for each and spreads the freed memory over the heaps of many threads; mimalloc does not.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Joins WhatsApp calls to SIP: WebRTC or SDES on one side, RTP on the other.
#[derive(Debug, Parser)]
#[command(version)]
enum Program {
    /// Runs the media server in the foreground. SIGTERM and SIGINT refuse new calls and wait for the others (`--grace`); SIGHUP reads
    /// the settings again.
    Serve(Box<ServeArgs>),
    /// Sends a command to a running server.
    Ctl(ctl::CtlArgs),
    /// Prints the quality of a call and the reason of its end.
    Explain(explain::ExplainArgs),
    /// Makes calls between a simulated WhatsApp and a simulated phone, and reports whether the bridge works.
    #[cfg(feature = "tools")]
    Demo(trestle_tools::demo::DemoArgs),
    /// Plays WhatsApp towards any media engine, over files, pipes or Graph-shaped web hooks.
    #[cfg(feature = "tools")]
    MetaSim(Box<trestle_tools::meta_sim::MetaSimArgs>),
    /// Puts any ng engine under the load of many calls, and reports what they cost it.
    #[cfg(feature = "tools")]
    Load(Box<trestle_tools::load::LoadArgs>),
    /// Checks a session description: `trestle sdp lint FILE`.
    #[cfg(feature = "tools")]
    Sdp(trestle_tools::doctor::SdpArgs),
}

fn main() -> ExitCode {
    let outcome = match Program::parse() {
        Program::Serve(args) => serve::run(*args),
        Program::Ctl(args) => ctl::run(args),
        Program::Explain(args) => explain::run(&args),
        #[cfg(feature = "tools")]
        Program::Demo(args) => trestle_tools::demo::run(&args),
        #[cfg(feature = "tools")]
        Program::MetaSim(args) => meta_sim(&args),
        #[cfg(feature = "tools")]
        Program::Load(args) => load(&args),
        #[cfg(feature = "tools")]
        Program::Sdp(args) => trestle_tools::doctor::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        // Standard error may be closed or full; the exit code remains.
        let _: std::io::Result<()> = writeln!(std::io::stderr(), "trestle: {}", error_text(&error));
        ExitCode::FAILURE
    })
}

/// The error and its causes, each once: the texts of some errors contain their cause.
fn error_text(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// The progress of a call goes to standard output, unless the SDP goes there.
#[cfg(feature = "tools")]
fn meta_sim(args: &trestle_tools::meta_sim::MetaSimArgs) -> anyhow::Result<ExitCode> {
    let pipes = args.graph_api.hook.is_none() && args.files.write == std::path::Path::new("-");
    let judgement = if pipes {
        trestle_tools::meta_sim::run(args, &mut std::io::stderr())?
    } else {
        trestle_tools::meta_sim::run(args, &mut std::io::stdout())?
    };
    Ok(if judgement.good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(feature = "tools")]
fn load(args: &trestle_tools::load::LoadArgs) -> anyhow::Result<ExitCode> {
    let good = trestle_tools::load::run(args, &mut std::io::stdout())?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use std::io;

    use trestle_server::ServeError;

    use super::error_text;

    #[test]
    fn an_error_names_each_cause_once() {
        let source = io::Error::from_raw_os_error(99);
        let address = "10.0.0.5".parse().unwrap();
        let error = anyhow::Error::new(ServeError::Media(trestle_io::StartError::Bind { address, source }));
        let wanted = "interface, port-min, port-max: cannot bind a media port on 10.0.0.5: Cannot assign requested address (os error 99)";
        assert_eq!(error_text(&error), wanted);
        assert_eq!(error_text(&error.context("cannot start")), format!("cannot start: {wanted}"));
    }
}
