//! One thread that owns one shard: it performs the shard's output, and never waits for another thread.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use trestle_core::time::soonest;
use trestle_core::{
    AddressPolicy, Command, CommandReply, DtlsIdentity, Epoch, Event, InterfaceId, LegId, LegPlan, Output, OwnSsrcs,
    RequestId, Shard, ShardConfig, limits,
};

use crate::bound_ports::BoundPorts;
use crate::heartbeat::{Beats, Heartbeat};
use crate::lateness::{self, Lateness};
use crate::mailbox::{self, MailboxFull, Sender};
use crate::poller::{Poller, ReceiveResult};
use crate::ports::{InterfacePorts, PortPool, Ports};
use crate::{clock, entropy};

/// Commands that may be queued for one shard. Each offer is one; at 1000 offers a second this is a second without service.
pub const COMMANDS_WAITING_MAX: usize = 1024;

/// Datagrams that get the same arrival time from one clock read: some tens of microseconds of forwarding, or half a millisecond
/// of transcoding.
const SAME_TIME: usize = 8;

/// Commands processed before datagrams are processed again.
const TURN_COMMANDS: usize = 16;

/// Pairs bound at a time, after a command or in a turn: binding a pair costs as much as ten packets.
const TURN_PAIRS: usize = 4;

/// Events that may be queued for a control thread that does not read. Older ones are kept: they show the cause.
const EVENTS_WAITING_MAX: usize = 4096;

/// A full mailbox of the control thread is tried again after this time.
const MAILBOX_RETRY: Duration = Duration::from_millis(5);

/// The configuration of a worker.
#[derive(Debug)]
pub struct WorkerConfig {
    /// Number of this worker; it comes with every [`FromShard`].
    pub worker: usize,
    /// Wall time of one instant of the monotonic clock.
    pub epoch: Epoch,
    /// The DTLS certificate of this process.
    pub identity: DtlsIdentity,
    /// After this long without media on any leg of a call, [`trestle_core::EventKind::MediaTimeout`] is emitted.
    pub media_timeout: Duration,
    /// The SSRCs of this process.
    pub own_ssrcs: OwnSsrcs,
    /// How long a peer without ICE is sent media before a valid packet has come from it; `None` for no limit.
    pub probe_time: Option<Duration>,
    /// Addresses to bind on.
    pub interfaces: Vec<InterfacePorts>,
    /// Ports to bind; all workers share them.
    pub ports: PortPool,
    /// Sources from which no datagram is accepted.
    pub addresses: AddressPolicy,
    /// The ports that all workers have bound.
    pub bound_ports: Arc<BoundPorts>,
}

/// A message from a shard to the control thread.
#[derive(Debug)]
pub struct FromShard {
    /// Which worker it comes from.
    pub worker: usize,
    /// The message.
    pub message: ShardMessage,
}

/// Output of a shard for the controller.
#[derive(Debug)]
pub enum ShardMessage {
    /// The reply to a command. Every command that [`Worker::send`] has accepted gets one.
    Reply(Box<CommandReply>),
    /// An event of a call.
    Event(Event),
}

/// Why a worker cannot start. The error of the system is the source, not repeated in the text.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No port of the range can be bound on a configured address.
    #[error("cannot bind a media port on {address}")]
    Bind {
        /// The address.
        address: IpAddr,
        /// The error of the system.
        source: io::Error,
    },
    /// There is no poller or no thread.
    #[error("cannot start a media thread")]
    Thread(#[from] io::Error),
}

/// Errors at the sockets and mailboxes of one worker since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IoCounts {
    /// Datagrams not sent because the socket's buffer was full.
    pub send_blocked: u64,
    /// Datagrams not sent for another reason: no route, forbidden, socket closed.
    pub send_failed: u64,
    /// Reads that failed.
    pub receive_failed: u64,
    /// Datagrams longer than [`limits::DATAGRAM_BYTES_MAX`].
    pub oversize: u64,
    /// Datagrams to the port of a call that has ended.
    pub quarantined: u64,
    /// Events dropped because the control thread did not read.
    pub events_dropped: u64,
    /// Ports that could not be bound when they were needed.
    pub bind_failed: u64,
}

/// [`IoCounts`] as the worker counts and others read. Written only on an error, never per packet.
#[derive(Debug, Default)]
struct AtomicIoCounts {
    send_blocked: AtomicU64,
    send_failed: AtomicU64,
    receive_failed: AtomicU64,
    oversize: AtomicU64,
    quarantined: AtomicU64,
    events_dropped: AtomicU64,
    bind_failed: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A running worker, as its owner uses it. Dropping it stops the thread.
#[derive(Debug)]
pub struct Worker {
    commands: Sender<(RequestId, Command)>,
    stop: Arc<AtomicBool>,
    counters: Arc<AtomicIoCounts>,
    lateness: Arc<lateness::SharedLateness>,
    heartbeat: Arc<Heartbeat>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Binds the first stock of ports and starts the thread. Replies and events go to `control`.
    ///
    /// # Errors
    /// If no port can be bound on one of the addresses, or the system provides no poller or thread.
    pub fn start(config: WorkerConfig, control: Sender<FromShard>) -> Result<Self, StartError> {
        let WorkerConfig {
            worker,
            epoch,
            identity,
            media_timeout,
            own_ssrcs,
            probe_time,
            interfaces,
            ports,
            addresses,
            bound_ports,
        } = config;
        let families = interfaces.iter().flat_map(|of| [false, true].map(|ipv6| (of, ipv6)));
        let shard = ShardConfig {
            seed: entropy::seed()?,
            epoch,
            identity,
            interfaces: families
                .filter(|(of, ipv6)| of.address(*ipv6).is_some())
                .map(|(of, ipv6)| (of.interface, ipv6))
                .collect(),
            media_timeout,
            own_ssrcs,
            probe_time,
            addresses,
        };
        let poller = Poller::new(bound_ports)?;
        let (commands, inbox) = mailbox::channel(COMMANDS_WAITING_MAX, poller.bell());
        let stop = Arc::new(AtomicBool::new(false));
        let counters = Arc::new(AtomicIoCounts::default());
        let lateness = Arc::new(lateness::SharedLateness::default());
        let name = format!("media-{worker}");
        let heartbeat = Heartbeat::new(name.clone());
        let mut running = Running {
            beats: Beats::new(Arc::clone(&heartbeat)),
            ports: Ports::new(ports),
            shard: Shard::new(shard),
            poller,
            worker,
            interfaces,
            inbox,
            control,
            undelivered: Undelivered::default(),
            deadline: None,
            refill: false,
            stop: Arc::clone(&stop),
            counters: Arc::clone(&counters),
            meter: lateness::LatenessMeter::default(),
            lateness: Arc::clone(&lateness),
        };
        running.first_stock()?;
        let thread = thread::Builder::new().name(name).spawn(move || running.run())?;
        Ok(Self { commands, stop, counters, lateness, heartbeat, thread: Some(thread) })
    }

    /// Sends a command to the shard. Its reply is a [`ShardMessage::Reply`].
    ///
    /// # Errors
    /// [`MailboxFull`] if [`COMMANDS_WAITING_MAX`] commands wait already, or the thread has died; there will be no reply.
    pub fn send(&self, request: RequestId, command: Command) -> Result<(), MailboxFull> {
        self.commands.send((request, command))
    }

    /// Errors of the worker so far.
    pub fn counts(&self) -> IoCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        IoCounts {
            send_blocked: read(&self.counters.send_blocked),
            send_failed: read(&self.counters.send_failed),
            receive_failed: read(&self.counters.receive_failed),
            oversize: read(&self.counters.oversize),
            quarantined: read(&self.counters.quarantined),
            events_dropped: read(&self.counters.events_dropped),
            bind_failed: read(&self.counters.bind_failed),
        }
    }

    /// Lateness of the worker so far.
    pub fn lateness(&self) -> Lateness {
        self.lateness.read()
    }

    /// The heartbeat of the thread.
    pub fn heartbeat(&self) -> Arc<Heartbeat> {
        Arc::clone(&self.heartbeat)
    }

    /// Ends the thread after its present work, and waits for it. Queued commands are dropped; sockets are closed.
    pub fn stop(mut self) {
        self.join();
    }

    fn join(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.commands.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a media thread had died of a panic");
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.join();
    }
}

/// Messages that the control thread's mailbox has not taken yet.
#[derive(Debug, Default)]
struct Undelivered {
    messages: VecDeque<ShardMessage>,
    /// Replies among them. While there is one, no further command is taken, so there are never more than one turn makes.
    replies: usize,
}

/// The worker as its thread uses it.
struct Running {
    /// The first field: the end of the thread is known before sockets are closed.
    beats: Beats,
    worker: usize,
    shard: Shard,
    poller: Poller,
    ports: Ports,
    interfaces: Vec<InterfacePorts>,
    inbox: Receiver<(RequestId, Command)>,
    control: Sender<FromShard>,
    undelivered: Undelivered,
    /// When the shard is to be called.
    deadline: Option<Instant>,
    /// The shard's stock of ports may be short.
    refill: bool,
    stop: Arc<AtomicBool>,
    counters: Arc<AtomicIoCounts>,
    meter: lateness::LatenessMeter,
    lateness: Arc<lateness::SharedLateness>,
}

impl Running {
    fn run(mut self) {
        // One byte more than a datagram may have, to detect one that is longer.
        let mut buffer = [0; limits::DATAGRAM_BYTES_MAX + 1];
        let mut more = false;
        let mut turn = clock::now();
        while !self.stop.load(Ordering::Relaxed) {
            let wake_at = if more { Some(turn) } else { self.wake_at(turn) };
            if let Err(error) = self.poller.wait(wake_at) {
                tracing::error!(%error, worker = self.worker, "cannot wait for packets; this media thread ends");
                return;
            }
            // Packets first: a frame that has arrived must not be late because a timer was processed before it.
            turn = self.take_datagrams(&mut buffer);
            self.do_what_is_due(turn);
            self.beats.turn(turn);
            self.hand_over_waiting();
            more = self.take_commands();
            more |= self.refill_stock();
        }
    }

    /// The next deadline for which no other thread wakes this one.
    fn wake_at(&self, now: Instant) -> Option<Instant> {
        let retry = (!self.undelivered.messages.is_empty()).then(|| now + MAILBOX_RETRY);
        soonest(soonest(retry, Some(self.beats.next())), soonest(self.deadline, self.ports.poll_timeout()))
    }

    /// Takes one datagram from each readable socket, so that a socket with many does not delay the others. Returns the time.
    fn take_datagrams(&mut self, buffer: &mut [u8]) -> Instant {
        let mut now = clock::now();
        self.poller.begin_turn(now);
        let mut of_this_time = 0;
        while let Some(socket) = self.poller.next_ready() {
            if of_this_time == SAME_TIME {
                (now, of_this_time) = (clock::now(), 0);
            }
            of_this_time += 1;
            match self.poller.receive(socket, buffer) {
                ReceiveResult::Datagram(len, ..) if len > limits::DATAGRAM_BYTES_MAX => count(&self.counters.oversize),
                ReceiveResult::Datagram(len, remote, waited) => {
                    self.shard.handle_waiting_datagram(now, waited, socket, remote, &mut buffer[..len]);
                    // Sent at once: to read more before that delays the first datagram and saves next to nothing.
                    self.drain(now);
                }
                ReceiveResult::Quarantined => count(&self.counters.quarantined),
                ReceiveResult::Failed => count(&self.counters.receive_failed),
                ReceiveResult::Empty => {}
            }
        }
        self.poller.end_turn();
        if of_this_time > 1 { clock::now() } else { now }
    }

    fn do_what_is_due(&mut self, now: Instant) {
        self.meter.turn(now, self.deadline, self.poller.is_all_reported(), &self.lateness);
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.shard.handle_timeout(now);
            self.drain(now);
        }
        self.refill |= self.ports.handle_timeout(now, &mut self.poller);
    }

    /// Takes commands, up to a limit per turn; true if there may be more.
    fn take_commands(&mut self) -> bool {
        for _ in 0..TURN_COMMANDS {
            if self.undelivered.replies > 0 {
                return false;
            }
            match self.inbox.try_recv() {
                Ok((request, command)) => {
                    let now = clock::now();
                    match &command {
                        Command::Apply { legs, .. } => self.stock_for(legs),
                        Command::FreePorts { pairs } => self.free_ports(now, *pairs),
                        _ => {}
                    }
                    self.shard.handle_command(now, request, command);
                    self.drain(now);
                    // At once, so that a burst of offers seldom meets an empty stock: one offer takes two pairs.
                    self.refill = true;
                    self.refill_stock();
                }
                Err(TryRecvError::Empty) => return false,
                // The owner is gone without a call of `stop`.
                Err(TryRecvError::Disconnected) => {
                    self.stop.store(true, Ordering::Relaxed);
                    return false;
                }
            }
        }
        true
    }

    /// Performs all output of the shard.
    fn drain(&mut self, now: Instant) {
        loop {
            match self.shard.poll_output() {
                Output::Transmit(packet) => {
                    if let Err(error) = self.poller.send(packet.socket, packet.remote, packet.tos, packet.bytes) {
                        let blocked = error.kind() == io::ErrorKind::WouldBlock;
                        count(if blocked { &self.counters.send_blocked } else { &self.counters.send_failed });
                    }
                }
                Output::Reply(reply) => {
                    self.undelivered.messages.push_back(ShardMessage::Reply(reply));
                    self.undelivered.replies += 1;
                }
                Output::Event(event) => {
                    if self.undelivered.messages.len() < EVENTS_WAITING_MAX {
                        self.undelivered.messages.push_back(ShardMessage::Event(event));
                    } else {
                        count(&self.counters.events_dropped);
                    }
                }
                Output::Release(pair) => {
                    self.ports.release(now, &mut self.poller, pair);
                    self.refill = true;
                }
                Output::Timeout(deadline) => {
                    self.deadline = deadline;
                    break;
                }
            }
        }
        self.hand_over_waiting();
    }

    fn hand_over_waiting(&mut self) {
        while let Some(message) = self.undelivered.messages.pop_front() {
            let is_reply = matches!(message, ShardMessage::Reply(_));
            if let Err(refused) = self.control.try_send(FromShard { worker: self.worker, message }) {
                self.undelivered.messages.push_front(refused.message);
                return;
            }
            self.undelivered.replies -= usize::from(is_reply);
        }
    }

    fn first_stock(&mut self) -> Result<(), StartError> {
        let wanted: Vec<_> = self.shard.ports_wanted().collect();
        for (interface, ipv6, pairs) in wanted {
            let Some(address) = self.address(interface, ipv6) else { continue };
            for bound in 0..pairs {
                // The first pair shows whether the address can be bound at all. Of a short range the next workers may get none.
                if self.ports.is_scarce() && (bound > 0 || self.worker > 0) {
                    break;
                }
                match self.add_pair(interface, ipv6, address) {
                    Ok(()) => {}
                    Err(source) if bound == 0 => return Err(StartError::Bind { address, source }),
                    Err(_) => break,
                }
            }
        }
        Ok(())
    }

    /// Binds what a command may need and the stock lacks.
    fn stock_for(&mut self, legs: &[(LegId, LegPlan)]) {
        for (_, plan) in legs {
            let of_this_kind =
                |other: &&(LegId, LegPlan)| (other.1.interface, other.1.ipv6) == (plan.interface, plan.ipv6);
            let needed = legs.iter().filter(of_this_kind).count();
            let Some(address) = self.address(plan.interface, plan.ipv6) else { continue };
            while self.shard.ports_in_stock(plan.interface, plan.ipv6) < needed {
                if let Err(error) = self.add_pair(plan.interface, plan.ipv6, address) {
                    count(&self.counters.bind_failed);
                    if !self.ports.is_starved() {
                        // Once until it is over: calls may be refused from now on, and this is the cause.
                        tracing::warn!(%address, %error, worker = self.worker, "running out of media ports");
                    }
                    self.ports.set_starved(true);
                    break;
                }
            }
        }
    }

    /// Gives pairs that no leg uses back to all workers.
    fn free_ports(&mut self, now: Instant, pairs: usize) {
        for pair in self.shard.take_spare_ports(pairs) {
            self.ports.close(&mut self.poller, pair);
        }
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in self.interfaces.iter().flat_map(|of| [of.address(false), of.address(true)]).flatten() {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        self.ports.give_up(now, &mut self.poller, &addresses, pairs);
    }

    fn address(&self, interface: InterfaceId, ipv6: bool) -> Option<IpAddr> {
        self.interfaces.iter().find(|known| known.interface == interface)?.address(ipv6)
    }

    /// Refills the shard's stock of ports, a few pairs per turn; true if more are needed in the next turn. While ports are scarce,
    /// only [`Running::stock_for`] binds them.
    fn refill_stock(&mut self) -> bool {
        if !std::mem::take(&mut self.refill) || self.ports.is_scarce() {
            return false;
        }
        self.ports.set_starved(false);
        let wanted: Vec<_> = self.shard.ports_wanted().collect();
        for (interface, ipv6, pairs) in wanted {
            let Some(address) = self.address(interface, ipv6) else { continue };
            for added in 0..pairs.min(TURN_PAIRS) {
                if self.add_pair(interface, ipv6, address).is_err() {
                    count(&self.counters.bind_failed);
                    break;
                }
                self.refill |= added + 1 == TURN_PAIRS && pairs > TURN_PAIRS;
            }
        }
        self.refill
    }

    fn add_pair(&mut self, interface: InterfaceId, ipv6: bool, address: IpAddr) -> io::Result<()> {
        let pair = self.ports.bind(clock::now(), &mut self.poller, address, entropy::number)?;
        self.shard.add_port_pair(interface, ipv6, pair);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
