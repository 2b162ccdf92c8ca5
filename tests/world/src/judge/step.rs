//! The steps of a trial. Their `Debug` form is Rust source, so that a trial can be kept as a test.

pub use trestle_peers::Flavour;

/// One trial: a Trestle, and what happens to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// Seeds Trestle, the network and the peers.
    pub seed: u64,
    /// Port pairs that Trestle has.
    pub port_pairs: u16,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// A peer. The first party of a call is the one that offers, the others are those that may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// WhatsApp.
    WhatsApp(Flavour),
    /// A phone.
    Sip(PhoneKind),
}

/// What a phone is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhoneKind {
    /// Index into `CODECS`.
    pub codecs: u8,
    /// Index into `SUITES`; 0 for plain RTP.
    pub suites: u8,
    /// Packet time.
    pub ptime_ms: u32,
    /// Multiplexes RTCP.
    pub mux: bool,
    /// Sends from another port than it announces.
    pub nat: bool,
    /// Has an IPv6 address.
    pub ipv6: bool,
    /// Has telephone-events.
    pub digits: bool,
}

/// How a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Nothing is lost.
    Fair,
    /// So many of 1,000 are lost.
    Losing(u16),
    /// Losses come in groups of ten.
    Bursty(u16),
    /// So many ms of jitter.
    Jittery(u8),
    /// So many of 1,000 are late.
    Reordering(u16),
    /// So many of 1,000 come twice.
    Repeating(u16),
    /// So many ms of delay.
    Slow(u16),
    /// Everything is lost.
    Down,
}

/// What a re-offer changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Nothing,
    /// Nothing, and the other side refuses it.
    Refused,
    /// The peer holds the call.
    Hold,
    /// The peer resumes the call.
    Resume,
    /// Other codecs: an index into `CODECS`.
    Codecs(u8),
    /// Another address.
    Address,
    /// Other keys.
    Keys,
}

/// A verb that changes media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaVerb {
    /// `block media`.
    Block,
    /// `unblock media`.
    Unblock,
    /// `silence media`.
    Silence,
    /// `unsilence media`.
    Unsilence,
    /// `block DTMF`.
    BlockDigits,
    /// `unblock DTMF`.
    UnblockDigits,
}

/// One thing that happens. A step that names a call or a party that does not exist does nothing, so that each subset of the
/// steps of a trial is a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the names of fields are those of the other steps: numbers of calls and parties, and milliseconds"
)]
pub enum Step {
    /// Time passes.
    Wait { ms: u32 },
    /// A call is offered to one peer or, by forks, to several of the same kind.
    Offer { call: u8, from: Peer, to: Peer, branches: u8, shut: bool },
    /// A party answers.
    Answer { call: u8, party: u8 },
    /// A phone offers anew, and the party that it talks to answers.
    ReOffer { call: u8, party: u8, change: Change },
    /// The gate is opened or closed.
    Gate { call: u8, open: bool },
    /// A media verb for a party, or for all.
    Media { call: u8, party: Option<u8>, verb: MediaVerb },
    /// A digit is played as if a party had pressed it.
    Play { call: u8, party: u8, digit: u8, ms: u16 },
    /// A party presses a digit.
    Press { call: u8, party: u8, digit: u8, ms: u16 },
    /// Two parties are connected, perhaps of two calls.
    Connect { call: u8, party: u8, with_call: u8, with: u8 },
    /// One branch ends.
    EndBranch { call: u8, party: u8 },
    /// A call ends.
    Delete { call: u8 },
    /// A call is asked about.
    Query { call: u8 },
    /// A past request comes again, with its cookie or as a new request.
    Repeat { back: u8, anew: bool },
    /// A past request comes damaged.
    Garble { back: u8, seed: u64 },
    /// The link of a party changes.
    Wire { call: u8, party: u8, weather: Weather },
    /// A phone has another address and does not signal it.
    Move { call: u8, party: u8 },
    /// A party stops or resumes its RTP.
    Talk { call: u8, party: u8, on: bool },
    /// A phone begins another stream.
    NewStream { call: u8, party: u8 },
    /// Datagrams of strangers and forged ones arrive, at a leg of a call or anywhere.
    Hostile { seed: u64, times: u8 },
    /// A stranger copies what a party sends, and is faster.
    Copy { call: u8, party: u8, ms: u16 },
    /// Trestle does nothing.
    Stall { ms: u16 },
    /// The shard's mailbox is full.
    MailboxFull { ms: u16 },
    /// A call is lost to a bug.
    Lose { call: u8 },
}
