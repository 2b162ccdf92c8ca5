//! Calls between phones: baresip to baresip, and baresip to sipp.

use serde_json::Value;

use crate::baresip::{Baresip, Kind};
use crate::program::{Program, wait_until};
use crate::stack::{CALLEE, CALLER, Flags, Stack};
use crate::tap::Exchange;

const CALLER_HZ: f64 = 440.0;
const CALLEE_HZ: f64 = 1_000.0;

const PLAIN: Flags = Flags::new("replace-origin ICE=remove RTP/AVP", "replace-origin ICE=remove RTP/AVP");

/// Two phones in a call.
struct Call {
    caller: Baresip,
    callee: Baresip,
    call_id: String,
    stack: Stack,
}

impl Call {
    fn connect(flags: Flags, caller: Kind, callee: Kind) -> Self {
        let stack = Stack::start(flags);
        let mut caller = Baresip::start(&stack.place, CALLER, caller, CALLER_HZ);
        let mut callee = Baresip::start(&stack.place, CALLEE, callee, CALLEE_HZ);
        caller.dial(&stack.callee_uri());
        let call_id = callee.wait_until_established();
        caller.wait_until_established();
        Self { caller, callee, call_id, stack }
    }

    fn assert_audio_both_ways(&self) {
        self.caller.assert_receives_tone(CALLEE_HZ);
        self.callee.assert_receives_tone(CALLER_HZ);
    }

    fn both_press(&mut self) {
        self.caller.press('4');
        self.callee.wait_for_digits("4");
        self.callee.press('#');
        self.caller.wait_for_digits("#");
    }

    /// baresip does not record what it receives after a re-INVITE, so Trestle is asked what it sends.
    fn assert_both_are_sent_media(&self) {
        let sent = || {
            let query = self.stack.trestle.query(&self.call_id);
            let tags: Vec<&Value> = query["tags"].as_object().unwrap().values().collect();
            let of = |tag: &Value| tag["medias"][0]["streams"][0]["stats_out"]["packets"].as_u64().unwrap();
            [of(tags[0]), of(tags[1])]
        };
        let before = sent();
        wait_until("packets to both", || sent().into_iter().zip(before).all(|(now, before)| now >= before + 50));
    }

    fn caller_hangs_up(mut self) {
        assert_eq!(self.stack.trestle.calls(), [self.call_id.as_str()]);
        self.caller.hang_up();
        self.callee.wait_until_closed();
        self.stack.assert_done();
    }

    fn callee_hangs_up(mut self) {
        assert_eq!(self.stack.trestle.calls(), [self.call_id.as_str()]);
        self.callee.hang_up();
        self.caller.wait_until_closed();
        self.stack.assert_done();
    }
}

#[test]
fn two_pcma_phones_exchange_audio_and_the_caller_hangs_up() {
    let mut call = Call::connect(PLAIN, Kind::Pcma, Kind::Pcma);
    call.assert_audio_both_ways();
    call.both_press();
    call.caller_hangs_up();
}

#[test]
fn the_callee_hangs_up_and_nothing_is_left() {
    let call = Call::connect(PLAIN, Kind::Pcma, Kind::Pcma);
    call.assert_audio_both_ways();
    call.callee_hangs_up();
}

#[test]
fn an_sdes_phone_calls_a_plain_one() {
    let flags = Flags::new("replace-origin ICE=remove RTP/AVP", "replace-origin ICE=remove RTP/SAVP");
    let mut call = Call::connect(flags, Kind::PcmaSdes, Kind::Pcma);
    call.assert_audio_both_ways();
    call.both_press();
    call.caller_hangs_up();
}

#[test]
fn a_plain_phone_calls_an_sdes_one() {
    let flags = Flags::new("replace-origin ICE=remove RTP/SAVP", "replace-origin ICE=remove RTP/AVP");
    let mut call = Call::connect(flags, Kind::Pcma, Kind::PcmaSdes);
    call.assert_audio_both_ways();
    call.both_press();
    call.callee_hangs_up();
}

#[test]
fn an_opus_phone_calls_a_pcma_phone() {
    let to_pcma = "replace-origin ICE=remove RTP/AVP codec-mask-opus codec-transcode-PCMA";
    let mut call = Call::connect(Flags::new(to_pcma, "replace-origin ICE=remove RTP/AVP"), Kind::Opus, Kind::Pcma);
    call.assert_audio_both_ways();
    call.both_press();
    call.caller_hangs_up();
}

#[test]
fn a_pcma_phone_calls_an_opus_phone() {
    let to_opus = "replace-origin ICE=remove RTP/AVP codec-mask-PCMA codec-transcode-opus";
    let mut call = Call::connect(Flags::new(to_opus, "replace-origin ICE=remove RTP/AVP"), Kind::Pcma, Kind::Opus);
    call.assert_audio_both_ways();
    call.both_press();
    call.callee_hangs_up();
}

/// `a=sendrecv` and so on; that is also what no line at all means.
fn direction(sdp: &str) -> &str {
    const DIRECTIONS: [&str; 4] = ["sendrecv", "sendonly", "recvonly", "inactive"];
    let mut announced =
        sdp.lines().filter_map(|line| line.strip_prefix("a=").filter(|value| DIRECTIONS.contains(value)));
    announced.next().unwrap_or("sendrecv")
}

/// Each side got the other's SDP with Trestle's ports, which are those of the call's beginning.
fn assert_described(exchange: &Exchange, wanted: &str, first: &Exchange) {
    assert_eq!((direction(exchange.announced()), direction(exchange.written())), (wanted, wanted), "{exchange:?}");
    let port = |sdp: &str| sdp.split("m=audio ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert_eq!(port(exchange.written()), port(first.written()), "a re-INVITE must not move the ports");
}

#[test]
fn the_caller_holds_and_resumes_by_re_invite() {
    let mut call = Call::connect(PLAIN, Kind::Pcma, Kind::Pcma);
    let (offer, answer) = (call.stack.tap.last("offer"), call.stack.tap.last("answer"));
    call.assert_audio_both_ways();
    call.caller.hold();
    assert_described(&call.stack.tap.last("offer"), "sendonly", &offer);
    assert_described(&call.stack.tap.last("answer"), "recvonly", &answer);
    call.caller.resume();
    assert_described(&call.stack.tap.last("offer"), "sendrecv", &offer);
    assert_described(&call.stack.tap.last("answer"), "sendrecv", &answer);
    call.assert_both_are_sent_media();
    call.caller_hangs_up();
}

#[test]
fn the_callee_holds_and_resumes_by_re_invite() {
    let mut call = Call::connect(PLAIN, Kind::Pcma, Kind::Pcma);
    let (offer, answer) = (call.stack.tap.last("offer"), call.stack.tap.last("answer"));
    call.assert_audio_both_ways();
    call.callee.hold();
    // The callee's offer goes where its answer went: the caller's ports are in the SDP for the callee.
    assert_described(&call.stack.tap.last("offer"), "sendonly", &answer);
    assert_described(&call.stack.tap.last("answer"), "recvonly", &offer);
    call.callee.resume();
    assert_described(&call.stack.tap.last("offer"), "sendrecv", &answer);
    assert_described(&call.stack.tap.last("answer"), "sendrecv", &offer);
    call.assert_both_are_sent_media();
    call.callee_hangs_up();
}

#[test]
fn an_sdes_phone_holds_and_resumes_a_transcoded_call() {
    let flags = Flags {
        offer_to_callee: "replace-origin ICE=remove RTP/AVP codec-mask-PCMA codec-transcode-opus",
        answer_to_caller: "replace-origin ICE=remove RTP/SAVP",
        ..Flags::new("", "")
    };
    let mut call = Call::connect(flags, Kind::PcmaSdes, Kind::Opus);
    call.assert_audio_both_ways();
    call.caller.hold();
    call.caller.resume();
    call.assert_both_are_sent_media();
    call.both_press();
    call.caller_hangs_up();
}

#[test]
fn sipp_echoes_what_it_receives() {
    let stack = Stack::start(PLAIN);
    let (ip, scenario) = (stack.place.ip(CALLEE).to_string(), concat!(env!("CARGO_MANIFEST_DIR"), "/sip/echo.xml"));
    let mut arguments = vec!["-sf", scenario, "-i", &ip, "-mi", &ip, "-p", "5060", "-mp", "21000"];
    arguments.extend(["-rtp_echo", "-m", "1", "-timeout", "60", "-nostdin"]);
    let _sipp = Program::start("sipp", &arguments, &stack.place.path(""), &stack.place.path("sipp.log"));
    let mut caller = Baresip::start(&stack.place, CALLER, Kind::Pcma, CALLER_HZ);
    // If sipp is not ready yet, Kamailio sends the INVITE again.
    caller.dial(&stack.callee_uri());
    let call_id = caller.wait_until_established();
    caller.assert_receives_tone(CALLER_HZ);
    assert_eq!(stack.trestle.calls(), [call_id]);
    caller.hang_up();
    wait_until("BYE to be through", || stack.trestle.calls().is_empty());
    stack.assert_done();
}
