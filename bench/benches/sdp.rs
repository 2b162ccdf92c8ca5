//! What signalling costs, without sockets: reading a request, reading its SDP, negotiating.
//!
//! ```text
//! cargo bench -p trestle-bench --bench sdp
//! ```

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::json;
use trestle_core::{LegId, LegPorts};
use trestle_negotiate::{Environment, GatePolicy, Session};
use trestle_ng::command::{Op, Request, Signal};
use trestle_ng::{Encoding, bencode, frame};
use trestle_sdp::Sdp;

/// What Meta offers for a call from a WhatsApp user.
const META_OFFER: &str = include_str!("../../tests/vectors/meta/user_initiated.sip_webrtc.meta_offer.sdp");

criterion_group!(benches, decode, parse, negotiate);
criterion_main!(benches);

/// An offer as a proxy sends it, flags and all, in JSON.
fn offer() -> Vec<u8> {
    let request = json!({
        "command": "offer", "call-id": "wacid.HBgLMTIxMjU1NTEyMTIVAgA", "from-tag": "whatsapp-7c1f", "via-branch": "z9hG4bK1",
        "sdp": META_OFFER, "ICE": "remove", "DTLS": "off", "transport-protocol": "RTP/AVP", "rtcp-mux": ["demux"],
        "replace": ["origin"], "flags": ["trust-address"], "received-from": ["IP4", "198.51.100.9"],
        "codec": {"mask": ["opus"], "transcode": ["PCMA"]},
    });
    request.to_string().into_bytes()
}

/// The same in bencode.
fn bencoded(json: &[u8]) -> Vec<u8> {
    let (_, dict) = frame::read(json).expect("a request");
    bencode::write(&dict)
}

fn decode(criterion: &mut Criterion) {
    let json = offer();
    let bodies = [("json", Encoding::Json, json.clone()), ("bencode", Encoding::Bencode, bencoded(&json))];
    for (name, encoding, body) in &bodies {
        let (known, dict) = frame::read(body).expect("a request");
        assert_eq!(known, *encoding);
        let cookie_and_body = [b"5124_7 ", &body[..]].concat();
        criterion.bench_function(&format!("ng/decode/{name}"), |bencher| {
            bencher.iter(|| {
                let (cookie, body) = frame::split(black_box(&cookie_and_body)).expect("a cookie");
                black_box((cookie, frame::read(body).expect("a request")))
            });
        });
        criterion.bench_function(&format!("ng/encode/{name}"), |bencher| {
            bencher.iter(|| black_box(encoding.write(black_box(&dict))));
        });
    }
    let (_, dict) = frame::read(&json).expect("a request");
    criterion.bench_function("ng/understand", |bencher| {
        bencher.iter(|| black_box(Request::read(black_box(&dict)).expect("an operation")));
    });
}

fn parse(criterion: &mut Criterion) {
    criterion.bench_function("sdp/parse", |bencher| {
        bencher.iter(|| black_box(Sdp::parse(black_box(META_OFFER)).expect("Meta's offer")));
    });
    let sdp = Sdp::parse(META_OFFER).expect("Meta's offer");
    criterion.bench_function("sdp/write", |bencher| bencher.iter(|| black_box(sdp.to_string())));
}

fn signal() -> Signal {
    let (_, dict) = frame::read(&offer()).expect("a request");
    match Request::read(&dict).expect("an operation").op {
        Op::Offer(signal) => *signal,
        other => panic!("an offer is {}", other.name()),
    }
}

/// An offer from the understood request to the plans of both legs and the text for the other side.
fn negotiate(criterion: &mut Criterion) {
    let environment = Environment {
        interfaces: Environment::read_interfaces(&["192.0.2.1"]).expect("an address"),
        fingerprint: [7; 32],
        default_tos: None,
        gate_policy: GatePolicy::default(),
    };
    let signal = signal();
    let ports = |leg: LegId| {
        let port = 30_000 + 2 * leg.0;
        (leg, LegPorts { rtp: ([192, 0, 2, 1], port).into(), rtcp: ([192, 0, 2, 1], port + 1).into() })
    };
    let session = Session::default();
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    criterion.bench_function("negotiate/offer", |bencher| {
        bencher.iter(|| {
            let step = session.offer(black_box(&signal), &environment, &mut rng).expect("an offer to bridge");
            let ports: Vec<_> = step.legs.iter().map(|(leg, _)| ports(*leg)).collect();
            black_box(step.description.write(&ports))
        });
    });
}
