//! SDES (RFC 4568): which suites are offered, and which `a=crypto` line is taken.

use trestle_ng::command::flags::{ProfileName, SdesFlags};
use trestle_sdp::{Crypto, PeerDescription, PeerDescriptionError};
use trestle_srtp::Profile as Suite;

use crate::NegotiationError;
use crate::error::{FlagsError, unbridgeable};

/// Suites that Trestle offers, in this order. AES-128 with 80-bit tags comes first: every phone has it, and some phones
/// look at the first line only. Short tags come last, for peers that have no other suite.
const SUITES: [Suite; 6] = [
    Suite::AesCm128HmacSha1_80,
    Suite::AeadAes256Gcm,
    Suite::AeadAes128Gcm,
    Suite::AesCm256HmacSha1_80,
    Suite::AesCm128HmacSha1_32,
    Suite::AesCm256HmacSha1_32,
];

/// Suites of an offer to a receiver of this profile, given the sender's description. The one in use comes first, so that a peer that takes
/// the first it knows keeps its keys.
pub(crate) fn suites_to_offer(
    profile: ProfileName,
    sender: &PeerDescription,
    in_use: Option<Suite>,
    flags: &SdesFlags,
) -> Result<Vec<Suite>, NegotiationError> {
    let names = |list: &[String], suite: Suite| list.iter().any(|name| Suite::from_name(name) == Some(suite));
    // Meta's own descriptions have one line of this suite.
    let candidates: &[Suite] = if profile == ProfileName::Whatsapp { &SUITES[..1] } else { &SUITES };
    let offered: Vec<Suite> = sender.cryptos.iter().map(|crypto| crypto.key.profile()).collect();
    let mut suites: Vec<Suite> = candidates
        .iter()
        .copied()
        .filter(|suite| match (flags.nonew && !offered.is_empty(), flags.only.is_empty()) {
            (true, _) => offered.contains(suite),
            (false, false) => names(&flags.only, *suite),
            (false, true) => !names(&flags.no, *suite),
        })
        .collect();
    let rank = |suite: &Suite| flags.order.iter().position(|name| Suite::from_name(name) == Some(*suite));
    suites.sort_by_key(|suite| (Some(*suite) != in_use, rank(suite).unwrap_or(usize::MAX)));
    if suites.is_empty() {
        return Err(NegotiationError::Flags(FlagsError::NoSuite));
    }
    Ok(suites)
}

/// The offerer's `a=crypto` line that is answered: the suite in use, else the flags' choice, else its first.
pub(crate) fn choose_crypto(
    remote: &PeerDescription,
    in_use: Option<Suite>,
    flags: &SdesFlags,
) -> Result<Crypto, NegotiationError> {
    let suite = |crypto: &Crypto| crypto.key.profile();
    let named =
        |list: &[String], crypto: &Crypto| list.iter().position(|name| Suite::from_name(name) == Some(suite(crypto)));
    if let Some(crypto) = remote.cryptos.iter().find(|crypto| Some(suite(crypto)) == in_use) {
        return Ok(crypto.clone());
    }
    remote
        .cryptos
        .iter()
        .filter(|crypto| named(&flags.no, crypto).is_none() || !flags.only.is_empty())
        // Stable: the offerer's order breaks ties (RFC 4568 5.1.2: most preferred first).
        .min_by_key(|crypto| named(&flags.offerer_pref, crypto).unwrap_or(usize::MAX))
        .cloned()
        .ok_or_else(|| unbridgeable(remote.media(), "the SDES flags forbid every suite that is offered"))
}

/// The line of an answer must have a tag of the offer, and the suite of that line (RFC 4568 5.1.3).
pub(crate) fn answered_crypto(remote: &PeerDescription, offered: &[Suite]) -> Result<Crypto, NegotiationError> {
    let found = remote.cryptos.iter().find(|crypto| {
        let line = (crypto.tag as usize).checked_sub(1).and_then(|index| offered.get(index));
        line == Some(&crypto.key.profile())
    });
    found.cloned().ok_or_else(|| {
        let line = remote.media().attribute("crypto").map_or(&remote.media().line, |attribute| attribute.line);
        let reason = "no a=crypto has tag and suite of a line that was offered";
        NegotiationError::Sdp(PeerDescriptionError::Unbridgeable(line.error(reason)))
    })
}
