//! The control thread: it owns the controller and the UDP sockets for ng, and carries messages between the controller, the
//! shards, the threads of the listeners, and the outputs.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Poll, Token};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use trestle_calls::controller::{Controller, ControllerOutput, OperatorCommand, Origin, ServiceState};
use trestle_core::report::Totals;
use trestle_core::{EngineReply, Epoch, RequestId};
use trestle_io::heartbeat::Beats;
use trestle_io::mailbox::Bell;
use trestle_io::{FromShard, Heartbeat, ShardMessage, Worker, clock, entropy, socket};
use trestle_negotiate::Environment;

use self::machine_addresses::MachineAddresses;
use self::machine_load::LoadMonitor;
use self::ng_sockets::{NgDatagram, NgSockets};
use self::scrapes::{CollectedScrape, Scrapes};
use self::stream_replies::StreamReplies;
use crate::config::Config;
use crate::event_outputs::EventOutputSender;
use crate::health::SharedServiceState;
use crate::listen::http::Scrape;
use crate::listen::stream_request::StreamRequest;
use crate::log_queue::log_lines_lost;
use crate::metrics::Snapshot;
use crate::server::ServeError;

mod machine_addresses;
mod machine_load;
pub(crate) mod ng_sockets;
mod scrapes;
mod stream_replies;

pub(crate) const BELL: Token = Token(usize::MAX);
const ADDRESS_CHANGE: Token = Token(usize::MAX - 1);

/// Requests read from one socket before shards and timers have their turn.
const REQUEST_BATCH: usize = 64;

/// Messages of shards taken before requests have their turn.
const MESSAGE_BATCH: usize = 1_024;

/// A difference between the wall clock and what is computed from an earlier reading that is more than drift.
const CLOCK_STEP: Duration = Duration::from_millis(100);

/// Longest request: the longest datagram of UDP.
const REQUEST_BYTES_MAX: usize = 65_535;

/// What [`ControlThread::new`] takes.
pub(crate) struct ControlThreadParts<'a> {
    pub(crate) config: &'a Config,
    pub(crate) epoch: Epoch,
    pub(crate) environment: Environment,
    pub(crate) poll: Poll,
    pub(crate) ng_sockets: NgSockets,
    pub(crate) workers: Vec<Worker>,
    pub(crate) from_shards: Receiver<FromShard>,
    pub(crate) scrapes: Receiver<Scrape>,
    pub(crate) stream_requests: Receiver<StreamRequest>,
    pub(crate) event_sender: EventOutputSender,
    pub(crate) bell: Arc<Bell>,
    pub(crate) heartbeat: Arc<Heartbeat>,
    pub(crate) service: Arc<SharedServiceState>,
    pub(crate) operator: Receiver<OperatorCommand>,
    pub(crate) stop: Arc<AtomicBool>,
}

pub(crate) struct ControlThread {
    /// The first field: the end of the thread is known before media threads are waited for.
    beats: Beats,
    poll: Poll,
    controller: Controller,
    deadline: Option<Instant>,
    workers: Vec<Worker>,
    from_shards: Receiver<FromShard>,
    scrapes: Scrapes,
    stream_replies: StreamReplies,
    ng_sockets: NgSockets,
    digit_feed: Option<UdpSocket>,
    event_sender: EventOutputSender,
    machine: WatchedMachine,
    operator: OperatorLink,
    bell: Arc<Bell>,
}

/// What is read of the machine again and again.
struct WatchedMachine {
    load: LoadMonitor,
    addresses: MachineAddresses,
    /// As the controller knows it.
    wall_clock: Epoch,
}

/// Commands of the operator, and the state of the service for the other threads.
struct OperatorLink {
    commands: Receiver<OperatorCommand>,
    /// Set at the end of the server.
    stop: Arc<AtomicBool>,
    /// The state that was written to `shared` last.
    known: ServiceState,
    shared: Arc<SharedServiceState>,
}

impl ControlThread {
    /// Makes the controller. [`ControlThread::run`] is the thread.
    ///
    /// # Errors
    /// There is no entropy or no socket.
    pub(crate) fn new(parts: ControlThreadParts<'_>) -> Result<Self, ServeError> {
        let config = parts.config;
        let digit_feed = match config.settings.events.dtmf_log_dest {
            Some(destination) => Some(socket::bind(any_address(destination), socket::MEDIA_BUFFER_BYTES)?),
            None => None,
        };
        let controller_config = config.controller();
        let machine = parts.environment.addresses.machine.clone();
        let addresses = MachineAddresses::new(parts.poll.registry(), ADDRESS_CHANGE, machine);
        let load = LoadMonitor::new(controller_config.load, parts.workers.len(), clock::now());
        let rng = ChaCha12Rng::from_seed(entropy::seed()?);
        Ok(Self {
            beats: Beats::new(parts.heartbeat),
            poll: parts.poll,
            controller: Controller::new(controller_config, parts.environment, parts.epoch, rng),
            deadline: None,
            workers: parts.workers,
            from_shards: parts.from_shards,
            scrapes: Scrapes::new(parts.scrapes),
            stream_replies: StreamReplies::new(parts.stream_requests),
            ng_sockets: parts.ng_sockets,
            digit_feed,
            event_sender: parts.event_sender,
            machine: WatchedMachine { load, addresses, wall_clock: parts.epoch },
            operator: OperatorLink {
                commands: parts.operator,
                stop: parts.stop,
                known: ServiceState::Accepting,
                shared: parts.service,
            },
            bell: parts.bell,
        })
    }

    /// Runs until [`ControlThreadParts::stop`] is set.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(64);
        let mut buffer = vec![0; REQUEST_BYTES_MAX];
        let mut more = false;
        while !self.operator.stop.load(Ordering::Relaxed) {
            let timeout = if more { Some(Duration::ZERO) } else { self.sleep_time() };
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::error!(%error, "cannot wait for commands; the control thread ends");
                    return;
                }
                Ok(()) => {}
            }
            self.bell.acknowledge();
            for event in &events {
                // Of another token than theirs it is ignored.
                self.ng_sockets.note_ready(event);
            }
            // Before requests: an address that the machine has now is not to be accepted as that of a peer.
            self.update_addresses(false);
            more = self.take_messages();
            more |= self.take_requests(&mut buffer);
            more |= self.take_stream_requests();
            self.scrapes.start(&self.workers);
            self.take_operator_commands();
            self.handle_timeouts();
        }
    }

    fn sleep_time(&self) -> Option<Duration> {
        let wake_at = trestle_core::time::soonest(self.deadline, Some(self.machine.load.next_reading()));
        trestle_core::time::soonest(wake_at, Some(self.beats.next()))
            .map(|at| at.saturating_duration_since(clock::now()))
    }

    /// Reads at most [`REQUEST_BATCH`] requests from every socket. True if there are more.
    fn take_requests(&mut self, buffer: &mut [u8]) -> bool {
        for index in 0..self.ng_sockets.len() {
            for _ in 0..REQUEST_BATCH {
                match self.ng_sockets.receive(index, buffer) {
                    NgDatagram::Request(len, origin) => {
                        let now = clock::now();
                        self.controller.handle_datagram(now, origin, &buffer[..len]);
                        self.drain(now);
                    }
                    NgDatagram::Dropped(reason) => self.controller.count_dropped(reason),
                    NgDatagram::Empty => break,
                    NgDatagram::Failed => {}
                }
            }
        }
        self.ng_sockets.has_more()
    }

    /// Takes requests that came over HTTP, TCP and the Unix socket. True if there can be more.
    fn take_stream_requests(&mut self) -> bool {
        for _ in 0..REQUEST_BATCH {
            let Some((origin, message)) = self.stream_replies.next() else { return false };
            let now = clock::now();
            self.controller.handle_datagram(now, origin, &message);
            self.drain(now);
        }
        true
    }

    /// Takes replies and events of the shards. True if there can be more.
    fn take_messages(&mut self) -> bool {
        for _ in 0..MESSAGE_BATCH {
            let Ok(FromShard { worker, message }) = self.from_shards.try_recv() else { return false };
            let now = clock::now();
            match message {
                ShardMessage::Reply(reply) => match *reply {
                    (id, result) if Scrapes::owns(id) => {
                        let totals = if let Ok(EngineReply::Totals(totals)) = result { Some(*totals) } else { None };
                        self.take_totals(id, worker, totals);
                        continue;
                    }
                    (id, result) => self.controller.handle_reply(now, id, result),
                },
                ShardMessage::Event(event) => self.controller.handle_event(now, event),
            }
            self.drain(now);
        }
        true
    }

    fn take_operator_commands(&mut self) {
        while let Ok(command) = self.operator.commands.try_recv() {
            let now = clock::now();
            if let OperatorCommand::Reconfigure(settings) = &command {
                self.machine.load.set_limits(settings.controller.load);
                self.update_addresses(true);
                self.ng_sockets.reload();
            }
            self.controller.handle_operator(now, command);
            self.drain(now);
        }
    }

    fn update_addresses(&mut self, reload: bool) {
        if let Some(machine) = self.machine.addresses.update(reload, &self.workers) {
            let now = clock::now();
            self.controller.handle_operator(now, OperatorCommand::MachineAddresses(machine));
            self.drain(now);
        }
    }

    fn handle_timeouts(&mut self) {
        let now = clock::now();
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.controller.handle_timeout(now);
            self.drain(now);
        }
        self.beats.turn(now);
        if let Some(load) = self.machine.load.read(now, &self.workers) {
            self.controller.handle_load(now, load);
            self.follow_wall_clock();
        }
        let OperatorLink { known, shared, .. } = &mut self.operator;
        shared.set(known, self.controller.service_state());
    }

    /// Informs the controller if the wall clock was set, or the machine was asleep.
    fn follow_wall_clock(&mut self) {
        let epoch = clock::sample_epoch();
        if self.machine.wall_clock.unix_at(epoch.instant).abs_diff(epoch.unix) > CLOCK_STEP {
            self.machine.wall_clock = epoch;
            self.controller.handle_operator(epoch.instant, OperatorCommand::WallClock(epoch));
            self.drain(epoch.instant);
        }
    }

    /// Executes all outputs of the controller.
    fn drain(&mut self, now: Instant) {
        let mut refused: Vec<RequestId> = Vec::new();
        loop {
            match self.controller.poll_output() {
                ControllerOutput::NoReply { to, cookie } => self.stream_replies.refuse(to.peer(), &cookie),
                ControllerOutput::Transmit { to: to @ (Origin::Stream { .. } | Origin::Unix), bytes } => {
                    self.stream_replies.send(to.peer(), &bytes)
                }
                ControllerOutput::Transmit { to: Origin::Udp { listener, local, peer }, bytes } => {
                    self.ng_sockets.send(listener, &bytes, local, peer);
                }
                ControllerOutput::Engine { shard, id, command } => {
                    if self.workers[shard].send(id, command).is_err() {
                        tracing::warn!(shard, "the queue of a media thread is full; a command is refused");
                        refused.push(id);
                    }
                }
                ControllerOutput::DigitFeed { addr, bytes } => {
                    if let Some(udp) = &self.digit_feed
                        && let Err(error) = udp.send_to(&bytes, addr)
                    {
                        tracing::debug!(%error, %addr, "dtmf-log-dest: cannot send a digit");
                    }
                }
                ControllerOutput::Publish(line) => self.event_sender.send(line),
                ControllerOutput::Timeout(deadline) => {
                    self.deadline = deadline;
                    // Only now: the outputs of one `handle_*` must be drained before the next.
                    let Some(id) = refused.pop() else { return };
                    self.controller.handle_refused(now, id);
                }
            }
        }
    }

    /// Completes a scrape with the counters of this thread, if `totals` were the last that it waited for.
    fn take_totals(&mut self, id: RequestId, worker: usize, totals: Option<Totals>) {
        let Some(CollectedScrape { scrape, totals }) = self.scrapes.collect(id, worker, totals) else { return };
        let shards = totals.into_iter().zip(self.workers.iter().map(Worker::counts)).collect();
        let snapshot = Snapshot {
            shards,
            control: self.controller.counters(),
            event_outputs: self.event_sender.counts(),
            log_lines_lost: log_lines_lost(),
        };
        // Fails if the client has disconnected.
        let _: Result<(), Snapshot> = scrape.send(snapshot);
    }
}

/// Any port of any address of the family of `destination`.
fn any_address(destination: SocketAddr) -> SocketAddr {
    if destination.is_ipv6() { (Ipv6Addr::UNSPECIFIED, 0).into() } else { (Ipv4Addr::UNSPECIFIED, 0).into() }
}
