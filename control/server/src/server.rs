//! A running Trestle: the control thread, the media threads, and the threads of listeners and outputs that are configured.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::watch;
use trestle_calls::controller::OperatorCommand;
use trestle_core::{DtlsIdentity, OwnSsrcs};
use trestle_io::mailbox::Bell;
use trestle_io::{BoundPorts, Heartbeat, PortPool, Worker, WorkerConfig, clock, entropy, mailbox};

use trestle_negotiate::OwnKeys;

use crate::allowed_sources::AllowedSources;
use crate::config::Config;
use crate::control_thread::ng_sockets::NgSockets;
use crate::control_thread::{self, ControlThread, ControlThreadParts};
use crate::event_outputs::{EventOutputSender, EventOutputs};
use crate::exposure;
use crate::health::{Health, SharedServiceState};
use crate::listen::bound::BoundListeners;
use crate::listen::connections::{CONNECTIONS_MAX, Connections};
use crate::listen::http::{self, HttpServer};
use crate::listen::ng_tcp::{self, TcpServer};
use crate::listen::ng_unix::UnixServer;
use crate::machine;

/// Messages from shards that can wait for the control thread: the milestones of one second at 500 calls a second.
const FROM_SHARDS_MAX: usize = 8_192;

/// Scrapes that can wait at the same time; two scrapers are normal, ten are a mistake.
const SCRAPES_MAX: usize = 8;

/// Requests over HTTP and TCP that can wait for the control thread.
const STREAM_REQUESTS_MAX: usize = 1_024;

/// Commands of the operator that can wait: a person sends signals one at a time.
const OPERATOR_COMMANDS_MAX: usize = 16;

/// How long the outputs of events may take for those that wait when the server is stopped.
pub const EVENTS_WAIT: Duration = Duration::from_secs(5);

/// Why Trestle cannot start. The system's error is the source; the text does not repeat it.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A listening address cannot be bound.
    #[error("{key}: cannot listen on {address}")]
    Listen {
        /// The configuration key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The Unix socket cannot be bound.
    #[error("listen-ng-unix: cannot listen on {}", path.display())]
    ListenUnix {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A media thread cannot start.
    #[error("interface, port-min, port-max")]
    Media(#[from] trestle_io::StartError),
    /// No certificate can be made.
    #[error("cannot make a DTLS certificate: {0}")]
    Certificate(String),
    /// No entropy, poller or thread.
    #[error("cannot start")]
    System(#[from] io::Error),
}

/// A running Trestle. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    ng: Vec<SocketAddr>,
    http: Option<HttpServer>,
    tcp: Option<TcpServer>,
    unix: Option<UnixServer>,
    events: Option<EventOutputs>,
    health: Health,
    /// Replaces the list of allowed sources.
    allow: watch::Sender<Arc<[IpNet]>>,
    operator: mailbox::Sender<OperatorCommand>,
    bound_ports: Arc<BoundPorts>,
    stop: Arc<AtomicBool>,
    bell: Arc<Bell>,
    control: Option<JoinHandle<()>>,
}

impl Server {
    /// Binds all sockets, starts all threads and returns when the server accepts commands.
    ///
    /// # Errors
    /// [`ServeError`]; no thread is left running then.
    pub fn start(config: &Config) -> Result<Self, ServeError> {
        let epoch = clock::sample_epoch();
        let identity = DtlsIdentity::generate().map_err(|error| ServeError::Certificate(error.to_string()))?;
        let own_ssrcs = OwnSsrcs::new(u64::from(entropy::number()?) << 32 | u64::from(entropy::number()?));
        let poll = mio::Poll::new()?;
        let bell = Arc::new(Bell::new(poll.registry(), control_thread::BELL)?);

        let bound_ports = Arc::new(BoundPorts::new(config.media_addresses().map(|address| address.local)));
        let (allowed, allow) = AllowedSources::new(&config.settings.listen.ng_allow);
        let ng_sockets = NgSockets::bind(config, &poll, Arc::clone(&bound_ports), allowed.clone())?;
        let ng = ng_sockets.addresses();
        let listeners = BoundListeners::bind(config)?;
        let listening = ng.iter().copied().chain(listeners.addresses()?).collect();
        let addresses = config.address_policy(listening, machine::networks()?);
        let BoundListeners { ng_tcp: tcp_listeners, http: http_listener, events: event_listener, ng_unix } = listeners;

        let (to_control, from_shards) = mailbox::channel(FROM_SHARDS_MAX, Arc::clone(&bell));
        let ports = PortPool::new(&config.interface_ports(), config.ports);
        let mut workers = Vec::with_capacity(config.num_threads);
        for worker in 0..config.num_threads {
            let config = WorkerConfig {
                worker,
                epoch,
                identity: identity.clone(),
                media_timeout: config.settings.calls.timeout,
                probe_time: Some(config.settings.media.probe_time).filter(|time| !time.is_zero()),
                own_ssrcs,
                interfaces: config.interface_ports(),
                ports: ports.clone(),
                addresses: addresses.clone(),
                bound_ports: Arc::clone(&bound_ports),
            };
            workers.push(Worker::start(config, to_control.clone())?);
        }

        let (scrapes_in, scrapes) = mailbox::channel(SCRAPES_MAX, Arc::clone(&bell));
        let (requests_in, stream_requests) = mailbox::channel(STREAM_REQUESTS_MAX, Arc::clone(&bell));
        let mut threads: Vec<_> = workers.iter().map(Worker::heartbeat).collect();
        let mut heartbeat = |name: &str| {
            let heartbeat = Heartbeat::new(name);
            threads.push(Arc::clone(&heartbeat));
            heartbeat
        };
        let event_listener = event_listener.map(|listener| (listener, allowed.clone()));
        let (events, event_sender) = event_outputs(config, event_listener, &mut heartbeat)?;
        let service = Arc::new(SharedServiceState::default());
        let (operator, operator_commands) = mailbox::channel(OPERATOR_COMMANDS_MAX, Arc::clone(&bell));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = ControlThread::new(ControlThreadParts {
            config,
            epoch,
            environment: config.environment(
                identity.fingerprint(),
                own_ssrcs,
                OwnKeys::new(entropy::seed()?),
                addresses,
            ),
            poll,
            ng_sockets,
            workers,
            from_shards,
            scrapes,
            stream_requests,
            event_sender,
            bell: Arc::clone(&bell),
            heartbeat: heartbeat("control"),
            service: Arc::clone(&service),
            operator: operator_commands,
            stop: Arc::clone(&stop),
        })?;
        let by_tcp = Connections::new("listen-tcp-ng", CONNECTIONS_MAX, ng_tcp::DEADLINES, allowed.clone());
        let by_http = Connections::new("listen-http", CONNECTIONS_MAX, http::DEADLINES, allowed);
        let tcp = if tcp_listeners.is_empty() {
            None
        } else {
            Some(TcpServer::start(heartbeat("tcp-ng"), tcp_listeners, &by_tcp, &requests_in)?)
        };
        let by_unix = Connections::local("listen-ng-unix", CONNECTIONS_MAX, ng_tcp::DEADLINES);
        let unix =
            ng_unix.map(|bound| UnixServer::start(heartbeat("unix-ng"), bound, &by_unix, &requests_in)).transpose()?;
        let http = http_listener.map(|listener| (listener, heartbeat("http")));
        let health = Health::new(threads, service);
        let http = match http {
            Some((listener, heartbeat)) => {
                let health = health.clone();
                Some(HttpServer::start(
                    (heartbeat, health),
                    listener,
                    by_http,
                    &[by_tcp, by_unix],
                    scrapes_in,
                    requests_in,
                )?)
            }
            None => None,
        };
        let control = thread::Builder::new().name("control".to_owned()).spawn(move || thread.run())?;
        let server = Self {
            ng,
            http,
            tcp,
            unix,
            events,
            health,
            allow,
            operator,
            bound_ports,
            stop,
            bell,
            control: Some(control),
        };
        exposure::warn(config, &server.listening());
        Ok(server)
    }

    /// The first address for ng commands over UDP.
    ///
    /// # Panics
    /// There is none (`ng-udp`).
    pub fn ng_addr(&self) -> SocketAddr {
        self.ng[0]
    }

    /// All addresses for ng commands over UDP.
    pub fn ng_addrs(&self) -> &[SocketAddr] {
        &self.ng
    }

    /// Addresses for ng commands over TCP.
    pub fn tcp_addrs(&self) -> &[SocketAddr] {
        self.tcp.as_ref().map_or(&[], TcpServer::addresses)
    }

    /// The socket file for ng commands.
    pub fn unix_path(&self) -> Option<&Path> {
        self.unix.as_ref().map(UnixServer::path)
    }

    /// The address for readers of events.
    pub fn events_addr(&self) -> Option<SocketAddr> {
        self.events.as_ref().and_then(EventOutputs::address)
    }

    /// The media ports that are bound at present. A datagram from one of them is no ng request.
    pub fn bound_ports(&self) -> &BoundPorts {
        &self.bound_ports
    }

    /// The address of HTTP.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(HttpServer::address)
    }

    /// The health of its threads.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Refuses new calls from now on, and ends the others after the setting `grace`. [`Health::drained`] waits for the last.
    pub fn drain(&self) {
        self.operate(OperatorCommand::Drain);
    }

    /// Ends all calls; their peers and the applications are informed.
    pub fn end_calls(&self) {
        self.operate(OperatorCommand::EndCalls);
    }

    /// Applies those settings of `config` that can change while calls are active.
    pub fn reconfigure(&self, config: &Config) {
        let allow: Arc<[IpNet]> = config.settings.listen.ng_allow.as_slice().into();
        self.allow.send_replace(allow);
        exposure::warn(config, &self.listening());
        self.operate(OperatorCommand::Reconfigure(Box::new(config.run_time())));
    }

    /// The key and the address of each listener.
    fn listening(&self) -> Vec<(&'static str, SocketAddr)> {
        let of = |key: &'static str| move |address: &SocketAddr| (key, *address);
        let ng = self.ng_addrs().iter().map(of("listen-ng"));
        let tcp = self.tcp_addrs().iter().map(of("listen-tcp-ng"));
        let http = self.http_addr().map(|address| ("listen-http", address));
        let events = self.events_addr().map(|address| ("listen-events", address));
        ng.chain(tcp).chain(http).chain(events).collect()
    }

    fn operate(&self, command: OperatorCommand) {
        if self.operator.send(command).is_err() {
            tracing::error!("the control thread takes no commands; the signal has no effect");
        }
    }

    /// Stops all threads and waits for them. Calls that are left end without a message to their peers. Events that wait in an output
    /// have `events_wait` to reach their readers and the web hook.
    pub fn stop_within(mut self, events_wait: Duration) {
        self.join(Some(events_wait));
    }

    /// The same with [`EVENTS_WAIT`].
    pub fn stop(self) {
        self.stop_within(EVENTS_WAIT);
    }

    fn join(&mut self, events_wait: Option<Duration>) {
        self.http = None;
        self.tcp = None;
        self.unix = None;
        self.stop.store(true, Ordering::Relaxed);
        self.bell.ring();
        if let Some(control) = self.control.take()
            && control.join().is_err()
        {
            tracing::error!("the control thread has panicked");
        }
        if let (Some(events), Some(wait)) = (self.events.take(), events_wait) {
            events.finish(wait);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.join(None);
    }
}

fn event_outputs(
    config: &Config,
    listen: Option<(TcpListener, AllowedSources)>,
    heartbeat: impl FnOnce(&str) -> Arc<Heartbeat>,
) -> Result<(Option<EventOutputs>, EventOutputSender), ServeError> {
    let webhook = config.event_webhook.as_ref();
    if listen.is_none() && webhook.is_none() {
        return Ok((None, EventOutputSender::default()));
    }
    let (server, sender) = EventOutputs::start(heartbeat("events"), listen, webhook)?;
    Ok((Some(server), sender))
}
