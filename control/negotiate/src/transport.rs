//! Addresses, keys and roles of one leg.

use std::net::{IpAddr, SocketAddr};
use trestle_ng::command::Switch;

use trestle_core::plan::{DtlsRole, LatchPolicy, RtpPeer, Transport, WebRtcPlan, WebRtcRemote};
use trestle_srtp::Profile as Suite;

use super::NegotiationError;
use super::error::unbridgeable;
use super::party::Party;
use trestle_ng::command::Signal;
use trestle_ng::command::flags::{DtlsFlag, EndpointLearning, ProfileName, SdesFlags};
use trestle_sdp::{Crypto, Setup};
use trestle_sdp::{Remote, Security};

/// Suites that we offer, in this order. AES-128 with 80-bit tags first: every phone has it, and some take the first line
/// or none. Short tags last: for peers that have nothing else.
const SUITES: [Suite; 6] = [
    Suite::AesCm128HmacSha1_80,
    Suite::AeadAes256Gcm,
    Suite::AeadAes128Gcm,
    Suite::AesCm256HmacSha1_80,
    Suite::AesCm128HmacSha1_32,
    Suite::AesCm256HmacSha1_32,
];

/// How the sender of `signal` is latched onto, and where its media is if its SDP is not to be believed.
pub(crate) fn latch(signal: &Signal) -> (LatchPolicy, Option<IpAddr>) {
    let flags = &signal.flags;
    let source = if flags.has(Switch::SipSourceAddress) { signal.received_from } else { None };
    let address = flags.routing.media_address.or(source);
    let policy = match (address, flags.routing.endpoint_learning) {
        (_, EndpointLearning::Off) => LatchPolicy::Exact,
        _ if flags.has(Switch::Asymmetric) => LatchPolicy::Asymmetric,
        (Some(address), _) => LatchPolicy::Ip(address),
        (None, EndpointLearning::Immediate) => LatchPolicy::Any,
        // The engine's SameIp fixes the port with the first valid packet and drops the rest: what `strict-source` asks for.
        (None, _) => LatchPolicy::SameIp,
    };
    (policy, address)
}

/// The leg's transport as it stands.
pub(crate) fn plan(party: &Party) -> Transport {
    if let Some(trunk) = &party.trunk {
        return trunk.transport();
    }
    match party.security {
        Security::Plain => Transport::Plain(rtp_peer(party)),
        Security::Sdes => {
            let crypto = party.remote.as_ref().zip(party.crypto).and_then(|(remote, index)| remote.cryptos.get(index));
            let send_key = crypto.and_then(|crypto| party.secrets.known_key(crypto.key.profile()));
            Transport::Sdes {
                peer: rtp_peer(party),
                send_key,
                receive_key: crypto.map(|crypto| crypto.key.clone()),
                receive_mki_len: crypto.map_or(0, |crypto| crypto.mki_len),
            }
        }
        Security::Dtls => Transport::WebRtc(WebRtcPlan {
            local: party.secrets.ice.clone(),
            remote: party.remote.as_ref().and_then(|remote| web_rtc_remote(party, remote)),
            dtls_role: party.dtls_role,
        }),
    }
}

fn web_rtc_remote(party: &Party, remote: &Remote) -> Option<WebRtcRemote> {
    let ice = remote.ice.as_ref()?;
    Some(WebRtcRemote {
        credentials: ice.credentials.clone(),
        candidates: remote.candidates(party.ipv6),
        lite: ice.lite,
        // RFC 8445 6.1.1: the offerer controls, but a full agent always controls a lite one.
        controlling: party.we_offered || ice.lite,
        fingerprint: ice.fingerprint.clone(),
    })
}

fn rtp_peer(party: &Party) -> RtpPeer {
    let mut peer = RtpPeer { rtp: None, rtcp: None, latch: party.latch };
    if let Some(remote) = &party.remote
        && remote.rtp.port() != 0
        && let Some(address) = party.media_address.or_else(|| remote.address())
    {
        // An address that was put in place of the SDP's holds for RTCP too, unless RTCP was told to go elsewhere.
        let rtcp_ip = if remote.rtcp.ip() == remote.rtp.ip() { address } else { remote.rtcp.ip() };
        peer.rtp = Some(SocketAddr::new(address, remote.rtp.port()));
        peer.rtcp = Some(SocketAddr::new(rtcp_ip, remote.rtcp.port()));
    }
    peer
}

/// Which suites a receiver is offered.
pub(crate) fn suites_to_offer(
    profile: ProfileName,
    sender: &Remote,
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
    suites.sort_by_key(|suite| rank(suite).unwrap_or(usize::MAX));
    if suites.is_empty() {
        return Err(NegotiationError::Flags("the SDES flags leave no suite to offer".to_owned()));
    }
    Ok(suites)
}

/// Which of an offerer's `a=crypto` lines we answer: the suite that is in use, else the flags' choice, else its first.
pub(crate) fn choose_crypto(
    remote: &Remote,
    in_use: Option<Suite>,
    flags: &SdesFlags,
) -> Result<usize, NegotiationError> {
    let suite = |crypto: &Crypto| crypto.key.profile();
    let named =
        |list: &[String], crypto: &Crypto| list.iter().position(|name| Suite::from_name(name) == Some(suite(crypto)));
    if let Some(index) = remote.cryptos.iter().position(|crypto| Some(suite(crypto)) == in_use) {
        return Ok(index);
    }
    remote
        .cryptos
        .iter()
        .enumerate()
        .filter(|(_, crypto)| named(&flags.no, crypto).is_none() || !flags.only.is_empty())
        // Stable: the offerer's order breaks ties (RFC 4568 5.1.2: most preferred first).
        .min_by_key(|(_, crypto)| named(&flags.offerer_pref, crypto).unwrap_or(usize::MAX))
        .map(|(index, _)| index)
        .ok_or_else(|| unbridgeable(remote.media(), "the SDES flags forbid every suite that is offered"))
}

/// `a=setup` of an answer to `offered`, and the role it gives us (RFC 5763 section 5).
///
/// Active if we may choose, so that the ClientHello goes with the first valid pair; nothing said counts as `actpass`.
pub(crate) fn answer_setup(offered: Option<Setup>, profile: ProfileName, flag: DtlsFlag) -> (Setup, DtlsRole) {
    let passive = flag == DtlsFlag::Passive && profile != ProfileName::Whatsapp;
    match offered {
        Some(Setup::Active) => (Setup::Passive, DtlsRole::Server),
        Some(Setup::Passive) => (Setup::Active, DtlsRole::Client),
        Some(Setup::ActPass) | None if passive => (Setup::Passive, DtlsRole::Server),
        Some(Setup::ActPass) | None => (Setup::Active, DtlsRole::Client),
    }
}

/// Our role by the answer to our `actpass`. `actpass` is no answer (RFC 5763 section 5), but Meta gives it at times.
pub(crate) fn role_by_answer(answered: Option<Setup>) -> DtlsRole {
    match answered {
        Some(Setup::Active) => DtlsRole::Server,
        Some(Setup::Passive) => DtlsRole::Client,
        Some(Setup::ActPass) | None => DtlsRole::Either,
    }
}

/// Checks an answer against what we offered, and takes keys, role and multiplexing from it.
pub(crate) fn take_answer(party: &mut Party, remote: &Remote) -> Result<(), NegotiationError> {
    let media = remote.media();
    if remote.security != party.security {
        // Weaker would be a downgrade (RFC 4568 section 7, RFC 5763 section 5), stronger nothing that we prepared.
        let offered = party.protocol.as_str();
        return Err(unbridgeable(
            media,
            format!("{offered} was offered; an answer cannot change how media is secured"),
        ));
    }
    match party.security {
        Security::Plain => {}
        Security::Sdes => party.crypto = Some(answered_crypto(party, remote)?),
        Security::Dtls if party.dtls_role == DtlsRole::Either => party.dtls_role = role_by_answer(remote.setup),
        Security::Dtls => {}
    }
    party.rtcp_mux = party.rtcp_mux || remote.rtcp_mux;
    Ok(())
}

/// The line of an answer must have a tag of the offer and the suite that stood there (RFC 4568 5.1.3).
fn answered_crypto(party: &Party, remote: &Remote) -> Result<usize, NegotiationError> {
    let found = remote.cryptos.iter().position(|crypto| {
        let offered = (crypto.tag as usize).checked_sub(1).and_then(|index| party.offered_suites.get(index));
        offered == Some(&crypto.key.profile())
    });
    found.ok_or_else(|| {
        let line = remote.media().attribute("crypto").map_or(&remote.media().line, |attribute| attribute.line);
        let reason = "no a=crypto has tag and suite of a line that was offered";
        NegotiationError::Sdp(trestle_sdp::RemoteError::Unbridgeable(line.error(reason)))
    })
}
