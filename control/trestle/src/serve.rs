//! `trestle serve`: starts the server, prints the line `ready:`, and acts on signals and on the health of its threads.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use trestle_io::clock;
use trestle_server::config::{Config, ServeArgs};
use trestle_server::{EVENTS_WAIT, Server, raise_file_limit};

use crate::log::Log;
use crate::privileges;
use crate::service_manager::ServiceManager;

/// Exit code if a thread has ended that must run, or one is stuck at the end: EX_SOFTWARE of sysexits.h.
const THREAD_ENDED: i32 = 70;

/// How often the health of the threads is checked.
const HEALTH_EVERY: Duration = Duration::from_secs(1);

/// How long the end of all calls may take, after the grace time or the second signal.
const END_WAIT: Duration = Duration::from_secs(2);

/// How long the threads may take to end.
const STOP_WAIT: Duration = Duration::from_secs(3);

/// Runs the server until SIGTERM, SIGINT or the command `drain`, and until its calls have ended after that.
///
/// # Errors
/// A setting cannot be used, or the server cannot start.
pub(crate) fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let config = args.clone().load()?;
    let core_dumps = config.settings.process.core_dumps;
    privileges::restrict(core_dumps)?;
    let log = Log::start(config.settings.log.log_level)?;
    raise_file_limit(&config);
    // Signals are caught before the line `ready:`, so that a program that waits for this line can stop the server at once.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _inside = runtime.enter();
    let mut signals = Signals::catch()?;
    let user = privileges::find_user(config.settings.process.user.as_deref())?;
    let server = Server::start(&config)?;
    if let Some(user) = &user {
        if let Some(path) = server.unix_path() {
            privileges::give_file(user, path)?;
        }
        privileges::become_user(user, core_dumps)?;
    }
    let manager = ServiceManager::connect();
    manager.ready();
    announce(&server, &config);
    let mut service = Service { server, config, args, log, manager, stops: 0, end_by: None, stuck: None };
    runtime.block_on(service.run(&mut signals));
    service.stop();
    Ok(ExitCode::SUCCESS)
}

/// The running server and what acts on it.
struct Service {
    server: Server,
    config: Config,
    args: ServeArgs,
    log: Log,
    manager: ServiceManager,
    /// SIGTERM and SIGINT received.
    stops: u32,
    /// When the calls must have ended.
    end_by: Option<Instant>,
    /// The thread that was last reported as stuck.
    stuck: Option<String>,
}

impl Service {
    /// Until the server has no calls after a drain, or a third signal.
    async fn run(&mut self, signals: &mut Signals) {
        let mut health = tokio::time::interval(HEALTH_EVERY);
        while self.stops < 3 {
            tokio::select! {
                () = self.server.health().drained() => return,
                _ = health.tick() => self.check(),
                signal = signals.next() => match signal {
                    OperatorSignal::Stop => self.begin_stop(),
                    OperatorSignal::Reload => self.reload(),
                },
            }
        }
    }

    /// The first signal drains, the second ends all calls.
    fn begin_stop(&mut self) {
        self.stops += 1;
        if self.stops == 1 {
            self.manager.stopping("Draining: new calls are refused");
            self.server.drain();
            self.end_by = Some(clock::now() + self.config.settings.calls.grace + END_WAIT + STOP_WAIT);
        } else {
            self.server.end_calls();
            self.end_by = Some(clock::now() + END_WAIT);
        }
    }

    /// Reads the settings again. If one cannot be used, nothing changes.
    fn reload(&mut self) {
        self.manager.reloading();
        match self.args.clone().load() {
            Ok(new) => {
                let changes = self.config.take_run_time(&new);
                self.log.set_level(self.config.settings.log.log_level);
                self.server.reconfigure(&self.config);
                tracing::info!(changed = changes.applied.join(" "), "settings reloaded");
                if !changes.need_restart.is_empty() {
                    tracing::warn!(
                        keys = changes.need_restart.join(" "),
                        "these settings change only at the next start"
                    );
                }
            }
            Err(error) => tracing::error!("reload refused, no setting is changed: {error}"),
        }
        self.manager.ready();
    }

    /// Checks the threads. Without one of them, or if the calls do not end, the process ends here.
    fn check(&mut self) {
        let now = clock::now();
        if self.end_by.is_some_and(|at| at <= now) {
            self.give_up("the calls have not ended in time");
        }
        match self.server.health().check(now) {
            Ok(()) => {
                self.stuck = None;
                self.manager.feed_watchdog();
            }
            Err(fault) if fault.is_final() => self.give_up(&fault.to_string()),
            Err(fault) if self.stuck.as_ref() != Some(&fault.thread) => {
                tracing::error!("{fault}");
                self.manager.status(&fault.to_string());
                self.stuck = Some(fault.thread);
            }
            Err(_) => {}
        }
    }

    /// Ends the process, so that the service manager starts it again. Its threads are not waited for: they can wait for the one
    /// that is lost.
    fn give_up(&self, reason: &str) -> ! {
        tracing::error!("{reason}; Trestle ends");
        self.manager.status(reason);
        self.log.flush();
        std::process::exit(THREAD_ENDED);
    }

    /// Stops all threads, when there are no calls any more.
    fn stop(self) {
        let Self { server, log, manager, stops, .. } = self;
        manager.stopping("Ending");
        tracing::info!("stopping");
        let events_wait = if stops < 2 { EVENTS_WAIT } else { Duration::from_secs(1) };
        // A thread that is stuck does not delay the end for ever.
        let (stopped, is_stopped) = std::sync::mpsc::channel::<()>();
        let guard = std::thread::Builder::new().name("stop".to_owned()).spawn(move || {
            if is_stopped.recv_timeout(events_wait + STOP_WAIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                std::process::exit(THREAD_ENDED);
            }
        });
        server.stop_within(events_wait);
        drop(stopped);
        drop((guard, log));
    }
}

/// A signal with an effect.
enum OperatorSignal {
    Stop,
    Reload,
}

/// The signals that the server acts on.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// Caught, so that they do not end the process.
    _ignored: Vec<Signal>,
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        let ignored = [SignalKind::user_defined1(), SignalKind::user_defined2(), SignalKind::alarm()];
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            _ignored: ignored.into_iter().map(signal).collect::<Result<_, _>>()?,
        })
    }

    async fn next(&mut self) -> OperatorSignal {
        tokio::select! {
            _ = self.terminate.recv() => OperatorSignal::Stop,
            _ = self.interrupt.recv() => OperatorSignal::Stop,
            _ = self.hangup.recv() => OperatorSignal::Reload,
        }
    }
}

/// Prints the one line on standard output: the server accepts commands. A program that waits for it has a pipe there; for all
/// others the server works without it.
fn announce(server: &Server, config: &Config) {
    let ng: Vec<_> = server.ng_addrs().iter().map(ToString::to_string).collect();
    let ng = if ng.is_empty() { "off".to_owned() } else { ng.join(" ") };
    let unix = server.unix_path().map(|path| format!(", unix-ng {}", path.display())).unwrap_or_default();
    let tcp: String = server.tcp_addrs().iter().map(|address| format!(", tcp-ng {address}")).collect();
    let http = server.http_addr().map_or("off".to_owned(), |address| address.to_string());
    let events = server.events_addr().map(|address| format!(", events {address}")).unwrap_or_default();
    let media: Vec<_> = config.interfaces.iter().flat_map(|interface| [interface.v4, interface.v6]).flatten().collect();
    let media: Vec<_> = media.iter().map(|address| address.local.to_string()).collect();
    let line = format!(
        "ready: ng {}, http {http}{tcp}{unix}{events}, media {} on ports {}, {} threads\n",
        ng,
        media.join(" "),
        config.ports,
        config.num_threads
    );
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(line.as_bytes()).and_then(|()| out.flush()) {
        tracing::warn!(%error, "cannot write to standard output: {}", line.trim_end());
    }
}
