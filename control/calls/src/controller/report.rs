//! Replies to `query`, `delete` and `list`. Proxies read their statistics from them, so keys and structure are those of rtpengine.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use trestle_core::Discard;
use trestle_core::report::{CallReport, Count, LegReport};

use super::call::CallRecord;
use super::reply_to::ReplyTo;
use super::table::CallTable;
use crate::diagnosis::{CallVerdict, LegSummary, masked_digits, stream_quality};
use crate::events::milestone_name;
use trestle_negotiate::Party;
use trestle_ng::reply::{REPLY_BYTES, REPLY_BYTES_MAX};
use trestle_ng::{Dict, Encoding, Reply, Value};

/// The part of a call that a reply contains. Each value includes the ones before it.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Detail {
    Totals,
    Packets,
    Addresses,
    Everything,
}

/// The part of a verdict that a reply contains.
#[derive(Clone, Copy, PartialEq)]
enum VerdictDetail {
    Nothing,
    Brief,
    Full,
}

/// Contents of a reply: the part of the call, the part of the verdict, and whether the quality of streams is in it.
type Contents = (Detail, VerdictDetail, bool);

/// Contents of a long reply, in order of preference: the first that fits is sent.
const LONG: [Contents; 4] = [
    (Detail::Everything, VerdictDetail::Full, true),
    (Detail::Everything, VerdictDetail::Brief, true),
    (Detail::Addresses, VerdictDetail::Brief, true),
    (Detail::Packets, VerdictDetail::Brief, false),
];

/// Contents of a reply of one packet, in order of preference: the first that fits is sent. The keys that a client reads are more
/// important than others: proxies, which use bencode, read the quality of streams, and applications, which use JSON, the verdict.
const SHORT_BENCODE: [Contents; 7] = [
    (Detail::Addresses, VerdictDetail::Brief, true),
    (Detail::Addresses, VerdictDetail::Nothing, true),
    (Detail::Packets, VerdictDetail::Nothing, true),
    (Detail::Addresses, VerdictDetail::Nothing, false),
    (Detail::Packets, VerdictDetail::Brief, false),
    (Detail::Packets, VerdictDetail::Nothing, false),
    (Detail::Totals, VerdictDetail::Brief, false),
];
const SHORT_JSON: [Contents; 6] = [
    (Detail::Addresses, VerdictDetail::Brief, true),
    (Detail::Addresses, VerdictDetail::Brief, false),
    (Detail::Addresses, VerdictDetail::Nothing, false),
    (Detail::Packets, VerdictDetail::Brief, false),
    (Detail::Packets, VerdictDetail::Nothing, false),
    (Detail::Totals, VerdictDetail::Brief, false),
];

/// The reply to `query` and `delete`: `created`, `tags`, `totals`, `verdict`. Unless the request allows a long reply, details are
/// omitted until the reply fits into one packet.
pub(super) fn call(
    call: &CallRecord,
    report: Option<&CallReport>,
    created: Duration,
    verdict: Option<&CallVerdict>,
    reply_to: &ReplyTo,
) -> Reply {
    let (choices, limit) = match (reply_to.verbose, reply_to.encoding) {
        (true, _) => (&LONG[..], REPLY_BYTES_MAX),
        (false, Encoding::Bencode) => (&SHORT_BENCODE[..], REPLY_BYTES),
        (false, Encoding::Json) => (&SHORT_JSON[..], REPLY_BYTES),
    };
    let room = limit - reply_to.cookie.as_bytes().len() - 1;
    let fits = |reply: &Reply| {
        reply.clone().with_warnings(reply_to.warnings.iter().cloned()).write(reply_to.encoding).len() <= room
    };
    let replies = choices.iter().map(|(detail, verdict_detail, with_streams)| {
        let mut dict = keys(call, report, created, *detail);
        if let Some(verdict) = verdict
            && *with_streams
        {
            let reported_at = created + report.map_or(Duration::ZERO, |report| report.age);
            push_streams(&mut dict, report, &verdict.legs, reported_at);
        }
        Reply::ok(match (verdict_detail, verdict) {
            (VerdictDetail::Nothing, _) | (_, None) => dict,
            (VerdictDetail::Brief, Some(verdict)) => dict.with("verdict", verdict.brief()),
            (VerdictDetail::Full, Some(verdict)) => dict.with("verdict", verdict.full()),
        })
    });
    let mut fitting = replies.filter(fits);
    fitting.next().unwrap_or_else(|| Reply::ok(keys(call, report, created, Detail::Totals)))
}

/// The reply to `query` for an ended call: `created`, `totals` and the full `verdict`. With very long names it could exceed
/// [`REPLY_BYTES_MAX`]; then the parties and the timeline are omitted.
pub(super) fn verdict(created: Duration, totals: &Dict, verdict: &CallVerdict, reply_to: &ReplyTo) -> Reply {
    let with = |verdict: Dict| {
        let dict = Dict::default().with("created", created.as_secs()).with("totals", totals.clone());
        Reply::ok(dict.with("verdict", verdict))
    };
    let room = REPLY_BYTES_MAX - reply_to.cookie.as_bytes().len() - 1;
    Some(with(verdict.full()))
        .filter(|reply| reply.write(reply_to.encoding).len() <= room)
        .unwrap_or_else(|| with(verdict.headline()))
}

fn keys(call: &CallRecord, report: Option<&CallReport>, created: Duration, detail: Detail) -> Dict {
    let mut dict = Dict::default().with("created", created.as_secs());
    let legs = report.map_or(&[][..], |report| &report.legs);
    if detail > Detail::Totals {
        let mut tags = Dict::default();
        for party in call.parties() {
            if let Some(tag) = party.tags().first() {
                let leg = legs.iter().find(|leg| leg.leg == party.leg());
                tags.push(tag, party_dict(tag, party, leg, detail));
            }
        }
        dict.push("tags", tags);
    }
    dict.with("totals", totals(report))
}

/// The sums of the packets and bytes that all legs received, and of their errors.
pub(super) fn totals(report: Option<&CallReport>) -> Dict {
    let legs = report.map_or(&[][..], |report| &report.legs);
    let sum = |count: fn(&LegReport) -> Count| {
        legs.iter().map(count).fold((0, 0), |sum, count| (sum.0 + count.packets, sum.1 + count.bytes))
    };
    let rtp = sum(|leg| leg.rtp_in);
    let rtcp = sum(|leg| leg.rtcp_in);
    let errors = legs.iter().map(errors).sum();
    Dict::default().with("RTP", stats(rtp.0, rtp.1, errors)).with("RTCP", stats(rtcp.0, rtcp.1, 0))
}

fn party_dict(tag: &str, party: &Party, leg: Option<&LegReport>, detail: Detail) -> Dict {
    let mut dict = Dict::default().with("tag", tag);
    if let Some(label) = party.label() {
        dict.push("label", label);
    }
    let Some(leg) = leg else { return dict };
    let protocol = party.protocol().as_str();
    let mut stream = Dict::default();
    if detail >= Detail::Addresses {
        stream.push("local port", u64::from(leg.local.port()));
        if let Some(remote) = leg.remote {
            stream.push("endpoint", endpoint(remote));
        }
    }
    if let Some(ssrc) = leg.remote_ssrc {
        stream.push("SSRC", u64::from(ssrc.0));
    }
    stream.push("stats", stats(leg.rtp_in.packets, leg.rtp_in.bytes, errors(leg)));
    stream.push("stats_out", stats(leg.rtp_out.packets, leg.rtp_out.bytes, 0));
    let media = Dict::default().with("index", 1u64).with("type", "audio").with("protocol", protocol);
    let media = media.with("streams", vec![stream.into()]);
    dict.push("medias", vec![Value::Dict(media)]);
    if detail == Detail::Everything {
        dict.push("leg", leg_dict(leg));
    }
    dict
}

/// Adds `SSRC`: the quality of each peer's stream by its SSRC, in the form that proxies read their MOS variables from. Trestle has one
/// sample of a stream, the whole call.
fn push_streams(dict: &mut Dict, report: Option<&CallReport>, legs: &[LegSummary], reported_at: Duration) {
    let mut streams = Dict::default();
    for leg in report.map_or(&[][..], |report| &report.legs) {
        let codec = legs.iter().find(|summary| summary.leg == leg.leg).and_then(|summary| summary.codec);
        let quality = codec.and_then(|codec| stream_quality(leg, codec));
        let (Some(ssrc), Some((quality, loss_permille))) = (leg.remote_ssrc, quality) else { continue };
        let mut sample = Dict::default().with("MOS", u64::from(quality.mos_x10));
        if let Some(round_trip) = leg.round_trip {
            sample.push("round-trip time", u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX));
        }
        let sample = sample.with("jitter", ms(leg.jitter)).with("packet loss", u64::from(loss_permille / 10));
        let extreme = sample.clone().with("reported at", reported_at.as_secs());
        let stream = Dict::default().with("average MOS", sample.with("samples", 1_u64));
        streams.push(&ssrc.0.to_string(), stream.with("lowest MOS", extreme.clone()).with("highest MOS", extreme));
    }
    if !streams.0.is_empty() {
        dict.push("SSRC", streams);
    }
}

/// The value of `leg`, a key that rtpengine does not have.
fn leg_dict(leg: &LegReport) -> Dict {
    let mut timeline = Dict::default();
    for (milestone, after) in &leg.timeline {
        timeline.push(milestone_name(*milestone), ms(*after));
    }
    let mut discards = Dict::default();
    for (reason, count) in &leg.discards {
        discards.push(reason.name(), *count);
    }
    let mut dict = Dict::default()
        .with("description", leg.description.as_str())
        .with("timeline-ms", timeline)
        .with("local-ssrc", u64::from(leg.local_ssrc.0))
        .with("packets-lost", Value::Integer(leg.lost))
        .with("jitter-us", u64::try_from(leg.jitter.as_micros()).unwrap_or(u64::MAX))
        .with("playout-delay-ms", ms(leg.playout_delay))
        .with("concealed-frames", leg.concealed_frames)
        .with("filled-frames", leg.filled_frames)
        .with("pre-roll-ms", ms(leg.preroll.kept))
        .with("clipped-ms", ms(leg.preroll.clipped))
        .with("digits-in", masked_digits(&leg.digits_in))
        .with("digits-out", masked_digits(&leg.digits_out))
        .with("discards", discards);
    if let Some(caught_up) = leg.preroll.caught_up {
        dict.push("caught-up-ms", ms(caught_up));
    }
    if let Some(round_trip) = leg.round_trip {
        dict.push("round-trip-us", u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX));
    }
    if let Some(lost) = leg.remote_fraction_lost {
        dict.push("remote-loss-percent", u64::from(lost) * 100 / 256);
    }
    dict
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn endpoint(remote: SocketAddr) -> Dict {
    // A socket bound to `::` reports IPv4 peers as mapped addresses. The reply has the IPv4 address.
    let address = remote.ip().to_canonical();
    let family = if matches!(address, IpAddr::V4(_)) { "IPv4" } else { "IPv6" };
    let dict = Dict::default().with("family", family).with("address", address.to_string());
    dict.with("port", u64::from(remote.port()))
}

fn stats(packets: u64, bytes: u64, errors: u64) -> Dict {
    Dict::default().with("packets", packets).with("bytes", bytes).with("errors", errors)
}

/// Number of discarded packets, without those whose reason is harmless.
fn errors(leg: &LegReport) -> u64 {
    let harmless =
        [Discard::Replaced, Discard::NoListener, Discard::NotReceiving, Discard::NotConnected, Discard::Duplicate];
    leg.discards.iter().filter(|(reason, _)| !harmless.contains(reason)).map(|(_, count)| count).sum()
}

/// The reply to `list`: `calls`, oldest first. A request with `limit` allows a long reply.
pub(super) fn list(table: &CallTable, limit: usize, reply_to: &ReplyTo) -> Reply {
    let room = if reply_to.verbose { REPLY_BYTES_MAX } else { REPLY_BYTES } - 100 - reply_to.cookie.as_bytes().len();
    let mut bytes = 0;
    let fits = |call: &&CallRecord| {
        // The length in JSON and a comma. JSON is longer than bencode.
        bytes += serde_json::to_string(&call.name).map_or(0, |name| name.len()) + 1;
        bytes <= room
    };
    let opened = || table.iter().filter(|call| call.is_opened());
    let calls: Vec<Value> = opened().take(limit).take_while(fits).map(|call| call.name.as_str().into()).collect();
    let missing = opened().count() - calls.len();
    let warning = (missing > 0).then(|| format!("{missing} more calls are not listed"));
    Reply::ok(Dict::default().with("calls", calls)).with_warnings(warning)
}
