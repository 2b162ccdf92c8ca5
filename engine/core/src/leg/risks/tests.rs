//! Facts and packets of a leg by the second, and the alarms that they raise.

use super::*;

/// What happens in one second, before the check.
#[derive(Clone, Copy)]
enum Does {
    Facts(Facts),
    Receives,
    Sends,
}

const UP: Facts = Facts {
    settled: true,
    has_pair: true,
    has_keys: true,
    sends: true,
    receives: true,
    sent_at: None,
    received_at: None,
    flooded_at: None,
    ring_at: None,
    probe_ends_at: None,
};
const RINGING: Facts = Facts { settled: false, has_pair: false, has_keys: false, ..UP };
const NO_PAIR: Facts = Facts { settled: true, has_pair: false, has_keys: false, ..UP };
const NO_KEYS: Facts = Facts { settled: true, has_pair: true, has_keys: false, ..UP };
const HELD: Facts = Facts { sends: false, receives: false, ..UP };
const SENDS_ONLY: Facts = Facts { receives: false, ..UP };
const RECEIVES_ONLY: Facts = Facts { sends: false, ..UP };

/// Runs `seconds` of a leg. Each entry happens at every second of its range. Risks are checked only when that is due, or when
/// facts change.
fn story(seconds: u64, happens: &[(std::ops::Range<u64>, Does)]) -> Vec<(u64, Alarm)> {
    let start = Instant::now();
    let mut monitor = RiskMonitor::default();
    let mut facts = Facts::default();
    let (mut sent_at, mut received_at) = (None, None);
    let mut alarms = Vec::new();
    for second in 0..seconds {
        let now = start + Duration::from_secs(second);
        for (_, does) in happens.iter().filter(|(when, _)| when.contains(&second)) {
            match does {
                Does::Receives => received_at = Some(now),
                Does::Sends => sent_at = Some(now),
                Does::Facts(new) => {
                    facts = *new;
                    monitor.recheck_at(now);
                }
            }
        }
        if monitor.is_due(now) {
            monitor.check(now, Facts { sent_at, received_at, ..facts });
        }
        alarms.extend(std::iter::from_fn(|| monitor.poll()).map(|alarm| (second, alarm)));
        assert!(monitor.poll_timeout().is_none_or(|at| at > now), "a deadline in the past would be due for ever");
    }
    alarms
}

fn at_risk(second: u64, risk: Risk, lasted: u64) -> (u64, Alarm) {
    (second, Alarm::AtRisk(risk, Duration::from_secs(lasted)))
}

fn recovered(second: u64, risk: Risk) -> (u64, Alarm) {
    (second, Alarm::Recovered(risk))
}

#[test]
fn each_risk_is_reported_at_its_steps_and_at_its_end() {
    use Does::*;
    use Risk::*;
    type Row = (&'static str, Vec<(std::ops::Range<u64>, Does)>, Vec<(u64, Alarm)>);
    let table: Vec<Row> = vec![
        ("a call as it should be", vec![(0..1, Facts(UP)), (0..60, Receives), (0..60, Sends)], vec![]),
        ("a phone that rings for a minute", vec![(0..1, Facts(RINGING))], vec![]),
        (
            "no check is answered",
            vec![(0..1, Facts(RINGING)), (10..11, Facts(NO_PAIR)), (40..41, Facts(HELD))],
            vec![
                at_risk(15, IceStuck, 5),
                at_risk(20, IceStuck, 10),
                at_risk(20, NothingSent, 10),
                at_risk(25, NothingSent, 15),
                at_risk(30, IceStuck, 20),
                recovered(40, IceStuck),
                recovered(40, NothingSent),
            ],
        ),
        (
            "DTLS takes 6 s",
            vec![(0..1, Facts(NO_PAIR)), (1..2, Facts(NO_KEYS)), (7..8, Facts(UP)), (7..60, Sends), (7..60, Receives)],
            vec![at_risk(3, DtlsStuck, 2), at_risk(6, DtlsStuck, 5), recovered(7, DtlsStuck)],
        ),
        (
            "we send nothing, then something",
            vec![(0..1, Facts(UP)), (0..60, Receives), (17..60, Sends)],
            vec![at_risk(10, NothingSent, 10), at_risk(15, NothingSent, 15), recovered(17, NothingSent)],
        ),
        (
            "we fall silent in mid-call",
            vec![(0..1, Facts(UP)), (0..60, Receives), (0..21, Sends)],
            vec![at_risk(30, NothingSent, 10), at_risk(35, NothingSent, 15)],
        ),
        (
            "the peer never sends",
            vec![(0..1, Facts(UP)), (0..60, Sends)],
            vec![at_risk(10, NothingReceived, 10), at_risk(20, NothingReceived, 20)],
        ),
        (
            "the peer first sends after 12 s",
            vec![(0..1, Facts(UP)), (0..60, Sends), (12..60, Receives)],
            vec![at_risk(10, NothingReceived, 10), recovered(12, NothingReceived)],
        ),
        (
            "the peer falls silent for 25 s",
            vec![(0..1, Facts(UP)), (0..60, Sends), (0..6, Receives), (30..60, Receives)],
            vec![at_risk(15, FellSilent, 10), at_risk(25, FellSilent, 20), recovered(30, FellSilent)],
        ),
        (
            "the peer sends late and not for long",
            vec![(0..1, Facts(UP)), (0..60, Sends), (3..6, Receives)],
            vec![at_risk(15, FellSilent, 10), at_risk(25, FellSilent, 20), at_risk(35, FellSilent, 30)],
        ),
        (
            "the peer falls silent for good",
            vec![(0..1, Facts(UP)), (0..60, Sends), (0..6, Receives)],
            vec![at_risk(15, FellSilent, 10), at_risk(25, FellSilent, 20), at_risk(35, FellSilent, 30)],
        ),
        (
            "on hold silence is no risk, and the time begins anew after it",
            vec![(0..1, Facts(UP)), (0..5, Receives), (0..5, Sends), (5..6, Facts(HELD)), (40..41, Facts(UP))],
            vec![at_risk(50, NothingSent, 10), at_risk(50, FellSilent, 10), at_risk(55, NothingSent, 15)],
        ),
        ("a peer that only receives is no risk", vec![(0..1, Facts(SENDS_ONLY)), (0..60, Sends)], vec![]),
        ("a peer that only sends is no risk", vec![(0..1, Facts(RECEIVES_ONLY)), (0..60, Receives)], vec![]),
    ];
    for (what, happens, wanted) in table {
        assert_eq!(story(60, &happens), wanted, "{what}");
    }
}

#[test]
fn a_leg_without_a_fault_is_checked_once_in_ten_seconds() {
    let start = Instant::now();
    let mut monitor = RiskMonitor::default();
    monitor.recheck_at(start);
    let mut checks = 0;
    for n in 0..=3_000 {
        let now = start + Duration::from_millis(20 * n);
        if monitor.is_due(now) {
            checks += 1;
            monitor.check(now, Facts { sent_at: Some(now), received_at: Some(now), ..UP });
        }
    }
    assert_eq!((checks, monitor.poll()), (7, None), "at the start, and every 10 s of the minute");
}
