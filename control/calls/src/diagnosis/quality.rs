//! Estimated quality of the audio that a party received, by the E-model: ITU-T G.107 (06/2015), narrowband, since one side of
//! nearly every call is narrowband.
//!
//! ```text
//! R = 93.2 - Idd - Ie,eff                       all other parameters at their defaults (table 3), no echo
//! Idd                                           absolute delay, equations 7-27 and 7-28
//! Ie,eff = Ie + (95 - Ie) Ppl / (Ppl + Bpl)     random loss, BurstR = 1, equation 7-29
//! MOS = 1 + 0.035 R + R (R - 60) (100 - R) 7e-6 equation B-4
//! ```
//!
//! `Ie` and `Bpl` are properties of a codec: [`trestle_core::plan::Codec::info`]. Where a call is transcoded the `Ie` of both
//! codecs add up (G.113 section 7).

use std::time::Duration;

use trestle_core::plan::Codec;

/// `Ro - Is` with every parameter at its default.
const R_BEST: f64 = 93.2;

/// Delay of the receiver's own jitter buffer. Its real value is unknown.
const LISTENER_BUFFER: Duration = Duration::from_millis(40);

/// Half a round trip to a peer that sends no receiver reports: a mobile network in the same country.
const HALF_TRIP_UNKNOWN: Duration = Duration::from_millis(40);

/// One segment of the path: its codec, its loss, its delay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PathSegment {
    pub(super) codec: Codec,
    /// 0 to 1; of frames, after anything that could be recovered.
    pub(super) loss: f64,
    pub(super) round_trip: Option<Duration>,
}

/// The path of audio from its sender through Trestle to its receiver.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct AudioPath {
    pub(super) inbound: PathSegment,
    pub(super) outbound: PathSegment,
    /// Delay added by Trestle and by packetisation.
    pub(super) added_delay: Duration,
}

/// A rating, and the mean opinion score that follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quality {
    /// Transmission rating, 0 to 93.
    pub r: u8,
    /// Mean opinion score, tenths: 10 to 45.
    pub mos_x10: u8,
}

impl Quality {
    fn of_rating(r: f64) -> Self {
        let r = r.clamp(0.0, 100.0);
        let mos = (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5);
        Self { r: r.round() as u8, mos_x10: (mos * 10.0).round() as u8 }
    }

    /// The quality at the end of a path.
    pub(super) fn of_path(path: &AudioPath) -> Self {
        let AudioPath { inbound, outbound, added_delay } = path;
        let transcoded = inbound.codec != outbound.codec;
        let (source, listener) = (inbound.codec.info().impairment, outbound.codec.info().impairment);
        let coding = if transcoded { source.ie + listener.ie } else { listener.ie };
        // The decoder at the end of each segment conceals its losses.
        let lost = |ie: f64, bpl: f64, loss: f64| {
            let percent = loss.clamp(0.0, 1.0) * 100.0;
            (95.0 - ie) * percent / (percent + bpl)
        };
        let loss = lost(coding, source.bpl, inbound.loss) + lost(coding, listener.bpl, outbound.loss);
        let half = |segment: &PathSegment| segment.round_trip.map_or(HALF_TRIP_UNKNOWN, |trip| trip / 2);
        let delay = half(inbound) + half(outbound) + *added_delay + LISTENER_BUFFER;
        Self::of_rating(R_BEST - delay_impairment(delay) - coding - loss)
    }
}

impl Quality {
    /// The quality of a peer's stream where Trestle receives it.
    pub(super) fn of_stream(inbound: PathSegment) -> Self {
        let outbound = PathSegment { codec: inbound.codec, loss: 0.0, round_trip: Some(Duration::ZERO) };
        Self::of_path(&AudioPath { inbound, outbound, added_delay: Duration::ZERO })
    }
}

impl std::fmt::Display for Quality {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.mos_x10 / 10, self.mos_x10 % 10)
    }
}

/// `Idd` of an absolute delay (equations 7-27 and 7-28); none up to 100 ms.
fn delay_impairment(delay: Duration) -> f64 {
    let ms = delay.as_secs_f64() * 1_000.0;
    if ms <= 100.0 {
        return 0.0;
    }
    let x = (ms / 100.0).log2();
    25.0 * ((1.0 + x.powi(6)).powf(1.0 / 6.0) - 3.0 * (1.0 + (x / 3.0).powi(6)).powf(1.0 / 6.0) + 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quality(codecs: (Codec, Codec), loss_percent: (f64, f64), round_trip_ms: u64) -> Quality {
        let round_trip = Some(Duration::from_millis(round_trip_ms));
        let segment = |codec, percent: f64| PathSegment { codec, loss: percent / 100.0, round_trip };
        Quality::of_path(&AudioPath {
            inbound: segment(codecs.0, loss_percent.0),
            outbound: segment(codecs.1, loss_percent.1),
            added_delay: Duration::from_millis(20),
        })
    }

    #[test]
    fn ratings_are_those_of_the_recommendation() {
        // G.107 table B.1.
        for (r, mos_x10) in [(0.0, 10), (50.0, 26), (60.0, 31), (70.0, 36), (80.0, 40), (90.0, 43), (93.2, 44)] {
            assert_eq!(Quality::of_rating(r).mos_x10, mos_x10, "{r}");
        }
        // The absolute delays of G.107 figure 1: nothing up to 100 ms, some 3.5 at 200 ms, 25 at 400 ms.
        for (ms, low, high) in [(100, 0.0, 0.0), (150, 0.1, 1.0), (200, 2.0, 4.0), (400, 22.0, 26.0)] {
            let idd = delay_impairment(Duration::from_millis(ms));
            assert!((low..=high).contains(&idd), "{ms} ms: {idd}");
        }
    }

    #[test]
    fn loss_delay_and_transcoding_each_cost_something() {
        use Codec::{Opus, Pcma};
        let table = [
            ((Pcma, Pcma), (0.0, 0.0), 20, 93, 44),
            ((Opus, Pcma), (0.0, 0.0), 20, 88, 43),
            // 95 * 1 / 26.1
            ((Pcma, Pcma), (1.0, 0.0), 20, 90, 43),
            // 5 + 90 * 5 / 15
            ((Opus, Pcma), (5.0, 0.0), 20, 58, 30),
            ((Opus, Pcma), (20.0, 0.0), 20, 28, 15),
        ];
        for (codecs, loss, trip, r, mos_x10) in table {
            assert_eq!(quality(codecs, loss, trip), Quality { r, mos_x10 }, "{codecs:?} {loss:?} {trip}");
        }
        assert!(quality((Opus, Pcma), (0.0, 0.0), 800) < quality((Opus, Pcma), (0.0, 0.0), 20));
        assert!(quality((Opus, Pcma), (0.0, 3.0), 20) < quality((Opus, Pcma), (0.0, 0.0), 20));
        assert_eq!(quality((Opus, Opus), (100.0, 100.0), 5_000), Quality { r: 0, mos_x10: 10 });
    }
}
