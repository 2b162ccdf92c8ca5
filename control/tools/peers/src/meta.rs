//! WhatsApp's media relay, as it is seen from a business: its SDP, its ICE-lite agent, its media, and its judgement.

mod handshake;
mod options;
mod text;
mod webrtc;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use trestle_srtp::Profile;
use trestle_wire::telephone_event::Digit;

use crate::listener::{Expected, Listener};
use crate::patience::Waiting;
use crate::rtp::{RemoteAddress, RtpSession};
use crate::sdp::PeerSdp;
use crate::srtp::{CryptoLine, Keys};
use crate::talker::{SentFormat, Talker};
use crate::{Arrival, Codec, GaveUp, MetaReport, Patience, SdpError, Transmit, Voice, ice_chars, rules};
pub use options::{Flavour, MetaOptions, SetupAnswer};
use text::{MetaSdp, SdpSecurity};
use webrtc::{Ends, MetaWebRtc};

#[cfg(test)]
mod tests;

/// How long a WhatsApp user's key is down.
const PRESS: Duration = Duration::from_millis(500);
/// Sample rate of the audio that Meta sends and records, in hertz.
const SAMPLE_HZ: u32 = 16_000;
/// Its payload types when it offers.
const OPUS_PT: u8 = 111;
const EVENT_PT: u8 = 126;

enum Side {
    WebRtc { webrtc: Option<Box<MetaWebRtc>>, talker: Box<Talker>, listener: Box<Listener> },
    Sdes { session: Box<RtpSession>, crypto: CryptoLine },
}

/// WhatsApp's media relay. See the crate's documentation for how it is driven.
pub struct Meta {
    options: MetaOptions,
    side: Side,
    session_id: u64,
    stream_id: String,
    ufrag: String,
    pwd: String,
    /// Agreed or offered.
    codecs: Vec<(u8, Codec)>,
    event_pt: u8,
    mid: String,
    sdp_remarks: Vec<String>,
    signalled_ssrc: Option<u32>,
    /// The format to send once the transport is connected.
    format: Option<SentFormat>,
    waiting: Waiting,
}

impl Meta {
    /// A relay with a call on it that was not offered or answered yet.
    pub fn new(now: Instant, options: MetaOptions) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        let mut talker = Talker::new(&mut rng, SAMPLE_HZ, options.voice.clone());
        talker.muted = options.silent;
        let session_id = 1_780_000_000_000 + rng.next_u64() % 100_000_000_000;
        let hex = |rng: &mut ChaCha8Rng| format!("{:08x}", rng.next_u32());
        let stream_id = format!(
            "{}-{:.4}-{:.4}-{:.4}-{}{:.4}",
            hex(&mut rng),
            hex(&mut rng),
            hex(&mut rng),
            hex(&mut rng),
            hex(&mut rng),
            hex(&mut rng)
        );
        let ufrag = ice_chars(&mut rng, 16);
        let pwd = if options.padded_pwd { ice_chars(&mut rng, 22) + "==" } else { ice_chars(&mut rng, 24) };
        let side = match options.flavour {
            Flavour::WebRtc => {
                Side::WebRtc { webrtc: None, talker: Box::new(talker), listener: Box::new(Listener::new(SAMPLE_HZ)) }
            }
            Flavour::Sdes => {
                let crypto = CryptoLine::draw(&mut rng, 1, Profile::AesCm128HmacSha1_80);
                let local = options.locals[0];
                let session = RtpSession::new(now, local, Keys::secured(), talker, SAMPLE_HZ);
                Side::Sdes { session: Box::new(session), crypto }
            }
        };
        let mut codecs = vec![(OPUS_PT, Codec::Opus)];
        if options.g711 {
            codecs.extend([(8, Codec::Pcma), (0, Codec::Pcmu)]);
        }
        Self {
            options,
            side,
            session_id,
            stream_id,
            ufrag,
            pwd,
            codecs,
            event_pt: EVENT_PT,
            mid: "audio".to_owned(),
            sdp_remarks: Vec::new(),
            signalled_ssrc: None,
            format: None,
            waiting: Waiting::default(),
        }
    }

    /// The addresses it needs sockets on.
    pub fn locals(&self) -> &[SocketAddr] {
        &self.options.locals
    }

    /// A user calls the business: Meta's offer.
    pub fn offer(&mut self, now: Instant) -> Result<String, SdpError> {
        self.prepare(now)?;
        Ok(self.text("actpass"))
    }

    /// The business' answer to [`Meta::offer`]. Meta sends media as soon as the transport is connected.
    pub fn accept(&mut self, now: Instant, answer: &str) -> Result<(), SdpError> {
        let offered_mid = self.mid.clone();
        let theirs = self.read(answer, Some(&offered_mid))?;
        let chosen = theirs.codecs().into_iter().find(|codec| self.codecs.contains(codec));
        let (pt, codec) = chosen.ok_or(SdpError::NoCodec)?;
        let setup = theirs.first("setup").unwrap_or_default();
        // Offered was actpass, so the answer decides; without one Meta expects to be the server.
        self.settle(now, &theirs, (pt, codec), setup == "passive")
    }

    /// A business calls a user: Meta's answer to its offer. It keeps the offer's payload types and mid.
    pub fn answer(&mut self, now: Instant, offer: &str) -> Result<String, SdpError> {
        let theirs = self.read(offer, None)?;
        let ours = |(_, codec): &(u8, Codec)| self.codecs.iter().any(|(_, known)| known == codec);
        let (pt, codec) = theirs.codecs().into_iter().find(ours).ok_or(SdpError::NoCodec)?;
        self.codecs = vec![(pt, codec)];
        // "The API still proceeds with 8000 clock rate against payload type 126."
        self.event_pt = theirs.events().iter().find(|(_, hz)| *hz == 8_000).map_or(EVENT_PT, |(pt, _)| *pt);
        self.mid = theirs.first("mid").unwrap_or_else(|| "audio".to_owned());
        let (setup, client) = match self.options.setup {
            SetupAnswer::Active => ("active", true),
            SetupAnswer::Passive => ("passive", false),
            SetupAnswer::ActpassThenActive => ("actpass", true),
            SetupAnswer::ActpassThenPassive => ("actpass", false),
            SetupAnswer::ActiveThenPassive => ("active", false),
        };
        self.prepare(now)?;
        self.settle(now, &theirs, (pt, codec), client)?;
        Ok(self.text(setup))
    }

    fn read(&mut self, text: &str, answers: Option<&str>) -> Result<PeerSdp, SdpError> {
        let theirs = PeerSdp::read(text)?;
        let faults = rules::faults(&theirs, self.options.flavour);
        if !faults.is_empty() {
            return Err(SdpError::Invalid(faults));
        }
        self.sdp_remarks = rules::remarks(text, &theirs, self.options.flavour, answers);
        self.signalled_ssrc = theirs.ssrcs().first().copied();
        Ok(theirs)
    }

    /// The ICE agent and the certificate, which the SDP has to name.
    fn prepare(&mut self, now: Instant) -> Result<(), SdpError> {
        let Side::WebRtc { webrtc, talker, .. } = &mut self.side else { return Ok(()) };
        let ends = Ends {
            locals: &self.options.locals,
            ufrag: &self.ufrag,
            pwd: &self.pwd,
            mid: &self.mid,
            ssrc: talker.ssrc,
            codecs: &self.codecs,
            event_pt: self.event_pt,
        };
        *webrtc = Some(Box::new(MetaWebRtc::new(now, &ends)?));
        Ok(())
    }

    fn settle(
        &mut self,
        now: Instant,
        theirs: &PeerSdp,
        (pt, codec): (u8, Codec),
        client: bool,
    ) -> Result<(), SdpError> {
        let style = self.options.event_style;
        let event_pt = Some(self.event_pt);
        self.format = Some(SentFormat { pt, codec, event_pt, ptime_ms: 20, style });
        let expected =
            Expected { codecs: self.codecs.clone(), events: vec![(self.event_pt, 8_000)], ptime_ms: Some(20) };
        match &mut self.side {
            Side::WebRtc { webrtc, listener, .. } => {
                listener.expected = expected;
                let needed = |name: &'static str, line: &'static str| theirs.first(name).ok_or(SdpError::Bad(line));
                let (ufrag, pwd) = (needed("ice-ufrag", "a=ice-ufrag")?, needed("ice-pwd", "a=ice-pwd")?);
                let fingerprint = needed("fingerprint", "a=fingerprint")?;
                let digest = fingerprint.split(' ').nth(1).ok_or(SdpError::Bad("a=fingerprint"))?;
                let webrtc = webrtc.as_mut().ok_or(SdpError::Bad("answer without an offer"))?;
                webrtc.set_remote(now, &ufrag, &pwd, digest, client)?;
            }
            Side::Sdes { session, crypto } => {
                let chosen = CryptoLine::choose(theirs, &[crypto.material.profile()])?;
                session.keys.set(&crypto.material, &chosen.material);
                session.listener.expected = expected;
                let rtp = theirs.rtp()?;
                let rtcp = if theirs.has("rtcp-mux") { rtp } else { theirs.rtcp()? };
                session.set_remote(now, rtp.map(|rtp| RemoteAddress { rtp, rtcp }));
            }
        }
        self.talk(now);
        Ok(())
    }

    /// Begins to send when there is something to send over.
    fn talk(&mut self, now: Instant) {
        let Some(format) = self.format else { return };
        match &mut self.side {
            Side::WebRtc { webrtc: Some(webrtc), talker, .. } if webrtc.connected_at.is_some() => {
                talker.start(now, format);
            }
            Side::WebRtc { .. } => {}
            Side::Sdes { session, .. } => session.talker.start(now, format),
        }
    }

    fn text(&self, setup: &str) -> String {
        let candidates: Vec<SocketAddr> =
            self.options.locals.iter().chain(&self.options.dead_candidates).copied().collect();
        let line;
        let (security, ssrc) = match &self.side {
            Side::WebRtc { webrtc, talker, .. } => {
                let fingerprint = webrtc.as_ref().map_or("", |webrtc| webrtc.fingerprint());
                (SdpSecurity::WebRtc { ufrag: &self.ufrag, pwd: &self.pwd, fingerprint, setup }, talker.ssrc)
            }
            Side::Sdes { session, crypto } => {
                line = crypto.line();
                (SdpSecurity::Sdes { crypto: &line }, session.talker.ssrc)
            }
        };
        let text = MetaSdp {
            session_id: self.session_id,
            stream_id: &self.stream_id,
            mid: &self.mid,
            address: self.options.locals[0],
            candidates: &candidates,
            security,
            codecs: &self.codecs,
            event_pt: self.event_pt,
            ssrc,
        };
        text.write()
    }

    /// A datagram that came to one of [`Meta::locals`].
    pub fn handle_datagram(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, bytes: &[u8]) {
        if self.gave_up().is_some() {
            return;
        }
        match &mut self.side {
            Side::WebRtc { webrtc: Some(webrtc), listener, .. } => {
                webrtc.handle_datagram(now, local, remote, bytes, listener);
            }
            Side::WebRtc { webrtc: None, listener, .. } => listener.report.strays += 1,
            Side::Sdes { session, .. } => session.handle_datagram(now, remote, bytes),
        }
        self.talk(now);
    }

    /// Sends what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let connected = self.is_connected();
        let report = match &self.side {
            Side::WebRtc { listener, .. } => &listener.report,
            Side::Sdes { session, .. } => &session.listener.report,
        };
        self.waiting.look(now, report, connected);
        if self.gave_up().is_some() {
            return;
        }
        match &mut self.side {
            Side::WebRtc { webrtc: Some(webrtc), talker, listener } => webrtc.handle_timeout(now, talker, listener),
            Side::WebRtc { .. } => {}
            Side::Sdes { session, .. } => session.handle_timeout(now),
        }
        self.talk(now);
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        match &mut self.side {
            Side::WebRtc { webrtc, .. } => webrtc.as_mut()?.poll_transmit(),
            Side::Sdes { session, .. } => session.poll_transmit(),
        }
    }

    /// When [`Meta::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.gave_up().is_some() {
            return None;
        }
        let media = match &self.side {
            Side::WebRtc { webrtc, talker, .. } => {
                let webrtc = webrtc.as_ref().and_then(|webrtc| webrtc.poll_timeout());
                [webrtc, talker.poll_timeout()].into_iter().flatten().min()
            }
            Side::Sdes { session, .. } => session.poll_timeout(),
        };
        [media, self.waiting.deadline(&self.listener().report)].into_iter().flatten().min()
    }

    fn talker(&mut self) -> &mut Talker {
        match &mut self.side {
            Side::WebRtc { talker, .. } => talker,
            Side::Sdes { session, .. } => &mut session.talker,
        }
    }

    fn listener(&self) -> &Listener {
        match &self.side {
            Side::WebRtc { listener, .. } => listener,
            Side::Sdes { session, .. } => &session.listener,
        }
    }

    /// From now on and until [`Meta::accepted`], the user has not picked up or was not accepted, and every RTP or
    /// RTCP packet is counted as too early.
    pub fn ring(&mut self) {
        self.set_gate(true);
    }

    /// The call was accepted: media may come.
    pub fn accepted(&mut self) {
        self.set_gate(false);
    }

    /// From now on the app waits for media no longer than this, and then hangs up: [`Meta::gave_up`].
    pub fn be_impatient(&mut self, now: Instant, patience: Patience) {
        self.waiting.start(now, patience);
    }

    /// When and why the app hung up because no media arrived. After that it neither sends nor receives.
    pub fn gave_up(&self) -> Option<(Instant, GaveUp)> {
        self.waiting.gave_up
    }

    fn set_gate(&mut self, closed: bool) {
        match &mut self.side {
            Side::WebRtc { listener, .. } => listener.gate_closed = closed,
            Side::Sdes { session, .. } => session.listener.gate_closed = closed,
        }
    }

    /// The user presses a key as WhatsApp does it, for 500 ms. A character that is no key does nothing.
    pub fn press(&mut self, digit: char) {
        self.press_for(digit, PRESS);
    }

    /// The user presses a key for `length`, after those that were pressed before.
    pub fn press_for(&mut self, digit: char, length: Duration) {
        if let Some(digit) = Digit::from_char(digit) {
            self.talker().press(digit, length);
        }
    }

    /// Sets the pause between two presses. The default is 100 ms.
    pub fn set_digit_pause(&mut self, pause: Duration) {
        self.talker().digits.pause = pause;
    }

    /// True while a key is down or waiting.
    pub fn is_pressing(&self) -> bool {
        match &self.side {
            Side::WebRtc { talker, .. } => talker.is_pressing(),
            Side::Sdes { session, .. } => session.talker.is_pressing(),
        }
    }

    /// Replaces the audio that the user sends.
    pub fn set_voice(&mut self, voice: Voice) {
        self.talker().set_voice(voice);
    }

    /// Stops or resumes the RTP that it sends.
    pub fn set_silent(&mut self, silent: bool) {
        self.talker().muted = silent;
    }

    /// RTP packets sent so far.
    pub fn packets_sent(&self) -> u32 {
        match &self.side {
            Side::WebRtc { talker, .. } => talker.packets,
            Side::Sdes { session, .. } => session.talker.packets,
        }
    }

    /// RTP packets received so far; [`Meta::report`] has more.
    pub fn packets_received(&self) -> u64 {
        self.listener().report.packets
    }

    /// True when the transport is connected: DTLS has finished, or keys and address are known.
    pub fn is_connected(&self) -> bool {
        match &self.side {
            Side::WebRtc { webrtc, .. } => webrtc.as_ref().is_some_and(|webrtc| webrtc.connected_at.is_some()),
            Side::Sdes { .. } => self.format.is_some(),
        }
    }

    /// What it noticed.
    pub fn report(&self) -> MetaReport {
        let mut stream = self.listener().report.clone();
        let (ice, dtls_connected_at) = match &self.side {
            Side::WebRtc { webrtc: Some(webrtc), .. } => {
                // What was fed and did not come out was not authentic, or a replay; str0m does not say.
                stream.auth_failures += webrtc.auth_failures();
                (Some(webrtc.ice.clone()), webrtc.connected_at)
            }
            Side::WebRtc { .. } | Side::Sdes { .. } => (None, None),
        };
        let ssrc_as_signalled =
            self.signalled_ssrc.zip(stream.ssrcs.first()).map(|(signalled, received)| signalled == *received);
        MetaReport { stream, ice, dtls_connected_at, sdp_remarks: self.sdp_remarks.clone(), ssrc_as_signalled }
    }

    /// The received audio at 16 kHz, from the first audio packet on; at most 120 s.
    pub fn recording(&self) -> &[i16] {
        self.listener().pcm()
    }

    /// How each audio packet kept its time; those of the first two minutes.
    pub fn arrivals(&self) -> &[Arrival] {
        &self.listener().arrivals
    }

    /// The time of the first sample of [`Meta::recording`].
    pub fn audio_since(&self) -> Option<Instant> {
        self.listener().pcm_starts_at()
    }
}
