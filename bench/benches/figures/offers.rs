//! Latency of ng commands at 100 new calls per second.
//!
//! This is an open loop: each command has a scheduled time that does not depend on earlier replies. The latency counts from the
//! scheduled time, so a stall is part of the latency of each command that it delays.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trestle_io::clock;
use trestle_peers::{Flavour, Meta, MetaOptions, Phone, PhoneOptions};

use crate::figure::{Figure, Spread, Wanted};
use crate::ground::{self, META, Ng, PHONE};

/// Time between two offers.
const OFFER_INTERVAL: Duration = Duration::from_millis(10);
/// Times from the offer to the answer, and to the delete. About 100 calls exist at any time.
const ANSWER_AFTER: Duration = Duration::from_micros(5_000);
const DELETE_AFTER: Duration = Duration::from_micros(1_002_500);
/// Number of different offers.
const CALLERS: u64 = 16;
/// A reply that arrives later is counted as lost.
const REPLY_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq)]
enum CommandKind {
    Offer,
    Answer,
    Delete,
}

/// A command of the schedule; `after` is its time since the start.
struct ScheduledCommand {
    after: Duration,
    kind: CommandKind,
    datagram: Vec<u8>,
}

/// When a command was sent, and when its reply arrived; true if the reply is `ok`.
#[derive(Default)]
struct CommandTimes {
    sent: OnceLock<Instant>,
    replied: OnceLock<(Instant, bool)>,
}

pub(crate) fn run(calls: u32) -> Vec<Figure> {
    let server = ground::trestle();
    // These sockets receive the datagrams that Trestle sends to its peers. They are not read.
    let (_meta, meta) = ground::socket(META, REPLY_TIMEOUT);
    let (_phone, phone) = ground::socket(PHONE, REPLY_TIMEOUT);
    let commands = schedule(server.ng_addr(), calls, meta, phone);
    let all_times: Vec<CommandTimes> = commands.iter().map(|_| CommandTimes::default()).collect();
    let (socket, _) = ground::socket(server.ng_addr().ip(), Duration::from_millis(50));
    socket.connect(server.ng_addr()).expect("a route on the loopback");
    let start = clock::now() + Duration::from_millis(100);
    let end = start + commands.last().map_or(Duration::ZERO, |command| command.after) + REPLY_TIMEOUT;
    thread::scope(|scope| {
        scope.spawn(|| {
            for (command, times) in commands.iter().zip(&all_times) {
                ground::sleep_until(start + command.after);
                let _: Result<(), Instant> = times.sent.set(clock::now());
                // A command that cannot be sent has no reply, and is counted as lost.
                let _: std::io::Result<usize> = socket.send(&command.datagram);
            }
        });
        let mut buffer = vec![0; 65_536];
        let mut missing = commands.len();
        while missing > 0 && clock::now() < end {
            let Ok(len) = socket.recv(&mut buffer) else { continue };
            let now = clock::now();
            let text = String::from_utf8_lossy(&buffer[..len]);
            let Some((cookie, reply)) = text.split_once(' ') else { continue };
            let Some(times) = cookie.parse::<usize>().ok().and_then(|n| all_times.get(n)) else { continue };
            missing -= usize::from(times.replied.set((now, reply.contains(r#""result":"ok""#))).is_ok());
        }
    });
    server.stop();

    let wanted = Some(Wanted { share: 0.99, below_ms: 2.0 });
    let of = |name, wanted, note, kind, since: fn(&ScheduledCommand, &CommandTimes, Instant) -> Option<Instant>| {
        let of_one_kind = || commands.iter().zip(&all_times).filter(move |(command, _)| command.kind == kind);
        let took = |(command, times): (&ScheduledCommand, &CommandTimes)| {
            let (at, ok) = times.replied.get()?;
            Some(ground::ms_between(since(command, times, start)?, *at)).filter(|_| *ok)
        };
        let values: Vec<f64> = of_one_kind().filter_map(took).collect();
        let total = of_one_kind().count() as u64;
        let lost = Some((total - values.len() as u64, total));
        Figure { name, wanted, values_ms: Spread::of(values), lost, note }
    };
    let intended = |command: &ScheduledCommand, _: &CommandTimes, start: Instant| Some(start + command.after);
    let sent = |_: &ScheduledCommand, times: &CommandTimes, _: Instant| times.sent.get().copied();
    let late = commands.iter().zip(&all_times).filter_map(|(command, times)| {
        let sent = times.sent.get()?;
        Some(ground::ms_between(start + command.after, *sent))
    });
    let late = Figure {
        name: "  delay of commands behind their schedule",
        wanted: None,
        values_ms: Spread::of(late.collect()),
        lost: None,
        note: "the time until this machine wakes a sleeping thread; all other figures contain it too",
    };
    vec![
        of(
            "reply to offer, 100 calls/s",
            wanted,
            "WebRTC offers towards a plain phone, from the scheduled time to the reply; about 100 calls exist",
            CommandKind::Offer,
            intended,
        ),
        of("reply to answer, 100 calls/s", None, "", CommandKind::Answer, intended),
        of("reply to delete, 100 calls/s", None, "", CommandKind::Delete, intended),
        of(
            "  reply to offer, since transmission",
            None,
            "the same offers, from the actual transmission: without the delay of the load",
            CommandKind::Offer,
            sent,
        ),
        late,
    ]
}

/// All commands, ordered by time.
fn schedule(trestle: SocketAddr, calls: u32, meta: SocketAddr, phone: SocketAddr) -> Vec<ScheduledCommand> {
    let now = clock::now();
    let offers: Vec<String> = (0..CALLERS)
        .map(|seed| {
            let options = MetaOptions { seed, ..MetaOptions::new(meta, Flavour::WebRtc) };
            Meta::new(now, options).offer(now).expect("an offer")
        })
        .collect();
    // One call before the measurement gives the SDP of the answer. Payload types are the same in all calls.
    let mut ng = Ng::new(trestle);
    let to_phone = ng.ask_sdp(&offer("by hand", &offers[0]));
    let answer = Phone::new(now, PhoneOptions::new(phone)).answer(now, &to_phone).expect("an offer for a phone");
    ng.ask(&delete("by hand")).expect("an answer");

    let mut commands = Vec::new();
    for n in 0..calls {
        let id = format!("call-{n}");
        let (at, sdp) = (OFFER_INTERVAL * n, &offers[n as usize % offers.len()]);
        let answer =
            json!({"command": "answer", "call-id": id, "from-tag": "whatsapp", "to-tag": "phone", "sdp": answer});
        for (kind, after, request) in [
            (CommandKind::Offer, at, offer(&id, sdp)),
            (CommandKind::Answer, at + ANSWER_AFTER, answer),
            (CommandKind::Delete, at + DELETE_AFTER, delete(&id)),
        ] {
            commands.push((after, kind, request));
        }
    }
    commands.sort_by_key(|(after, ..)| *after);
    let numbered = commands.into_iter().enumerate();
    numbered
        .map(|(n, (after, kind, request))| ScheduledCommand {
            after,
            kind,
            datagram: format!("{n} {request}").into_bytes(),
        })
        .collect()
}

fn offer(id: &str, sdp: &str) -> Value {
    json!({
        "command": "offer", "call-id": id, "from-tag": "whatsapp", "sdp": sdp,
        "ICE": "remove", "DTLS": "off", "transport-protocol": "RTP/AVP", "rtcp-mux": ["demux"],
    })
}

fn delete(id: &str) -> Value {
    json!({"command": "delete", "call-id": id, "delete-delay": 0})
}
