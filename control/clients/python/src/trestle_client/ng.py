"""The messages' types. Written from control/ng/schema/*.json by control/ng/schema/write_types.py; do not edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NotRequired, TypedDict

Word = Literal[
    "all", "always-transcode", "asymmetric", "block-DTMF", "detect-DTMF", "fast", "fatal",
    "full-rtcp-attribute", "generate-mid", "inject-DTMF", "loop-protect", "new-branch",
    "no-codec-renegotiation", "no-rtcp-attribute", "original-sendrecv", "pad-crypto", "reject-ICE",
    "reuse-codecs", "single-codec", "SIP-source-address", "strict-source", "symmetric", "to-tag",
    "trust-address", "verbose", "verdict", "WebRTC"
]
"""A member of `flags` that is acted on. Which message it belongs in, and what it does: docs/FLAGS.md."""

Protocol = Literal[
    "RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF"
]

EventName = Literal[
    "call.opened", "call.answered", "call.ice.connected", "call.dtls.connected", "call.gate.opened",
    "call.gate.closed", "call.gate.timed-out", "call.media.first-in", "call.media.first-out", "call.caught-up",
    "call.dtmf", "call.at-risk", "call.recovered", "call.leg.failed", "call.media.timeout", "call.ended"
]


Codec = TypedDict(
    "Codec",
    {
        "strip": 'NotRequired[Sequence[str]]',
        "except": 'NotRequired[Sequence[str]]',
        "offer": 'NotRequired[Sequence[str]]',
        "transcode": 'NotRequired[Sequence[str]]',
        "mask": 'NotRequired[Sequence[str]]',
        "consume": 'NotRequired[Sequence[str]]',
        "accept": 'NotRequired[Sequence[str]]',
        "ignore": 'NotRequired[Sequence[str]]',
        "set": 'NotRequired[Sequence[str]]',
    },
)
"""Codecs as `opus/48000/2`, `PCMA`, or `all`."""


class Options(TypedDict, total=False):
    """Keywords of `Client.offer` and `Client.answer`; `_` replaces `-`."""

    profile: Literal["whatsapp", "sip", "webrtc"]
    """The rules for the receiver of the returned SDP. Default: found from the SDP and the other keys."""
    transport_protocol: Protocol | Literal["accept"]
    """Protocol of the returned SDP. `accept` (answers) is not supported and causes a warning."""
    ICE: Literal["default", "remove", "force", "force-relay", "optional", "trickle"]
    """ICE in the returned SDP."""
    DTLS: Literal["off", "no", "disable", "passive", "active"]
    """Off, or the preferred role."""
    DTLS_fingerprint: str
    """Hash of Trestle's fingerprint; default `sha-256`."""
    SDES: Sequence[str]
    """`off`, `prefer`, `nonew`, `pad`, `lifetime`, `static`, `no-SUITE`, `only-SUITE`, `order:SUITE;SUITE`, `offerer_pref:SUITE;SUITE`."""
    rtcp_mux: Sequence[Literal["offer", "require", "demux", "accept", "reject"]]
    bundle: Sequence[Literal["accept", "offer", "require", "strict", "reject"]]
    replace: Sequence[Literal["origin", "origin-full", "session-name", "username", "SDP-version", "force-increment-sdp-ver", "zero-address", "session-connection"]]
    codec: Codec
    """Codecs as `opus/48000/2`, `PCMA`, or `all`."""
    ptime: int
    """Packet time towards the receiver, ms."""
    ptime_reverse: int
    """Packet time towards the sender, ms."""
    direction: Sequence[str]
    """Logical interfaces: towards the sender, towards the receiver."""
    interface: str
    """One logical interface for both."""
    from_interface: str
    to_interface: str
    address_family: Literal["IP4", "IP6"]
    """Address family of the returned SDP."""
    media_address: str
    """Media address of the sender; overrides the sender's SDP."""
    received_from: str | Sequence[str]
    """Source address of the signalling; used with the flag `SIP-source-address`."""
    endpoint_learning: Literal["delayed", "immediate", "heuristic", "off"]
    label: str
    """A name for the sender, for `query` and the digit feed."""
    to_label: str
    """A name for the receiver."""
    TOS: int
    """DSCP byte of the call; negative: unchanged."""
    gate: Literal["shut", "open"]
    """`shut`: no media is sent to WhatsApp until the verb `gate`. No effect after the exchange is complete."""
    gate_timeout: int
    """How long the gate may stay shut after the exchange is complete, s."""
    gate_on_timeout: Literal["shut", "open"]
    """State of the gate after that time."""
    pre_roll: int
    """How much audio for WhatsApp is buffered before it can be sent, ms."""
    filler: Literal["comfort-noise", "silence", "hold-tone", "none"]
    """What WhatsApp receives when there is nothing to forward."""
    drop_traffic: Literal["start", "stop"]
    """Stop all media of the call, or let it through again."""
    via_branch: str
    """Distinguishes forks and retries of one request."""
    supports: Sequence[Literal["load limit"]]
    """`load limit`: an overloaded Trestle may reply with `result` `load limit`."""
    flags: Sequence[Word | str]
    """Words without a value. Keys with a value may be written here too: `ICE-remove` or `ICE=remove`."""
    rtpp_flags: str
    """All options and flags in one string."""


PingReply = TypedDict(
    "PingReply",
    {
        "draining": 'NotRequired[Literal[1]]',
        "result": 'Literal["pong"]',
        "warnings": 'NotRequired[Sequence[str]]',
    },
)


SdpReply = TypedDict(
    "SdpReply",
    {
        "sdp": 'str',
        "warnings": 'NotRequired[Sequence[str]]',
        "result": 'Literal["ok"]',
    },
)


Endpoint = TypedDict(
    "Endpoint",
    {
        "family": 'Literal["IPv4", "IPv6"]',
        "address": 'str',
        "port": 'int',
    },
)
"""Destination of media; missing while unknown."""


Stats = TypedDict(
    "Stats",
    {
        "packets": 'int',
        "bytes": 'int',
        "errors": 'int',
    },
)


Stream = TypedDict(
    "Stream",
    {
        "local port": 'NotRequired[int]',
        "endpoint": 'NotRequired[Endpoint]',
        "SSRC": 'NotRequired[int]',
        "stats": 'Stats',
        "stats_out": 'Stats',
    },
)


Media = TypedDict(
    "Media",
    {
        "index": 'Literal[1]',
        "type": 'Literal["audio"]',
        "protocol": 'Protocol',
        "streams": 'Sequence[Stream]',
    },
)


Leg = TypedDict(
    "Leg",
    {
        "description": 'str',
        "timeline-ms": 'Mapping[str, int]',
        "local-ssrc": 'int',
        "packets-lost": 'int',
        "jitter-us": 'int',
        "playout-delay-ms": 'int',
        "concealed-frames": 'int',
        "filled-frames": 'int',
        "pre-roll-ms": 'int',
        "clipped-ms": 'int',
        "caught-up-ms": 'NotRequired[int]',
        "digits-in": 'str',
        "digits-out": 'str',
        "discards": 'Mapping[str, int]',
        "round-trip-us": 'NotRequired[int]',
        "remote-loss-percent": 'NotRequired[int]',
    },
)
"""With the flag `verbose` only."""


Party = TypedDict(
    "Party",
    {
        "tag": 'str',
        "label": 'NotRequired[str]',
        "medias": 'NotRequired[Sequence[Media]]',
        "leg": 'NotRequired[Leg]',
    },
)


CallTotals = TypedDict(
    "CallTotals",
    {
        "RTP": 'Stats',
        "RTCP": 'Stats',
    },
)
"""What all legs received."""


LegStory = TypedDict(
    "LegStory",
    {
        "tag": 'NotRequired[str]',
        "label": 'NotRequired[str]',
        "profile": 'Literal["whatsapp", "sip", "webrtc"]',
        "codec": 'NotRequired[str]',
        "mos-x10": 'NotRequired[int]',
        "r": 'NotRequired[int]',
        "packets-in": 'int',
        "packets-out": 'int',
        "loss-permille": 'int',
        "jitter-ms": 'int',
        "concealed-frames": 'int',
        "filled-frames": 'int',
        "pre-roll-ms": 'int',
        "clipped-ms": 'int',
        "caught-up-ms": 'NotRequired[int]',
        "round-trip-ms": 'NotRequired[int]',
        "first-media-after-ms": 'NotRequired[int]',
        "remote-loss-percent": 'NotRequired[int]',
        "digits-in": 'NotRequired[str]',
        "digits-out": 'NotRequired[str]',
    },
)


Moment = TypedDict(
    "Moment",
    {
        "ms": 'int',
        "who": 'NotRequired[str]',
        "what": 'str',
    },
)


Verdict = TypedDict(
    "Verdict",
    {
        "grade": 'Literal["none", "good", "fair", "bad"]',
        "cause": 'Literal["running", "unanswered", "too_short", "normal", "ice_never_connected", "dtls_stuck", "fingerprint_mismatch", "gate_never_opened", "gate_opened_late", "media_to_whatsapp_late", "no_media_to_whatsapp", "media_to_whatsapp_stopped", "no_media_from_whatsapp", "whatsapp_fell_silent", "consent_lost", "one_way", "sip_side_gone", "no_media", "held_too_long", "internal_error"]',
        "mos-x10": 'NotRequired[int]',
        "meta-code": 'NotRequired[Literal[138020, 138021, 138022, 138023]]',
        "sip-code": 'NotRequired[Literal[408]]',
        "hints": 'NotRequired[Sequence[Literal["sip_ack_timeout_suspected", "slow_media_setup", "clipped", "media_interrupted", "packet_loss", "wrong_keys", "foreign_source", "unknown_payload_type"]]]',
        "summary": 'NotRequired[str]',
        "answered-ms": 'NotRequired[int]',
        "age-ms": 'NotRequired[int]',
        "ended": 'NotRequired[Literal["deleted", "offer_timeout", "media_timeout", "silent_timeout", "shutdown", "failed", "half_open_limit"]]',
        "ended-by": 'NotRequired[str]',
        "evidence": 'NotRequired[Sequence[str]]',
        "advice": 'NotRequired[str]',
        "explanation": 'NotRequired[str]',
        "legs": 'NotRequired[Sequence[LegStory]]',
        "timeline": 'NotRequired[Sequence[Moment]]',
    },
)
"""The quality of the call and why it ended. In short replies only up to `hints`, and missing if there is no room in 1,200 bytes."""


CallReply = TypedDict(
    "CallReply",
    {
        "created": 'int',
        "tags": 'NotRequired[Mapping[str, Party]]',
        "totals": 'CallTotals',
        "verdict": 'NotRequired[Verdict]',
        "warnings": 'NotRequired[Sequence[str]]',
        "result": 'Literal["ok"]',
    },
)


ListReply = TypedDict(
    "ListReply",
    {
        "calls": 'Sequence[str]',
        "warnings": 'NotRequired[Sequence[str]]',
        "result": 'Literal["ok"]',
    },
)


Counters = TypedDict(
    "Counters",
    {
        "currentstatistics": 'Mapping[str, int]',
        "totalstatistics": 'Mapping[str, int]',
        "controlstatistics": 'Mapping[str, int]',
        "discards": 'Mapping[str, int]',
    },
)
"""Counters since the start."""


StatisticsReply = TypedDict(
    "StatisticsReply",
    {
        "statistics": 'Counters',
        "warnings": 'NotRequired[Sequence[str]]',
        "result": 'Literal["ok"]',
    },
)


DoneReply = TypedDict(
    "DoneReply",
    {
        "warnings": 'NotRequired[Sequence[str]]',
        "result": 'Literal["ok"]',
    },
)


GateReply = TypedDict(
    "GateReply",
    {
        "gate": 'Literal["open", "closed"]',
        "warnings": 'NotRequired[Sequence[str]]',
        "result": 'Literal["ok"]',
    },
)


SubscribeEventsReply = TypedDict(
    "SubscribeEventsReply",
    {
        "expires": 'int',
        "warnings": 'NotRequired[Sequence[str]]',
        "result": 'Literal["ok"]',
    },
)


DrainReply = TypedDict(
    "DrainReply",
    {
        "calls": 'int',
        "grace": 'NotRequired[int]',
        "warnings": 'NotRequired[Sequence[str]]',
        "result": 'Literal["ok"]',
    },
)


DeleteReply = TypedDict(
    "DeleteReply",
    {
        "warning": 'NotRequired[str]',
        "created": 'NotRequired[int]',
        "tags": 'NotRequired[Mapping[str, Party]]',
        "totals": 'NotRequired[CallTotals]',
        "verdict": 'NotRequired[Verdict]',
        "warnings": 'NotRequired[Sequence[str]]',
        "result": 'Literal["ok"]',
    },
)
"""The report is missing with the flag `fast`, and for an unknown call."""


Refusal = TypedDict(
    "Refusal",
    {
        "result": 'Literal["error", "load limit"]',
        "error-reason": 'NotRequired[str]',
        "message": 'NotRequired[str]',
        "token": 'NotRequired[str]',
        "warnings": 'NotRequired[Sequence[str]]',
    },
)
"""The part of `error-reason` before a colon never changes; the rest is for people. Only callers that support `load limit` get it. After it, and after `Ran out of ports` and `Parallel session limit reached`, try another node."""


DigitLine = TypedDict(
    "DigitLine",
    {
        "callid": 'str',
        "source_tag": 'str',
        "source_label": 'str',
        "tags": 'Sequence[str]',
        "type": 'Literal["DTMF"]',
        "timestamp": 'int',
        "source_ip": 'str',
        "event": 'int',
        "duration": 'int',
        "volume": 'int',
    },
)
"""One datagram of the digit feed (`dtmf-log-dest`): a key was pressed and released."""


EndedLeg = TypedDict(
    "EndedLeg",
    {
        "tag": 'NotRequired[str]',
        "label": 'NotRequired[str]',
        "packets-in": 'int',
        "packets-out": 'int',
        "packets-lost": 'int',
        "concealed-frames": 'int',
        "filled-frames": 'int',
        "pre-roll-ms": 'int',
        "clipped-ms": 'int',
        "caught-up-ms": 'NotRequired[int]',
    },
)


EndedVerdict = TypedDict(
    "EndedVerdict",
    {
        "grade": 'Literal["none", "good", "fair", "bad"]',
        "cause": 'Literal["running", "unanswered", "too_short", "normal", "ice_never_connected", "dtls_stuck", "fingerprint_mismatch", "gate_never_opened", "gate_opened_late", "media_to_whatsapp_late", "no_media_to_whatsapp", "media_to_whatsapp_stopped", "no_media_from_whatsapp", "whatsapp_fell_silent", "consent_lost", "one_way", "sip_side_gone", "no_media", "held_too_long", "internal_error"]',
        "mos-x10": 'NotRequired[int]',
        "meta-code": 'NotRequired[Literal[138020, 138021, 138022, 138023]]',
        "sip-code": 'NotRequired[Literal[408]]',
        "hints": 'NotRequired[Sequence[Literal["sip_ack_timeout_suspected", "slow_media_setup", "clipped", "media_interrupted", "packet_loss", "wrong_keys", "foreign_source", "unknown_payload_type"]]]',
        "summary": 'str',
    },
)
"""The quality of the call and why it ended."""


CallEvent = TypedDict(
    "CallEvent",
    {
        "event": 'EventName',
        "event-id": 'int',
        "time-ms": 'int',
        "call-id": 'str',
        "tag": 'NotRequired[str]',
        "label": 'NotRequired[str]',
        "after-ms": 'int',
        "gate": 'NotRequired[Literal["shut", "open"]]',
        "digit": 'NotRequired[Literal["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "#", "A", "B", "C", "D"]]',
        "duration-ms": 'NotRequired[int]',
        "volume": 'NotRequired[int]',
        "risk": 'NotRequired[Literal["nothing-sent", "nothing-received", "fell-silent", "ice-stuck", "dtls-stuck", "sip-gone", "one-way", "flood", "ring", "unproven"]]',
        "stage": 'NotRequired[Literal["opened", "remote-known", "first-check", "ice-connected", "dtls-connected", "latched", "first-media-in", "first-media-out", "gate-opened", "caught-up"]]',
        "lasted-ms": 'NotRequired[int]',
        "reason": 'NotRequired[str]',
        "cause": 'NotRequired[Literal["deleted", "offer_timeout", "media_timeout", "silent_timeout", "shutdown", "failed", "half_open_limit"]]',
        "legs": 'NotRequired[Sequence[EndedLeg]]',
        "verdict": 'NotRequired[EndedVerdict]',
    },
)
