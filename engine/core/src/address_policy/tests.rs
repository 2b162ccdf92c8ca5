//! The table of addresses: what is refused, and why.

use super::*;

fn policy() -> AddressPolicy {
    let ip = |text: &str| text.parse().unwrap();
    let media = |local: &str, advertised: &str| MediaAddress { local: ip(local), advertised: ip(advertised) };
    AddressPolicy {
        listeners: ["0.0.0.0:2223", "127.0.0.1:8080", "10.0.0.5:9000", "[::]:2224"]
            .map(|a| a.parse().unwrap())
            .to_vec(),
        media: vec![
            media("10.0.0.5", "203.0.113.9"),
            media("127.0.0.3", "127.0.0.3"),
            media("169.254.7.7", "169.254.7.7"),
            media("2001:db8::5", "2001:db8::5"),
        ],
        media_ports: (30_000, 40_000),
        machine: ["10.0.0.5/24", "127.0.0.1/8", "192.0.2.77/28", "192.0.2.100/31", "2001:db8::5/64"]
            .map(|net| net.parse().unwrap())
            .to_vec(),
        allow: Vec::new(),
        deny: Vec::new(),
    }
}

fn check(policy: &AddressPolicy, local: &str, peer: &str) -> Result<(), AddressRefusal> {
    policy.check(local.parse().unwrap(), peer.parse().unwrap())
}

/// `ok`, or the first words of what a refusal of this kind is about.
fn verdict(policy: &AddressPolicy, local: &str, peer: &str) -> &'static str {
    match check(policy, local, peer) {
        Ok(()) => "ok",
        Err(AddressRefusal::NoPort) => "port",
        Err(AddressRefusal::OwnListener) => "listener",
        Err(AddressRefusal::OwnMediaPort) => "media port",
        Err(AddressRefusal::Ipv4Form) => "form",
        Err(AddressRefusal::Denied) => "denied",
        // An address that is good but for the family of the interface: the tables are about the address alone.
        Err(AddressRefusal::OtherFamily) => "ok",
        Err(AddressRefusal::Class(class, _)) => match class {
            AddressClass::Ordinary => "ordinary",
            AddressClass::Unspecified => "unspecified",
            AddressClass::ThisNetwork => "this network",
            AddressClass::Loopback => "loopback",
            AddressClass::LinkLocal => "link-local",
            AddressClass::Multicast => "multicast",
            AddressClass::Broadcast => "broadcast",
            AddressClass::Reserved => "reserved",
        },
    }
}

#[test]
fn own_sockets_are_refused_under_each_of_their_addresses() {
    let table = [
        // A wildcard listener is reached at each address of this machine, and through the 1:1 NAT.
        ("127.0.0.1:2223", "listener"),
        ("127.9.9.9:2223", "listener"),
        ("10.0.0.5:2223", "listener"),
        ("192.0.2.77:2223", "listener"),
        ("203.0.113.9:2223", "listener"),
        ("0.0.0.0:2223", "listener"),
        ("[::1]:2223", "listener"),
        ("[::ffff:127.0.0.1]:2223", "listener"),
        ("[::ffff:10.0.0.5]:2223", "listener"),
        ("[::127.0.0.1]:2223", "listener"),
        ("[2001:db8::5]:2224", "listener"),
        ("127.0.0.1:2224", "listener"),
        ("198.51.100.1:2223", "ok"),
        // A listener on one address is reached there, and through the NAT of that address.
        ("127.0.0.1:8080", "listener"),
        ("127.0.0.2:8080", "ok"),
        ("10.0.0.5:9000", "listener"),
        ("203.0.113.9:9000", "listener"),
        ("192.0.2.77:9000", "ok"),
        // Media ports, RTP and RTCP, local and advertised.
        ("10.0.0.5:30000", "media port"),
        ("10.0.0.5:40000", "media port"),
        ("203.0.113.9:30001", "media port"),
        ("127.0.0.3:35000", "media port"),
        ("[2001:db8::5]:30002", "media port"),
        ("[::ffff:10.0.0.5]:30000", "media port"),
        ("10.0.0.5:29999", "ok"),
        ("10.0.0.5:40001", "ok"),
        ("192.0.2.77:30000", "ok"),
    ];
    for (peer, expected) in table {
        assert_eq!(verdict(&policy(), "127.0.0.3", peer), expected, "{peer}");
    }
}

#[test]
fn addresses_of_no_single_peer_are_refused_in_each_form() {
    let table = [
        ("198.51.100.1:4000", "ok"),
        ("192.168.1.1:4000", "ok"),
        ("100.64.0.1:4000", "ok"),
        ("192.0.2.1:4000", "ok"),
        ("198.51.100.1:0", "port"),
        ("0.0.0.0:4000", "unspecified"),
        ("0.1.2.3:4000", "this network"),
        ("127.0.0.1:4000", "loopback"),
        ("127.255.255.255:4000", "broadcast"),
        ("169.254.169.254:80", "link-local"),
        ("224.0.0.1:4000", "multicast"),
        ("239.255.255.255:4000", "multicast"),
        ("240.0.0.1:4000", "reserved"),
        ("255.255.255.254:4000", "reserved"),
        ("255.255.255.255:4000", "broadcast"),
        // Of the networks of this machine; a /31 has no broadcast address.
        ("10.0.0.255:4000", "broadcast"),
        ("10.0.0.0:4000", "broadcast"),
        ("192.0.2.79:4000", "broadcast"),
        ("192.0.2.64:4000", "broadcast"),
        ("192.0.2.101:4000", "ok"),
        ("[::]:4000", "unspecified"),
        ("[::1]:4000", "loopback"),
        ("[fe80::1]:4000", "link-local"),
        ("[febf::1]:4000", "link-local"),
        ("[ff02::1]:4000", "multicast"),
        ("[fd00::1]:4000", "ok"),
        ("[2001:db8::1]:4000", "ok"),
        // Mapped, compatible and translated forms are judged as IPv4.
        ("[::ffff:198.51.100.1]:4000", "form"),
        ("[::198.51.100.1]:4000", "form"),
        ("[::ffff:0:198.51.100.1]:4000", "form"),
        ("[::ffff:224.0.0.1]:4000", "multicast"),
        ("[::ffff:127.0.0.1]:4000", "loopback"),
        ("[::ffff:169.254.169.254]:80", "link-local"),
        ("[::ffff:0.0.0.0]:4000", "unspecified"),
        ("[::ffff:255.255.255.255]:4000", "broadcast"),
        ("[::ffff:10.0.0.255]:4000", "broadcast"),
        ("[::224.0.0.1]:4000", "multicast"),
        // 6to4, NAT64, Teredo.
        ("[2002:7f00:1::1]:4000", "loopback"),
        ("[2002:e000:1::1]:4000", "multicast"),
        ("[2002:c633:6401::1]:4000", "ok"),
        ("[64:ff9b::127.0.0.1]:4000", "loopback"),
        ("[64:ff9b::169.254.169.254]:80", "link-local"),
        ("[64:ff9b:1::224.0.0.1]:4000", "multicast"),
        ("[64:ff9b::198.51.100.1]:4000", "ok"),
        ("[2001:0:4136:e378:8000:63bf:80ff:fffe]:4000", "loopback"),
        ("[2001:0:4136:e378:8000:63bf:39cc:9bfe]:4000", "ok"),
    ];
    for (peer, expected) in table {
        assert_eq!(verdict(&policy(), "10.0.0.5", peer), expected, "{peer}");
        assert_eq!(verdict(&policy(), "2001:db8::5", peer), expected, "{peer}");
    }
}

#[test]
fn an_address_of_the_other_family_cannot_be_reached() {
    assert_eq!(check(&policy(), "10.0.0.5", "[2001:db8::1]:4000"), Err(AddressRefusal::OtherFamily));
    assert_eq!(check(&policy(), "2001:db8::5", "198.51.100.1:4000"), Err(AddressRefusal::OtherFamily));
    assert_eq!(check(&policy(), "2001:db8::5", "[2001:db8::1]:4000"), Ok(()));
}

#[test]
fn an_interface_on_loopback_or_link_local_reaches_its_kind_and_no_broadcast_of_it() {
    let table = [
        ("127.0.0.3", "127.0.0.1:4000", "ok"),
        ("127.0.0.3", "127.255.255.255:4000", "broadcast"),
        ("127.0.0.3", "127.0.0.0:4000", "broadcast"),
        ("127.0.0.3", "169.254.169.254:80", "link-local"),
        ("127.0.0.3", "[::ffff:127.0.0.1]:4000", "form"),
        ("::1", "[::1]:4000", "ok"),
        ("169.254.7.7", "169.254.1.1:4000", "ok"),
        ("169.254.7.7", "127.0.0.1:4000", "loopback"),
    ];
    for (local, peer, expected) in table {
        assert_eq!(verdict(&policy(), local, peer), expected, "{local} {peer}");
    }
}

#[test]
fn the_lists_of_the_operator_decide_by_the_longest_prefix_and_never_open_own_sockets() {
    let nets = |nets: &[&str]| nets.iter().map(|net| net.parse().unwrap()).collect::<Vec<IpNet>>();
    let policy = AddressPolicy {
        allow: nets(&["127.0.0.0/8", "169.254.0.0/16", "240.0.0.0/4", "198.51.100.0/24", "fe80::/10", "224.0.0.0/4"]),
        deny: nets(&["0.0.0.0/0", "169.254.169.254/32", "198.51.100.64/26", "198.51.100.0/24", "127.8.0.0/16"]),
        ..policy()
    };
    let table = [
        ("127.0.0.1:4000", "ok"),
        ("127.8.0.1:4000", "denied"),
        ("127.255.255.255:4000", "ok"),
        ("169.254.1.1:4000", "ok"),
        ("169.254.169.254:80", "denied"),
        ("[::ffff:169.254.169.254]:80", "denied"),
        ("[64:ff9b::169.254.169.254]:80", "denied"),
        ("240.0.0.1:4000", "ok"),
        ("198.51.100.1:4000", "denied"),
        ("203.0.113.1:4000", "denied"),
        ("[2001:db8::1]:4000", "ok"),
        ("[fe80::1]:4000", "ok"),
        ("224.0.0.1:4000", "multicast"),
        ("0.0.0.0:4000", "unspecified"),
        ("[::ffff:127.0.0.1]:4000", "form"),
        ("127.0.0.1:2223", "listener"),
        ("127.0.0.3:30000", "media port"),
        ("203.0.113.9:30000", "media port"),
    ];
    for (peer, expected) in table {
        assert_eq!(verdict(&policy, "10.0.0.5", peer), expected, "{peer}");
    }
}
