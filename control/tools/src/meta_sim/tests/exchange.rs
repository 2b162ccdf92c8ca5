//! What the application sees of Graph.

use serde_json::{Value, json};

use super::super::exchange::SimExchange;
use super::super::graph::{PhoneNumbers, SignalDirection};
use super::*;

const ID: &str = "wacid.sim";
const NUMBER: &str = "106540352242922";

fn graph(direction: SignalDirection) -> SimExchange {
    let ends =
        PhoneNumbers { phone_number_id: NUMBER.into(), business: "15550783881".into(), user: "16315553601".into() };
    SimExchange::new(ends, direction, ID.into())
}

struct Desk {
    world: World,
    graph: SimExchange,
}

impl Desk {
    /// A user calls.
    fn called() -> (Self, String) {
        let mut world = World::new(script(SignalDirection::UserInitiated));
        let offer = world.call.offer(world.now).unwrap();
        let mut graph = graph(SignalDirection::UserInitiated);
        graph.begin(1_700_000_000, &offer);
        let answer = world.engine.answer(world.now, &offer).unwrap();
        (Self { world, graph }, answer)
    }

    fn ask(&mut self, body: &Value) -> (u16, Value) {
        let mut body = body.clone();
        body["messaging_product"] = "whatsapp".into();
        let now = self.world.now;
        self.graph.handle_request(now, 1_700_000_001, NUMBER, body.to_string().as_bytes(), &mut self.world.call)
    }

    fn act(&mut self, action: &str, sdp: Option<&str>) -> (u16, Value) {
        let mut body = json!({"call_id": ID, "action": action});
        if let Some(sdp) = sdp {
            body["session"] = json!({"sdp_type": "answer", "sdp": sdp});
        }
        self.ask(&body)
    }

    /// The value of each hook that is due.
    fn hooks(&mut self) -> Vec<Value> {
        self.graph.look(1_700_000_002, &self.world.call);
        let value = |hook: Value| {
            assert_eq!(hook["object"], "whatsapp_business_account");
            assert_eq!(hook["entry"][0]["changes"][0]["field"], "calls");
            hook["entry"][0]["changes"][0]["value"].clone()
        };
        std::iter::from_fn(|| self.graph.poll_hook()).map(value).collect()
    }
}

fn code(answer: &(u16, Value)) -> (u16, u64) {
    (answer.0, answer.1["error"]["code"].as_u64().unwrap_or(0))
}

#[test]
fn a_user_calls_is_pre_accepted_accepted_and_hung_up_on() {
    let (mut desk, answer) = Desk::called();
    let hooks = desk.hooks();
    assert_eq!(hooks.len(), 1);
    let call = &hooks[0]["calls"][0];
    assert_eq!((&call["event"], &call["direction"]), (&json!("connect"), &json!("USER_INITIATED")));
    assert_eq!(call["session"]["sdp_type"], "offer");
    assert_eq!(hooks[0]["metadata"]["phone_number_id"], NUMBER);
    assert_eq!(desk.act("pre_accept", Some(&answer)), (200, json!({"messaging_product": "whatsapp", "success": true})));
    assert!(!desk.world.call.is_accepted());
    assert_eq!(desk.act("accept", Some(&answer)).0, 200);
    assert!(desk.world.call.is_accepted());
    assert_eq!(code(&desk.act("accept", Some(&answer))), (400, 100), "it is in progress");
    assert_eq!(desk.hooks(), [json!(null); 0]);
    assert_eq!(desk.act("terminate", None).0, 200);
    assert_eq!(desk.world.call.ended(), Some(CallEnding::BusinessHungUp));
    let hooks = desk.hooks();
    assert_eq!(hooks.len(), 1);
    let call = &hooks[0]["calls"][0];
    assert_eq!((&call["event"], &call["status"]), (&json!("terminate"), &json!("COMPLETED")));
    assert_eq!(desk.hooks(), [json!(null); 0], "once");
    assert_eq!(code(&desk.act("terminate", None)), (400, 100), "it is over");
}

#[test]
fn accept_alone_is_enough_and_another_answer_than_before_is_refused() {
    let (mut desk, answer) = Desk::called();
    assert_eq!(desk.act("accept", Some(&answer)).0, 200);
    assert!(desk.world.call.is_accepted());
    let (mut desk, answer) = Desk::called();
    assert_eq!(desk.act("pre_accept", Some(&answer)).0, 200);
    let (status, body) = desk.act("accept", Some(&answer.replace("s=call", "s=-")));
    assert_eq!(status, 400);
    assert!(body["error"]["error_data"]["details"].as_str().unwrap().contains("does not match"), "{body}");
    assert!(!desk.world.call.is_accepted());
    assert_eq!(desk.act("reject", None).0, 200);
    assert_eq!(desk.world.call.ended(), Some(CallEnding::Rejected));
}

#[test]
fn a_bad_description_is_138008_and_the_details_say_why() {
    let (mut desk, answer) = Desk::called();
    let crypto = answer.lines().find(|line| line.starts_with("a=crypto")).unwrap();
    let twice = answer.replace(crypto, &format!("{crypto}\r\n{}", crypto.replace(":1 ", ":2 ")));
    let (status, body) = desk.act("accept", Some(&twice));
    let error = &body["error"];
    assert_eq!((status, &error["code"], &error["error_subcode"]), (400, &json!(138_008), &json!(2_593_093)));
    assert_eq!(error["message"], "(#138008) SDP Validation error");
    assert!(error["error_data"]["details"].as_str().unwrap().contains("one-crypto"), "{body}");
    assert_eq!(desk.act("accept", Some(&answer)).0, 200, "a better one is taken");
    assert!(!SimVerdict::of(&desk.world.call).good, "and the bad one is not forgotten");
}

#[test]
fn requests_that_graph_does_not_take() {
    let (mut desk, answer) = Desk::called();
    let session = |kind: &str| json!({"sdp_type": kind, "sdp": answer});
    for (body, expected, word) in [
        (json!({"call_id": ID, "action": "accept", "session": session("offer")}), (400, 100), "sdp_type"),
        (json!({"call_id": ID, "action": "accept"}), (400, 100), "sdp_type"),
        (json!({"call_id": ID, "action": "dance"}), (400, 100), "dance"),
        (json!({"call_id": ID}), (400, 100), "action is missing"),
        (json!({"action": "accept", "session": session("answer")}), (400, 100), "call_id is missing"),
        (json!({"call_id": "other", "action": "terminate"}), (400, 100), "no call"),
        (json!({"action": "connect", "to": "1", "session": session("offer")}), (401, 138_006), "call"),
    ] {
        let answer = desk.ask(&body);
        assert_eq!(code(&answer), expected, "{body}");
        let details = answer.1["error"]["error_data"]["details"].as_str().unwrap();
        assert!(details.contains(word), "{details}");
    }
    let now = desk.world.now;
    let call = &mut desk.world.call;
    assert_eq!(desk.graph.handle_request(now, 0, "1", b"{}", call).0, 400, "another number");
    assert_eq!(desk.graph.handle_request(now, 0, NUMBER, b"no JSON", call).0, 400);
    assert_eq!(desk.graph.handle_request(now, 0, NUMBER, b"{}", call).0, 400, "without messaging_product");
}

#[test]
fn a_business_calls_and_receives_every_step() {
    let world = World::new(script(SignalDirection::BusinessInitiated));
    let mut desk = Desk { world, graph: graph(SignalDirection::BusinessInitiated) };
    let offer = desk.world.engine.offer();
    let connect = |to: &str| json!({"action": "connect", "to": to, "session": {"sdp_type": "offer", "sdp": offer}});
    assert_eq!(code(&desk.ask(&connect("4711"))), (401, 138_006), "no permission");
    let (status, body) = desk.ask(&connect("+16315553601"));
    assert_eq!((status, &body["calls"][0]["id"]), (200, &json!(ID)));
    assert_eq!(code(&desk.ask(&connect("16315553601"))), (400, 138_003), "a second call");
    let hooks = desk.hooks();
    assert_eq!(hooks.len(), 2);
    let session = &hooks[0]["calls"][0]["session"];
    assert_eq!(session["sdp_type"], "answer");
    assert_eq!(hooks[1]["statuses"][0]["status"], "RINGING");
    desk.world.engine.accept(desk.world.now, session["sdp"].as_str().unwrap()).unwrap();
    desk.world.run(1.1);
    assert_eq!(desk.hooks()[0]["statuses"][0]["status"], "ACCEPTED");
    desk.world.run(6.0);
    let hooks = desk.hooks();
    assert_eq!((hooks.len(), &hooks[0]["calls"][0]["direction"]), (1, &json!("BUSINESS_INITIATED")));
}

#[test]
fn a_call_without_received_audio_fails_with_its_code() {
    let (mut desk, answer) = Desk::called();
    desk.world.call = {
        let long = UserScript { length: Duration::from_secs(60), ..script(SignalDirection::UserInitiated) };
        let mut call = SimulatedCall::new(desk.world.now, long);
        call.offer(desk.world.now).unwrap();
        call
    };
    desk.world.engine.set_silent(true);
    assert_eq!(desk.act("accept", Some(&answer)).0, 200);
    desk.hooks();
    desk.world.run(25.0);
    let hooks = desk.hooks();
    assert_eq!(hooks[0]["calls"][0]["status"], "FAILED");
    assert_eq!(hooks[0]["errors"][0]["code"], 138_021);
}
