//! A user agent under the test's control, behind one proxy: nothing happens by itself but `100 Trying`, `ACK`, and `200` to
//! `CANCEL` and `BYE`.

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::message::{Message, parameter};
use crate::place::Place;
use crate::program::WAIT_MAX;
use crate::stack::PROXY;

/// How long one look for a message takes if none comes.
const LOOK: Duration = Duration::from_millis(5);

/// A user agent.
pub(crate) struct Agent {
    socket: UdpSocket,
    address: SocketAddr,
    proxy: SocketAddr,
    /// Transactions of requests that were seen.
    seen: Vec<(String, String)>,
    inbox: VecDeque<Message>,
    drawn: u32,
}

/// One end of a dialogue, or of an attempt at one.
#[derive(Debug, Clone)]
pub(crate) struct Dialogue {
    pub(crate) call_id: String,
    local: String,
    remote: String,
    target: String,
    routes: Vec<String>,
    cseq: u32,
    /// Branch of the last INVITE, and what it was sent to.
    invite: (String, String),
}

impl Agent {
    /// At the `n`th address of `place`.
    pub(crate) fn new(place: &Place, n: u8) -> Self {
        let (address, proxy) = (place.sip(n), place.sip(PROXY));
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(LOOK)).unwrap();
        Self { socket, address, proxy, seen: Vec::new(), inbox: VecDeque::new(), drawn: 0 }
    }

    /// A unique word.
    fn draw(&mut self) -> String {
        self.drawn += 1;
        format!("{}-{}", self.address.to_string().replace(['.', ':'], "-"), self.drawn)
    }

    fn send(&self, message: &Message) {
        self.socket.send_to(message.write().as_bytes(), self.proxy).unwrap();
    }

    /// A call that is not made yet.
    pub(crate) fn dialogue(&mut self, uri: &str) -> Dialogue {
        let (call_id, tag) = (self.draw(), self.draw());
        Dialogue {
            call_id,
            local: format!("<sip:caller@{}>;tag={tag}", self.address),
            remote: format!("<{uri}>"),
            target: uri.to_owned(),
            routes: Vec::new(),
            cseq: 0,
            invite: (String::new(), String::new()),
        }
    }

    /// Our end of the dialogue that `invite` opens, with this tag.
    pub(crate) fn answering(&self, invite: &Message, tag: &str) -> Dialogue {
        Dialogue {
            call_id: invite.header("Call-ID").to_owned(),
            local: format!("{};tag={tag}", invite.header("To")),
            remote: invite.header("From").to_owned(),
            target: invite.contact(),
            routes: invite.all("Record-Route").map(str::to_owned).collect(),
            cseq: 0,
            invite: (String::new(), String::new()),
        }
    }

    fn request(&self, dialogue: &Dialogue, method: &str, branch: &str, target: &str) -> Message {
        let mut message = Message::new(format!("{method} {target} SIP/2.0"));
        message.add("Via", &format!("SIP/2.0/UDP {};branch=z9hG4bK{branch}", self.address));
        message.add("Max-Forwards", "70");
        dialogue.routes.iter().for_each(|route| message.add("Route", route));
        message.add("From", &dialogue.local);
        message.add("To", &dialogue.remote);
        message.add("Call-ID", &dialogue.call_id);
        message.add("CSeq", &format!("{} {method}", dialogue.cseq));
        message.add("Contact", &format!("<sip:agent@{}>", self.address));
        message
    }

    /// Sends an INVITE, or in an established dialogue a re-INVITE.
    pub(crate) fn invite(&mut self, dialogue: &mut Dialogue, sdp: &str) {
        dialogue.cseq += 1;
        let branch = self.draw();
        dialogue.invite = (branch.clone(), dialogue.target.clone());
        let mut message = self.request(dialogue, "INVITE", &branch, &dialogue.target);
        sdp.clone_into(&mut message.body);
        self.send(&message);
    }

    /// The next response but 100 to the last INVITE. A final one is acknowledged.
    pub(crate) fn response(&mut self, dialogue: &mut Dialogue) -> Message {
        let (branch, target) = dialogue.invite.clone();
        let ours = format!("z9hG4bK{branch}");
        let what = format!("a response to INVITE {target}");
        let response = self.receive(&what, |message| {
            message.status().is_some_and(|status| status > 100)
                && message.cseq().1 == "INVITE"
                && message.branch() == ours
        });
        let status = response.status().unwrap_or_default();
        if status < 300 && parameter(response.header("To"), "tag").is_some() {
            dialogue.target = response.contact();
            if response.all("Record-Route").next().is_some() {
                // The route set is in reverse for the caller, and for good (RFC 3261 12.1.2, 12.2).
                dialogue.routes = response.all("Record-Route").map(str::to_owned).collect();
                dialogue.routes.reverse();
            }
            response.header("To").clone_into(&mut dialogue.remote);
        }
        if (200..300).contains(&status) {
            // Its own transaction, along the route set (RFC 3261 13.2.2.4).
            let branch = self.draw();
            self.send(&self.request(dialogue, "ACK", &branch, &dialogue.target));
        } else if status >= 300 {
            // Part of the INVITE's transaction (RFC 3261 17.1.1.3).
            let mut ack = self.request(dialogue, "ACK", &branch, &target);
            ack.headers.retain(|(name, _)| name != "To");
            ack.add("To", response.header("To"));
            self.send(&ack);
        }
        response
    }

    /// The final response to the last INVITE, provided that it is 200.
    pub(crate) fn accepted(&mut self, dialogue: &mut Dialogue) -> Message {
        loop {
            let response = self.response(dialogue);
            match response.status() {
                Some(200) => return response,
                Some(..200) => {}
                _ => panic!("not accepted:\n{}", response.write()),
            }
        }
    }

    /// Sends a CANCEL of the last INVITE.
    pub(crate) fn cancel(&mut self, dialogue: &Dialogue) {
        let (branch, target) = &dialogue.invite;
        let mut cancel = self.request(dialogue, "CANCEL", branch, target);
        cancel.headers.retain(|(name, _)| name != "Route" && name != "Contact");
        self.send(&cancel);
    }

    /// Sends a BYE. When it has reached the other side, Kamailio has sent `delete` to Trestle.
    pub(crate) fn bye(&mut self, dialogue: &mut Dialogue) {
        dialogue.cseq += 1;
        let branch = self.draw();
        self.send(&self.request(dialogue, "BYE", &branch, &dialogue.target));
    }

    /// The next request of this method.
    pub(crate) fn expect(&mut self, method: &str) -> Message {
        self.receive(method, |message| message.method() == Some(method))
    }

    /// The INVITE as it comes out at `callee`, or `None` if it was refused with 503.
    pub(crate) fn passes(&mut self, dialogue: &Dialogue, callee: &mut Self) -> Option<Message> {
        let deadline = Instant::now() + WAIT_MAX;
        let call_id = dialogue.call_id.clone();
        while Instant::now() < deadline {
            let at_callee =
                |message: &Message| message.method() == Some("INVITE") && message.header("Call-ID") == call_id;
            if let Some(invite) = callee.look(&at_callee) {
                return Some(invite);
            }
            if self.look(&|message| message.status() == Some(503) && message.header("Call-ID") == call_id).is_some() {
                return None;
            }
        }
        panic!("neither an INVITE nor a 503");
    }

    /// Answers a request of the other side.
    pub(crate) fn reply(&mut self, request: &Message, status: &str, tag: &str, sdp: &str) {
        self.reply_with(request, status, tag, sdp, &[]);
    }

    /// The same with more headers.
    pub(crate) fn reply_with(&self, request: &Message, status: &str, tag: &str, sdp: &str, more: &[(&str, &str)]) {
        let mut response = Message::new(format!("SIP/2.0 {status}"));
        for (name, value) in &request.headers {
            match name.as_str() {
                "Via" | "Record-Route" | "From" | "Call-ID" | "CSeq" => response.add(name, value),
                "To" if parameter(value, "tag").is_none() && !tag.is_empty() => {
                    response.add(name, &format!("{value};tag={tag}"));
                }
                "To" => response.add(name, value),
                _ => {}
            }
        }
        response.add("Contact", &format!("<sip:agent@{}>", self.address));
        more.iter().for_each(|(name, value)| response.add(name, value));
        sdp.clone_into(&mut response.body);
        self.send(&response);
    }

    /// The next message that `is_it`. Others are kept for later.
    fn receive(&mut self, what: &str, is_it: impl Fn(&Message) -> bool) -> Message {
        let deadline = Instant::now() + WAIT_MAX;
        while Instant::now() < deadline {
            if let Some(message) = self.look(&is_it) {
                return message;
            }
        }
        let kept: Vec<&str> = self.inbox.iter().map(|message| message.start.as_str()).collect();
        panic!("{} waited too long for {what}; it has {kept:?}", self.address);
    }

    /// The first message that `is_it`, if it is there or is the next to come, within a short time.
    fn look(&mut self, is_it: &impl Fn(&Message) -> bool) -> Option<Message> {
        let mut buffer = [0; 8_192];
        if !self.inbox.iter().any(is_it)
            && let Ok(len) = self.socket.recv(&mut buffer)
        {
            self.take(Message::read(&buffer[..len]));
        }
        let at = self.inbox.iter().position(is_it)?;
        self.inbox.remove(at)
    }

    fn take(&mut self, message: Message) {
        let Some(method) = message.method() else { return self.inbox.push_back(message) };
        let transaction = (message.branch().to_owned(), method.to_owned());
        if self.seen.contains(&transaction) {
            return;
        }
        match method {
            "INVITE" => self.reply(&message, "100 Trying", "", ""),
            "BYE" | "CANCEL" => self.reply(&message, "200 OK", "", ""),
            _ => {}
        }
        self.seen.push(transaction);
        self.inbox.push_back(message);
    }
}
