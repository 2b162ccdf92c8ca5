//! One party alone: we make the offer, it answers, and who it talks to is said later (`connect`).

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::error::unbridgeable;
use super::exchange::{Exchange, whatsapp_is_fixed};
use super::session::Step;
use super::write_sip::family;
use super::{NegotiationError, codecs, profile, transport};
use trestle_ng::command::flags::ProfileName;
use trestle_sdp::Remote;

impl Exchange<'_> {
    /// An offer of our own for the party of from-tag.
    pub(super) fn create(mut self) -> Result<Step, NegotiationError> {
        let known = self.session.index_of_tag(&self.signal.from_tag);
        if let Some(index) = known.filter(|index| self.session.parties[*index].answered) {
            let tag = self.session.parties[index].tags[0].escape_debug().to_string();
            return Err(NegotiationError::OutOfPlace(format!("\"{tag}\" has answered; use offer to offer again")));
        }
        let all = Remote::read(&everything_we_speak(0, Ipv4Addr::LOCALHOST.into()), &[], false)?;
        let outgoing = profile::of_receiver(&all, ProfileName::Sip, self.flags())?;
        let interface = self.interface(1)?;
        let same = known.filter(|index| {
            let party = &self.session.parties[*index];
            (party.profile, party.protocol, party.security, party.interface)
                == (outgoing.profile, outgoing.protocol, outgoing.security, interface)
        });
        let index = match (same, known) {
            (Some(index), _) => index,
            (None, Some(index)) => {
                // Another try, with something else; nothing was agreed.
                let leg = self.session.parties[index].leg;
                self.remove_leg(leg);
                self.new_callee(outgoing, None, false)?
            }
            (None, None) => self.new_callee(outgoing, None, false)?,
        };
        let party = &mut self.session.parties[index];
        if !party.has_tag(&self.signal.from_tag) {
            party.tags.insert(0, self.signal.from_tag.clone());
        }
        self.take_flags(index);
        self.take_presence(&[index]);
        // In our own name.
        let party = &self.session.parties[index];
        let address = self.environment.advertised(party.interface, party.ipv6).unwrap_or(Ipv4Addr::LOCALHOST.into());
        let all = Remote::read(&everything_we_speak(party.secrets.session_id, address), &[], false)?;
        let all = Arc::new(all);
        let description = self.describe_offer(&all, ProfileName::Sip, index)?;
        self.finish(&[index], description)
    }

    /// Its answer.
    pub(super) fn create_answer(mut self) -> Result<Step, NegotiationError> {
        let tag = &self.signal.from_tag;
        let index = self.session.index_of_tag(tag).ok_or_else(|| self.session.unknown_tag(tag))?;
        let party = &self.session.parties[index];
        if party.offered_by.is_some() || !party.we_offered {
            let tag = tag.escape_debug();
            return Err(NegotiationError::OutOfPlace(format!("\"{tag}\" was not made by create; use answer")));
        }
        let remote =
            Remote::read(&self.signal.sdp, &party.told_formats, party.security == trestle_sdp::Security::Sdes)?;
        if party.is_fixed() && party.remote.as_ref().is_some_and(|known| known.text != remote.text) {
            return Err(whatsapp_is_fixed("answers"));
        }
        if remote.rtp.port() == 0 && !party.answered {
            return Err(unbridgeable(remote.media(), "the audio is refused (port 0)"));
        }
        self.check_family(index, &remote)?;
        self.refuse_echoed_keys(&remote)?;
        self.take_flags(index);

        let flags = self.flags();
        let party = &mut self.session.parties[index];
        if profile::of_sender(&remote) == ProfileName::Whatsapp {
            party.profile = ProfileName::Whatsapp;
        }
        self.take_presence(&[index]);
        let party = &mut self.session.parties[index];
        if !party.is_fixed() {
            transport::take_answer(party, &remote)?;
        }
        let format = codecs::first_accepted(&party.told_formats, &remote)?;
        codecs::settle_answerer(party, &remote, &format, &flags.codec);
        party.remote = Some(Arc::new(remote));
        party.answered = true;
        let description = self.told(index)?;
        self.finish(&[index], description)
    }
}

/// What we offer when there is no other side to offer for.
fn everything_we_speak(session_id: u64, address: IpAddr) -> String {
    let at = format!("IN {} {address}", family(address));
    let lines = [
        "v=0",
        &format!("o=- {session_id} 1 {at}"),
        "s=-",
        &format!("c={at}"),
        "t=0 0",
        "m=audio 9 RTP/AVP 111 8 0 101",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 useinbandfec=1",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=ptime:20",
    ];
    lines.iter().flat_map(|line| [*line, "\r\n"]).collect()
}
