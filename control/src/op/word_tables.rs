//! Keys and flags that need no code: known, but without effect here.

/// Keys that say which call, party or SDP is meant; [`super::request`] reads them.
pub(super) const IDENTITY_KEYS: &[&str] = &[
    "command",
    "call-id",
    "from-tag",
    "to-tag",
    "to-call-id",
    "via-branch",
    "sdp",
    "received-from",
    "limit",
    "code",
    "digit",
    "duration",
    "volume",
    "address",
];

/// Keys that every proxy sends and nobody misses.
pub(super) const SILENT_KEYS: &[&str] = &["sip-message-type", "sip-code", "repacketize", "instance", "alias-key"];

/// Keys that ask for something that is not done.
pub(super) const KEYS_NOT_DONE: &[&str] = &[
    "audio-player",
    "delay-buffer",
    "drop-traffic",
    "dtls-reverse",
    "dtmf-delay",
    "dtmf-log-dest",
    "dtmf-security",
    "dtmf-security-trigger",
    "dtmf-security-trigger-end",
    "extmap",
    "from-tags",
    "generate-rtcp",
    "inbound-peer",
    "media-echo",
    "metadata",
    "moh",
    "osrtp",
    "outbound-peer",
    "pause",
    "peer",
    "record-call",
    "recording-dir",
    "recording-file",
    "recording-pattern",
    "sdp-attr",
    "sdp-media-remove",
    "t.38",
    "t38",
    "template",
    "xmlrpc-callback",
];

/// Flags that are what Trestle does anyway, or that are obsolete.
pub(super) const SILENT_WORDS: &[&str] = &[
    "allow-asymmetric-codecs",
    "asymmetric-codecs",
    "debug",
    "directional",
    "force",
    "generate-rtcp",
    "no-redis-update",
    "no-tls-id",
    "port-latching",
    "provisional",
    "record-call-off",
    "recrypt",
    "reorder-codecs",
    "session-connection",
    "symmetric-codecs",
];

/// Flags that ask for something that is not done.
pub(super) const WORDS_NOT_DONE: &[&str] = &[
    "allow-no-codec-media",
    "allow-transcoding",
    "audio-player",
    "bidirectional",
    "block-egress",
    "block-short",
    "detect-dtmf",
    "discard-recording",
    "early-media",
    "egress",
    "exclude-recording",
    "force-transcoding",
    "fragment",
    "inactive",
    "mix",
    "nat-wait",
    "no-jitter-buffer",
    "no-passthrough",
    "no-player",
    "no-port-latching",
    "passthrough",
    "pierce-nat",
    "record-call",
    "recording-announcement",
    "rtcp-mirror",
    "siprec",
    "skip-recording-db",
    "static-codecs",
    "strip-extmap",
    "unidirectional",
    "unsubscribe",
];

/// Keys that may be written `KEY-VALUE` in one word, beside `codec-...` and `transcode-...`.
pub(super) const PREFIXES: &[&str] = &[
    "address-family",
    "bundle",
    "delete-delay",
    "dtls",
    "endpoint-learning",
    "from-tags",
    "ice",
    "osrtp",
    "profile",
    "replace",
    "rtcp-mux",
    "sdes",
    "sdp-attr",
    "t38",
];

/// Flags that code acts on; for those written as `flag=yes`.
const WORDS: &[&str] = &[
    "all",
    "always-transcode",
    "asymmetric",
    "block-dtmf",
    "fast",
    "fatal",
    "full-rtcp-attribute",
    "generate-mid",
    "inject-dtmf",
    "loop-protect",
    "media-handover",
    "new-branch",
    "no-codec-renegotiation",
    "no-rtcp-attribute",
    "original-sendrecv",
    "pad-crypto",
    "reject-ice",
    "reset",
    "reuse-codecs",
    "single-codec",
    "sip-source-address",
    "strict-source",
    "symmetric",
    "trickle-ice",
    "trust-address",
    "verbose",
    "webrtc",
];

/// True for any word of the tables here.
pub(super) fn is_word(name: &str) -> bool {
    [WORDS, SILENT_WORDS, WORDS_NOT_DONE].iter().any(|table| table.contains(&name))
}
