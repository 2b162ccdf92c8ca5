//! The options of a message as plain values. [`super::words`] reads them, by the rows of [`super::flag_table`].

use std::net::IpAddr;
use std::time::Duration;

use trestle_sdp::Protocol;

use super::CodecList;
use super::flag_table::{Switch, Switches};
pub use super::words::gate::GateFlags;

/// The options of one message, in whichever spelling they came. Defaults are what an untouched `rtpengine_offer()`
/// means. The sender is the party whose SDP the message carries; the receiver gets the SDP of the reply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flags {
    /// Flags without a value.
    pub switches: Switches,
    /// Peer whose rules apply to the receiver; found from the SDP when absent.
    pub profile: Option<ProfileName>,
    /// Transport protocol of the outgoing SDP; absent keeps it (in an answer: what that side offered).
    pub transport_protocol: Option<Protocol>,
    /// ICE in the outgoing SDP.
    pub ice: IceFlag,
    /// DTLS in the outgoing SDP.
    pub dtls: DtlsFlags,
    /// `a=crypto`.
    pub sdes: SdesFlags,
    /// `a=rtcp-mux`.
    pub rtcp_mux: RtcpMuxFlags,
    /// `a=group:BUNDLE`.
    pub bundle: BundleFlags,
    /// Codecs.
    pub codec: CodecFlags,
    /// Parts of the session description that Trestle replaces.
    pub replace: ReplaceFlags,
    /// Interfaces and addresses.
    pub routing: RoutingFlags,
    /// Labels, and the time for which a deleted call is kept.
    pub call: CallFlags,
    /// Packets: their time, their DSCP byte, and whether they pass.
    pub media: MediaFlags,
    /// When WhatsApp gets media.
    pub gate: GateFlags,
    /// What was not understood, one sentence each; at most [`Flags::WARNINGS_MAX`].
    pub warnings: Vec<String>,
}

/// Interfaces and addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoutingFlags {
    /// Logical interfaces: towards the sender of this message, towards its receiver.
    pub direction: Option<[String; 2]>,
    /// Logical interface for both.
    pub interface: Option<String>,
    /// Address family of the outgoing SDP.
    pub address_family: Option<AddressFamily>,
    /// Address of the sender's media, in both directions; overrides its SDP and `received-from`.
    pub media_address: Option<IpAddr>,
    /// How the sender's address is learnt.
    pub endpoint_learning: EndpointLearning,
}

/// Labels, and the time for which a deleted call is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallFlags {
    /// Stable name of the sender; appears in `query` and in the DTMF feed.
    pub label: Option<String>,
    /// Stable name of the receiver.
    pub to_label: Option<String>,
    /// How long a deleted call is kept for `query`.
    pub delete_delay: Option<Duration>,
    /// The caller understands `result: load limit`.
    pub supports_load_limit: bool,
}

/// Packets: their time, their DSCP byte, and whether they pass.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MediaFlags {
    /// Packet time towards the receiver, milliseconds.
    pub ptime_ms: Option<u32>,
    /// Packet time towards the sender, milliseconds.
    pub ptime_reverse_ms: Option<u32>,
    /// DSCP byte of outgoing packets.
    pub tos: Tos,
    /// `drop-traffic`: block all media of the call in every direction, or let it through again.
    pub drop_traffic: Option<bool>,
}

/// `DTLS=` and `DTLS-fingerprint=`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DtlsFlags {
    /// `DTLS=`
    pub mode: DtlsFlag,
    /// Hash for our `a=fingerprint`, lower case (`sha-256`); absent for our default.
    pub fingerprint: Option<String>,
}

impl Flags {
    /// True if the flag is on.
    pub fn has(&self, switch: Switch) -> bool {
        self.switches.has(switch)
    }

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
    /// Keep although `strip` is `all`.
    pub except: CodecList,
    /// Keep, and in this order, although `strip` is `all`.
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

impl CodecFlags {
    /// The list of this name, normalised.
    pub(super) fn list_mut(&mut self, name: &str) -> Option<&mut CodecList> {
        Some(match name {
            "strip" => &mut self.strip,
            "except" => &mut self.except,
            "offer" => &mut self.offer,
            "transcode" => &mut self.transcode,
            "mask" => &mut self.mask,
            "consume" => &mut self.consume,
            "accept" => &mut self.accept,
            "ignore" => &mut self.ignore,
            "set" => &mut self.set,
            _ => return None,
        })
    }
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

impl From<DtlsFlag> for DtlsFlags {
    fn from(mode: DtlsFlag) -> Self {
        Self { mode, fingerprint: None }
    }
}
