//! From what was settled to the text that a party gets.

use std::net::IpAddr;
use std::sync::Arc;
use trestle_ng::command::Switch;

use super::description::Description;
use super::exchange::Exchange;
use super::party::Party;
use super::write_sip::Draft;
use super::{NegotiationError, write_meta, write_sip};
use trestle_ng::command::flags::ProfileName;
use trestle_sdp::{Direction, Setup};
use trestle_sdp::{Remote, Security};

/// What a description says beyond what its party is.
pub(super) struct Said {
    pub(super) base: Arc<Remote>,
    pub(super) cryptos: Vec<String>,
    pub(super) direction: Direction,
    pub(super) setup: Option<Setup>,
    pub(super) rtcp_mux: bool,
    pub(super) offering: bool,
    pub(super) ptime_ms: Option<u32>,
}

impl Exchange<'_> {
    /// Writes, counting the version up if the text is not what this party was told before.
    pub(super) fn describe(&mut self, index: usize, input: Said) -> Result<Description, NegotiationError> {
        let party = &self.session.parties[index];
        let address = self
            .environment
            .advertised(party.interface, party.ipv6)
            .ok_or_else(|| NegotiationError::Flags("the interface has no address of this family".to_owned()))?;
        let flags = self.flags();
        let own = party.remote();
        let web = party.profile != ProfileName::Sip;
        // In an answer our mid is the offer's (RFC 8843 7.3.1); in an offer it is ours to choose.
        let mid = match own.and_then(|remote| remote.mid.clone()) {
            Some(mid) => Some(mid),
            None if web && (input.offering || party.profile == ProfileName::Whatsapp) => {
                Some(input.base.mid.clone().unwrap_or_else(|| "audio".to_owned()))
            }
            None if input.offering && flags.has(Switch::GenerateMid) => Some("audio".to_owned()),
            None => None,
        };
        let bundle = mid.is_some()
            && !flags.bundle.reject
            && match own {
                Some(remote) if !input.offering => remote.bundled,
                _ => web || flags.bundle.offer || flags.bundle.require,
            };
        let formats = party.told_formats.clone();
        let write = |party: &Party| {
            let draft = Draft {
                base: &input.base,
                party,
                address,
                fingerprint: &self.environment.fingerprint,
                formats: &formats,
                direction: input.direction,
                setup: (party.security == Security::Dtls).then_some(input.setup).flatten(),
                cryptos: input.cryptos.clone(),
                ptime_ms: input.ptime_ms,
                rtcp_mux: input.rtcp_mux,
                mid: mid.clone(),
                bundle,
                flags,
            };
            match party.profile {
                ProfileName::Whatsapp => write_meta::write(&draft),
                ProfileName::Sip | ProfileName::Webrtc => write_sip::write(&draft),
            }
        };
        let mut description = write(party);
        let changed = party.told.as_ref().is_some_and(|told| *told != description);
        if changed || (party.told.is_some() && flags.replace.force_increment_sdp_version) {
            self.session.parties[index].version += 1;
            description = write(&self.session.parties[index]);
        }
        if party_is_private(&self.session.parties[index], address) {
            self.warnings.push(format!("WhatsApp cannot reach {address}: configure the interface as LOCAL!PUBLIC"));
        }
        self.session.parties[index].told = Some(description.clone());
        Ok(description)
    }

    pub(super) fn told(&self, index: usize) -> Result<Description, NegotiationError> {
        let told = self.session.parties[index].told.clone();
        told.ok_or_else(|| NegotiationError::OutOfPlace("nothing was said to this party yet".to_owned()))
    }
}

fn party_is_private(party: &Party, address: IpAddr) -> bool {
    let private = match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    };
    party.profile == ProfileName::Whatsapp && private
}
