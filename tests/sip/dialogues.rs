//! What dialogues go through: early media, forks, CANCEL, refusals, and a relay that comes and goes. Both user agents are
//! under the test's control.

use trestle_peers::Phone;

use crate::agent::{Agent, Dialogue};
use crate::line::{self, Line};
use crate::message::Message;
use crate::program::wait_until;
use crate::stack::{CALLEE, CALLER, Extras, Flags, OTHER_CALLEE, Stack};

const CALLER_HZ: f64 = 440.0;
const CALLEE_HZ: f64 = 1_000.0;
const OTHER_HZ: f64 = 1_500.0;

const PLAIN: Flags = Flags::new("replace-origin ICE=remove RTP/AVP", "replace-origin ICE=remove RTP/AVP");

/// A phone that calls.
struct Caller {
    agent: Agent,
    phone: Line<Phone>,
    dialogue: Dialogue,
    stack: Stack,
}

impl Caller {
    fn new(extras: Extras) -> Self {
        let stack = Stack::start_with(PLAIN, extras);
        let mut agent = Agent::new(&stack.place, CALLER);
        let dialogue = agent.dialogue(&stack.callee_uri());
        let phone = line::phone(&stack.place, CALLER, CALLER_HZ);
        Self { agent, phone, dialogue, stack }
    }

    fn invite(&mut self) {
        let offer = self.phone.with(|phone, _| phone.offer());
        self.agent.invite(&mut self.dialogue, &offer);
    }

    fn response(&mut self, status: u16) -> Message {
        let response = self.agent.response(&mut self.dialogue);
        assert_eq!(response.status(), Some(status), "{}", response.write());
        response
    }

    /// Takes the early media of a 183, which is the callee's tone.
    fn early_media(&mut self) -> Message {
        let progress = self.response(183);
        self.take(&progress);
        self.phone.assert_receives_tone(CALLEE_HZ);
        progress
    }

    /// Takes the answer in a 200.
    fn accept(&mut self) {
        let accepted = self.response(200);
        self.take(&accepted);
    }

    /// Sends as this answer asks for.
    fn take(&self, answer: &Message) {
        let taken = self.phone.with(|phone, now| phone.accept(now, &answer.body));
        taken.unwrap_or_else(|error| panic!("{error}\n{}", answer.write()));
    }
}

fn answer(phone: &Line<Phone>, invite: &Message) -> String {
    let answer = phone.with(|phone, now| phone.answer(now, &invite.body));
    answer.unwrap_or_else(|error| panic!("{error}\n{}", invite.write()))
}

#[test]
fn early_media_of_a_183_is_forwarded_and_the_200_changes_nothing() {
    let mut caller = Caller::new(Extras::default());
    let mut agent = Agent::new(&caller.stack.place, CALLEE);
    let phone = line::phone(&caller.stack.place, CALLEE, CALLEE_HZ);
    caller.invite();
    let invite = agent.expect("INVITE");
    let sdp = answer(&phone, &invite);
    agent.reply(&invite, "183 Session Progress", "callee", &sdp);
    let progress = caller.early_media();
    agent.reply(&invite, "200 OK", "callee", &sdp);
    let accepted = caller.response(200);
    assert_eq!(accepted.body, progress.body);
    agent.expect("ACK");
    caller.phone.assert_receives_tone(CALLEE_HZ);
    phone.assert_receives_tone(CALLER_HZ);
    caller.phone.assert_clean();
    phone.assert_clean();
    let mut dialogue = agent.answering(&invite, "callee");
    agent.bye(&mut dialogue);
    caller.agent.expect("BYE");
    caller.stack.assert_done();
}

#[test]
fn of_two_callees_one_rings_with_music_and_the_other_answers() {
    let mut caller = Caller::new(Extras { forks: true, ..Extras::default() });
    let (mut first, mut second) =
        (Agent::new(&caller.stack.place, CALLEE), Agent::new(&caller.stack.place, OTHER_CALLEE));
    let music = line::phone(&caller.stack.place, CALLEE, CALLEE_HZ);
    let phone = line::phone(&caller.stack.place, OTHER_CALLEE, OTHER_HZ);
    caller.invite();
    let (at_first, at_second) = (first.expect("INVITE"), second.expect("INVITE"));
    let sdp = answer(&music, &at_first);
    first.reply(&at_first, "183 Session Progress", "first", &sdp);
    caller.early_media();

    let sdp = answer(&phone, &at_second);
    second.reply(&at_second, "200 OK", "second", &sdp);
    caller.accept();
    second.expect("ACK");
    first.expect("CANCEL");
    first.reply(&at_first, "487 Request Terminated", "first", "");
    first.expect("ACK");
    caller.phone.assert_receives_tone(OTHER_HZ);
    phone.assert_receives_tone(CALLER_HZ);
    let ssrcs = caller.phone.with(|phone, _| phone.report().ssrcs.clone());
    assert_eq!(ssrcs.len(), 1, "whichever side sends, the caller receives one stream");
    caller.agent.bye(&mut caller.dialogue);
    second.expect("BYE");
    caller.stack.assert_done();
}

#[test]
fn two_to_tags_from_one_destination_are_two_callees() {
    let mut caller = Caller::new(Extras::default());
    let mut agent = Agent::new(&caller.stack.place, CALLEE);
    let music = line::phone(&caller.stack.place, CALLEE, CALLEE_HZ);
    let phone = line::phone(&caller.stack.place, OTHER_CALLEE, OTHER_HZ);
    caller.invite();
    let invite = agent.expect("INVITE");
    let sdp = answer(&music, &invite);
    agent.reply(&invite, "183 Session Progress", "first", &sdp);
    caller.early_media();
    let sdp = answer(&phone, &invite);
    agent.reply(&invite, "200 OK", "second", &sdp);
    caller.accept();
    agent.expect("ACK");
    caller.phone.assert_receives_tone(OTHER_HZ);
    phone.assert_receives_tone(CALLER_HZ);
    let mut dialogue = agent.answering(&invite, "second");
    agent.bye(&mut dialogue);
    caller.agent.expect("BYE");
    caller.stack.assert_done();
}

/// The holder sends `a=sendonly` and goes on to speak, as with music on hold.
#[test]
fn either_side_holds_and_resumes_and_the_other_receives_it_meanwhile() {
    let mut caller = Caller::new(Extras::default());
    let mut agent = Agent::new(&caller.stack.place, CALLEE);
    let phone = line::phone(&caller.stack.place, CALLEE, CALLEE_HZ);
    caller.invite();
    let invite = agent.expect("INVITE");
    let sdp = answer(&phone, &invite);
    agent.reply(&invite, "200 OK", "callee", &sdp);
    caller.accept();
    agent.expect("ACK");
    let mut dialogue = agent.answering(&invite, "callee");
    // Half a second of samples; the other side receives more than a whole one meanwhile.
    const ON_THEIR_WAY: usize = 4_000;
    let received = |line: &Line<Phone>| line.with(|phone, _| phone.recording().len());
    for hold in [true, false] {
        caller.phone.with(|phone, _| phone.set_hold(hold));
        caller.invite();
        let invite = agent.expect("INVITE");
        let sdp = answer(&phone, &invite);
        agent.reply(&invite, "200 OK", "", &sdp);
        let accepted = caller.response(200);
        caller.take(&accepted);
        agent.expect("ACK");
        let before = received(&caller.phone);
        phone.assert_receives_tone(CALLER_HZ);
        assert!(!hold || received(&caller.phone) < before + ON_THEIR_WAY, "a party that holds a call receives nothing");
    }
    caller.phone.assert_receives_tone(CALLEE_HZ);
    for hold in [true, false] {
        phone.with(|phone, _| phone.set_hold(hold));
        let offer = phone.with(|phone, _| phone.offer());
        agent.invite(&mut dialogue, &offer);
        let invite = caller.agent.expect("INVITE");
        let sdp = answer(&caller.phone, &invite);
        caller.agent.reply(&invite, "200 OK", "", &sdp);
        let accepted = agent.accepted(&mut dialogue);
        phone.with(|phone, now| phone.accept(now, &accepted.body)).unwrap();
        caller.agent.expect("ACK");
        let before = received(&phone);
        caller.phone.assert_receives_tone(CALLEE_HZ);
        assert!(!hold || received(&phone) < before + ON_THEIR_WAY, "a party that holds a call receives nothing");
    }
    phone.assert_receives_tone(CALLER_HZ);
    for line in [&caller.phone, &phone] {
        assert_eq!(line.with(|phone, _| phone.report().ssrcs.len()), 1, "one stream for the whole call");
    }
    agent.bye(&mut dialogue);
    caller.agent.expect("BYE");
    caller.stack.assert_done();
}

#[test]
fn a_cancelled_call_leaves_nothing() {
    let mut caller = Caller::new(Extras::default());
    let mut agent = Agent::new(&caller.stack.place, CALLEE);
    caller.invite();
    let invite = agent.expect("INVITE");
    agent.reply(&invite, "180 Ringing", "callee", "");
    caller.response(180);
    assert_eq!(caller.stack.trestle.calls(), [caller.dialogue.call_id.as_str()]);
    caller.agent.cancel(&caller.dialogue);
    agent.expect("CANCEL");
    agent.reply(&invite, "487 Request Terminated", "callee", "");
    caller.response(487);
    agent.expect("ACK");
    caller.stack.assert_done();
}

#[test]
fn a_refused_call_leaves_nothing() {
    let mut caller = Caller::new(Extras::default());
    let mut agent = Agent::new(&caller.stack.place, CALLEE);
    caller.invite();
    let invite = agent.expect("INVITE");
    agent.reply(&invite, "486 Busy Here", "callee", "");
    caller.response(486);
    agent.expect("ACK");
    caller.stack.assert_done();
}

#[test]
fn a_call_is_made_again_after_407_while_the_first_attempt_is_remembered() {
    let mut caller = Caller::new(Extras { delete_delay: 30, ..Extras::default() });
    let mut agent = Agent::new(&caller.stack.place, CALLEE);
    let phone = line::phone(&caller.stack.place, CALLEE, CALLEE_HZ);
    caller.invite();
    let first = agent.expect("INVITE");
    agent.reply(&first, "407 Proxy Authentication Required", "none", "");
    caller.response(407);
    assert_eq!(caller.stack.trestle.calls(), [caller.dialogue.call_id.as_str()], "for queries");

    caller.invite();
    let invite = agent.expect("INVITE");
    assert_eq!(invite.header("Call-ID"), first.header("Call-ID"));
    let sdp = answer(&phone, &invite);
    agent.reply(&invite, "200 OK", "callee", &sdp);
    caller.accept();
    agent.expect("ACK");
    caller.phone.assert_receives_tone(CALLEE_HZ);
    phone.assert_receives_tone(CALLER_HZ);
    caller.phone.assert_clean();
    phone.assert_clean();
    caller.agent.bye(&mut caller.dialogue);
    agent.expect("BYE");
    let query = caller.stack.trestle.query(&caller.dialogue.call_id);
    assert!(query["totals"]["RTP"]["packets"].as_u64() > Some(100), "{query}");
    assert_eq!(caller.stack.tap.last("delete").reply.unwrap()["result"], "ok");
}

#[test]
fn kamailio_gives_a_stopped_trestle_up_and_finds_it_again() {
    let mut caller = Caller::new(Extras { impatient: true, ..Extras::default() });
    let mut agent = Agent::new(&caller.stack.place, CALLEE);
    let phone = line::phone(&caller.stack.place, CALLEE, CALLEE_HZ);
    for round in 0..2 {
        // From the first 503 to Kamailio's next ping, every call is refused at once.
        let mut answered = None;
        wait_until("a call to get through", || {
            caller.dialogue = caller.agent.dialogue(&caller.stack.callee_uri());
            caller.invite();
            answered = caller.agent.passes(&caller.dialogue, &mut agent);
            answered.is_some()
        });
        let invite = answered.unwrap();
        let sdp = answer(&phone, &invite);
        agent.reply(&invite, "200 OK", "callee", &sdp);
        let accepted = caller.response(200);
        caller.take(&accepted);
        agent.expect("ACK");
        caller.phone.assert_receives_tone(CALLEE_HZ);
        phone.assert_receives_tone(CALLER_HZ);
        caller.agent.bye(&mut caller.dialogue);
        agent.expect("BYE");
        assert_eq!(caller.stack.trestle.calls(), [""; 0]);
        if round == 0 {
            caller.stack.trestle.stop();
            caller.dialogue = caller.agent.dialogue(&caller.stack.callee_uri());
            caller.invite();
            caller.response(503);
            caller.stack.trestle.restart();
        }
    }
}
