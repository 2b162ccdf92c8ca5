//! Taking an answer in and answering with it.

use std::sync::Arc;
use trestle_ng::command::Switch;

use trestle_core::plan::DtlsRole;

use super::describe::Said;
use super::description::Description;
use super::error::unbridgeable;
use super::exchange::{Exchange, whatsapp_is_fixed};
use super::party::Party;
use super::session::Step;
use super::{NegotiationError, codecs, profile, transport};
use trestle_ng::command::flags::ProfileName;
use trestle_sdp::{Crypto, Setup};
use trestle_sdp::{Remote, Security};

impl Exchange<'_> {
    pub(super) fn answer(mut self) -> Result<Step, NegotiationError> {
        let flags = self.flags();
        let offerer = self
            .session
            .index_of_tag(&self.signal.from_tag)
            .ok_or_else(|| self.session.unknown_tag(&self.signal.from_tag))?;
        let answerer = self.answering_party(offerer)?;
        let party = &self.session.parties[answerer];
        let prefer_sdes = party.security == Security::Sdes;
        let remote = Arc::new(Remote::read(&self.signal.sdp, &party.told_formats, prefer_sdes)?);
        if party.is_fixed() && party.remote.as_ref().is_some_and(|known| known.text != remote.text) {
            return Err(whatsapp_is_fixed("answers"));
        }
        if remote.rtp.port() == 0 && !party.answered {
            return Err(unbridgeable(remote.media(), "the audio is refused (port 0)"));
        }
        self.check_family(answerer, &remote)?;
        self.refuse_echoed_keys(&remote)?;
        self.take_flags(answerer);
        self.name_answerer(answerer);
        self.pair(offerer, answerer, true);
        self.label_receiver(offerer);

        let party = &mut self.session.parties[answerer];
        if profile::of_sender(&remote) == ProfileName::Whatsapp {
            // Offered to as a browser, answers as Meta: from now on Meta's rules.
            party.profile = ProfileName::Whatsapp;
        }
        self.take_presence(&[offerer, answerer]);
        let party = &mut self.session.parties[answerer];
        if !party.is_fixed() {
            transport::take_answer(party, &remote)?;
        }
        let choice = codecs::choose(&self.session.parties[offerer], &self.session.parties[answerer], &remote, flags)?;
        let party = &mut self.session.parties[answerer];
        codecs::settle_answerer(party, &remote, &choice.to_answerer, &flags.codec);
        party.remote = Some(remote.clone());
        party.answered = true;

        let description = self.describe_answer(offerer, choice, remote)?;
        self.finish(&[answerer, offerer], description)
    }

    /// The party that answers: by to-tag, else by via-branch, else whoever has not been named, else whoever was offered
    /// to last, of which this is a fork further down the road.
    fn answering_party(&self, offerer: usize) -> Result<usize, NegotiationError> {
        let leg = self.session.parties[offerer].leg;
        let tag = self.signal.to_tag.as_deref().unwrap_or_default();
        let of_offerer = |index: &usize| self.session.parties[*index].offered_by == Some(leg);
        let by_tag = self.session.index_of_tag(tag).filter(|index| *index != offerer);
        if self.session.index_of_tag(tag) == Some(offerer) {
            let reason = "from-tag and to-tag name the same party; from-tag is the offerer, to-tag the answerer";
            return Err(NegotiationError::OutOfPlace(reason.to_owned()));
        }
        let by_branch = || {
            let branch = self.signal.via_branch.as_ref()?;
            let matches = |party: &Party| party.offered_by == Some(leg) && party.via_branch.as_ref() == Some(branch);
            self.session.parties.iter().position(matches)
        };
        let last = || self.session.parties.iter().rposition(|party| party.offered_by == Some(leg));
        let index =
            by_tag.or_else(by_branch).or_else(|| self.nameless_callee_of(offerer)).or_else(last).ok_or_else(|| {
                NegotiationError::OutOfPlace(format!(
                    "nobody was offered what \"{}\" said; the offer comes first",
                    self.signal.from_tag.escape_debug()
                ))
            })?;
        if !of_offerer(&index) || self.session.parties[index].told.is_none() {
            return Err(NegotiationError::OutOfPlace(format!(
                "\"{}\" was offered nothing by \"{}\"",
                tag.escape_debug(),
                self.signal.from_tag.escape_debug()
            )));
        }
        Ok(index)
    }

    fn name_answerer(&mut self, answerer: usize) {
        let Some(tag) = self.signal.to_tag.clone() else { return };
        let party = &mut self.session.parties[answerer];
        if party.has_tag(&tag) {
            return;
        }
        if self.signal.flags.has(Switch::NewBranch) {
            // Its port is the one that was offered, so it is the same leg; but the earlier name is let go of.
            party.tags.clear();
        }
        // Forks beyond this are not told apart any more; the newest names count.
        if party.tags.len() == 8 {
            party.tags.remove(1);
        }
        party.tags.push(tag);
    }

    fn describe_answer(
        &mut self,
        offerer: usize,
        choice: codecs::Choice,
        remote: Arc<Remote>,
    ) -> Result<Description, NegotiationError> {
        let flags = self.flags();
        let party = &self.session.parties[offerer];
        let own =
            party.remote.clone().ok_or_else(|| NegotiationError::OutOfPlace("it has offered nothing".to_owned()))?;
        if let Some(wanted) = flags.transport_protocol.filter(|wanted| *wanted != party.protocol) {
            self.warnings.push(format!(
                "transport-protocol={} ignored: an answer keeps the offer's {}",
                wanted.as_str(),
                party.protocol.as_str()
            ));
        }
        let codecs::Choice { answer, to_offerer, .. } = choice;
        let event = answer.iter().find(|format| format.event_clock().is_some()).cloned();
        // The encoder obeys what the offerer said of its decoder, not what it is told of the other side's.
        let own_format = own.formats.iter().find(|format| format.pt == to_offerer.pt).unwrap_or(&to_offerer);
        let send = codecs::send_format(party, &own, own_format, event.as_ref(), &flags.codec);
        let whatsapp = party.profile == ProfileName::Whatsapp;
        let receive = codecs::receive(&answer, &own.formats, whatsapp);
        let fixed = party.is_fixed();
        let party = &mut self.session.parties[offerer];
        party.send = Some(send);
        (party.receive, party.receive_events) = receive;
        if fixed {
            return self.told(offerer);
        }
        let (setup, role) = match party.dtls_role {
            DtlsRole::Server => (Setup::Passive, DtlsRole::Server),
            DtlsRole::Client => (Setup::Active, DtlsRole::Client),
            DtlsRole::Either => transport::answer_setup(own.setup, party.profile, flags.dtls.mode),
        };
        party.dtls_role = role;
        let mut cryptos = Vec::new();
        if party.security == Security::Sdes
            && let Some(crypto) = party.crypto.and_then(|index| own.cryptos.get(index))
        {
            let key = party.secrets.key(crypto.key.profile(), self.rng);
            cryptos.push(Crypto::text(crypto.tag, &key, flags.sdes.pad, flags.sdes.lifetime));
        }
        party.told_formats = answer;
        let draft = Said {
            cryptos,
            direction: if flags.has(Switch::OriginalSendrecv) {
                remote.direction
            } else {
                remote.direction.within(own.direction)
            },
            setup: Some(setup),
            rtcp_mux: party.rtcp_mux,
            offering: false,
            ptime_ms: party.ptime_ms.or(remote.ptime_ms),
            base: remote,
        };
        let description = self.describe(offerer, draft)?;
        self.session.parties[offerer].answered = true;
        Ok(description)
    }
}
