//! Names of what may end a call, and of how far a leg has come.

use trestle_core::{Milestone, Risk};

/// What may end a call if it lasts: what the engine sees of one leg, and what only both legs tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RiskName {
    /// The gate is open and the party gets no media.
    NothingSent,
    /// No media has ever come from it.
    NothingReceived,
    /// Its media has stopped.
    FellSilent,
    /// No connectivity check has succeeded.
    IceStuck,
    /// The DTLS handshake does not come to an end.
    DtlsStuck,
    /// The media of a SIP party has stopped: it may be gone without a BYE.
    SipGone,
    /// The other party is heard and this one is not.
    OneWay,
}

impl RiskName {
    /// Every risk.
    pub const ALL: [Self; 7] = [
        Self::NothingSent,
        Self::NothingReceived,
        Self::FellSilent,
        Self::IceStuck,
        Self::DtlsStuck,
        Self::SipGone,
        Self::OneWay,
    ];

    /// What the engine has seen, of a SIP party or another.
    pub fn of(risk: Risk, is_sip: bool) -> Self {
        match risk {
            Risk::NothingSent => Self::NothingSent,
            Risk::NothingReceived => Self::NothingReceived,
            Risk::FellSilent if is_sip => Self::SipGone,
            Risk::FellSilent => Self::FellSilent,
            Risk::IceStuck => Self::IceStuck,
            Risk::DtlsStuck => Self::DtlsStuck,
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
        }
    }
}

/// Name of a point of a leg's timeline in JSON.
pub fn stage(reached: Milestone) -> &'static str {
    match reached {
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
