use trestle_audio::Tone;
use trestle_audio::listen::dominant_tone;

use super::*;

const RATE_HZ: u32 = 8_000;
const SAMPLES_PER_MS: usize = 8;
const FRAME: usize = 160;
const LEAD_SAMPLES: usize = 480;
const CAUGHT_UP_SAMPLES: usize = 20;

/// A source, the backlog and a listener, 20 ms at a time.
struct Line {
    backlog: Backlog,
    packer: Packer,
    now: Instant,
    began: Instant,
    output: Vec<i16>,
    caught_up: Option<Preroll>,
}

impl Line {
    #[expect(clippy::disallowed_methods, reason = "nothing but the clock makes an Instant")]
    fn new(cap_ms: u64) -> Self {
        let now = Instant::now();
        let backlog = Backlog::new(Duration::from_millis(cap_ms), RATE_HZ);
        Self { backlog, packer: Packer::new(), now, began: now, output: Vec::new(), caught_up: None }
    }

    fn send(&mut self, pcm: &[i16]) {
        for frame in pcm.chunks(FRAME) {
            self.backlog.push(frame);
            self.now += Duration::from_millis(20);
            self.poll();
        }
    }

    fn poll(&mut self) {
        self.backlog.handle_timeout(self.now);
        loop {
            match self.backlog.poll_frame(FRAME, false, &mut self.packer) {
                BacklogOutput::Nothing | BacklogOutput::Withheld => break,
                BacklogOutput::Frame => {}
                BacklogOutput::CaughtUp(preroll) => self.caught_up = Some(preroll),
            }
            self.output.extend(self.packer.pop(FRAME).expect("a frame was promised"));
            if self.caught_up.is_some() {
                break;
            }
        }
    }

    /// Sends `pcm` over and over until the delay is gone, for `ms_max` at most.
    fn send_until_caught_up(&mut self, pcm: &[i16], ms_max: usize) -> Preroll {
        for n in 0..ms_max / 20 {
            if let Some(preroll) = self.caught_up {
                return preroll;
            }
            let at = n * FRAME % pcm.len();
            self.send(&pcm[at..at + FRAME]);
        }
        panic!("still {} ms behind after {ms_max} ms", self.backlog.waiting() / SAMPLES_PER_MS);
    }
}

fn tone(hz: f64, ms: usize) -> Vec<i16> {
    let mut pcm = vec![0; ms * SAMPLES_PER_MS];
    Tone::sine(hz, 6_000).fill(&mut pcm, RATE_HZ);
    pcm
}

/// Words of 300 ms, 200 ms apart.
fn words(ms: usize) -> Vec<i16> {
    let word: Vec<i16> = tone(200.0, 300).into_iter().chain([0; 200 * SAMPLES_PER_MS]).collect();
    word.into_iter().cycle().take(ms * SAMPLES_PER_MS).collect()
}

#[test]
fn stored_audio_is_played_first_and_whole() {
    let mut line = Line::new(3_000);
    let sent = tone(300.0, 500);
    line.send(&sent);
    line.backlog.play(line.now);
    line.send(&[0; FRAME]);
    // The first frame is played at once; it may be shorter by a period, but its beginning stays.
    assert!(!line.output.is_empty());
    assert_eq!(line.output[..8], sent[..8]);
    assert_eq!(line.backlog.preroll().clipped, Duration::ZERO);
}

#[test]
fn a_second_of_speech_is_caught_up_within_eight() {
    let mut line = Line::new(3_000);
    line.send(&words(1_000));
    line.backlog.play(line.now);
    let preroll = line.send_until_caught_up(&words(500), 8_000);
    assert!(preroll.kept >= Duration::from_millis(900), "{preroll:?}");
    assert_eq!(preroll.clipped, Duration::ZERO);
}

#[test]
fn sound_without_a_pause_is_played_eight_percent_faster_at_the_same_pitch() {
    let mut line = Line::new(3_000);
    line.send(&tone(200.0, 1_000));
    line.backlog.play(line.now);
    let preroll = line.send_until_caught_up(&tone(200.0, 1_000), 16_000);
    let took = preroll.caught_up.unwrap();
    assert!(took >= Duration::from_secs(12), "1 s at 8 % takes 12.5 s; it took {took:?}");
    for second in line.output.chunks_exact(8_000) {
        let measured = dominant_tone(second, RATE_HZ).expect("a tone");
        assert!((measured.hz - 200.0).abs() < 2.5 && measured.share > 0.9, "{measured:?}");
    }
}

#[test]
fn silence_before_the_first_word_is_not_stored() {
    let mut line = Line::new(3_000);
    line.send(&[0; 2_000 * SAMPLES_PER_MS]);
    assert!(line.backlog.waiting() <= LEAD_SAMPLES);
    line.send(&tone(200.0, 400));
    assert!(line.backlog.waiting() >= 400 * SAMPLES_PER_MS);
    assert!(line.backlog.waiting() <= 400 * SAMPLES_PER_MS + LEAD_SAMPLES);
}

#[test]
fn a_pause_is_shortened_and_a_word_is_not() {
    let mut line = Line::new(3_000);
    let sounds = |pcm: &[i16]| pcm.iter().filter(|sample| **sample != 0).count();
    let mut sent = 0;
    for part in [tone(200.0, 300), vec![0; 1_500 * SAMPLES_PER_MS], tone(400.0, 300)] {
        line.send(&part);
        sent += sounds(&part);
    }
    let waiting = &line.backlog.pcm[line.backlog.start..];
    assert_eq!(sounds(waiting), sent);
    assert!(waiting.len() <= (600 + 220) * SAMPLES_PER_MS, "{} samples", waiting.len());
}

#[test]
fn beyond_the_cap_the_oldest_audio_is_dropped_and_counted() {
    let mut line = Line::new(1_000);
    line.send(&tone(200.0, 1_500));
    let preroll = line.backlog.preroll();
    assert_eq!((preroll.kept, preroll.clipped), (Duration::from_millis(1_000), Duration::from_millis(500)));
}

#[test]
fn a_thread_that_was_held_up_sends_the_missed_frames_and_no_more() {
    for (stalled_ms, frames) in [(100, 6), (3_600_000, 1)] {
        let mut line = Line::new(3_000);
        line.send(&tone(200.0, 2_000));
        line.backlog.play(line.now);
        line.now += Duration::from_millis(stalled_ms);
        line.poll();
        assert_eq!(line.output.len() / FRAME, frames, "after {stalled_ms} ms");
    }
}

#[test]
fn the_call_returns_to_its_normal_delay() {
    let mut line = Line::new(3_000);
    line.send(&words(700));
    line.backlog.play(line.now);
    line.send_until_caught_up(&words(500), 8_000);
    assert!(line.packer.len() <= CAUGHT_UP_SAMPLES, "{} samples stay behind", line.packer.len());
    assert!(line.now > line.began);
}

#[test]
fn pieces_of_any_length_are_accepted() {
    let mut dice = 1u32;
    let mut noise = move || {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (dice >> 16) as i16 / 4
    };
    for piece in [7, 33, 81, 159, 161, 479] {
        let mut line = Line::new(500);
        let noise: Vec<i16> = (0..8 * 8_000).map(|_| noise()).collect();
        line.send(&tone(200.0, 400));
        line.backlog.play(line.now);
        for part in noise.chunks(piece) {
            line.backlog.push(part);
            line.now += duration(part.len(), RATE_HZ);
            line.poll();
        }
        assert!(line.output.len() > 7 * 8_000, "pieces of {piece}");
    }
}

#[test]
fn a_cap_shorter_than_a_frame_still_lets_frames_out() {
    let mut line = Line::new(3);
    line.send(&tone(200.0, 1_000));
    line.backlog.play(line.now);
    line.send(&tone(200.0, 1_000));
    assert!(line.output.len() >= 6 * 8_00, "{}", line.output.len());
}

#[test]
fn stored_audio_is_not_lost_while_something_else_is_played() {
    let mut line = Line::new(3_000);
    line.send(&tone(200.0, 500));
    line.backlog.play(line.now);
    line.backlog.handle_timeout(line.now);
    for _ in 0..25 {
        assert_eq!(line.backlog.poll_frame(FRAME, true, &mut line.packer), BacklogOutput::Withheld);
        line.now += Duration::from_millis(20);
        line.backlog.handle_timeout(line.now);
    }
    line.poll();
    assert_eq!(line.output[..8], tone(200.0, 1)[..]);
}

#[test]
fn audio_older_than_the_cap_is_not_played_when_the_call_is_answered() {
    let mut line = Line::new(3_000);
    line.send(&tone(200.0, 400));
    line.send(&[0; 2_900 * SAMPLES_PER_MS]);
    assert!(line.backlog.waiting() > 400 * SAMPLES_PER_MS);
    line.send(&[0; 200 * SAMPLES_PER_MS]);
    assert!(line.backlog.waiting() <= LEAD_SAMPLES, "{}", line.backlog.waiting());
    assert!(line.backlog.preroll().clipped >= Duration::from_millis(390));
    line.send(&tone(200.0, 400));
    assert!(line.backlog.waiting() >= 400 * SAMPLES_PER_MS);
}
