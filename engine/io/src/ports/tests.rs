use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::*;
use crate::socket;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub(crate) fn interface(id: u16) -> InterfacePorts {
    InterfacePorts { interface: InterfaceId(id), v4: Some(LOCAL), v6: None }
}

/// A range of `pairs` port pairs that are not in use. Below the ports that the system assigns by itself, and never the same
/// twice, so that parallel tests do not collide.
pub(crate) fn unused_range(pairs: u16) -> PortRange {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    for _ in 0..500 {
        let offset = NEXT.fetch_add(pairs * 2, Ordering::Relaxed) as u32 + std::process::id() * 64;
        let min = 10_000 + (offset % 20_000) as u16 / 2 * 2;
        let max = min + pairs * 2 - 1;
        if (min..=max).all(|port| socket::bind(SocketAddr::new(LOCAL, port), 4096).is_ok()) {
            return PortRange::new(min, max).unwrap();
        }
    }
    panic!("no stretch of {pairs} free port pairs on 127.0.0.1");
}

fn ports_of(interfaces: &[InterfacePorts], range: PortRange) -> Ports {
    Ports::new(PortPool::new(interfaces, range))
}

fn counting() -> impl FnMut() -> io::Result<u32> {
    let mut n = 0_u32;
    move || {
        n = n.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        Ok(n >> 8)
    }
}

#[test]
fn a_range_holds_only_whole_pairs() {
    for (min, max, pairs) in
        [(20_000, 20_001, 1), (20_001, 20_003, 1), (20_000, 20_004, 2), (65_534, 65_535, 1), (2, 3, 1)]
    {
        assert_eq!(PortRange::new(min, max).map(PortRange::pairs), Some(pairs), "{min}-{max}");
    }
    for (min, max) in [(20_000, 20_000), (20_001, 20_002), (20_002, 20_000), (0, 9)] {
        assert_eq!(PortRange::new(min, max), None, "{min}-{max}");
    }
}

#[test]
fn every_pair_of_the_range_is_bound_once_and_then_there_is_none() {
    let mut poller = Poller::new(Arc::default()).unwrap();
    let range = unused_range(4);
    let mut ports = ports_of(&[interface(0), interface(1)], range);
    let mut random = counting();
    let mut bound: Vec<u16> = (0..4)
        .map(|_| ports.bind(crate::clock::now(), &mut poller, LOCAL, &mut random).unwrap().rtp_addr.port())
        .collect();
    bound.sort_unstable();
    assert_eq!(bound, range.rtp_ports().collect::<Vec<_>>());
    assert_eq!(
        ports.bind(crate::clock::now(), &mut poller, LOCAL, &mut random).unwrap_err().kind(),
        io::ErrorKind::AddrInUse
    );
}

#[test]
fn rtcp_is_on_the_odd_port_above_rtp() {
    let mut poller = Poller::new(Arc::default()).unwrap();
    let pair =
        ports_of(&[interface(0)], unused_range(2)).bind(crate::clock::now(), &mut poller, LOCAL, counting()).unwrap();
    assert_eq!(pair.rtp_addr.port() % 2, 0);
    assert_eq!(pair.rtcp_addr.port(), pair.rtp_addr.port() + 1);
}

#[test]
fn workers_never_share_a_port_and_each_can_have_all_of_them() {
    let range = unused_range(6);
    let pool = PortPool::new(&[interface(0)], range);
    let (mut random, now) = (counting(), crate::clock::now());
    let mut workers = [(); 2].map(|()| (Poller::new(Arc::default()).unwrap(), Ports::new(pool.clone())));
    let mut bind = |worker: usize| {
        let (poller, ports) = &mut workers[worker];
        ports.bind(now, poller, LOCAL, &mut random).map(|pair| pair.rtp_addr.port())
    };
    let mut bound: Vec<u16> = [0, 1, 0, 0, 0, 0].map(|worker| bind(worker).unwrap()).to_vec();
    assert!(bind(0).is_err() && bind(1).is_err());
    bound.sort_unstable();
    assert_eq!(bound, range.rtp_ports().collect::<Vec<_>>());
}

#[test]
fn pairs_that_a_worker_does_not_use_are_free_for_another() {
    let pool = PortPool::new(&[interface(0)], unused_range(3));
    let (mut random, start) = (counting(), crate::clock::now());
    let [(mut poller, mut ports), (mut other_poller, mut other)] =
        [(); 2].map(|()| (Poller::new(Arc::default()).unwrap(), Ports::new(pool.clone())));
    let pairs = [(); 3].map(|()| ports.bind(start, &mut poller, LOCAL, &mut random).unwrap());
    // One is in use, one has rested for long, one is too fresh.
    ports.release(start, &mut poller, pairs[1]);
    let later = start + QUARANTINE_MIN;
    ports.release(later, &mut poller, pairs[2]);
    assert!(other.bind(later, &mut other_poller, LOCAL, &mut random).is_err());
    ports.give_up(later, &mut poller, &[LOCAL], 8);
    assert_eq!(other.bind(later, &mut other_poller, LOCAL, &mut random).unwrap().rtp_addr, pairs[1].rtp_addr);
    assert!(other.bind(later, &mut other_poller, LOCAL, &mut random).is_err(), "the third has not rested");
    ports.give_up(later + QUARANTINE_MIN, &mut poller, &[LOCAL], 8);
    assert!(other.bind(later, &mut other_poller, LOCAL, &mut random).is_ok());
}

#[test]
fn a_port_that_another_program_holds_is_skipped_and_found_again_later() {
    let mut poller = Poller::new(Arc::default()).unwrap();
    let range = unused_range(2);
    let other = socket::bind(SocketAddr::new(LOCAL, range.min + 1), 4096).unwrap();
    let mut ports = ports_of(&[interface(0)], range);
    let mut random = counting();
    assert_eq!(
        ports.bind(crate::clock::now(), &mut poller, LOCAL, &mut random).unwrap().rtp_addr.port(),
        range.min + 2
    );
    assert!(ports.bind(crate::clock::now(), &mut poller, LOCAL, &mut random).is_err());
    drop(other);
    assert_eq!(ports.bind(crate::clock::now(), &mut poller, LOCAL, &mut random).unwrap().rtp_addr.port(), range.min);
}

#[test]
fn a_released_pair_stays_bound_until_its_quarantine_is_over() {
    let mut poller = Poller::new(Arc::default()).unwrap();
    let mut ports = ports_of(&[interface(0)], unused_range(1));
    let start = crate::clock::now();
    let pair = ports.bind(crate::clock::now(), &mut poller, LOCAL, counting()).unwrap();
    ports.release(start, &mut poller, pair);
    assert_eq!(ports.poll_timeout(), Some(start + QUARANTINE));

    assert!(!ports.handle_timeout(start + QUARANTINE - Duration::from_millis(1), &mut poller));
    assert!(socket::bind(pair.rtp_addr, 4096).is_err(), "still bound");
    assert!(ports.bind(start, &mut poller, LOCAL, counting()).is_err());

    assert!(ports.handle_timeout(start + QUARANTINE, &mut poller));
    assert_eq!(ports.poll_timeout(), None);
    assert_eq!(ports.bind(start, &mut poller, LOCAL, counting()).unwrap(), pair, "the same sockets");
}

#[test]
fn of_many_pairs_out_of_quarantine_some_stay_bound_and_the_others_are_free() {
    let mut poller = Poller::new(Arc::default()).unwrap();
    let range = unused_range(RESTED_MAX as u16 + 2);
    let mut ports = ports_of(&[interface(0)], range);
    let start = crate::clock::now();
    let mut random = counting();
    let pairs: Vec<_> =
        (0..range.pairs()).map(|_| ports.bind(start, &mut poller, LOCAL, &mut random).unwrap()).collect();
    pairs.iter().for_each(|pair| ports.release(start, &mut poller, *pair));
    assert!(ports.handle_timeout(start + QUARANTINE, &mut poller));
    assert_eq!((ports.rested.len(), ports.pool.lock()[0].rtp_ports.len()), (RESTED_MAX, 2));
    let bound = range.rtp_ports().filter(|port| socket::bind(SocketAddr::new(LOCAL, *port), 4096).is_err()).count();
    assert_eq!(bound, RESTED_MAX);
    assert!((0..range.pairs()).all(|_| ports.bind(start, &mut poller, LOCAL, &mut random).is_ok()));
}

#[test]
fn where_all_other_ports_are_taken_the_one_longest_in_quarantine_is_next() {
    let mut poller = Poller::new(Arc::default()).unwrap();
    let mut ports = ports_of(&[interface(0)], unused_range(2));
    let start = crate::clock::now();
    let [first, second] = [(); 2].map(|()| ports.bind(start, &mut poller, LOCAL, counting()).unwrap());
    ports.release(start, &mut poller, first);
    ports.release(start + Duration::from_millis(1), &mut poller, second);
    let early = start + QUARANTINE_MIN - Duration::from_millis(1);
    assert_eq!(ports.bind(early, &mut poller, LOCAL, counting()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    let in_time = start + QUARANTINE_MIN;
    assert_eq!(ports.bind(in_time, &mut poller, LOCAL, counting()).unwrap(), first);
    assert!(ports.bind(in_time, &mut poller, LOCAL, counting()).is_err(), "the second has not rested");
}

#[test]
fn need_shortens_the_quarantine_but_does_not_end_it() {
    let mut poller = Poller::new(Arc::default()).unwrap();
    let mut ports = ports_of(&[interface(0)], unused_range(1));
    let start = crate::clock::now();
    let pair = ports.bind(crate::clock::now(), &mut poller, LOCAL, counting()).unwrap();
    ports.release(start, &mut poller, pair);
    ports.set_starved(true);
    assert!(!ports.handle_timeout(start + QUARANTINE_MIN - Duration::from_millis(1), &mut poller));
    assert!(ports.handle_timeout(start + QUARANTINE_MIN, &mut poller));
    assert!(ports.bind(crate::clock::now(), &mut poller, LOCAL, counting()).is_ok());
}
