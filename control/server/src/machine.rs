//! The addresses of this machine, and notifications of their changes.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use ipnet::IpNet;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::errno::Errno;
use nix::ifaddrs;
use nix::libc::{RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, recv, socket,
};

/// A notification of the kernel has less than 200 bytes. What is cut off is not needed.
const NOTIFICATION_BYTES: usize = 512;

/// A socket on which the kernel notifies of each address that is added or removed (rtnetlink(7)).
#[derive(Debug)]
pub(crate) struct AddressWatch(OwnedFd);

impl AddressWatch {
    /// Begins to watch. `token` is ready when [`AddressWatch::has_changed`] is to be called.
    ///
    /// # Errors
    /// The error of the system: a sandbox may forbid netlink sockets.
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        let groups = (RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR).unsigned_abs();
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        registry.register(&mut SourceFd(&socket.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self(socket))
    }

    /// Takes all notifications. True if there was one; then the addresses are to be read again.
    pub(crate) fn has_changed(&self) -> bool {
        let mut notification = [0; NOTIFICATION_BYTES];
        let mut has_changed = false;
        loop {
            match recv(self.0.as_raw_fd(), &mut notification, MsgFlags::empty()) {
                // Some were lost: the queue was full.
                Ok(_) | Err(Errno::ENOBUFS) => has_changed = true,
                Err(Errno::EINTR) => {}
                Err(_) => return has_changed,
            }
        }
    }
}

/// Each IP address of a network interface that is configured at present, with its network.
///
/// # Errors
/// The error of the system.
pub(crate) fn networks() -> io::Result<Vec<IpNet>> {
    let ip = |address: &SockaddrStorage| -> Option<IpAddr> {
        let v4 = address.as_sockaddr_in().map(|v4| v4.ip().into());
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().into()))
    };
    let networks = ifaddrs::getifaddrs()?.filter_map(|interface| {
        let address = ip(interface.address.as_ref()?)?;
        // A tunnel may have no mask.
        let network = interface.netmask.as_ref().and_then(ip).and_then(|mask| IpNet::with_netmask(address, mask).ok());
        Some(network.unwrap_or(address.into()))
    });
    Ok(networks.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_has_its_network() {
        let networks = networks().unwrap();
        assert!(networks.contains(&"127.0.0.1/8".parse().unwrap()), "{networks:?}");
    }
}
