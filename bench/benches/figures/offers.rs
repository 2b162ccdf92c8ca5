//! How long a command takes while 100 calls a second come and go.
//!
//! An open loop: every command has its time in a schedule that does not wait for answers, and its latency counts from
//! there, so that a stall is paid for by everyone it held up.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trestle_io::clock;
use trestle_peers::{Flavour, Meta, MetaOptions, Phone, PhoneOptions};

use crate::figure::{Figure, Spread, Wanted};
use crate::ground::{self, META, Ng, PHONE};

/// Between two offers.
const EVERY: Duration = Duration::from_millis(10);
/// From the offer to the answer, and to the end of the call: 100 calls stand at any time.
const ANSWERED_AFTER: Duration = Duration::from_micros(5_000);
const DELETED_AFTER: Duration = Duration::from_micros(1_002_500);
/// Different callers.
const CALLERS: u64 = 16;
/// An answer that comes later than this is lost.
const LATE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Offer,
    Answer,
    Delete,
}

struct Event {
    after: Duration,
    kind: Kind,
    datagram: Vec<u8>,
}

/// What became of an event.
#[derive(Default)]
struct Fate {
    sent: OnceLock<Instant>,
    answered: OnceLock<(Instant, bool)>,
}

pub(crate) fn run(calls: u32) -> Vec<Figure> {
    let server = ground::trestle();
    // These sockets are never read; what Trestle sends to its peers has to go somewhere.
    let (_meta, meta) = ground::socket(META, LATE);
    let (_phone, phone) = ground::socket(PHONE, LATE);
    let events = schedule(server.ng_addr(), calls, meta, phone);
    let fates: Vec<Fate> = events.iter().map(|_| Fate::default()).collect();
    let (socket, _) = ground::socket(server.ng_addr().ip(), Duration::from_millis(50));
    socket.connect(server.ng_addr()).expect("a route on the loopback");
    let start = clock::now() + Duration::from_millis(100);
    let end = start + events.last().map_or(Duration::ZERO, |event| event.after) + LATE;
    thread::scope(|scope| {
        scope.spawn(|| {
            for (event, fate) in events.iter().zip(&fates) {
                ground::sleep_until(start + event.after);
                let _: Result<(), Instant> = fate.sent.set(clock::now());
                // What cannot be sent is not answered, which shows in the end.
                let _: std::io::Result<usize> = socket.send(&event.datagram);
            }
        });
        let mut buffer = vec![0; 65_536];
        let mut missing = events.len();
        while missing > 0 && clock::now() < end {
            let Ok(len) = socket.recv(&mut buffer) else { continue };
            let now = clock::now();
            let text = String::from_utf8_lossy(&buffer[..len]);
            let Some((cookie, reply)) = text.split_once(' ') else { continue };
            let Some(fate) = cookie.parse::<usize>().ok().and_then(|n| fates.get(n)) else { continue };
            missing -= usize::from(fate.answered.set((now, reply.contains(r#""result":"ok""#))).is_ok());
        }
    });
    server.stop();

    let wanted = Some(Wanted { share: 0.99, below_ms: 2.0 });
    let of = |name, wanted, note, kind, since: fn(&Event, &Fate, Instant) -> Option<Instant>| {
        let of_kind = || events.iter().zip(&fates).filter(move |(event, _)| event.kind == kind);
        let took = |(event, fate): (&Event, &Fate)| {
            let (at, ok) = fate.answered.get()?;
            Some(ground::ms_between(since(event, fate, start)?, *at)).filter(|_| *ok)
        };
        let values: Vec<f64> = of_kind().filter_map(took).collect();
        let total = of_kind().count() as u64;
        let lost = Some((total - values.len() as u64, total));
        Figure { name, wanted, values_ms: Spread::of(values), lost, note }
    };
    let intended = |event: &Event, _: &Fate, start: Instant| Some(start + event.after);
    let sent = |_: &Event, fate: &Fate, _: Instant| fate.sent.get().copied();
    let late = events.iter().zip(&fates).filter_map(|(event, fate)| {
        let sent = fate.sent.get()?;
        Some(ground::ms_between(start + event.after, *sent))
    });
    let late = Figure {
        name: "  how late the load sends its commands",
        wanted: None,
        values_ms: Spread::of(late.collect()),
        lost: None,
        note: "a sleeping thread's time until it wakes: what this machine does to everything else here as well",
    };
    vec![
        of(
            "offer answered, 100 calls/s",
            wanted,
            "WebRTC offers towards a plain phone, from when they should have been sent to the reply; 100 calls stand",
            Kind::Offer,
            intended,
        ),
        of("answer answered, 100 calls/s", None, "", Kind::Answer, intended),
        of("delete answered, 100 calls/s", None, "", Kind::Delete, intended),
        of(
            "  offer answered, once sent",
            None,
            "the same offers, from when the load really sent them: what remains without its own lateness",
            Kind::Offer,
            sent,
        ),
        late,
    ]
}

/// All commands in the order of their times.
fn schedule(trestle: SocketAddr, calls: u32, meta: SocketAddr, phone: SocketAddr) -> Vec<Event> {
    let now = clock::now();
    let offers: Vec<String> = (0..CALLERS)
        .map(|seed| {
            let options = MetaOptions { seed, ..MetaOptions::new(meta, Flavour::WebRtc) };
            Meta::new(now, options).offer(now).expect("an offer")
        })
        .collect();
    // One call by hand, for the text of an answer; payload types are the same in all.
    let mut ng = Ng::new(trestle);
    let to_phone = ng.ask_sdp(&offer("by hand", &offers[0]));
    let answer = Phone::new(now, PhoneOptions::new(phone)).answer(now, &to_phone).expect("an offer for a phone");
    ng.ask(&delete("by hand")).expect("an answer");

    let mut events = Vec::new();
    for n in 0..calls {
        let id = format!("call-{n}");
        let (at, sdp) = (EVERY * n, &offers[n as usize % offers.len()]);
        let answer =
            json!({"command": "answer", "call-id": id, "from-tag": "whatsapp", "to-tag": "phone", "sdp": answer});
        for (kind, after, request) in [
            (Kind::Offer, at, offer(&id, sdp)),
            (Kind::Answer, at + ANSWERED_AFTER, answer),
            (Kind::Delete, at + DELETED_AFTER, delete(&id)),
        ] {
            events.push((after, kind, request));
        }
    }
    events.sort_by_key(|(after, ..)| *after);
    let numbered = events.into_iter().enumerate();
    numbered
        .map(|(n, (after, kind, request))| Event { after, kind, datagram: format!("{n} {request}").into_bytes() })
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
