//! Once faults stop, audio flows both ways in each call that is up, within a second.

use std::collections::BTreeSet;

use trestle_core::CallId;
use trestle_peers::ear;

use super::court::{Court, ON_THE_WAY_MS, Party, PartyId};
use super::step::{Change, MediaVerb, Peer};

/// Virtual time after which audio must flow.
const RECOVERY_MS: u64 = 1_000;
/// How long audio is then judged.
const JUDGED_MS: u64 = 400;
/// The end of it in which the tone of the other party must have at least half of the power.
const TONE_MS: u32 = 300;
/// A change of the encoder that an Opus listener gets is not audible any more after this time.
const OPUS_CHANGE_MS: u64 = 1_000;
/// A WebRTC leg may need so long after the network is back: the DTLS machine repeats its flights at growing intervals.
const HANDSHAKE_MS: u64 = 25_000;
/// Recordings are that long; afterwards only packets are counted.
const RECORDED_MS: u64 = 100_000;

impl Court {
    /// Ends all faults, lets the signalling repair what it can, and judges every call that is up.
    pub(super) fn judge_liveness(&mut self) {
        self.end_faults();
        self.wait(ON_THE_WAY_MS);
        self.forget_ended();
        let calls: Vec<u8> = self.cases.keys().copied().collect();
        for call in &calls {
            self.repair(*call);
        }
        // A digit that was played on hold is sent afterwards.
        self.wait(self.digits.as_millis() as u64);
        self.await_handshakes();
        self.wait(RECOVERY_MS);
        self.forget_ended();
        let pairs = self.pairs();
        let before: Vec<u64> = pairs.iter().map(|(_, to)| self.packets(*to)).collect();
        let concealed = self.world.totals().concealed_frames;
        self.wait(JUDGED_MS);
        let concealed = self.world.totals().concealed_frames - concealed;
        let is_clear = self.cases.values().all(|case| !case.is_muddled);
        assert!(concealed == 0 || !is_clear, "{concealed} frames are concealed {RECOVERY_MS} ms after the last fault");
        for ((from, to), before) in pairs.iter().zip(before) {
            let packets = self.packets(*to) - before;
            assert!(packets > 0, "no audio {from:?} -> {to:?}: no packets in {JUDGED_MS} ms, {RECOVERY_MS} ms later");
            self.judged.alive += 1;
        }
        // Pre-roll is audio of before, with the holes that a stall or a network has made in it.
        let preroll = self.preroll_ms();
        self.wait(preroll);
        self.forget_ended();
        // Between two Opus peers, Trestle forwards after a second of packets in the format of the listener. Its decoder then goes on from what
        // Trestle has encoded, and a pure tone decays slowly in its prediction of the pitch.
        let (opus, others): (Vec<_>, Vec<_>) = pairs
            .into_iter()
            .partition(|(from, to)| [from, to].iter().all(|id| self.party(**id).is_some_and(Party::has_opus)));
        others.into_iter().for_each(|(from, to)| self.judge_tone(from, to));
        if !opus.is_empty() {
            self.wait(OPUS_CHANGE_MS);
            opus.into_iter().for_each(|(from, to)| self.judge_tone(from, to));
        }
    }

    /// The most audio of before the gates were opened that a leg may still be sent.
    fn preroll_ms(&mut self) -> u64 {
        let trestle = self.world.trestle();
        let calls: BTreeSet<CallId> = trestle.leg_ports().into_iter().filter_map(|at| trestle.owner(at)).collect();
        let reports = calls.into_iter().filter_map(|call| trestle.report(call));
        let prerolls = reports.flat_map(|report| report.legs).map(|leg| leg.preroll);
        prerolls
            .filter(|preroll| preroll.caught_up.is_none())
            .map(|preroll| preroll.kept.as_millis() as u64)
            .max()
            .unwrap_or(0)
    }

    fn judge_tone(&mut self, from: PartyId, to: PartyId) {
        let is_up = self.actor(from).is_some() && self.actor(to).is_some() && self.world.elapsed_ms() <= RECORDED_MS;
        let Some(sender) = self.party(from).filter(|_| is_up) else { return };
        let (hz, tag) = (sender.hz, format!("{from:?} -> {to:?}"));
        let (recorded, sample_hz) = self.recording(to);
        let last = &recorded[recorded.len().saturating_sub((sample_hz / 1_000 * TONE_MS) as usize)..];
        let level = ear::level_dbov(last);
        assert!(level > -35.0, "no audio {tag}: {level:.0} dBov");
        // Pre-roll is played faster by cuts that move the phase, and with it the frequency of a tone by a few Hz.
        let is_exact = ear::power_at(last, sample_hz, hz) >= ear::power(last) / 2.0;
        let has_opus = self.party(to).is_some_and(Party::has_opus);
        let tone = match is_exact {
            true => Some(hz),
            // Where a digit has taken the place of frames, the decoder has another memory than the encoder. A pure tone keeps that for
            // seconds, since it is what the prediction of the pitch repeats; it is the strongest one all the same.
            false if has_opus => strongest_hz(last, sample_hz),
            false => ear::tone_hz(last, sample_hz),
        };
        assert!(
            tone.is_some_and(|tone| (tone - hz).abs() < 25.0),
            "no audio {tag}: {tone:?} Hz instead of {hz} until {} ms",
            self.world.elapsed_ms()
        );
    }

    /// Undoes what requests have done to media.
    fn repair(&mut self, call: u8) {
        let Some(case) = self.cases.get(&call).filter(|case| !case.is_over) else { return };
        let (is_shut, parties) = (case.is_shut, case.parties.len());
        for verb in [MediaVerb::Unblock, MediaVerb::Unsilence, MediaVerb::UnblockDigits] {
            self.media(call, None, verb);
        }
        if is_shut {
            self.gate(call, true);
        }
        for number in 0..parties {
            self.talk((call, number), true);
            let Some(party) = self.party((call, number)) else { continue };
            if party.is_holding || party.is_moved {
                self.re_offer(call, number, Change::Resume);
            }
        }
    }

    /// Waits until each WhatsApp leg of a call that is up is connected.
    fn await_handshakes(&mut self) {
        let mut waited = 0;
        loop {
            self.forget_ended();
            let waits = self.cases.values().any(|case| {
                case.parties.iter().any(|party| {
                    matches!(party.peer, Peer::WhatsApp(_))
                        && party.talks_to.is_some()
                        && !case.is_muddled
                        && !case.is_over
                })
            });
            let metas: Vec<_> = self
                .cases
                .values()
                .filter(|case| !case.is_muddled && !case.is_over)
                .flat_map(|case| &case.parties)
                .filter(|party| matches!(party.peer, Peer::WhatsApp(_)) && party.talks_to.is_some())
                .map(|party| party.actor)
                .collect();
            if !waits || metas.into_iter().all(|meta| self.world.meta(meta).is_connected()) {
                return;
            }
            if waited >= HANDSHAKE_MS {
                // An event must explain it: `pairs` looks for one.
                return;
            }
            self.wait(100);
            waited += 100;
        }
    }

    /// Calls that Trestle has ended, each with an event.
    pub(super) fn forget_ended(&mut self) {
        let calls: Vec<u8> = self.cases.keys().copied().collect();
        for call in calls {
            if self.is_explained(call, &["call.ended"]) {
                self.over(call);
            }
        }
    }

    /// True if one of these events was published for the call.
    fn is_explained(&self, call: u8, events: &[&str]) -> bool {
        let id = &self.cases[&call].id;
        self.world.published.iter().any(|event| {
            event["call-id"] == id.as_str() && event["event"].as_str().is_some_and(|name| events.contains(&name))
        })
    }

    /// True if WhatsApp, a DTLS client whose ClientHello was lost, was sent one: it cannot complete its handshake (decision 0008, cost).
    fn is_hedged_to(&mut self, id: PartyId) -> bool {
        let Some((actor, Peer::WhatsApp(_))) = self.actor(id) else { return false };
        let meta = self.world.meta(actor);
        !meta.is_connected() && meta.report().ice.is_some_and(|ice| ice.hellos_to_client > 0)
    }

    /// Directions in which audio must flow.
    fn pairs(&mut self) -> Vec<(PartyId, PartyId)> {
        let mut pairs = Vec::new();
        let parties = self.cases.iter().flat_map(|(call, case)| (0..case.parties.len()).map(|number| (*call, number)));
        let lost: Vec<PartyId> =
            parties.collect::<Vec<PartyId>>().into_iter().filter(|id| self.is_hedged_to(*id)).collect();
        for (call, case) in &self.cases {
            for (number, party) in case.parties.iter().enumerate() {
                let Some(other) = party.talks_to else { continue };
                let legs = [(*call, number), other];
                let is_up = legs.iter().all(|id| {
                    let case = &self.cases[&id.0];
                    let party = &case.parties[id.1];
                    let is_good = !case.is_over && !case.is_muddled && !case.is_closed;
                    let is_good = is_good && !lost.contains(id);
                    is_good && !party.is_holding && !party.is_moved && party.is_answered && party.is_talking()
                });
                if is_up && !legs.iter().any(|id| self.is_explained(id.0, &["call.leg.failed"])) {
                    pairs.push((legs[0], legs[1]));
                }
            }
        }
        pairs
    }

    fn packets(&mut self, id: PartyId) -> u64 {
        let Some((actor, peer)) = self.party(id).map(|party| (party.actor, party.peer)) else { return 0 };
        match peer {
            Peer::WhatsApp(_) => self.world.meta(actor).packets_received(),
            Peer::Sip(_) => self.world.phone(actor).report().packets,
        }
    }

    fn recording(&mut self, id: PartyId) -> (Vec<i16>, u32) {
        let Some((actor, peer)) = self.party(id).map(|party| (party.actor, party.peer)) else {
            return (Vec::new(), 8_000);
        };
        match peer {
            Peer::WhatsApp(_) => (self.world.meta(actor).recording().to_vec(), 16_000),
            Peer::Sip(_) => (self.world.phone(actor).recording().to_vec(), 8_000),
        }
    }
}

/// The strongest tone of 100 to 3,600 Hz, to 5 Hz.
fn strongest_hz(pcm: &[i16], sample_hz: u32) -> Option<f64> {
    let tones = (20..720).map(|n| f64::from(n) * 5.0).map(|hz| (hz, ear::power_at(pcm, sample_hz, hz)));
    tones.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(hz, _)| hz)
}
