//! The addresses of this machine.

use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use nix::ifaddrs;
use nix::sys::socket::SockaddrStorage;

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
