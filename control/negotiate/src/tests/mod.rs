//! Negotiation by example. The address in SDP is 203.0.113.9 for WhatsApp and 192.0.2.1 for SIP.

mod addresses;
mod dialogue;
mod golden;
mod hostile;
mod lenient;
mod meta;
#[path = "../../../../tests/vectors/meta/samples.rs"]
mod meta_samples;
mod plans;
mod re_offers;
mod table_3_3;
mod transport_changes;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng as _;
use trestle_core::plan::LegPlan;
use trestle_core::{AddressPolicy, LegId, LegPorts, MediaAddress, OwnSsrcs};
use trestle_ng::command::{Switch, Switches};

use super::{Environment, GatePolicy, NegotiationError, NegotiationStep, OwnKeys, Session};
use meta_samples::meta_sample;
use trestle_ng::command::flags::{DtlsFlag, IceFlag, ProfileName};
use trestle_ng::command::{CodecList, Flags, Signal};
use trestle_sdp::Protocol;
use trestle_sdp::lint;

/// What a PBX offers in the clear.
pub(crate) const SIP_OFFER: &str = "v=0\r\no=pbx 1 1 IN IP4 198.51.100.7\r\ns=call\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=maxptime:150\r\na=sendrecv\r\n";

/// What a PBX offers with SDES.
pub(crate) const SDES_OFFER: &str = "v=0\r\no=pbx 1 1 IN IP4 198.51.100.7\r\ns=call\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n\
    m=audio 4000 RTP/SAVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
    a=crypto:1 AES_256_CM_HMAC_SHA1_80 inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLQ==\r\n\
    a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd\r\n";

/// What a PBX answers, the formats of the `m=` line filled in.
pub(crate) fn sip_answer(proto: &str, formats: &str) -> String {
    let mut sdp = format!(
        "v=0\r\no=pbx 7 7 IN IP4 198.51.100.7\r\ns=call\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\nm=audio 4000 {proto} {formats}\r\n"
    );
    for (pt, map) in [
        ("8", "PCMA/8000"),
        ("0", "PCMU/8000"),
        ("111", "opus/48000/2"),
        ("126", "telephone-event/8000"),
        ("101", "telephone-event/8000"),
    ] {
        if formats.split(' ').any(|format| format == pt) {
            sdp += &format!("a=rtpmap:{pt} {map}\r\n");
        }
    }
    if proto == "RTP/SAVP" {
        sdp += "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:HR4fICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6\r\n";
    }
    sdp + "a=ptime:20\r\na=sendrecv\r\n"
}

/// What Meta answers to a business-initiated call, with this `a=setup`.
pub(crate) fn meta_answer(setup: &str) -> String {
    meta_sample("business_initiated.graph_webrtc.meta_answer").replace("a=setup:active", &format!("a=setup:{setup}"))
}

/// Of a Trestle with the interfaces of [`environment`], ng on all addresses and the default port range.
fn addresses() -> AddressPolicy {
    let media = |local: &str, advertised: &str| MediaAddress {
        local: local.parse().unwrap(),
        advertised: advertised.parse().unwrap(),
    };
    AddressPolicy {
        listeners: vec!["0.0.0.0:2223".parse().unwrap()],
        media: vec![
            media("10.0.0.5", "203.0.113.9"),
            media("192.0.2.1", "192.0.2.1"),
            media("2001:db8::5", "2001:db8::5"),
            media("2001:db8::1", "2001:db8::1"),
        ],
        media_ports: (30_000, 40_000),
        machine: vec!["192.0.2.1/24".parse().unwrap()],
        ..AddressPolicy::default()
    }
}

pub(crate) fn environment() -> Environment {
    let interfaces = ["wa/10.0.0.5!203.0.113.9", "sip/192.0.2.1", "wa/2001:db8::5", "sip/2001:db8::1"];
    Environment {
        interfaces: Environment::read_interfaces(&interfaces).unwrap(),
        addresses: addresses(),
        fingerprint: std::array::from_fn(|n| n as u8),
        default_tos: None,
        gate_policy: GatePolicy::default(),
        own_ssrcs: OwnSsrcs::new(5),
        own_keys: OwnKeys::new([5; 32]),
    }
}

/// A call with its signalling, driven as a controller does it: a step that succeeds is committed.
pub(crate) struct Desk {
    pub(crate) session: Session,
    pub(crate) environment: Environment,
    pub(crate) rng: ChaCha12Rng,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::seeded(1)
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        let rng = ChaCha12Rng::seed_from_u64(seed);
        Self { session: Session::default(), environment: environment(), rng }
    }

    pub(crate) fn offer(&mut self, signal: &Signal) -> Result<Written, NegotiationError> {
        let step = self.session.offer(signal, &self.environment, &mut self.rng)?;
        Ok(self.keep(step))
    }

    pub(crate) fn answer(&mut self, signal: &Signal) -> Result<Written, NegotiationError> {
        let step = self.session.answer(signal, &self.environment, &mut self.rng)?;
        Ok(self.keep(step))
    }

    fn keep(&mut self, step: NegotiationStep) -> Written {
        let ports: Vec<(LegId, LegPorts)> = step.legs.iter().map(|(leg, plan)| (*leg, ports(*leg, plan))).collect();
        let sdp = step.description.write(&ports).unwrap();
        let mut legs = step.legs.into_iter();
        let (sender, receiver) = (legs.next().unwrap(), legs.next().unwrap());
        self.session = step.session;
        self.lint(step.description.leg(), &sdp, &step.warnings);
        Written { sdp, sender, receiver, left: legs.collect(), removed: step.removed, warnings: step.warnings }
    }
}

impl Desk {
    /// The SDP linter must find nothing in any description for WhatsApp that a test here causes.
    fn lint(&self, leg: LegId, sdp: &str, warnings: &[String]) {
        let party = self.session.party(leg).unwrap();
        if party.profile() != ProfileName::Whatsapp {
            return;
        }
        // The SDP of a party that gets an offer is its answer to an earlier one.
        let offer = party.remote().map(|remote| remote.text.as_str()).filter(|_| !sdp.contains("a=setup:actpass"));
        let context = lint::Context { writer: Some(lint::Writer::Us), role: None, offer };
        let verdict = lint::lint(sdp, &context);
        // Tests may be on a private network; a warning names it.
        let private = warnings.iter().any(|warning| warning.starts_with("WhatsApp cannot reach"));
        let expected = |finding: &lint::Finding| private && finding.rule == lint::Rule::PublicAddress;
        assert!(verdict.findings.iter().all(expected), "{}\n{sdp}", verdict.text("to WhatsApp"));
    }
}

/// The outcome of a message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Written {
    pub(crate) sdp: String,
    pub(crate) sender: (LegId, LegPlan),
    pub(crate) receiver: (LegId, LegPlan),
    /// Parties that have no source any more.
    pub(crate) left: Vec<(LegId, LegPlan)>,
    pub(crate) removed: Vec<LegId>,
    pub(crate) warnings: Vec<String>,
}

/// Ports by leg, as an engine would give them: always the same for a leg.
fn ports(leg: LegId, plan: &LegPlan) -> LegPorts {
    let ip: std::net::IpAddr = if plan.ipv6 { "::1".parse().unwrap() } else { "10.0.0.5".parse().unwrap() };
    let port = 30_000 + 2 * leg.0;
    LegPorts { rtp: (ip, port).into(), rtcp: (ip, port + 1).into() }
}

pub(crate) fn signal(sdp: &str, from: &str, to: Option<&str>, flags: Flags) -> Signal {
    Signal {
        call_id: "call".into(),
        from_tag: from.into(),
        to_tag: to.map(str::to_owned),
        via_branch: None,
        sdp: sdp.into(),
        flags,
        received_from: None,
    }
}

pub(crate) fn list(names: &[&str]) -> CodecList {
    let mut list = CodecList::default();
    names.iter().for_each(|name| assert!(list.add(name)));
    list
}

pub(crate) fn direction(flags: &mut Flags, towards_sender: &str, towards_receiver: &str) {
    flags.routing.direction = Some([towards_sender.to_owned(), towards_receiver.to_owned()]);
}

/// The flags that operators of rtpengine give for WhatsApp to SIP, offer and answer.
pub(crate) fn whatsapp_to_sip(protocol: Protocol, codec: &str) -> (Flags, Flags) {
    let mut offer = Flags {
        ice: IceFlag::Remove,
        dtls: DtlsFlag::Off.into(),
        transport_protocol: Some(protocol),
        ..Flags::default()
    };
    direction(&mut offer, "wa", "sip");
    offer.rtcp_mux.demux = true;
    offer.replace.origin = true;
    offer.codec.mask = list(&["opus"]);
    offer.codec.transcode = list(&[codec]);
    offer.sdes.no = [
        "AES_256_CM_HMAC_SHA1_80",
        "AES_256_CM_HMAC_SHA1_32",
        "AES_CM_128_HMAC_SHA1_32",
        "AEAD_AES_128_GCM",
        "AEAD_AES_256_GCM",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut answer =
        Flags { ice: IceFlag::Force, transport_protocol: Some(Protocol::UdpTlsRtpSavpf), ..Flags::default() };
    answer.rtcp_mux.require = true;
    answer.replace.origin = true;
    (offer, answer)
}

/// The same for SIP to WhatsApp; `named` adds `profile=whatsapp`, which rtpengine does not know.
pub(crate) fn sip_to_whatsapp(named: bool) -> (Flags, Flags) {
    let mut offer = Flags {
        ice: IceFlag::Force,
        transport_protocol: Some(Protocol::UdpTlsRtpSavpf),
        profile: named.then_some(ProfileName::Whatsapp),
        switches: Switches::of(&[Switch::GenerateMid]),
        ..Flags::default()
    };
    direction(&mut offer, "sip", "wa");
    offer.sdes.off = true;
    offer.rtcp_mux.offer = true;
    offer.rtcp_mux.require = true;
    offer.replace.origin = true;
    offer.codec.mask = list(&["all"]);
    offer.codec.transcode = list(&["opus", "telephone-event"]);
    let mut answer = Flags { ice: IceFlag::Remove, transport_protocol: Some(Protocol::RtpAvp), ..Flags::default() };
    answer.replace.origin = true;
    (offer, answer)
}
