//! `statistics`: the counters of the controller and of every shard, summed.

use std::collections::BTreeSet;

use trestle_core::report::{Count, Totals};
use trestle_core::{Command, Discard, Reply as EngineReply, RequestId};

use super::call::ReplyTo;
use super::{Controller, Output};
use crate::ended::EndedBy;
use trestle_ng::{Dict, Reply};

/// `statistics` requests in work at a time.
const COLLECTIONS_MAX: usize = 8;

/// A request that waits for shards.
#[derive(Debug)]
pub(super) struct Collection {
    reply_to: ReplyTo,
    waiting: BTreeSet<RequestId>,
    totals: Totals,
}

impl Controller {
    pub(super) fn statistics(&mut self, reply_to: ReplyTo) {
        if self.collections.len() == COLLECTIONS_MAX {
            return self.answer(reply_to, Reply::error("Busy: too many requests for statistics"));
        }
        let mut waiting = BTreeSet::new();
        for shard in 0..self.config.shards.max(1) {
            let id = self.next_request_id();
            waiting.insert(id);
            self.outputs.push_back(Output::Engine { shard, id, command: Command::Totals });
        }
        self.collections.push(Collection { reply_to, waiting, totals: Totals::default() });
    }

    /// Takes a shard's counters in; `None` if it has no time to tell. False if nobody waits for this reply.
    pub(super) fn collect(&mut self, id: RequestId, reply: Option<&EngineReply>) -> bool {
        let Some(index) = self.collections.iter().position(|collection| collection.waiting.contains(&id)) else {
            return false;
        };
        let collection = &mut self.collections[index];
        collection.waiting.remove(&id);
        match reply {
            Some(EngineReply::Totals(totals)) => add(&mut collection.totals, totals),
            _ => collection.reply_to.warnings.push("a media thread did not answer; its share is missing".to_owned()),
        }
        if collection.waiting.is_empty() {
            let Collection { reply_to, totals, .. } = self.collections.swap_remove(index);
            let reply = Reply::ok(Dict::default().with("statistics", self.tree(&totals)));
            self.answer(reply_to, reply);
        }
        true
    }

    /// The part of rtpengine's tree that there is an honest number for, and what was discarded.
    fn tree(&self, totals: &Totals) -> Dict {
        let counters = self.counters();
        let current = Dict::default()
            .with("sessionsown", counters.calls as u64)
            .with("sessionstotal", counters.calls as u64)
            .with("legs", totals.legs)
            .with("overloaded", u64::from(counters.overloaded.is_some()))
            .with("medialatenessus", u64::try_from(counters.load.lateness.as_micros()).unwrap_or(u64::MAX));
        let total = Dict::default()
            .with("managedsessions", counters.calls_total)
            .with("rejectedsessions", counters.rejected.iter().map(|(_, count)| count).sum::<u64>())
            .with("timeoutsessions", counters.ended.get(EndedBy::MediaTimeout))
            .with("silenttimeoutsessions", counters.ended.get(EndedBy::SilentTimeout))
            .with("offertimeoutsessions", counters.ended.get(EndedBy::OfferTimeout))
            .with("regularterminatedsessions", counters.ended.get(EndedBy::Deleted))
            .with("failedsessions", counters.ended.get(EndedBy::Failed))
            .with("relayedpackets", totals.rtp_out.packets)
            .with("relayedbytes", totals.rtp_out.bytes)
            .with("receivedpackets", totals.rtp_in.packets)
            .with("receivedbytes", totals.rtp_in.bytes)
            .with("transcodedframes", totals.transcoded_frames)
            .with("concealedframes", totals.concealed_frames)
            .with("digits", totals.digits);
        let mut control = Dict::default();
        for (verb, count) in counters.requests.iter() {
            control.push(verb, count);
        }
        control.push("errors", counters.errors.iter().map(|(_, count)| count).sum::<u64>());
        control.push("retransmits", counters.retransmits);
        let mut discards = Dict::default();
        for reason in Discard::ALL {
            let count = totals.discards.get(reason);
            if count > 0 {
                discards.push(reason.name(), count);
            }
        }
        Dict::default()
            .with("currentstatistics", current)
            .with("totalstatistics", total)
            .with("controlstatistics", control)
            .with("discards", discards)
    }
}

fn add(sum: &mut Totals, shard: &Totals) {
    let count = |sum: &mut Count, shard: Count| {
        sum.packets += shard.packets;
        sum.bytes += shard.bytes;
    };
    sum.calls += shard.calls;
    sum.legs += shard.legs;
    sum.calls_total += shard.calls_total;
    count(&mut sum.rtp_in, shard.rtp_in);
    count(&mut sum.rtp_out, shard.rtp_out);
    count(&mut sum.rtcp_in, shard.rtcp_in);
    count(&mut sum.rtcp_out, shard.rtcp_out);
    sum.discards.merge(&shard.discards);
    sum.digits += shard.digits;
    sum.concealed_frames += shard.concealed_frames;
    sum.transcoded_frames += shard.transcoded_frames;
    sum.calls_failed += shard.calls_failed;
    sum.opus_steps_down += shard.opus_steps_down;
    sum.opus_steps_up += shard.opus_steps_up;
}
