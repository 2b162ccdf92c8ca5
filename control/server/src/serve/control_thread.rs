//! The control thread: ng sockets on one side, mailboxes to the shards on the other, the controller in between.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use tokio::sync::oneshot;
use trestle_core::report::Totals;
use trestle_core::{Command, Epoch, Reply, RequestId};
use trestle_io::mailbox::Bell;
use trestle_io::{FromShard, Lateness, ShardMessage, Worker, clock, entropy, socket};

use super::ServeError;
use super::load::{self, Processors};
use crate::ask::Ask;
use crate::config::Config;
use crate::http::Scrape;
use crate::metrics::Snapshot;
use crate::publish::Publisher;
use trestle_calls::controller::{Controller, ControllerOutput, LOAD_EVERY, Load, LoadBounds, Origin};
use trestle_ng::frame;

pub(super) const BELL: Token = Token(usize::MAX);

/// Requests read from one socket before shards and timers have their turn.
const REQUEST_BATCH: usize = 64;

/// Messages of shards taken before requests have their turn.
const MESSAGE_BATCH: usize = 1_024;

/// Longest request: what UDP carries.
const REQUEST_BYTES_MAX: usize = 65_535;

/// Requests of our own have this bit in their ids; the controller counts from zero.
const OWN_REQUESTS: u64 = 1 << 63;

/// What the thread is made from.
pub(super) struct Parts<'a> {
    pub(super) config: &'a Config,
    pub(super) epoch: Epoch,
    pub(super) fingerprint: [u8; 32],
    pub(super) poll: Poll,
    pub(super) workers: Vec<Worker>,
    pub(super) from_shards: Receiver<FromShard>,
    pub(super) scrapes: Receiver<Scrape>,
    pub(super) asks: Receiver<Ask>,
    pub(super) publisher: Publisher,
    pub(super) bell: Arc<Bell>,
    pub(super) stop: Arc<AtomicBool>,
}

/// Takes the answer to a request over HTTP or TCP.
type Answer = oneshot::Sender<Vec<u8>>;

pub(super) struct ControlThread {
    poll: Poll,
    controller: Controller,
    deadline: Option<Instant>,
    workers: Vec<Worker>,
    from_shards: Receiver<FromShard>,
    scrapes: Receiver<Scrape>,
    asks: Receiver<Ask>,
    /// Who waits for an answer over HTTP or TCP, by address and cookie; twice if the same request came twice.
    asking: HashMap<(SocketAddr, Vec<u8>), Vec<Answer>>,
    collecting: HashMap<u64, Collecting>,
    next_own: u64,
    listeners: Vec<Listener>,
    digit_feed: Option<UdpSocket>,
    publisher: Publisher,
    busy: Busy,
    bell: Arc<Bell>,
    stop: Arc<AtomicBool>,
}

struct Listener {
    udp: UdpSocket,
    address: SocketAddr,
    /// Reported readable and not read to its end.
    readable: bool,
}

/// How busy the machine is, and when to look again.
struct Busy {
    bounds: LoadBounds,
    look_at: Instant,
    /// What the media threads had told when they were last asked.
    lateness: Vec<Lateness>,
    processors: Processors,
}

/// A scrape, and what the shards have said to it so far.
struct Collecting {
    reply: Scrape,
    totals: Vec<Option<Totals>>,
}

impl ControlThread {
    pub(super) fn new(parts: Parts<'_>) -> Result<Self, ServeError> {
        let Parts { config, epoch, fingerprint, poll, workers, from_shards, scrapes, asks, publisher, bell, stop } =
            parts;
        let mut listeners = Vec::with_capacity(config.settings.listen.listen_ng.len());
        for (index, &address) in config.settings.listen.listen_ng.iter().enumerate() {
            let listen = || {
                let mut udp = socket::bind(address, socket::CONTROL_BUFFER_BYTES)?;
                poll.registry().register(&mut udp, Token(index), Interest::READABLE)?;
                let address = udp.local_addr()?;
                Ok(Listener { udp, address, readable: false })
            };
            listeners.push(listen().map_err(|source| ServeError::Listen { key: "listen-ng", address, source })?);
        }
        let digit_feed = match config.settings.events.dtmf_log_dest {
            Some(destination) => Some(socket::bind(any_address(destination), socket::MEDIA_BUFFER_BYTES)?),
            None => None,
        };
        let controller_config = config.controller();
        let busy = Busy {
            bounds: controller_config.load,
            look_at: clock::now() + LOAD_EVERY,
            lateness: vec![Lateness::default(); workers.len()],
            processors: Processors::default(),
        };
        let rng = ChaCha12Rng::from_seed(entropy::seed()?);
        Ok(Self {
            poll,
            controller: Controller::new(controller_config, config.environment(fingerprint), epoch, rng),
            deadline: None,
            workers,
            from_shards,
            scrapes,
            asks,
            asking: HashMap::new(),
            collecting: HashMap::new(),
            next_own: OWN_REQUESTS,
            listeners,
            digit_feed,
            publisher,
            busy,
            bell,
            stop,
        })
    }

    pub(super) fn listening(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|listener| listener.address).collect()
    }

    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(64);
        let mut buffer = vec![0; REQUEST_BYTES_MAX];
        let mut more = false;
        while !self.stop.load(Ordering::Relaxed) {
            let timeout = if more { Some(Duration::ZERO) } else { self.sleep_time() };
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::error!(%error, "cannot wait for commands; the control thread ends");
                    return;
                }
                Ok(()) => {}
            }
            self.bell.heard();
            for event in events.iter().filter(|event| event.token() != BELL) {
                self.listeners[event.token().0].readable = true;
            }
            more = self.take_messages();
            more |= self.take_requests(&mut buffer);
            more |= self.take_asks();
            self.take_scrapes();
            self.do_what_is_due();
        }
    }

    fn sleep_time(&self) -> Option<Duration> {
        let wake_at = trestle_core::time::soonest(self.deadline, Some(self.busy.look_at));
        wake_at.map(|at| at.saturating_duration_since(clock::now()))
    }

    /// Reads a turn's worth from every socket; says whether there is more.
    fn take_requests(&mut self, buffer: &mut [u8]) -> bool {
        for index in 0..self.listeners.len() {
            for _ in 0..REQUEST_BATCH {
                if !self.listeners[index].readable {
                    break;
                }
                match self.listeners[index].udp.recv_from(buffer) {
                    Ok((len, caller)) => {
                        let now = clock::now();
                        self.controller.handle_datagram(
                            now,
                            Origin::Udp { listener: index, peer: caller },
                            &buffer[..len],
                        );
                        self.drain(now);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.listeners[index].readable = false,
                    Err(error) => tracing::debug!(%error, "cannot read a control socket"),
                }
            }
        }
        self.listeners.iter().any(|listener| listener.readable)
    }

    /// Takes requests that came over HTTP and TCP; says whether there may be more.
    fn take_asks(&mut self) -> bool {
        for _ in 0..REQUEST_BATCH {
            let Ok(Ask { peer, message, answer }) = self.asks.try_recv() else {
                // Those that have given up.
                self.asking.retain(|_, waiting| waiting.iter().any(|answer| !answer.is_closed()));
                return false;
            };
            // Without a cookie there is no answer, and dropping `answer` says so.
            if let Some((cookie, _)) = frame::split(&message) {
                self.asking.entry((peer, cookie.as_bytes().to_vec())).or_default().push(answer);
                let now = clock::now();
                self.controller.handle_datagram(now, Origin::Stream { peer }, &message);
                self.drain(now);
            }
        }
        true
    }

    /// Gives an answer to whoever waits for it.
    fn tell(&mut self, peer: SocketAddr, bytes: &[u8]) {
        let Some((cookie, _)) = frame::split(bytes) else { return };
        for answer in self.asking.remove(&(peer, cookie.as_bytes().to_vec())).into_iter().flatten() {
            // Who has left in the meantime asks again.
            let _: Result<(), Vec<u8>> = answer.send(bytes.to_vec());
        }
    }

    /// Takes what the shards have to say; says whether there is more.
    fn take_messages(&mut self) -> bool {
        for _ in 0..MESSAGE_BATCH {
            let Ok(FromShard { worker, message }) = self.from_shards.try_recv() else { return false };
            let now = clock::now();
            match message {
                ShardMessage::Reply(reply) => match *reply {
                    (RequestId(id), Ok(Reply::Totals(totals))) if id & OWN_REQUESTS != 0 => {
                        self.collect(id, worker, *totals);
                        continue;
                    }
                    (RequestId(id), _) if id & OWN_REQUESTS != 0 => {
                        // Dropping the scrape tells the scraper.
                        self.collecting.remove(&id);
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

    fn do_what_is_due(&mut self) {
        let now = clock::now();
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.controller.handle_timeout(now);
            self.drain(now);
        }
        if self.busy.look_at <= now {
            self.busy.look_at = now + LOAD_EVERY;
            let load = self.load();
            self.controller.handle_load(now, load);
        }
    }

    /// How busy the machine was since this was last called; of the system only what there is a bound for.
    fn load(&mut self) -> Load {
        let Busy { bounds, lateness, processors, .. } = &mut self.busy;
        let means = self.workers.iter().zip(lateness).map(|(worker, before)| {
            let now = worker.lateness();
            now.mean_since(&std::mem::replace(before, now))
        });
        Load {
            lateness: means.max().unwrap_or_default(),
            cpu: bounds.cpu.and_then(|_| processors.busy()),
            average: bounds.average.and_then(|_| load::average()),
        }
    }

    /// Does everything that the controller asks for.
    fn drain(&mut self, now: Instant) {
        let mut refused: Vec<RequestId> = Vec::new();
        loop {
            match self.controller.poll_output() {
                ControllerOutput::Transmit { to: Origin::Stream { peer }, bytes } => self.tell(peer, &bytes),
                ControllerOutput::Transmit { to: Origin::Udp { listener, peer }, bytes } => {
                    if let Err(error) = self.listeners[listener].udp.send_to(&bytes, peer) {
                        // The caller asks again and is answered from the cache.
                        tracing::debug!(%error, %peer, "a control reply could not be sent");
                    }
                }
                ControllerOutput::Engine { shard, id, command } => {
                    if self.workers[shard].send(id, command).is_err() {
                        tracing::warn!(shard, "a media thread is too busy to take commands");
                        refused.push(id);
                    }
                }
                ControllerOutput::DigitFeed { addr, bytes } => {
                    if let Some(udp) = &self.digit_feed
                        && let Err(error) = udp.send_to(&bytes, addr)
                    {
                        tracing::debug!(%error, %addr, "a digit could not be reported to dtmf-log-dest");
                    }
                }
                ControllerOutput::Publish(line) => self.publisher.publish(line),
                ControllerOutput::Timeout(deadline) => {
                    self.deadline = deadline;
                    // Told only now: after a `handle_*` everything must be drained before the next.
                    let Some(id) = refused.pop() else { return };
                    self.controller.handle_refused(now, id);
                }
            }
        }
    }

    fn take_scrapes(&mut self) {
        while let Ok(reply) = self.scrapes.try_recv() {
            let id = self.next_own;
            self.next_own = id.wrapping_add(1) | OWN_REQUESTS;
            let asked = self.workers.iter().all(|worker| worker.send(RequestId(id), Command::Totals).is_ok());
            if asked {
                self.collecting.insert(id, Collecting { reply, totals: vec![None; self.workers.len()] });
            }
        }
        // Scrapers that have given up.
        self.collecting.retain(|_, collecting| !collecting.reply.is_closed());
    }

    fn collect(&mut self, id: u64, worker: usize, totals: Totals) {
        let Some(collecting) = self.collecting.get_mut(&id) else { return };
        collecting.totals[worker] = Some(totals);
        if collecting.totals.iter().any(Option::is_none) {
            return;
        }
        let Some(Collecting { reply, totals }) = self.collecting.remove(&id) else { return };
        let shards = totals.into_iter().flatten().zip(self.workers.iter().map(Worker::counts)).collect();
        let snapshot = Snapshot { shards, control: self.controller.counters(), publish: self.publisher.counts() };
        // A scraper that has left in the meantime misses nothing.
        let _: Result<(), Snapshot> = reply.send(snapshot);
    }
}

/// Any port of any address of the family of `destination`.
fn any_address(destination: SocketAddr) -> SocketAddr {
    if destination.is_ipv6() { (Ipv6Addr::UNSPECIFIED, 0).into() } else { (Ipv4Addr::UNSPECIFIED, 0).into() }
}
