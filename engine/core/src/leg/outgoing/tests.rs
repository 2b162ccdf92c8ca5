//! The arrows of the diagram above [`Mode`].

use trestle_wire::{Ptime, RtpTime, Seq};

use super::*;
use crate::leg::webrtc::DtlsIdentity;
use crate::plan::{Codec, LatchPolicy, LegPlan, Muting, OpusSettings, ReceivePlan, RtpPeer, Transport};
use crate::{InterfaceId, PortPair, SocketId};

const SOURCE: LegId = LegId(1);

/// One sending side on a plain path, whose peer takes PCMA in packets of 20 ms and no telephone-events.
struct Side {
    now: Instant,
    path: Path,
    outgoing: Outgoing,
    outbox: Outbox,
    plan: SendPlan,
    packets: u32,
}

fn format() -> SendFormat {
    SendFormat {
        pt: Pt::PCMA,
        codec: Codec::Pcma,
        ptime: Ptime::MS_20,
        strict_ptime: true,
        opus: OpusSettings::default(),
        event: None,
    }
}

impl Side {
    /// A side with a source, after `change` of its plan.
    fn new(change: impl FnOnce(&mut SendPlan)) -> Self {
        let at = |port| format!("192.0.2.1:{port}").parse().unwrap();
        let ports = PortPair { rtp: SocketId(0), rtcp: SocketId(1), rtp_addr: at(30_000), rtcp_addr: at(30_001) };
        let peer =
            RtpPeer { rtp: Some(at(4_000)), rtcp: Some(at(4_001)), latch: LatchPolicy::SameIp, strict_source: false };
        let plan =
            SendPlan { format: Some(format()), source: Source::Leg(SOURCE), enabled: true, ..Default::default() };
        let leg = LegPlan {
            interface: InterfaceId(0),
            ipv6: false,
            transport: Transport::Plain(peer),
            rtcp_mux: false,
            ssrc: Ssrc(1),
            cname: "test".to_owned(),
            tos: None,
            send: plan,
            receive: ReceivePlan::default(),
        };
        let now = Instant::now();
        let path = Path::new(now, ports, &leg, &DtlsIdentity::generate().unwrap(), None).unwrap();
        let outgoing = Outgoing::new(leg.ssrc, (1, 1), 5);
        let mut side = Self { now, path, outgoing, outbox: Outbox::default(), plan, packets: 0 };
        side.apply(change);
        side
    }

    fn apply(&mut self, change: impl FnOnce(&mut SendPlan)) -> &'static str {
        change(&mut self.plan);
        self.outgoing.apply(self.now, &mut self.path, self.plan);
        self.drain()
    }

    fn drain(&mut self) -> &'static str {
        self.outgoing.drain(self.now, &mut self.path, &mut self.outbox);
        while self.outbox.poll().is_some() {}
        match self.outgoing.mode {
            Mode::Idle => "idle",
            Mode::Keeping(_) => "keeping",
            Mode::Forwarding => "forwarding",
            Mode::Filling(_) => "filling",
            Mode::Transcoding(_) => "transcoding",
        }
    }

    /// One packet of the source; 20 ms pass.
    fn audio(&mut self, codec: Codec) -> &'static str {
        self.pass(20);
        self.packets += 1;
        let seq = ExtSeq(1 << 16 | u64::from(self.packets));
        let header = Header {
            marker: false,
            pt: Pt::PCMA,
            seq: Seq(self.packets as u16),
            time: RtpTime(160 * self.packets),
            ssrc: Ssrc(2),
        };
        // A tone, since a pause is left out of pre-roll.
        let payload: Vec<u8> = (0..160).map(|n| if n / 4 % 2 == 0 { 0xaa } else { 0x2a }).collect();
        let audio = AudioPacket { header, seq, codec, us: 20_000, payload: 0..payload.len() };
        self.outgoing.take_audio(self.now, &mut self.path, &mut self.outbox, SOURCE, &audio, &payload);
        self.drain()
    }

    fn pass(&mut self, ms: u64) -> &'static str {
        for _ in 0..ms / 5 {
            self.now += Duration::from_millis(5);
            self.outgoing.handle_timeout(self.now, &self.path);
            self.drain();
        }
        self.drain()
    }

    fn press(&mut self) -> &'static str {
        let digit = Digit::from_event(9).unwrap();
        self.digit(EventUpdate::Started { digit, volume: 10 })
    }

    fn release(&mut self) {
        let (digit, duration) = (Digit::from_event(9).unwrap(), Duration::from_millis(100));
        self.digit(EventUpdate::Ended { digit, duration, volume: 10 });
    }

    fn digit(&mut self, update: EventUpdate) -> &'static str {
        self.outgoing.take_digit(self.now, &self.path, &update, DigitForm::Event);
        self.drain()
    }
}

fn with_filler(plan: &mut SendPlan) {
    plan.policy.filler = Filler::ComfortNoise;
}

fn with_preroll(plan: &mut SendPlan) {
    plan.policy.preroll_max = Duration::from_secs(3);
    plan.policy.gate = Gate::Shut;
}

#[test]
fn audio_of_the_peers_format_is_forwarded_and_other_audio_transcoded() {
    let mut side = Side::new(|_| {});
    assert_eq!(side.drain(), "idle");
    assert_eq!(side.audio(Codec::Pcma), "forwarding");
    assert_eq!(side.pass(1_000), "forwarding", "without a filler a gap is no reason to send");
    assert_eq!(side.audio(Codec::Pcmu), "transcoding");
    for _ in 1..FORWARDABLE_RUN {
        assert_eq!(side.audio(Codec::Pcma), "transcoding");
    }
    assert_eq!(side.audio(Codec::Pcma), "forwarding");
    assert_eq!(Side::new(|_| {}).audio(Codec::Pcmu), "transcoding");
}

#[test]
fn audio_that_cannot_be_sent_yet_is_kept_and_sent_first() {
    let mut side = Side::new(with_preroll);
    assert_eq!(side.drain(), "idle");
    assert_eq!(side.audio(Codec::Pcma), "keeping");
    assert_eq!(side.audio(Codec::Pcma), "keeping");
    assert_eq!(side.apply(|plan| plan.policy.gate = Gate::Open), "transcoding");
    let mut side = Side::new(|plan| plan.policy.gate = Gate::Shut);
    assert_eq!(side.audio(Codec::Pcma), "idle", "a plan without pre-roll");
}

#[test]
fn a_peer_with_a_filler_gets_it_from_the_first_moment_and_in_each_gap() {
    let mut side = Side::new(with_filler);
    assert_eq!(side.drain(), "filling");
    assert_eq!(side.audio(Codec::Pcma), "forwarding");
    assert_eq!(side.audio(Codec::Pcma), "forwarding");
    assert_eq!(side.pass(35), "forwarding");
    assert_eq!(side.pass(10), "filling");
    assert_eq!(side.audio(Codec::Pcma), "forwarding");
    assert_eq!(side.pass(60), "filling");
    assert_eq!(side.audio(Codec::Pcmu), "transcoding");
}

#[test]
fn a_gap_while_the_peer_is_on_hold_is_filled_after_it() {
    let mut side = Side::new(with_filler);
    assert_eq!(side.audio(Codec::Pcma), "forwarding");
    assert_eq!(side.apply(|plan| plan.enabled = false), "forwarding");
    assert_eq!(side.pass(60), "idle");
    assert_eq!(side.apply(|plan| plan.enabled = true), "filling");
}

#[test]
fn a_filler_that_is_added_in_a_gap_begins_at_once() {
    let mut side = Side::new(|_| {});
    assert_eq!(side.audio(Codec::Pcma), "forwarding");
    side.pass(100);
    side.apply(with_filler);
    assert_eq!(side.pass(5), "filling");
}

#[test]
fn a_tone_is_sent_in_frames_of_its_own_or_in_those_of_the_source() {
    let mut side = Side::new(|_| {});
    assert_eq!(side.press(), "filling");
    assert_eq!(side.pass(60), "filling");
    side.release();
    assert_eq!(side.pass(200), "idle");
    for _ in 0..FORWARDABLE_RUN {
        assert_eq!(side.audio(Codec::Pcma), "forwarding");
    }
    assert_eq!(side.press(), "filling");
    assert_eq!(side.audio(Codec::Pcma), "transcoding");
    side.release();
    let modes: Vec<&str> = (0..20).map(|_| side.audio(Codec::Pcma)).collect();
    assert_eq!((modes[0], modes[19]), ("transcoding", "forwarding"), "it never needed the transcoder");
}

#[test]
fn muted_audio_is_replaced_by_silence_or_by_nothing() {
    let silence = |plan: &mut SendPlan| plan.muting = Muting { audio: AudioMuting::Silence, digits: false };
    let no_packets = |plan: &mut SendPlan| plan.muting = Muting { audio: AudioMuting::NoPackets, digits: false };
    let mut side = Side::new(|_| {});
    assert_eq!(side.audio(Codec::Pcma), "forwarding");
    assert_eq!(side.apply(silence), "filling");
    assert_eq!(side.audio(Codec::Pcma), "filling", "muted audio is not used");
    assert_eq!(side.apply(no_packets), "idle");
    assert_eq!(side.audio(Codec::Pcma), "idle");
    assert_eq!(side.apply(|plan| plan.muting = Muting::default()), "idle");
    assert_eq!(side.audio(Codec::Pcma), "forwarding");

    let mut side = Side::new(|plan| {
        with_preroll(plan);
        silence(plan);
    });
    assert_eq!(side.drain(), "keeping");
    side.pass(100);
    assert_eq!(side.apply(|plan| plan.policy.gate = Gate::Open), "transcoding");
    assert_eq!(side.pass(200), "filling", "the pre-roll was only silence");
}

#[test]
fn another_format_or_source_ends_what_is_being_sent() {
    for filler in [Filler::Nothing, Filler::Silence] {
        let begin = || {
            let mut side = Side::new(|plan| plan.policy.filler = filler);
            assert_eq!(side.audio(Codec::Pcmu), "transcoding");
            side
        };
        let without = if filler == Filler::Nothing { "idle" } else { "filling" };
        let other_format = SendFormat { pt: Pt::PCMU, codec: Codec::Pcmu, ..format() };
        assert_eq!(begin().apply(|plan| plan.format = Some(other_format)), without, "{filler:?}");
        let other_source = begin().apply(|plan| plan.source = Source::Leg(LegId(2)));
        assert_eq!(other_source, if filler == Filler::Nothing { "idle" } else { "transcoding" }, "{filler:?}");
        assert_eq!(begin().apply(|plan| plan.policy.gate = Gate::Shut), "idle", "closed for good, {filler:?}");
    }
}
