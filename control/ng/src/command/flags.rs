//! What a caller can say about how an SDP is to be rewritten and a leg to behave. Plain values; [`super::words`] reads them.

use std::net::IpAddr;
use std::time::Duration;

pub use trestle_sdp::Protocol;

use super::CodecList;
pub use super::words::presence::PresenceFlags;

/// Everything said in one message, whatever spelling it came in. Defaults are what an untouched
/// `rtpengine_offer()` means.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flags {
    /// Whose rules apply to the party that *receives* the rewritten SDP; found from the SDP when absent.
    pub profile: Option<ProfileName>,
    /// Transport protocol of the outgoing SDP; absent keeps it (in an answer: what that side offered).
    pub transport_protocol: Option<Protocol>,
    /// ICE in the outgoing SDP.
    pub ice: IceFlag,
    /// Pretend that the incoming SDP had no ICE.
    pub reject_ice: bool,
    /// DTLS in the outgoing SDP.
    pub dtls: DtlsFlag,
    /// Hash for our `a=fingerprint`, lower case (`sha-256`); absent for our default.
    pub dtls_fingerprint: Option<String>,
    /// `a=crypto`.
    pub sdes: SdesFlags,
    /// `a=rtcp-mux`.
    pub rtcp_mux: RtcpMuxFlags,
    /// `a=group:BUNDLE`.
    pub bundle: BundleFlags,
    /// Codecs.
    pub codec: CodecFlags,
    /// What of the session part is made our own.
    pub replace: ReplaceFlags,

    /// Logical interfaces: towards the sender of this message, towards its receiver.
    pub direction: Option<[String; 2]>,
    /// Logical interface for both.
    pub interface: Option<String>,
    /// Address family of the outgoing SDP.
    pub address_family: Option<AddressFamily>,
    /// Where the sender's media comes from and goes to; beats its SDP and `received-from`.
    pub media_address: Option<IpAddr>,
    /// Believe `received-from` rather than the addresses in the SDP.
    pub sip_source_address: bool,
    /// Never learn the sender's address from its packets.
    pub asymmetric: bool,
    /// How the sender's address is learnt.
    pub endpoint_learning: EndpointLearning,

    /// Stable name of the sender; appears in `query` and in the DTMF feed.
    pub label: Option<String>,
    /// Stable name of the receiver.
    pub to_label: Option<String>,
    /// Packet time towards the receiver, milliseconds.
    pub ptime_ms: Option<u32>,
    /// Packet time towards the sender, milliseconds.
    pub ptime_reverse_ms: Option<u32>,
    /// DSCP byte of outgoing packets.
    pub tos: Tos,
    /// How long a deleted call is kept for `query`.
    pub delete_delay: Option<Duration>,

    /// Add `a=mid` where there is none.
    pub generate_mid: bool,
    /// Leave out `a=rtcp`.
    pub no_rtcp_attribute: bool,
    /// Write `a=rtcp` with its address.
    pub full_rtcp_attribute: bool,
    /// Leave `a=sendrecv` and its kin untouched.
    pub original_sendrecv: bool,
    /// Mark our SDP, and hand an offer that carries our mark on untouched.
    pub loop_protect: bool,
    /// Take any codec that was offered, and transcode (`codec-accept-all`).
    pub always_transcode: bool,
    /// Answer with one codec (and telephone-event) only.
    pub single_codec: bool,
    /// Keep the codec chosen before in a re-offer.
    pub reuse_codecs: bool,
    /// Digits will be played to a party: a telephone-event PT is wanted on both sides.
    pub inject_dtmf: bool,
    /// Digits of the sender are looked for in its audio even if it announces telephone-events.
    pub detect_dtmf: bool,
    /// Digits of the sender are not passed on, as after `block DTMF`.
    pub block_dtmf: bool,
    /// When WhatsApp gets media.
    pub presence: PresenceFlags,
    /// `drop-traffic`: keep all media of the call from everybody, or let it through again.
    pub drop_traffic: Option<bool>,
    /// Media verbs: the whole call, whoever is named.
    pub all: bool,
    /// A to-tag not seen before is another party, not another name of the known one.
    pub new_branch: bool,

    /// The caller understands `result: load limit`.
    pub supports_load_limit: bool,
    /// Replies may grow beyond 1,200 bytes.
    pub verbose: bool,
    /// `query` tells the verdict in full, and nothing else.
    pub verdict: bool,
    /// `delete`: a call that is not there is an error.
    pub fatal: bool,
    /// `delete`: no statistics.
    pub fast: bool,
    /// `delete`: look at the to-tag.
    pub to_tag: bool,

    /// What was not understood, one sentence each; at most [`Flags::WARNINGS_MAX`].
    pub warnings: Vec<String>,
}

impl Flags {
    /// Enough to see what is wrong; a message full of rubbish must not make a reply full of rubbish.
    pub const WARNINGS_MAX: usize = 16;

    /// Longest warning, in bytes.
    pub const WARNING_BYTES_MAX: usize = 120;

    /// Notes something that was not understood or not done.
    pub fn warn(&mut self, warning: impl Into<String>) {
        if self.warnings.len() < Self::WARNINGS_MAX {
            let mut warning: String = warning.into();
            if warning.len() > Self::WARNING_BYTES_MAX {
                let end = (0..=Self::WARNING_BYTES_MAX).rev().find(|end| warning.is_char_boundary(*end));
                warning.truncate(end.unwrap_or(0));
                warning.push_str("...");
            }
            self.warnings.push(warning);
        }
    }
}

/// A peer's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProfileName {
    /// Meta's WhatsApp Business Calling.
    Whatsapp,
    /// A SIP phone, PBX or carrier.
    Sip,
    /// A browser.
    Webrtc,
}

/// `ICE=`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum IceFlag {
    /// ICE with our candidate if the incoming SDP has ICE, else none.
    #[default]
    Default,
    /// No ICE.
    Remove,
    /// ICE with our candidate alone.
    Force,
    /// Keep the peer's and add ours with low priority; Trestle relays, so the same as `Default`.
    Optional,
}

/// `DTLS=`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DtlsFlag {
    /// DTLS where the protocol asks for it, client if possible.
    #[default]
    Default,
    /// No DTLS in the outgoing offer.
    Off,
    /// Be the server if possible.
    Passive,
    /// Be the client if possible.
    Active,
}

/// `SDES=`. Suites by their RFC names in upper case, e.g. `AES_CM_128_HMAC_SHA1_80`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SdesFlags {
    /// No `a=crypto` in the outgoing offer.
    pub off: bool,
    /// Prefer SDES to DTLS when both are offered.
    pub prefer: bool,
    /// Add no suites to those that were offered.
    pub nonew: bool,
    /// Suites not to be offered.
    pub no: Vec<String>,
    /// If not empty, the only suites to be offered. Weaker than `nonew`, stronger than `no`.
    pub only: Vec<String>,
    /// Suites in the order in which they shall be offered; others follow.
    pub order: Vec<String>,
    /// The offerer's suites in the order in which to choose.
    pub offerer_pref: Vec<String>,
    /// Keep the base64 padding `=` of keys.
    pub pad: bool,
    /// Write `|2^31` after the key.
    pub lifetime: bool,
}

/// `rtcp-mux=`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RtcpMuxFlags {
    /// Offer it.
    pub offer: bool,
    /// Offer it and take it for granted: no RTCP port.
    pub require: bool,
    /// Accept it from the sender, do not offer it to the receiver.
    pub demux: bool,
    /// Accept it from the sender.
    pub accept: bool,
    /// Reject it.
    pub reject: bool,
}

/// `bundle=`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct BundleFlags {
    /// Offer one.
    pub offer: bool,
    /// Offer one and take it for granted.
    pub require: bool,
    /// Drop the sender's group.
    pub reject: bool,
}

/// `codec=`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CodecFlags {
    /// Remove from the outgoing SDP.
    pub strip: CodecList,
    /// Keep although `strip` says all.
    pub except: CodecList,
    /// Keep, and in this order, although `strip` says all.
    pub offer: CodecList,
    /// Add to the outgoing offer even if the sender does not have it.
    pub transcode: CodecList,
    /// Hide from the receiver, keep towards the sender.
    pub mask: CodecList,
    /// As `mask`, and transcode from it even if nothing else asks for it.
    pub consume: CodecList,
    /// Offer on, and accept even if the receiver rejects it.
    pub accept: CodecList,
    /// As if the sender of the message did not have it.
    pub ignore: CodecList,
    /// Encoder settings for codecs chosen otherwise.
    pub set: CodecList,
}

/// `replace=`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ReplaceFlags {
    /// The address in `o=`.
    pub origin: bool,
    /// All of `o=`: user name, session id, address.
    pub origin_full: bool,
    /// `s=`.
    pub session_name: bool,
    /// The user name in `o=`.
    pub username: bool,
    /// The version in `o=` is counted by us.
    pub sdp_version: bool,
    /// The version in `o=` rises with every message, changed or not.
    pub force_increment_sdp_version: bool,
}

/// `address-family=`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressFamily {
    /// `IP4`
    Ip4,
    /// `IP6`
    Ip6,
}

/// `endpoint-learning=`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum EndpointLearning {
    /// The safe way: the signalled address first.
    #[default]
    Default,
    /// Three seconds' worth of packets, then fixed.
    Delayed,
    /// The first packet fixes it, from wherever it comes.
    Immediate,
    /// Prefer a source that resembles the signalled address.
    Heuristic,
    /// Never learn.
    Off,
}

/// `TOS=`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Tos {
    /// The configured one.
    #[default]
    Default,
    /// What the call has now (a negative number).
    Keep,
    /// This byte.
    Byte(u8),
}
