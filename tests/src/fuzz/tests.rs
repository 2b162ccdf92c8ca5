use std::fs;
use std::path::Path;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{
    compat, dtls_glue, dtmf, engine_sim, jitter_plc, leg_preauth, ng_datagram, opus_in, rtcp, rtp_rewrite, sdp,
    settings, srtp_model, stun,
};

/// Runs every input that ever failed, then `count` random ones. Gives the sum of what was checked.
fn replay(target: &str, body: fn(&[u8]) -> usize, count: u64, len_max: usize) -> usize {
    let regressions = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/regressions").join(target);
    let mut files: Vec<_> = fs::read_dir(&regressions)
        .unwrap_or_else(|error| panic!("{}: {error}", regressions.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        println!("{}", file.display());
        body(&fs::read(file).unwrap());
    }
    let random = (0..count).map(|seed| {
        println!("seed {seed}");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut input = vec![0; 1 + rng.next_u32() as usize % len_max];
        rng.fill_bytes(&mut input);
        body(&input)
    });
    random.sum()
}

#[test]
fn strangers_change_nothing_in_a_call() {
    let checked = replay("leg_preauth", leg_preauth, 300, 2_000);
    assert!(checked > 1_000, "{checked} packets spoken or hostile");
}

#[test]
fn control_datagrams_have_one_reply_and_no_effect_if_refused() {
    let checked = replay("ng_datagram", ng_datagram, 100, 800);
    assert!(checked > 200, "{checked} replies");
}

#[test]
fn srtp_agrees_with_its_model() {
    let checked = replay("srtp_model", srtp_model, 200, 4_000);
    assert!(checked > 2_000, "{checked} packets");
}

#[test]
fn packets_read_back_and_numbers_are_used_once() {
    let checked = replay("rtp_rewrite", rtp_rewrite, 500, 2_000);
    assert!(checked > 10_000, "{checked} packets and numbers");
}

#[test]
fn descriptions_are_fix_points_and_answers_keep_to_their_offers() {
    replay("sdp", sdp, 100, 1_000);
    // Random bytes are no SDP; real ones with random flags go the whole way.
    let mut whole_way = 0;
    for (n, sample) in super::samples::SDP.iter().enumerate() {
        for seed in 0..40 {
            println!("sample {n} seed {seed}");
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut choices = [0; 24];
            // Zero separates the parts.
            choices.fill_with(|| (rng.next_u32() as u8).max(1));
            whole_way += usize::from(sdp(&[sample.as_bytes(), &[0], &choices].concat()) == 3);
        }
    }
    assert!(whole_way > 100, "{whole_way} calls negotiated");
}

#[test]
fn rtcp_reads_within_its_lengths_and_what_we_write_reads_back() {
    let checked = replay("rtcp", rtcp, 4_000, 1_500);
    assert!(checked > 4_000, "{checked} packets");
}

#[test]
fn digits_are_received_once_and_sent_in_the_shape_of_the_rfc() {
    let checked = replay("dtmf", dtmf, 2_000, 600);
    assert!(checked > 5_000, "{checked} digits");
}

#[test]
fn each_tick_of_a_playout_has_one_frame_in_order() {
    let checked = replay("jitter_plc", jitter_plc, 200, 1_000);
    assert!(checked > 2_000, "{checked} frames");
}

#[test]
fn libopus_gets_only_packets_that_conform() {
    let checked = replay("opus_in", opus_in, 1_000, 1_500);
    assert!(checked > 2_000, "{checked} packets decoded");
}

#[test]
fn a_check_without_credentials_has_no_reply() {
    let checked = replay("stun", stun, 300, 2_000);
    assert!(checked > 2_000, "{checked} datagrams");
}

#[test]
fn a_handshake_completes_among_strangers() {
    let checked = replay("dtls_glue", dtls_glue, 20, 1_500);
    assert!(checked > 100, "{checked} packets spoken or hostile");
}

#[test]
fn a_request_means_the_same_in_json_and_in_bencode() {
    let checked = replay("compat", compat, 4_000, 600);
    assert!(checked > 7_000, "{checked} dictionaries");
}

#[test]
fn a_settings_file_is_read_or_refused_with_a_bounded_text() {
    let read = replay("settings", settings, 600, 400);
    assert!(read > 100, "{read} files read");
}

#[test]
fn trials_of_the_judge_run_from_bytes() {
    assert!(replay("engine_sim", engine_sim, 2, 8) > 0);
}
