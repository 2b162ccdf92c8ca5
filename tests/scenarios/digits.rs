//! Ten thousand digits in either direction through loss: each is right, there once, and in its place.
//!
//! Every digit crosses two lossy links, from its peer to Trestle and from there to the other peer. What counts is what
//! the other peer and the application get; lengths and pauses are drawn, from the seed that is printed.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use trestle_core::EventKind;
use trestle_peers::{Codec, MetaOptions, PhoneOptions, ReceivedDigit, Voice};
use trestle_world::calls::{self, Call};
use trestle_world::{Link, World};

/// A call's share, so that the calls can be made side by side.
const DIGITS: usize = 1_000;
/// Frames on the way, one on each side.
const OFF_MS: u64 = 20;

/// A key, and for how long it is held down.
type Press = (char, Duration);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Up to 500 ms, short ones the likeliest: they have the fewest packets.
fn presses(rng: &mut ChaCha8Rng, count: usize, least_ms: u32) -> Vec<Press> {
    let keys: Vec<char> = "0123456789*#ABCD".chars().collect();
    let mut below = |limit: u32| rng.next_u32() % limit;
    (0..count)
        .map(|_| {
            let key = keys[below(16) as usize];
            let span = 500 - least_ms;
            let share = below(span + 1) * below(span + 1) / span;
            (key, ms(u64::from(least_ms + share)))
        })
        .collect()
}

/// What became of the digits of one direction.
#[derive(Debug, Default)]
struct Tally {
    digits: usize,
    /// Off by more than [`OFF_MS`] at the peer, or in the application's event: every end of them was lost on a link.
    off_at_peer: usize,
    off_at_application: usize,
}

impl Tally {
    fn count(&mut self, way: &str, pressed: &[Press], received: &[ReceivedDigit], reported: &[Press]) {
        let keys = |digits: &[Press]| digits.iter().map(|(key, _)| *key).collect::<String>();
        let received: Vec<Press> =
            received.iter().map(|received| (received.digit, ms(received.duration_ms.round() as u64))).collect();
        assert_eq!(keys(&received), keys(pressed), "{way}: digits at the peer");
        assert_eq!(keys(reported), keys(pressed), "{way}: events of the application");
        let off = |digits: &[Press]| {
            pressed.iter().zip(digits).filter(|((_, one), (_, other))| one.abs_diff(*other) > ms(OFF_MS)).count()
        };
        self.digits += pressed.len();
        self.off_at_peer += off(&received);
        self.off_at_application += off(reported);
    }
}

fn silent_meta() -> MetaOptions {
    MetaOptions { voice: Voice::Silence, ..calls::meta_sdes() }
}

fn silent_phone() -> PhoneOptions {
    PhoneOptions { voice: Voice::Silence, ..calls::phone() }
}

/// Keys are pressed on both sides at once, one after the other; returns what became of them.
fn call_through(seed: u64, link: Link, digits: usize, least_ms: u32, call: impl Fn(&mut World) -> Call) -> [Tally; 2] {
    let mut world = World::new(seed);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let call = call(&mut world);
    world.run_for_ms(1_000);
    for address in ["31.13.65.60:0", "198.51.100.20:0"] {
        world.set_link(calls::addr(address).ip(), link);
    }
    let pressed = [(); 2].map(|()| presses(&mut rng, digits, least_ms));
    let mut next = [0, 0];
    loop {
        let (meta, phone) = (call.meta, call.phone);
        if next[0] < digits && !world.meta(meta).is_pressing() {
            let (key, length) = pressed[0][next[0]];
            world.meta(meta).press_for(key, length);
            world.meta(meta).set_digit_pause(pause(&mut rng));
            next[0] += 1;
        }
        if next[1] < digits && !world.phone(phone).is_pressing() {
            let (key, length) = pressed[1][next[1]];
            world.phone(phone).press(key, length);
            world.phone(phone).set_digit_pause(pause(&mut rng));
            next[1] += 1;
        }
        if next == [digits; 2] && !world.meta(meta).is_pressing() && !world.phone(phone).is_pressing() {
            break;
        }
        world.run_for_ms(10);
    }
    world.run_for_ms(1_000);
    let mut reported = [Vec::new(), Vec::new()];
    for (_, event) in &world.events {
        if let EventKind::Digit { digit, duration, source, .. } = event.kind {
            reported[usize::from(source.ip() != call_address())].push((digit.to_char(), duration));
        }
    }
    let fed = world.feed.len();
    assert_eq!(fed, 2 * digits, "one line of the JSON feed for each");
    let at_phone = world.phone(call.phone).report().digits.clone();
    let at_meta = world.meta(call.meta).report().stream.digits.clone();
    let mut tallies = [Tally::default(), Tally::default()];
    tallies[0].count("WhatsApp to SIP", &pressed[0], &at_phone, &reported[0]);
    tallies[1].count("SIP to WhatsApp", &pressed[1], &at_meta, &reported[1]);
    println!("seed {seed}, {link:?}: WhatsApp to SIP {:?}, SIP to WhatsApp {:?}", tallies[0], tallies[1]);
    tallies
}

fn call_address() -> std::net::IpAddr {
    calls::addr("31.13.65.60:0").ip()
}

/// 50 to 200 ms, the shortest likeliest.
fn pause(rng: &mut ChaCha8Rng) -> Duration {
    let mut below = |limit: u32| u64::from(rng.next_u32() % limit);
    ms(50 + below(151) * below(151) / 150)
}

/// The calls of a test, each of [`DIGITS`] digits in either direction; `off_max` of a thousand durations may be off.
fn calls_through(seeds: std::ops::Range<u64>, link: Link, off_max: usize, call: impl Fn(&mut World) -> Call) {
    for seed in seeds {
        for tally in call_through(seed, link, DIGITS, 50, &call) {
            assert!(tally.off_at_peer.max(tally.off_at_application) <= off_max, "{tally:?}");
        }
    }
}

/// 10 %, each datagram for itself, and jitter.
const TENTH: Link = Link::CLEAN.losing(100).jittery(15);

#[test]
fn three_thousand_digits_pass_between_whatsapp_and_a_g711_phone_at_ten_percent_loss() {
    calls_through(1..4, TENTH, 5, |world| calls::user_initiated(world, silent_meta(), silent_phone()));
}

#[test]
fn three_thousand_digits_pass_on_calls_of_a_g711_phone_to_whatsapp_at_ten_percent_loss() {
    calls_through(4..7, TENTH, 5, |world| calls::business_initiated(world, silent_meta(), silent_phone()));
}

#[test]
fn two_thousand_digits_pass_where_opus_is_forwarded_at_ten_percent_loss() {
    let phone = || PhoneOptions { codecs: vec![Codec::Opus], ..silent_phone() };
    calls_through(7..9, TENTH, 5, |world| calls::user_initiated(world, silent_meta(), phone()));
}

#[test]
fn two_thousand_digits_pass_over_dtls_at_ten_percent_loss() {
    let meta = || MetaOptions { voice: Voice::Silence, ..calls::meta() };
    calls_through(9..11, TENTH, 5, |world| calls::user_initiated(world, meta(), silent_phone()));
}

/// At least seven packets each: of shorter digits one in a thousand would vanish without a trace.
#[test]
fn digits_of_100_ms_and_more_survive_twenty_percent_loss() {
    let link = Link::CLEAN.losing(200).jittery(15);
    let call = |world: &mut World| calls::user_initiated(world, silent_meta(), silent_phone());
    for tally in call_through(20, link, 1_000, 100, call) {
        assert!(tally.off_at_peer.max(tally.off_at_application) <= 20, "{tally:?}");
    }
}

/// Four datagrams go at a time: often all ends of a digit.
#[test]
fn digits_of_100_ms_and_more_survive_bursts_of_loss() {
    let link = Link::CLEAN.losing(25).bursty(3).jittery(15);
    let call = |world: &mut World| calls::user_initiated(world, silent_meta(), silent_phone());
    for tally in call_through(30, link, 1_000, 100, call) {
        assert!(tally.off_at_peer <= 100 && tally.off_at_application <= 50, "{tally:?}");
    }
}
