//! Names of risks and of milestones in JSON.

use trestle_core::{Milestone, Risk};

/// What may end a call if it lasts: what the engine reports of one leg, and what only both legs together show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RiskName {
    /// The gate is open and no media is sent to the party.
    NothingSent,
    /// No media was ever received from it.
    NothingReceived,
    /// Its media has stopped.
    FellSilent,
    /// No connectivity check has succeeded.
    IceStuck,
    /// The DTLS handshake is not complete.
    DtlsStuck,
    /// The media of a SIP party has stopped: it may be gone without a BYE.
    SipGone,
    /// Media is received from the other party, but not from this one.
    OneWay,
    /// The party sends more audio than a call has.
    Flood,
    /// Trestle's own media comes back from it.
    Ring,
    /// Nothing has ever come from the address in its SDP, and media to it is limited.
    Unproven,
}

impl RiskName {
    /// Every risk.
    pub const ALL: [Self; 10] = [
        Self::NothingSent,
        Self::NothingReceived,
        Self::FellSilent,
        Self::IceStuck,
        Self::DtlsStuck,
        Self::SipGone,
        Self::OneWay,
        Self::Flood,
        Self::Ring,
        Self::Unproven,
    ];

    /// The name of a risk that the engine reports, of a SIP party or another.
    pub fn of(risk: Risk, is_sip: bool) -> Self {
        match risk {
            Risk::NothingSent => Self::NothingSent,
            Risk::NothingReceived => Self::NothingReceived,
            Risk::FellSilent if is_sip => Self::SipGone,
            Risk::FellSilent => Self::FellSilent,
            Risk::IceStuck => Self::IceStuck,
            Risk::DtlsStuck => Self::DtlsStuck,
            Risk::Flood => Self::Flood,
            Risk::Ring => Self::Ring,
            Risk::Unproven => Self::Unproven,
        }
    }

    /// Name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::NothingSent => "nothing-sent",
            Self::NothingReceived => "nothing-received",
            Self::FellSilent => "fell-silent",
            Self::IceStuck => "ice-stuck",
            Self::DtlsStuck => "dtls-stuck",
            Self::SipGone => "sip-gone",
            Self::OneWay => "one-way",
            Self::Flood => "flood",
            Self::Ring => "ring",
            Self::Unproven => "unproven",
        }
    }
}

/// Every milestone, in the order of the schema.
pub const MILESTONES: [Milestone; 10] = [
    Milestone::Opened,
    Milestone::RemoteKnown,
    Milestone::FirstCheck,
    Milestone::IceConnected,
    Milestone::DtlsConnected,
    Milestone::Latched,
    Milestone::FirstMediaIn,
    Milestone::FirstMediaOut,
    Milestone::GateOpened,
    Milestone::CaughtUp,
];

/// Name of a milestone in JSON.
pub fn milestone_name(milestone: Milestone) -> &'static str {
    match milestone {
        Milestone::Opened => "opened",
        Milestone::RemoteKnown => "remote-known",
        Milestone::FirstCheck => "first-check",
        Milestone::IceConnected => "ice-connected",
        Milestone::DtlsConnected => "dtls-connected",
        Milestone::Latched => "latched",
        Milestone::FirstMediaIn => "first-media-in",
        Milestone::FirstMediaOut => "first-media-out",
        Milestone::GateOpened => "gate-opened",
        Milestone::CaughtUp => "caught-up",
    }
}
