//! Checks docs/FLAGS.md: each of its lines is put into an offer, and the result must match the document.

use super::*;

const DOCUMENT: &str = include_str!("../../../../docs/FLAGS.md");

/// Has every codec that is spoken, and digits.
const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 41000 RTP/AVP 111 \
                     8 0 101\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n";

/// First and second column of the lines that begin with a flag.
fn lines() -> Vec<(&'static str, &'static str)> {
    let flag = |line: &'static str| {
        let (flag, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        Some((flag, rest.split_once(" |")?.0))
    };
    DOCUMENT.lines().filter_map(flag).collect()
}

#[test]
fn every_flag_has_the_documented_effect() {
    let mut wrong = Vec::new();
    for (flag, verdict) in lines() {
        let mut world = World::new();
        let request = serde_json::json!({
            "command": "offer", "call-id": "c", "from-tag": "a", "sdp": OFFER, "rtpp-flags": flag,
            "received-from": ["IP4", "192.0.2.9"],
        });
        let reply = world.send(format!("1 {request}")).expect("a reply");
        let reply: serde_json::Value = serde_json::from_str(reply.strip_prefix("1 ").unwrap()).unwrap();
        let became = match (reply["result"].as_str(), reply.get("warnings")) {
            (Some("ok"), None) => "taken",
            (Some("ok"), Some(_)) => "ignores",
            _ => "refuses",
        };
        let expected = if matches!(verdict, "does" | "same") { "taken" } else { verdict };
        if became != expected {
            wrong.push(format!("{flag}: {verdict} in the document, but {reply}"));
        }
    }
    assert!(lines().len() > 150, "only {} rows were found", lines().len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_offer_with_our_mark_is_returned_unchanged_and_opens_no_call() {
    let mut world = World::new();
    let marked = world.sdp(&offer("c").with("flags", "loop-protect"));
    assert_eq!(marked.matches("a=rtpengine:").count(), 1, "{marked}");
    let again = command("offer", "looped").with("from-tag", "x").with("sdp", marked.as_str());
    assert_eq!(world.sdp(&again.clone().with("flags", "loop-protect")), marked);
    assert_eq!(world.listed(), ["c"]);
    // Without the flag it names our own port.
    assert!(world.error(&again).contains("it is a media port of this Trestle"));
    // With the mark and the ports of another node it is an ordinary offer.
    let foreign = with_port(&marked, 42_000).replace("a=rtpengine:", "a=rtpengine:f");
    let foreign = command("offer", "foreign").with("from-tag", "x").with("sdp", foreign);
    world.sdp(&foreign.with("flags", "loop-protect"));
    assert_eq!(world.listed(), ["c", "foreign"]);
}

#[test]
fn drop_traffic_blocks_all_media_until_it_is_cancelled() {
    use trestle_core::plan::{AudioMuting, Muting};
    let mut world = World::new();
    world.sdp(&offer("c").with("drop-traffic", "start"));
    world.sdp(&answer("c"));
    let muting = |world: &World| [0, 1].map(|leg| world.engine().plans[&LegId(leg)].send.muting);
    assert_eq!(muting(&world), [Muting { audio: AudioMuting::NoPackets, digits: true }; 2]);
    world.sdp(&offer("c").with("drop-traffic", "stop"));
    assert_eq!(muting(&world), [Muting::default(); 2]);
}

#[test]
fn reject_ice_leaves_nothing_of_an_offer_with_dtls() {
    let mut world = World::new();
    let meta = command("offer", "c").with("sdp", META).with("from-tag", "wa").with("flags", "reject-ICE");
    let reason = world.error(&meta);
    assert!(reason.starts_with("Error rewriting SDP: reject-ICE"), "{reason}");
}

/// What an `m=` line lists.
fn formats(sdp: &str) -> &str {
    let line = sdp.lines().find(|line| line.starts_with("m=audio ")).expect("audio");
    line.splitn(4, ' ').nth(3).expect("formats")
}

/// An SDP of Trestle as the SDP of a peer on these ports.
fn with_port(sdp: &str, new: u16) -> String {
    let old = port(sdp);
    sdp.replace(&format!("m=audio {old}"), &format!("m=audio {new}"))
        .replace(&format!("a=rtcp:{}", old + 1), &format!("a=rtcp:{}", new + 1))
}

#[test]
fn an_ignored_codec_is_treated_as_not_offered() {
    let mut world = World::new();
    let offer = command("offer", "c").with("sdp", OFFER).with("from-tag", "a");
    let local = world.sdp(&offer.with("codec-ignore", "opus"));
    assert_eq!(formats(&local), "8 0 101");
    let answer = command("answer", "c").with("from-tag", "a").with("to-tag", "b");
    let local = world.sdp(&answer.with("sdp", with_port(&local, 42_000)).with("codec-ignore", "PCMA"));
    assert_eq!(formats(&local), "0 101", "neither the offer's opus nor the answer's PCMA");
}

#[test]
fn a_reoffer_that_reuses_codecs_begins_with_the_one_in_use() {
    let mut world = World::new();
    let offer = || command("offer", "c").with("sdp", OFFER).with("from-tag", "a");
    let local = world.sdp(&offer());
    assert_eq!(formats(&local), "111 8 0 101");
    let pcmu = SDP.replace("RTP/AVP 8", "RTP/AVP 0");
    world.sdp(&command("answer", "c").with("sdp", pcmu).with("from-tag", "a").with("to-tag", "b"));
    let again = || offer().with("to-tag", "b");
    assert_eq!(formats(&world.sdp(&again())), "111 8 0 101");
    assert_eq!(formats(&world.sdp(&again().with("flags", "reuse-codecs"))), "0 111 8 101");
    let all =
        command("answer", "c").with("sdp", OFFER.replace("41000", "42000")).with("from-tag", "a").with("to-tag", "b");
    let local = world.sdp(&all.with("flags", "reuse-codecs,single-codec"));
    assert_eq!(formats(&local), "0 101");
}

#[test]
fn a_group_can_be_rejected_except_towards_whatsapp() {
    let mut world = World::new();
    for (profile, groups) in [("webrtc", 0), ("whatsapp", 1)] {
        let offer = command("offer", profile).with("sdp", OFFER).with("from-tag", "a").with("profile", profile);
        let local = world.sdp(&offer.with("bundle", "reject"));
        assert_eq!(local.matches("a=group:").count(), groups, "{profile}: {local}");
    }
}
