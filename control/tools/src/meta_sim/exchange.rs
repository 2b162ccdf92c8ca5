//! What the Graph API would answer, and which web hooks it would send, for one call. Without clock or socket.

use std::collections::VecDeque;
use std::time::Instant;

use serde_json::Value;

use super::call::{Call, End};
use super::graph::{self, Direction, Ends, Refusal, Request};

/// Graph as the application sees it.
pub struct Exchange {
    ends: Ends,
    direction: Direction,
    call_id: String,
    /// The application has been told that the call exists, or has made it.
    begun: bool,
    accepted_told: bool,
    terminated_told: bool,
    hooks: VecDeque<Value>,
}

impl Exchange {
    /// For one call with this id.
    pub fn new(ends: Ends, direction: Direction, call_id: String) -> Self {
        let hooks = VecDeque::new();
        Self { ends, direction, call_id, begun: false, accepted_told: false, terminated_told: false, hooks }
    }

    /// A user calls: the application is told. `at_s` is Unix time, here and below.
    pub fn begin(&mut self, at_s: u64, offer: &str) {
        self.begun = true;
        let value = self.ends.offered(at_s, &self.call_id, offer);
        self.push(&value);
    }

    /// A request to `/{phone-number-id}/calls`: HTTP status and body of the answer.
    pub fn handle_request(
        &mut self,
        now: Instant,
        at_s: u64,
        phone_number_id: &str,
        body: &[u8],
        call: &mut Call,
    ) -> (u16, Value) {
        match self.act(now, at_s, phone_number_id, body, call) {
            Ok(body) => (200, body),
            Err(refusal) => (refusal.status, refusal.body()),
        }
    }

    fn act(&mut self, now: Instant, at_s: u64, id: &str, body: &[u8], call: &mut Call) -> Result<Value, Refusal> {
        if id != self.ends.phone_number_id {
            return Err(Refusal::parameter(format!("there is no phone number id {id:?}")));
        }
        let request = Request::read(body)?;
        if let Request::Connect { to, sdp } = request {
            return self.connect(at_s, now, &to, &sdp, call);
        }
        let (Request::PreAccept { call_id, .. }
        | Request::Accept { call_id, .. }
        | Request::Reject { call_id }
        | Request::Terminate { call_id }
        | Request::Connect { to: call_id, .. }) = &request;
        if !self.begun || *call_id != self.call_id {
            return Err(Refusal::parameter(format!("there is no call {call_id:?}")));
        }
        if let Some(end) = call.ended() {
            return Err(Refusal::parameter(format!("the call is over already: {end:?}")));
        }
        let users = self.direction == Direction::UserInitiated;
        match request {
            Request::PreAccept { sdp, .. } if users && !call.is_accepted() => call.take_answer(now, &sdp)?,
            Request::Accept { sdp, .. } if users && !call.is_accepted() => {
                call.take_answer(now, &sdp)?;
                call.accept(now);
            }
            Request::Reject { .. } if users && !call.is_accepted() => call.end(now, End::Rejected),
            Request::Terminate { .. } => call.end(now, End::BusinessHungUp),
            _ if !users => return Err(Refusal::parameter("a call that the business makes is accepted by the user")),
            _ => return Err(Refusal::parameter("the call is in progress already")),
        }
        Ok(graph::success())
    }

    fn connect(&mut self, at_s: u64, now: Instant, to: &str, sdp: &str, call: &mut Call) -> Result<Value, Refusal> {
        if self.direction != Direction::BusinessInitiated {
            return Err(Refusal {
                status: 401,
                code: 138_006,
                details: "this sim's user calls; nobody may call it".into(),
            });
        }
        if to.trim_start_matches('+') != self.ends.user {
            let details = format!("only {} has given permission", self.ends.user);
            return Err(Refusal { status: 401, code: 138_006, details });
        }
        if self.begun {
            return Err(Refusal { status: 400, code: 138_003, details: "a call with this user is on".into() });
        }
        let answer = call.take_offer(now, sdp)?;
        self.begun = true;
        let answered = self.ends.answered(at_s, &self.call_id, &answer);
        self.push(&answered);
        let ringing = self.ends.status(at_s, &self.call_id, "RINGING");
        self.push(&ringing);
        Ok(graph::ringing(&self.call_id))
    }

    /// Tells what has become of the call since.
    pub fn look(&mut self, at_s: u64, call: &Call) {
        let businesss = self.direction == Direction::BusinessInitiated;
        if businesss && call.is_accepted() && !std::mem::replace(&mut self.accepted_told, true) {
            let accepted = self.ends.status(at_s, &self.call_id, "ACCEPTED");
            self.push(&accepted);
        }
        if let Some(end) = call.ended().filter(|_| self.begun)
            && !std::mem::replace(&mut self.terminated_told, true)
        {
            let value = self.ends.terminated(at_s, &self.call_id, self.direction, end.code());
            self.push(&value);
        }
    }

    fn push(&mut self, value: &Value) {
        self.hooks.push_back(self.ends.hook(value));
    }

    /// The next web hook to send.
    pub fn poll_hook(&mut self) -> Option<Value> {
        self.hooks.pop_front()
    }
}
