//! The invariants of the design, checked on everything that goes into and out of a [`crate::SimulatedTrestle`].
//!
//! | check | invariant |
//! |---|---|
//! | [`numbering::SentNumbers`] | no (SSRC, index) is sent twice; one SSRC a leg; gaps only where the input had them |
//! | [`clock::SentTimes`] | RTP timestamps do not go back, nor ahead of wall time |
//! | [`addresses::Addresses`] | datagrams go only to signalled, latched or ICE-checked addresses |
//! | [`secrecy::Secrecy`] | no plaintext on a leg with SDES keys, no SRTP or SRTCP index twice under one key (also with keys of DTLS), no key of two legs |
//! | [`gate::check`] | no RTP and no RTCP while the gate is shut |
//! | [`audit::Audit`] | packet counters, queue limits, and nothing left after `delete` |
//! | [`progress::Progress`] | no deadline stays in the past |
//!
//! Each of them is a pure function of a trace; its tests show that it refuses one that violates the invariant.

pub(crate) mod addresses;
pub(crate) mod audit;
pub(crate) mod clock;
pub(crate) mod gate;
pub(crate) mod numbering;
pub(crate) mod progress;
pub(crate) mod secrecy;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use trestle_core::limits::DATAGRAM_BYTES_MAX;
use trestle_core::plan::{AudioMuting, Filler, Gate, LegPlan, ReceivePlan, Source, Transport};
use trestle_core::report::CallReport;
use trestle_core::{CallId, Command, CommandError, EngineReply, LegId, LegPorts};
use trestle_srtp::OVERHEAD_MAX;
use trestle_wire::demux::DatagramKind;
use trestle_wire::rtp;

use addresses::Addresses;
use audit::Audit;
use clock::SentTimes;
use numbering::{ReceivedNumbers, SentNumbers};
use progress::Progress;
use secrecy::{KeyOwners, Secrecy};

use crate::trestle::Sent;

/// Longer datagrams may not be forwarded: the peer's encryption may add more than was taken off.
const FORWARDED_BYTES_MAX: usize = DATAGRAM_BYTES_MAX - OVERHEAD_MAX;

/// More packets than this in a second may exceed the budget of a leg, so that not all of them are forwarded.
const BUDGET_PACKETS: u32 = 100;

/// The outcome of a check: what is violated, in words.
pub(crate) type Checked = Result<(), String>;

/// What is known of one leg from its commands and its datagrams.
#[derive(Debug)]
struct CheckedLeg {
    plan: LegPlan,
    addresses: Addresses,
    secrecy: Secrecy,
    received: ReceivedNumbers,
    sent: SentNumbers,
    /// Where RTP was sent last.
    sent_to: Option<SocketAddr>,
    /// Where the first RTP has come from since an address was signalled.
    received_from: Option<SocketAddr>,
    /// Of audio (towards WhatsApp, of everything), and of events.
    times: [SentTimes; 2],
    audit: Audit,
    /// The present second of received RTP, and the packets in it.
    pace: (Instant, u32),
}

impl CheckedLeg {
    /// Notes an RTP packet. True if there are so many that it may be discarded as surplus.
    fn is_surplus(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.pace.0) >= Duration::from_secs(1) {
            self.pace = (now, 0);
        }
        self.pace.1 += 1;
        self.pace.1 > BUDGET_PACKETS
    }
}

/// The legs of every call, and the checks on each.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    legs: BTreeMap<(CallId, LegId), CheckedLeg>,
    by_port: BTreeMap<SocketAddr, (CallId, LegId)>,
    key_owners: KeyOwners,
    /// The command whose reply is not there yet.
    pending: Option<Command>,
    progress: Progress,
}

impl Checks {
    /// The engine gets a command.
    pub(crate) fn command(&mut self, command: &Command) {
        self.pending = Some(command.clone());
    }

    /// The engine has replied to the last command. True if a leg or a call is gone.
    pub(crate) fn reply(&mut self, now: Instant, reply: &Result<EngineReply, CommandError>) -> Result<bool, String> {
        match (self.pending.take(), reply) {
            (Some(Command::Apply { call, legs }), Ok(EngineReply::Applied(ports))) => {
                for (leg, plan) in legs {
                    let ports = ports.iter().find(|(other, _)| *other == leg).ok_or("a leg without ports")?.1;
                    self.key_owners.check((call, leg), &plan.transport)?;
                    self.apply(now, (call, leg), plan, ports);
                }
                Ok(false)
            }
            (Some(Command::RemoveLeg { call, leg }), Ok(_)) => {
                self.remove(|id| *id == (call, leg));
                Ok(true)
            }
            (Some(Command::Delete { call }), Ok(EngineReply::Deleted(report))) => {
                self.report(call, report)?;
                self.remove(|id| id.0 == call);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn apply(&mut self, now: Instant, id: (CallId, LegId), plan: LegPlan, ports: LegPorts) {
        self.by_port.extend([ports.rtp, ports.rtcp].map(|port| (port, id)));
        match self.legs.get_mut(&id) {
            Some(leg) => {
                leg.addresses.signal(&plan.transport);
                if leg.plan.transport != plan.transport {
                    (leg.received_from, leg.sent_to) = (None, None);
                }
                leg.addresses.propose(plan.receive.proposed.as_ref());
                leg.secrecy.allow(&plan.transport);
                leg.audit.allow_preroll(plan.send.policy.preroll_max);
                let clock = |plan: &LegPlan| plan.send.format.as_ref().map(|format| format.codec.clock());
                if clock(&leg.plan) != clock(&plan) {
                    // Ticks up to here count in the old clock (RFC 7160), also those of which no packet was sent.
                    leg.times = Default::default();
                }
                leg.plan = plan;
            }
            None => {
                let mut leg = CheckedLeg {
                    addresses: Addresses::new(&plan.transport),
                    secrecy: Secrecy::default(),
                    received: ReceivedNumbers::default(),
                    sent: SentNumbers::default(),
                    sent_to: None,
                    received_from: None,
                    times: Default::default(),
                    audit: Audit::default(),
                    pace: (now, 0),
                    plan,
                };
                leg.secrecy.allow(&leg.plan.transport);
                leg.audit.allow_preroll(leg.plan.send.policy.preroll_max);
                self.legs.insert(id, leg);
            }
        }
    }

    fn remove(&mut self, is_gone: impl Fn(&(CallId, LegId)) -> bool) {
        self.legs.retain(|id, _| !is_gone(id));
        self.by_port.retain(|_, id| !is_gone(id));
    }

    /// A datagram arrives at a bound port.
    pub(crate) fn received(&mut self, now: Instant, at: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        let Some(id) = self.by_port.get(&at).copied() else { return };
        let is_withheld = bytes.len() > FORWARDED_BYTES_MAX || self.withholds(id);
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let is_authentic = leg.addresses.receive(from, bytes);
        if DatagramKind::of(bytes) == Some(DatagramKind::Rtp) && leg.addresses.is_learnable(from) {
            leg.received_from.get_or_insert(from);
        }
        // Without SDES keys, a leg does not take packets from another address than it has learnt and sends to.
        let is_foreign = !matches!(leg.plan.transport, Transport::Sdes { .. })
            && leg.sent_to.or(leg.received_from).is_some_and(|learnt| learnt != from);
        match DatagramKind::of(bytes) {
            Some(DatagramKind::Rtp) => {
                leg.audit.rtp_received += 1;
                let is_surplus = leg.is_surplus(now);
                // What comes from elsewhere has no part in the numbers of the peer, unless the peer has moved.
                if is_foreign {
                    leg.received.withhold();
                } else if is_authentic && let Ok(header) = rtp::read_header(bytes) {
                    leg.received.note(header);
                    let ReceivePlan { formats, events, .. } = &leg.plan.receive;
                    let mut agreed = formats.iter().map(|format| format.pt).chain(events.iter().map(|event| event.0));
                    if is_withheld || is_surplus || !agreed.any(|pt| pt == header.pt) {
                        leg.received.withhold();
                    }
                }
            }
            Some(DatagramKind::Rtcp) => leg.audit.rtcp_received += 1,
            _ => {}
        }
    }

    /// True if audio from the peer of `id` is at present not forwarded, or not to each other leg.
    fn withholds(&self, id: (CallId, LegId)) -> bool {
        let call = (id.0, LegId(0))..=(id.0, LegId(u16::MAX));
        let is_forwarded = |target: &LegPlan| {
            target.send.source == Source::Leg(id.1)
                && target.send.enabled
                && target.send.muting.audio == AudioMuting::Off
                && target.send.policy.gate == Gate::Open
        };
        !self.legs[&id].plan.receive.enabled
            || self.legs.range(call).any(|(other, target)| *other != id && !is_forwarded(&target.plan))
    }

    /// Trestle has sent a datagram.
    pub(crate) fn sent(&mut self, now: Instant, sent: &Sent) -> Checked {
        let id = *self.by_port.get(&sent.from).ok_or_else(|| format!("sent from {}, which no leg has", sent.from))?;
        let skips_allowed = self.skips_allowed(id);
        let leg = self.legs.get_mut(&id).ok_or("a port without its leg")?;
        let kind = DatagramKind::of(&sent.bytes);
        audit::check_size(sent.bytes.len())?;
        leg.addresses.check(kind, sent.to)?;
        gate::check(leg.plan.send.policy.gate, kind)?;
        leg.secrecy.check(&leg.plan.transport, kind, &sent.bytes)?;
        match kind {
            Some(DatagramKind::Rtp) => {
                leg.audit.rtp_sent += 1;
                leg.sent_to = Some(sent.to);
                let header = rtp::read_header(&sent.bytes).map_err(|_| "sent as RTP, but malformed")?;
                let clock = leg.plan.send.format.as_ref().ok_or("RTP to a peer without a format")?.codec.clock();
                let is_newest = leg.sent.check(header, skips_allowed)?;
                if !is_newest {
                    return Ok(());
                }
                // Towards a phone, an event of a source that lags behind wall time may begin after the audio that follows it.
                let is_event = leg.plan.send.policy.filler == Filler::Nothing
                    && leg.plan.send.format.as_ref().and_then(|send| send.event).is_some_and(|(pt, _)| pt == header.pt);
                leg.times[usize::from(is_event)].check(now, header.time, clock)
            }
            Some(DatagramKind::Rtcp) => {
                leg.audit.rtcp_sent += 1;
                Ok(())
            }
            Some(DatagramKind::Stun | DatagramKind::Dtls) => Ok(()),
            None => Err(format!("sent what is neither STUN nor DTLS nor RTP nor RTCP: {:x?}", sent.bytes.first())),
        }
    }

    /// How many sequence numbers towards the peer of `id` may have been skipped so far: as many as are missing in what came
    /// from the call's other legs. Towards WhatsApp, a transcoded stream has no gaps at all.
    fn skips_allowed(&self, id: (CallId, LegId)) -> u64 {
        let leg = &self.legs[&id];
        let source = match leg.plan.send.source {
            Source::Leg(source) => self.legs.get(&(id.0, source)),
            Source::Nothing => None,
        };
        let formats = leg.plan.send.format.as_ref().zip(source);
        let transcodes = formats.is_some_and(|(send, source)| {
            source.plan.receive.formats.iter().all(|receive| receive.codec != send.codec)
        });
        if transcodes && leg.plan.send.policy.filler != Filler::Nothing && !leg.sent.has_skipped() {
            return 0;
        }
        self.legs.range((id.0, LegId(0))..=(id.0, LegId(u16::MAX))).map(|(_, leg)| leg.received.missing()).sum()
    }

    /// The engine reports on a call.
    pub(crate) fn report(&self, call: CallId, report: &CallReport) -> Checked {
        for line in &report.legs {
            let leg = self.legs.get(&(call, line.leg)).ok_or_else(|| format!("a report on unknown {:?}", line.leg))?;
            leg.audit.check(line)?;
        }
        audit::check_legs(report.legs.len())
    }

    /// The call that has the leg with this port.
    pub(crate) fn owner(&self, port: SocketAddr) -> Option<CallId> {
        self.by_port.get(&port).map(|(call, _)| *call)
    }

    /// The transport of the leg with this port.
    pub(crate) fn transport(&self, port: SocketAddr) -> Option<Transport> {
        Some(self.legs[self.by_port.get(&port)?].plan.transport.clone())
    }

    /// The ports of all legs.
    pub(crate) fn ports(&self) -> Vec<SocketAddr> {
        self.by_port.keys().copied().collect()
    }

    /// Calls that have legs.
    pub(crate) fn calls(&self) -> Vec<CallId> {
        let mut calls: Vec<CallId> = self.legs.keys().map(|(call, _)| *call).collect();
        calls.dedup();
        calls
    }

    /// What the engine holds, and what it should hold: calls, legs, and port pairs of legs.
    pub(crate) fn check_held(&self, held: [usize; 3]) -> Checked {
        audit::check_held(held, [self.calls().len(), self.legs.len(), self.legs.len()])
    }

    /// Everything due at `now` was done; `deadline` is the next one.
    pub(crate) fn stepped(&mut self, now: Instant, deadline: Option<Instant>) -> Checked {
        self.progress.check(now, deadline)
    }
}
