//! What signalling costs, without sockets: reading a request, reading its SDP, negotiating.
//!
//! ```text
//! cargo bench -p trestle-bench --bench sdp
//! ```

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use trestle_bench::signalling;
use trestle_negotiate::Session;
use trestle_ng::command::Request;
use trestle_ng::{Encoding, bencode, frame};
use trestle_sdp::Sdp;

criterion_group!(benches, decode, parse, negotiate);
criterion_main!(benches);

/// The same in bencode.
fn bencoded(json: &[u8]) -> Vec<u8> {
    let (_, dict) = frame::read(json).expect("a request");
    bencode::write(&dict)
}

fn decode(criterion: &mut Criterion) {
    let json = signalling::offer();
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
        bencher.iter(|| black_box(Sdp::parse(black_box(signalling::META_OFFER)).expect("Meta's offer")));
    });
    let sdp = Sdp::parse(signalling::META_OFFER).expect("Meta's offer");
    criterion.bench_function("sdp/write", |bencher| bencher.iter(|| black_box(sdp.to_string())));
}

/// An offer from the understood request to the plans of both legs and the text for the other side.
fn negotiate(criterion: &mut Criterion) {
    let (environment, signal) = (signalling::environment(), signalling::signal());
    let session = Session::default();
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    criterion.bench_function("negotiate/offer", |bencher| {
        bencher.iter(|| {
            let step = session.offer(black_box(&signal), &environment, &mut rng).expect("an offer to bridge");
            let ports: Vec<_> = step.legs.iter().map(|(leg, _)| signalling::ports(*leg)).collect();
            black_box(step.description.write(&ports))
        });
    });
}
