//! The attributes of a STUN binding request that describe its ICE agent (RFC 8489 section 5, RFC 8445 section 16.1).

const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const USE_CANDIDATE: u16 = 0x0025;
const ICE_CONTROLLING: u16 = 0x802a;

/// A connectivity check, as far as a judge of ICE needs it. Its integrity is not checked here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Check {
    /// The sender claims the controlling role.
    pub(crate) controlling: bool,
    /// The sender nominates this pair.
    pub(crate) use_candidate: bool,
}

impl Check {
    /// `None` if the datagram is anything but a binding request.
    pub(crate) fn read(datagram: &[u8]) -> Option<Self> {
        let mut check = Self { controlling: false, use_candidate: false };
        let mut attributes = datagram.strip_prefix(&BINDING_REQUEST)?.get(18..)?;
        while let Some((head, rest)) = attributes.split_first_chunk::<4>() {
            match u16::from_be_bytes([head[0], head[1]]) {
                USE_CANDIDATE => check.use_candidate = true,
                ICE_CONTROLLING => check.controlling = true,
                _ => {}
            }
            // Values are padded to 32 bits.
            let len = usize::from(u16::from_be_bytes([head[2], head[3]])).next_multiple_of(4);
            attributes = rest.get(len..).unwrap_or_default();
        }
        Some(check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_and_the_nomination_are_read() {
        let mut request = vec![0, 1, 0, 20];
        request.extend_from_slice(&[0; 16]);
        assert_eq!(Check::read(&request), Some(Check { controlling: false, use_candidate: false }));
        request.extend_from_slice(&[0x00, 0x06, 0, 3, b'a', b':', b'b', 0]);
        request.extend_from_slice(&[0x80, 0x2a, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(Check::read(&request), Some(Check { controlling: true, use_candidate: false }));
        request.extend_from_slice(&[0x00, 0x25, 0, 0]);
        assert_eq!(Check::read(&request), Some(Check { controlling: true, use_candidate: true }));
        request.extend_from_slice(&[0xff, 0xff, 0xff, 0xff]);
        assert!(Check::read(&request).is_some(), "an attribute longer than the message ends it");
        assert_eq!(Check::read(&[0x01, 0x01, 0, 0]), None, "a response is no check");
    }
}
