use std::collections::BTreeSet;

use trestle_wire::Ssrc;
use zeroize::Zeroizing;

use super::*;
use crate::plan::{DtlsRole, IceCredentials, LatchPolicy, ReceivePlan, RtpPeer, SendPlan, Transport, WebRtcPlan};
use crate::report::CallReport;

const CALL: CallId = CallId(1);
const ORDINARY: InterfaceId = InterfaceId(0);
/// Its address cannot be an ICE candidate.
const LINK_LOCAL: InterfaceId = InterfaceId(1);

/// A shard with four port pairs on each of two interfaces.
struct Bench {
    now: Instant,
    shard: Shard,
    released: BTreeSet<SocketAddr>,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        let mut shard = Shard::new(ShardConfig {
            seed: [3; 32],
            epoch: Epoch { instant: now, unix: Duration::from_secs(1_700_000_000) },
            identity: DtlsIdentity::generate().unwrap(),
            interfaces: vec![(ORDINARY, false), (LINK_LOCAL, false)],
            media_timeout: Duration::from_secs(60),
            own_ssrcs: OwnSsrcs::new(1),
            probe_time: None,
            addresses: AddressPolicy::default(),
        });
        let mut socket = 0;
        for (interface, ip) in [(ORDINARY, [192, 0, 2, 1]), (LINK_LOCAL, [169, 254, 0, 1])] {
            for n in 0..4 {
                let [rtp, rtcp] = [SocketId(socket), SocketId(socket + 1)];
                let [rtp_addr, rtcp_addr] = [30_000 + 2 * n, 30_001 + 2 * n].map(|port| SocketAddr::from((ip, port)));
                shard.add_port_pair(interface, false, PortPair { rtp, rtcp, rtp_addr, rtcp_addr });
                socket += 2;
            }
        }
        Self { now, shard, released: BTreeSet::new() }
    }

    fn command(&mut self, command: Command) -> Result<EngineReply, CommandError> {
        self.shard.handle_command(self.now, RequestId(1), command);
        let mut reply = None;
        loop {
            match self.shard.poll_output() {
                Output::Reply(this) => reply = Some(this.1),
                Output::Release(pair) => assert!(self.released.insert(pair.rtp_addr), "{pair:?} is released twice"),
                Output::Transmit(_) | Output::Event(_) => {}
                Output::Timeout(_) => return reply.expect("each command has a reply"),
            }
        }
    }

    fn apply(&mut self, legs: &[(u16, LegPlan)]) -> Result<Vec<u16>, CommandError> {
        let legs = legs.iter().map(|(leg, plan)| (LegId(*leg), plan.clone())).collect();
        match self.command(Command::Apply { call: CALL, legs })? {
            EngineReply::Applied(ports) => Ok(ports.into_iter().map(|(leg, _)| leg.0).collect()),
            other => panic!("{other:?}"),
        }
    }

    fn report(&mut self) -> Option<CallReport> {
        match self.command(Command::Query { call: CALL }) {
            Ok(EngineReply::Report(report)) => Some(*report),
            _ => None,
        }
    }

    fn ports_in_stock(&self) -> usize {
        [ORDINARY, LINK_LOCAL].into_iter().map(|interface| self.shard.ports_in_stock(interface, false)).sum()
    }
}

fn plain(interface: InterfaceId, peer_port: u16) -> LegPlan {
    let at = |port| Some(SocketAddr::from(([198, 51, 100, 1], port)));
    LegPlan {
        interface,
        ipv6: false,
        transport: Transport::Plain(RtpPeer {
            rtp: at(peer_port),
            rtcp: at(peer_port + 1),
            latch: LatchPolicy::default(),
            strict_source: false,
        }),
        rtcp_mux: false,
        ssrc: Ssrc(1),
        cname: "test".to_owned(),
        tos: None,
        send: SendPlan::default(),
        receive: ReceivePlan::default(),
    }
}

fn webrtc(interface: InterfaceId) -> LegPlan {
    let local = IceCredentials { ufrag: "us".to_owned(), pwd: Zeroizing::new("twenty-two octets at least".to_owned()) };
    let transport = Transport::WebRtc(WebRtcPlan { local, remote: None, dtls_role: DtlsRole::Either });
    LegPlan { transport, ..plain(interface, 4_000) }
}

#[test]
fn a_refused_command_leaves_no_call_no_leg_and_no_port_behind_whatever_its_order() {
    let [ordinary, cannot] = [webrtc(ORDINARY), webrtc(LINK_LOCAL)];
    let other = |port| plain(ORDINARY, port);
    let none: &[u16] = &[];
    // Legs before the command, the command, and why it is refused. A leg 0 on the link-local interface cannot become a leg with ICE.
    type Row = (&'static str, &'static [u16], Vec<(u16, LegPlan)>);
    let table: [Row; 7] = [
        ("a new call", none, vec![(0, other(5_000)), (1, cannot.clone())]),
        ("a new call, the other order", none, vec![(0, cannot.clone()), (1, other(5_000))]),
        ("a new leg and a change", &[0], vec![(2, ordinary.clone()), (0, cannot.clone())]),
        ("a change and a new leg", &[0, 1], vec![(1, other(6_000)), (0, cannot.clone()), (2, other(7_000))]),
        ("two changes, the second fails", &[0, 1], vec![(1, ordinary.clone()), (0, cannot.clone())]),
        ("one leg twice", &[1], vec![(2, other(5_000)), (2, other(6_000))]),
        ("more legs than ports", &[1], (2..6).map(|leg| (leg, other(5_000))).collect()),
    ];
    for (what, legs, command) in table {
        let mut bench = Bench::new();
        let before: Vec<_> =
            legs.iter().map(|leg| (*leg, if *leg == 0 { plain(LINK_LOCAL, 4_000) } else { other(4_000) })).collect();
        if !before.is_empty() {
            assert_eq!(bench.apply(&before).unwrap(), legs, "{what}");
        }
        let (report, stock) = (bench.report(), bench.ports_in_stock());
        let error = bench.apply(&command).unwrap_err();
        assert!(matches!(error, CommandError::BadPlan(_) | CommandError::NoPorts), "{what}: {error}");
        assert_eq!(format!("{:?}", bench.report()), format!("{report:?}"), "{what}");
        assert_eq!(stock, bench.ports_in_stock() + bench.released.len(), "{what}: each port is in stock or released");
        let totals = bench.shard.totals();
        let counts = (totals.calls, totals.calls_total, totals.legs);
        let calls = u64::from(!legs.is_empty());
        assert_eq!(counts, (calls, calls, legs.len() as u64), "{what}");
    }
}

#[test]
fn a_command_that_opens_and_changes_legs_replies_with_the_ports_of_all() {
    let mut bench = Bench::new();
    assert_eq!(bench.apply(&[(0, plain(ORDINARY, 4_000))]).unwrap(), [0]);
    let mut legs = bench.apply(&[(0, webrtc(ORDINARY)), (1, plain(ORDINARY, 5_000))]).unwrap();
    legs.sort_unstable();
    assert_eq!(legs, [0, 1]);
    let report = bench.report().unwrap();
    let kinds: Vec<_> = report.legs.iter().map(|leg| leg.description.split(',').next().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["DTLS-SRTP", "RTP"]);
}
