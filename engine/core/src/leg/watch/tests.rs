//! A leg's story as facts and packets by the second, and what is told of it.

use super::*;

/// What happens in one second, before the watch looks.
#[derive(Clone, Copy)]
enum Does {
    Facts(Facts),
    Hears,
    Says,
}

const UP: Facts = Facts { settled: true, has_pair: true, has_keys: true, sends: true, receives: true };
const RINGING: Facts = Facts { settled: false, has_pair: false, has_keys: false, sends: true, receives: true };
const NO_PAIR: Facts = Facts { settled: true, has_pair: false, has_keys: false, ..UP };
const NO_KEYS: Facts = Facts { settled: true, has_pair: true, has_keys: false, ..UP };
const HELD: Facts = Facts { sends: false, receives: false, ..UP };
const SENDS_ONLY: Facts = Facts { receives: false, ..UP };
const RECEIVES_ONLY: Facts = Facts { sends: false, ..UP };

/// Runs `seconds` of a leg. Each entry happens at its second; of a range, at every second of it. The watch looks only when it
/// wants to, or when facts change.
fn story(seconds: u64, happens: &[(std::ops::Range<u64>, Does)]) -> Vec<(u64, Alarm)> {
    let start = Instant::now();
    let mut watch = Watch::default();
    let mut facts = Facts::default();
    let mut told = Vec::new();
    for second in 0..seconds {
        let now = start + Duration::from_secs(second);
        for (_, does) in happens.iter().filter(|(when, _)| when.contains(&second)) {
            match does {
                Does::Hears => watch.heard(now),
                Does::Says => watch.said(now),
                Does::Facts(new) => {
                    facts = *new;
                    watch.disturb(now);
                }
            }
        }
        if watch.is_due(now) {
            watch.look(now, facts);
        }
        told.extend(std::iter::from_fn(|| watch.poll()).map(|alarm| (second, alarm)));
        assert!(watch.poll_timeout().is_none_or(|at| at > now), "a deadline in the past would be due for ever");
    }
    told
}

fn at_risk(second: u64, risk: Risk, lasted: u64) -> (u64, Alarm) {
    (second, Alarm::AtRisk(risk, Duration::from_secs(lasted)))
}

fn recovered(second: u64, risk: Risk) -> (u64, Alarm) {
    (second, Alarm::Recovered(risk))
}

#[test]
fn each_risk_is_told_at_its_steps_and_when_it_is_over() {
    use Does::*;
    use Risk::*;
    type Row = (&'static str, Vec<(std::ops::Range<u64>, Does)>, Vec<(u64, Alarm)>);
    let table: Vec<Row> = vec![
        ("a call as it should be", vec![(0..1, Facts(UP)), (0..60, Hears), (0..60, Says)], vec![]),
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
            vec![(0..1, Facts(NO_PAIR)), (1..2, Facts(NO_KEYS)), (7..8, Facts(UP)), (7..60, Says), (7..60, Hears)],
            vec![at_risk(3, DtlsStuck, 2), at_risk(6, DtlsStuck, 5), recovered(7, DtlsStuck)],
        ),
        (
            "we say nothing, then something",
            vec![(0..1, Facts(UP)), (0..60, Hears), (17..60, Says)],
            vec![at_risk(10, NothingSent, 10), at_risk(15, NothingSent, 15), recovered(17, NothingSent)],
        ),
        (
            "we fall silent in mid-call",
            vec![(0..1, Facts(UP)), (0..60, Hears), (0..21, Says)],
            vec![at_risk(30, NothingSent, 10), at_risk(35, NothingSent, 15)],
        ),
        (
            "the peer never says anything",
            vec![(0..1, Facts(UP)), (0..60, Says)],
            vec![at_risk(10, NothingReceived, 10), at_risk(20, NothingReceived, 20)],
        ),
        (
            "the peer says its first word after 12 s",
            vec![(0..1, Facts(UP)), (0..60, Says), (12..60, Hears)],
            vec![at_risk(10, NothingReceived, 10), recovered(12, NothingReceived)],
        ),
        (
            "the peer falls silent for 25 s",
            vec![(0..1, Facts(UP)), (0..60, Says), (0..6, Hears), (30..60, Hears)],
            vec![at_risk(15, FellSilent, 10), at_risk(25, FellSilent, 20), recovered(30, FellSilent)],
        ),
        (
            "the peer speaks late and not for long",
            vec![(0..1, Facts(UP)), (0..60, Says), (3..6, Hears)],
            vec![at_risk(15, FellSilent, 10), at_risk(25, FellSilent, 20), at_risk(35, FellSilent, 30)],
        ),
        (
            "the peer falls silent for good",
            vec![(0..1, Facts(UP)), (0..60, Says), (0..6, Hears)],
            vec![at_risk(15, FellSilent, 10), at_risk(25, FellSilent, 20), at_risk(35, FellSilent, 30)],
        ),
        (
            "on hold both are silent by right, and the time begins anew after it",
            vec![(0..1, Facts(UP)), (0..5, Hears), (0..5, Says), (5..6, Facts(HELD)), (40..41, Facts(UP))],
            vec![at_risk(50, NothingSent, 10), at_risk(50, FellSilent, 10), at_risk(55, NothingSent, 15)],
        ),
        ("a peer that only listens is not missed", vec![(0..1, Facts(SENDS_ONLY)), (0..60, Says)], vec![]),
        ("a peer that only talks misses nothing", vec![(0..1, Facts(RECEIVES_ONLY)), (0..60, Hears)], vec![]),
    ];
    for (what, happens, wanted) in table {
        assert_eq!(story(60, &happens), wanted, "{what}");
    }
}

#[test]
fn a_leg_in_good_order_is_looked_at_once_in_ten_seconds() {
    let start = Instant::now();
    let mut watch = Watch::default();
    watch.disturb(start);
    let mut looks = 0;
    for n in 0..=3_000 {
        let now = start + Duration::from_millis(20 * n);
        watch.heard(now);
        watch.said(now);
        if watch.is_due(now) {
            looks += 1;
            watch.look(now, UP);
        }
    }
    assert_eq!((looks, watch.poll()), (7, None), "at the start, and every 10 s of the minute");
}
