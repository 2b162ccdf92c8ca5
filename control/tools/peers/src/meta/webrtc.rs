//! Meta's WebRTC side: a strict ICE-lite agent, DTLS-SRTP and RTP, all three by str0m. With [`super::handshake`] the only files that name str0m.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::config::Fingerprint;
use str0m::format::{Codec as StrCodec, FormatParams};
use str0m::ice::IceCreds;
use str0m::media::{Frequency, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::rtcp::{ReceptionReport, ReportList, Rtcp};
use str0m::rtp::{RawPacket, RtpPacket, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};
use trestle_wire::Seq;
use trestle_wire::demux::DatagramKind;
use trestle_wire::rtp::read_header;

use crate::listener::{Listener, ReceivedRtp};
use crate::rtcp::SenderReportInfo;
use crate::stun::Check;
use crate::talker::{Packet, Talker};
use crate::{Codec, IceReport, SdpError, Transmit};

/// So many packets after the first one, none is from before it.
const OVERTAKEN_MAX: u64 = 100;
/// SSRCs that are listened to.
const SSRCS_MAX: usize = 8;
/// Meta reports every 2 to 5 s.
const RTCP_INTERVAL: Duration = Duration::from_secs(2);
/// RFC 7675 5.1: a check at most every 5 s, jittered by a fifth.
const CONSENT_GAP: Duration = Duration::from_millis(6_100);

pub(crate) struct MetaWebRtc {
    rtc: Rtc,
    mid: Mid,
    ssrc: u32,
    fingerprint: String,
    /// The role to take once nominated, when the other side's SDP is known. True is the DTLS client.
    client: Option<bool>,
    /// The pair that USE-CANDIDATE named last: our address, theirs.
    pair: Option<(SocketAddr, SocketAddr)>,
    /// Pairs that were checked without USE-CANDIDATE.
    checked: BTreeSet<(SocketAddr, SocketAddr)>,
    last_check_at: Option<Instant>,
    ssrcs: Vec<u32>,
    wake_at: Option<Instant>,
    rtp: RtpCount,
    pub(crate) ice: IceReport,
    pub(crate) connected_at: Option<Instant>,
    outbox: VecDeque<Transmit>,
}

/// RTP datagrams handed in since the handshake, and RTP packets that came out.
#[derive(Default)]
struct RtpCount {
    first: Option<Seq>,
    fed: u64,
    delivered: u64,
}

impl RtpCount {
    /// Counts a datagram. False if it is from before the first one: str0m takes none of those.
    fn note_fed(&mut self, seq: Seq) -> bool {
        let first = *self.first.get_or_insert(seq);
        let is_taken = self.fed > OVERTAKEN_MAX || !seq.is_before(first);
        self.fed += u64::from(is_taken);
        is_taken
    }
}

/// Our ends and credentials.
pub(crate) struct Ends<'a> {
    pub(crate) locals: &'a [SocketAddr],
    pub(crate) ufrag: &'a str,
    pub(crate) pwd: &'a str,
    pub(crate) mid: &'a str,
    pub(crate) ssrc: u32,
    pub(crate) codecs: &'a [(u8, Codec)],
    pub(crate) event_pt: u8,
}

impl MetaWebRtc {
    pub(crate) fn new(now: Instant, ends: &Ends<'_>) -> Result<Self, SdpError> {
        let mut config = RtcConfig::new()
            .set_crypto_provider(Arc::new(super::handshake::crypto()))
            .set_local_ice_credentials(IceCreds { ufrag: ends.ufrag.to_owned(), pass: ends.pwd.to_owned() })
            .set_ice_lite(true)
            .set_rtp_mode(true)
            .set_rtcp_report_interval_audio(RTCP_INTERVAL)
            .enable_raw_packets(true)
            .clear_codecs()
            .clear_extension_map();
        let no_format = FormatParams::default;
        for (pt, codec) in ends.codecs {
            let (codec, rate, channels) = match codec {
                Codec::Opus => (StrCodec::Opus, Frequency::FORTY_EIGHT_KHZ, Some(2)),
                Codec::Pcma => (StrCodec::PCMA, Frequency::EIGHT_KHZ, None),
                Codec::Pcmu => (StrCodec::PCMU, Frequency::EIGHT_KHZ, None),
            };
            config.codec_config().add_config((*pt).into(), None, codec, rate, channels, no_format());
        }
        let tele = (StrCodec::Tele, Frequency::EIGHT_KHZ);
        config.codec_config().add_config(ends.event_pt.into(), None, tele.0, tele.1, None, no_format());
        let mut rtc = config.build(now);
        for local in ends.locals {
            let candidate = Candidate::host(*local, "udp").map_err(|_| SdpError::Bad("own address"))?;
            rtc.add_local_candidate(candidate);
        }
        let mid: Mid = ends.mid.into();
        let mut api = rtc.direct_api();
        api.declare_media(mid, MediaKind::Audio);
        api.declare_stream_tx(ends.ssrc.into(), None, mid, None);
        let digest = api.local_dtls_fingerprint().bytes.iter().map(|byte| format!("{byte:02X}"));
        let fingerprint = digest.collect::<Vec<String>>().join(":");
        let mut webrtc = Self {
            rtc,
            mid,
            ssrc: ends.ssrc,
            fingerprint,
            client: None,
            pair: None,
            checked: BTreeSet::new(),
            last_check_at: None,
            ssrcs: Vec::new(),
            wake_at: None,
            rtp: RtpCount::default(),
            ice: IceReport::default(),
            connected_at: None,
            outbox: VecDeque::new(),
        };
        webrtc.input(now, Input::Timeout(now), None);
        Ok(webrtc)
    }

    /// RTP datagrams that did not authenticate, or came twice.
    pub(crate) fn auth_failures(&self) -> u64 {
        self.rtp.fed.saturating_sub(self.rtp.delivered)
    }

    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The other side's credentials and certificate, and which of the two sends the ClientHello.
    pub(crate) fn set_remote(
        &mut self,
        now: Instant,
        ufrag: &str,
        pwd: &str,
        sha256: &str,
        client: bool,
    ) -> Result<(), SdpError> {
        let hex = |byte: &str| u8::from_str_radix(byte, 16).map_err(|_| SdpError::Bad("a=fingerprint"));
        let bytes = sha256.split(':').map(hex).collect::<Result<Vec<u8>, SdpError>>()?;
        let mut api = self.rtc.direct_api();
        api.set_remote_ice_credentials(IceCreds { ufrag: ufrag.to_owned(), pass: pwd.to_owned() });
        api.set_remote_fingerprint(Fingerprint { hash_func: "sha-256".to_owned(), bytes });
        self.client = Some(client);
        self.input(now, Input::Timeout(now), None);
        Ok(())
    }

    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
        listener: &mut Listener,
    ) {
        let kind = DatagramKind::of(datagram);
        let media = matches!(kind, Some(DatagramKind::Rtp | DatagramKind::Rtcp));
        if media && listener.gate_closed {
            listener.report.early_packets += 1;
        }
        // Nothing but checks may come before the pair is nominated, and nothing from elsewhere afterwards.
        match (kind, self.pair) {
            (None, _) => {
                listener.report.strays += 1;
                return;
            }
            (Some(DatagramKind::Stun), _) => {}
            (Some(_), None) => {
                self.ice.media_before_nomination += 1;
                return;
            }
            (Some(_), Some(pair)) if pair != (local, remote) => {
                listener.report.strays += 1;
                return;
            }
            (Some(_), Some(_)) => {}
        }
        let Ok(contents) = datagram.try_into() else {
            listener.report.strays += 1;
            return;
        };
        let receive = Receive { proto: Protocol::Udp, source: remote, destination: local, contents };
        let input = Input::Receive(now, receive);
        // Before the answer is known the sender of a packet cannot be checked (Meta converges only then).
        if self.client.is_none() || !self.rtc.accepts(&input) {
            match Check::read(datagram) {
                Some(_) => {
                    self.ice.checks += 1;
                    self.ice.first_check_at.get_or_insert(now);
                }
                None => listener.report.strays += 1,
            }
            return;
        }
        if let (Some(DatagramKind::Rtp), Ok(header)) = (kind, read_header(datagram)) {
            if self.connected_at.is_none() {
                self.ice.media_before_keys += 1;
            } else if self.rtp.note_fed(header.seq) {
                listener.report.copies += u64::from(listener.recent.is_copy(datagram));
            }
            self.expect(header.ssrc.0);
        }
        if self.connected_at.is_none() && self.client == Some(true) && is_client_hello(datagram) {
            self.ice.hellos_to_client += 1;
        }
        let nominated = Check::read(datagram).is_some_and(|check| self.judge(now, check, (local, remote)));
        self.input(now, input, Some(listener));
        if nominated && let Some(client) = self.client {
            // An error would mean that there is no certificate, but the config drew one.
            let _ = self.rtc.direct_api().start_dtls(client);
            self.input(now, Input::Timeout(now), Some(listener));
        }
    }

    /// Records the attributes of a check; true if it nominates the first pair.
    fn judge(&mut self, now: Instant, check: Check, pair: (SocketAddr, SocketAddr)) -> bool {
        let ice = &mut self.ice;
        ice.checks += 1;
        ice.first_check_at.get_or_insert(now);
        ice.controlling = Some(ice.controlling.unwrap_or(true) && check.controlling);
        let gap = self.last_check_at.replace(now).map(|last| now.saturating_duration_since(last));
        if self.pair.is_some() && gap.is_some_and(|gap| gap > CONSENT_GAP) {
            ice.consent_gaps += 1;
        }
        if !check.use_candidate {
            self.checked.insert(pair);
            return false;
        }
        let first = ice.nominated_at.is_none();
        if first {
            ice.nominated_at = Some(now);
            ice.regular_nomination = Some(self.checked.contains(&pair));
        } else if self.pair != Some(pair) {
            ice.switches += 1;
        }
        self.pair = Some(pair);
        first
    }

    /// str0m drops streams that were not announced to it.
    fn expect(&mut self, ssrc: u32) {
        if !self.ssrcs.contains(&ssrc) && self.ssrcs.len() < SSRCS_MAX {
            self.ssrcs.push(ssrc);
            self.rtc.direct_api().expect_stream_rx(ssrc.into(), None, self.mid, None).suppress_nack(true);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, talker: &mut Talker, listener: &mut Listener) {
        talker.handle_timeout(now);
        while let Some(packet) = talker.poll_packet() {
            self.write(now, packet, listener);
        }
        self.input(now, Input::Timeout(now), Some(listener));
    }

    fn write(&mut self, now: Instant, packet: Packet, listener: &mut Listener) {
        let mut api = self.rtc.direct_api();
        let Some(stream) = api.stream_tx(&self.ssrc.into()) else { return };
        let Packet { marker, pt, seq, time, payload } = packet;
        stream.write_rtp(RtpWrite::new(pt.into(), seq.into(), time, now, payload).marker(marker));
        self.input(now, Input::Timeout(now), Some(listener));
    }

    /// Hands `input` in and takes out everything that follows from it.
    fn input(&mut self, now: Instant, input: Input<'_>, mut listener: Option<&mut Listener>) {
        if self.rtc.handle_input(input).is_err() {
            return;
        }
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Transmit(out)) => self.outbox.push_back(Transmit {
                    local: out.source,
                    remote: out.destination,
                    bytes: out.contents.to_vec(),
                }),
                Ok(Output::Event(event)) => {
                    if let Some(listener) = listener.as_deref_mut() {
                        self.event(now, event, listener);
                    }
                }
                Ok(Output::Timeout(at)) => {
                    self.wake_at = Some(at);
                    return;
                }
                Err(_) => {
                    self.wake_at = None;
                    return;
                }
            }
        }
    }

    fn event(&mut self, now: Instant, event: Event, listener: &mut Listener) {
        match event {
            Event::Connected => self.connected_at = Some(now),
            Event::RtpPacket(packet) => {
                self.rtp.delivered += 1;
                receive(now, &packet, listener);
            }
            Event::RawPacket(raw) => {
                if let RawPacket::RtcpRx(rtcp) = *raw {
                    self.receive_rtcp(now, &rtcp, listener);
                }
            }
            _ => {}
        }
    }

    fn receive_rtcp(&self, now: Instant, rtcp: &Rtcp, listener: &mut Listener) {
        listener.report.last_rtcp_at = Some(now);
        match rtcp {
            Rtcp::SenderReport(sr) => {
                listener.report.sender_reports += 1;
                let info = SenderReportInfo { ntp: 0, time: sr.sender_info.rtp_time.numer() as u32 };
                listener.sender_info(now, info);
                self.reception_reports(&sr.reports, listener);
            }
            Rtcp::ReceiverReport(rr) => self.reception_reports(&rr.reports, listener),
            Rtcp::Goodbye(_) => listener.report.byes += 1,
            _ => {}
        }
    }

    fn reception_reports(&self, blocks: &ReportList<ReceptionReport>, listener: &mut Listener) {
        for block in blocks.iter().filter(|block| *block.ssrc == self.ssrc) {
            listener.report.reception_reports += 1;
            listener.report.reported_lost = Some(block.packets_lost as i32);
        }
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.outbox.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.wake_at
    }
}

/// Handshake record (22), first message a ClientHello (1): RFC 6347 4.1, 4.3.2.
fn is_client_hello(datagram: &[u8]) -> bool {
    datagram.first() == Some(&22) && datagram.get(13) == Some(&1)
}

fn receive(now: Instant, packet: &RtpPacket, listener: &mut Listener) {
    let header = &packet.header;
    listener.receive(
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
