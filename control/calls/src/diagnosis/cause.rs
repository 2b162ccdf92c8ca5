//! Why calls end, and what WhatsApp calls that.

/// Why a call ended, as far as what happened to its media tells. What ended it, a `delete` or a timer, is another question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndCause {
    /// It has not ended, and nothing is wrong.
    Running,
    /// Nobody has answered it.
    Unanswered,
    /// It ended before anything could be told of it.
    TooShort,
    /// Somebody has hung up.
    Normal,
    /// No connectivity check has succeeded.
    IceNeverConnected,
    /// The DTLS handshake did not come to an end.
    DtlsStuck,
    /// The certificate is not the one of `a=fingerprint`.
    FingerprintMismatch,
    /// Nobody has opened the gate.
    GateNeverOpened,
    /// The gate was opened when WhatsApp had waited too long.
    GateOpenedLate,
    /// The first media went to WhatsApp when it had waited too long.
    MediaToWhatsappLate,
    /// There was a path to WhatsApp, and no media.
    NoMediaToWhatsapp,
    /// WhatsApp got media, and then no more.
    MediaToWhatsappStopped,
    /// WhatsApp was never heard.
    NoMediaFromWhatsapp,
    /// WhatsApp was heard, and then no more.
    WhatsappFellSilent,
    /// A path that was there is gone (RFC 7675).
    ConsentLost,
    /// Another party than WhatsApp was never heard.
    OneWay,
    /// The SIP side was heard, and then no more.
    SipSideGone,
    /// Nobody was heard.
    NoMedia,
    /// On hold on every side for too long.
    HeldTooLong,
    /// A bug.
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
                 to `port-max` is open, and that the SDP of our reply was handed on unchanged."
            }
            Self::DtlsStuck => {
                "Check that the SDP of our reply was handed on unchanged, that only one side is to be the DTLS client \
                 (`a=setup`), and that datagrams of 1,200 bytes get through."
            }
            Self::FingerprintMismatch => {
                "The SDP that was handed in is not of the peer that answered: look for an answer of another call or branch."
            }
            Self::GateNeverOpened => {
                "If the call was accepted, the application has to send `gate` `open` when Meta has answered `accept` with 200, \
                 or when ACCEPTED comes. If it never was, nothing is wrong."
            }
            Self::GateOpenedLate => {
                "Send `gate` `open` as soon as Meta has answered `accept` with 200, or when ACCEPTED comes: WhatsApp waits 20 s \
                 for media."
            }
            Self::MediaToWhatsappLate => {
                "Look in the timeline for the stage that took long. An answer that was handed on late, and checks that a \
                 firewall let through late, are the usual ones."
            }
            Self::NoMediaToWhatsapp | Self::MediaToWhatsappStopped => {
                "Give WhatsApp something to hear while the other side is silent: `filler` other than none, and no block of \
                 its media."
            }
            Self::NoMediaFromWhatsapp => {
                "Look at the discards of WhatsApp's leg: if packets came and were not believed, the keys or the SDP are of \
                 another call. If none came, the caller's own network or the way from Meta's relay to us is to be asked."
            }
            Self::WhatsappFellSilent => "The caller's network is gone most likely: a tunnel, or from Wi-Fi to mobile.",
            Self::ConsentLost => {
                "The peer, or the network between, is gone. If it happens after the same time in every call, look for a \
                 firewall or NAT that forgets UDP flows."
            }
            Self::OneWay => {
                "Look at the discards of the silent leg, and whether the phone sends from the address in its SDP; if it is \
                 behind NAT, `endpoint-learning=immediate` or `SIP-source-address` helps."
            }
            Self::SipSideGone => {
                "The phone, the PBX or its network has gone without a BYE: look at the SIP side's log."
            }
            Self::NoMedia => {
                "Neither side's packets came: a firewall before our media ports, or a wrong address in our SDP \
                 (`interface=LOCAL!PUBLIC`)."
            }
            Self::InternalError => "This is a bug in Trestle: please report it with the log.",
        })
    }
}

/// What the `terminate` web hook would say (Meta's table of calling error codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetaCode {
    /// WhatsApp's client did not reach the relay.
    RelayConnectionFailed,
    /// WhatsApp's client got no media for a long time.
    MediaReceiveTimeout,
    /// WhatsApp's client sent no media for a long time.
    MediaTransmitTimeout,
    /// Accepted, and terminated without any sign of media.
    NoMediaSignals,
}

impl MetaCode {
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

/// Something beside the cause that whoever looks at the call should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hint {
    /// It ended 30 to 34 s after the answer with sound media: an ACK that never arrived (RFC 3261 section 13.3.1.4: the 200 is
    /// given up after 64 * T1, 32 s).
    SipAckTimeoutSuspected,
    /// The first media went to WhatsApp seconds after the answer.
    SlowMediaSetup,
    /// Something that was said was lost.
    Clipped,
    /// A party was silent, or got nothing, for 10 s or more, and it passed.
    MediaInterrupted,
    /// More than 3 % of the packets of a party never came.
    PacketLoss,
    /// Packets came that are not encrypted with the keys of this call.
    WrongKeys,
    /// Packets came from an address that is not believed.
    ForeignSource,
    /// Packets came of a payload type that was not agreed.
    UnknownPayloadType,
}

impl Hint {
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

    /// A call with this is no good one.
    pub(super) fn mars(self) -> bool {
        matches!(self, Self::SlowMediaSetup | Self::Clipped | Self::MediaInterrupted | Self::PacketLoss)
    }

    /// For people.
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::SipAckTimeoutSuspected => {
                "It ended 30 to 34 s after the answer while the media was sound: that is when a SIP stack gives up a 200 for which \
                 no ACK came. Look whether the ACK finds its way back (a rewritten Record-Route or Contact)."
            }
            Self::SlowMediaSetup => "WhatsApp waited more than 3 s for its first media.",
            Self::Clipped => {
                "Some of what was said at the beginning was lost, because it came before WhatsApp could be sent media."
            }
            Self::MediaInterrupted => "The media of a party stopped for 10 s or more and came back.",
            Self::PacketLoss => "More than 3 % of the packets of a party never came.",
            Self::WrongKeys => "Packets came that are not encrypted with the keys of this call.",
            Self::ForeignSource => "Packets came from an address that the SDP does not name; they were not believed.",
            Self::UnknownPayloadType => "Packets came of a payload type that was not agreed.",
        }
    }
}
