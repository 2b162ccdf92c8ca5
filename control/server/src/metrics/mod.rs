//! `/metrics`: the counters of all shards and of the control thread as OpenMetrics text.
//!
//! | name | type | meaning |
//! |---|---|---|
//! | `trestle_calls`, `trestle_legs` | gauge | present calls and legs |
//! | `trestle_calls_opened_total` | counter | calls since the start |
//! | `trestle_calls_failed_total` | counter | calls ended by a bug (a caught panic) |
//! | `trestle_rtp_packets_total{direction}` | counter | media packets received and accepted (`in`) and sent (`out`) |
//! | `trestle_rtp_bytes_total{direction}` | counter | their octets of UDP payload |
//! | `trestle_rtcp_packets_total{direction}` | counter | RTCP packets received and accepted, and sent |
//! | `trestle_discards_total{reason}` | counter | discarded datagrams |
//! | `trestle_digits_total` | counter | digits received from peers |
//! | `trestle_concealed_frames_total` | counter | frames that concealment made for lost ones |
//! | `trestle_transcoded_frames_total` | counter | frames decoded and encoded again |
//! | `trestle_opus_complexity` | gauge | present complexity of the Opus encoders, of the shard with the lowest |
//! | `trestle_opus_steps_total{direction}` | counter | changes of it: `down` because a shard was late, and `up` again |
//! | `trestle_io_errors_total{kind}` | counter | errors of sockets |
//! | `trestle_calls_ended_total{cause}` | counter | calls that have ended, by reason |
//! | `trestle_call_end_total{cause}` | counter | the same, by the cause in their verdicts |
//! | `trestle_call_hints_total{hint}` | counter | hints in their verdicts |
//! | `trestle_mos` | histogram | mean opinion score (G.107) of the party of a call with the lower one, at the end of the call |
//! | `trestle_clipped_seconds_total` | counter | audio that was lost because it arrived before it could be sent, of calls that have ended |
//! | `trestle_control_requests_total{command}` | counter | valid ng requests, without retransmissions |
//! | `trestle_control_errors_total{command}` | counter | error replies; `command="none"`: to messages that were no requests |
//! | `trestle_control_dropped_total{reason}` | counter | messages on control ports without an effect: `no_cookie`, `own_media_port` (audio that a peer makes Trestle send to itself), `not_allowed` (`ng-allow`), `unsigned`, `bad_signature`, `late_signature`, `replayed` (`ng-secret-file`) |
//! | `trestle_setup_seconds{stage}` | histogram | stages of the set-up of legs of WhatsApp and browsers: `ice`, `dtls`, `gate`, `first_audio` |
//! | `trestle_dtls_roles_hedged_total` | counter | legs on which Trestle sent a ClientHello because that of the peer did not come |
//! | `trestle_sdp_surprises_total{rule}` | counter | anomalies in WhatsApp's SDP; `trestle sdp explain RULE` explains them |
//! | `trestle_control_retransmits_total` | counter | repeated requests, which were answered from the cache |
//! | `trestle_events_total{event}` | counter | events, whether or not an application was subscribed |
//! | `trestle_event_webhook_events_total{outcome}` | counter | events that the web hook has accepted (`delivered`) or not (`dropped`) |
//! | `trestle_event_webhook_retries_total` | counter | repeated POSTs |
//! | `trestle_event_readers_dropped_total` | counter | connections to `listen-events` closed because the reader was too slow |
//! | `trestle_control_connections_closed_total{listener,reason}` | counter | connections that Trestle has closed: `refused` because there were too many, `not_allowed` because of `ng-allow`, `displaced` because it was idle and another one needed its place, `late` because the peer took too long |
//! | `trestle_offers_rejected_total{limit}` | counter | offers refused because of a limit: `sessions`, `ports`, `cpu`, `load`, `lateness`, `commands`, `draining` |
//! | `trestle_overloaded` | gauge | 1 while offers for new calls are refused because the machine is too busy |
//! | `trestle_draining` | gauge | 1 while offers for new calls are refused because Trestle drains |
//! | `trestle_media_lateness_seconds` | gauge | mean lateness of the media thread with the highest one in the last half second |
//! | `trestle_log_lines_lost_total` | counter | lines of the log that could not be written, or found the queue full |
//! | `trestle_build_info{version}` | info | always 1 |
//!
//! `trestle_calls_opened_total` and not `trestle_calls_total`: in OpenMetrics the family name of a counter has no `_total`, and
//! `trestle_calls` is the gauge.

mod setup;
mod verdicts;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use trestle_core::Discard;
use trestle_core::report::Totals;
use trestle_io::IoCounts;

use crate::event_outputs::EventOutputCounts;
use trestle_calls::controller::ControllerCounters;

/// The content type of [`render`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Connections of one listener that Trestle has closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClosedConnections {
    /// There were too many already.
    pub refused: u64,
    /// Their source is not in `ng-allow`.
    pub not_allowed: u64,
    /// The peer took too long.
    pub late: u64,
    /// They were idle, and another one needed the place.
    pub displaced: u64,
}

/// All counters at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// One per shard.
    pub shards: Vec<(Totals, IoCounts)>,
    /// Of the control thread.
    pub control: ControllerCounters,
    /// Of the outputs of events.
    pub event_outputs: EventOutputCounts,
    /// Lines of the log that were not written.
    pub log_lines_lost: u64,
}

type Labelled<const N: usize> = Family<[(&'static str, &'static str); N], Counter>;

/// The text of one scrape. `connections` are those of each listener, by its configuration key.
pub fn render(snapshot: &Snapshot, connections: &[(&'static str, ClosedConnections)]) -> String {
    let mut registry = Registry::with_prefix("trestle");
    let totals = |field: fn(&Totals) -> u64| snapshot.shards.iter().map(|(totals, _)| field(totals)).sum::<u64>();
    let io = |field: fn(&IoCounts) -> u64| snapshot.shards.iter().map(|(_, io)| field(io)).sum::<u64>();

    let mut gauge = |name, help, value: u64| {
        registry.register(name, help, ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)));
    };
    gauge("calls", "Present calls", totals(|t| t.calls));
    gauge("legs", "Present legs", totals(|t| t.legs));
    let complexity = snapshot.shards.iter().map(|(totals, _)| totals.opus_complexity).min().unwrap_or(0);
    gauge("opus_complexity", "Present complexity of the Opus encoders", complexity.into());

    let mut counter = |name, help, value: u64| registry.register(name, help, ConstCounter::new(value));
    counter("calls_opened", "Calls since the start", totals(|t| t.calls_total));
    counter("calls_failed", "Calls ended by a bug", totals(|t| t.calls_failed));
    counter(
        "dtls_roles_hedged",
        "Legs on which the ClientHello of the peer did not come",
        totals(|t| t.dtls_roles_hedged),
    );
    counter("digits", "Digits received from peers", totals(|t| t.digits));
    counter("concealed_frames", "Frames that concealment made for lost ones", totals(|t| t.concealed_frames));
    counter("transcoded_frames", "Frames decoded and encoded again", totals(|t| t.transcoded_frames));

    let steps = [
        ([("direction", "down")], totals(|t| t.opus_steps_down)),
        ([("direction", "up")], totals(|t| t.opus_steps_up)),
    ];
    registry.register("opus_steps", "Changes of the complexity of the Opus encoders", labelled(steps));

    let mut both_ways = |name, help, taken: u64, sent: u64| {
        registry.register(name, help, labelled([([("direction", "in")], taken), ([("direction", "out")], sent)]));
    };
    both_ways("rtp_packets", "Media packets", totals(|t| t.rtp_in.packets), totals(|t| t.rtp_out.packets));
    both_ways("rtp_bytes", "Octets of media packets", totals(|t| t.rtp_in.bytes), totals(|t| t.rtp_out.bytes));
    both_ways("rtcp_packets", "RTCP packets", totals(|t| t.rtcp_in.packets), totals(|t| t.rtcp_out.packets));

    let by_shards = Discard::ALL.into_iter().map(|reason| {
        let count = snapshot.shards.iter().map(|(totals, _)| totals.discards.get(reason)).sum();
        ([("reason", reason.name())], count)
    });
    let at_the_edge =
        [([("reason", "oversize")], io(|io| io.oversize)), ([("reason", "quarantined")], io(|io| io.quarantined))];
    registry.register("discards", "Discarded datagrams", labelled(by_shards.chain(at_the_edge)));

    let errors = [
        ("send_blocked", io(|io| io.send_blocked)),
        ("send_failed", io(|io| io.send_failed)),
        ("receive_failed", io(|io| io.receive_failed)),
        ("bind_failed", io(|io| io.bind_failed)),
        ("event_dropped", io(|io| io.events_dropped)),
    ];
    registry.register("io_errors", "Errors of sockets", labelled(errors.map(|(kind, n)| ([("kind", kind)], n))));

    let control = &snapshot.control;
    let causes = control.ended.iter().map(|(cause, n)| ([("cause", cause.name())], n));
    registry.register("calls_ended", "Calls that have ended", labelled(causes));
    let rejected = control.rejected.iter().map(|(limit, n)| ([("limit", limit.name())], n));
    registry.register("offers_rejected", "Offers refused because of a limit", labelled(rejected));
    let overloaded = ConstGauge::new(i64::from(control.overloaded.is_some()));
    registry.register("overloaded", "Offers for new calls are refused", overloaded);
    let draining = ConstGauge::new(i64::from(control.draining));
    registry.register("draining", "Trestle drains", draining);
    let lateness = ConstGauge::new(control.load.lateness.as_secs_f64());
    registry.register("media_lateness_seconds", "Mean lateness of media threads", lateness);
    let verdicts = &control.verdicts;
    let causes = verdicts.causes.iter().map(|(cause, n)| ([("cause", cause.name())], n));
    registry.register("call_end", "Calls that have ended, by the cause in their verdicts", labelled(causes));
    let hints = verdicts.hints.iter().map(|(hint, n)| ([("hint", hint.name())], n));
    registry.register("call_hints", "Hints in the verdicts of calls that have ended", labelled(hints));
    registry.register_collector(Box::new(verdicts::Mos(verdicts.mos.clone())));
    registry.register_collector(Box::new(verdicts::Clipped(verdicts.clipped)));
    let requests = control.requests.iter().map(|(command, n)| ([("command", command)], n));
    let anomalies = control.sdp_anomalies.iter().map(|(rule, n)| ([("rule", rule)], n));
    registry.register("sdp_surprises", "Anomalies in WhatsApp's SDP", labelled(anomalies));
    registry.register("control_requests", "Valid ng requests", labelled(requests));
    let refused = control.errors.iter().map(|(command, n)| {
        let command = if command.is_empty() { "none" } else { command };
        ([("command", command)], n)
    });
    registry.register("control_errors", "Error replies", labelled(refused));
    let dropped = control.dropped.iter().map(|(reason, n)| ([("reason", reason.name())], n));
    registry.register("control_dropped", "Messages on control ports that have no effect", labelled(dropped));
    let events = control.events.iter().map(|(event, n)| ([("event", event)], n));
    registry.register("events", "Events, with or without subscribers", labelled(events));
    let outputs = &snapshot.event_outputs;
    let hook = [([("outcome", "delivered")], outputs.delivered), ([("outcome", "dropped")], outputs.dropped)];
    registry.register("event_webhook_events", "Events for the web hook", labelled(hook));
    let mut counter = |name, help, value: u64| registry.register(name, help, ConstCounter::new(value));
    counter("event_webhook_retries", "Repeated POSTs to the web hook", outputs.retries);
    counter("log_lines_lost", "Lines of the log that were not written", snapshot.log_lines_lost);
    counter("event_readers_dropped", "Readers of events that were too slow", outputs.slow_readers);
    registry.register_collector(Box::new(setup::SetupSeconds(control.setup.clone())));
    let retransmits = ConstCounter::new(control.retransmits);
    registry.register("control_retransmits", "Repeated requests", retransmits);
    let closed = connections.iter().flat_map(|(listener, closed)| {
        let listener = ("listener", *listener);
        [
            ([listener, ("reason", "refused")], closed.refused),
            ([listener, ("reason", "not_allowed")], closed.not_allowed),
            ([listener, ("reason", "displaced")], closed.displaced),
            ([listener, ("reason", "late")], closed.late),
        ]
    });
    let of_events = ([("listener", "listen-events"), ("reason", "not_allowed")], outputs.not_allowed);
    let closed = closed.chain([of_events]);
    registry.register("control_connections_closed", "Connections that Trestle has closed", labelled(closed));
    registry.register("build", "Version of the running program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));

    let mut out = String::new();
    // Writing to a String does not fail.
    let _: std::fmt::Result = text::encode(&mut out, &registry);
    out
}

fn labelled<const N: usize>(series: impl IntoIterator<Item = ([(&'static str, &'static str); N], u64)>) -> Labelled<N> {
    let family = Labelled::default();
    for (labels, value) in series {
        family.get_or_create(&labels).inc_by(value);
    }
    family
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use trestle_core::discard::Discards;
    use trestle_core::report::Count;

    use super::*;
    use trestle_calls::controller::VerdictCounts;

    #[test]
    fn every_counter_is_the_sum_over_all_shards_under_its_documented_name() {
        let mut discards = Discards::default();
        (0..3).for_each(|_| discards.add(Discard::Replay));
        let totals = Totals {
            calls: 1,
            legs: 2,
            calls_total: 7,
            rtp_in: Count { packets: 100, bytes: 17_200 },
            discards,
            digits: 4,
            ..Totals::default()
        };
        let io = IoCounts { send_blocked: 5, quarantined: 6, ..IoCounts::default() };
        let event_outputs = EventOutputCounts { slow_readers: 3, ..EventOutputCounts::default() };
        let verdicts = VerdictCounts { clipped: Duration::from_millis(1_500), ..VerdictCounts::default() };
        let control = ControllerCounters { retransmits: 9, verdicts, ..ControllerCounters::default() };
        let shards = vec![(totals.clone(), io), (totals, io)];
        let snapshot = Snapshot { shards, control, event_outputs, log_lines_lost: 8 };
        let closed = ClosedConnections { refused: 1, ..ClosedConnections::default() };
        let text = render(&snapshot, &[("listen-http", closed)]);
        for line in [
            "trestle_calls 2",
            "trestle_legs 4",
            "trestle_calls_opened_total 14",
            "trestle_rtp_packets_total{direction=\"in\"} 200",
            "trestle_rtp_packets_total{direction=\"out\"} 0",
            "trestle_rtp_bytes_total{direction=\"in\"} 34400",
            "trestle_discards_total{reason=\"replay\"} 6",
            "trestle_discards_total{reason=\"late\"} 0",
            "trestle_discards_total{reason=\"quarantined\"} 12",
            "trestle_digits_total 8",
            "trestle_io_errors_total{kind=\"send_blocked\"} 10",
            "trestle_control_retransmits_total 9",
            "trestle_control_connections_closed_total{listener=\"listen-http\",reason=\"refused\"} 1",
            "trestle_setup_seconds_bucket{le=\"0.35\",stage=\"dtls\"} 0",
            "trestle_setup_seconds_count{stage=\"first_audio\"} 0",
            "trestle_event_readers_dropped_total 3",
            "trestle_log_lines_lost_total 8",
            "trestle_mos_bucket{le=\"4.0\"} 0",
            "trestle_mos_bucket{le=\"+Inf\"} 0",
            "trestle_clipped_seconds_total 1.5",
            concat!("trestle_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "# EOF",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn no_family_is_named_twice() {
        let text = render(&Snapshot::default(), &[]);
        let mut families: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        families.sort_unstable();
        families.iter().zip(&families[1..]).for_each(|(a, b)| assert_ne!(a.split(' ').next(), b.split(' ').next()));
        assert_eq!(families.len(), 28, "{families:#?}");
    }

    /// The rows of the table at the head of this file: family name as in `# TYPE`, and type.
    fn documented() -> BTreeSet<(String, String)> {
        let rows = include_str!("mod.rs").lines().filter_map(|line| line.strip_prefix("//! | `"));
        let families = rows.flat_map(|row| {
            let mut columns = row.split(" | ");
            let (names, kind) = (columns.next().unwrap(), columns.next().unwrap());
            let suffix = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            let family = move |name: &str| {
                let name = name.split('{').next().unwrap().trim_matches('`');
                (name.strip_suffix(suffix).unwrap().to_owned(), kind.to_owned())
            };
            // `{direction}` and the like follow the name; a comma in them is not one between names.
            names.split(", ").map(family)
        });
        families.collect()
    }

    #[test]
    fn the_table_of_metrics_is_what_is_registered() {
        let text = render(&Snapshot::default(), &[("listen-http", ClosedConnections::default())]);
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let registered: BTreeSet<_> = types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
        let documented = documented();
        // A family without a series, such as one by command before the first request, is not rendered.
        assert!(registered.is_subset(&documented), "{:#?}", registered.difference(&documented));
        assert!(documented.len() >= registered.len());
    }
}
