//! Opens UDP sockets: non-blocking, one address family, buffers of a given size.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::net::UdpSocket;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
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

/// Has the kernel stamp each received datagram with the wall clock (`SO_TIMESTAMPNS`), for [`receive_stamped`].
///
/// # Errors
/// The error of the system.
pub fn stamp_received(socket: &UdpSocket) -> io::Result<()> {
    Ok(setsockopt(socket, sockopt::ReceiveTimestampns, &true)?)
}

/// Receives a datagram: its length, its source, and when it arrived, since the Unix epoch, if the kernel has stamped it.
///
/// # Errors
/// The error of the system; `WouldBlock` if no datagram waits.
pub fn receive_stamped(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, Option<Duration>)> {
    // Two words of header and a timespec, with room for the alignment of each part.
    let mut control = [0; 64];
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())?;
    let stamp = message.cmsgs().ok().and_then(|mut parts| {
        parts.find_map(|part| match part {
            ControlMessageOwned::ScmTimestampns(at) => Some(Duration::from(at)),
            _ => None,
        })
    });
    let source = message.address.and_then(|address| match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
        (Some(v4), _) => Some(SocketAddr::V4((*v4).into())),
        (None, Some(v6)) => Some(SocketAddr::V6((*v6).into())),
        (None, None) => None,
    });
    Ok((message.bytes, source.ok_or(io::ErrorKind::InvalidData)?, stamp))
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
    fn a_datagram_has_its_source_and_the_time_of_its_arrival() {
        let before = crate::clock::sample_epoch().unix;
        for local in ["127.0.0.1:0", "[::1]:0"] {
            // A machine may have IPv6 switched off; then there is nothing to test.
            let Ok(receiver) = bind(local.parse().unwrap(), MEDIA_BUFFER_BYTES) else { continue };
            stamp_received(&receiver).unwrap();
            let sender = bind(local.parse().unwrap(), MEDIA_BUFFER_BYTES).unwrap();
            let mut buffer = [0; 16];
            assert_eq!(receive_stamped(&receiver, &mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            sender.send_to(b"one", receiver.local_addr().unwrap()).unwrap();
            let (len, source, stamp) = receive_stamped(&receiver, &mut buffer).unwrap();
            assert_eq!((&buffer[..len], source), (&b"one"[..], sender.local_addr().unwrap()));
            let after = crate::clock::sample_epoch().unix;
            assert!((before..=after).contains(&stamp.unwrap()), "{stamp:?}");
            // Without room for the whole datagram, and read without its stamp.
            sender.send_to(b"two", receiver.local_addr().unwrap()).unwrap();
            assert_eq!(receive_stamped(&receiver, &mut []).unwrap().1, source);
            sender.send_to(b"three", receiver.local_addr().unwrap()).unwrap();
            assert_eq!(receiver.recv_from(&mut buffer).unwrap(), (5, source));
        }
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
