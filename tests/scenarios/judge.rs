//! Trials of the judge: random ones from seeds, and those that have once found a fault.
//!
//! `JUDGE_SEEDS=FIRST..END cargo test --test scenarios judge` runs other seeds than the usual ones. For thousands of them use
//! `cargo run -p trestle-world --example judge -- FIRST COUNT`, which prints no panics and how fast it is.

use trestle_world::judge::{Change, Flavour, Judged, MediaVerb, Peer, PhoneKind, Step, Trial, Weather, run, shrunk};

/// Seeds of each of the two tests, so that they run on two cores.
const SEEDS: u64 = 100;

fn judge_seeds(seeds: impl Iterator<Item = u64>) -> Judged {
    let mut judged = Judged::default();
    for seed in seeds {
        match run(&Trial::draw(seed)) {
            Ok(more) => judged.add(more),
            Err(finding) => panic!("{}", shrunk(finding)),
        }
    }
    judged
}

fn seeds_of(range: &str) -> (u64, u64) {
    let numbers = range.split_once("..").and_then(|(first, end)| Some((first.parse().ok()?, end.parse().ok()?)));
    numbers.unwrap_or_else(|| panic!("JUDGE_SEEDS is {range}; use FIRST..END"))
}

#[test]
fn random_trials_with_even_seeds_violate_no_invariant() {
    let (first, end) = std::env::var("JUDGE_SEEDS").map_or((0, 2 * SEEDS), |range| seeds_of(&range));
    let judged = judge_seeds((first..end).filter(|seed| seed % 2 == 0));
    assert!(judged.replies > 0 || first == end, "{judged:?}");
}

#[test]
fn random_trials_with_odd_seeds_violate_no_invariant() {
    let (first, end) = std::env::var("JUDGE_SEEDS").map_or((0, 2 * SEEDS), |range| seeds_of(&range));
    let judged = judge_seeds((first..end).filter(|seed| seed % 2 == 1));
    assert!(judged.replies > 0 || end - first <= 1, "{judged:?}");
}

/// Runs steps that have once violated an invariant.
fn assert_clean(seed: u64, steps: &[Step]) {
    if let Err(finding) = run(&Trial { seed, port_pairs: 400, steps: steps.to_vec() }) {
        panic!("{finding}");
    }
}

/// A PCMA phone without SRTP.
const PHONE: PhoneKind =
    PhoneKind { codecs: 0, suites: 0, ptime_ms: 20, mux: false, nat: false, ipv6: false, digits: true };
const WHATSAPP: Peer = Peer::WhatsApp(Flavour::WebRtc);

fn offer(call: u8, from: Peer, to: Peer) -> Step {
    Step::Offer { call, from, to, branches: 1, shut: false }
}

#[test]
fn opus_of_60_ms_has_no_holes_in_the_first_seconds() {
    let phone = Peer::Sip(PhoneKind { codecs: 3, ptime_ms: 60, ..PHONE });
    for to in [Peer::WhatsApp(Flavour::Sdes), WHATSAPP] {
        for ms in [0, 100, 400] {
            assert_clean(1_724, &[offer(0, phone, to), Step::Answer { call: 0, party: 1 }, Step::Wait { ms }]);
        }
    }
}

#[test]
fn no_packet_overtakes_the_end_of_a_handshake_that_a_stall_has_interrupted() {
    let phone = Peer::Sip(PhoneKind { codecs: 3, nat: true, digits: false, ..PHONE });
    let steps = [Step::Answer { call: 0, party: 1 }, Step::Wait { ms: 26 }, Step::Stall { ms: 2_545 }];
    assert_clean(235, &[&[offer(0, phone, WHATSAPP)], &steps[..]].concat());
}

#[test]
fn a_damaged_cookie_is_counted_and_not_answered_later_when_the_shard_takes_commands_again() {
    let [first, second] = [PhoneKind { suites: 2, ..PHONE }, PhoneKind { codecs: 1, mux: true, nat: true, ..PHONE }];
    assert_clean(
        740,
        &[
            offer(0, Peer::Sip(first), Peer::Sip(second)),
            Step::Answer { call: 0, party: 1 },
            Step::ReOffer { call: 0, party: 0, change: Change::Address },
            Step::ReOffer { call: 0, party: 0, change: Change::Hold },
            Step::ReOffer { call: 0, party: 1, change: Change::Keys },
            Step::Delete { call: 0 },
            Step::MailboxFull { ms: 231 },
            Step::Garble { back: 0, seed: 15_683_904_010_837_146_388 },
        ],
    );
}

#[test]
fn pre_roll_that_is_played_faster_has_the_pitch_of_the_voice() {
    let phone = Peer::Sip(PhoneKind { ipv6: true, digits: false, ..PHONE });
    let offer = Step::Offer { call: 1, from: phone, to: WHATSAPP, branches: 1, shut: true };
    for ms in [0, 500, 2_000] {
        assert_clean(1_057, &[offer, Step::Answer { call: 1, party: 1 }, Step::Wait { ms }]);
    }
}

#[test]
fn after_a_stall_200_ms_in_packets_of_60_ms_are_sent_in_packets_of_20_ms_and_no_more() {
    let [first, second] = [PhoneKind { codecs: 2, ptime_ms: 60, ..PHONE }, PHONE];
    let steps = [Step::Answer { call: 0, party: 2 }, Step::Answer { call: 0, party: 1 }, Step::Stall { ms: 3_415 }];
    let offer = Step::Offer { call: 0, from: Peer::Sip(first), to: Peer::Sip(second), branches: 3, shut: false };
    assert_clean(10_440, &[&[offer], &steps[..]].concat());
    assert_clean(10_440, &[&[offer], &steps[1..]].concat());
}

#[test]
fn the_first_packet_of_pre_roll_may_be_overtaken_and_is_authentic() {
    let phone = Peer::Sip(PhoneKind { codecs: 1, mux: true, ..PHONE });
    let offer = Step::Offer { call: 0, from: phone, to: WHATSAPP, branches: 1, shut: true };
    for permille in [50, 123, 200] {
        let weather = Weather::Reordering(permille);
        let steps =
            [Step::Answer { call: 0, party: 1 }, Step::Wait { ms: 527 }, Step::Wire { call: 0, party: 1, weather }];
        for seed in 0..8 {
            assert_clean(seed, &[&[offer], &steps[..], &[Step::Gate { call: 0, open: true }]].concat());
        }
    }
}

#[test]
fn a_digit_ends_when_its_source_is_replaced_while_the_key_is_down() {
    let [encrypted, plain] = [PhoneKind { suites: 3, mux: true, ..PHONE }, PhoneKind { codecs: 1, ..PHONE }];
    let toneless = PhoneKind { digits: false, ..PHONE };
    // The digit is sent to WhatsApp as an event, and to a phone without events as a tone.
    for (callee, presses, keeps) in [(encrypted, 1, 0), (toneless, 0, 1)] {
        assert_clean(
            16_297,
            &[
                offer(0, WHATSAPP, Peer::Sip(callee)),
                Step::Answer { call: 0, party: 1 },
                offer(1, Peer::Sip(plain), Peer::Sip(plain)),
                Step::Answer { call: 1, party: 1 },
                Step::Wait { ms: 110 },
                Step::Press { call: 0, party: presses, digit: 5, ms: 431 },
                Step::Wait { ms: 22 },
                Step::Connect { call: 1, party: 1, with_call: 0, with: keeps },
            ],
        );
    }
}

#[test]
fn after_a_second_stall_of_any_length_nothing_is_filled_in_either() {
    let [first, second] = [PhoneKind { nat: true, ..PHONE }, PhoneKind { codecs: 1, mux: true, ..PHONE }];
    for ms in [210, 264, 300, 400, 1_000, 4_944] {
        assert_clean(
            5_887,
            &[
                offer(1, Peer::Sip(first), Peer::Sip(second)),
                Step::Answer { call: 1, party: 1 },
                Step::Wait { ms: 14 },
                Step::Stall { ms: 334 },
                Step::Stall { ms },
            ],
        );
    }
}

#[test]
fn an_opus_listener_has_a_clean_tone_after_a_change_from_silence_to_forwarding() {
    let phone = Peer::Sip(PhoneKind { suites: 3, ..PHONE });
    let opus = Change::Codecs(3);
    assert_clean(
        2_163,
        &[
            offer(0, phone, Peer::WhatsApp(Flavour::Sdes)),
            Step::Answer { call: 0, party: 1 },
            Step::Wait { ms: 79 },
            Step::Media { call: 0, party: None, verb: MediaVerb::Silence },
            Step::ReOffer { call: 0, party: 0, change: opus },
            Step::Wait { ms: 283 },
        ],
    );
}

#[test]
fn a_phone_that_moves_before_it_is_sent_anything_loses_only_what_came_from_elsewhere() {
    let [first, second] = [PhoneKind { codecs: 2, mux: true, ..PHONE }, PhoneKind { ptime_ms: 40, ..PHONE }];
    for change in [Change::Hold, Change::Nothing] {
        let steps =
            [Step::ReOffer { call: 0, party: 0, change }, Step::Wait { ms: 15 }, Step::Move { call: 0, party: 0 }];
        let answer = Step::Answer { call: 0, party: 1 };
        assert_clean(4_738, &[&[offer(0, Peer::Sip(first), Peer::Sip(second)), answer], &steps[..]].concat());
    }
}

#[test]
fn an_opus_listener_has_the_tone_after_a_digit() {
    let [first, second] =
        [PhoneKind { suites: 1, ..PHONE }, PhoneKind { codecs: 3, suites: 1, ptime_ms: 10, mux: true, ..PHONE }];
    assert_clean(
        19_440,
        &[
            Step::Offer { call: 1, from: Peer::Sip(first), to: Peer::Sip(second), branches: 2, shut: false },
            Step::Answer { call: 1, party: 1 },
            Step::Wait { ms: 1_611 },
            Step::Press { call: 1, party: 0, digit: 6, ms: 249 },
        ],
    );
}
