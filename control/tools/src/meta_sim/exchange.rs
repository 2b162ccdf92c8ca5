//! What the Graph API would answer, and which web hooks it would send, for one call. Without clock or socket.

use std::collections::VecDeque;
use std::time::Instant;

use serde_json::Value;

use super::call::{CallEnding, SimulatedCall};
use super::graph::{self, GraphRequest, PhoneNumbers, Refusal, SignalDirection};

/// Graph as the application sees it.
pub struct SimExchange {
    ends: PhoneNumbers,
    direction: SignalDirection,
    call_id: String,
    /// The application has been notified of the call, or has made it.
    begun: bool,
    accepted_told: bool,
    terminated_told: bool,
    hooks: VecDeque<Value>,
}

impl SimExchange {
    /// For one call with this id.
    pub fn new(ends: PhoneNumbers, direction: SignalDirection, call_id: String) -> Self {
        let hooks = VecDeque::new();
        Self { ends, direction, call_id, begun: false, accepted_told: false, terminated_told: false, hooks }
    }

    /// A user calls: the application is notified. `at_s` is Unix time, here and below.
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
        call: &mut SimulatedCall,
    ) -> (u16, Value) {
        match self.act(now, at_s, phone_number_id, body, call) {
            Ok(body) => (200, body),
            Err(refusal) => (refusal.status, refusal.body()),
        }
    }

    fn act(
        &mut self,
        now: Instant,
        at_s: u64,
        id: &str,
        body: &[u8],
        call: &mut SimulatedCall,
    ) -> Result<Value, Refusal> {
        if id != self.ends.phone_number_id {
            return Err(Refusal::parameter(format!("there is no phone number id {id:?}")));
        }
        let request = GraphRequest::read(body)?;
        if let GraphRequest::Connect { to, sdp } = request {
            return self.connect(at_s, now, &to, &sdp, call);
        }
        let (GraphRequest::PreAccept { call_id, .. }
        | GraphRequest::Accept { call_id, .. }
        | GraphRequest::Reject { call_id }
        | GraphRequest::Terminate { call_id }
        | GraphRequest::Connect { to: call_id, .. }) = &request;
        if !self.begun || *call_id != self.call_id {
            return Err(Refusal::parameter(format!("there is no call {call_id:?}")));
        }
        if let Some(end) = call.ended() {
            return Err(Refusal::parameter(format!("the call is over already: {end:?}")));
        }
        let users = self.direction == SignalDirection::UserInitiated;
        match request {
            GraphRequest::PreAccept { sdp, .. } if users && !call.is_accepted() => call.take_answer(now, &sdp)?,
            GraphRequest::Accept { sdp, .. } if users && !call.is_accepted() => {
                call.take_answer(now, &sdp)?;
                call.accept(now);
            }
            GraphRequest::Reject { .. } if users && !call.is_accepted() => call.end(now, CallEnding::Rejected),
            GraphRequest::Terminate { .. } => call.end(now, CallEnding::BusinessHungUp),
            _ if !users => return Err(Refusal::parameter("a call that the business makes is accepted by the user")),
            _ => return Err(Refusal::parameter("the call is in progress already")),
        }
        Ok(graph::success())
    }

    fn connect(
        &mut self,
        at_s: u64,
        now: Instant,
        to: &str,
        sdp: &str,
        call: &mut SimulatedCall,
    ) -> Result<Value, Refusal> {
        if self.direction != SignalDirection::BusinessInitiated {
            return Err(Refusal {
                status: 401,
                code: 138_006,
                details: "this sim's user calls; it accepts no calls".into(),
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

    /// Reports the changes of the call since the last time.
    pub fn look(&mut self, at_s: u64, call: &SimulatedCall) {
        let businesss = self.direction == SignalDirection::BusinessInitiated;
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
