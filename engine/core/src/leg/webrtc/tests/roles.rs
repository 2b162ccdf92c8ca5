//! Which end is the DTLS client, what is sent again, and which datagrams have an effect.

use super::*;

const BOB: &str = "198.51.100.7:2000";
const SECOND: Duration = Duration::from_secs(1);

/// Two legs of ours. Bob is announced as ICE-lite to Alice; she has no other information.
struct Pair {
    start: Instant,
    alice: End,
    bob: End,
    fingerprints: [[u8; 32]; 2],
}

fn pair(alice_role: DtlsRole, bob_role: DtlsRole) -> Pair {
    let start = Instant::now();
    let (id_a, id_b) = (DtlsIdentity::generate().unwrap(), DtlsIdentity::generate().unwrap());
    let plan_a = plan("alice", remote("bob", addr(BOB), id_b.fingerprint(), true, true), alice_role);
    let plan_b = plan("bob", remote("alice", addr(OURS), id_a.fingerprint(), false, false), bob_role);
    Pair {
        start,
        alice: ours(start, addr(OURS), &id_a, &plan_a),
        bob: ours(start, addr(BOB), &id_b, &plan_b),
        fingerprints: [id_a.fingerprint(), id_b.fingerprint()],
    }
}

impl Pair {
    /// Both ends for two seconds.
    fn run(&mut self, carry: impl FnMut(Duration, bool, &[u8]) -> bool) -> (Log, Log) {
        run(self.start, 2 * SECOND, (&mut self.alice, addr(OURS)), (&mut self.bob, addr(BOB)), carry)
    }
}

fn is_hedged(end: &End) -> bool {
    let End::Ours(ours) = end else { return false };
    ours.is_role_hedged()
}

/// A handshake record of epoch 0 with one message without content.
fn forged_message(message_type: u8, message_seq: u8) -> Vec<u8> {
    let record = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 99, 0, 12];
    [&record[..], &[message_type, 0, 0, 0, 0, message_seq, 0, 0, 0, 0, 0, 0]].concat()
}

/// Records that a host on the path sends before `real`, the first datagram of the peer's flight.
fn forged_records(real: &[u8]) -> Vec<(String, Vec<u8>)> {
    // The real hello with another random, as long as the first message is a hello.
    let mut hello = real.to_vec();
    hello[30] ^= 1;
    let hello_verify = [
        &[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 99, 0, 19, 3, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 7][..],
        &[0xfe, 0xff, 4, 1, 2, 3, 4],
    ]
    .concat();
    let alert = vec![21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 99, 0, 2, 2, 40];
    // Not as number 3: in place of the CertificateRequest it is noticed only by the server.
    let done = [0, 1, 2, 4, 5].map(|seq| (format!("ServerHelloDone {seq}"), forged_message(14, seq)));
    let other = (0..4).map(|seq| (format!("ServerKeyExchange {seq}"), forged_message(12, seq)));
    let named = [("hello", hello), ("HelloVerifyRequest", hello_verify), ("alert", alert)];
    named.map(|(name, record)| (name.to_owned(), record)).into_iter().chain(done).chain(other).collect()
}

#[test]
fn one_forged_record_in_the_flight_of_the_server_does_not_stop_the_handshake() {
    let kinds = forged_records(&[22; 40]).len();
    for kind in 0..kinds {
        // A changed copy is that of the hello, which the signature covers.
        let positions = if kind == 0 { 0..1 } else { 0..2 };
        for position in positions {
            forge_one_record(kind, position);
        }
    }
}

/// A handshake in which one forged record arrives before a datagram of the server.
fn forge_one_record(kind: usize, position: usize) {
    let mut pair = pair(DtlsRole::Client, DtlsRole::Server);
    let (mut seen, mut what) = (0, String::new());
    let (start, span) = (pair.start, 2 * SECOND);
    let ends = ((&mut pair.alice, addr(OURS)), (&mut pair.bob, addr(BOB)));
    let (a, b) = run_on_path(start, span, ends.0, ends.1, |_, to_bob, bytes| {
        let mut arriving = vec![bytes.to_vec()];
        if !to_bob && DatagramKind::of(bytes) == Some(DatagramKind::Dtls) {
            if seen == position {
                let (name, record) = forged_records(bytes).swap_remove(kind);
                what = format!("{name} before datagram {position}");
                arriving.insert(0, record);
            }
            seen += 1;
        }
        arriving
    });
    assert_mirrored(&a, &b, &what);
}

#[test]
fn a_handshake_is_completed_while_each_datagram_comes_behind_a_forged_alert() {
    for roles in [(DtlsRole::Client, DtlsRole::Server), (DtlsRole::Server, DtlsRole::Client)] {
        let mut pair = pair(roles.0, roles.1);
        let (start, span) = (pair.start, 5 * SECOND);
        let ends = ((&mut pair.alice, addr(OURS)), (&mut pair.bob, addr(BOB)));
        let (a, b) = run_on_path(start, span, ends.0, ends.1, |_, _, bytes| {
            if DatagramKind::of(bytes) != Some(DatagramKind::Dtls) {
                return vec![bytes.to_vec()];
            }
            let (_, alert) = forged_records(&[22; 40]).swap_remove(2);
            vec![alert, bytes.to_vec()]
        });
        assert_mirrored(&a, &b, &format!("{roles:?}"));
    }
}

/// ChangeCipherSpec: only a side's last flight has one.
fn ends_a_handshake(bytes: &[u8]) -> bool {
    bytes.first() == Some(&20)
}

fn hello_at(log: &Log) -> Option<Duration> {
    log.sent.iter().find(|(_, bytes)| dtls::is_client_hello(bytes)).map(|(at, _)| *at)
}

fn milestone_at(log: &Log, wanted: Milestone) -> Duration {
    log.milestones.iter().find(|(milestone, _)| *milestone == wanted).unwrap().1
}

fn assert_mirrored(a: &Log, b: &Log, what: &str) {
    let (send_a, receive_a) = a.keys.as_ref().unwrap_or_else(|| panic!("{what}: {:?}", a.failed));
    let (send_b, receive_b) = b.keys.as_ref().unwrap_or_else(|| panic!("{what}: {:?}", b.failed));
    assert!(send_a == receive_b && receive_a == send_b, "{what}");
}

#[test]
fn a_last_flight_that_is_lost_twice_is_sent_again_by_either_end() {
    for (alice, bob, from_alice) in [
        (DtlsRole::Server, DtlsRole::Client, true),
        (DtlsRole::Client, DtlsRole::Server, true),
        (DtlsRole::Server, DtlsRole::Client, false),
        (DtlsRole::Client, DtlsRole::Server, false),
    ] {
        let what = format!("{alice:?}, lost from {}", if from_alice { "her" } else { "him" });
        let mut lost = 0;
        let (a, b) = pair(alice, bob).run(|_, to_bob, bytes| {
            let loses = lost < 2 && to_bob == from_alice && bytes.windows(3).any(|at| at == [20, 0xfe, 0xfd]);
            lost += u32::from(loses);
            !loses
        });
        assert_eq!(lost, 2, "{what}");
        assert_mirrored(&a, &b, &what);
    }
}

#[test]
fn a_flight_without_an_answer_is_repeated_after_50_100_200_and_400_ms() {
    let (log, _) = pair(DtlsRole::Client, DtlsRole::Server)
        .run(|_, to_bob, bytes| !(to_bob && DatagramKind::of(bytes) == Some(DatagramKind::Dtls)));
    let hellos: Vec<Duration> =
        log.sent.iter().filter(|(_, bytes)| dtls::is_client_hello(bytes)).map(|(at, _)| *at).collect();
    for (pair, wanted_ms) in hellos.windows(2).zip([50, 100, 200, 400]) {
        let gap_ms = (pair[1] - pair[0]).as_millis() as i64;
        // dimpl spreads its repetitions by a quarter either way.
        assert!((gap_ms - wanted_ms).abs() <= wanted_ms / 4 + 1, "{gap_ms} ms for {wanted_ms}");
    }
    assert!(hellos.len() >= 5, "{hellos:?}");
}

#[test]
fn a_lite_peer_that_announces_active_and_waits_gets_our_client_hello_300_ms_after_the_valid_pair() {
    let start = Instant::now();
    let identity = DtlsIdentity::generate().unwrap();
    let (mut meta, fingerprint) = lite_peer(start, addr(META), identity.fingerprint(), false);
    let plan = plan("ours", remote("meta", addr(META), fingerprint, true, true), DtlsRole::Server);
    let mut leg = ours(start, addr(OURS), &identity, &plan);
    let (log, _) = run(start, 2 * SECOND, (&mut leg, addr(OURS)), (&mut meta, addr(META)), everything);
    assert!(log.keys.is_some(), "{:?}", log.failed);
    let valid_at = 2 * ONE_WAY;
    assert_eq!(hello_at(&log), Some(valid_at + Duration::from_millis(300)));
    assert!(is_hedged(&leg));
}

#[test]
fn a_peer_that_announces_active_and_sends_its_client_hello_gets_none_of_ours() {
    let mut pair = pair(DtlsRole::Server, DtlsRole::Client);
    let (a, b) = pair.run(everything);
    assert_mirrored(&a, &b, "as agreed");
    assert_eq!((hello_at(&a), is_hedged(&pair.alice)), (None, false));
}

#[test]
fn on_a_path_longer_than_the_hedge_the_peer_still_gets_its_turn() {
    // Everything before 450 ms is lost, and so is the first ClientHello of the peer that could arrive in time.
    let mut pair = pair(DtlsRole::Server, DtlsRole::Client);
    let (a, b) = pair.run(|at, to_bob, bytes| {
        let nomination = stun::Head::parse(bytes).is_ok_and(|head| head.use_candidate);
        !(to_bob && nomination && at < Duration::from_millis(450))
    });
    assert_mirrored(&a, &b, "the nomination is answered late");
    assert_eq!((hello_at(&a), is_hedged(&pair.alice)), (None, false));
}

#[test]
fn our_client_hello_gives_way_to_that_of_the_peer_when_it_arrives_after_all() {
    let mut pair = pair(DtlsRole::Server, DtlsRole::Client);
    let late = Duration::from_millis(700);
    let (a, b) =
        pair.run(|at, to_bob, bytes| to_bob || DatagramKind::of(bytes) != Some(DatagramKind::Dtls) || at > late);
    assert!(hello_at(&a).is_some_and(|at| at < late) && is_hedged(&pair.alice));
    assert_mirrored(&a, &b, "both took themselves for the client");
}

#[test]
fn without_a_settled_role_ours_goes_50_ms_after_the_answer_to_the_nomination() {
    let mut pair = pair(DtlsRole::Either, DtlsRole::Server);
    let (a, b) = pair.run(everything);
    assert_mirrored(&a, &b, "open role");
    let due = milestone_at(&a, Milestone::IceConnected) + Duration::from_millis(50);
    assert_eq!(hello_at(&a), Some(due));
    assert!(!is_hedged(&pair.alice), "the client was not settled");
}

#[test]
fn dtls_from_a_source_without_a_valid_pair_is_refused_before_during_and_after_the_handshake() {
    let alert: &[u8] = &[21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40];
    let hello: &[u8] = &[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 14, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 7, 7];
    // Another host; the peer's address with another port.
    for stranger in ["192.0.2.66:2000", "198.51.100.7:2001"] {
        for role in [DtlsRole::Client, DtlsRole::Server, DtlsRole::Either] {
            let mut pair = pair(role, if role == DtlsRole::Client { DtlsRole::Server } else { DtlsRole::Client });
            let mut alice_keys = None;
            for ms in [0, 45, 90, 130, 2_000] {
                let End::Ours(alice) = &mut pair.alice else { unreachable!() };
                for bytes in [alert, hello] {
                    let taken = alice.handle_datagram(pair.start, addr(stranger), DatagramKind::Dtls, bytes);
                    assert_eq!(taken, Err(Discard::ForeignSource), "{stranger} {role:?}");
                }
                let span = Duration::from_millis(ms);
                let (alice, bob) = ((&mut pair.alice, addr(OURS)), (&mut pair.bob, addr(BOB)));
                let (a, _) = run(pair.start, span, alice, bob, everything);
                assert_eq!(a.failed, None, "{stranger} {role:?}");
                alice_keys = alice_keys.or(a.keys);
                pair.start += span;
            }
            assert!(alice_keys.is_some(), "{stranger} {role:?}");
        }
    }
}

#[test]
fn a_certificate_is_compared_again_when_the_announced_fingerprint_changes_in_mid_handshake() {
    let mut pair = pair(DtlsRole::Client, DtlsRole::Server);
    let (a, _) = pair.run(|_, to_bob, bytes| to_bob || !ends_a_handshake(bytes));
    assert!(a.keys.is_none() && a.failed.is_none(), "the certificate is known, the handshake is not over");
    let End::Ours(alice) = &mut pair.alice else { unreachable!() };
    let other = plan("alice", remote("bob", addr(BOB), [7; 32], true, true), DtlsRole::Client);
    pair.start += 2 * SECOND;
    alice.apply(pair.start, &other);
    // Long enough for the flight that was lost last to be sent again.
    let (alice, bob) = ((&mut pair.alice, addr(OURS)), (&mut pair.bob, addr(BOB)));
    let (a, _) = run(pair.start, 30 * SECOND, alice, bob, everything);
    assert!(a.keys.is_none());
    assert_eq!((a.failed, a.failures), (Some(LegFailure::FingerprintMismatch), 1));
}

#[test]
fn a_pair_whose_nomination_is_never_answered_fails_after_30_s() {
    let mut pair = pair(DtlsRole::Client, DtlsRole::Server);
    let mut answers = 0;
    let (alice, bob) = ((&mut pair.alice, addr(OURS)), (&mut pair.bob, addr(BOB)));
    let (a, _) = run(pair.start, 31 * SECOND, alice, bob, |_, to_bob, bytes| {
        let answer = !to_bob && stun::Head::parse(bytes).is_ok_and(|head| head.class == stun::Class::Success);
        answers += u32::from(answer);
        !answer || answers == 1
    });
    assert!(a.keys.is_some(), "DTLS does not wait for it");
    assert_eq!((a.failed, a.failures), (Some(LegFailure::IceDisconnected), 1));
    let End::Ours(alice) = &pair.alice else { unreachable!() };
    assert_eq!(alice.selected(), None, "consent has expired (RFC 7675 5.1)");
}

#[test]
fn lost_consent_returns_with_new_credentials_and_not_without() {
    let mut pair = pair(DtlsRole::Client, DtlsRole::Server);
    let (a, _) = pair.run(everything);
    assert!(a.keys.is_some());
    pair.start += 2 * SECOND;
    let (alice, bob) = ((&mut pair.alice, addr(OURS)), (&mut pair.bob, addr(BOB)));
    let (a, _) = run(pair.start, 35 * SECOND, alice, bob, |_, _, _| false);
    assert_eq!((a.failed, a.failures), (Some(LegFailure::IceDisconnected), 1));
    pair.start += 35 * SECOND;

    // The path works again: that does not help a pair that has lost consent.
    let (a, b) = pair.run(everything);
    assert_eq!((&a.milestones[..], &b.milestones[..]), (&[][..], &[][..]));
    pair.start += 2 * SECOND;

    let [of_alice, of_bob] = pair.fingerprints;
    let plan_a = plan("alice-2", remote("bob-2", addr(BOB), of_bob, true, true), DtlsRole::Client);
    let plan_b = plan("bob-2", remote("alice-2", addr(OURS), of_alice, false, false), DtlsRole::Server);
    for (end, plan) in [(&mut pair.alice, &plan_a), (&mut pair.bob, &plan_b)] {
        let End::Ours(ours) = end else { unreachable!() };
        ours.apply(pair.start, plan);
    }
    let (a, _) = pair.run(everything);
    assert_eq!(a.milestones.iter().map(|(milestone, _)| *milestone).collect::<Vec<_>>(), [Milestone::IceConnected]);
    assert_eq!((a.failed, a.keys.is_none()), (None, true), "the keys are those of before");
    let End::Ours(alice) = &pair.alice else { unreachable!() };
    assert_eq!(alice.selected(), Some(addr(BOB)));
}
