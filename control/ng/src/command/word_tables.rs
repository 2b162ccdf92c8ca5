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
    "op",
    "expires",
];

/// Keys that every proxy sends and nobody misses.
pub(super) const SILENT_KEYS: &[&str] =
    &["sip-message-type", "sip-code", "repacketize", "instance", "alias-key", "extmap"];

/// Keys that ask for something that is not done.
pub(super) const KEYS_NOT_DONE: &[&str] = &[
    "audio-player",
    "delay-buffer",
    "dtls-reverse",
    "dtmf-delay",
    "dtmf-log-dest",
    "dtmf-security-trigger",
    "dtmf-security-trigger-end",
    "frequency",
    "from-tags",
    "inbound-peer",
    "media-echo",
    "metadata",
    "moh",
    "osrtp",
    "outbound-peer",
    "pause",
    "peer",
    "recording-dir",
    "recording-file",
    "recording-pattern",
    "sdp-attr",
    "t.38",
    "t38",
    "template",
    "trigger",
    "trigger-end",
    "trigger-end-digits",
    "trigger-end-time",
    "xmlrpc-callback",
];

/// Flags that are what Trestle does anyway, or that are obsolete.
pub(super) const SILENT_WORDS: &[&str] = &[
    "allow-asymmetric-codecs",
    "allow-transcoding",
    "asymmetric-codecs",
    "debug",
    "directional",
    "discard-recording",
    "exclude-recording",
    "force",
    "generate-rtcp",
    "no-passthrough",
    "no-player",
    "no-redis-update",
    "no-tls-id",
    "port-latching",
    "provisional",
    "record-call-off",
    "recrypt",
    "reorder-codecs",
    "session-connection",
    "skip-recording-db",
    "strict-source",
    "strip-extmap",
    "symmetric-codecs",
    "trickle-ice",
    "unidirectional",
];

/// Flags that ask for something that is not done.
pub(super) const WORDS_NOT_DONE: &[&str] = &[
    "allow-no-codec-media",
    "audio-player",
    "bidirectional",
    "block-egress",
    "block-short",
    "early-media",
    "egress",
    "force-transcoding",
    "fragment",
    "inactive",
    "media-handover",
    "mix",
    "nat-wait",
    "no-jitter-buffer",
    "no-port-latching",
    "passthrough",
    "pierce-nat",
    "record-call",
    "recording-announcement",
    "reset",
    "rtcp-mirror",
    "siprec",
    "static-codecs",
    "unsubscribe",
];

/// Keys that may be written `KEY-VALUE` in one word, beside `codec-...` and `transcode-...`.
pub(super) const PREFIXES: &[&str] = &[
    "address-family",
    "bundle",
    "delete-delay",
    "dtls",
    "endpoint-learning",
    "filler",
    "from-tags",
    "gate-on-timeout",
    "gate-timeout",
    "gate",
    "ice",
    "osrtp",
    "pre-roll",
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
    "detect-dtmf",
    "fast",
    "fatal",
    "full-rtcp-attribute",
    "generate-mid",
    "inject-dtmf",
    "loop-protect",
    "new-branch",
    "no-codec-renegotiation",
    "no-rtcp-attribute",
    "original-sendrecv",
    "pad-crypto",
    "reject-ice",
    "reuse-codecs",
    "single-codec",
    "sip-source-address",
    "symmetric",
    "trust-address",
    "verbose",
    "verdict",
    "webrtc",
];

/// True for any word of the tables here.
pub(super) fn is_word(name: &str) -> bool {
    [WORDS, SILENT_WORDS, WORDS_NOT_DONE].iter().any(|table| table.contains(&name))
}

/// Every word of the tables.
pub fn every_word() -> impl Iterator<Item = &'static str> {
    [SILENT_KEYS, KEYS_NOT_DONE, SILENT_WORDS, WORDS_NOT_DONE, PREFIXES, WORDS].into_iter().flatten().copied()
}
