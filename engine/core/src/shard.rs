//! The engine of one thread: its calls, their sockets and timers. Shards share nothing.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use slab::Slab;

use crate::call::{Call, Wake};
use crate::leg::latch::Flow;
use crate::leg::webrtc::DtlsIdentity;
use crate::leg::{Leg, LegContext, PreparedPlan};
use crate::opus_complexity::OpusComplexityControl;
use crate::output::{Outbox, Output};
use crate::ports::PortStock;
use crate::report::Totals;
use crate::time::{Epoch, ReceiveTime};
use crate::timers::{Scheduled, Timers};
use crate::{
    AddressPolicy, CallId, Command, CommandError, Discard, EngineReply, Event, EventKind, InterfaceId, LegId, LegPlan,
    LegPorts, OwnSsrcs, PortPair, RequestId, SocketId, limits,
};

/// What a shard is built from.
#[derive(Debug, Clone)]
pub struct ShardConfig {
    /// Entropy for what the shard draws itself: initial sequence numbers and timestamps, RTCP intervals.
    pub seed: [u8; 32],
    /// Relates the monotonic clock to wall time.
    pub epoch: Epoch,
    /// The DTLS certificate of all WebRTC legs.
    pub identity: DtlsIdentity,
    /// Interfaces, each with the address families it has (`true`: IPv6).
    pub interfaces: Vec<(InterfaceId, bool)>,
    /// After this long without media on any leg of a call, [`EventKind::MediaTimeout`] is emitted.
    pub media_timeout: Duration,
    /// The SSRCs of this process; the same for the controller that makes the plans.
    pub own_ssrcs: OwnSsrcs,
    /// How long a peer without ICE is sent media before a valid packet has come from it; then it gets one packet a second.
    /// `None` for no limit.
    pub probe_time: Option<Duration>,
    /// Sources from which no datagram is accepted.
    pub addresses: AddressPolicy,
}

/// A set of calls, with their sockets and timers. The crate documentation has the contract of its methods.
///
/// A shard owns its calls, a call its legs, and a leg its path to the peer and a stream in each direction.
#[derive(Debug)]
pub struct Shard {
    config: ShardConfig,
    rng: ChaCha12Rng,
    calls: Slab<CallSlot>,
    by_id: BTreeMap<CallId, usize>,
    /// The owner of each socket, by its number.
    sockets: Vec<Option<SocketOwner>>,
    stock: PortStock,
    timers: Timers,
    /// Calls that are due in [`Shard::handle_timeout`]; empty in between, kept for its memory.
    due: Vec<usize>,
    outbox: Outbox,
    opus_complexity: OpusComplexityControl,
    /// Counters of ended calls.
    totals: Totals,
    /// Datagrams on sockets that no leg owns.
    unroutable: u64,
}

#[derive(Debug)]
struct CallSlot {
    call: Call,
    scheduled: Scheduled,
}

#[derive(Debug, Clone, Copy)]
struct SocketOwner {
    slot: usize,
    leg: LegId,
    flow: Flow,
    /// The address that the socket is bound to.
    local: IpAddr,
    /// The last source that the policy has accepted; it is not checked again.
    accepted: Option<SocketAddr>,
}

impl Shard {
    /// An empty shard.
    pub fn new(config: ShardConfig) -> Self {
        Self {
            rng: ChaCha12Rng::from_seed(config.seed),
            calls: Slab::new(),
            by_id: BTreeMap::new(),
            sockets: Vec::new(),
            stock: PortStock::new(&config.interfaces),
            timers: Timers::default(),
            due: Vec::new(),
            outbox: Outbox::default(),
            opus_complexity: OpusComplexityControl::default(),
            totals: Totals::default(),
            unroutable: 0,
            config,
        }
    }

    /// Interfaces and address families whose stock of ports is below [`limits::PORT_STOCK`], and by how many pairs.
    pub fn ports_wanted(&self) -> impl Iterator<Item = (InterfaceId, bool, usize)> + '_ {
        self.stock.wanted()
    }

    /// Adds a bound pair to the stock. A pair of an interface that the shard does not have is released again.
    pub fn add_port_pair(&mut self, interface: InterfaceId, ipv6: bool, pair: PortPair) {
        if let Err(pair) = self.stock.add(interface, ipv6, pair) {
            self.outbox.release(pair);
        }
    }

    /// Pairs in stock for legs of one interface and address family.
    pub fn ports_in_stock(&self, interface: InterfaceId, ipv6: bool) -> usize {
        self.stock.len(interface, ipv6)
    }

    /// Takes pairs out of the stock, up to so many of each interface and address family ([`Command::FreePorts`]).
    pub fn take_spare_ports(&mut self, pairs: usize) -> Vec<PortPair> {
        self.stock.take_spare(pairs)
    }

    /// Takes one datagram; it is decrypted in place.
    pub fn handle_datagram(&mut self, now: Instant, socket: SocketId, remote: SocketAddr, datagram: &mut [u8]) {
        self.handle_waiting_datagram(now, Duration::ZERO, socket, remote, datagram);
    }

    /// The same for a datagram that has waited for `waited` since it arrived, because this thread was late. Audio that has waited
    /// for longer than [`limits::WAITED_AUDIO_MAX`] is not passed on.
    pub fn handle_waiting_datagram(
        &mut self,
        now: Instant,
        waited: Duration,
        socket: SocketId,
        remote: SocketAddr,
        datagram: &mut [u8],
    ) {
        let Some(Some(owner)) = self.sockets.get(socket.0 as usize) else {
            self.unroutable += 1;
            return;
        };
        let SocketOwner { slot, leg, flow, .. } = *owner;
        if owner.accepted != Some(remote) && !self.accept_source(socket, remote) {
            return self.with_call(slot, |call, _| call.discard(leg, Discard::ForbiddenSource));
        }
        let received = ReceiveTime { now, waited };
        self.with_call(slot, |call, outbox| call.handle_datagram(received, outbox, leg, flow, remote, datagram));
    }

    /// Judges a source that is not the last one of its socket. True if its datagrams are accepted.
    #[cold]
    fn accept_source(&mut self, socket: SocketId, remote: SocketAddr) -> bool {
        let Some(owner) = &mut self.sockets[socket.0 as usize] else { return false };
        // The far end of a link between two calls is a media port of this process. The link authenticates it by its keys.
        let is_link = self.calls.get(owner.slot).is_some_and(|of| of.call.leg(owner.leg).is_some_and(Leg::is_linked));
        let is_accepted = is_link || self.config.addresses.check(owner.local, remote).is_ok();
        if is_accepted {
            owner.accepted = Some(remote);
        }
        is_accepted
    }

    /// Takes one command. [`Shard::poll_output`] returns its reply.
    pub fn handle_command(&mut self, now: Instant, request: RequestId, command: Command) {
        let result = match command {
            Command::Apply { call, legs } => self.apply(now, call, legs).map(EngineReply::Applied),
            Command::RemoveLeg { call, leg } => self.remove_leg(now, call, leg).map(|()| EngineReply::Done),
            Command::AnnounceEnd { call } => self.slot_of(call).map(|slot| {
                self.with_call(slot, |call, outbox| call.announce_end(now, outbox));
                EngineReply::Done
            }),
            Command::Delete { call } => self.delete(now, call),
            Command::Query { call } => {
                self.slot_of(call).map(|slot| EngineReply::Report(Box::new(self.calls[slot].call.report(now))))
            }
            Command::PlayDigit { call, leg, digit, duration, volume } => self.slot_of(call).and_then(|slot| {
                let played = self.calls[slot].call.play_digit(now, leg, digit, duration, volume);
                self.with_call(slot, |call, outbox| call.handle_timeout(now, outbox));
                played.map(|()| EngineReply::Done)
            }),
            Command::SetMachineAddresses(machine) => {
                self.config.addresses.machine = machine;
                self.sockets.iter_mut().flatten().for_each(|owner| owner.accepted = None);
                Ok(EngineReply::Done)
            }
            // The edge has taken them.
            Command::FreePorts { .. } => Ok(EngineReply::Done),
            Command::Totals => Ok(EngineReply::Totals(Box::new(self.totals()))),
        };
        self.outbox.reply((request, result));
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(wanted) = self.timers.next().filter(|wanted| *wanted <= now) {
            self.note_lateness(now, now - wanted);
        }
        // Each call is handled at most once, even if it is due again at once: a deadline that does not move must not block the
        // other calls.
        let mut due = std::mem::take(&mut self.due);
        while let Some((at, slot)) = self.timers.pop_due(now) {
            if let Some(entry) = self.calls.get_mut(slot)
                && self.timers.is_due(now, at, slot, &mut entry.scheduled)
            {
                due.push(slot);
            }
        }
        for slot in due.drain(..) {
            self.with_call(slot, |call, outbox| call.handle_timeout(now, outbox));
        }
        self.due = due;
    }

    /// Sets the complexity of Opus encoders while there is enough CPU, 0 to 10, for calls that are opened from now on.
    pub fn set_opus_complexity(&mut self, complexity: u8) {
        self.opus_complexity = OpusComplexityControl::new(complexity);
    }

    /// The thread did something `late` at `now`: while that lasts, Opus encoders use less CPU. [`Shard::handle_timeout`] measures its
    /// own lateness; this is for other measurements of the edge, such as packets that have waited in a queue.
    pub fn note_lateness(&mut self, now: Instant, late: Duration) {
        let Some(complexity) = self.opus_complexity.observe(now, late) else { return };
        tracing::info!(complexity, "Opus complexity adapted to the available CPU");
        for (_, entry) in &mut self.calls {
            entry.call.set_opus_complexity(complexity);
        }
    }

    /// The next output. [`Output::Timeout`] is the last until the next input.
    pub fn poll_output(&mut self) -> Output<'_> {
        let next = self.timers.next();
        self.outbox.poll().unwrap_or(Output::Timeout(next))
    }

    /// When [`Shard::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Runs `work` on one call, and reschedules the call unless none of its deadlines has become earlier. A panic in `work` ends
    /// only this call.
    fn with_call(&mut self, slot: usize, work: impl FnOnce(&mut Call, &mut Outbox) -> Wake) {
        let Some(entry) = self.calls.get_mut(slot) else { return };
        let outbox = &mut self.outbox;
        let is_set = entry.scheduled.is_set();
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| match work(&mut entry.call, outbox) {
            Wake::AsBefore if is_set => None,
            Wake::AsBefore | Wake::Anew => Some(entry.call.poll_timeout()),
        }));
        match outcome {
            Ok(None) => {}
            Ok(Some(deadline)) => self.timers.schedule(slot, deadline, &mut entry.scheduled),
            Err(_) => {
                let call = entry.call.id();
                tracing::error!(call = call.0, "call ended by a bug");
                self.totals.calls_failed += 1;
                self.outbox.event(Event { call, kind: EventKind::CallFailed });
                self.close(slot);
            }
        }
    }

    fn slot_of(&self, call: CallId) -> Result<usize, CommandError> {
        self.by_id.get(&call).copied().ok_or(CommandError::UnknownCall)
    }

    /// All or nothing: first what can fail, which changes no call; then what cannot.
    fn apply(
        &mut self,
        now: Instant,
        id: CallId,
        plans: Vec<(LegId, LegPlan)>,
    ) -> Result<Vec<(LegId, LegPorts)>, CommandError> {
        let known = self.by_id.get(&id).copied();
        if known.is_none() && self.calls.len() >= limits::CALLS_MAX {
            return Err(CommandError::TooManyCalls);
        }
        if (1..plans.len()).any(|n| plans[..n].iter().any(|(leg, _)| *leg == plans[n].0)) {
            return Err(CommandError::BadPlan("a leg is listed twice"));
        }
        let has = |leg: LegId| known.is_some_and(|slot| self.calls[slot].call.leg(leg).is_some());
        let (changed, new): (Vec<_>, Vec<_>) = plans.into_iter().partition(|(leg, _)| has(*leg));
        let count = known.map_or(0, |slot| self.calls[slot].call.legs().len());
        if count + new.len() > limits::LEGS_PER_CALL_MAX {
            return Err(CommandError::TooManyLegs);
        }
        let prepared = self.prepare(now, known, changed)?;
        let opened = self.open_legs(now, new)?;

        let slot = known.unwrap_or_else(|| {
            let call = Call::new(now, id, self.config.media_timeout);
            let slot = self.calls.insert(CallSlot { call, scheduled: Scheduled::default() });
            self.by_id.insert(id, slot);
            self.timers.reserve(self.calls.len());
            self.due.reserve(self.calls.len());
            self.totals.calls_total += 1;
            slot
        });
        let mut ports: Vec<(LegId, LegPorts)> = Vec::new();
        for leg in opened {
            ports.push((leg.id(), leg.local()));
            self.own(leg.ports(), Some((slot, leg.id())));
            self.calls[slot].call.add_leg(leg);
        }
        self.with_call(slot, |call, outbox| {
            for (leg, plan) in prepared {
                ports.extend(call.change_leg(now, leg, plan).map(|leg| (leg.id(), leg.local())));
            }
            call.handle_timeout(now, outbox)
        });
        if self.by_id.contains_key(&id) { Ok(ports) } else { Err(CommandError::Failed) }
    }

    /// Prepares plans for legs of the call in `slot`, without a change of the call.
    fn prepare(
        &self,
        now: Instant,
        slot: Option<usize>,
        plans: Vec<(LegId, LegPlan)>,
    ) -> Result<Vec<(LegId, PreparedPlan)>, CommandError> {
        let prepare = |(id, plan)| {
            let leg = slot.and_then(|slot| self.calls[slot].call.leg(id)).ok_or(CommandError::UnknownLeg)?;
            leg.prepare(now, plan, &self.config.identity).map(|plan| (id, plan))
        };
        std::panic::catch_unwind(AssertUnwindSafe(|| plans.into_iter().map(prepare).collect()))
            .unwrap_or(Err(CommandError::Failed))
    }

    /// Opens legs that are in no call yet. If one cannot be opened, the ports of all are released.
    fn open_legs(&mut self, now: Instant, plans: Vec<(LegId, LegPlan)>) -> Result<Vec<Leg>, CommandError> {
        let mut opened: Vec<Leg> = Vec::with_capacity(plans.len());
        for (leg, plan) in plans {
            match self.open_leg(now, leg, plan) {
                Ok(leg) => opened.push(leg),
                Err(error) => {
                    opened.iter().for_each(|leg| self.outbox.release(leg.ports()));
                    return Err(error);
                }
            }
        }
        Ok(opened)
    }

    fn open_leg(&mut self, now: Instant, id: LegId, plan: LegPlan) -> Result<Leg, CommandError> {
        let ports = self.stock.take(plan.interface, plan.ipv6).ok_or(CommandError::NoPorts)?;
        let opus_complexity = self.opus_complexity.complexity();
        let context = LegContext {
            epoch: self.config.epoch,
            identity: &self.config.identity,
            rng: &mut self.rng,
            opus_complexity,
            own_ssrcs: self.config.own_ssrcs,
            probe_time: self.config.probe_time,
        };
        std::panic::catch_unwind(AssertUnwindSafe(|| Leg::open(now, id, plan, ports, context)))
            .unwrap_or(Err(CommandError::Failed))
            .inspect_err(|_| self.outbox.release(ports))
    }

    fn remove_leg(&mut self, now: Instant, call: CallId, leg: LegId) -> Result<(), CommandError> {
        let slot = self.slot_of(call)?;
        let leg = self.calls[slot].call.remove_leg(leg).ok_or(CommandError::UnknownLeg)?;
        leg.add_to(&mut self.totals);
        self.own(leg.ports(), None);
        self.outbox.release(leg.ports());
        self.with_call(slot, |call, outbox| call.handle_timeout(now, outbox));
        Ok(())
    }

    fn delete(&mut self, now: Instant, call: CallId) -> Result<EngineReply, CommandError> {
        let slot = self.slot_of(call)?;
        let report = self.calls[slot].call.report(now);
        self.close(slot);
        Ok(EngineReply::Deleted(Box::new(report)))
    }

    fn close(&mut self, slot: usize) {
        let CallSlot { call, .. } = self.calls.remove(slot);
        self.by_id.remove(&call.id());
        for leg in call.legs() {
            leg.add_to(&mut self.totals);
            self.own(leg.ports(), None);
            self.outbox.release(leg.ports());
        }
    }

    fn own(&mut self, ports: PortPair, owner: Option<(usize, LegId)>) {
        let local = ports.rtp_addr.ip();
        for (socket, flow) in [(ports.rtp, Flow::Rtp), (ports.rtcp, Flow::Rtcp)] {
            let index = socket.0 as usize;
            if index >= self.sockets.len() {
                self.sockets.resize(index + 1, None);
            }
            self.sockets[index] = owner.map(|(slot, leg)| SocketOwner { slot, leg, flow, local, accepted: None });
        }
    }

    fn totals(&self) -> Totals {
        let mut totals = self.totals.clone();
        totals.calls = self.calls.len() as u64;
        totals.opus_complexity = self.opus_complexity.complexity();
        (totals.opus_steps_down, totals.opus_steps_up) = self.opus_complexity.steps();
        for (_, entry) in &self.calls {
            totals.legs += entry.call.legs().len() as u64;
            entry.call.legs().iter().for_each(|leg| leg.add_to(&mut totals));
        }
        totals.discards.add_n(Discard::Unroutable, self.unroutable);
        totals
    }
}

#[cfg(test)]
mod tests;
