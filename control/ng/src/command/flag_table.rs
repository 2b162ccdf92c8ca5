//! Every flag and key that a message can carry, each in one row: its name, what it does, and a sentence on it.
//!
//! The rows drive the parser ([`super::words`]), the lists of words in `schema/ng.schema.json`, and the index in
//! docs/FLAGS.md. To add a flag without a value: add a row to `switches`, use `flags.has(Switch::NAME)` where it takes
//! effect, and run `cargo run --example write_schema`.

use super::flags::{Flags, IceFlag};
use super::words::{FlagReader, KeyReader, choices, gate, plain};
use trestle_sdp::Protocol;

/// A flag without a value: a member of the list `flags`, a word of a flag string, or a key with the value `yes`.
#[derive(Debug, Clone, Copy)]
pub struct Word {
    /// As documented. Case, `-`, `_` and space make no difference.
    pub name: &'static str,
    /// What it does.
    pub effect: WordEffect,
    /// One sentence for docs/FLAGS.md; empty if the effect is enough.
    pub doc: &'static str,
}

/// What a word does.
#[derive(Debug, Clone, Copy)]
pub enum WordEffect {
    /// Turns a switch on.
    On(Switch),
    /// Turns a switch off: the default.
    Off(Switch),
    /// Changes several flags.
    Apply(fn(&mut Flags)),
    /// Part of a value that several words make together; has no meaning as a key.
    Part(fn(&mut FlagReader)),
    /// Asks for what Trestle does anyway, or is obsolete. No warning.
    AsAlways,
    /// Not supported. The reply names it in `warnings`.
    NotSupported,
}

/// A key with a value.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// As documented. Case, `-`, `_` and space make no difference.
    pub name: &'static str,
    /// What it does.
    pub effect: KeyEffect,
    /// The key may be written `KEY-VALUE` in one word.
    pub in_one_word: bool,
}

/// What a key does.
#[derive(Debug, Clone, Copy)]
pub enum KeyEffect {
    /// Reads the value.
    Read(KeyReader),
    /// Names the call, the party or the SDP, or is an argument of one verb: read with the request, not as a flag.
    Argument,
    /// Without effect here. No warning.
    AsAlways,
    /// Not supported. The reply names it in `warnings`.
    NotSupported,
    /// Without effect if its value is one of these, else not supported.
    NotSupportedBut(&'static [&'static str]),
}

macro_rules! table {
    (
        switches { $($(#[doc = $doc:literal])+ $switch:ident = $name:literal,)* }
        words { $($word:literal => $effect:expr,)* }
    ) => {
        /// A flag that is either on or off.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Switch {
            $($(#[doc = $doc])+ $switch,)*
        }

        /// Every word.
        pub const WORDS: &[Word] = &[
            $(Word { name: $name, effect: WordEffect::On(Switch::$switch), doc: concat!($($doc),+) },)*
            $(Word { name: $word, effect: $effect, doc: "" },)*
        ];
    };
}

use KeyEffect::{Argument, NotSupportedBut, Read};
use WordEffect::{Apply, Off, On, Part};

table! {
    switches {
        /// `delete` ignores the tags; media verbs: the whole call, whichever party is named.
        All = "all",
        /// Accept any codec that was offered, and transcode; the same as `codec-accept-all`.
        AlwaysTranscode = "always-transcode",
        /// Send to the signalled address and port, whatever port the sender's packets come from.
        Asymmetric = "asymmetric",
        /// Do not pass the sender's digits on, as after `block DTMF`.
        BlockDtmf = "block-DTMF",
        /// Detect tones in the sender's audio even if it announces telephone-events.
        DetectDtmf = "detect-DTMF",
        /// `delete`: no statistics in the reply.
        Fast = "fast",
        /// `delete`: a call that does not exist is an error.
        Fatal = "fatal",
        /// Write `a=rtcp` with its address.
        FullRtcpAttribute = "full-rtcp-attribute",
        /// Add `a=mid` to an offer without one.
        GenerateMid = "generate-mid",
        /// Offer telephone-event on both sides: digits will be played.
        InjectDtmf = "inject-DTMF",
        /// Mark the SDP, and return an offer that carries the mark unchanged.
        LoopProtect = "loop-protect",
        /// A to-tag not seen before names another party, not another fork of the known one.
        NewBranch = "new-branch",
        /// Leave out `a=rtcp`.
        NoRtcpAttribute = "no-rtcp-attribute",
        /// Leave the direction attribute (`a=sendrecv`, ...) unchanged.
        OriginalSendrecv = "original-sendrecv",
        /// Treat the incoming SDP as if it had no ICE.
        RejectIce = "reject-ICE",
        /// Keep the codec in use first in a re-offer.
        ReuseCodecs = "reuse-codecs",
        /// Answer with one codec (and telephone-event) only.
        SingleCodec = "single-codec",
        /// Use `received-from`, not the addresses in the SDP.
        SipSourceAddress = "SIP-source-address",
        /// After an address is learnt, drop packets from all other sources.
        StrictSource = "strict-source",
        /// `delete`: compare the to-tag too.
        ToTag = "to-tag",
        /// Replies may grow beyond 1,200 bytes.
        Verbose = "verbose",
        /// `query`: the verdict in full, and nothing else.
        Verdict = "verdict",
    }
    words {
        "no-codec-renegotiation" => On(Switch::ReuseCodecs),
        "symmetric" => Off(Switch::Asymmetric),
        "trust-address" => Off(Switch::SipSourceAddress),
        "pad-crypto" => Apply(|flags| flags.sdes.pad = true),
        "WebRTC" => Apply(webrtc),
        "RTP" => Part(|reader| reader.protocol_part(|parts| parts.secure = false)),
        "SRTP" => Part(|reader| reader.protocol_part(|parts| parts.secure = true)),
        "AVP" => Part(|reader| reader.protocol_part(|parts| parts.feedback = false)),
        "AVPF" => Part(|reader| reader.protocol_part(|parts| parts.feedback = true)),
        "DTLS" => Part(|reader| reader.protocol_part(|parts| parts.dtls = true)),
        "internal" => Part(|reader| reader.direction_name("internal")),
        "external" => Part(|reader| reader.direction_name("external")),
        "allow-asymmetric-codecs" => WordEffect::AsAlways,
        "allow-transcoding" => WordEffect::AsAlways,
        "asymmetric-codecs" => WordEffect::AsAlways,
        "debug" => WordEffect::AsAlways,
        "directional" => WordEffect::AsAlways,
        "discard-recording" => WordEffect::AsAlways,
        "exclude-recording" => WordEffect::AsAlways,
        "force" => WordEffect::AsAlways,
        "generate-RTCP" => WordEffect::AsAlways,
        "no-passthrough" => WordEffect::AsAlways,
        "no-player" => WordEffect::AsAlways,
        "no-redis-update" => WordEffect::AsAlways,
        "no-tls-id" => WordEffect::AsAlways,
        "port-latching" => WordEffect::AsAlways,
        "provisional" => WordEffect::AsAlways,
        "record-call-off" => WordEffect::AsAlways,
        "recrypt" => WordEffect::AsAlways,
        "reorder-codecs" => WordEffect::AsAlways,
        "session-connection" => WordEffect::AsAlways,
        "skip-recording-db" => WordEffect::AsAlways,
        "strip-extmap" => WordEffect::AsAlways,
        "symmetric-codecs" => WordEffect::AsAlways,
        "trickle-ICE" => WordEffect::AsAlways,
        "unidirectional" => WordEffect::AsAlways,
        "allow-no-codec-media" => WordEffect::NotSupported,
        "audio-player" => WordEffect::NotSupported,
        "bidirectional" => WordEffect::NotSupported,
        "block-egress" => WordEffect::NotSupported,
        "block-short" => WordEffect::NotSupported,
        "early-media" => WordEffect::NotSupported,
        "egress" => WordEffect::NotSupported,
        "force-transcoding" => WordEffect::NotSupported,
        "fragment" => WordEffect::NotSupported,
        "inactive" => WordEffect::NotSupported,
        "media-handover" => WordEffect::NotSupported,
        "mix" => WordEffect::NotSupported,
        "NAT-wait" => WordEffect::NotSupported,
        "no-jitter-buffer" => WordEffect::NotSupported,
        "no-port-latching" => WordEffect::NotSupported,
        "passthrough" => WordEffect::NotSupported,
        "pierce-NAT" => WordEffect::NotSupported,
        "record-call" => WordEffect::NotSupported,
        "recording-announcement" => WordEffect::NotSupported,
        "reset" => WordEffect::NotSupported,
        "RTCP-mirror" => WordEffect::NotSupported,
        "SIPREC" => WordEffect::NotSupported,
        "static-codecs" => WordEffect::NotSupported,
        "unsubscribe" => WordEffect::NotSupported,
    }
}

/// What a browser needs.
fn webrtc(flags: &mut Flags) {
    flags.transport_protocol = Some(Protocol::UdpTlsRtpSavpf);
    flags.ice = IceFlag::Force;
    flags.rtcp_mux.offer = true;
    flags.rtcp_mux.require = true;
    flags.sdes.off = true;
    flags.switches.set(Switch::NoRtcpAttribute, true);
    flags.switches.set(Switch::GenerateMid, true);
}

/// A key.
const fn key(name: &'static str, effect: KeyEffect) -> Key {
    Key { name, effect, in_one_word: false }
}

/// A key that may be written `KEY-VALUE` in one word.
const fn affix(name: &'static str, effect: KeyEffect) -> Key {
    Key { name, effect, in_one_word: true }
}

/// Every key but `codec-LIST`. Of two keys that begin a word in one, the longer comes first.
pub const KEYS: &[Key] = &[
    key("flags", Read(plain::flag_list)),
    key("rtpp-flags", Read(plain::rtpp_flags)),
    key("transport-protocol", Read(choices::transport_protocol)),
    key("ICE-lite", NotSupportedBut(&["off", "no", "disable"])),
    affix("ICE", Read(choices::ice)),
    key("DTLS-fingerprint", Read(plain::dtls_fingerprint)),
    key("DTLS-reverse", KeyEffect::NotSupported),
    affix("DTLS", Read(choices::dtls)),
    affix("SDES", Read(choices::sdes)),
    affix("rtcp-mux", Read(choices::rtcp_mux)),
    affix("bundle", Read(choices::bundle)),
    affix("replace", Read(choices::replace)),
    key("codec", Read(plain::codecs)),
    affix("profile", Read(choices::profile)),
    key("ptime", Read(plain::ptime)),
    key("ptime-reverse", Read(plain::ptime_reverse)),
    key("direction", Read(plain::direction)),
    key("interface", Read(plain::interface)),
    key("from-interface", Read(plain::from_interface)),
    key("to-interface", Read(plain::to_interface)),
    affix("address-family", Read(choices::address_family)),
    key("media-address", Read(plain::media_address)),
    affix("endpoint-learning", Read(choices::endpoint_learning)),
    key("label", Read(plain::label)),
    key("from-label", Read(plain::label)),
    key("set-label", Read(plain::label)),
    key("to-label", Read(plain::to_label)),
    key("TOS", Read(plain::tos)),
    affix("delete-delay", Read(plain::delete_delay)),
    key("drop-traffic", Read(choices::drop_traffic)),
    affix("gate-on-timeout", Read(gate::gate_on_timeout)),
    affix("gate-timeout", Read(gate::gate_timeout)),
    affix("gate", Read(gate::gate)),
    affix("pre-roll", Read(gate::pre_roll)),
    affix("filler", Read(gate::filler)),
    key("supports", Read(choices::supports)),
    key("DTMF-security", NotSupportedBut(&["drop", "silence"])),
    key("generate-RTCP", NotSupportedBut(&["on", "yes", "true", "1"])),
    key("record-call", NotSupportedBut(&["off", "no", "false", "0"])),
    key("sdp-media-remove", NotSupportedBut(&["video", "image", "text", "message", "application"])),
    key("command", Argument),
    key("call-id", Argument),
    key("from-tag", Argument),
    key("to-tag", Argument),
    key("to-call-id", Argument),
    key("via-branch", Argument),
    key("sdp", Argument),
    key("received-from", Argument),
    key("limit", Argument),
    key("code", Argument),
    key("digit", Argument),
    key("duration", Argument),
    key("volume", Argument),
    key("address", Argument),
    key("op", Argument),
    key("expires", Argument),
    key("grace", Argument),
    key("token", Argument),
    key("sip-message-type", KeyEffect::AsAlways),
    key("SIP-code", KeyEffect::AsAlways),
    key("repacketize", KeyEffect::AsAlways),
    key("instance", KeyEffect::AsAlways),
    key("alias-key", KeyEffect::AsAlways),
    key("extmap", KeyEffect::AsAlways),
    key("audio-player", KeyEffect::NotSupported),
    key("delay-buffer", KeyEffect::NotSupported),
    key("DTMF-delay", KeyEffect::NotSupported),
    key("DTMF-log-dest", KeyEffect::NotSupported),
    key("DTMF-security-trigger", KeyEffect::NotSupported),
    key("DTMF-security-trigger-end", KeyEffect::NotSupported),
    key("frequency", KeyEffect::NotSupported),
    affix("from-tags", KeyEffect::NotSupported),
    key("inbound-peer", KeyEffect::NotSupported),
    key("media-echo", KeyEffect::NotSupported),
    key("metadata", KeyEffect::NotSupported),
    key("moh", KeyEffect::NotSupported),
    affix("OSRTP", KeyEffect::NotSupported),
    key("outbound-peer", KeyEffect::NotSupported),
    key("pause", KeyEffect::NotSupported),
    key("peer", KeyEffect::NotSupported),
    key("recording-dir", KeyEffect::NotSupported),
    key("recording-file", KeyEffect::NotSupported),
    key("recording-pattern", KeyEffect::NotSupported),
    affix("sdp-attr", KeyEffect::NotSupported),
    key("T.38", KeyEffect::NotSupported),
    affix("T38", KeyEffect::NotSupported),
    key("template", KeyEffect::NotSupported),
    key("trigger", KeyEffect::NotSupported),
    key("trigger-end", KeyEffect::NotSupported),
    key("trigger-end-digits", KeyEffect::NotSupported),
    key("trigger-end-time", KeyEffect::NotSupported),
    key("xmlrpc-callback", KeyEffect::NotSupported),
];

/// The word of this name, in any spelling.
pub fn word(name: &str) -> Option<&'static Word> {
    WORDS.iter().find(|word| word.name.eq_ignore_ascii_case(name))
}

/// The key of this name, normalised.
pub fn key_named(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name.eq_ignore_ascii_case(name))
}

/// The switches that are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Switches(u32);

impl Switches {
    /// These and no others.
    pub fn of(on: &[Switch]) -> Self {
        on.iter().fold(Self::default(), |mut switches, switch| {
            switches.set(*switch, true);
            switches
        })
    }

    /// True if `switch` is on.
    pub fn has(self, switch: Switch) -> bool {
        self.0 & (1 << switch as u32) != 0
    }

    /// Turns `switch` on or off.
    pub fn set(&mut self, switch: Switch, on: bool) {
        let bit = 1 << switch as u32;
        self.0 = if on { self.0 | bit } else { self.0 & !bit };
    }
}
