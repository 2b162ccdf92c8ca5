//! The verb `statistics`: its reply has the sums of the counters of the controller and of all shards.

use std::collections::BTreeSet;

use trestle_core::report::{Count, Totals};
use trestle_core::{Command, Discard, EngineReply, RequestId};
use trestle_ng::{Dict, Reply};

use super::Controller;
use super::counters::ControllerCounters;
use super::reply_to::ReplyTo;
use crate::ended::EndedBy;

/// `statistics` requests that may wait for shards at the same time.
const REQUESTS_MAX: usize = 8;

/// `statistics` requests that wait for shards.
#[derive(Debug, Default)]
pub(super) struct StatisticsRequests(Vec<StatisticsRequest>);

#[derive(Debug)]
struct StatisticsRequest {
    reply_to: ReplyTo,
    waiting: BTreeSet<RequestId>,
    totals: Totals,
}

/// The effect of a reply of a shard on the pending requests.
#[derive(Debug)]
pub(super) enum Collected {
    /// The reply belongs to none of them.
    NotAwaited,
    /// Other shards have not replied yet.
    Waiting,
    /// All shards have replied or failed to reply.
    Complete(ReplyTo, Box<Totals>),
}

impl StatisticsRequests {
    /// Adds the counters of a shard. `reply` is `None` if the mailbox of the shard was full.
    pub(super) fn collect(&mut self, id: RequestId, reply: Option<&EngineReply>) -> Collected {
        let Some(index) = self.0.iter().position(|request| request.waiting.contains(&id)) else {
            return Collected::NotAwaited;
        };
        let request = &mut self.0[index];
        request.waiting.remove(&id);
        match reply {
            Some(EngineReply::Totals(totals)) => add(&mut request.totals, totals),
            _ => request.reply_to.warnings.push("a media thread did not reply; its counters are missing".to_owned()),
        }
        if !request.waiting.is_empty() {
            return Collected::Waiting;
        }
        let StatisticsRequest { reply_to, totals, .. } = self.0.swap_remove(index);
        Collected::Complete(reply_to, Box::new(totals))
    }
}

/// Handles the verb `statistics`: asks all shards for their counters.
pub(super) fn statistics(controller: &mut Controller, reply_to: ReplyTo) {
    if controller.statistics.0.len() == REQUESTS_MAX {
        return controller.reply(reply_to, Reply::error("Busy: too many requests for statistics"));
    }
    let shards = 0..controller.calls.shards();
    let waiting = shards.map(|shard| controller.post(shard, Command::Totals)).collect();
    controller.statistics.0.push(StatisticsRequest { reply_to, waiting, totals: Totals::default() });
}

/// The reply: the keys of rtpengine that Trestle can fill, in rtpengine's spelling, and keys of Trestle in kebab-case.
pub(super) fn tree(counters: &ControllerCounters, totals: &Totals) -> Dict {
    let current = Dict::default()
        .with("sessionsown", counters.calls as u64)
        .with("sessionstotal", counters.calls as u64)
        .with("legs", totals.legs)
        .with("overloaded", u64::from(counters.overloaded.is_some()))
        .with("media-lateness-us", u64::try_from(counters.load.lateness.as_micros()).unwrap_or(u64::MAX));
    let total = Dict::default()
        .with("managedsessions", counters.calls_total)
        .with("rejectedsessions", counters.rejected.iter().map(|(_, count)| count).sum::<u64>())
        .with("timeoutsessions", counters.ended.get(EndedBy::MediaTimeout))
        .with("silenttimeoutsessions", counters.ended.get(EndedBy::SilentTimeout))
        .with("offertimeoutsessions", counters.ended.get(EndedBy::OfferTimeout))
        .with("regularterminatedsessions", counters.ended.get(EndedBy::Deleted))
        .with("failed-sessions", counters.ended.get(EndedBy::Failed))
        .with("relayedpackets", totals.rtp_out.packets)
        .with("relayedbytes", totals.rtp_out.bytes)
        .with("received-packets", totals.rtp_in.packets)
        .with("received-bytes", totals.rtp_in.bytes)
        .with("transcoded-frames", totals.transcoded_frames)
        .with("concealed-frames", totals.concealed_frames)
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
