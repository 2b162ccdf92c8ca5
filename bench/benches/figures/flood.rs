//! Latency of ng commands at 10,000 per second, and the packets of 20 calls beside them.
//!
//! This is an open loop: each command has a scheduled time that does not depend on earlier replies. The latency counts from the
//! scheduled time, so a stall is part of the latency of each command that it delays.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use mio::Poll;
use trestle_io::clock;

use crate::figure::{Figure, Spread, Wanted};
use crate::forward;
use crate::ground::{self, PHONE};

/// A reply that arrives later than this after the last command is counted as lost.
const REPLY_TIMEOUT: Duration = Duration::from_secs(1);

/// How many commands a second, beside how many calls, for how long.
#[derive(Clone, Copy)]
pub(crate) struct Flood {
    pub(crate) calls: usize,
    pub(crate) per_second: u32,
    pub(crate) length: Duration,
}

pub(crate) fn run(flood: Flood) -> Vec<Figure> {
    let Flood { calls, per_second, length } = flood;
    let server = ground::trestle();
    let mut poll = Poll::new().expect("a poller");
    let legs = forward::connected(&poll, server.ng_addr(), calls);
    let (_, phone) = ground::socket(PHONE, REPLY_TIMEOUT);
    let (socket, _) = ground::socket(server.ng_addr().ip(), Duration::from_millis(50));
    socket.connect(server.ng_addr()).expect("a route on the loopback");
    let total = (length.as_secs_f64() * f64::from(per_second)) as usize;
    let interval = Duration::from_secs(1) / per_second;
    let replied: Vec<OnceLock<Instant>> = (0..total).map(|_| OnceLock::new()).collect();
    let start = clock::now() + Duration::from_millis(100);
    let scheduled = |n: usize| start + interval * n as u32;
    let packets = thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..total {
                ground::sleep_until(scheduled(n));
                // A command that cannot be sent has no reply, and is counted as lost.
                let _: std::io::Result<usize> = socket.send(command(n, phone).as_bytes());
            }
        });
        scope.spawn(|| {
            let mut buffer = vec![0; 65_536];
            let (mut missing, end) = (total, scheduled(total) + REPLY_TIMEOUT);
            while missing > 0 && clock::now() < end {
                let Ok(len) = socket.recv(&mut buffer) else { continue };
                let now = clock::now();
                let text = String::from_utf8_lossy(&buffer[..len]);
                let number = text.split(' ').next().and_then(|cookie| cookie.parse::<usize>().ok());
                let Some(reply) = number.and_then(|n| replied.get(n)) else { continue };
                missing -= usize::from(reply.set(now).is_ok());
            }
        });
        forward::exchange(&mut poll, &legs, length)
    });
    server.stop();
    let took = |(n, reply): (usize, &OnceLock<Instant>)| Some(ground::ms_between(scheduled(n), *reply.get()?));
    let values: Vec<f64> = replied.iter().enumerate().filter_map(took).collect();
    let lost = Some(((total - values.len()) as u64, total as u64));
    vec![
        Figure {
            name: "reply to a command, 10,000 a second",
            wanted: Some(Wanted { share: 0.99, below_ms: 10.0 }),
            values_ms: Spread::of(values),
            lost,
            note: "seven of ten are ping, one offer, one delete and one malformed; from the scheduled time to the reply",
        },
        forward::figure("  packets of 20 calls beside it", None, "plain PCMA, as in the forward path", packets),
    ]
}

/// The `n`th command: its number is the cookie.
fn command(n: usize, phone: SocketAddr) -> String {
    match n % 10 {
        0 => {
            let (ip, port) = (phone.ip(), phone.port());
            let sdp = format!(
                "v=0\\r\\no=- 1 1 IN IP4 {ip}\\r\\ns=-\\r\\nc=IN IP4 {ip}\\r\\nt=0 0\\r\\nm=audio {port} RTP/AVP 8\\r\\n"
            );
            format!(r#"{n} {{"command":"offer","call-id":"flood-{n}","from-tag":"a","sdp":"{sdp}"}}"#)
        }
        // 9 ms after its offer.
        9 if n > 90 => {
            format!(r#"{n} {{"command":"delete","call-id":"flood-{}","delete-delay":0,"flags":["fast"]}}"#, n - 99)
        }
        5 => format!(r#"{n} {{"command":"offer","#),
        _ => format!(r#"{n} {{"command":"ping"}}"#),
    }
}
