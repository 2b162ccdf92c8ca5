//! Opens UDP sockets: non-blocking, one address family, buffers of a given size.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::net::UdpSocket;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};
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
    Ok((message.bytes, source_of(message.address)?, stamp))
}

/// Has the kernel report to which address each datagram was sent (`IP_PKTINFO`; `IPV6_RECVPKTINFO`, RFC 3542 section 6.1), for
/// [`receive_addressed`]. Needed for a socket on the unspecified address: all addresses of the machine lead to it.
///
/// # Errors
/// The error of the system.
pub fn report_destination(socket: &UdpSocket, ipv6: bool) -> io::Result<()> {
    if ipv6 {
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    } else {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
    }
    Ok(())
}

/// Receives a datagram: its length, its source, and the address of this machine that it was sent to, if the kernel reports it and it
/// can be a source.
///
/// # Errors
/// The error of the system; `WouldBlock` if no datagram waits.
pub fn receive_addressed(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, Option<IpAddr>)> {
    // Two words of header and an `in6_pktinfo`, with room for the alignment of each part.
    let mut control = [0; 64];
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())?;
    let destination = message.cmsgs().ok().and_then(|mut parts| {
        parts.find_map(|part| match part {
            // For a broadcast, the address of the interface that has received it.
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(IpAddr::from(info.ipi_spec_dst.s_addr.to_ne_bytes())),
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(IpAddr::from(info.ipi6_addr.s6_addr)),
            _ => None,
        })
    });
    let destination = destination.filter(|ip| !ip.is_multicast() && !ip.is_unspecified());
    Ok((message.bytes, source_of(message.address)?, destination))
}

/// Sends a datagram whose source is `local`, an address that [`receive_addressed`] has reported for this socket. Without it, the
/// system chooses the source by the route to `peer`.
///
/// # Errors
/// The error of the system; `InvalidInput` if the machine does not have the address any more.
pub fn send_from(socket: &UdpSocket, bytes: &[u8], local: Option<IpAddr>, peer: SocketAddr) -> io::Result<usize> {
    let Some(local) = local else { return socket.send_to(bytes, peer) };
    // Interface 0: the route decides.
    let v4 = |ip: Ipv4Addr| {
        let any = in_addr { s_addr: 0 };
        in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: in_addr { s_addr: u32::from_ne_bytes(ip.octets()) }, ipi_addr: any }
    };
    let v6 = |ip: Ipv6Addr| in6_pktinfo { ipi6_addr: in6_addr { s6_addr: ip.octets() }, ipi6_ifindex: 0 };
    let send = |source: ControlMessage<'_>| {
        let peer = SockaddrStorage::from(peer);
        sendmsg(socket.as_raw_fd(), &[IoSlice::new(bytes)], &[source], MsgFlags::empty(), Some(&peer))
    };
    Ok(match local {
        IpAddr::V4(ip) => send(ControlMessage::Ipv4PacketInfo(&v4(ip)))?,
        IpAddr::V6(ip) => send(ControlMessage::Ipv6PacketInfo(&v6(ip)))?,
    })
}

fn source_of(address: Option<SockaddrStorage>) -> io::Result<SocketAddr> {
    let source = address.and_then(|address| match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
        (Some(v4), _) => Some(SocketAddr::V4((*v4).into())),
        (None, Some(v6)) => Some(SocketAddr::V6((*v6).into())),
        (None, None) => None,
    });
    source.ok_or_else(|| io::ErrorKind::InvalidData.into())
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
    fn a_reply_leaves_from_the_address_that_the_request_was_sent_to() {
        // The last one takes IPv4 too: then the addresses are IPv4-mapped (RFC 3493 section 3.7).
        for (local, is_dual, asked) in
            [("0.0.0.0:0", false, "127.0.0.2"), ("[::]:0", false, "::1"), ("[::]:0", true, "127.0.0.2")]
        {
            let local: SocketAddr = local.parse().unwrap();
            let raw = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP)).unwrap();
            // A machine may have IPv6 switched off; then there is nothing to test.
            if local.is_ipv6() && (raw.set_only_v6(!is_dual).is_err() || raw.bind(&local.into()).is_err()) {
                continue;
            }
            if local.is_ipv4() {
                raw.bind(&local.into()).unwrap();
            }
            let server = UdpSocket::from_std(raw.into());
            report_destination(&server, local.is_ipv6()).unwrap();
            let asked = SocketAddr::new(asked.parse().unwrap(), server.local_addr().unwrap().port());
            let client = bind(if asked.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }.parse().unwrap(), 4_096).unwrap();
            // Connected: the kernel drops what comes from another address.
            client.connect(asked).unwrap();
            client.send(b"request").unwrap();
            let mut buffer = [0; 16];
            let (len, peer, destination) = receive_addressed(&server, &mut buffer).unwrap();
            assert_eq!((&buffer[..len], peer.port()), (&b"request"[..], client.local_addr().unwrap().port()));
            assert_eq!(destination.map(|ip| ip.to_canonical()), Some(asked.ip()));
            send_from(&server, b"reply", destination, peer).unwrap();
            assert_eq!(client.recv(&mut buffer).unwrap(), 5, "{local} {asked}");
            if asked.is_ipv4() {
                send_from(&server, b"from where the route leads", None, peer).unwrap();
                assert_eq!(client.recv(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
                let foreign = destination.map(|_| IpAddr::from([192, 0, 2, 1])).filter(|_| local.is_ipv4());
                assert!(foreign.is_none_or(|ip| send_from(&server, b"x", Some(ip), peer).is_err()));
            }
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
