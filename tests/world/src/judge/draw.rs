//! Draws a trial from a seed.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::step::{Change, Flavour, MediaVerb, Peer, PhoneKind, Step, Trial, Weather};

/// Calls of one trial. Each costs encoders and handshakes.
const CALLS_MAX: u32 = 3;
/// Steps of one trial beside those that set up its calls.
const STEPS_MAX: u32 = 40;

/// The longest time for which Trestle gets no CPU.
const STALL_MS_MAX: u32 = 5_000;

/// Choices from a seed.
struct Dice(ChaCha12Rng);

impl Dice {
    /// A number below `n`.
    fn below(&mut self, n: u32) -> u32 {
        self.0.next_u32() % n
    }

    /// True once in `n`.
    fn once_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u32) as usize]
    }

    /// An index, small ones twice as often.
    fn index(&mut self, n: u32) -> u8 {
        let first = self.below(n);
        first.min(self.below(n)) as u8
    }

    fn phone(&mut self) -> Peer {
        let codecs = self.index(super::CODECS.len() as u32);
        let has_opus = super::CODECS[usize::from(codecs)].contains(&trestle_peers::Codec::Opus);
        // Opus has no frames of 30 ms.
        let odd_ptime = self.one_of(if has_opus { &[10, 40, 60][..] } else { &[10, 30, 40, 60] });
        Peer::Sip(PhoneKind {
            codecs,
            suites: if self.once_in(2) { 0 } else { self.below(super::SUITES.len() as u32) as u8 },
            ptime_ms: if self.once_in(3) { odd_ptime } else { 20 },
            mux: self.once_in(3),
            nat: self.once_in(4),
            ipv6: self.once_in(8),
            digits: !self.once_in(5),
        })
    }

    fn whatsapp(&mut self) -> Peer {
        Peer::WhatsApp(if self.once_in(3) { Flavour::Sdes } else { Flavour::WebRtc })
    }

    /// Offers a call and, mostly, has it answered.
    fn call(&mut self, call: u8, steps: &mut Vec<Step>) {
        let (from, to) = match self.below(5) {
            0 | 1 => (self.phone(), self.phone()),
            2 | 3 => (self.whatsapp(), self.phone()),
            _ => (self.phone(), self.whatsapp()),
        };
        let branches = if self.once_in(4) { 1 + self.below(3) as u8 } else { 1 };
        steps.push(Step::Offer { call, from, to, branches, shut: self.once_in(3) });
        if !self.once_in(8) {
            let ms = if self.once_in(2) { 0 } else { self.below(1_500) };
            steps.push(Step::Wait { ms });
            steps.push(Step::Answer { call, party: 1 + self.below(u32::from(branches)) as u8 });
        }
    }

    fn weather(&mut self) -> Weather {
        match self.below(8) {
            0 | 1 => Weather::Fair,
            2 => Weather::Losing(self.below(300) as u16),
            3 => Weather::Bursty(self.below(40) as u16),
            4 => Weather::Jittery(self.below(120) as u8),
            5 => Weather::Reordering(self.below(200) as u16),
            6 => Weather::Repeating(self.below(200) as u16),
            _ if self.once_in(2) => Weather::Slow(self.below(400) as u16),
            _ => Weather::Down,
        }
    }

    fn change(&mut self) -> Change {
        match self.below(10) {
            0 | 1 => Change::Hold,
            2 | 3 => Change::Resume,
            4 => Change::Codecs(self.index(super::CODECS.len() as u32)),
            5 => Change::Address,
            6 => Change::Keys,
            7 => Change::Refused,
            _ => Change::Nothing,
        }
    }

    fn step(&mut self, calls: u32) -> Step {
        let call = self.below(calls) as u8;
        let party = self.index(4);
        match self.below(46) {
            0..=5 => Step::ReOffer { call, party: self.below(2) as u8, change: self.change() },
            6..=8 => Step::Gate { call, open: !self.once_in(6) },
            9..=12 => Step::Media {
                call,
                party: if self.once_in(4) { None } else { Some(party) },
                verb: self.one_of(&[
                    MediaVerb::Block,
                    MediaVerb::Unblock,
                    MediaVerb::Silence,
                    MediaVerb::Unsilence,
                    MediaVerb::BlockDigits,
                    MediaVerb::UnblockDigits,
                ]),
            },
            13 | 14 => {
                Step::Play { call, party, digit: self.below(16) as u8, ms: if self.once_in(6) { 2_000 } else { 150 } }
            }
            15 | 16 => Step::Press { call, party, digit: self.below(16) as u8, ms: 100 + self.below(400) as u16 },
            17 => Step::Answer { call, party: 1 + self.below(3) as u8 },
            18 => Step::Connect { call, party, with_call: self.below(calls) as u8, with: self.index(4) },
            19 => Step::EndBranch { call, party: 1 + self.below(3) as u8 },
            20 if self.once_in(2) => Step::Delete { call },
            20 | 21 => Step::Query { call },
            22 | 23 => Step::Repeat { back: self.below(8) as u8, anew: self.once_in(6) },
            24 | 25 => Step::Garble { back: self.below(8) as u8, seed: self.0.next_u64() },
            26..=30 => Step::Wire { call, party, weather: self.weather() },
            31 => Step::Move { call, party },
            32 | 33 => Step::Talk { call, party, on: self.once_in(2) },
            34 => Step::NewStream { call, party },
            35..=40 => Step::Hostile { seed: self.0.next_u64(), times: 1 + self.below(20) as u8 },
            41 if self.once_in(3) => Step::Stall { ms: self.below(STALL_MS_MAX) as u16 },
            41 => Step::Stall { ms: self.below(600) as u16 },
            42 => Step::MailboxFull { ms: self.below(400) as u16 },
            43 | 44 => Step::Copy { call, party: self.below(2) as u8, ms: self.below(2_000) as u16 },
            _ if self.once_in(3) => Step::Lose { call },
            _ => Step::Query { call },
        }
    }
}

impl Trial {
    /// The trial of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut dice = Dice(ChaCha12Rng::seed_from_u64(seed));
        let calls = 1 + dice.below(CALLS_MAX).min(dice.below(CALLS_MAX));
        // Most trials have ports for everything, some run out of them.
        let port_pairs = if dice.once_in(8) { 33 + dice.below(6) as u16 } else { 400 };
        let mut steps = Vec::new();
        let mut later: Vec<u8> = (1..calls as u8).collect();
        dice.call(0, &mut steps);
        let count = 4 + dice.below(STEPS_MAX);
        for _ in 0..count {
            if !later.is_empty() && dice.once_in(3) {
                let call = later.remove(0);
                dice.call(call, &mut steps);
            }
            let ms = if dice.once_in(3) { dice.below(1_200) } else { dice.below(250) };
            steps.push(Step::Wait { ms });
            let step = dice.step(calls);
            steps.push(step);
        }
        if dice.once_in(40) {
            // Calls that only time ends: without an answer, without media.
            let seconds = dice.one_of(&[35, 70, 200]);
            let at = dice.below(steps.len() as u32) as usize;
            steps.insert(at, Step::Wait { ms: seconds * 1_000 });
            steps.splice(
                at..at,
                (0..calls as u8).flat_map(|call| (0..4).map(move |party| Step::Talk { call, party, on: false })),
            );
        }
        Self { seed, port_pairs, steps }
    }
}
