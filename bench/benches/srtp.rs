//! What SRTP costs a packet, for every profile: an RTP packet of 20 ms of Opus (60 bytes with its header) and of G.711
//! (172 bytes).
//!
//! ```text
//! cargo bench -p trestle-bench --bench srtp
//! ```

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use trestle_srtp::{KeyingMaterial, OVERHEAD_MAX, Profile, SrtpContext};
use trestle_wire::rtp::Header;
use trestle_wire::{Pt, RtpTime, Seq, Ssrc};

/// RTP packets, header and payload.
const SIZES: [usize; 2] = [60, 172];

/// Packets that one context unprotects before it is replaced: none is taken twice.
const STREAM: u16 = 512;

criterion_group!(benches, protect, unprotect, refuse);
criterion_main!(benches);

fn context(profile: Profile) -> SrtpContext {
    let bytes: Vec<u8> = (1..=46).collect();
    let material = KeyingMaterial::from_key_and_salt(profile, &bytes[..profile.key_len() + profile.salt_len()]);
    SrtpContext::new(&material.expect("the profile's lengths"))
}

/// With room for what protection adds.
fn packet(seq: u16, size: usize) -> Vec<u8> {
    let time = RtpTime(u32::from(seq) * 160);
    let header = Header { marker: false, pt: Pt::PCMA, seq: Seq(seq), time, ssrc: Ssrc(0xcafe_babe) };
    let mut packet = header.write().to_vec();
    packet.resize(size, 0xd5);
    packet.resize(size + OVERHEAD_MAX, 0);
    packet
}

fn each(criterion: &mut Criterion, name: &str, mut bench: impl FnMut(&mut criterion::Bencher<'_>, Profile, usize)) {
    for size in SIZES {
        let mut group = criterion.benchmark_group(format!("srtp/{name}/{size}_bytes"));
        group.throughput(Throughput::Elements(1));
        for profile in Profile::ALL {
            group.bench_function(BenchmarkId::from_parameter(profile.name()), |bencher| bench(bencher, profile, size));
        }
    }
}

fn protect(criterion: &mut Criterion) {
    each(criterion, "protect", |bencher, profile, size| {
        let mut sender = context(profile);
        let mut buffer = packet(0, size);
        let mut seq = 0u16;
        bencher.iter(|| {
            // Encrypting what was encrypted costs the same; the header stays in the clear.
            seq = seq.wrapping_add(1);
            buffer[2..4].copy_from_slice(&seq.to_be_bytes());
            black_box(sender.protect_rtp(&mut buffer, size).expect("a new index"))
        });
    });
}

/// The time is that of [`STREAM`] packets.
fn unprotect(criterion: &mut Criterion) {
    for size in SIZES {
        let mut group = criterion.benchmark_group(format!("srtp/unprotect_{STREAM}/{size}_bytes"));
        group.throughput(Throughput::Elements(STREAM.into()));
        for profile in Profile::ALL {
            let mut sender = context(profile);
            let stream: Vec<Vec<u8>> = (0..STREAM).map(|seq| protected(&mut sender, seq, size)).collect();
            group.bench_function(BenchmarkId::from_parameter(profile.name()), |bencher| {
                bencher.iter_batched_ref(
                    || (context(profile), stream.clone()),
                    |(receiver, stream)| {
                        for packet in stream {
                            black_box(receiver.unprotect_rtp(packet).expect("our own packet"));
                        }
                    },
                    BatchSize::LargeInput,
                );
            });
        }
    }
}

/// A packet under another key: what each datagram of a flood costs.
fn refuse(criterion: &mut Criterion) {
    each(criterion, "refuse", |bencher, profile, size| {
        let mut forged = protected(&mut context(profile), 7, size);
        let last = forged.len() - 1;
        forged[last] ^= 1;
        let mut receiver = context(profile);
        let mut buffer = forged.clone();
        bencher.iter(|| {
            // Whatever a refusal leaves in the packet.
            buffer.copy_from_slice(&forged);
            black_box(receiver.unprotect_rtp(&mut buffer).is_err())
        });
    });
}

fn protected(sender: &mut SrtpContext, seq: u16, size: usize) -> Vec<u8> {
    let mut packet = packet(seq, size);
    let len = sender.protect_rtp(&mut packet, size).expect("a new index");
    packet.truncate(len);
    packet
}
