//! An engine that hands out ports and records plans, for tests of the controller alone.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use trestle_core::plan::LegPlan;
use trestle_core::report::{CallReport, Count, LegReport, Preroll, Totals};
use trestle_core::{CallId, Command, CommandError, EngineReply, LegId, LegPorts, RequestId};
use trestle_wire::Ssrc;
use trestle_wire::telephone_event::Digit;

/// Gives each new leg the next pair of ports.
#[derive(Debug)]
pub struct FakeEngine {
    /// Ports of each call's legs.
    pub calls: BTreeMap<CallId, BTreeMap<LegId, LegPorts>>,
    /// The shard of each call that a command was for.
    pub shards: BTreeMap<CallId, usize>,
    next_port: u16,
    /// What every `Apply` is refused with.
    pub refuse: Option<CommandError>,
    /// [`Command::FreePorts`] ends a lack of ports: what `refuse` is then.
    pub frees_ports: bool,
    /// Commands stay in the mailbox.
    pub asleep: bool,
    /// The mailbox is full.
    pub full: bool,
    /// The mailbox of this shard alone is full.
    pub full_shard: Option<usize>,
    /// Commands that wait.
    pub mailbox: Vec<(RequestId, Command)>,
    /// Time since the last packet, in reports.
    pub last_media: Option<Duration>,
    /// How many `Apply` commands succeeded.
    pub applied: usize,
    /// Each leg's latest plan, over all calls.
    pub plans: BTreeMap<LegId, LegPlan>,
    /// Each leg's latest plan by call.
    pub applied_plans: BTreeMap<(CallId, LegId), LegPlan>,
    /// Calls whose end was announced to their peers.
    pub announced: Vec<CallId>,
    /// Digits played.
    pub played: Vec<(LegId, Digit, Duration, u8)>,
}

impl Default for FakeEngine {
    fn default() -> Self {
        Self {
            calls: BTreeMap::new(),
            shards: BTreeMap::new(),
            next_port: 0,
            refuse: None,
            frees_ports: false,
            asleep: false,
            full: false,
            full_shard: None,
            mailbox: Vec::new(),
            last_media: Some(Duration::ZERO),
            applied: 0,
            plans: BTreeMap::new(),
            applied_plans: BTreeMap::new(),
            announced: Vec::new(),
            played: Vec::new(),
        }
    }
}

impl FakeEngine {
    /// Puts a command for `shard` into the mailbox.
    pub(crate) fn post(&mut self, shard: usize, id: RequestId, command: Command) {
        if let Command::Apply { call, .. } = &command {
            self.shards.insert(*call, shard);
        }
        self.mailbox.push((id, command));
    }

    /// Carries out the command that has waited longest, unless the engine is asleep.
    pub(crate) fn run_next(&mut self) -> Option<(RequestId, Result<EngineReply, CommandError>)> {
        if self.asleep || self.mailbox.is_empty() {
            return None;
        }
        let (id, command) = self.mailbox.remove(0);
        Some((id, self.run(command)))
    }

    /// Carries out one command.
    pub fn run(&mut self, command: Command) -> Result<EngineReply, CommandError> {
        match command {
            Command::Apply { call, legs } => {
                if let Some(error) = self.refuse {
                    return Err(error);
                }
                self.applied += 1;
                let known = self.calls.entry(call).or_default();
                let next_port = &mut self.next_port;
                let ports = legs.into_iter().map(|(leg, plan)| {
                    self.applied_plans.insert((call, leg), plan.clone());
                    self.plans.insert(leg, plan);
                    let ports = *known.entry(leg).or_insert_with(|| {
                        *next_port += 2;
                        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
                        LegPorts { rtp: at(20_000 + *next_port), rtcp: at(20_001 + *next_port) }
                    });
                    (leg, ports)
                });
                Ok(EngineReply::Applied(ports.collect()))
            }
            Command::RemoveLeg { call, leg } => {
                let legs = self.calls.get_mut(&call).ok_or(CommandError::UnknownCall)?;
                legs.remove(&leg).ok_or(CommandError::UnknownLeg).map(|_| EngineReply::Done)
            }
            Command::AnnounceEnd { call } => {
                self.announced.push(call);
                Ok(EngineReply::Done)
            }
            Command::Delete { call } => {
                let report = self.report(call)?;
                self.calls.remove(&call);
                Ok(EngineReply::Deleted(report))
            }
            Command::Query { call } => self.report(call).map(EngineReply::Report),
            Command::PlayDigit { leg, digit, duration, volume, .. } => {
                self.played.push((leg, digit, duration, volume));
                Ok(EngineReply::Done)
            }
            Command::FreePorts { .. } => {
                self.refuse = self.refuse.filter(|error| !(self.frees_ports && *error == CommandError::NoPorts));
                Ok(EngineReply::Done)
            }
            Command::SetMachineAddresses(_) => Ok(EngineReply::Done),
            Command::Totals => {
                let calls = self.calls.len() as u64;
                Ok(EngineReply::Totals(Box::new(Totals { calls, digits: 3, ..Totals::default() })))
            }
        }
    }

    fn report(&self, call: CallId) -> Result<Box<CallReport>, CommandError> {
        let legs = self.calls.get(&call).ok_or(CommandError::UnknownCall)?;
        let legs = legs.iter().map(|(leg, ports)| LegReport {
            leg: *leg,
            description: "plain PCMA".to_owned(),
            local: ports.rtp,
            remote: Some(SocketAddr::from(([192, 0, 2, 1], 4_000))),
            remote_ssrc: Some(Ssrc(u32::MAX)),
            local_ssrc: Ssrc(7),
            timeline: Vec::new(),
            rtp_in: Count { packets: 500, bytes: 86_000 },
            rtp_out: Count { packets: 490, bytes: 84_280 },
            rtcp_in: Count { packets: 2, bytes: 100 },
            rtcp_out: Count::default(),
            discards: Vec::new(),
            lost: 0,
            jitter: Duration::ZERO,
            round_trip: None,
            remote_fraction_lost: None,
            concealed_frames: 0,
            preroll: Preroll::default(),
            filled_frames: 0,
            playout_delay: Duration::ZERO,
            digits_in: String::new(),
            digits_out: String::new(),
        });
        Ok(Box::new(CallReport { age: Duration::ZERO, last_media: self.last_media, legs: legs.collect() }))
    }

    /// Legs, each with its ports.
    pub fn ports_in_use(&self) -> usize {
        self.calls.values().map(BTreeMap::len).sum()
    }
}
