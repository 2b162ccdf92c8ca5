//! A SIP-side phone: what comes after SIP, that is its SDP and its media.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use trestle_srtp::Profile;
use trestle_wire::telephone_event::Digit;

use crate::listener::Expected;
use crate::rtp::{RemoteAddress, RtpSession};
use crate::sdp::PeerSdp;
use crate::srtp::{CryptoLine, Keys};
use crate::talker::{SentFormat, Talker};
use crate::{Arrival, Codec, EventStyle, Report, SdpError, Transmit, Voice};

#[cfg(test)]
mod tests;

/// What a phone is like.
#[derive(Debug, Clone)]
pub struct PhoneOptions {
    /// The address that its SDP announces. RTCP is on the next port unless multiplexed.
    pub rtp: SocketAddr,
    /// The real source and destination of its packets, if it is behind a NAT.
    pub sends_from: Option<SocketAddr>,
    /// Crypto suites, preferred first. None means plain RTP.
    pub suites: Vec<Profile>,
    /// Codecs, preferred first.
    pub codecs: Vec<Codec>,
    /// Payload type of Opus in its own offers.
    pub opus_pt: u8,
    /// Payload type of telephone-event/8000 in its own offers; `None` for a phone without digits.
    pub event_pt: Option<u8>,
    /// How its digits look.
    pub event_style: EventStyle,
    /// What it sends and asks for.
    pub ptime_ms: u32,
    /// Offers and answers `a=rtcp-mux`.
    pub rtcp_mux: bool,
    /// The audio that it sends, at 8 kHz.
    pub voice: Voice,
    /// Sends no RTP until [`Phone::set_silent`].
    pub silent: bool,
    /// Of everything random.
    pub seed: u64,
}

impl PhoneOptions {
    /// A plain PCMA phone at `rtp` with 20 ms packets and digits on 101, that sends silence.
    pub fn new(rtp: SocketAddr) -> Self {
        Self {
            rtp,
            sends_from: None,
            suites: Vec::new(),
            codecs: vec![Codec::Pcma],
            opus_pt: 107,
            event_pt: Some(101),
            event_style: EventStyle::AudioLine,
            ptime_ms: 20,
            rtcp_mux: false,
            voice: Voice::Silence,
            silent: false,
            seed: 1,
        }
    }
}

/// A SIP-side phone. See the crate's documentation for how it is driven.
pub struct Phone {
    options: PhoneOptions,
    rng: ChaCha8Rng,
    session: RtpSession,
    /// The keys it offers, one for each suite.
    offered: Vec<CryptoLine>,
    /// The line it answered with, and thus goes on using.
    answered: Option<CryptoLine>,
    /// What it wants of its own accord; hold is to send only.
    wants_to_receive: bool,
    session_id: u32,
    version: u32,
}

/// What both descriptions together say.
struct Agreement<'a> {
    theirs: &'a PeerSdp,
    codec: Codec,
    pt: u8,
    /// Every payload type that may come in.
    codecs: Vec<(u8, Codec)>,
    event_pt: Option<u8>,
    mux: bool,
}

impl Phone {
    /// A phone that is on the hook.
    pub fn new(now: Instant, options: PhoneOptions) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        let talker = Talker::new(&mut rng, 8_000, options.voice.clone());
        let keys = if options.suites.is_empty() { Keys::plain() } else { Keys::secured() };
        let local = options.sends_from.unwrap_or(options.rtp);
        let mut session = RtpSession::new(now, local, keys, talker, 8_000);
        session.talker.muted = options.silent;
        session.local_rtcp = next_port(local);
        let draw = |(n, profile): (usize, &Profile)| CryptoLine::draw(&mut rng, n as u32 + 1, *profile);
        let offered: Vec<CryptoLine> = options.suites.iter().enumerate().map(draw).collect();
        let session_id = session.talker.ssrc >> 1;
        Self { options, rng, session, offered, answered: None, wants_to_receive: true, session_id, version: 0 }
    }

    /// The addresses it needs sockets on.
    pub fn locals(&self) -> Vec<SocketAddr> {
        let rtp = self.options.sends_from.unwrap_or(self.options.rtp);
        vec![rtp, next_port(rtp)]
    }

    /// Its offer; called again, a re-offer.
    pub fn offer(&mut self) -> String {
        let formats: Vec<(u8, Codec)> = self.options.codecs.iter().map(|codec| (self.own_pt(*codec), *codec)).collect();
        let crypto: Vec<String> = match &self.answered {
            Some(line) => vec![line.line()],
            None => self.offered.iter().map(CryptoLine::line).collect(),
        };
        let direction = if self.wants_to_receive { "sendrecv" } else { "sendonly" };
        self.text(&formats, self.options.event_pt, &crypto, direction, self.options.rtcp_mux)
    }

    /// Takes the answer to its offer, and talks.
    pub fn accept(&mut self, now: Instant, answer: &str) -> Result<(), SdpError> {
        let theirs = PeerSdp::read(answer)?;
        self.check_profile(&theirs)?;
        let offered: Vec<(u8, Codec)> = self.options.codecs.iter().map(|codec| (self.own_pt(*codec), *codec)).collect();
        let (pt, codec) =
            *theirs.codecs().first().filter(|chosen| offered.contains(chosen)).ok_or(SdpError::NoCodec)?;
        let event_pt = theirs.events().iter().find(|(_, hz)| *hz == 8_000).map(|(pt, _)| *pt);
        if !self.options.suites.is_empty() {
            let spoken: Vec<Profile> = self.offered.iter().map(|crypto| crypto.material.profile()).collect();
            let chosen = CryptoLine::choose(&theirs, &spoken)?;
            // The tag names the line of ours that is answered (RFC 4568 5.1.3).
            let ours = self.answered.as_ref().or(self.offered.iter().find(|ours| ours.tag == chosen.tag));
            let ours = ours.filter(|ours| ours.material.profile() == chosen.material.profile());
            let ours = ours.ok_or(SdpError::Bad("a=crypto"))?;
            self.session.keys.set(&ours.material, &chosen.material);
        }
        let mux = self.options.rtcp_mux && theirs.has("rtcp-mux");
        self.settle(now, Agreement { theirs: &theirs, codec, pt, codecs: offered, event_pt, mux })
    }

    /// Answers an offer, and talks.
    pub fn answer(&mut self, now: Instant, offer: &str) -> Result<String, SdpError> {
        let theirs = PeerSdp::read(offer)?;
        self.check_profile(&theirs)?;
        let spoken = |(_, codec): &(u8, Codec)| self.options.codecs.contains(codec);
        let (pt, codec) = theirs.codecs().into_iter().find(spoken).ok_or(SdpError::NoCodec)?;
        let event_pt = theirs.events().iter().find(|(_, hz)| *hz == 8_000).map(|(pt, _)| *pt);
        let event_pt = event_pt.filter(|_| self.options.event_pt.is_some());
        let mut crypto = Vec::new();
        if !self.options.suites.is_empty() {
            let chosen = CryptoLine::choose(&theirs, &self.options.suites)?;
            let profile = chosen.material.profile();
            let kept = self.answered.take().filter(|ours| ours.material.profile() == profile);
            let mut ours = kept.unwrap_or_else(|| CryptoLine::draw(&mut self.rng, chosen.tag, profile));
            ours.tag = chosen.tag;
            self.session.keys.set(&ours.material, &chosen.material);
            crypto.push(ours.line());
            self.answered = Some(ours);
        }
        let direction = match (theirs.receives(), theirs.sends() && self.wants_to_receive) {
            (true, true) => "sendrecv",
            (true, false) => "sendonly",
            (false, true) => "recvonly",
            (false, false) => "inactive",
        };
        let mux = self.options.rtcp_mux && theirs.has("rtcp-mux");
        self.settle(now, Agreement { theirs: &theirs, codec, pt, codecs: vec![(pt, codec)], event_pt, mux })?;
        Ok(self.text(&[(pt, codec)], event_pt, &crypto, direction, mux))
    }

    fn check_profile(&self, theirs: &PeerSdp) -> Result<(), SdpError> {
        let secured = !self.options.suites.is_empty();
        let fits = if secured { ["RTP/SAVP", "RTP/SAVPF"] } else { ["RTP/AVP", "RTP/AVPF"] };
        if fits.contains(&theirs.proto.as_str()) { Ok(()) } else { Err(SdpError::Bad("m= profile")) }
    }

    fn settle(&mut self, now: Instant, agreed: Agreement<'_>) -> Result<(), SdpError> {
        let rtp = agreed.theirs.rtp()?.filter(|_| agreed.theirs.port != 0);
        let rtcp = if agreed.mux { rtp } else { agreed.theirs.rtcp()? };
        let local = self.options.sends_from.unwrap_or(self.options.rtp);
        self.session.local_rtcp = if agreed.mux { local } else { next_port(local) };
        self.session.set_remote(now, rtp.map(|rtp| RemoteAddress { rtp, rtcp }));
        self.session.listener.expected = Expected {
            codecs: agreed.codecs,
            events: agreed.event_pt.map(|pt| (pt, 8_000)).into_iter().collect(),
            ptime_ms: Some(self.options.ptime_ms),
        };
        self.session.talker.muted = self.options.silent || !agreed.theirs.receives();
        self.session.talker.start(
            now,
            SentFormat {
                pt: agreed.pt,
                codec: agreed.codec,
                event_pt: agreed.event_pt,
                ptime_ms: self.options.ptime_ms,
                style: self.options.event_style,
            },
        );
        Ok(())
    }

    fn own_pt(&self, codec: Codec) -> u8 {
        match codec {
            Codec::Pcmu => 0,
            Codec::Pcma => 8,
            Codec::Opus => self.options.opus_pt,
        }
    }

    fn text(
        &mut self,
        formats: &[(u8, Codec)],
        event_pt: Option<u8>,
        crypto: &[String],
        direction: &str,
        mux: bool,
    ) -> String {
        self.version += 1;
        let (rtp, ptime) = (self.options.rtp, self.options.ptime_ms);
        let family = if rtp.is_ipv6() { "IP6" } else { "IP4" };
        let profile = if crypto.is_empty() { "RTP/AVP" } else { "RTP/SAVP" };
        let pts: String = formats.iter().map(|(pt, _)| *pt).chain(event_pt).map(|pt| format!(" {pt}")).collect();
        let mut lines = vec![
            "v=0".to_owned(),
            format!("o=phone {} {} IN {family} {}", self.session_id, self.version, rtp.ip()),
            "s=call".to_owned(),
            format!("c=IN {family} {}", rtp.ip()),
            "t=0 0".to_owned(),
            format!("m=audio {} {profile}{pts}", rtp.port()),
        ];
        lines.extend(crypto.iter().map(|line| format!("a={line}")));
        for (pt, codec) in formats {
            lines.push(format!("a=rtpmap:{pt} {}", codec.rtpmap()));
            if *codec == Codec::Opus {
                lines.push(format!("a=fmtp:{pt} useinbandfec=1"));
            }
        }
        if let Some(pt) = event_pt {
            lines.push(format!("a=rtpmap:{pt} telephone-event/8000"));
            lines.push(format!("a=fmtp:{pt} 0-16"));
        }
        lines.push(format!("a=ptime:{ptime}"));
        lines.push(format!("a={direction}"));
        if mux {
            lines.push("a=rtcp-mux".to_owned());
        } else {
            lines.push(format!("a=rtcp:{}", next_port(rtp).port()));
        }
        lines.iter().fold(String::new(), |mut text, line| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{line}\r\n");
            text
        })
    }

    /// A datagram that came to one of [`Phone::locals`].
    pub fn handle_datagram(&mut self, now: Instant, _local: SocketAddr, remote: SocketAddr, bytes: &[u8]) {
        self.session.handle_datagram(now, remote, bytes);
    }

    /// Sends what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.session.handle_timeout(now);
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.session.poll_transmit()
    }

    /// When [`Phone::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.session.poll_timeout()
    }

    /// Presses a key for `length`, after those that were pressed before. A character that is no key does nothing.
    pub fn press(&mut self, digit: char, length: Duration) {
        if let Some(digit) = Digit::from_char(digit) {
            self.session.talker.press(digit, length);
        }
    }

    /// Sets the pause between two presses. The default is 100 ms.
    pub fn set_digit_pause(&mut self, pause: Duration) {
        self.session.talker.digits.pause = pause;
    }

    /// True while a key is down or waiting.
    pub fn is_pressing(&self) -> bool {
        self.session.talker.is_pressing()
    }

    /// Replaces the audio that it sends.
    pub fn set_voice(&mut self, voice: Voice) {
        self.session.talker.set_voice(voice);
    }

    /// Stops or resumes its RTP without signalling.
    pub fn set_silent(&mut self, silent: bool) {
        self.options.silent = silent;
        self.session.talker.muted = silent;
    }

    /// Sends no RTP for `time`, and then continues with the next number and timestamp, as if no time had passed.
    pub fn pause(&mut self, time: Duration) {
        self.session.talker.pause(time);
    }

    /// Puts the other side on hold or resumes; the next [`Phone::offer`] signals it (`a=sendonly`).
    pub fn set_hold(&mut self, hold: bool) {
        self.wants_to_receive = !hold;
    }

    /// Replaces the codecs; the next [`Phone::offer`] announces them.
    pub fn set_codecs(&mut self, codecs: Vec<Codec>) {
        self.options.codecs = codecs;
    }

    /// Draws other keys; the next [`Phone::offer`] announces them. Does nothing without SRTP.
    pub fn renew_keys(&mut self) {
        let draw = |(n, profile): (usize, &Profile)| CryptoLine::draw(&mut self.rng, n as u32 + 1, *profile);
        self.offered = self.options.suites.iter().enumerate().map(draw).collect();
        self.answered = None;
    }

    /// Moves to another address, as after a network change; the next [`Phone::offer`] announces it.
    pub fn move_to(&mut self, rtp: SocketAddr) {
        self.options.rtp = rtp;
        self.options.sends_from = None;
        self.session.local_rtp = rtp;
        self.session.local_rtcp = if self.options.rtcp_mux { rtp } else { next_port(rtp) };
    }

    /// Restarts its stream with another SSRC, sequence and time line.
    pub fn change_ssrc(&mut self) {
        self.session.talker.restart_stream(&mut self.rng);
    }

    /// SSRC of what it sends.
    pub fn ssrc(&self) -> u32 {
        self.session.talker.ssrc
    }

    /// RTP packets sent so far.
    pub fn packets_sent(&self) -> u32 {
        self.session.talker.packets
    }

    /// The codec that was agreed on.
    pub fn codec(&self) -> Option<Codec> {
        self.session.talker.format().map(|format| format.codec)
    }

    /// What it noticed.
    pub fn report(&self) -> &Report {
        &self.session.listener.report
    }

    /// The received audio at 8 kHz, from the first audio packet on; at most 120 s.
    pub fn recording(&self) -> &[i16] {
        self.session.listener.pcm()
    }

    /// How each audio packet kept its time; those of the first two minutes.
    pub fn arrivals(&self) -> &[Arrival] {
        &self.session.listener.arrivals
    }

    /// The time of the first sample of [`Phone::recording`].
    pub fn audio_since(&self) -> Option<Instant> {
        self.session.listener.pcm_starts_at()
    }
}

fn next_port(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port().wrapping_add(1))
}
