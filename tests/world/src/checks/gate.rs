//! While a gate is shut, neither RTP nor RTCP leaves towards its peer.

use trestle_core::plan::Gate;
use trestle_wire::demux::DatagramKind;

use super::Checked;

/// Checks one datagram that is sent while the leg's gate is `gate`.
pub(crate) fn check(gate: Gate, kind: Option<DatagramKind>) -> Checked {
    match (gate, kind) {
        (Gate::Shut, Some(DatagramKind::Rtp | DatagramKind::Rtcp)) => {
            Err("media or RTCP while the gate is shut".into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtp_and_rtcp_are_refused_while_the_gate_is_shut() {
        for kind in [DatagramKind::Rtp, DatagramKind::Rtcp] {
            assert!(check(Gate::Shut, Some(kind)).is_err());
            assert!(check(Gate::Open, Some(kind)).is_ok());
        }
        for kind in [DatagramKind::Stun, DatagramKind::Dtls] {
            assert!(check(Gate::Shut, Some(kind)).is_ok());
        }
    }
}
