//! An SDP of ours that lacks nothing but the ports.

use trestle_core::{LegId, LegPorts};

/// Stand for the ports until the engine has told them. Control characters: the parser lets none in, so nothing that a
/// peer wrote can be mistaken for them.
pub(crate) const RTP_PORT: char = '\u{1}';
/// See [`RTP_PORT`].
pub(crate) const RTCP_PORT: char = '\u{2}';

/// What one leg's peer is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    leg: LegId,
    text: String,
}

impl Description {
    pub(crate) fn new(leg: LegId) -> Self {
        Self { leg, text: String::new() }
    }

    /// The leg whose peer gets this.
    pub fn leg(&self) -> LegId {
        self.leg
    }

    /// Adds one line, whatever is in `line`: what would end it early is left out.
    pub(crate) fn line(&mut self, line: &str) {
        self.text.extend(line.chars().filter(|char| !matches!(char, '\r' | '\n' | '\0')));
        self.text.push_str("\r\n");
    }

    /// The SDP, given where the engine listens. `None` if `ports` lacks the leg.
    pub fn write(&self, ports: &[(LegId, LegPorts)]) -> Option<String> {
        let (_, ports) = ports.iter().find(|(leg, _)| *leg == self.leg)?;
        let mut sdp = String::with_capacity(self.text.len() + 16);
        for char in self.text.chars() {
            match char {
                RTP_PORT => sdp.push_str(&ports.rtp.port().to_string()),
                RTCP_PORT => sdp.push_str(&ports.rtcp.port().to_string()),
                char => sdp.push(char),
            }
        }
        Some(sdp)
    }
}
