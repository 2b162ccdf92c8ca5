//! Calls in virtual time, with an SDES phone as the media engine on the other side.

mod exchange;

use std::time::{Duration, Instant};

use trestle_peers::{
    Codec, Flavour, GaveUp, MetaOptions, NetworkOptions, Patience, Phone, PhoneOptions, Transmit, Voice,
};
use trestle_srtp::Profile;

use super::call::{CallEnding, SimulatedCall, UserScript};
use super::graph::SignalDirection;
use super::verdict::SimVerdict;

const RELAY: &str = "192.0.2.1:3480";
const ENGINE: &str = "192.0.2.2:30000";

fn script(direction: SignalDirection) -> UserScript {
    let voice = Voice::Tone { hz: 440.0, peak: 8_000 };
    UserScript {
        direction,
        meta: MetaOptions { voice, ..MetaOptions::new(RELAY.parse().unwrap(), Flavour::Sdes) },
        network: NetworkOptions { delay: Duration::from_millis(20), ..NetworkOptions::default() },
        length: Duration::from_secs(5),
        ring: Duration::from_secs(1),
        digits: String::new(),
        first_packet: Duration::ZERO,
        patience: Patience::METAS,
    }
}

/// A call, an engine, and the time.
struct World {
    now: Instant,
    call: SimulatedCall,
    engine: Phone,
    log: Vec<String>,
}

impl World {
    fn new(script: UserScript) -> Self {
        #[allow(clippy::disallowed_methods, reason = "a test has to begin some time")]
        let now = Instant::now();
        let engine = PhoneOptions {
            suites: vec![Profile::AesCm128HmacSha1_80],
            codecs: vec![Codec::Opus],
            opus_pt: 111,
            event_pt: Some(126),
            rtcp_mux: true,
            voice: Voice::Tone { hz: 600.0, peak: 8_000 },
            ..PhoneOptions::new(ENGINE.parse().unwrap())
        };
        Self { now, call: SimulatedCall::new(now, script), engine: Phone::new(now, engine), log: Vec::new() }
    }

    /// The user calls, and the engine has answered; it is silent.
    fn answered(script: UserScript) -> Self {
        let mut world = Self::new(script);
        let offer = world.call.offer(world.now).unwrap();
        world.engine.set_silent(true);
        let answer = world.engine.answer(world.now, &offer).unwrap();
        world.call.take_answer(world.now, &answer).unwrap();
        world
    }

    fn run(&mut self, seconds: f64) {
        let until = self.now + Duration::from_secs_f64(seconds);
        loop {
            while let Some(Transmit { local, remote, bytes }) = self.call.poll_transmit(self.now) {
                self.engine.handle_datagram(self.now, remote, local, &bytes);
            }
            while let Some(Transmit { local, remote, bytes }) = self.engine.poll_transmit() {
                self.call.handle_datagram(self.now, remote, local, &bytes);
            }
            while let Some(moment) = self.call.poll_moment() {
                self.log.push(moment.what);
            }
            let due = [self.call.poll_timeout(), self.engine.poll_timeout()].into_iter().flatten().min();
            let Some(next) = due.filter(|due| *due <= until).map(|due| due.max(self.now)) else {
                self.now = until;
                return;
            };
            self.now = next;
            self.call.handle_timeout(next);
            self.engine.handle_timeout(next);
        }
    }

    fn talk(&mut self) {
        self.call.accept(self.now);
        self.engine.set_silent(false);
    }

    fn judged(&self) -> SimVerdict {
        SimVerdict::of(&self.call)
    }
}

#[test]
fn a_call_that_is_bridged_well_is_judged_well() {
    let mut world = World::answered(UserScript { digits: "15#".into(), ..script(SignalDirection::UserInitiated) });
    // Its first receiver report comes after a second, and would be too early.
    world.run(0.9);
    assert_eq!(world.engine.report().packets, 0, "before the acceptance the user is inaudible");
    world.talk();
    world.run(3.0);
    world.engine.press('7', Duration::from_millis(200));
    world.run(4.0);
    assert_eq!(world.call.ended(), Some(CallEnding::UserHungUp));
    let judged = world.judged();
    assert!(judged.good && judged.faults.is_empty(), "{judged:?}");
    assert!(judged.account.iter().any(|line| line == "received the digits 7"), "{judged:?}");
    let engine = world.engine.report();
    assert_eq!(engine.digits_received(), "15#");
    let digit = &engine.digits;
    assert!(digit.iter().all(|digit| (digit.duration_ms - 500.0).abs() < 1.0));
    let gap = digit[1].at - digit[0].at;
    assert!((595..=625).contains(&gap.as_millis()), "500 ms and a pause of 100 ms, not {gap:?}");
    assert!(world.log.iter().any(|line| line.contains("receives digit 7")), "{:?}", world.log);
}

#[test]
fn without_media_the_app_hangs_up_after_20_s() {
    let mut world =
        World::answered(UserScript { length: Duration::from_secs(90), ..script(SignalDirection::UserInitiated) });
    world.run(0.9);
    world.call.accept(world.now);
    world.run(19.5);
    assert_eq!(world.call.ended(), None);
    world.run(1.0);
    assert_eq!(world.call.ended(), Some(CallEnding::GaveUp(GaveUp::NoMedia)));
    let judged = world.judged();
    assert!(!judged.good && judged.faults[0].contains("138021") && judged.faults[0].contains("20 s"), "{judged:?}");
}

#[test]
fn a_call_that_falls_silent_ends_after_30_s_and_one_with_rtcp_alone_does_not() {
    let mut world =
        World::answered(UserScript { length: Duration::from_secs(300), ..script(SignalDirection::UserInitiated) });
    world.talk();
    world.run(10.0);
    // RTP stops, reports go on every 5 s.
    world.engine.set_silent(true);
    world.run(60.0);
    assert_eq!(world.call.ended(), None, "RTCP is a sign of life");
    // Now the line is dead: what the engine sends is thrown away.
    let since = world.now;
    while world.call.ended().is_none() {
        let due = world.call.poll_timeout().expect("it waits");
        assert!(due < since + Duration::from_secs(60), "it waits too long");
        world.now = due;
        world.call.handle_timeout(due);
        while world.call.poll_transmit(due).is_some() {}
    }
    assert_eq!(world.call.ended(), Some(CallEnding::GaveUp(GaveUp::MediaStopped)));
    let waited = (world.now - since).as_secs();
    assert!((25..=30).contains(&waited), "{waited} s");
}

#[test]
fn media_before_the_acceptance_is_a_fault() {
    let mut world = World::answered(script(SignalDirection::UserInitiated));
    world.engine.set_silent(false);
    world.run(1.0);
    world.talk();
    world.run(7.0);
    let judged = world.judged();
    assert!(!judged.good && judged.faults[0].contains("came before the call was accepted"), "{judged:?}");
}

#[test]
fn a_second_ssrc_is_a_fault() {
    let mut world = World::answered(script(SignalDirection::UserInitiated));
    world.talk();
    world.run(2.0);
    world.engine.change_ssrc();
    world.run(5.0);
    let judged = world.judged();
    assert!(judged.faults.iter().any(|fault| fault.contains("2 SSRCs")), "{judged:?}");
}

#[test]
fn meta_may_send_late_and_the_network_may_be_bad() {
    let network =
        NetworkOptions { loss_percent: 10, delay: Duration::from_millis(50), jitter: Duration::from_millis(30) };
    let first_packet = Duration::from_secs(2);
    let length = Duration::from_secs(8);
    let mut world =
        World::answered(UserScript { network, first_packet, length, ..script(SignalDirection::UserInitiated) });
    world.talk();
    world.run(1.9);
    assert_eq!(world.engine.report().packets, 0);
    world.run(8.0);
    let received = world.engine.report();
    assert!(received.packets > 200 && received.lost > 10 && received.jitter_ms > 3.0, "{received:?}");
    let judged = world.judged();
    assert!(judged.account.iter().any(|line| line.contains("the network lost")), "{judged:?}");
}

#[test]
fn a_called_user_answers_after_ringing_and_gets_one_request() {
    let mut world = World::new(script(SignalDirection::BusinessInitiated));
    world.engine.set_silent(true);
    let offer = world.engine.offer();
    let answer = world.call.take_offer(world.now, &offer).unwrap();
    assert!(answer.contains("WhatsAppTrack1"));
    world.engine.accept(world.now, &answer).unwrap();
    world.run(0.9);
    assert!(!world.call.is_accepted());
    world.run(0.2);
    assert!(world.call.is_accepted());
    world.engine.set_silent(false);
    world.run(6.0);
    assert_eq!(world.call.ended(), Some(CallEnding::UserHungUp));
    assert!(world.judged().good, "{:?}", world.judged());
}

#[test]
fn a_call_without_an_answer_rings_for_60_s() {
    let mut world = World::new(script(SignalDirection::UserInitiated));
    world.call.offer(world.now).unwrap();
    world.run(59.0);
    assert_eq!(world.call.ended(), None);
    world.run(2.0);
    assert_eq!(world.call.ended(), Some(CallEnding::NotAnswered));
    assert!(!world.judged().good);
}
