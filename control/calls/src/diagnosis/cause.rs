//! Causes of the end of calls, the matching error codes of Meta, and hints.

/// Why a call ended, as far as its media shows. What ended it, a `delete` or a timer, is [`crate::ended::EndedBy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndCause {
    /// It is active, without a fault.
    Running,
    /// It was not answered.
    Unanswered,
    /// It ended before media of both sides could be received.
    TooShort,
    /// A party hung up.
    Normal,
    /// No connectivity check has succeeded.
    IceNeverConnected,
    /// The DTLS handshake did not complete.
    DtlsStuck,
    /// The certificate does not match `a=fingerprint`.
    FingerprintMismatch,
    /// The gate was not opened.
    GateNeverOpened,
    /// The gate was opened after the timeout of WhatsApp.
    GateOpenedLate,
    /// The first media was sent to WhatsApp after its timeout.
    MediaToWhatsappLate,
    /// The path to WhatsApp was up, and no media was sent.
    NoMediaToWhatsapp,
    /// Media was sent to WhatsApp, and then stopped.
    MediaToWhatsappStopped,
    /// No media was received from WhatsApp.
    NoMediaFromWhatsapp,
    /// Media was received from WhatsApp, and then stopped.
    WhatsappFellSilent,
    /// The path was lost: consent checks were not answered (RFC 7675).
    ConsentLost,
    /// No media was received from another party than WhatsApp.
    OneWay,
    /// Media was received from the SIP side, and then stopped.
    SipSideGone,
    /// No media was received from any party.
    NoMedia,
    /// It was on hold on every side for too long.
    HeldTooLong,
    /// A bug in Trestle.
    InternalError,
}

impl EndCause {
    /// Every cause.
    pub const ALL: [Self; 20] = [
        Self::Running,
        Self::Unanswered,
        Self::TooShort,
        Self::Normal,
        Self::IceNeverConnected,
        Self::DtlsStuck,
        Self::FingerprintMismatch,
        Self::GateNeverOpened,
        Self::GateOpenedLate,
        Self::MediaToWhatsappLate,
        Self::NoMediaToWhatsapp,
        Self::MediaToWhatsappStopped,
        Self::NoMediaFromWhatsapp,
        Self::WhatsappFellSilent,
        Self::ConsentLost,
        Self::OneWay,
        Self::SipSideGone,
        Self::NoMedia,
        Self::HeldTooLong,
        Self::InternalError,
    ];

    /// Name in replies, events and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Unanswered => "unanswered",
            Self::TooShort => "too_short",
            Self::Normal => "normal",
            Self::IceNeverConnected => "ice_never_connected",
            Self::DtlsStuck => "dtls_stuck",
            Self::FingerprintMismatch => "fingerprint_mismatch",
            Self::GateNeverOpened => "gate_never_opened",
            Self::GateOpenedLate => "gate_opened_late",
            Self::MediaToWhatsappLate => "media_to_whatsapp_late",
            Self::NoMediaToWhatsapp => "no_media_to_whatsapp",
            Self::MediaToWhatsappStopped => "media_to_whatsapp_stopped",
            Self::NoMediaFromWhatsapp => "no_media_from_whatsapp",
            Self::WhatsappFellSilent => "whatsapp_fell_silent",
            Self::ConsentLost => "consent_lost",
            Self::OneWay => "one_way",
            Self::SipSideGone => "sip_side_gone",
            Self::NoMedia => "no_media",
            Self::HeldTooLong => "held_too_long",
            Self::InternalError => "internal_error",
        }
    }

    /// What to do about it.
    pub(super) fn advice(self) -> Option<&'static str> {
        Some(match self {
            Self::Running | Self::Unanswered | Self::TooShort | Self::Normal | Self::HeldTooLong => return None,
            Self::IceNeverConnected => {
                "Check that the address in our SDP (`interface=LOCAL!PUBLIC`) is reachable from outside, that UDP to `port-min` \
                 to `port-max` is open, and that the SDP of our reply was forwarded unchanged."
            }
            Self::DtlsStuck => {
                "Check that the SDP of our reply was forwarded unchanged, that `a=setup` makes only one side the DTLS client, \
                 and that datagrams of 1,200 bytes arrive."
            }
            Self::FingerprintMismatch => {
                "The SDP in the request is not that of the peer that answered: look for an answer of another call or branch."
            }
            Self::GateNeverOpened => {
                "If the call was accepted, the application must send `gate` `open` when Meta has answered `accept` with 200, \
                 or when the status ACCEPTED arrives. If it was not accepted, this is not a fault."
            }
            Self::GateOpenedLate => {
                "Send `gate` `open` as soon as Meta has answered `accept` with 200, or when the status ACCEPTED arrives: WhatsApp \
                 waits 20 s for media."
            }
            Self::MediaToWhatsappLate => {
                "Look in the timeline for the stage that took long. Usual reasons are an answer that was forwarded late and a \
                 firewall that let connectivity checks through late."
            }
            Self::NoMediaToWhatsapp | Self::MediaToWhatsappStopped => {
                "Send media to WhatsApp while the other side is silent: set `filler` to another value than `none`, and do not \
                 block its media."
            }
            Self::NoMediaFromWhatsapp => {
                "Look at the discards of WhatsApp's leg: if packets arrived and were discarded, the keys or the SDP are those of \
                 another call. If none arrived, check the caller's network and the path from Meta's relay to Trestle."
            }
            Self::WhatsappFellSilent => {
                "Most likely the caller lost its network: a tunnel, or a change from Wi-Fi to mobile."
            }
            Self::ConsentLost => {
                "The peer or the network is gone. If this happens after the same time in every call, look for a firewall or NAT \
                 that drops UDP flows."
            }
            Self::OneWay => {
                "Look at the discards of the silent leg, and check that the phone sends from the address in its SDP; if it is \
                 behind NAT, use `endpoint-learning=immediate` or `SIP-source-address`."
            }
            Self::SipSideGone => {
                "The phone, the PBX or its network disappeared without a BYE: look at the log of the SIP side."
            }
            Self::NoMedia => {
                "No packets arrived from either side: a firewall blocks our media ports, or the address in our SDP is wrong \
                 (`interface=LOCAL!PUBLIC`)."
            }
            Self::InternalError => "This is a bug in Trestle: please report it with the log.",
        })
    }
}

/// The error of the `terminate` web hook that matches a call (Meta's table of calling error codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetaCode {
    /// WhatsApp's client did not reach the relay.
    RelayConnectionFailed,
    /// WhatsApp's client received no media for a long time.
    MediaReceiveTimeout,
    /// WhatsApp's client sent no media for a long time.
    MediaTransmitTimeout,
    /// Accepted, and terminated without media.
    NoMediaSignals,
}

impl MetaCode {
    /// Every code.
    pub const ALL: [Self; 4] =
        [Self::RelayConnectionFailed, Self::MediaReceiveTimeout, Self::MediaTransmitTimeout, Self::NoMediaSignals];

    /// The number.
    pub fn number(self) -> u32 {
        match self {
            Self::RelayConnectionFailed => 138_020,
            Self::MediaReceiveTimeout => 138_021,
            Self::MediaTransmitTimeout => 138_022,
            Self::NoMediaSignals => 138_023,
        }
    }

    /// Meta's name for it.
    pub fn title(self) -> &'static str {
        match self {
            Self::RelayConnectionFailed => "Relay connection failed",
            Self::MediaReceiveTimeout => "Media receive timeout",
            Self::MediaTransmitTimeout => "Media transmit timeout",
            Self::NoMediaSignals => "Call accepted but terminated with no media signals",
        }
    }

    /// The status with which WhatsApp ends a SIP call for the same reason: 408, "RTP Timeout".
    pub fn sip_status(self) -> Option<u16> {
        (self == Self::MediaReceiveTimeout).then_some(408)
    }
}

/// A finding beside the cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hint {
    /// It ended 30 to 34 s after the answer while media flowed: an ACK that never arrived (RFC 3261 section 13.3.1.4: the 200 is
    /// given up after 64 * T1, 32 s).
    SipAckTimeoutSuspected,
    /// The first media was sent to WhatsApp seconds after the answer.
    SlowMediaSetup,
    /// Audio was lost because it came before it could be sent.
    Clipped,
    /// The media of a party, or to a party, stopped for 10 s or more and came back.
    MediaInterrupted,
    /// More than 3 % of the packets of a party were lost.
    PacketLoss,
    /// Packets were received that are not encrypted with the keys of this call.
    WrongKeys,
    /// Packets were received from an address that the SDP does not name.
    ForeignSource,
    /// Packets were received with a payload type that was not negotiated.
    UnknownPayloadType,
}

impl Hint {
    /// Every hint.
    pub const ALL: [Self; 8] = [
        Self::SipAckTimeoutSuspected,
        Self::SlowMediaSetup,
        Self::Clipped,
        Self::MediaInterrupted,
        Self::PacketLoss,
        Self::WrongKeys,
        Self::ForeignSource,
        Self::UnknownPayloadType,
    ];

    /// Name in replies and events.
    pub fn name(self) -> &'static str {
        match self {
            Self::SipAckTimeoutSuspected => "sip_ack_timeout_suspected",
            Self::SlowMediaSetup => "slow_media_setup",
            Self::Clipped => "clipped",
            Self::MediaInterrupted => "media_interrupted",
            Self::PacketLoss => "packet_loss",
            Self::WrongKeys => "wrong_keys",
            Self::ForeignSource => "foreign_source",
            Self::UnknownPayloadType => "unknown_payload_type",
        }
    }

    /// True if a call with this hint is graded `fair` at best.
    pub(super) fn lowers_grade(self) -> bool {
        matches!(self, Self::SlowMediaSetup | Self::Clipped | Self::MediaInterrupted | Self::PacketLoss)
    }

    /// The hint as a sentence for the operator.
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::SipAckTimeoutSuspected => {
                "The call ended 30 to 34 s after the answer while media flowed: after that time a SIP stack gives up a 200 for \
                 which no ACK arrived. Check that the ACK can return (a rewritten Record-Route or Contact is the usual reason)."
            }
            Self::SlowMediaSetup => "WhatsApp waited more than 3 s for its first media.",
            Self::Clipped => "Audio at the beginning was lost, because it came before media could be sent to WhatsApp.",
            Self::MediaInterrupted => "The media of a party stopped for 10 s or more and came back.",
            Self::PacketLoss => "More than 3 % of the packets of a party were lost.",
            Self::WrongKeys => "Packets were received that are not encrypted with the keys of this call.",
            Self::ForeignSource => {
                "Packets were received from an address that the SDP does not name; they were discarded."
            }
            Self::UnknownPayloadType => "Packets were received with a payload type that was not negotiated.",
        }
    }
}
