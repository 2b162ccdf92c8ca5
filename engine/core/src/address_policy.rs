//! The one filter for addresses that Trestle sends to: those of SDP, of flags, of candidates, and of sources of packets.
//!
//! A peer chooses where Trestle sends. Without a filter it can make Trestle send audio to Trestle's own control port, to services of
//! this machine and network, or to many receivers at once. Negotiation asks [`AddressPolicy::check`] for each address of a description
//! or flag; the shard asks it for each new source of datagrams, so that no address is learnt that could not be signalled.
//!
//! | order | address | can the operator allow it? |
//! |---|---|---|
//! | 1 | port 0; a listening address or a media port of Trestle | no |
//! | 2 | unspecified, multicast, IPv4-mapped and IPv4-compatible forms | no |
//! | 3 | `media-deny`, `media-allow`: the longer prefix decides; of equal ones, `media-deny` | |
//! | 4 | `0.0.0.0/8`, loopback, link-local, broadcast of a local network, class E | yes |
//!
//! An IPv6 address that embeds an IPv4 address (mapped, 6to4, NAT64, Teredo) is judged as both.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

/// What Trestle never sends to, as a value: own addresses, addresses of this machine, and the lists of the operator.
///
/// The default knows no own addresses and has empty lists; the classes of addresses hold all the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddressPolicy {
    /// Addresses on which Trestle listens for anything but media. With an unspecified IP address, all of this machine.
    pub listeners: Vec<SocketAddr>,
    /// Addresses of media interfaces.
    pub media: Vec<MediaAddress>,
    /// Lowest and highest media port.
    pub media_ports: (u16, u16),
    /// Addresses of this machine, each with its network.
    pub machine: Vec<IpNet>,
    /// Networks that are allowed (`media-allow`).
    pub allow: Vec<IpNet>,
    /// Networks that are refused (`media-deny`).
    pub deny: Vec<IpNet>,
}

/// An address of a media interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaAddress {
    /// Bound.
    pub local: IpAddr,
    /// Written into SDP: the public side of a 1:1 NAT, or the same.
    pub advertised: IpAddr,
}

/// What kind of address an IP address is. Private addresses and those for documentation are ordinary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressClass {
    /// None of the others.
    Ordinary,
    /// `0.0.0.0` and `::`.
    Unspecified,
    /// `0.0.0.0/8` (RFC 791 3.2: "this network").
    ThisNetwork,
    /// `127.0.0.0/8` and `::1`.
    Loopback,
    /// `169.254.0.0/16` and `fe80::/10`. Cloud providers serve credentials at 169.254.169.254.
    LinkLocal,
    /// `224.0.0.0/4` and `ff00::/8`.
    Multicast,
    /// `255.255.255.255`, and both ends of `127.0.0.0/8`.
    Broadcast,
    /// `240.0.0.0/4` (RFC 1112 section 4: class E).
    Reserved,
}

/// Why an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressRefusal {
    /// Port 0.
    #[error("port 0 cannot be sent to")]
    NoPort,
    /// A listening address of Trestle.
    #[error("Trestle itself listens there; give the address of the peer")]
    OwnListener,
    /// A media address of Trestle and a port of its range.
    #[error(
        "it is a media port of this Trestle; give the SDP of the peer, not one that Trestle has written (loop-protect returns \
         such an SDP unchanged)"
    )]
    OwnMediaPort,
    /// An IPv6 form of an IPv4 address that no IPv6 socket can send to.
    #[error("it is an IPv6 form of an IPv4 address; write the IPv4 address")]
    Ipv4Form,
    /// Not of the family of the media address.
    #[error("the leg has an address of the other family")]
    OtherFamily,
    /// In a network of `media-deny`.
    #[error("media-deny of this Trestle has it")]
    Denied,
    /// Its class is refused. The address is the one that was judged: an embedded one, if that is at fault.
    #[error("{1} is {0}")]
    Class(AddressClass, IpAddr),
}

impl AddressClass {
    /// The class of `ip`, as it is written. [`AddressPolicy::check`] judges embedded IPv4 addresses besides.
    pub fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => match v4.octets() {
                [0, 0, 0, 0] => Self::Unspecified,
                [0, ..] => Self::ThisNetwork,
                // Linux broadcasts to these on the loopback interface whatever address of the network it has.
                [127, 0, 0, 0] | [127, 255, 255, 255] | [255, 255, 255, 255] => Self::Broadcast,
                [127, ..] => Self::Loopback,
                [169, 254, ..] => Self::LinkLocal,
                [224..=239, ..] => Self::Multicast,
                [240..=255, ..] => Self::Reserved,
                _ => Self::Ordinary,
            },
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Self::Unspecified,
            IpAddr::V6(Ipv6Addr::LOCALHOST) => Self::Loopback,
            IpAddr::V6(v6) if v6.is_multicast() => Self::Multicast,
            IpAddr::V6(v6) if v6.is_unicast_link_local() => Self::LinkLocal,
            IpAddr::V6(_) => Self::Ordinary,
        }
    }
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ordinary => "an ordinary address",
            Self::Unspecified => "the unspecified address",
            Self::ThisNetwork => "in 0.0.0.0/8, which is no network of peers; media-allow permits it",
            Self::Loopback => "a loopback address, and the media interface is not; media-allow permits it",
            Self::LinkLocal => "a link-local address, and the media interface is not; media-allow permits it",
            Self::Multicast => "a multicast address; a call has one receiver",
            Self::Broadcast => "a broadcast address; a call has one receiver",
            Self::Reserved => "in 240.0.0.0/4, which is reserved; media-allow permits it",
        })
    }
}

impl AddressPolicy {
    /// Checks an address that media, or a connectivity check, would be sent to from the media address `local`.
    ///
    /// # Errors
    ///
    /// [`AddressRefusal`]: why nothing may be sent there.
    pub fn check(&self, local: IpAddr, peer: SocketAddr) -> Result<(), AddressRefusal> {
        if peer.port() == 0 {
            return Err(AddressRefusal::NoPort);
        }
        let written = peer.ip();
        let form = Ipv4Form::of(written);
        let plain = match form {
            Some(Ipv4Form::Whole(v4)) => IpAddr::V4(v4),
            _ => written,
        };
        if self.is_listener(plain, peer.port()) {
            return Err(AddressRefusal::OwnListener);
        }
        if self.is_media_port(SocketAddr::new(plain, peer.port())) {
            return Err(AddressRefusal::OwnMediaPort);
        }
        let embedded = match form {
            Some(Ipv4Form::Whole(v4) | Ipv4Form::Tunnelled(v4)) => Some(IpAddr::V4(v4)),
            None => None,
        };
        let judged = || [Some(written), embedded].into_iter().flatten();
        for ip in judged() {
            let class = AddressClass::of(ip);
            if matches!(class, AddressClass::Unspecified | AddressClass::Multicast) {
                return Err(AddressRefusal::Class(class, ip));
            }
        }
        match self.listed(judged()) {
            Some(Listed::Deny) => return Err(AddressRefusal::Denied),
            Some(Listed::Allow) => {}
            None => judged().try_for_each(|ip| self.check_class(local, ip))?,
        }
        match form {
            Some(Ipv4Form::Whole(_)) => Err(AddressRefusal::Ipv4Form),
            _ if local.is_ipv4() != written.is_ipv4() => Err(AddressRefusal::OtherFamily),
            _ => Ok(()),
        }
    }

    /// True if `address` is an address of a media interface with a port of the range. Both of a pair count.
    pub fn is_media_port(&self, address: SocketAddr) -> bool {
        let (min, max) = self.media_ports;
        let is_ours = |media: &MediaAddress| media.local == address.ip() || media.advertised == address.ip();
        (min..=max).contains(&address.port()) && self.media.iter().any(is_ours)
    }

    /// True if Trestle listens on this port at `ip`.
    fn is_listener(&self, ip: IpAddr, port: u16) -> bool {
        // The public side of a 1:1 NAT leads to the local address.
        let locals = self.media.iter().filter(|media| media.advertised == ip).map(|media| media.local);
        let mut names = std::iter::once(ip).chain(locals);
        self.listeners.iter().filter(|listener| listener.port() == port).any(|listener| {
            names.clone().any(|name| name == listener.ip())
                || (listener.ip().is_unspecified() && names.any(|name| self.is_of_this_machine(name)))
        })
    }

    fn is_of_this_machine(&self, ip: IpAddr) -> bool {
        // The kernel delivers the unspecified address, as a destination, to this machine.
        matches!(AddressClass::of(ip), AddressClass::Loopback | AddressClass::Broadcast | AddressClass::Unspecified)
            || self.machine.iter().any(|net| net.addr() == ip)
            || self.media.iter().any(|media| media.local == ip || media.advertised == ip)
    }

    /// The list that has one of `ips` in the network with the longest prefix.
    fn listed(&self, ips: impl Iterator<Item = IpAddr>) -> Option<Listed> {
        let mut longest: Option<(u8, Listed)> = None;
        for ip in ips {
            let lists = [(Listed::Deny, &self.deny), (Listed::Allow, &self.allow)];
            for (list, nets) in lists {
                let prefix = nets.iter().filter(|net| net.contains(&ip)).map(IpNet::prefix_len).max();
                // Of equal prefixes the one that is looked at first holds: `Deny`.
                if let Some(prefix) = prefix
                    && longest.is_none_or(|(other, _)| prefix > other)
                {
                    longest = Some((prefix, list));
                }
            }
        }
        longest.map(|(_, list)| list)
    }

    fn check_class(&self, local: IpAddr, ip: IpAddr) -> Result<(), AddressRefusal> {
        let class = match AddressClass::of(ip) {
            AddressClass::Ordinary if self.is_local_broadcast(ip) => AddressClass::Broadcast,
            class => class,
        };
        let is_usable = match class {
            AddressClass::Ordinary => true,
            AddressClass::Loopback | AddressClass::LinkLocal => AddressClass::of(local) == class,
            _ => false,
        };
        if is_usable { Ok(()) } else { Err(AddressRefusal::Class(class, ip)) }
    }

    /// The first or last address of an IPv4 network that this machine is in. A network of one or two addresses has none
    /// (RFC 3021).
    fn is_local_broadcast(&self, ip: IpAddr) -> bool {
        let mut nets = self.machine.iter().filter(|net| net.addr().is_ipv4() && net.prefix_len() < 31);
        nets.any(|net| net.broadcast() == ip || net.network() == ip)
    }
}

#[derive(Debug, Clone, Copy)]
enum Listed {
    Deny,
    Allow,
}

/// An IPv4 address within an IPv6 address.
#[derive(Debug, Clone, Copy)]
enum Ipv4Form {
    /// Another spelling of it: mapped or compatible (RFC 4291 2.5.5).
    Whole(Ipv4Addr),
    /// Packets are sent on to it: 6to4 (RFC 3056), NAT64 (RFC 6052, RFC 8215), Teredo (RFC 4380).
    Tunnelled(Ipv4Addr),
}

impl Ipv4Form {
    fn of(ip: IpAddr) -> Option<Self> {
        let IpAddr::V6(v6) = ip else { return None };
        let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
        match v6.segments() {
            [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
            [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => {
                Some(Self::Whole(v4(high, low)))
            }
            [0x2002, high, low, ..] => Some(Self::Tunnelled(v4(high, low))),
            [0x64, 0xff9b, 0 | 1, 0, 0, 0, high, low] => Some(Self::Tunnelled(v4(high, low))),
            // Teredo inverts the bits of the client's address.
            [0x2001, 0, .., high, low] => Some(Self::Tunnelled(v4(!high, !low))),
            _ => None,
        }
    }
}

/// The name of a service that answers datagrams on `port`, if media to it could do harm: most of these have been used to amplify or to
/// reflect traffic. No RTP stack receives there by default.
pub fn service_on(port: u16) -> Option<&'static str> {
    Some(match port {
        1 => "tcpmux",
        7 => "echo",
        13 => "daytime",
        17 => "quote of the day",
        19 => "chargen",
        53 => "DNS",
        67 | 68 => "DHCP",
        69 => "TFTP",
        111 => "portmapper",
        123 => "NTP",
        137 | 138 => "NetBIOS",
        161 | 162 => "SNMP",
        389 => "CLDAP",
        427 => "SLP",
        500 | 4500 => "IKE",
        514 => "syslog",
        520 => "RIP",
        623 => "IPMI",
        1434 => "Microsoft SQL",
        1812 | 1813 => "RADIUS",
        1900 => "SSDP",
        2223 => "ng",
        3702 => "WS-Discovery",
        5060 | 5061 => "SIP",
        5353 => "mDNS",
        5683 => "CoAP",
        11211 => "memcached",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
