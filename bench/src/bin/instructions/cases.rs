//! What is counted: packets of calls, SRTP of every suite, the jitter buffer, and the messages of signalling.

use std::hint::black_box;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use trestle_bench::{Calls, Work, signalling};
use trestle_core::plan::Codec;
use trestle_core::transcode::playout::{Playout, SourceFrame};
use trestle_io::clock;
use trestle_ng::command::Request;
use trestle_ng::{bencode, frame};
use trestle_sdp::Sdp;
use trestle_srtp::{OVERHEAD_MAX, Profile, SrtpContext};
use trestle_wire::{ExtSeq, Pt, RtpTime, Seq, Ssrc, rtp};

/// Ten seconds until a call has settled.
const SETTLE_TICKS: usize = 500;
/// Then so many packet times are counted: seconds, with reports, digits and losses in them.
const TICKS: usize = 500;
/// Messages and packets of the cases without a call.
const PACKETS: u64 = 200;

/// What happens in here is counted. Nothing else is.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    work();
    // Not a tail call, which would leave before the work is done.
    black_box(());
}

/// Every case.
pub(crate) fn names() -> impl Iterator<Item = String> {
    let calls = trestle_bench::scenarios().into_iter().map(|scenario| scenario.name.to_owned());
    let srtp = Profile::ALL
        .into_iter()
        .flat_map(|profile| ["protect", "unprotect"].map(|verb| format!("srtp {verb} {}", profile.name())));
    let rest = ["jitter buffer", "sdp parse", "sdp write", "negotiate offer", "ng decode json", "ng encode json"];
    let more = ["ng decode bencode", "ng encode bencode", "ng understand"];
    calls.chain(srtp).chain(rest.into_iter().chain(more).map(str::to_owned))
}

/// Runs the case; gives how many packets or messages it was. `None` if there is no such case.
pub(crate) fn run(name: &str) -> Option<u64> {
    if let Some(scenario) = trestle_bench::scenarios().into_iter().find(|scenario| scenario.name == name) {
        return Some(call(&scenario));
    }
    if let Some(words) = name.strip_prefix("srtp ") {
        let (verb, profile) = words.split_once(' ')?;
        return Some(srtp(verb == "protect", Profile::from_name(profile)?));
    }
    match name {
        "jitter buffer" => jitter_buffer(),
        name => signal(name)?,
    }
    Some(PACKETS)
}

/// All the engine does for two calls, by the packets that their peers send.
fn call(scenario: &trestle_bench::Scenario) -> u64 {
    let mut calls = Calls::new(clock::now(), scenario.sides);
    calls.open(2, &mut trestle_bench::unmetered);
    calls.follow(scenario.scripts);
    calls.pass(SETTLE_TICKS);
    let mut packets = 0;
    for _ in 0..TICKS {
        calls.tick(&mut |piece| {
            let mut work = Work::Timer;
            let mut piece = || work = piece();
            counted(&mut piece);
            packets += u64::from(matches!(work, Work::Audio | Work::Event));
        });
    }
    packets
}

fn srtp(protect: bool, profile: Profile) -> u64 {
    let size = 172;
    let bytes: Vec<u8> = (1..=46).collect();
    let material =
        trestle_srtp::KeyingMaterial::from_key_and_salt(profile, &bytes[..profile.key_len() + profile.salt_len()]);
    let material = material.expect("the profile's lengths");
    let (mut sender, mut receiver) = (SrtpContext::new(&material), SrtpContext::new(&material));
    for n in 0..PACKETS + 1 {
        let header = rtp::Header {
            marker: false,
            pt: Pt::PCMA,
            seq: Seq(n as u16),
            time: RtpTime(n as u32 * 160),
            ssrc: Ssrc(7),
        };
        let mut packet = header.write().to_vec();
        packet.resize(size, 0xd5);
        packet.resize(size + OVERHEAD_MAX, 0);
        let mut len = 0;
        let mut seal = || len = sender.protect_rtp(&mut packet, size).expect("a new index");
        // The first packet makes room for its stream.
        if protect && n > 0 {
            counted(&mut seal)
        } else {
            seal()
        }
        let mut open = || {
            black_box(receiver.unprotect_rtp(&mut packet[..len]).expect("our own packet"));
        };
        if !protect && n > 0 { counted(&mut open) } else { open() }
    }
    PACKETS
}

/// Frames in order but for every tenth, which its neighbour overtakes.
fn jitter_buffer() {
    let mut playout = Playout::default();
    let start = clock::now();
    let payload = [0xd5; 160];
    for n in 0..PACKETS {
        let seq = match n % 10 {
            8 => n + 1,
            9 => n - 1,
            _ => n,
        };
        let now = start + Duration::from_millis(20 * n);
        let arrival = SourceFrame {
            source: 1,
            seq: ExtSeq(seq),
            time: RtpTime(seq as u32 * 160),
            codec: Codec::Pcma,
            duration_us: 20_000,
            payload: &payload,
        };
        counted(&mut || {
            black_box(playout.push(now, &arrival)).ok();
            while let Some(due) = playout.poll() {
                black_box(due);
            }
            black_box(playout.poll_timeout());
        });
    }
}

fn signal(name: &str) -> Option<()> {
    let json = signalling::offer();
    let (encoding, dict) = frame::read(&json).ok()?;
    let bencoded = bencode::write(&dict);
    let sdp = Sdp::parse(signalling::META_OFFER).ok()?;
    let environment = signalling::environment();
    let (session, signal) = (trestle_negotiate::Session::default(), signalling::signal());
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    let mut work: Box<dyn FnMut() + '_> = match name {
        "sdp parse" => Box::new(|| drop(black_box(Sdp::parse(black_box(signalling::META_OFFER))))),
        "sdp write" => Box::new(|| drop(black_box(sdp.to_string()))),
        "negotiate offer" => Box::new(|| {
            let step = session.offer(black_box(&signal), &environment, &mut rng).expect("an offer to bridge");
            let ports: Vec<_> = step.legs.iter().map(|(leg, _)| signalling::ports(*leg)).collect();
            black_box(step.description.write(&ports));
        }),
        "ng decode json" => Box::new(|| drop(black_box(frame::read(black_box(&json))))),
        "ng encode json" => Box::new(|| drop(black_box(encoding.write(black_box(&dict))))),
        "ng decode bencode" => Box::new(|| drop(black_box(frame::read(black_box(&bencoded))))),
        "ng encode bencode" => Box::new(|| drop(black_box(bencode::write(black_box(&dict))))),
        "ng understand" => Box::new(|| drop(black_box(Request::read(black_box(&dict))))),
        _ => return None,
    };
    work();
    (0..PACKETS).for_each(|_| counted(&mut *work));
    Some(())
}
