//! The DTMF feed: one JSON datagram per digit, as rtpengine sends it and as Kamailio's `dtmf_events_sock` and
//! OpenSIPS' `notification_sock` read it. Strings are escaped, so a Call-ID may contain a quote.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use trestle_core::{CallId, LegId};
use trestle_wire::telephone_event;

use super::call::CallRecord;
use super::{Controller, ControllerOutput};
use trestle_ng::{Dict, Value, json};

/// A digit that a leg's peer has pressed and released.
pub(super) struct FeedDigit {
    pub(super) leg: LegId,
    pub(super) digit: telephone_event::Digit,
    pub(super) duration: Duration,
    pub(super) volume: u8,
    pub(super) source: SocketAddr,
}

/// The datagram. Duration in milliseconds, volume in -dBm0, timestamp in Unix seconds.
pub(super) fn json(call: &CallRecord, digit: &FeedDigit, unix: Duration) -> Vec<u8> {
    let party = call.party(digit.leg);
    let tags = call.parties().iter().filter_map(|party| party.tags().first()).map(|tag| tag.as_str().into());
    let duration_ms = u64::try_from(digit.duration.as_millis()).unwrap_or(u64::MAX);
    let dict = Dict::default()
        .with("callid", call.name.as_str())
        .with("source_tag", party.and_then(|party| party.tags().first()).map_or("", String::as_str))
        .with("source_label", party.and_then(|party| party.label()).unwrap_or_default())
        .with("tags", tags.collect::<Vec<Value>>())
        .with("type", "DTMF")
        .with("timestamp", unix.as_secs())
        .with("source_ip", digit.source.ip().to_string())
        .with("event", u64::from(digit.digit.event()))
        .with("duration", duration_ms)
        .with("volume", u64::from(digit.volume));
    json::write(&dict)
}

/// Logs and reports a digit. Digits of a leg that links another call are reported by that call.
pub(super) fn feed(controller: &mut Controller, now: Instant, id: CallId, digit: &FeedDigit) {
    let Some(call) = controller.calls.get(id).filter(|call| !call.session().is_link(digit.leg)) else { return };
    controller.counters.digits += 1;
    // Not which digit, at any level: callers enter card numbers and passwords. The application receives it as an event.
    tracing::info!(call_id = ?call.name, source = %digit.source, duration = ?digit.duration, "digit");
    if let Some(addr) = controller.config.dtmf_log_dest {
        let bytes = json(call, digit, controller.epoch.unix_at(now));
        controller.outbox.push_back(ControllerOutput::DigitFeed { addr, bytes });
    }
}
