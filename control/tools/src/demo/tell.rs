//! The demo's words, at most 80 columns wide. Every number is measured.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::JudgedCall;
use super::call::DemoCall;
use super::drive::{META, PHONE, TRESTLE};
use super::hearing::Hearing;
use super::scene::{DemoParty, Scene};
use super::screen::Screen;
use super::timeline::{DemoMoment, MomentKind};

pub(crate) fn opening(screen: &Screen, ng: SocketAddr) {
    screen.line("Trestle, a fake WhatsApp and a fake SIP phone, over sockets on this machine:");
    screen.line(format!("Trestle {TRESTLE} (ng {ng}), WhatsApp {META}, phone {PHONE}"));
}

pub(crate) fn call_begins(screen: &Screen, scene: Scene) {
    screen.line("");
    screen.line(title(scene));
    screen.line("      ms");
}

/// The call in one line.
pub(crate) fn title(scene: Scene) -> String {
    let caller = match scene.direction {
        super::CallDirection::UserInitiated => "A WhatsApp user calls the business",
        super::CallDirection::BusinessInitiated => "The business calls a WhatsApp user",
    };
    format!("{caller}: {} Opus <-> {}", scene.meta_side(), scene.phone_side())
}

pub(crate) fn moment(screen: &Screen, moment: &DemoMoment) {
    let what = match &moment.what {
        MomentKind::Step(step) => (*step).to_owned(),
        MomentKind::Digit(press, received) => {
            let listener = if press.by == DemoParty::Phone { DemoParty::WhatsApp } else { DemoParty::Phone };
            let (pressed_ms, heard_ms) = (press.length.as_millis(), received.duration_ms);
            let (by, digit) = (press.by, press.digit);
            format!(
                "{by:8} pressed {digit} ({pressed_ms} ms) -> {listener} received {}, {heard_ms:.0} ms",
                received.digit
            )
        }
    };
    screen.line(format!("{:>8.1} {what}", ms(moment.after)));
}

/// For the progress bar.
pub(crate) fn packets(call: &DemoCall) -> String {
    let (phone, meta) = (call.phone.report().packets, call.meta.packets_received());
    format!("packets received: phone {phone}, WhatsApp {meta}")
}

/// Trestle's own timeline, from `query`.
pub(crate) fn account(screen: &Screen, call: &DemoCall) {
    for (tag, party) in [("whatsapp", DemoParty::WhatsApp), ("phone", DemoParty::Phone)] {
        let Some(leg) = call.outcome.query.as_ref().map(|account| &account["tags"][tag]["leg"]) else { continue };
        let mut timeline: Vec<(&str, u64)> = leg["timeline-ms"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, at)| Some((MILESTONES.iter().find(|(known, _)| known == name)?.1, at.as_u64()?)))
            .collect();
        timeline.sort_by_key(|(milestone, at)| (*at, MILESTONES.iter().position(|(_, word)| word == milestone)));
        let timeline: Vec<String> = timeline.iter().map(|(name, at)| format!("{name} {at}")).collect();
        screen.line("");
        screen.line(format!("  Trestle's account of its {party} leg"));
        screen.line(format!("    {}", leg["description"].as_str().unwrap_or("none")));
        if !timeline.is_empty() {
            screen.line(format!("    reached after ms: {}", timeline.join(", ")));
        }
        if let Some(discards) = leg["discards"].as_object().filter(|discards| !discards.is_empty()) {
            let discards: Vec<String> = discards.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
            screen.line(format!("    packets discarded: {}", discards.join(", ")));
        }
    }
    for warning in &call.outcome.warnings {
        screen.line(format!("  Trestle warns: {warning}"));
    }
}

/// Milestones of `query` that are worth a word, in the order in which they usually come.
const MILESTONES: [(&str, &str); 5] = [
    ("first-check", "check"),
    ("ice-connected", "ICE"),
    ("dtls-connected", "DTLS"),
    ("first-media-in", "first in"),
    ("first-media-out", "first out"),
];

pub(crate) fn hearings(screen: &Screen, judged: &JudgedCall) {
    let [phone, meta] = &judged.hearings;
    let account = judged.call.outcome.query.as_ref();
    let row = |name: &str, cell: &dyn Fn(&Hearing) -> String| {
        screen.line(format!("    {name:<34}{:<20}{}", cell(phone), cell(meta)));
    };
    screen.line("");
    screen.line(format!("  {:<36}{:<20}{}", "What each side received", "phone", "WhatsApp"));
    row("likeness to the sent audio, 0 to 1", &|h| of(h, |h| Some(format!("{:.3}", h.speech?.similarity))));
    row("sent until received", &|h| of(h, |h| Some(format!("{:.1} ms", h.speech?.delay_ms))));
    row("first word", &|h| of(h, first_word));
    row("level, sent and received", &|h| of(h, level));
    row("clipped peaks, holes", &|h| of(h, |h| Some(format!("{}, {} ms", h.clipped_peaks, h.speech?.hole_ms))));
    row("packets sent, received, missing", &|h| {
        format!("{}, {}, {}", h.sent_by_other, h.report.packets, h.report.lost)
    });
    if judged.call.script.loss_percent > 0 {
        row("lost by the network, as asked", &|h| h.lost_on_the_way.to_string());
    }
    row("jitter, longest gap", &|h| format!("{:.1} ms, {} ms", h.report.jitter_ms, h.report.longest_gap.as_millis()));
    row("RTP clock against wall clock", &|h| format!("{:+.1} ms", h.slip_ms));
    row("SSRCs, sender reports", &|h| format!("{}, {}", h.report.ssrcs.len(), h.report.sender_reports));
    row("concealed frames", &|h| concealed(account, h.listener).unwrap_or_else(|| "?".to_owned()));
    row("digits", &|h| {
        let digits = h.report.digits_received();
        if digits.is_empty() { "none".to_owned() } else { digits }
    });
    row("  their lengths, ms", &|h| {
        let lengths: Vec<String> = h.report.digits.iter().map(|d| format!("{:.0}", d.duration_ms)).collect();
        lengths.join(" ")
    });
}

fn of(hearing: &Hearing, cell: impl Fn(&Hearing) -> Option<String>) -> String {
    cell(hearing).unwrap_or_else(|| "not received".to_owned())
}

fn first_word(hearing: &Hearing) -> Option<String> {
    let speech = hearing.speech?;
    let spare = speech.first_word_ms - speech.missing_ms;
    Some(if spare >= 0.0 { format!("whole, {spare:.0} ms left") } else { format!("{:.0} ms missing", -spare) })
}

fn level(hearing: &Hearing) -> Option<String> {
    let speech = hearing.speech?;
    Some(format!("{:.1}, {:.1} dBov", speech.said_dbov, speech.heard_dbov))
}

/// Frames that Trestle concealed towards this side.
fn concealed(account: Option<&Value>, listener: DemoParty) -> Option<String> {
    let tag = if listener == DemoParty::Phone { "phone" } else { "whatsapp" };
    Some(account?["tags"][tag]["leg"]["concealed-frames"].as_u64()?.to_string())
}

pub(crate) fn files(screen: &Screen, written: &[PathBuf]) {
    screen.line("");
    for path in written {
        screen.line(format!("  {}", path.display()));
    }
}

pub(crate) fn call_verdict(screen: &Screen, judged: &JudgedCall) {
    screen.line("");
    if judged.faults.is_empty() {
        screen.line("  Good: audio both ways, nothing clipped, all digits once.");
        return;
    }
    screen.line("  NOT good:");
    faults(screen, judged, "    ");
}

fn faults(screen: &Screen, judged: &JudgedCall, indent: &str) {
    for (n, fault) in judged.faults.iter().enumerate() {
        screen.line(format!("{indent}{}", fault.what));
        if judged.faults.get(n + 1).is_none_or(|next| next.look != fault.look) {
            screen.line(format!("{indent}  look at {}", fault.look));
        }
    }
}

pub(crate) fn brief_begin(screen: &Screen, calls: usize, length: Duration) {
    screen.line("");
    let seconds = length.as_secs_f64();
    screen.line(format!("Every combination: {calls} calls of {seconds:.1} s, overlapping (WA is WhatsApp)"));
    screen.line("                                         first audio  speech late  likeness");
    screen.line("                                         after ms at  by ms at     at");
    screen.line("                                         phone   WA   phone   WA   phone   WA");
}

pub(crate) fn brief_call(screen: &Screen, judged: &JudgedCall) {
    let scene = judged.call.scene;
    let tick = if judged.faults.is_empty() { "ok " } else { "BAD" };
    let began = judged.call.began_at();
    let cells = |cell: &dyn Fn(&Hearing) -> Option<String>| {
        let [phone, meta] =
            [&judged.hearings[0], &judged.hearings[1]].map(|h| cell(h).unwrap_or_else(|| "-".to_owned()));
        format!("{phone:>5} {meta:>4}")
    };
    let first = cells(&|h| Some(format!("{:.0}", ms(h.report.first_rtp_at?.saturating_duration_since(began)))));
    let delay = cells(&|h| Some(format!("{:.0}", h.speech?.delay_ms)));
    let alike = cells(&|h| Some(format!("{:.2}", h.speech?.similarity)));
    screen.line(format!(
        "{tick} {:<15}{:<7}{:<16}{first:<13}{delay:<13}{alike}",
        scene.caller(),
        scene.meta_side(),
        scene.phone_side()
    ));
    faults(screen, judged, "      ");
}

/// The last word. True if the bridge is good.
pub(crate) fn verdict(screen: &Screen, judged: &[JudgedCall]) -> bool {
    let bad = judged.iter().filter(|judged| !judged.faults.is_empty()).count();
    screen.line("");
    if bad == 0 {
        screen.line(format!("{} of {0} calls: audio both ways, nothing clipped, all digits once.", judged.len()));
        screen.line("The bridge is good.");
        return true;
    }
    screen.line(format!("{bad} of {} calls have faults, which are named above.", judged.len()));
    screen.line("The bridge is NOT good.");
    false
}

pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
