//! Anomalies in Meta's SDP have a warning and a counter.

use super::*;

fn offered(world: &mut World, sdp: &str) -> serde_json::Value {
    let request = serde_json::json!({"command": "offer", "call-id": "c", "from-tag": "a", "sdp": sdp});
    let reply = world.send(format!("1 {request}")).expect("a reply");
    serde_json::from_str(reply.strip_prefix("1 ").unwrap()).unwrap()
}

#[test]
fn an_unusual_offer_of_meta_is_applied_with_a_warning() {
    let meta = super::meta_samples::meta_sample("user_initiated.sip_webrtc.meta_offer");
    let mut world = World::new();
    let reply = offered(&mut world, &meta.replace("SAVPF 111 126", "SAVPF 111"));
    assert_eq!(reply["result"], "ok", "{reply}");
    let warnings = reply["warnings"].as_array().unwrap();
    assert!(warnings.len() == 1 && warnings[0].as_str().unwrap().contains("telephone-event/8000"), "{reply}");
    assert_eq!(world.controller.counters().sdp_anomalies.get("telephone-event"), 1);
}

#[test]
fn a_usual_offer_and_the_offer_of_a_phone_have_no_warning() {
    let meta = super::meta_samples::meta_sample("user_initiated.sip_webrtc.meta_offer");
    for sdp in [meta, SDP] {
        let mut world = World::new();
        let reply = offered(&mut world, sdp);
        assert_eq!((&reply["result"], reply.get("warnings")), (&"ok".into(), None), "{reply}");
        assert_eq!(world.controller.counters().sdp_anomalies.iter().count(), 0);
    }
}
