//! The transport protocol of an `m=` line.

/// `proto` of an `m=` line, as far as Trestle speaks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `RTP/AVP` (RFC 3551).
    RtpAvp,
    /// `RTP/AVPF` (RFC 4585).
    RtpAvpf,
    /// `RTP/SAVP` (RFC 3711), keyed by `a=crypto`; with a fingerprint also by DTLS.
    RtpSavp,
    /// `RTP/SAVPF` (RFC 5124).
    RtpSavpf,
    /// `UDP/TLS/RTP/SAVP` (RFC 5764).
    UdpTlsRtpSavp,
    /// `UDP/TLS/RTP/SAVPF` (RFC 5764).
    UdpTlsRtpSavpf,
}

impl Protocol {
    /// Every protocol.
    pub const ALL: [Self; 6] =
        [Self::RtpAvp, Self::RtpAvpf, Self::RtpSavp, Self::RtpSavpf, Self::UdpTlsRtpSavp, Self::UdpTlsRtpSavpf];

    /// As in an `m=` line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RtpAvp => "RTP/AVP",
            Self::RtpAvpf => "RTP/AVPF",
            Self::RtpSavp => "RTP/SAVP",
            Self::RtpSavpf => "RTP/SAVPF",
            Self::UdpTlsRtpSavp => "UDP/TLS/RTP/SAVP",
            Self::UdpTlsRtpSavpf => "UDP/TLS/RTP/SAVPF",
        }
    }

    /// From its name, case ignored.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.as_str().eq_ignore_ascii_case(name))
    }

    /// The protocol of these properties; `dtls` implies `secure`.
    pub fn of(secure: bool, feedback: bool, dtls: bool) -> Self {
        match (dtls, secure, feedback) {
            (true, _, true) => Self::UdpTlsRtpSavpf,
            (true, _, false) => Self::UdpTlsRtpSavp,
            (false, true, true) => Self::RtpSavpf,
            (false, true, false) => Self::RtpSavp,
            (false, false, true) => Self::RtpAvpf,
            (false, false, false) => Self::RtpAvp,
        }
    }

    /// SRTP.
    pub fn is_secure(self) -> bool {
        !matches!(self, Self::RtpAvp | Self::RtpAvpf)
    }

    /// The profile with feedback (`...F`).
    pub fn has_feedback(self) -> bool {
        matches!(self, Self::RtpAvpf | Self::RtpSavpf | Self::UdpTlsRtpSavpf)
    }

    /// DTLS by name (`UDP/TLS/...`).
    pub fn is_dtls(self) -> bool {
        matches!(self, Self::UdpTlsRtpSavp | Self::UdpTlsRtpSavpf)
    }
}
