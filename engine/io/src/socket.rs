//! Opens UDP sockets: non-blocking, one address family, buffers of a given size.

use std::io;
use std::net::SocketAddr;

use mio::net::UdpSocket;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Kernel buffer of a media socket in each direction. The kernel charges about 1 KiB for a voice packet and doubles what it
/// value, so this is room for two seconds at 100 packets per second. More would only store stale audio.
pub const MEDIA_BUFFER_BYTES: usize = 128 * 1024;

/// Kernel buffer of a control socket: a burst of 1000 offers of 4 KiB. The kernel may grant less (`net.core.rmem_max`).
pub const CONTROL_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Binds a non-blocking UDP socket. An IPv6 socket takes no IPv4 traffic (`IPV6_V6ONLY`), so that addresses always
/// have the configured form.
///
/// # Errors
/// The error of the system: the port is taken, the address is not on this machine, too many open files.
pub fn bind(address: SocketAddr, buffer_bytes: usize) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(buffer_bytes)?;
    socket.set_send_buffer_size(buffer_bytes)?;
    socket.bind(&address.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}

/// Sets the DSCP byte of packets sent from now on: `IP_TOS`, or `IPV6_TCLASS` (RFC 2474: DSCP in the upper six bits).
///
/// # Errors
/// The error of the system.
pub fn set_tos(socket: &UdpSocket, ipv6: bool, tos: u8) -> io::Result<()> {
    let socket = SockRef::from(socket);
    if ipv6 { socket.set_tclass_v6(tos.into()) } else { socket.set_tos_v4(tos.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_port_is_refused_to_the_next() {
        let first = bind("127.0.0.1:0".parse().unwrap(), MEDIA_BUFFER_BYTES).unwrap();
        let second = bind(first.local_addr().unwrap(), MEDIA_BUFFER_BYTES);
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn tos_is_set_for_both_families() {
        let v4 = bind("127.0.0.1:0".parse().unwrap(), MEDIA_BUFFER_BYTES).unwrap();
        set_tos(&v4, false, 184).unwrap();
        assert_eq!(SockRef::from(&v4).tos_v4().unwrap(), 184);
        // A machine may have IPv6 switched off; then there is nothing to test.
        if let Ok(v6) = bind("[::1]:0".parse().unwrap(), MEDIA_BUFFER_BYTES) {
            set_tos(&v6, true, 184).unwrap();
            assert_eq!(SockRef::from(&v6).tclass_v6().unwrap(), 184);
            assert!(SockRef::from(&v6).only_v6().unwrap());
        }
    }
}
