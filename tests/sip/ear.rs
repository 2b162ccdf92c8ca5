//! Tones: made for user agents that play files, and found again in the recordings.

use std::f64::consts::TAU;
use std::fs;
use std::path::Path;

use trestle_peers::ear;

/// Peak of every tone in these tests.
pub(crate) const PEAK: i16 = 10_000;

/// The level of a sine with that peak: 20 log10(10000 / 32768) - 3.
const LEVEL_DBOV: f64 = -13.3;
/// How far the received level may be from the sent one. Opus at 32 kbit/s makes 1 kHz louder by 1.3 dB.
const LEVEL_TOLERANCE_DB: f64 = 2.0;
/// A tone has to stand so far above everything else. Through G.711 it does so by 37 dB or more, through Opus by 14.
const SNR_DB: f64 = 10.0;

/// A tone of a minute as a WAV file.
pub(crate) fn write_tone(path: &Path, hz: f64, rate_hz: u32, channels: u16) {
    const SECONDS: u32 = 60;
    let block = u32::from(channels) * 2;
    let data_bytes = SECONDS * rate_hz * block;
    let mut wav = Vec::with_capacity(44 + data_bytes as usize);
    wav.extend(b"RIFF");
    wav.extend((36 + data_bytes).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16u32.to_le_bytes());
    wav.extend(1u16.to_le_bytes());
    wav.extend(channels.to_le_bytes());
    wav.extend(rate_hz.to_le_bytes());
    wav.extend((rate_hz * block).to_le_bytes());
    wav.extend((block as u16).to_le_bytes());
    wav.extend(16u16.to_le_bytes());
    wav.extend(b"data");
    wav.extend(data_bytes.to_le_bytes());
    for n in 0..SECONDS * rate_hz {
        let sample = f64::from(PEAK) * (TAU * hz * f64::from(n) / f64::from(rate_hz)).sin();
        (0..channels).for_each(|_| wav.extend((sample as i16).to_le_bytes()));
    }
    fs::write(path, wav).unwrap();
}

/// The first channel of a WAV file that may still be written to, and its sample rate. `None` before there is any sound.
pub(crate) fn read_wav(path: &Path) -> Option<(Vec<i16>, u32)> {
    let wav = fs::read(path).ok()?;
    let at = wav.windows(4).position(|four| four == b"data")? + 8;
    let channels = u16::from_le_bytes(wav.get(22..24)?.try_into().ok()?);
    let rate_hz = u32::from_le_bytes(wav.get(24..28)?.try_into().ok()?);
    let blocks = wav.get(at..)?.chunks_exact(usize::from(channels) * 2);
    Some((blocks.map(|block| i16::from_le_bytes([block[0], block[1]])).collect(), rate_hz))
}

/// Asserts that a tone of `hz` comes in. `listen` waits until so many samples have come, and gives all there are by then
/// and their rate. One whole second must be nothing but that tone, as loud as it was sent; but on a machine that has
/// other things to do that need not be the first.
pub(crate) fn assert_tone(who: &str, hz: f64, mut listen: impl FnMut(usize) -> (Vec<i16>, u32)) {
    const TRIES: u32 = 40;
    let before = listen(1).0.len();
    let mut wanted = before;
    let mut received = String::new();
    for _ in 0..TRIES {
        let rate = listen(wanted).1;
        wanted = wanted.max(before + rate as usize);
        let (pcm, _) = listen(wanted);
        match judge(&pcm[pcm.len() - rate as usize..], rate, hz) {
            Ok(received) => return println!("{who} receives {received}"),
            Err(other) => received = other,
        }
        println!("{who} receives {received} for a moment");
        wanted = pcm.len() + rate as usize / 4;
    }
    panic!("{who} receives {received}, and not just {hz} Hz");
}

/// `Ok` if `second` is a tone of `hz` and nothing else. The measurement, either way.
fn judge(second: &[i16], rate_hz: u32, hz: f64) -> Result<String, String> {
    let level_dbov = ear::level_dbov(second);
    let tone = ear::dominant_tone(second, rate_hz);
    let snr_db = tone.map_or(0.0, |tone| 10.0 * (tone.share / (1.0 - tone.share).max(1e-9)).log10());
    let holes = ear::silences(second, rate_hz, -40.0, 20);
    let received = format!(
        "{:.1} Hz at {level_dbov:.1} dBov, SNR {snr_db:.1} dB, holes {holes:?}",
        tone.map_or(0.0, |tone| tone.hz)
    );
    let clean = tone.is_some_and(|tone| (tone.hz - hz).abs() < 3.0)
        && snr_db > SNR_DB
        && (level_dbov - LEVEL_DBOV).abs() < LEVEL_TOLERANCE_DB
        && holes.is_empty();
    if clean { Ok(received) } else { Err(received) }
}
