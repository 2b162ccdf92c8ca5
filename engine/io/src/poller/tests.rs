use super::*;

fn pair(poller: &mut Poller) -> (SocketId, SocketAddr, std::net::UdpSocket) {
    let (id, address) = poller.open("127.0.0.1:0".parse().unwrap()).unwrap();
    let peer =
        std::net::UdpSocket::from(socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap());
    peer.connect(address).unwrap();
    (id, address, peer)
}

fn soon() -> Option<Instant> {
    Some(clock::now() + Duration::from_secs(10))
}

fn wait_for_one(poller: &mut Poller) -> SocketId {
    loop {
        poller.wait(soon()).unwrap();
        if let Some(id) = poller.next_ready() {
            return id;
        }
    }
}

#[test]
fn a_socket_that_was_not_read_completely_stays_ready() {
    let mut poller = Poller::new(Arc::default()).unwrap();
    let (id, _, peer) = pair(&mut poller);
    peer.send(b"one").unwrap();
    peer.send(b"two").unwrap();
    let mut buffer = [0; 16];
    assert_eq!(wait_for_one(&mut poller), id);
    assert_eq!(poller.receive(id, &mut buffer), ReceiveResult::Datagram(3, peer.local_addr().unwrap(), Duration::ZERO));
    assert_eq!(poller.next_ready(), None);
    assert_eq!(wait_for_one(&mut poller), id);
    assert_eq!(poller.receive(id, &mut buffer), ReceiveResult::Datagram(3, peer.local_addr().unwrap(), Duration::ZERO));
    assert_eq!(&buffer[..3], b"two");
    assert_eq!(poller.receive(id, &mut buffer), ReceiveResult::Empty);
}

#[test]
fn sockets_are_reported_in_turn_even_if_there_are_more_than_one_wait_reports() {
    let mut poller = Poller::new(Arc::default()).unwrap();
    let pairs: Vec<_> = (0..READY_MAX + 10).map(|_| pair(&mut poller)).collect();
    for (_, _, peer) in &pairs {
        peer.send(b"one").unwrap();
        peer.send(b"two").unwrap();
    }
    let mut seen = vec![0; pairs.len()];
    for _ in 0..2 {
        poller.wait(soon()).unwrap();
        assert!(!poller.is_all_reported());
        while let Some(id) = poller.next_ready() {
            assert!(matches!(poller.receive(id, &mut [0; 16]), ReceiveResult::Datagram(3, ..)));
            seen[id.0 as usize] += 1;
        }
    }
    assert!(seen.iter().all(|times| *times > 0), "one is starved: {seen:?}");
}

#[test]
fn a_flooded_socket_does_not_hold_up_the_others() {
    let mut poller = Poller::new(Arc::default()).unwrap();
    let (flooded, _, stranger) = pair(&mut poller);
    let (quiet, _, peer) = pair(&mut poller);
    (0..60).for_each(|_| _ = stranger.send(b"flood").unwrap());
    for round in 0..20 {
        peer.send(b"one").unwrap();
        poller.wait(soon()).unwrap();
        let mut ready = [poller.next_ready(), poller.next_ready()].map(Option::unwrap);
        ready.sort_unstable_by_key(|id| id.0);
        assert_eq!(ready, [flooded, quiet], "round {round}");
        assert!(matches!(poller.receive(flooded, &mut [0; 16]), ReceiveResult::Datagram(5, ..)));
        assert!(matches!(poller.receive(quiet, &mut [0; 16]), ReceiveResult::Datagram(3, ..)));
    }
}

#[test]
fn a_deadline_ends_a_wait_and_a_later_one_is_met_as_well() {
    let mut poller = Poller::new(Arc::default()).unwrap();
    let start = clock::now();
    let near = start + Duration::from_millis(5);
    let far = start + Duration::from_millis(20);
    // Set for the near one, and not changed when the far one replaces it.
    poller.timer.arm(start, near).unwrap();
    let armed = poller.timer.armed.unwrap();
    assert!(near <= armed && armed < near + TIMER_GRID);
    while clock::now() < far {
        poller.wait(Some(far)).unwrap();
    }
    poller.wait(Some(far)).unwrap();
    // A deadline earlier than the timer's is met in time.
    poller.timer.arm(clock::now(), clock::now() + Duration::from_secs(3_600)).unwrap();
    let near = clock::now() + Duration::from_millis(5);
    while clock::now() < near {
        poller.wait(Some(near)).unwrap();
    }
    assert!(poller.timer.armed.is_none_or(|armed| armed < near + TIMER_GRID));
}

#[test]
fn deadlines_that_are_close_together_share_a_point_of_the_grid() {
    let us = Duration::from_micros;
    for (since_start, at) in [(0, 0), (1, 1_000), (999, 1_000), (1_000, 1_000), (1_001, 2_000)] {
        assert_eq!(on_grid(us(since_start)), us(at), "{since_start} us");
    }
}

#[test]
fn datagrams_on_a_quarantined_socket_are_read_and_dropped() {
    let mut poller = Poller::new(Arc::default()).unwrap();
    let (id, _, peer) = pair(&mut poller);
    poller.quarantine(id);
    peer.send(b"late").unwrap();
    assert_eq!(wait_for_one(&mut poller), id);
    assert_eq!(poller.receive(id, &mut [0; 16]), ReceiveResult::Quarantined);
    assert_eq!(poller.receive(id, &mut [0; 16]), ReceiveResult::Empty);
}

#[test]
fn a_reused_socket_has_no_datagram_of_its_quarantine_and_no_dscp_byte() {
    let mut poller = Poller::new(Arc::default()).unwrap();
    let (id, _, peer) = pair(&mut poller);
    let to = peer.local_addr().unwrap();
    poller.send(id, to, Some(184), b"x").unwrap();
    poller.quarantine(id);
    peer.send(b"late").unwrap();
    peer.send(b"later").unwrap();
    poller.reuse(id);
    assert_eq!(poller.receive(id, &mut [0; 16]), ReceiveResult::Empty);
    peer.send(b"new").unwrap();
    assert_eq!(poller.receive(id, &mut [0; 16]), ReceiveResult::Datagram(3, to, Duration::ZERO));
    assert_eq!(socket2::SockRef::from(&poller.sockets[id.0 as usize].udp).tos_v4().unwrap(), 0);
}

#[test]
fn after_a_late_turn_datagrams_come_with_the_time_that_they_have_waited() {
    let waits = || {
        let mut poller = Poller::new(Arc::default()).unwrap();
        let (id, _, peer) = pair(&mut poller);
        let mut buffer = [0; 16];
        peer.send(b"old").unwrap();
        let sent = clock::now();
        while clock::now() < sent + Duration::from_millis(60) {}
        peer.send(b"new").unwrap();
        poller.begin_turn(clock::now());
        let ReceiveResult::Datagram(3, _, old) = poller.receive(id, &mut buffer) else { panic!("a datagram") };
        let ReceiveResult::Datagram(3, _, new) = poller.receive(id, &mut buffer) else { panic!("a datagram") };
        poller.end_turn();
        (old, new)
    };
    // The kernel begins to stamp datagrams some time after the first socket of the machine has asked for it.
    let mut attempts = (0..20).map(|_| waits());
    let (old, new) = attempts.find(|(old, _)| *old > Duration::ZERO).expect("datagrams have stamps of the kernel");
    assert!(old >= Duration::from_millis(59) && new < old, "{old:?} {new:?}");
}

#[test]
fn a_closed_socket_neither_reads_nor_sends_nor_wakes() {
    let mut poller = Poller::new(Arc::default()).unwrap();
    let (id, address, peer) = pair(&mut poller);
    let (other, _, other_peer) = pair(&mut poller);
    peer.send(b"x").unwrap();
    poller.close(id);
    poller.close(id);
    other_peer.send(b"y").unwrap();
    assert_eq!(wait_for_one(&mut poller), other);
    assert_eq!(poller.next_ready(), None);
    assert_eq!(poller.receive(id, &mut [0; 16]), ReceiveResult::Empty);
    assert!(poller.send(id, address, None, b"x").is_err());
}
