//! Handshakes in virtual time: between two legs of ours, and between one and str0m's complete agent as an ICE-lite peer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::net::{Protocol, Receive};
use str0m::{Candidate, IceCreds, Input, Rtc, RtcConfig};
use trestle_wire::demux::DatagramKind;
use trestle_wire::stun;

use super::*;
use crate::plan::{DtlsRole, Fingerprint, IceCredentials, WebRtcRemote};

mod roles;

const ONE_WAY: Duration = Duration::from_millis(20);

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn credentials(name: &str) -> IceCredentials {
    IceCredentials { ufrag: format!("{name}ufrag"), pwd: format!("{name}passwordpasswordpassword").into() }
}

fn remote(name: &str, at: SocketAddr, fingerprint: [u8; 32], controlling: bool, lite: bool) -> WebRtcRemote {
    WebRtcRemote {
        credentials: credentials(name),
        candidates: vec![format!("candidate:1 1 udp 2113937151 {} {} typ host", at.ip(), at.port())],
        lite,
        controlling,
        fingerprints: vec![Fingerprint::Sha256(fingerprint)],
    }
}

fn plan(name: &str, remote: WebRtcRemote, dtls_role: DtlsRole) -> WebRtcPlan {
    WebRtcPlan { local: credentials(name), remote: Some(remote), dtls_role }
}

/// The results of one end, and everything it sent.
#[derive(Default)]
struct Log {
    milestones: Vec<(Milestone, Duration)>,
    keys: Option<(KeyingMaterial, KeyingMaterial)>,
    failed: Option<LegFailure>,
    /// How many times a failure was reported.
    failures: u32,
    sent: Vec<(Duration, Vec<u8>)>,
}

enum End {
    Ours(Box<WebRtc>),
    Str0m(Box<Rtc>),
}

impl End {
    fn handle(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        match self {
            Self::Ours(ours) => {
                if let Some(kind) = DatagramKind::of(bytes) {
                    let _ = ours.handle_datagram(now, from, kind, bytes);
                }
            }
            Self::Str0m(rtc) => {
                let contents = bytes.try_into().unwrap();
                let input =
                    Input::Receive(now, Receive { proto: Protocol::Udp, source: from, destination: to, contents });
                if rtc.accepts(&input) {
                    rtc.handle_input(input).unwrap();
                }
            }
        }
    }

    fn timeout(&mut self, now: Instant) {
        match self {
            Self::Ours(ours) => ours.handle_timeout(now),
            Self::Str0m(rtc) => rtc.handle_input(Input::Timeout(now)).unwrap(),
        }
    }

    /// Datagrams to send, and the next deadline.
    fn drain(&mut self, now: Instant, start: Instant, log: &mut Log) -> (Vec<(SocketAddr, Vec<u8>)>, Option<Instant>) {
        let mut out = Vec::new();
        match self {
            Self::Ours(ours) => {
                let mut buf = [0; 2_048];
                while let Some(output) = ours.poll_output(now, &mut buf) {
                    match output {
                        WebRtcOutput::Transmit { to, len } => out.push((to, buf[..len].to_vec())),
                        WebRtcOutput::Milestone(milestone) => log.milestones.push((milestone, now - start)),
                        WebRtcOutput::Keys(keys) => log.keys = Some(*keys),
                        WebRtcOutput::Failed(failure) => {
                            log.failed = Some(failure);
                            log.failures += 1;
                        }
                    }
                }
                log.sent.extend(out.iter().map(|(_, bytes)| (now - start, bytes.clone())));
                (out, ours.poll_timeout())
            }
            Self::Str0m(rtc) => loop {
                match rtc.poll_output() {
                    Ok(str0m::Output::Timeout(at)) => return (out, Some(at)),
                    Ok(str0m::Output::Transmit(transmit)) => {
                        out.push((transmit.destination, transmit.contents.to_vec()));
                    }
                    Ok(str0m::Output::Event(_)) => {}
                    // A peer that has waited too long fails for good; the test checks how our leg handles that.
                    Err(_) => return (out, None),
                }
            },
        }
    }
}

/// Runs both ends for `span`; `carry` may lose or spoil datagrams on the way to `b`.
fn run(
    start: Instant,
    span: Duration,
    (a, a_at): (&mut End, SocketAddr),
    (b, b_at): (&mut End, SocketAddr),
    mut carry: impl FnMut(Duration, bool, &[u8]) -> bool,
) -> (Log, Log) {
    run_on_path(start, span, (a, a_at), (b, b_at), |at, to_b, bytes| {
        carry(at, to_b, bytes).then(|| bytes.to_vec()).into_iter().collect()
    })
}

/// The same where `path` gives what arrives in place of each datagram.
fn run_on_path(
    start: Instant,
    span: Duration,
    (a, a_at): (&mut End, SocketAddr),
    (b, b_at): (&mut End, SocketAddr),
    mut path: impl FnMut(Duration, bool, &[u8]) -> Vec<Vec<u8>>,
) -> (Log, Log) {
    let (mut log_a, mut log_b) = (Log::default(), Log::default());
    let mut wire: Vec<(Instant, bool, Vec<u8>)> = Vec::new();
    let mut now = start;
    a.timeout(now);
    b.timeout(now);
    loop {
        let mut next = start + span;
        for (end, log, to_b, peer) in [(&mut *a, &mut log_a, true, b_at), (&mut *b, &mut log_b, false, a_at)] {
            let (sent, wake) = end.drain(now, start, log);
            for (to, bytes) in sent {
                assert_eq!(to, peer, "everything goes to the peer");
                let arriving = path(now - start, to_b, &bytes);
                wire.extend(arriving.into_iter().map(|bytes| (now + ONE_WAY, to_b, bytes)));
            }
            next = wake.map_or(next, |wake| next.min(wake.max(now + Duration::from_micros(100))));
        }
        next = wire.iter().map(|(at, ..)| *at).fold(next, Instant::min);
        if next >= start + span {
            return (log_a, log_b);
        }
        now = next;
        let due = wire.iter().position(|(at, ..)| *at <= now).map(|position| wire.remove(position));
        match due {
            Some((_, true, bytes)) => b.handle(now, a_at, b_at, &bytes),
            Some((_, false, bytes)) => a.handle(now, b_at, a_at, &bytes),
            None => {
                a.timeout(now);
                b.timeout(now);
            }
        }
    }
}

fn ours(start: Instant, at: SocketAddr, identity: &DtlsIdentity, plan: &WebRtcPlan) -> End {
    End::Ours(Box::new(WebRtc::new(start, at, plan, identity).unwrap()))
}

/// A str0m ICE-lite peer, as Meta's relay is one.
fn lite_peer(start: Instant, at: SocketAddr, our_fingerprint: [u8; 32], active: bool) -> (End, [u8; 32]) {
    let mut rtc: Rtc = RtcConfig::new().set_ice_lite(true).build(start);
    rtc.add_local_candidate(Candidate::host(at, "udp").unwrap());
    let creds = |name| {
        let IceCredentials { ufrag, pwd } = credentials(name);
        IceCreds { ufrag, pass: pwd.to_string() }
    };
    let mut api = rtc.direct_api();
    api.set_local_ice_credentials(creds("meta"));
    api.set_remote_ice_credentials(creds("ours"));
    api.set_remote_fingerprint(str0m::config::Fingerprint {
        hash_func: "sha-256".into(),
        bytes: our_fingerprint.to_vec(),
    });
    api.start_dtls(active).unwrap();
    let fingerprint = api.local_dtls_fingerprint().bytes.clone().try_into().unwrap();
    (End::Str0m(Box::new(rtc)), fingerprint)
}

fn everything(_: Duration, _: bool, _: &[u8]) -> bool {
    true
}

const OURS: &str = "203.0.113.5:30000";
const META: &str = "31.13.65.60:40012";

#[test]
fn a_lite_peer_is_nominated_regularly_and_the_client_hello_comes_right_behind_the_nomination() {
    let start = Instant::now();
    let identity = DtlsIdentity::generate().unwrap();
    let (mut meta, fingerprint) = lite_peer(start, addr(META), identity.fingerprint(), false);
    let plan = plan("ours", remote("meta", addr(META), fingerprint, true, true), DtlsRole::Client);
    let mut leg = ours(start, addr(OURS), &identity, &plan);
    let (log, _) = run(start, Duration::from_secs(10), (&mut leg, addr(OURS)), (&mut meta, addr(META)), everything);

    assert!(log.keys.is_some(), "keys: {:?} {:?}", log.milestones, log.failed);
    let checks: Vec<(Duration, stun::Head)> = log
        .sent
        .iter()
        .filter_map(|(at, bytes)| Some((*at, stun::Head::parse(bytes).ok()?)))
        .filter(|(_, head)| head.class == stun::Class::Request)
        .collect();
    assert!(!checks[0].1.use_candidate, "regular nomination: the first check is a plain one");
    let nominated_at = checks.iter().find(|(_, head)| head.use_candidate).unwrap().0;
    let kinds: Vec<(DatagramKind, bool)> = log
        .sent
        .iter()
        .filter(|(at, _)| *at == nominated_at)
        .map(|(_, bytes)| {
            let head = stun::Head::parse(bytes).ok();
            (DatagramKind::of(bytes).unwrap(), head.is_some_and(|head| head.use_candidate))
        })
        .collect();
    assert_eq!(kinds, [(DatagramKind::Stun, true), (DatagramKind::Dtls, false)], "in this order, at once");
    assert_eq!(log.sent.iter().position(|(_, bytes)| DatagramKind::of(bytes) == Some(DatagramKind::Dtls)), Some(2));
}

#[test]
fn a_peer_that_answers_active_gets_trestle_as_dtls_server() {
    let start = Instant::now();
    let identity = DtlsIdentity::generate().unwrap();
    let (mut meta, fingerprint) = lite_peer(start, addr(META), identity.fingerprint(), true);
    let plan = plan("ours", remote("meta", addr(META), fingerprint, true, true), DtlsRole::Server);
    let mut leg = ours(start, addr(OURS), &identity, &plan);
    let (log, _) = run(start, Duration::from_secs(10), (&mut leg, addr(OURS)), (&mut meta, addr(META)), everything);
    assert!(log.keys.is_some(), "{:?} {:?}", log.milestones, log.failed);
}

#[test]
fn two_full_agents_agree_on_mirrored_keys_whichever_becomes_the_dtls_client() {
    for (role_a, role_b) in [
        (DtlsRole::Client, DtlsRole::Server),
        (DtlsRole::Either, DtlsRole::Client),
        (DtlsRole::Either, DtlsRole::Server),
    ] {
        let start = Instant::now();
        let (id_a, id_b) = (DtlsIdentity::generate().unwrap(), DtlsIdentity::generate().unwrap());
        let (at_a, at_b) = (addr(OURS), addr("198.51.100.7:2000"));
        let plan_a = plan("alice", remote("bob", at_b, id_b.fingerprint(), true, false), role_a);
        let plan_b = plan("bob", remote("alice", at_a, id_a.fingerprint(), false, false), role_b);
        let (mut a, mut b) = (ours(start, at_a, &id_a, &plan_a), ours(start, at_b, &id_b, &plan_b));
        let (log_a, log_b) = run(start, Duration::from_secs(10), (&mut a, at_a), (&mut b, at_b), everything);
        let (send_a, receive_a) = log_a.keys.unwrap_or_else(|| panic!("{role_a:?} {role_b:?} {:?}", log_a.failed));
        let (send_b, receive_b) = log_b.keys.unwrap_or_else(|| panic!("{role_a:?} {role_b:?} {:?}", log_b.failed));
        assert!(send_a == receive_b && receive_a == send_b, "{role_a:?} {role_b:?}");
    }
}

#[test]
fn a_peer_that_answers_checks_from_its_other_address_is_connected_there() {
    let start = Instant::now();
    let (id_a, id_b) = (DtlsIdentity::generate().unwrap(), DtlsIdentity::generate().unwrap());
    // Bob has two addresses. He receives at both; everything he sends leaves from the second.
    let (at_a, first, second) = (addr(OURS), addr("198.51.100.7:2000"), addr("198.51.100.8:2000"));
    let mut bob_sdp = remote("bob", first, id_b.fingerprint(), true, false);
    bob_sdp.candidates.push("candidate:2 1 udp 2113937150 198.51.100.8 2000 typ host".to_owned());
    let alice_sdp = remote("alice", at_a, id_a.fingerprint(), false, false);
    let mut alice = WebRtc::new(start, at_a, &plan("alice", bob_sdp, DtlsRole::Client), &id_a).unwrap();
    let mut bob = WebRtc::new(start, second, &plan("bob", alice_sdp, DtlsRole::Server), &id_b).unwrap();
    let mut keys = false;
    for ms in 0..2_000 {
        let now = start + Duration::from_millis(ms);
        for source in [at_a, second] {
            let (leg, other) = if source == at_a { (&mut alice, &mut bob) } else { (&mut bob, &mut alice) };
            leg.handle_timeout(now);
            let mut buf = [0; 2_048];
            while let Some(output) = leg.poll_output(now, &mut buf) {
                match output {
                    WebRtcOutput::Transmit { len, .. } => {
                        let _ = other.handle_datagram(now, source, DatagramKind::of(&buf[..len]).unwrap(), &buf[..len]);
                    }
                    WebRtcOutput::Keys(_) => keys |= source == at_a,
                    _ => {}
                }
            }
        }
    }
    assert!(keys, "the handshake is done");
    assert_eq!(alice.selected(), Some(second));
}

#[test]
fn a_certificate_that_was_not_announced_gives_no_keys() {
    let start = Instant::now();
    let identity = DtlsIdentity::generate().unwrap();
    let (mut meta, mut fingerprint) = lite_peer(start, addr(META), identity.fingerprint(), false);
    fingerprint[31] ^= 1;
    let plan = plan("ours", remote("meta", addr(META), fingerprint, true, true), DtlsRole::Client);
    let mut leg = ours(start, addr(OURS), &identity, &plan);
    let (log, _) = run(start, Duration::from_secs(10), (&mut leg, addr(OURS)), (&mut meta, addr(META)), everything);
    assert_eq!((log.failed, log.failures), (Some(LegFailure::FingerprintMismatch), 1));
    assert!(log.keys.is_none());
}

#[test]
fn forged_alerts_and_hellos_from_another_host_or_the_peers_own_address_do_not_stop_the_handshake() {
    // A plaintext fatal alert; a ServerHello and a HelloVerifyRequest of noise.
    let forged: [&[u8]; 3] = [
        &[21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40],
        &[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 14, 2, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 7, 7],
        &[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 15, 3, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3, 0xfe, 0xff, 0],
    ];
    for source in ["192.0.2.66:666", META] {
        let start = Instant::now();
        let identity = DtlsIdentity::generate().unwrap();
        let (mut meta, fingerprint) = lite_peer(start, addr(META), identity.fingerprint(), false);
        let plan = plan("ours", remote("meta", addr(META), fingerprint, true, true), DtlsRole::Client);
        let End::Ours(mut leg) = ours(start, addr(OURS), &identity, &plan) else { unreachable!() };
        let mut refused = 0;
        for bytes in forged {
            refused += u32::from(leg.handle_datagram(start, addr(source), DatagramKind::Dtls, bytes).is_err());
        }
        let mut leg = End::Ours(leg);
        let (log, _) = run(start, Duration::from_secs(10), (&mut leg, addr(OURS)), (&mut meta, addr(META)), everything);
        assert_eq!(refused, 3, "no pair is valid yet");
        assert!(log.keys.is_some(), "{source}: {:?}", log.failed);
    }
}

#[test]
fn the_handshake_survives_the_loss_of_every_third_datagram() {
    let start = Instant::now();
    let identity = DtlsIdentity::generate().unwrap();
    let (mut meta, fingerprint) = lite_peer(start, addr(META), identity.fingerprint(), false);
    let plan = plan("ours", remote("meta", addr(META), fingerprint, true, true), DtlsRole::Client);
    let mut leg = ours(start, addr(OURS), &identity, &plan);
    let mut count = 0;
    let (log, _) = run(start, Duration::from_secs(20), (&mut leg, addr(OURS)), (&mut meta, addr(META)), |_, _, _| {
        count += 1;
        count % 3 != 0
    });
    assert!(log.keys.is_some(), "{:?} {:?}", log.milestones, log.failed);
}

#[test]
fn a_phone_that_rings_for_three_minutes_is_connected_at_once_when_the_peer_becomes_ready() {
    let start = Instant::now();
    let identity = DtlsIdentity::generate().unwrap();
    let ringing = Duration::from_secs(180);
    let answered = start + ringing;
    let (mut meta, fingerprint) = lite_peer(answered, addr(META), identity.fingerprint(), false);
    let (mut unanswering, _) = lite_peer(start, addr(META), identity.fingerprint(), false);
    let plan = plan("ours", remote("meta", addr(META), fingerprint, true, true), DtlsRole::Client);
    let mut leg = ours(start, addr(OURS), &identity, &plan);
    let (log, _) = run(start, ringing, (&mut leg, addr(OURS)), (&mut unanswering, addr(META)), |_, _, _| false);
    assert!(log.keys.is_none() && log.failed.is_none(), "{:?}", log.failed);

    // The answer is signalled; the peer has it a second later.
    let End::Ours(ours) = &mut leg else { unreachable!() };
    ours.apply(answered, &plan);
    let second = Duration::from_secs(1);
    let (log, _) = run(answered, 2 * second, (&mut leg, addr(OURS)), (&mut meta, addr(META)), |at, _, _| at >= second);
    assert!(log.keys.is_some());
    let (_, connected) = log.milestones.iter().find(|(milestone, _)| *milestone == Milestone::IceConnected).unwrap();
    assert!(*connected <= second + Duration::from_millis(50) + 4 * ONE_WAY, "{connected:?}");
}

#[test]
fn a_vanished_peer_is_noticed_within_30_seconds() {
    let start = Instant::now();
    let identity = DtlsIdentity::generate().unwrap();
    let (mut meta, fingerprint) = lite_peer(start, addr(META), identity.fingerprint(), false);
    let plan = plan("ours", remote("meta", addr(META), fingerprint, true, true), DtlsRole::Client);
    let mut leg = ours(start, addr(OURS), &identity, &plan);
    let (log, _) =
        run(start, Duration::from_secs(35), (&mut leg, addr(OURS)), (&mut meta, addr(META)), |at, to_meta, _| {
            to_meta || at < Duration::from_secs(5)
        });
    assert!(log.keys.is_some());
    let once = (Some(LegFailure::IceDisconnected), 1);
    assert_eq!((log.failed, log.failures), once, "consent lasts 30 s at most (RFC 7675)");
}

#[test]
fn a_peer_that_answers_checks_but_never_dtls_fails_and_leaves_no_deadline() {
    let start = Instant::now();
    let identity = DtlsIdentity::generate().unwrap();
    let (mut meta, fingerprint) = lite_peer(start, addr(META), identity.fingerprint(), false);
    let plan = plan("ours", remote("meta", addr(META), fingerprint, true, true), DtlsRole::Client);
    let mut leg = ours(start, addr(OURS), &identity, &plan);
    // Eight handshakes of 15 s: the peer may wait for its user to accept the call.
    let minutes = Duration::from_secs(125);
    let (log, _) = run(start, minutes, (&mut leg, addr(OURS)), (&mut meta, addr(META)), |_, _, bytes| {
        DatagramKind::of(bytes) != Some(DatagramKind::Dtls)
    });
    assert!(log.keys.is_none());
    assert_eq!((log.failed, log.failures), (Some(LegFailure::DtlsFailed), 1));
    let last = log
        .sent
        .iter()
        .filter(|(_, bytes)| DatagramKind::of(bytes) == Some(DatagramKind::Dtls))
        .map(|(at, _)| *at)
        .max()
        .unwrap();
    assert!((119..=121).contains(&last.as_secs()), "{last:?}");
    let End::Ours(mut ours) = leg else { unreachable!() };
    let now = start + minutes;
    ours.handle_timeout(now);
    let mut buf = [0; 2_048];
    while ours.poll_output(now, &mut buf).is_some() {}
    assert!(ours.poll_timeout().is_none_or(|at| at > now), "a deadline in the past would be due for ever");
}

#[test]
fn a_peer_that_starts_the_handshake_late_has_the_full_time_for_it() {
    // Just before and after one handshake of ours gives way to the next, and before the last would end.
    for first_word in [14_900, 15_010, 29_870, 59_950, 119_400].map(Duration::from_millis) {
        let start = Instant::now();
        let (id_a, id_b) = (DtlsIdentity::generate().unwrap(), DtlsIdentity::generate().unwrap());
        let (at_a, at_b) = (addr(OURS), addr("198.51.100.7:2000"));
        let plan_a = plan("alice", remote("bob", at_b, id_b.fingerprint(), true, false), DtlsRole::Client);
        let plan_b = plan("bob", remote("alice", at_a, id_a.fingerprint(), false, false), DtlsRole::Server);
        let (mut a, mut b) = (ours(start, at_a, &id_a, &plan_a), ours(start, at_b, &id_b, &plan_b));
        let length = first_word + Duration::from_secs(5);
        let (log, _) = run(start, length, (&mut a, at_a), (&mut b, at_b), |at, _, bytes| {
            DatagramKind::of(bytes) != Some(DatagramKind::Dtls) || at >= first_word
        });
        assert!(log.keys.is_some(), "{first_word:?}: {:?}", log.failed);
    }
}
