//! Calls between WhatsApp (ICE-lite, DTLS-SRTP, Opus) and a phone.

use crate::agent::{Agent, Dialogue};
use crate::baresip::{Baresip, Kind};
use crate::line::{self, Line};
use crate::stack::{CALLEE, CALLER, Flags, Stack};

use trestle_peers::Meta;

const USER_HZ: f64 = 440.0;
const PHONE_HZ: f64 = 1_000.0;

/// Flags towards either side, spelt out as for any relay of this protocol.
const TO_SDES_PCMA: &str =
    "replace-origin ICE=remove DTLS=off RTP/SAVP rtcp-mux-demux codec-mask-opus codec-transcode-PCMA";
const TO_WEBRTC: &str = "replace-origin ICE=force SDES-off UDP/TLS/RTP/SAVPF rtcp-mux-require";
const TO_WEBRTC_OPUS: &str = "replace-origin ICE=force SDES-off UDP/TLS/RTP/SAVPF rtcp-mux-require generate-mid codec-mask-all \
     codec-transcode-opus codec-transcode-telephone-event";

/// A call of a WhatsApp user with a phone.
struct Call {
    user: Line<Meta>,
    agent: Agent,
    dialogue: Dialogue,
    phone: Baresip,
    stack: Stack,
}

impl Call {
    /// A user calls a business.
    fn user_initiated(flags: Flags, phone: Kind) -> Self {
        let stack = Stack::start(flags);
        let mut phone = Baresip::start(&stack.place, CALLEE, phone, PHONE_HZ);
        let user = line::whatsapp(&stack.place, CALLER, USER_HZ);
        let mut agent = Agent::new(&stack.place, CALLER);
        let mut dialogue = agent.dialogue(&stack.callee_uri());
        let offer = user.with(|user, now| user.offer(now).unwrap());
        agent.invite(&mut dialogue, &offer);
        let answer = agent.accepted(&mut dialogue).body;
        user.with(|user, now| user.accept(now, &answer)).unwrap_or_else(|error| panic!("{error}\n{answer}"));
        phone.wait_until_established();
        Self { user, agent, dialogue, phone, stack }
    }

    /// A business calls a user. Meta answers the first INVITE with 407, and the second is a new call to Trestle with the old
    /// call-id.
    fn business_initiated(flags: Flags, phone: Kind) -> Self {
        let stack = Stack::start(flags);
        let user = line::whatsapp(&stack.place, CALLEE, USER_HZ);
        let mut agent = Agent::new(&stack.place, CALLEE);
        let mut phone = Baresip::start(&stack.place, CALLER, phone, PHONE_HZ);
        phone.dial(&stack.callee_uri());
        let first = agent.expect("INVITE");
        let challenge = ("Proxy-Authenticate", "Digest realm=\"wa.example\", nonce=\"1\", algorithm=MD5, qop=\"auth\"");
        agent.reply_with(&first, "407 Proxy Authentication Required", "none", "", &[challenge]);
        let invite = agent.expect("INVITE");
        assert_eq!(invite.header("Call-ID"), first.header("Call-ID"));
        assert!(invite.header("Proxy-Authorization").starts_with("Digest "));
        let answer = user.with(|user, now| user.answer(now, &invite.body));
        let answer = answer.unwrap_or_else(|error| panic!("{error}\n{}", invite.body));
        agent.reply(&invite, "200 OK", "meta", &answer);
        agent.expect("ACK");
        let dialogue = agent.answering(&invite, "meta");
        phone.wait_until_established();
        Self { user, agent, dialogue, phone, stack }
    }

    fn talk(&mut self) {
        self.user.wait_until("DTLS", Meta::is_connected);
        self.user.assert_receives_tone(PHONE_HZ);
        self.phone.assert_receives_tone(USER_HZ);
        self.user.with(|user, _| "15#".chars().for_each(|digit| user.press(digit)));
        self.phone.wait_for_digits("15#");
        self.phone.press('7');
        self.user.wait_for_digits("7");
        self.user.assert_receives_tone(PHONE_HZ);
        self.phone.assert_receives_tone(USER_HZ);
        let remarks = self.user.with(|user, _| user.report().sdp_remarks);
        // A party that is not named as WhatsApp does not get WhatsApp's `a=maxptime`.
        let named = self.stack.tap.exchanges().iter().any(|exchange| exchange.request["profile"] == "whatsapp");
        assert!(remarks.is_empty() || !named && remarks == ["a=maxptime:20"], "{remarks:?}");
        self.user.assert_kept_to_the_rules();
    }

    fn user_hangs_up(mut self) {
        assert_eq!(self.stack.trestle.calls(), [self.dialogue.call_id.as_str()]);
        self.agent.bye(&mut self.dialogue);
        self.phone.wait_until_closed();
        self.stack.assert_done();
    }

    fn phone_hangs_up(mut self) {
        assert_eq!(self.stack.trestle.calls(), [self.dialogue.call_id.as_str()]);
        self.phone.hang_up();
        self.agent.expect("BYE");
        self.stack.assert_done();
    }
}

#[test]
fn a_user_calls_an_sdes_phone() {
    let mut call = Call::user_initiated(Flags::new(TO_SDES_PCMA, TO_WEBRTC), Kind::PcmaSdes);
    call.talk();
    call.user_hangs_up();
}

#[test]
fn a_user_calls_an_sdes_phone_and_the_profiles_suffice() {
    let mut call = Call::user_initiated(
        Flags::new("profile=sip codec-mask-opus codec-transcode-PCMA", "profile=whatsapp"),
        Kind::PcmaSdes,
    );
    call.talk();
    call.phone_hangs_up();
}

#[test]
fn a_user_calls_an_opus_phone() {
    let mut call = Call::user_initiated(
        Flags::new("replace-origin ICE=remove DTLS=off RTP/AVP rtcp-mux-demux", TO_WEBRTC),
        Kind::Opus,
    );
    call.talk();
    call.user_hangs_up();
}

#[test]
fn an_sdes_phone_calls_a_user_who_asks_for_a_password() {
    let flags = Flags::new(TO_WEBRTC_OPUS, "replace-origin ICE=remove RTP/SAVP rtcp-mux-demux");
    let mut call = Call::business_initiated(flags, Kind::PcmaSdes);
    call.talk();
    call.phone_hangs_up();
}

#[test]
fn a_plain_phone_calls_a_user_with_the_profile_alone() {
    let flags = Flags::new("profile=whatsapp codec-transcode-opus", "profile=sip");
    let mut call = Call::business_initiated(flags, Kind::Pcma);
    call.talk();
    call.user_hangs_up();
}
