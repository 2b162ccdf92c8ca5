//! What only WhatsApp needs, over real sockets: nothing before the gate opens, nothing of the agent's first words lost, and
//! one stream whatever the agent's phone does.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trestle_peers::{Codec, Phone};

use crate::calls::{PHONE_HZ, Recipe, SipSide, WEBRTC_HZ, WebRtc, fairly, phone_calls, webrtc_calls};
use crate::engine::{Encoding, Engine};
use crate::line::Line;
use crate::meta::Meta;

const PLAIN_PCMA: SipSide = SipSide { codec: Codec::Pcma, suite: None };

/// How long the agent talks before the gate opens.
const EARLY: Duration = Duration::from_millis(1_500);

fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// A call whose gate is shut, with DTLS up and an agent who talks.
fn gated(by_phone: bool) -> (Engine, Meta, Line) {
    let mut engine = Engine::start(Encoding::Json);
    engine.always = json!({"gate": "shut"});
    let mut meta = Meta::start(engine.address(2), WEBRTC_HZ);
    let recipe = Recipe::Profile("whatsapp");
    let phone = if by_phone {
        phone_calls(&mut engine, &mut meta, PLAIN_PCMA, recipe)
    } else {
        webrtc_calls(&mut engine, &mut meta, PLAIN_PCMA, recipe)
    };
    let connected = meta.ask(json!({"do": "connect"}));
    println!("connected: {connected}");
    (engine, meta, phone)
}

fn leg(engine: &mut Engine) -> Value {
    let written = engine.request(&json!({"command": "query", "call-id": "call", "flags": ["verbose"]}));
    let legs = written["tags"].as_object().expect("tags").values().map(|tag| tag["leg"].clone());
    legs.max_by_key(|leg| leg["pre-roll-ms"].as_u64()).expect("legs")
}

#[test]
fn nothing_leaves_towards_whatsapp_before_the_gate_opens_and_no_word_is_lost() {
    for by_phone in [false, true] {
        let (mut engine, mut meta, phone) = gated(by_phone);
        pause(EARLY);
        phone.wait_until("a second of its own speech", |phone| phone.packets_sent() >= 50);
        let early = meta.ask(json!({"do": "report"}));
        assert_eq!(early["secured"], 0, "RTP or RTCP before the gate opened: {early}");

        let asked = Instant::now();
        engine.request(&json!({"command": "gate", "call-id": "call", "op": "open"}));
        meta.ask(json!({"do": "listen", "digits": 0, "audio_ms": 20}));
        println!("first packet within {:?} of the application's word", asked.elapsed());
        meta.ask(json!({"do": "talk"}));
        meta.ask(json!({"do": "listen", "digits": 0, "audio_ms": 4_000}));
        let leg = leg(&mut engine);
        println!("{leg}");
        assert_eq!(leg["clipped-ms"], 0);
        assert!(leg["pre-roll-ms"].as_u64() > Some(1_000), "{leg}");
        let report = meta.ask(json!({"do": "report"}));
        assert_one_stream(&report);
        let tone = &report["stream"]["tone"];
        assert!((tone["hz"].as_f64().unwrap() - PHONE_HZ).abs() < 3.0, "played faster, and yet at its pitch: {tone}");
        engine.end();
    }
}

#[test]
fn whatsapp_gets_one_stream_whatever_the_phone_does() {
    fairly(
        || {
            let (mut engine, mut meta, phone) = gated(false);
            engine.always = Value::Null;
            engine.request(&json!({"command": "gate", "call-id": "call", "op": "open"}));
            meta.ask(json!({"do": "talk"}));
            pause(EARLY);
            phone.with(|phone, _| phone.change_ssrc());
            pause(EARLY);
            phone.with(|phone, _| phone.set_hold(true));
            re_offer(&mut engine, &mut meta, &phone);
            phone.with(|phone, _| phone.set_silent(true));
            pause(EARLY);
            phone.with(|phone, _| phone.set_hold(false));
            phone.with(|phone, _| phone.set_codecs(vec![Codec::Pcmu]));
            re_offer(&mut engine, &mut meta, &phone);
            phone.with(|phone, _| phone.set_silent(false));
            meta.ask(json!({"do": "listen", "digits": 0, "audio_ms": 7_000}));
            let report = meta.ask(json!({"do": "report"}));
            let stall = phone.worst_stall().max(Duration::from_secs_f64(report["stall_s"].as_f64().unwrap()));
            engine.end();
            (report, stall)
        },
        |report| {
            assert_one_stream(report);
            let drift_ms = report["stream"]["drift_ms"].as_f64().unwrap();
            assert!(drift_ms.abs() < 30.0, "timestamps left the wall clock: {report}");
        },
    );
}

/// The phone offers anew; the proxy answers with WhatsApp's last SDP.
fn re_offer(engine: &mut Engine, meta: &mut Meta, phone: &Line) {
    let offer = phone.with(|phone, _| Phone::offer(phone));
    let request = |command: &str, sdp: &str| json!({"command": command, "call-id": "call", "from-tag": "callee", "to-tag": "caller", "sdp": sdp});
    engine.request(&request("offer", &offer));
    let written = engine.request(&request("answer", &meta.offer()));
    let written = written["sdp"].as_str().expect("an SDP").to_owned();
    phone.with(|phone, now| phone.accept(now, &written)).unwrap_or_else(|error| panic!("{error}\n{written}"));
}

fn assert_one_stream(report: &Value) {
    let stream = &report["stream"];
    assert_eq!(stream["ssrcs"], json!([report["ssrc_signalled"]]), "one SSRC, and that of a=ssrc");
    for fault in ["lost", "duplicates", "reordered", "unknown_pt", "undecodable", "malformed", "ptime_violations"] {
        assert_eq!(stream[fault], 0, "{fault}: {stream}");
    }
    assert_eq!(report["unauthenticated"], 0);
}
