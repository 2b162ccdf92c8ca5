//! The jitter buffer and the transcoder: whatever the network does, no frame is played twice, honest frames are played
//! in order, and the listener's line neither stops nor runs away.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use trestle_core::plan::{Codec, OpusSettings, SendFormat};
use trestle_core::transcode::playout::SourceFrame;
use trestle_core::transcode::{FRAME_BYTES_MAX, Playout, PlayoutOutput, Transcoder};
use trestle_wire::{ExtSeq, Pt, Ptime, RtpTime};

use super::super::input::Input;
use trestle_world::instant_zero;

/// Longest piece of Opus, and so of what its copy in the next packet can stand for.
const FRAME_US_MAX: i64 = 120_000;
/// Things that can be due at one instant: a full jitter buffer, and the fillings between its frames.
const DUE_AT_ONCE_MAX: usize = 1_000;

/// A playout under frames at any time, in any order, with any timestamp; or, for half of the inputs, with honest ones.
pub(super) fn playout(input: &mut Input<'_>) -> usize {
    let is_honest = input.flag();
    let mut line = Line { playout: Playout::default(), now: instant_zero(), played: BTreeSet::new(), newest: None };
    if input.flag() {
        line.playout.start(line.now);
    }
    let (mut frame, mut count, mut skew) = (1 << 16, 0u32, 0u32);
    while !input.is_empty() {
        line.advance(Duration::from_millis(input.byte().into()), is_honest);
        match input.below(16) {
            // Lost.
            0 => frame += 1,
            // Overtaken: an earlier one comes now.
            1 => line.push(frame - u64::from(input.byte() % 32), skew, &mut count, 0),
            2 if !is_honest => {
                skew = skew.wrapping_add(input.u32());
                line.push(frame, skew, &mut count, input.below(3) as u64);
            }
            3 if !is_honest => frame = (frame + u64::from(input.u16())).max(1 << 16),
            4 if !is_honest => line.playout.stop(),
            choice => {
                frame += 1;
                line.push(frame, skew, &mut count, 0);
                if choice == 5 {
                    line.push(frame, skew, &mut count, 0);
                }
            }
        }
        line.drain(is_honest);
    }
    line.advance(Duration::from_secs(2), is_honest);
    line.played.len()
}

struct Line {
    playout: Playout,
    now: Instant,
    /// Arrivals that were played, by their count.
    played: BTreeSet<u32>,
    /// Number of the newest frame played.
    newest: Option<u64>,
}

impl Line {
    /// Frame `frame` of a source that speaks 20 ms of PCMA at a time arrives.
    fn push(&mut self, frame: u64, skew: u32, count: &mut u32, source: u64) {
        *count += 1;
        let mut payload = [0xd5; 160];
        payload[..4].copy_from_slice(&count.to_be_bytes());
        payload[4..12].copy_from_slice(&frame.to_be_bytes());
        let arrival = SourceFrame {
            source,
            seq: ExtSeq(frame),
            time: RtpTime((frame as u32).wrapping_mul(160).wrapping_add(skew)),
            codec: Codec::Pcma,
            duration_us: 20_000,
            payload: &payload,
        };
        // Every refusal is a reason to count; which one, its own tests say.
        let _: Result<(), trestle_core::Discard> = self.playout.push(self.now, &arrival);
    }

    fn advance(&mut self, by: Duration, is_honest: bool) {
        let until = self.now + by;
        self.drain(is_honest);
        while let Some(at) = self.playout.poll_timeout().filter(|at| *at <= until) {
            assert!(at > self.now, "what was due is due again");
            self.now = at;
            self.playout.handle_timeout(self.now);
            assert!(self.drain(is_honest) > 0, "a deadline at which nothing is due");
        }
        self.now = until;
        self.playout.handle_timeout(self.now);
        self.drain(is_honest);
    }

    /// Takes what is due, and returns how much that was.
    fn drain(&mut self, is_honest: bool) -> usize {
        let mut taken = 0;
        while let Some(due) = self.playout.poll() {
            taken += 1;
            assert!(taken <= DUE_AT_ONCE_MAX, "more is due than can have come");
            match due {
                PlayoutOutput::Frame { codec, payload, skip_us, .. } => {
                    assert_eq!((codec, payload.len()), (Codec::Pcma, 160));
                    assert!((0..20_000).contains(&skip_us), "{skip_us} us of a frame were filled");
                    let (count, rest) = payload.split_first_chunk().expect("160 bytes");
                    let (frame, _) = rest.split_first_chunk().expect("156 bytes");
                    let (count, frame) = (u32::from_be_bytes(*count), u64::from_be_bytes(*frame));
                    assert!(self.played.insert(count), "arrival {count} is played twice");
                    if is_honest {
                        assert!(self.newest.is_none_or(|newest| frame > newest), "{frame} after {:?}", self.newest);
                    }
                    self.newest = Some(frame);
                }
                PlayoutOutput::Missing { length_us, filled_us, .. } => {
                    assert!((1..=FRAME_US_MAX).contains(&length_us), "{length_us} us to fill");
                    assert!(filled_us >= 0);
                }
            }
        }
        taken
    }
}

/// A transcoder under packets of any content: its frames are as long as they say, and it goes on making them.
pub(super) fn transcoder(input: &mut Input<'_>) -> usize {
    let mut now = instant_zero();
    let codecs = [Codec::Opus, Codec::Pcma, Codec::Pcmu];
    let ptime = Ptime::new(10 * (1 + input.below(6) as u32)).expect("10 to 60 ms");
    let format = SendFormat {
        pt: Pt::PCMA,
        codec: input.one_of(&codecs),
        ptime,
        strict_ptime: true,
        opus: OpusSettings::default(),
        event: None,
    };
    let mut transcoder = Transcoder::new(&format);
    let (mut seq, mut time) = (ExtSeq(1 << 16), RtpTime(input.u32()));
    let (mut made, mut out) = (0u64, [0; FRAME_BYTES_MAX]);
    let start = now;
    transcoder.start(now);
    // Opus costs time: a hundred packets are enough.
    for _ in 0..100 {
        if input.is_empty() {
            break;
        }
        now += Duration::from_millis(u64::from(input.byte() % 64));
        let codec = input.one_of(&codecs);
        match input.below(8) {
            0 => (seq, time) = (seq.plus(input.byte().into()), time.plus(input.u32())),
            1 => transcoder.key_pressed(),
            2 => transcoder.set_remote_loss(input.byte()),
            _ => (seq, time) = (seq.plus(1), time.plus(codec.clock().hz() / 50)),
        }
        let payload = input.bytes();
        // Every refusal is a reason to count.
        let _: Result<(), trestle_core::Discard> =
            transcoder.push(now, input.below(2) as u64, seq, time, codec, payload);
        transcoder.handle_timeout(now);
        while let Some(frame) = transcoder.poll_frame(&mut out, None) {
            made += 1;
            let samples = format.codec.packet_ptime(&out[..frame.len]).expect("a frame of ours");
            assert_eq!(frame.duration_ticks, samples.ticks(format.codec.clock()));
            // No more than the source can have brought or time can have passed: 120 ms a packet and what was missing.
            assert!(made < 10_000, "frames without end");
        }
    }
    assert_eq!(transcoder.counts().transcoded, made);
    // Whatever came, the line goes on: two seconds later there are frames for at least one of them.
    let before = made;
    let until = now + Duration::from_secs(2);
    while let Some(at) = transcoder.poll_timeout().filter(|at| *at <= until) {
        now = at.max(now);
        transcoder.handle_timeout(now);
        while transcoder.poll_frame(&mut out, None).is_some() {
            made += 1;
        }
    }
    let second = u64::from(1_000 / ptime.ms());
    assert!(made - before >= second, "{} frames in two seconds, {:?} after the start", made - before, until - start);
    made as usize
}
