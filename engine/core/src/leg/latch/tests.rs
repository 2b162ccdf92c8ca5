use super::*;

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn latch(policy: LatchPolicy) -> Latch {
    Latch::new(&RtpPeer {
        rtp: Some(addr("192.0.2.1:4000")),
        rtcp: Some(addr("192.0.2.1:4001")),
        latch: policy,
        strict_source: false,
    })
}

fn stream(seq: u16) -> Option<(Ssrc, Seq)> {
    Some((Ssrc(7), Seq(seq)))
}

#[test]
fn each_policy_accepts_only_its_sources_and_then_only_one() {
    let table = [
        (LatchPolicy::SameIp, "192.0.2.1:4000", true),
        (LatchPolicy::SameIp, "192.0.2.1:9999", true),
        (LatchPolicy::SameIp, "192.0.2.66:4000", false),
        (LatchPolicy::Exact, "192.0.2.1:4000", true),
        (LatchPolicy::Exact, "192.0.2.1:9999", false),
        (LatchPolicy::Ip("198.51.100.5".parse().unwrap()), "198.51.100.5:5", true),
        (LatchPolicy::Ip("198.51.100.5".parse().unwrap()), "192.0.2.1:4000", false),
        (LatchPolicy::Any, "192.0.2.66:1", false),
    ];
    for (policy, source, believed) in table {
        let mut latch = latch(policy);
        assert_eq!(
            latch.admit_plain(Instant::now(), Flow::Rtp, addr(source), stream(1)),
            believed,
            "{policy:?} {source}"
        );
        if believed {
            let other = SocketAddr::new(addr(source).ip(), 12_345);
            assert!(!latch.admit_plain(Instant::now(), Flow::Rtp, other, stream(2)), "latched on {source}");
            assert_eq!(latch.rtp(), Some(addr(source)));
        }
    }
}

#[test]
fn another_port_of_the_host_is_followed_after_60_ms_of_silence_unless_the_source_is_strict() {
    let start = Instant::now();
    let at = |ms: u64| start + Duration::from_millis(ms);
    let (old, new, stranger) = (addr("192.0.2.1:4000"), addr("192.0.2.1:9999"), addr("192.0.2.66:4000"));
    for (policy, strict_source, follows) in [
        (LatchPolicy::SameIp, false, true),
        (LatchPolicy::SameIp, true, false),
        (LatchPolicy::Asymmetric, false, true),
        (LatchPolicy::Exact, false, false),
        (LatchPolicy::Delayed, false, true),
    ] {
        let mut latch = latch(policy);
        latch.strict_source = strict_source;
        for seq in 1..=5 {
            assert!(latch.admit_plain(at(20 * seq), Flow::Rtp, old, stream(seq as u16)), "{policy:?}");
            assert!(
                !latch.admit_plain(at(20 * seq + 5), Flow::Rtp, new, stream(100 + seq as u16)),
                "{policy:?}: {seq}"
            );
        }
        assert!(!latch.admit_plain(at(159), Flow::Rtp, new, stream(106)), "{policy:?}: 59 ms");
        assert!(!latch.admit_plain(at(160), Flow::Rtp, new, None), "{policy:?}: RTCP moves no RTP");
        assert!(!latch.admit_plain(at(160), Flow::Rtp, stranger, stream(1)), "{policy:?}: another host");
        assert_eq!(latch.admit_plain(at(160), Flow::Rtp, new, stream(107)), follows, "{policy:?}");
        if policy == LatchPolicy::SameIp {
            assert_eq!(latch.rtp(), Some(if follows { new } else { old }));
        }
    }
}

#[test]
fn rtcp_goes_with_rtp_to_another_port() {
    let start = Instant::now();
    let mut latch = latch(LatchPolicy::SameIp);
    let [old, new] = ["192.0.2.1:4000", "192.0.2.1:9998"].map(addr);
    let [old_rtcp, new_rtcp] = ["192.0.2.1:4001", "192.0.2.1:9999"].map(addr);
    assert!(latch.admit_plain(start, Flow::Rtp, old, stream(1)));
    assert!(latch.admit_plain(start, Flow::Rtcp, old_rtcp, None));
    assert!(!latch.admit_plain(start + Duration::from_secs(5), Flow::Rtcp, new_rtcp, None), "RTP is at the old port");
    assert!(latch.admit_plain(start + Duration::from_secs(5), Flow::Rtp, new, stream(2)));
    assert!(latch.admit_plain(start + Duration::from_secs(6), Flow::Rtcp, new_rtcp, None));
    assert_eq!(latch.rtcp(), Some(new_rtcp));
}

#[test]
fn hold_with_0_0_0_0_sends_nothing_and_the_learnt_source_is_received_on() {
    let start = Instant::now();
    let peer = |rtp: Option<&str>| RtpPeer {
        rtp: rtp.map(addr),
        rtcp: rtp.map(|rtp| SocketAddr::new(addr(rtp).ip(), addr(rtp).port() + 1)),
        latch: LatchPolicy::SameIp,
        strict_source: false,
    };
    let mut latch = Latch::new(&peer(Some("192.0.2.1:4000")));
    let (phone, stranger) = (addr("192.0.2.1:7777"), addr("192.0.2.66:4000"));
    assert!(latch.admit_plain(start, Flow::Rtp, phone, stream(1)));
    latch.apply(&peer(None));
    assert_eq!((latch.rtp(), latch.rtcp()), (None, None));
    assert!(latch.admit_plain(start, Flow::Rtp, phone, stream(2)), "its music");
    assert!(!latch.admit_plain(start, Flow::Rtp, stranger, stream(2)));
    latch.apply(&peer(Some("192.0.2.1:4000")));
    assert_eq!(latch.rtp(), Some(phone), "as learnt before");
    let mut unknown = Latch::new(&peer(None));
    assert!(!unknown.admit_plain(start, Flow::Rtp, phone, stream(1)), "no address was ever signalled");
    unknown.apply(&peer(Some("192.0.2.1:4000")));
    assert!(unknown.admit_plain(start, Flow::Rtp, phone, stream(2)));
}

#[test]
fn either_address_is_believed_until_one_is_learnt() {
    let public: std::net::IpAddr = "203.0.113.5".parse().unwrap();
    for source in ["192.0.2.1:4000", "203.0.113.5:40000"].map(addr) {
        let mut latch = latch(LatchPolicy::SameIpOr(public));
        let now = Instant::now();
        assert!(!latch.admit_plain(now, Flow::Rtp, addr("203.0.113.6:4000"), stream(1)));
        assert!(latch.admit_plain(now, Flow::Rtp, source, stream(1)));
        assert_eq!(latch.rtp(), Some(source));
    }
}

#[test]
fn delayed_learning_follows_a_stream_from_elsewhere_after_3_s_without_the_signalled_address() {
    let start = Instant::now();
    let (signalled, elsewhere) = (addr("192.0.2.1:4000"), addr("203.0.113.9:7000"));
    let first_accepted = |from: u16, signalled_at: Option<u16>| {
        let mut latch = latch(LatchPolicy::Delayed);
        (from..from + 300).find(|seq| {
            let now = start + Duration::from_millis(20 * u64::from(*seq));
            if signalled_at == Some(*seq) {
                assert!(latch.admit_plain(now, Flow::Rtp, signalled, stream(1)));
            }
            latch.admit_plain(now, Flow::Rtp, elsewhere, stream(*seq))
        })
    };
    assert_eq!(first_accepted(0, None), Some(150));
    assert_eq!(first_accepted(0, Some(100)), None, "the signalled address was first");
    // Single packets with long gaps are no stream.
    let mut latch = latch(LatchPolicy::Delayed);
    for seq in 0..20 {
        let now = start + Duration::from_millis(500 * u64::from(seq));
        assert!(!latch.admit_plain(now, Flow::Rtp, elsewhere, stream(seq)));
    }
}

#[test]
fn the_signalled_address_takes_its_place_back_from_a_stray_packet() {
    let mut latch = latch(LatchPolicy::SameIp);
    let (stray, phone) = (addr("192.0.2.1:9999"), addr("192.0.2.1:4000"));
    assert!(latch.admit_plain(Instant::now(), Flow::Rtp, stray, stream(1)));
    assert!(latch.admit_plain(Instant::now(), Flow::Rtp, phone, stream(2)));
    assert_eq!(latch.rtp(), Some(phone));
    assert!(!latch.admit_plain(Instant::now(), Flow::Rtp, stray, stream(3)));
}

#[test]
fn an_asymmetric_peer_is_received_from_its_other_port_and_sent_to_where_it_listens() {
    let start = Instant::now();
    let (listens, speaks) = (addr("192.0.2.1:4000"), addr("192.0.2.1:9999"));
    let mut plain = latch(LatchPolicy::Asymmetric);
    assert!(!plain.admit_plain(start, Flow::Rtp, addr("192.0.2.66:4000"), stream(1)), "another host");
    assert!(plain.admit_plain(start, Flow::Rtp, speaks, stream(1)));
    for packet in 1..=3 {
        assert_eq!(plain.admit_plain(start, Flow::Rtcp, addr("192.0.2.1:10007"), None), packet == 3);
    }
    assert!(!plain.admit_plain(start, Flow::Rtp, addr("192.0.2.1:5555"), stream(2)), "one source, then no other");
    assert!(!plain.admit_plain(start, Flow::Rtp, listens, stream(3)), "it does not send from there");
    assert!(!plain.admit_plain(start, Flow::Rtcp, addr("192.0.2.1:4001"), None), "nor from there");
    assert!(plain.admit_plain(start, Flow::Rtp, speaks, stream(4)));
    let mut secured = latch(LatchPolicy::Asymmetric);
    assert!(secured.may_authenticate(Flow::Rtp, addr("203.0.113.9:7000")));
    for index in 0..3 {
        let packet = |is_rtcp| SecuredPacket { is_rtcp, ssrc: Ssrc(7), index, novelty: Novelty::Newest };
        secured.observe_authenticated(start, Flow::Rtp, addr("203.0.113.9:7000"), packet(false));
        secured.observe_authenticated(start, Flow::Rtcp, addr("203.0.113.9:7001"), packet(true));
    }
    for latch in [plain, secured] {
        assert!(latch.is_latched());
        assert_eq!((latch.rtp(), latch.rtcp()), (Some(listens), Some(addr("192.0.2.1:4001"))));
    }
}

#[test]
fn any_source_needs_two_packets_in_order_within_200_ms() {
    let start = Instant::now();
    let mut latch = latch(LatchPolicy::Any);
    let phone = addr("203.0.113.9:7000");
    assert!(!latch.admit_plain(start, Flow::Rtp, phone, stream(1)));
    assert!(!latch.admit_plain(start + Duration::from_millis(20), Flow::Rtp, phone, stream(5)));
    assert!(!latch.admit_plain(start + Duration::from_millis(500), Flow::Rtp, phone, stream(6)));
    assert!(latch.admit_plain(start + Duration::from_millis(520), Flow::Rtp, phone, stream(7)));
    assert!(!latch.admit_plain(start + Duration::from_millis(540), Flow::Rtp, addr("203.0.113.66:1"), stream(8)));
}

#[test]
fn plain_rtcp_moves_only_with_the_third_packet_of_one_source_or_to_the_signalled_port() {
    let now = Instant::now();
    let (signalled, neighbour, other) = (addr("192.0.2.1:4001"), addr("192.0.2.1:9999"), addr("192.0.2.1:8888"));
    type Row<'a> = (&'a str, &'a [SocketAddr], SocketAddr);
    let table: [Row<'_>; 6] = [
        ("one packet from the same host", &[neighbour], signalled),
        ("two sources in turn", &[neighbour, other, neighbour, other, neighbour], signalled),
        ("three from one source", &[neighbour, neighbour, neighbour], neighbour),
        ("the signalled one is taken at once", &[neighbour, signalled, neighbour, neighbour, neighbour], signalled),
        ("and returns", &[neighbour, neighbour, neighbour, signalled, neighbour, neighbour, neighbour], signalled),
        ("another host", &[addr("192.0.2.66:4001"); 5], signalled),
    ];
    for (name, sources, expected) in table {
        let mut latch = latch(LatchPolicy::SameIp);
        for source in sources {
            latch.admit_plain(now, Flow::Rtcp, *source, None);
        }
        assert_eq!(latch.rtcp(), Some(expected), "{name}");
        // With rtcp-mux.
        let mut latch =
            Latch::new(&RtpPeer { rtp: Some(signalled), rtcp: None, latch: LatchPolicy::SameIp, strict_source: false });
        for source in sources {
            latch.admit_plain(now, Flow::Rtp, *source, None);
        }
        assert_eq!(latch.rtp(), Some(expected), "{name}, on the port of RTP");
    }
    // Beside the port at which a NAT shows RTP, one packet is enough.
    for port in [40_000, 40_001] {
        let mut latch = latch(LatchPolicy::SameIp);
        assert!(!latch.admit_plain(now, Flow::Rtcp, SocketAddr::new(signalled.ip(), port), None));
        assert!(latch.admit_plain(now, Flow::Rtp, addr("192.0.2.1:40000"), stream(1)));
        assert!(!latch.admit_plain(now, Flow::Rtcp, SocketAddr::new(signalled.ip(), 40_002), None));
        assert!(latch.admit_plain(now, Flow::Rtcp, SocketAddr::new(signalled.ip(), port), None));
    }
}

/// The signalled address of the secured peer below.
const SIGNALLED: &str = "192.0.2.1:4000";
/// Behind a NAT the peer is here.
const BEHIND_NAT: [&str; 2] = ["192.0.2.1:40000", "203.0.113.1:40000"];
/// Here after it has moved.
const MOVED: [&str; 3] = ["192.0.2.1:50000", "203.0.113.1:50000", "203.0.113.2:50000"];
/// Sees all packets and can send them again.
const THIEF: &str = "203.0.113.66:6000";

/// Arrivals at one flow of a secured leg: time in ms, source, and number of the packet.
#[derive(Default)]
struct Arrivals(Vec<(u64, &'static str, u64)>);

impl Arrivals {
    /// One packet of each `numbers` from `source`; number `n` arrives at `at(n)`.
    fn from(mut self, source: &'static str, numbers: impl IntoIterator<Item = u64>, at: impl Fn(u64) -> u64) -> Self {
        self.0.extend(numbers.into_iter().map(|n| (at(n), source, n)));
        self
    }

    /// Gives the destination after each arrival to `check`. The peer's RTP has one SSRC, and so has its RTCP.
    fn run(&self, flow: Flow, is_rtcp: bool, mut check: impl FnMut(u64, SocketAddr)) {
        let start = Instant::now();
        let signalled = Some(addr(SIGNALLED));
        let mut latch =
            Latch::new(&RtpPeer { rtp: signalled, rtcp: signalled, latch: LatchPolicy::SameIp, strict_source: false });
        let mut arrivals = self.0.clone();
        arrivals.sort_by_key(|(at, ..)| *at);
        let mut seen = std::collections::BTreeSet::new();
        for (at, source, index) in arrivals {
            let novelty = match seen.last() {
                _ if seen.contains(&index) => Novelty::Replay,
                Some(highest) if *highest > index => Novelty::Late,
                _ => Novelty::Newest,
            };
            seen.insert(index);
            if novelty != Novelty::Replay || latch.needs_replay(flow, addr(source)) {
                let packet = SecuredPacket { is_rtcp, ssrc: Ssrc(7), index, novelty };
                latch.observe_authenticated(start + Duration::from_millis(at), flow, addr(source), packet);
            }
            check(at, if flow == Flow::Rtp { latch.rtp() } else { latch.rtcp() }.unwrap());
        }
    }
}

/// RTP, SRTCP on the port of RTP, SRTCP on its own port; with the time between two packets.
const FLOWS: [(Flow, bool, u64); 4] =
    [(Flow::Rtp, false, 20), (Flow::Rtp, false, 400), (Flow::Rtp, true, 5_000), (Flow::Rtcp, true, 5_000)];

#[test]
fn copies_of_secured_packets_move_nothing() {
    for phone in [SIGNALLED, BEHIND_NAT[0], BEHIND_NAT[1]] {
        for (flow, is_rtcp, period) in FLOWS {
            // The phone's packets arrive 90 ms after they were sent.
            let talk = || Arrivals::default().from(phone, 0..200, |n| n * period + 90);
            let after = |ms: u64| move |n: u64| n * period + ms;
            let table = [
                ("always first", talk().from(THIEF, 10..200, after(85))),
                ("90 ms first", talk().from(THIEF, 10..200, after(0))),
                ("first of every second packet", talk().from(THIEF, (10..200).step_by(2), after(85))),
                ("first of three in four", talk().from(THIEF, (10..200).filter(|n| n % 4 > 0), after(85))),
                ("always second", talk().from(THIEF, 10..200, after(95))),
                ("each packet ten times", (0..10).fold(talk(), |all, n| all.from(THIEF, 10..200, after(85 + n)))),
                ("a packet held back, sent often", talk().from(THIEF, [400; 50], |_| 50 * period + 91)),
                ("old ones", talk().from(THIEF, 0..100, |n| (100 + n) * period)),
                (
                    "two thieves in turn",
                    talk().from(THIEF, (10..200).step_by(2), after(85)).from(
                        "203.0.113.67:1",
                        (11..200).step_by(2),
                        after(80),
                    ),
                ),
                (
                    "first while half of the originals are lost",
                    Arrivals::default()
                        .from(phone, 0..10, after(90))
                        .from(phone, (10..200).step_by(2), after(90))
                        .from(THIEF, 10..200, after(85)),
                ),
            ];
            for (name, arrivals) in table {
                let mut last = None;
                arrivals.run(flow, is_rtcp, |at, to| {
                    let case = format!("{name}, {phone}, {flow:?}, RTCP {is_rtcp}, every {period} ms, at {at} ms");
                    assert!(to == addr(phone) || to == addr(SIGNALLED), "{case}: sent to {to}");
                    last = Some(to);
                });
                assert_eq!(last, Some(addr(phone)), "{name}");
            }
        }
    }
}

#[test]
fn copies_from_the_first_packet_on_do_not_keep_the_signalled_address_from_being_learnt() {
    for (flow, is_rtcp, period) in FLOWS {
        for lead in [1, 30, 90] {
            let arrivals =
                Arrivals::default()
                    .from(THIEF, 0..100, |n| n * period + 100 - lead)
                    .from(SIGNALLED, 0..100, |n| n * period + 100);
            let mut stolen = 0;
            let mut last = None;
            arrivals.run(flow, is_rtcp, |_, to| {
                stolen += u32::from(to == addr(THIEF));
                last = Some(to);
            });
            assert_eq!(last, Some(addr(SIGNALLED)), "{flow:?} RTCP {is_rtcp} {lead} ms first");
            // With more than a packet time in advance, it is a destination until the signalled address has sent three packets.
            assert!(
                stolen <= if lead < period { 0 } else { 20 },
                "{stolen} arrivals, {lead} ms first, every {period} ms"
            );
        }
    }
}

#[test]
fn a_secured_peer_that_moves_is_followed_soon_whatever_an_observer_sends_again() {
    for old in [SIGNALLED, BEHIND_NAT[0], BEHIND_NAT[1]] {
        for new in MOVED {
            for (flow, is_rtcp, period) in FLOWS {
                let at = |ms: u64| move |n: u64| n * period + ms;
                let talk = || Arrivals::default().from(old, 0..50, at(0)).from(new, 50..150, at(0));
                let table = [
                    ("alone", talk()),
                    ("after a pause", Arrivals::default().from(old, 0..40, at(0)).from(new, 50..150, at(0))),
                    ("its last packets come late", talk().from(old, 46..50, at(4 * period + 1))),
                    ("old packets from its old address", talk().from(old, 0..50, |n| (n + 51) * period + 1)),
                    ("one new packet again and again", talk().from(old, [52; 100], |_| 53 * period)),
                    (
                        "old packets from the signalled address",
                        talk().from(SIGNALLED, 0..50, |n| (n + 51) * period + 1),
                    ),
                    ("copies from elsewhere, slower", talk().from(THIEF, 50..150, at(1))),
                    ("copies from elsewhere, some faster", {
                        let slow = talk().from(THIEF, (51..150).step_by(2), at(1));
                        slow.from(THIEF, (52..150).step_by(2), |n| (n * period).saturating_sub(1))
                    }),
                ];
                // Three packets, and 300 ms after the last one from the old address.
                let limit = 50 * period + (4 * period).max(2 * period + 340);
                for (name, arrivals) in table {
                    let mut moved_at = None;
                    arrivals.run(flow, is_rtcp, |at, to| {
                        assert_ne!(to, addr(THIEF), "{name}, from {old} to {new}");
                        match moved_at {
                            None if to == addr(new) => moved_at = Some(at),
                            None => {}
                            Some(_) => assert_eq!(to, addr(new), "{name}: it remains there"),
                        }
                    });
                    let case = format!("{name}, from {old} to {new}, {flow:?} RTCP {is_rtcp} every {period} ms");
                    assert!(moved_at.is_some_and(|at| at <= limit), "{case}: {moved_at:?}, limit {limit}");
                }
            }
        }
    }
}

#[test]
fn under_a_new_key_whose_indexes_begin_at_0_copies_still_move_nothing() {
    let start = Instant::now();
    let mut latch = latch(LatchPolicy::SameIp);
    let phone = addr(SIGNALLED);
    let send = |latch: &mut Latch, at, source, index, novelty| {
        let packet = SecuredPacket { is_rtcp: false, ssrc: Ssrc(7), index, novelty };
        if novelty != Novelty::Replay || latch.needs_replay(Flow::Rtp, source) {
            latch.observe_authenticated(start + Duration::from_millis(at), Flow::Rtp, source, packet);
        }
    };
    send(&mut latch, 0, phone, 1 << 20, Novelty::Newest);
    latch.forget_indexes();
    for n in 1..100 {
        send(&mut latch, n * 20, addr(THIEF), n, Novelty::Newest);
        send(&mut latch, n * 20 + 1, phone, n, Novelty::Replay);
        assert_eq!(latch.rtp(), Some(phone));
    }
}

#[test]
fn the_same_signalling_again_keeps_what_was_learnt() {
    let mut latch = latch(LatchPolicy::SameIp);
    assert!(latch.admit_plain(Instant::now(), Flow::Rtp, addr("192.0.2.1:9999"), stream(1)));
    latch.apply(&RtpPeer {
        rtp: Some(addr("192.0.2.1:4000")),
        rtcp: Some(addr("192.0.2.1:4001")),
        latch: LatchPolicy::SameIp,
        strict_source: false,
    });
    assert_eq!(latch.rtp(), Some(addr("192.0.2.1:9999")));
    latch.apply(&RtpPeer {
        rtp: Some(addr("192.0.2.7:4000")),
        rtcp: None,
        latch: LatchPolicy::SameIp,
        strict_source: false,
    });
    assert_eq!(latch.rtp(), Some(addr("192.0.2.7:4000")));
    assert!(!latch.is_latched());
}
