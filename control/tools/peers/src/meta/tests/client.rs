//! A full ICE agent with DTLS-SRTP, as a browser has it, to call [`crate::Meta`] with.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use str0m::config::Fingerprint;
use str0m::crypto::from_feature_flags;
use str0m::format::{Codec as StrCodec, FormatParams};
use str0m::ice::IceCreds;
use str0m::media::{Frequency, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcConfig};
use trestle_wire::demux::DatagramKind;
use trestle_wire::rtp::read_header;

use crate::listener::{Expected, Listener, ReceivedRtp};
use crate::sdp::PeerSdp;
use crate::talker::{SentFormat, Talker};
use crate::wire::Machine;
use crate::{Codec, EventStyle, Transmit, Voice};

pub(super) struct Client {
    rtc: Rtc,
    local: SocketAddr,
    pub(super) talker: Talker,
    pub(super) listener: Listener,
    pts: (u8, u8),
    /// Sends media before ICE has finished, which is a violation.
    pub(super) impatient: Option<SocketAddr>,
    heard_ssrc: Option<u32>,
    client: bool,
    dtls_started: bool,
    pub(super) connected_at: Option<Instant>,
    wake_at: Option<Instant>,
    outbox: VecDeque<Transmit>,
}

impl Client {
    pub(super) fn new(now: Instant, local: SocketAddr, pts: (u8, u8), voice: Voice) -> Self {
        let mut config = RtcConfig::new()
            .set_crypto_provider(Arc::new(from_feature_flags()))
            .set_rtp_mode(true)
            .set_rtcp_report_interval_audio(std::time::Duration::from_secs(2))
            .clear_codecs();
        let no_format = FormatParams::default;
        let codecs = config.codec_config();
        codecs.add_config(pts.0.into(), None, StrCodec::Opus, Frequency::FORTY_EIGHT_KHZ, Some(2), no_format());
        codecs.add_config(pts.1.into(), None, StrCodec::Tele, Frequency::EIGHT_KHZ, None, no_format());
        let mut rtc = config.build(now);
        rtc.add_local_candidate(Candidate::host(local, "udp").unwrap());
        let talker = Talker::new(&mut ChaCha8Rng::seed_from_u64(77), 16_000, voice);
        let mut api = rtc.direct_api();
        api.declare_media("0".into(), MediaKind::Audio);
        api.declare_stream_tx(talker.ssrc.into(), None, "0".into(), None);
        api.set_ice_controlling(true);
        let mut client = Self {
            rtc,
            local,
            talker,
            listener: Listener::new(16_000),
            pts,
            impatient: None,
            heard_ssrc: None,
            client: true,
            dtls_started: false,
            connected_at: None,
            wake_at: None,
            outbox: VecDeque::new(),
        };
        client.input(now, Input::Timeout(now));
        client
    }

    pub(super) fn text(&mut self, mid: &str, setup: &str) -> String {
        let api = self.rtc.direct_api();
        let creds = api.local_ice_credentials();
        let digest =
            api.local_dtls_fingerprint().bytes.iter().map(|b| format!("{b:02X}")).collect::<Vec<_>>().join(":");
        let (ip, port, (opus, tele), ssrc) = (self.local.ip(), self.local.port(), self.pts, self.talker.ssrc);
        [
            "v=0".to_owned(),
            format!("o=- 1 1 IN IP4 {ip}"),
            "s=-".to_owned(),
            "t=0 0".to_owned(),
            format!("a=group:BUNDLE {mid}"),
            format!("m=audio {port} UDP/TLS/RTP/SAVPF {opus} {tele}"),
            format!("c=IN IP4 {ip}"),
            format!("a=candidate:1 1 udp 2130706431 {ip} {port} typ host"),
            format!("a=ice-ufrag:{}", creds.ufrag),
            format!("a=ice-pwd:{}", creds.pass),
            format!("a=fingerprint:sha-256 {digest}"),
            format!("a=setup:{setup}"),
            format!("a=mid:{mid}"),
            "a=sendrecv".to_owned(),
            "a=rtcp-mux".to_owned(),
            format!("a=rtpmap:{opus} opus/48000/2"),
            format!("a=fmtp:{opus} useinbandfec=1"),
            format!("a=rtpmap:{tele} telephone-event/8000"),
            "a=ptime:20".to_owned(),
            "a=maxptime:20".to_owned(),
            format!("a=ssrc:{ssrc} cname:me"),
        ]
        .iter()
        .map(|line| format!("{line}\r\n"))
        .collect()
    }

    /// Takes Meta's description. `client` is true if this side is the DTLS client.
    pub(super) fn learn(&mut self, now: Instant, text: &str, client: bool) {
        let theirs = PeerSdp::read(text).unwrap();
        let needed = |name: &str| theirs.first(name).unwrap_or_else(|| panic!("no a={name} in\n{text}"));
        let digest = needed("fingerprint");
        let hex = digest.strip_prefix("sha-256 ").unwrap().split(':');
        let bytes = hex.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        for candidate in theirs.all("candidate") {
            let address = crate::rules::candidate(candidate).unwrap();
            self.rtc.add_remote_candidate(Candidate::host(address, "udp").unwrap());
        }
        let mut api = self.rtc.direct_api();
        api.set_remote_ice_credentials(IceCreds { ufrag: needed("ice-ufrag"), pass: needed("ice-pwd") });
        api.set_remote_fingerprint(Fingerprint { hash_func: "sha-256".to_owned(), bytes });
        self.client = client;
        self.listener.expected =
            Expected { codecs: vec![(self.pts.0, Codec::Opus)], events: vec![(self.pts.1, 8_000)], ptime_ms: Some(20) };
        self.input(now, Input::Timeout(now));
    }

    pub(super) fn set_controlling(&mut self, controlling: bool) {
        self.rtc.direct_api().set_ice_controlling(controlling);
    }

    fn input(&mut self, now: Instant, input: Input<'_>) {
        self.rtc.handle_input(input).unwrap();
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(at) => {
                    self.wake_at = Some(at);
                    return;
                }
                Output::Transmit(out) => self.outbox.push_back(Transmit {
                    local: out.source,
                    remote: out.destination,
                    bytes: out.contents.to_vec(),
                }),
                Output::Event(Event::IceConnectionStateChange(
                    IceConnectionState::Connected | IceConnectionState::Completed,
                )) if !self.dtls_started => {
                    self.dtls_started = true;
                    self.rtc.direct_api().start_dtls(self.client).unwrap();
                    self.rtc.handle_input(Input::Timeout(now)).unwrap();
                }
                Output::Event(Event::Connected) => {
                    self.connected_at = Some(now);
                    let style = EventStyle::AudioLine;
                    let (pt, event_pt) = (self.pts.0, Some(self.pts.1));
                    self.talker.start(now, SentFormat { pt, codec: Codec::Opus, event_pt, ptime_ms: 20, style });
                }
                Output::Event(Event::RtpPacket(packet)) => {
                    let header = &packet.header;
                    self.listener.receive(
                        now,
                        ReceivedRtp {
                            ssrc: *header.ssrc,
                            seq: header.sequence_number,
                            time: header.timestamp,
                            pt: *header.payload_type,
                            marker: header.marker,
                            payload: &packet.payload,
                        },
                    );
                }
                Output::Event(_) => {}
            }
        }
    }
}

impl Machine for Client {
    fn handle_datagram(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, bytes: &[u8]) {
        if let (None, Some(DatagramKind::Rtp), Ok(header)) =
            (self.heard_ssrc, DatagramKind::of(bytes), read_header(bytes))
        {
            self.heard_ssrc = Some(header.ssrc.0);
            self.rtc.direct_api().expect_stream_rx(header.ssrc.0.into(), None, "0".into(), None).suppress_nack(true);
        }
        let receive =
            Receive { proto: Protocol::Udp, source: remote, destination: local, contents: bytes.try_into().unwrap() };
        self.input(now, Input::Receive(now, receive));
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.talker.handle_timeout(now);
        while let Some(packet) = self.talker.poll_packet() {
            let ssrc = self.talker.ssrc;
            let mut api = self.rtc.direct_api();
            let write = RtpWrite::new(packet.pt.into(), packet.seq.into(), packet.time, now, packet.payload);
            api.stream_tx(&ssrc.into()).unwrap().write_rtp(write.marker(packet.marker));
            self.input(now, Input::Timeout(now));
        }
        if let Some(remote) = self.impatient.take() {
            let bytes = [&[0x80, 111][..], &[0; 30]].concat();
            self.outbox.push_back(Transmit { local: self.local, remote, bytes });
        }
        self.input(now, Input::Timeout(now));
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.outbox.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        [self.wake_at, self.talker.poll_timeout()].into_iter().flatten().min()
    }
}
