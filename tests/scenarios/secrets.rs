//! Keys, passwords and digits are in no log line and in no report.

#![expect(clippy::disallowed_types, reason = "the writer of the log must be shared and `Send`; no thread waits for it")]

use std::io;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tracing_subscriber::layer::SubscriberExt;
use trestle_peers::{Meta, Phone};
use trestle_world::{World, calls};

/// What is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no other thread").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The keys and passwords in a description: values of `inline:` and of `a=ice-pwd:`.
fn secrets(sdp: &str) -> Vec<String> {
    let values = ["inline:", "a=ice-pwd:"].into_iter().flat_map(|name| sdp.split(name).skip(1));
    values.map(|rest| rest.split([' ', '|', '\r', '\n']).next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn no_key_no_password_and_no_digit_is_in_the_log_or_in_a_report() {
    let log = Log::default();
    let writer = log.clone();
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).without_time().with_writer(move || writer.clone());
    // As the daemon filters at the most verbose level.
    let filter = trestle_server::log_filter(tracing::level_filters::LevelFilter::TRACE);
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    let mut known = Vec::new();
    let mut shown = String::new();
    tracing::subscriber::with_default(subscriber, || {
        let mut world = World::new(1_201);
        let (meta, phone) = (Meta::new(world.now(), calls::meta()), Phone::new(world.now(), calls::phone_sdes()));
        let (meta, phone) = (world.add_meta(meta), world.add_phone(phone));
        let now = world.now();
        let offered = world.meta(meta).offer(now).expect("Meta's offer");
        let flags = json!({"ICE": "remove", "DTLS": "off", "transport-protocol": "RTP/SAVP"});
        let to_phone = calls::offer_sdp(&mut world, "c", "whatsapp", &offered, flags);
        let answered = world.phone(phone).answer(now, &to_phone).expect("an answer");
        let to_meta = calls::answer_sdp(&mut world, "c", "whatsapp", "agent", &answered);
        world.meta(meta).accept(now, &to_meta).expect("an answer for Meta");
        let call = calls::Call { id: "c".to_owned(), meta, phone };
        world.run_for_ms(2_000);
        world.whatsapp_presses(&call, "479", 200);
        world.phone_presses(&call, "815", 200);
        world.ng(&json!({"command": "play DTMF", "call-id": "c", "from-tag": "agent", "code": "6"}));
        world.run_for_ms(1_000);
        // A malformed description is logged with its line.
        world.ng(&json!({"command": "offer", "call-id": "d", "from-tag": "a", "sdp": answered.replace("inline:", "INLINE ")}));
        for request in [
            json!({"command": "query", "call-id": "c", "flags": ["verbose"]}),
            json!({"command": "query", "call-id": "c", "flags": ["verdict"]}),
            json!({"command": "list"}),
            json!({"command": "statistics"}),
            json!({"command": "delete", "call-id": "c"}),
            json!({"command": "query", "call-id": "c", "flags": ["verdict"]}),
        ] {
            let reply = world.ng(&request);
            assert_eq!(reply["result"], "ok", "{reply}");
            shown += &reply.to_string();
        }
        assert_eq!(world.meta(meta).report().stream.digits_received(), "8156", "digits arrive");
        for sdp in [&offered, &to_phone, &answered, &to_meta] {
            known.extend(secrets(sdp));
        }
    });
    shown += &String::from_utf8_lossy(&log.0.lock().expect("no other thread"));
    assert!(shown.contains("digit") && shown.contains("call ended"), "{shown}");
    assert!(known.len() >= 4, "{known:?}");
    for secret in &known {
        assert!(secret.len() >= 22, "{secret}");
        assert!(!shown.contains(secret.as_str()), "{secret} is shown");
    }
    for digits in ["\"479", "\"815", "digit=", "pressed 479"] {
        assert!(!shown.contains(digits), "{digits}: {shown}");
    }
}
