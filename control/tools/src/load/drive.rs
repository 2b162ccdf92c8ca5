//! One run: calls come up one after the other, talk, are measured, and are deleted. One thread turns it all.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use trestle_io::{clock, entropy, files};

use super::call_end::{EndAddress, Setting};
use super::calls::LoadCalls;
use super::counts::Counts;
use super::options::LoadArgs;
use super::pace::{FRAME_NS, Ns, Pacer};
use super::sockets::{self, BatchedSockets};
use super::speech::SpeechLoop;
use super::target::{Memory, Target, buffer_drops};
use super::whatsapp::{LoadCertificate, Now};
use super::workload::{LoadCodec, SideSecurity};

/// A second.
pub const SECOND: Ns = 1_000_000_000;
/// Between two turns: what is due within is sent together, as a network card would hand it over.
const TURN: Ns = 500_000;
/// Between two looks at repeats and handshakes.
const LOOK: Ns = 2_000_000;
/// Calls that may be on their way up at once.
const ON_THE_WAY: usize = 32;
/// What has not come out by then is lost.
const STRAGGLERS: Ns = SECOND / 2;
/// Set-up is given up after so long without a call more.
const PATIENCE: Ns = 15 * SECOND;
/// Deletes are given up after.
const DELETE_MAX: Ns = 10 * SECOND;
/// Interval between two calls of the watcher.
const WATCH_INTERVAL: Ns = SECOND / 5;

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Calls are set up.
    SetUp,
    /// All talk, nothing is counted.
    WarmUp,
    /// It counts.
    Measure,
    /// Calls are deleted.
    Delete,
}

/// How a run goes.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Where it is.
    pub phase: Phase,
    /// Calls that talk.
    pub up: usize,
    /// How much of the phase is over, 0 to 1.
    pub share: f64,
}

/// What a run gave.
#[derive(Debug)]
pub struct RunOutcome {
    /// Packets, delays, replies.
    pub counts: Counts,
    /// Calls that talked.
    pub calls: usize,
    /// How long was measured.
    pub seconds: f64,
    /// Who was loaded, and the threads it had.
    pub target: Option<(Target, usize)>,
    /// Processor time that it used meanwhile.
    pub target_cpu_s: Option<f64>,
    /// Its memory before the first call, with all calls, and after the last.
    pub memory: Option<[Memory; 3]>,
    /// Processor time of the load itself.
    pub own_cpu_s: f64,
    /// Datagrams thrown away at full buffers, on the whole machine.
    pub buffer_drops: Option<u64>,
    /// Datagrams that the kernel did not take from the load.
    pub unsent: u64,
    /// Commands sent again.
    pub repeats: u64,
    /// Ended by a signal.
    pub interrupted: bool,
}

/// The sockets, and what the calls on them have in common.
#[derive(Debug)]
pub struct LoadRun {
    /// The engine, if it runs here.
    pub target: Option<Target>,
    wire: BatchedSockets,
    common: Setting,
    places: Vec<EndAddress>,
}

impl LoadRun {
    /// Sockets for `calls` calls at once.
    ///
    /// # Errors
    /// An error of the system, or options that contradict each other.
    pub fn open(args: &LoadArgs, calls: usize) -> anyhow::Result<Self> {
        files::raise_limit();
        let target = match args.engine.pid {
            Some(pid) => Some(Target { pid }),
            None => Target::listening(args.engine.ng.into()),
        };
        let mut wire = BatchedSockets::new()?;
        let [whatsapp_ip, phone_ip] = args.addresses()?;
        let own_ip = if args.engine.ng.ip().is_loopback() { *args.engine.ng.ip() } else { phone_ip };
        let (ng, _) = wire.open(own_ip)?;
        let (_, rtcp) = wire.open(phone_ip)?;
        let mut places = Vec::with_capacity(2 * calls);
        let mut shared: [Option<(EndAddress, u32)>; 2] = [None; 2];
        for number in 0..2 * calls {
            let side = number % 2;
            if args.work.sides()[side].security == SideSecurity::Dtls {
                let (socket, address) = wire.open(whatsapp_ip)?;
                places.push(EndAddress { socket, address });
                continue;
            }
            let (place, used) = match shared[side] {
                Some((place, used)) if used < args.phones_per_port => (place, used),
                _ => {
                    let (socket, address) = wire.open(phone_ip)?;
                    (EndAddress { socket, address }, 0)
                }
            };
            shared[side] = Some((place, used + 1));
            places.push(place);
        }
        let speech = |codec| SpeechLoop::encode(codec, args.silence).map(Arc::new);
        let common = Setting {
            work: args.work,
            manner: args.manner()?,
            ng: (ng, args.engine.ng),
            rtcp_port: rtcp.port(),
            places: Vec::new(),
            speech: [speech(LoadCodec::Opus)?, speech(LoadCodec::Pcma)?],
            identity: LoadCertificate::generate()?,
            seed: 0,
            hold_ns: None,
        };
        Ok(Self { target, wire, common, places })
    }

    /// `calls` new calls. With more of them than there are places for, the first must have ended when the next needs theirs.
    ///
    /// # Errors
    /// No entropy.
    pub fn run(&mut self, calls: usize, hold_ns: Option<Ns>) -> anyhow::Result<Run<'_>> {
        let seed = entropy::seed().context("no entropy")?;
        let setting = Setting {
            places: self.places.iter().copied().cycle().take(2 * calls).collect(),
            seed: u64::from_be_bytes(seed.first_chunk().copied().unwrap_or_default()) >> 16,
            hold_ns,
            ..self.common.clone()
        };
        let start = sockets::now();
        let pacer = Pacer::new(2 * calls, start);
        Ok(Run {
            wire: &mut self.wire,
            calls: LoadCalls::new(setting),
            pacer,
            start,
            looked_at: start,
            interrupted: false,
        })
    }
}

/// Calls that are driven.
#[derive(Debug)]
pub struct Run<'a> {
    /// Their sockets.
    pub wire: &'a mut BatchedSockets,
    /// The calls.
    pub calls: LoadCalls,
    /// Ended by a signal.
    pub interrupted: bool,
    pacer: Pacer,
    start: Ns,
    looked_at: Ns,
}

/// Has `calls` calls talk, and measures. `watch` is called a few times a second.
///
/// # Errors
/// No call comes up, or the system refuses something.
pub fn talk(
    args: &LoadArgs,
    stage: &mut LoadRun,
    calls: usize,
    mut watch: impl FnMut(Progress),
) -> anyhow::Result<RunOutcome> {
    let target = stage.target;
    let unsent = stage.wire.unsent;
    let before = target.and_then(Target::memory);
    let mut run = stage.run(calls, None)?;
    run.set_up(args, &mut watch)?;
    let up = run.calls.calls.up();
    let warm_up = Ns::from(args.warm_up) * SECOND;
    run.talk(warm_up, |share| watch(Progress { phase: Phase::WarmUp, up, share }))?;

    // Whole frames, from the next one on.
    let length = Ns::from(args.seconds) * SECOND;
    let first = (sockets::now() - run.start) / FRAME_NS + 1;
    run.talk_until(run.start + first * FRAME_NS, |_| {})?;
    run.calls.measure(first..first + length / FRAME_NS);
    let (cpu, own, drops) = (target.and_then(Target::cpu_s), sockets::own_cpu_s(), buffer_drops());
    let since = sockets::now();
    run.talk(length, |share| watch(Progress { phase: Phase::Measure, up, share }))?;
    let seconds = (sockets::now() - since) as f64 / SECOND as f64;
    let target_cpu_s = target.and_then(Target::cpu_s).zip(cpu).map(|(after, before)| after - before);
    let own_cpu_s = sockets::own_cpu_s() - own;
    let threads = target.map_or(0, Target::threads);
    let with_calls = target.and_then(Target::memory);
    run.talk(STRAGGLERS, |_| {})?;
    run.calls.finish();
    let buffer_drops = buffer_drops().zip(drops).map(|(after, before)| after - before);
    watch(Progress { phase: Phase::Delete, up, share: 0.0 });
    run.delete_all()?;
    let after = target.and_then(Target::memory);
    Ok(RunOutcome {
        calls: up,
        seconds,
        target: target.map(|target| (target, threads)),
        target_cpu_s,
        memory: before.zip(with_calls).zip(after).map(|((before, with), after)| [before, with, after]),
        own_cpu_s,
        buffer_drops,
        unsent: run.wire.unsent - unsent,
        repeats: run.calls.repeats(),
        interrupted: run.interrupted,
        counts: run.calls.counts,
    })
}

impl Run<'_> {
    /// Sends what is due, takes what came, and sleeps until the next turn; the time then.
    ///
    /// # Errors
    /// The poller fails.
    pub fn turn(&mut self) -> anyhow::Result<Ns> {
        let now = Now { ns: sockets::now(), instant: clock::now() };
        while let Some(due) = self.pacer.next_due(now.ns) {
            self.calls.speak(now.ns, due);
        }
        self.send();
        let Self { wire, calls, .. } = self;
        wire.receive(|datagram| {
            calls.handle_datagram(now, datagram.at, datagram.socket, datagram.from, datagram.bytes)
        })?;
        if now.ns >= self.looked_at + LOOK {
            self.looked_at = now.ns;
            self.calls.handle_timeout(now);
            self.interrupted |= self.wire.is_interrupted();
        }
        self.send();
        let left = TURN - sockets::now() % TURN;
        sockets::sleep(left);
        Ok(sockets::now())
    }

    fn send(&mut self) {
        let mut out = std::mem::take(&mut self.calls.out);
        self.wire.send(&mut out, |stamp, at| self.calls.note_sent(stamp, at));
        self.calls.out = out;
    }

    fn set_up(&mut self, args: &LoadArgs, watch: &mut impl FnMut(Progress)) -> anyhow::Result<()> {
        let count = self.calls.calls.len();
        let every = SECOND / Ns::from(args.ramp);
        let (mut started, mut watched_at, mut done) = (0, 0, 0);
        let mut at = sockets::now();
        let mut moved = at;
        loop {
            let now = self.turn()?;
            while started < count && at <= now && self.calls.calls.setting_up() < ON_THE_WAY {
                self.calls.start(now, started, now);
                started += 1;
                at += every;
            }
            let ended = self.calls.calls.up() + self.calls.calls.failed();
            if ended > done {
                (done, moved) = (ended, now);
            }
            if now >= watched_at + WATCH_INTERVAL {
                watched_at = now;
                watch(Progress { phase: Phase::SetUp, up: self.calls.calls.up(), share: done as f64 / count as f64 });
            }
            if done == count || self.interrupted || now > moved + PATIENCE {
                break;
            }
        }
        if self.calls.calls.up() == 0 {
            let reasons = self.calls.counts.failed.clone();
            self.delete_all()?;
            bail!("no call came up: {reasons:?}");
        }
        Ok(())
    }

    fn talk(&mut self, length: Ns, watch: impl FnMut(f64)) -> anyhow::Result<()> {
        self.talk_until(sockets::now() + length, watch)
    }

    fn talk_until(&mut self, end: Ns, mut watch: impl FnMut(f64)) -> anyhow::Result<()> {
        let start = sockets::now();
        let mut watched_at = start;
        let mut now = start;
        while now < end && !self.interrupted {
            now = self.turn()?;
            if now >= watched_at + WATCH_INTERVAL {
                watched_at = now;
                watch((now - start) as f64 / (end - start).max(1) as f64);
            }
        }
        Ok(())
    }

    /// Ends every call that was begun, whatever became of it.
    ///
    /// # Errors
    /// The poller fails.
    pub fn delete_all(&mut self) -> anyhow::Result<()> {
        let end = sockets::now() + DELETE_MAX;
        let mut next = 0;
        loop {
            let now = self.turn()?;
            while next < self.calls.calls.len() && self.calls.waiting() < ON_THE_WAY {
                self.calls.delete(now, next);
                next += 1;
            }
            if now >= end || (next == self.calls.calls.len() && self.calls.waiting() == 0) {
                return Ok(());
            }
        }
    }
}
