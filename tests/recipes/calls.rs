//! The calls. Each is made once through each recipe.

use trestle_peers::ear;
use trestle_tools::meta_sim::graph::SignalDirection;

use crate::bridge::{Bridge, PBX_HZ, Recipe, USER_HZ};
use crate::graph::{self, USER, VERIFY_TOKEN};
use crate::message::Message;
use crate::wire::Wire;

const ID: &str = "wacid.HBgLMTYzMTU1NTM2MDEVAgASGCA";
const USER_INITIATED: SignalDirection = SignalDirection::UserInitiated;
const BUSINESS_INITIATED: SignalDirection = SignalDirection::BusinessInitiated;

macro_rules! through_both_recipes {
    ($($call:ident)*) => {
        mod python {
            $(#[test] fn $call() { super::$call(super::Recipe::Python); })*
        }
        mod node {
            $(#[test] fn $call() { super::$call(super::Recipe::Node); })*
        }
    };
}

through_both_recipes! {
    a_user_calls_the_pbx_rings_and_whatsapp_hangs_up
    both_sides_exchange_audio
    whatsapp_receives_nothing_before_accept_and_then_the_first_word
    a_ringing_phone_receives_no_audio
    the_pbx_hangs_up_and_the_call_on_whatsapp_is_terminated
    the_pbx_declines_and_the_call_is_rejected
    a_user_who_gives_up_while_it_rings_stops_the_ringing
    what_ended_before_it_began_does_not_begin
    a_stale_call_and_a_forged_one_do_not_begin
    a_refused_accept_ends_the_call_everywhere
    the_pbx_calls_a_user_who_accepts
    events_overtake_the_reply_that_names_their_call
    a_user_who_declines_is_busy_to_the_pbx
    the_pbx_gives_up_while_graph_still_thinks
    a_call_without_permission_fails_at_the_pbx
    the_web_hook_signature_verifies
}

/// Up to the 200 of the PBX: the answer that WhatsApp has got, and the INVITE.
fn accepted_call(bridge: &mut Bridge) -> (String, Message) {
    let offer = bridge.meta_offer();
    assert_eq!(bridge.graph.deliver(&graph::offered(ID, &offer)), 200);
    let invite = bridge.pbx.expect("INVITE");
    assert!(invite.start.starts_with("INVITE sip:4711@"), "{}", invite.start);
    assert!(invite.header("From").contains(&format!("sip:{USER}@")), "{}", invite.header("From"));
    let answer = bridge.phone_answer(&invite.body);
    bridge.pbx.respond(&invite, 100, "");
    bridge.pbx.respond(&invite, 180, "");
    bridge.pbx.respond(&invite, 200, &answer);
    bridge.pbx.expect("ACK");
    let pre_accept = bridge.graph.expect("pre_accept").about(ID).with_session("answer");
    let sdp = pre_accept.sdp().to_owned();
    pre_accept.succeed();
    let accept = bridge.graph.expect("accept").about(ID).with_session("answer");
    assert_eq!(accept.sdp(), sdp, "the same bytes");
    accept.succeed();
    (sdp, invite)
}

fn a_user_calls_the_pbx_rings_and_whatsapp_hangs_up(recipe: Recipe) {
    let mut bridge = Bridge::start(recipe);
    let offer = bridge.meta_offer();
    let connect = graph::offered(ID, &offer);
    for _ in 0..2 {
        assert_eq!(bridge.graph.deliver(&connect), 200);
    }
    let invite = bridge.pbx.expect("INVITE");
    bridge.pbx.respond(&invite, 100, "");
    bridge.graph.deliver(&connect);
    let answer = bridge.phone_answer(&invite.body);
    bridge.pbx.respond(&invite, 183, &answer);
    bridge.pbx.respond(&invite, 200, &answer);
    bridge.pbx.expect("ACK");
    let pre_accept = bridge.graph.expect("pre_accept").about(ID).with_session("answer");
    let sdp = pre_accept.sdp().to_owned();
    bridge.meta_accepts(&sdp);
    bridge.graph.deliver(&connect);
    pre_accept.succeed();
    let accept = bridge.graph.expect("accept").about(ID).with_session("answer");
    assert_eq!(accept.sdp(), sdp, "the same bytes");
    accept.succeed();
    bridge.graph.deliver(&connect);
    // The 200 came again: it is acknowledged again, and nothing else happens.
    bridge.pbx.respond(&invite, 200, &answer);
    bridge.pbx.expect("ACK");
    for _ in 0..2 {
        bridge.graph.deliver(&graph::terminated(ID, USER_INITIATED));
    }
    let bye = bridge.pbx.expect("BYE");
    bridge.pbx.respond(&bye, 200, "");
    bridge.graph.deliver(&connect);
    bridge.end();
}

/// WhatsApp calls; the PBX has the INVITE.
fn offered_call(recipe: Recipe) -> (Bridge, Message) {
    let mut bridge = Bridge::start(recipe);
    let offer = bridge.meta_offer();
    bridge.graph.deliver(&graph::offered(ID, &offer));
    let invite = bridge.pbx.expect("INVITE");
    (bridge, invite)
}

fn both_sides_exchange_audio(recipe: Recipe) {
    let mut bridge = Bridge::start(recipe);
    let wire = Wire::open(&bridge);
    let (sdp, _) = accepted_call(&mut bridge);
    bridge.meta_accepts(&sdp);
    let received = |bridge: &Bridge| bridge.meta.recording().len() > 16_000 && bridge.phone.recording().len() > 8_000;
    wire.carry_until(&mut bridge, "a second of speech both ways", received);
    for (pcm, rate_hz, hz) in [(bridge.meta.recording(), 16_000, PBX_HZ), (bridge.phone.recording(), 8_000, USER_HZ)] {
        let tone = ear::dominant_tone(&pcm[pcm.len() - rate_hz as usize / 2..], rate_hz).expect("a tone");
        assert!((tone.hz - hz).abs() < 3.0, "{tone:?} instead of {hz} Hz");
    }
    bridge.graph.deliver(&graph::terminated(ID, USER_INITIATED));
    let bye = bridge.pbx.expect("BYE");
    bridge.pbx.respond(&bye, 200, "");
    bridge.end();
}

fn whatsapp_receives_nothing_before_accept_and_then_the_first_word(recipe: Recipe) {
    let mut bridge = Bridge::start(recipe);
    let wire = Wire::open(&bridge);
    let offer = bridge.meta_offer();
    bridge.graph.deliver(&graph::offered(ID, &offer));
    let invite = bridge.pbx.expect("INVITE");
    let answer = bridge.phone_answer(&invite.body);
    bridge.pbx.respond(&invite, 200, &answer);
    bridge.pbx.expect("ACK");
    let pre_accept = bridge.graph.expect("pre_accept");
    bridge.meta_accepts(pre_accept.sdp());
    pre_accept.succeed();
    let accept = bridge.graph.expect("accept");
    let pbx_hears = |bridge: &Bridge| bridge.meta.is_connected() && bridge.phone.recording().len() > 8_000;
    wire.carry_until(&mut bridge, "a second of speech to the PBX", pbx_hears);
    assert!(bridge.meta.audio_since().is_none(), "WhatsApp receives audio before it was accepted");
    accept.succeed();
    wire.carry_until(&mut bridge, "the PBX at WhatsApp", |bridge| bridge.meta.recording().len() > 16_000);
    bridge.graph.deliver(&graph::terminated(ID, USER_INITIATED));
    let bye = bridge.pbx.expect("BYE");
    bridge.pbx.respond(&bye, 200, "");
    bridge.end();
}

fn a_ringing_phone_receives_no_audio(recipe: Recipe) {
    let mut bridge = Bridge::start(recipe);
    let wire = Wire::open(&bridge);
    let offer = bridge.phone.offer();
    let invite = bridge.pbx.invite(USER, &offer);
    bridge.pbx.expect_status(100);
    let connect = bridge.graph.expect("connect");
    let answer = bridge.meta_answer(connect.sdp());
    connect.ring(ID);
    bridge.graph.deliver(&graph::answered(ID, &answer));
    wire.carry_until(&mut bridge, "a connection to WhatsApp", |bridge| bridge.meta.is_connected());
    assert!(bridge.meta.audio_since().is_none(), "a phone that rings receives audio");
    bridge.graph.deliver(&graph::status(ID, "ACCEPTED"));
    let ok = bridge.pbx.expect_status(200);
    bridge.phone.accept(std::time::Instant::now(), &ok.body).unwrap();
    bridge.pbx.acknowledge(&invite, &ok);
    wire.carry_until(&mut bridge, "the PBX at WhatsApp", |bridge| bridge.meta.recording().len() > 16_000);
    bridge.pbx.hang_up_own(&invite, &ok);
    bridge.graph.expect("terminate").about(ID).succeed();
    bridge.graph.deliver(&graph::terminated(ID, BUSINESS_INITIATED));
    bridge.end();
}

fn the_pbx_hangs_up_and_the_call_on_whatsapp_is_terminated(recipe: Recipe) {
    let mut bridge = Bridge::start(recipe);
    let (sdp, invite) = accepted_call(&mut bridge);
    bridge.meta_accepts(&sdp);
    bridge.pbx.hang_up_other(&invite);
    bridge.graph.expect("terminate").about(ID).succeed();
    bridge.graph.deliver(&graph::terminated(ID, USER_INITIATED));
    bridge.end();
}

fn the_pbx_declines_and_the_call_is_rejected(recipe: Recipe) {
    let (mut bridge, invite) = offered_call(recipe);
    bridge.pbx.respond(&invite, 486, "");
    bridge.pbx.expect("ACK");
    bridge.graph.expect("reject").about(ID).succeed();
    bridge.graph.deliver(&graph::terminated(ID, USER_INITIATED));
    bridge.end();
}

fn a_user_who_gives_up_while_it_rings_stops_the_ringing(recipe: Recipe) {
    let (mut bridge, invite) = offered_call(recipe);
    bridge.pbx.respond(&invite, 180, "");
    bridge.graph.deliver(&graph::terminated(ID, USER_INITIATED));
    let cancel = bridge.pbx.expect("CANCEL");
    for name in ["Via", "Call-ID", "From"] {
        assert_eq!(cancel.header(name), invite.header(name), "RFC 3261 9.1");
    }
    bridge.pbx.respond(&cancel, 200, "");
    bridge.pbx.respond(&invite, 487, "");
    bridge.pbx.expect("ACK");
    bridge.end();
}

fn what_ended_before_it_began_does_not_begin(recipe: Recipe) {
    let mut bridge = Bridge::start(recipe);
    let offer = bridge.meta_offer();
    bridge.graph.deliver(&graph::terminated(ID, USER_INITIATED));
    bridge.graph.deliver(&graph::offered(ID, &offer));
    bridge.end();
}

fn a_stale_call_and_a_forged_one_do_not_begin(recipe: Recipe) {
    let mut bridge = Bridge::start(recipe);
    let offer = bridge.meta_offer();
    assert_eq!(bridge.graph.deliver(&graph::offered_ago(3_600, "wacid.stale", &offer)), 200);
    assert_eq!(bridge.graph.forge(&graph::offered("wacid.forged", &offer)), 403);
    bridge.end();
}

fn a_refused_accept_ends_the_call_everywhere(recipe: Recipe) {
    let (mut bridge, invite) = offered_call(recipe);
    let answer = bridge.phone_answer(&invite.body);
    bridge.pbx.respond(&invite, 200, &answer);
    bridge.pbx.expect("ACK");
    bridge.graph.expect("pre_accept").fail();
    let bye = bridge.pbx.expect("BYE");
    bridge.pbx.respond(&bye, 200, "");
    bridge.graph.expect("reject").about(ID).succeed();
    bridge.end();
}

fn the_pbx_calls_a_user_who_accepts(recipe: Recipe) {
    let mut bridge = Bridge::start(recipe);
    let offer = bridge.phone.offer();
    let invite = bridge.pbx.invite(USER, &offer);
    bridge.pbx.expect_status(100);
    bridge.pbx.repeat(&invite);
    let connect = bridge.graph.expect("connect").with_session("offer");
    let answer = bridge.meta_answer(connect.sdp());
    connect.ring(ID);
    for _ in 0..2 {
        bridge.graph.deliver(&graph::answered(ID, &answer));
        bridge.graph.deliver(&graph::status(ID, "RINGING"));
    }
    bridge.pbx.expect_status(180);
    bridge.graph.deliver(&graph::status(ID, "ACCEPTED"));
    let ok = bridge.pbx.expect_status(200);
    bridge.phone.accept(std::time::Instant::now(), &ok.body).unwrap();
    bridge.pbx.acknowledge(&invite, &ok);
    bridge.graph.deliver(&graph::status(ID, "ACCEPTED"));
    bridge.graph.deliver(&graph::answered(ID, &answer));
    bridge.pbx.hang_up_own(&invite, &ok);
    bridge.graph.expect("terminate").about(ID).succeed();
    bridge.graph.deliver(&graph::terminated(ID, BUSINESS_INITIATED));
    bridge.end();
}

fn events_overtake_the_reply_that_names_their_call(recipe: Recipe) {
    let mut bridge = Bridge::start(recipe);
    let offer = bridge.phone.offer();
    let invite = bridge.pbx.invite(USER, &offer);
    bridge.pbx.expect_status(100);
    let connect = bridge.graph.expect("connect").with_session("offer");
    let answer = bridge.meta_answer(connect.sdp());
    bridge.graph.deliver(&graph::status(ID, "ACCEPTED"));
    bridge.graph.deliver(&graph::answered(ID, &answer));
    connect.ring(ID);
    let ok = bridge.pbx.expect_status(200);
    bridge.phone.accept(std::time::Instant::now(), &ok.body).unwrap();
    bridge.pbx.acknowledge(&invite, &ok);
    bridge.graph.deliver(&graph::terminated(ID, BUSINESS_INITIATED));
    let bye = bridge.pbx.expect("BYE");
    bridge.pbx.respond(&bye, 200, "");
    bridge.end();
}

fn a_user_who_declines_is_busy_to_the_pbx(recipe: Recipe) {
    let mut bridge = Bridge::start(recipe);
    let offer = bridge.phone.offer();
    let invite = bridge.pbx.invite(USER, &offer);
    bridge.pbx.expect_status(100);
    bridge.graph.expect("connect").ring(ID);
    bridge.graph.deliver(&graph::status(ID, "REJECTED"));
    let busy = bridge.pbx.expect_status(486);
    bridge.pbx.acknowledge(&invite, &busy);
    bridge.graph.deliver(&graph::terminated(ID, BUSINESS_INITIATED));
    bridge.end();
}

fn the_pbx_gives_up_while_graph_still_thinks(recipe: Recipe) {
    let mut bridge = Bridge::start(recipe);
    let offer = bridge.phone.offer();
    let invite = bridge.pbx.invite(USER, &offer);
    bridge.pbx.expect_status(100);
    let connect = bridge.graph.expect("connect");
    bridge.pbx.cancel(&invite);
    bridge.pbx.expect_status(200);
    let terminated = bridge.pbx.expect_status(487);
    bridge.pbx.acknowledge(&invite, &terminated);
    connect.ring(ID);
    bridge.graph.expect("terminate").about(ID).succeed();
    bridge.end();
}

fn a_call_without_permission_fails_at_the_pbx(recipe: Recipe) {
    let mut bridge = Bridge::start(recipe);
    let offer = bridge.phone.offer();
    let invite = bridge.pbx.invite(USER, &offer);
    bridge.pbx.expect_status(100);
    bridge.graph.expect("connect").fail();
    let failed = bridge.pbx.expect_status(480);
    bridge.pbx.acknowledge(&invite, &failed);
    bridge.end();
}

fn the_web_hook_signature_verifies(recipe: Recipe) {
    let bridge = Bridge::start(recipe);
    assert_eq!(bridge.graph.verify(VERIFY_TOKEN), (200, "1158201444".to_owned()));
    assert_eq!(bridge.graph.verify("another-secret").0, 403);
    bridge.end();
}
