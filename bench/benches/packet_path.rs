//! Time that the engine takes for one packet, from the received datagram to the sent datagram: one call of two legs on one shard,
//! without sockets. Timers that are due in between are included (RTCP, every few seconds).
//!
//! ```text
//! cargo bench -p trestle-bench --bench packet_path
//! ```

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use trestle_bench::{Calls, Script, Security, Side, unmetered};
use trestle_io::clock;
use trestle_srtp::Profile;

/// Packets of a check before the measurement: for each packet in, one must come out.
const PROOF: usize = 100;

criterion_group!(benches, forward, transcode);
criterion_main!(benches);

fn forward(criterion: &mut Criterion) {
    let gcm = Side::PHONE.over(Security::Sdes(Profile::AeadAes128Gcm));
    for (name, side) in [
        ("forward/pcma/plain_to_plain", Side::PHONE),
        ("forward/pcma/sdes_to_sdes", Side::SECURE_PHONE),
        ("forward/pcma/gcm_to_gcm", gcm),
        ("forward/opus/sdes_to_sdes", Side::SECURE_OPUS),
    ] {
        path(criterion, name, [side, side]);
    }
}

fn transcode(criterion: &mut Criterion) {
    path(criterion, "transcode/sdes_opus_to_plain_pcma", [Side::SECURE_OPUS, Side::PHONE]);
    path(criterion, "transcode/plain_pcma_to_sdes_opus", [Side::PHONE, Side::SECURE_OPUS]);
}

/// Measures packets from the peer of the first side. They are 20 ms apart in virtual time.
fn path(criterion: &mut Criterion, name: &str, sides: [Side; 2]) {
    let mut calls = Calls::new(clock::now(), sides);
    calls.open(1, &mut unmetered);
    calls.follow([Script { speaks: true, ..Script::default() }, Script::default()]);
    let mut proof = calls.prepare(PROOF);
    let sent = calls.run(&mut proof);
    assert!((PROOF - 2..=PROOF + 2).contains(&sent), "{name}: {PROOF} packets in, {sent} out");
    let calls = std::cell::RefCell::new(calls);
    let mut group = criterion.benchmark_group("packet_path");
    group.throughput(Throughput::Elements(1));
    group.bench_function(name, |bencher| {
        let prepare = || calls.borrow_mut().prepare(1);
        bencher.iter_batched_ref(prepare, |packet| black_box(calls.borrow_mut().run(packet)), BatchSize::SmallInput);
    });
}
