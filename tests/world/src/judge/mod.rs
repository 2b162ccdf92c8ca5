//! The judge: one seed decides calls, peers, networks, hostile datagrams, re-offers and faults, and Trestle must keep every
//! invariant through all of it.
//!
//! A seed is drawn into a `Trial`, a list of steps. The checks of a `crate::SimulatedTrestle` look at each datagram;
//! `court` adds what only the judge knows: which datagrams are hostile and must change nothing but a counter, which request
//! is a repeat, which calls must have audio both ways once all faults are over.
//!
//! | invariant | where |
//! |---|---|
//! | no SRTP or SRTCP index twice under one key, no plaintext on a secured leg, no key of two legs | `crate::checks`, `secrecy` |
//! | one SSRC and one time line, nothing but STUN and DTLS while a gate is shut | `crate::checks` |
//! | a hostile datagram changes one counter and is not answered | `hostile` |
//! | each datagram is taken or discarded with a reason; ports, legs and calls are those of the commands | `crate::checks`, `audit` |
//! | after a stall of Trestle at most 200 ms of old audio are sent | `court` |
//! | WhatsApp receives only packets that authenticate, and none before it has the keys | `court` |
//! | one well-formed reply for each request; a repeat has the same | `desk` |
//! | once faults stop, a call with two parties that send has audio both ways within a second | `liveness` |
//!
//! A seed that fails is shrunk to the steps that it takes, and printed as Rust source.

mod court;
mod desk;
mod draw;
mod hostile;
mod liveness;
mod shrink;
mod signalling;
mod step;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use trestle_peers::Codec;
use trestle_srtp::Profile;

pub use shrink::shrunk;
pub use step::{Change, Flavour, MediaVerb, Peer, PhoneKind, Step, Trial, Weather};

use court::Court;

/// Codecs of a phone, preferred first.
pub const CODECS: [&[Codec]; 5] =
    [&[Codec::Pcma], &[Codec::Pcmu], &[Codec::Pcma, Codec::Pcmu], &[Codec::Opus], &[Codec::Opus, Codec::Pcmu]];

/// Crypto suites of a phone, preferred first.
pub const SUITES: [&[Profile]; 5] = [
    &[],
    &[Profile::AesCm128HmacSha1_80],
    &[Profile::AeadAes128Gcm],
    &[Profile::AeadAes256Gcm, Profile::AesCm128HmacSha1_80],
    &[Profile::AesCm256HmacSha1_80],
];

/// A trial that has violated an invariant.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The trial.
    pub trial: Trial,
    /// What is violated.
    pub what: String,
    /// What happened until then: times and steps, and the last datagrams that Trestle has sent.
    pub trace: Vec<String>,
}

/// What a trial consisted of, so that a caller can see that something was judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Judged {
    /// Requests answered.
    pub replies: u64,
    /// Hostile datagrams that changed nothing but a counter.
    pub hostile: u64,
    /// Directions of audio that were found alive in the end.
    pub alive: u64,
}

impl Judged {
    /// Adds what another trial consisted of.
    pub fn add(&mut self, other: Self) {
        self.replies += other.replies;
        self.hostile += other.hostile;
        self.alive += other.alive;
    }
}

/// Runs a trial.
///
/// # Errors
/// What it has violated.
pub fn run(trial: &Trial) -> Result<Judged, Box<Finding>> {
    let mut court = Court::new(trial);
    let outcome = catch_unwind(AssertUnwindSafe(|| court.play(&trial.steps)));
    match outcome {
        Ok(()) => Ok(court.judged),
        Err(panic) => {
            let trace = [court.trace(), &court.last_sent()].concat();
            Err(Box::new(Finding { trial: trial.clone(), what: text_of(&*panic), trace }))
        }
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "a panic".to_owned())
}

impl std::fmt::Display for Finding {
    /// What is violated, how to run the trial again, and its steps as Rust source.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Trial { seed, port_pairs, steps } = &self.trial;
        writeln!(f, "seed {seed}: {}", self.what)?;
        writeln!(f, "run it again: cargo run -p trestle-world --example judge -- {seed}")?;
        for line in &self.trace {
            writeln!(f, "    {line}")?;
        }
        writeln!(f, "Trial {{ seed: {seed}, port_pairs: {port_pairs}, steps: vec![")?;
        for step in steps {
            writeln!(f, "    Step::{step:?},")?;
        }
        write!(f, "] }}")
    }
}
