//! The transport protocol of an `m=` line.

/// The values of `proto` in an `m=` line that Trestle supports.
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
    /// All protocols.
    pub const ALL: [Self; 6] =
        [Self::RtpAvp, Self::RtpAvpf, Self::RtpSavp, Self::RtpSavpf, Self::UdpTlsRtpSavp, Self::UdpTlsRtpSavpf];

    /// The value in an `m=` line.
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

    /// The protocol of a value in an `m=` line, in upper or lower case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.as_str().eq_ignore_ascii_case(name))
    }

    /// The protocol with these properties. `dtls` implies `secure`; `feedback` selects AVPF or SAVPF.
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

    /// True if the media is SRTP.
    pub fn is_secure(self) -> bool {
        !matches!(self, Self::RtpAvp | Self::RtpAvpf)
    }

    /// True for the profiles with RTCP feedback, AVPF and SAVPF (RFC 4585).
    pub fn has_feedback(self) -> bool {
        matches!(self, Self::RtpAvpf | Self::RtpSavpf | Self::UdpTlsRtpSavpf)
    }

    /// True for `UDP/TLS/...`. With `RTP/SAVP` and `RTP/SAVPF`, a fingerprint also selects DTLS.
    pub fn is_dtls(self) -> bool {
        matches!(self, Self::UdpTlsRtpSavp | Self::UdpTlsRtpSavpf)
    }
}
