//! The project's own peers on real sockets: WhatsApp's relay, and a phone.

use std::ops::Deref;
use std::time::Instant;

use trestle_peers::{Codec, Flavour, Meta, MetaOptions, MetaReport, Phone, PhoneOptions, Voice};
use trestle_tests::line::{self, Peer};

use crate::ear;
use crate::place::Place;

/// Where a peer's media is, on its user agent's address.
const RTP_PORT: u16 = 4_000;

/// A peer on real sockets, with assertions on what it receives.
pub(crate) struct Line<P>(line::Line<P>);

impl<P> Deref for Line<P> {
    type Target = line::Line<P>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// WhatsApp at the `n`th address, sending a tone.
pub(crate) fn whatsapp(place: &Place, n: u8, hz: f64) -> Line<Meta> {
    let local = (place.ip(n), RTP_PORT).into();
    let options =
        MetaOptions { voice: Voice::Tone { hz, peak: ear::PEAK }, ..MetaOptions::new(local, Flavour::WebRtc) };
    Line(line::Line::open("WhatsApp", Meta::new(Instant::now(), options)))
}

/// A plain PCMA phone at the `n`th address, sending a tone.
pub(crate) fn phone(place: &Place, n: u8, hz: f64) -> Line<Phone> {
    let options = PhoneOptions {
        codecs: vec![Codec::Pcma],
        voice: Voice::Tone { hz, peak: ear::PEAK },
        seed: n.into(),
        ..PhoneOptions::new((place.ip(n), RTP_PORT).into())
    };
    Line(line::Line::open("the phone", Phone::new(Instant::now(), options)))
}

impl<P: Peer> Line<P> {
    /// From now on it receives this tone.
    pub(crate) fn assert_receives_tone(&self, hz: f64) {
        ear::assert_tone(self.name(), hz, |wanted| {
            self.wait_until("more audio", |peer| peer.recording().len() >= wanted);
            (self.with(|peer, _| peer.recording().to_vec()), P::RATE_HZ)
        });
    }

    /// Waits until the other side's digits were received to their ends. baresip presses a key for about 200 ms.
    pub(crate) fn wait_for_digits(&self, digits: &str) {
        self.wait_until(digits, |peer| {
            peer.stream().digits.iter().filter(|digit| digit.ends > 0).count() >= digits.len()
        });
        let stream = self.with(|peer, _| peer.stream());
        assert_eq!(stream.digits_received(), digits, "{}", self.name());
        for digit in &stream.digits {
            assert_eq!(digit.markers, 1, "{}: {digit:?}", self.name());
            assert!((40.0..400.0).contains(&digit.duration_ms), "{}: {digit:?}", self.name());
        }
    }

    /// Everything that came was right, and came once, on one stream. Strays may be media that has overtaken the answer.
    pub(crate) fn assert_clean(&self) {
        let stream = self.with(|peer, _| peer.stream());
        println!("{}: {stream:?}", self.name());
        assert_eq!(stream.ssrcs.len(), 1, "{}: one SSRC: {stream:?}", self.name());
        let wrong = [
            ("lost", stream.lost),
            ("duplicates", stream.duplicates),
            ("reordered", stream.reordered),
            ("unknown_pt", stream.unknown_pt),
            ("undecodable", stream.undecodable),
            ("ptime_violations", stream.ptime_violations),
            ("auth_failures", stream.auth_failures),
            ("early_packets", stream.early_packets),
        ];
        for (what, count) in wrong {
            assert_eq!(count, 0, "{}: {what}: {stream:?}", self.name());
        }
    }
}

impl Line<Meta> {
    /// What WhatsApp's relay demands of the other side's ICE, DTLS and media.
    pub(crate) fn assert_kept_to_the_rules(&self) {
        self.assert_clean();
        let MetaReport { stream, ice, ssrc_as_signalled, .. } = self.with(|meta, _| meta.report());
        let ice = ice.expect("ICE");
        assert_eq!(stream.strays, 0, "{stream:?}");
        assert_eq!(ssrc_as_signalled, Some(true));
        assert_eq!((ice.controlling, ice.regular_nomination), (Some(true), Some(true)), "{ice:?}");
        assert_eq!((ice.media_before_nomination, ice.switches), (0, 0), "{ice:?}");
    }
}
