//! A PBX, as a recipe meets it: one socket, one call at a time, every message looked at by the test.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::WAIT_MAX;
use crate::message::Message;

pub(crate) struct Pbx {
    socket: UdpSocket,
    address: SocketAddr,
    /// Where the recipe listens.
    bridge: SocketAddr,
    /// What came already: over UDP everything is repeated until it is answered.
    seen: Vec<Message>,
    sent: u32,
}

impl Pbx {
    pub(crate) fn bind(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(WAIT_MAX)).unwrap();
        Self { address: socket.local_addr().unwrap(), socket, bridge: address, seen: Vec::new(), sent: 0 }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn meet(&mut self, bridge: SocketAddr) {
        self.bridge = bridge;
    }

    /// Sends OPTIONS until there is a reply.
    pub(crate) fn wait_for_the_other(&mut self) {
        self.socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let deadline = Instant::now() + WAIT_MAX;
        let mut buffer = [0; 65_536];
        let target = format!("sip:{}", self.bridge);
        loop {
            assert!(Instant::now() < deadline, "no answer at {}", self.bridge);
            let ends = (&*format!("<sip:{}>;tag=1", self.address), &*format!("<{target}>"));
            let options = self.request("OPTIONS", &target, ends, "are-you-there", 1);
            self.send(&options);
            // An answer to an earlier one will do.
            if self.socket.recv_from(&mut buffer).is_ok() {
                break;
            }
        }
        while self.socket.recv_from(&mut buffer).is_ok() {}
        self.socket.set_read_timeout(Some(WAIT_MAX)).unwrap();
    }

    fn send(&self, message: &Message) {
        self.socket.send_to(message.write().as_bytes(), self.bridge).unwrap();
    }

    /// The next message that is not a repeat.
    fn next(&mut self, what: &str) -> Message {
        let deadline = Instant::now() + WAIT_MAX;
        let mut buffer = [0; 65_536];
        while Instant::now() < deadline {
            let (len, _) = self.socket.recv_from(&mut buffer).unwrap_or_else(|_| panic!("no {what} comes to the PBX"));
            let message = Message::read(&buffer[..len]);
            if !self.seen.contains(&message) {
                self.seen.push(message.clone());
                return message;
            }
        }
        panic!("no {what} comes to the PBX, only repeats of {:#?}", self.seen.last());
    }

    /// The next message has to be this request.
    pub(crate) fn expect(&mut self, method: &str) -> Message {
        let message = self.next(method);
        assert!(message.is_request(method), "not {method} but\n{}", message.write());
        message
    }

    /// The next message has to be a response with this status.
    pub(crate) fn expect_status(&mut self, status: u16) -> Message {
        let message = self.next(&status.to_string());
        assert_eq!(message.status(), Some(status), "{}", message.write());
        message
    }

    /// Nothing but repeats has come.
    pub(crate) fn expect_nothing_more(&mut self) {
        self.socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 65_536];
        while let Ok((len, _)) = self.socket.recv_from(&mut buffer) {
            let message = Message::read(&buffer[..len]);
            assert!(self.seen.contains(&message), "unexpected at the PBX:\n{}", message.write());
        }
        self.socket.set_nonblocking(false).unwrap();
    }

    pub(crate) fn respond(&self, request: &Message, status: u16, sdp: &str) {
        let to = format!("{};tag=pbx", request.header("To").split(";tag=").next().unwrap());
        let response = Message::new(&format!("SIP/2.0 {status} As Requested"))
            .copying(&["Via", "From", "Call-ID", "CSeq", "Record-Route"], request)
            .with("To", if status == 100 { request.header("To") } else { &to })
            .with("Contact", &format!("<sip:pbx@{}>", self.address));
        self.send(&response.with_sdp(sdp));
    }

    fn request(&mut self, method: &str, target: &str, (from, to): (&str, &str), call_id: &str, cseq: u32) -> Message {
        self.sent += 1;
        Message::new(&format!("{method} {target} SIP/2.0"))
            .with("Via", &format!("SIP/2.0/UDP {};branch=z9hG4bK-pbx-{}", self.address, self.sent))
            .with("Max-Forwards", "70")
            .with("From", from)
            .with("To", to)
            .with("Call-ID", call_id)
            .with("CSeq", &format!("{cseq} {method}"))
            .with("Contact", &format!("<sip:pbx@{}>", self.address))
    }

    /// Calls `user` at the bridge.
    pub(crate) fn invite(&mut self, user: &str, sdp: &str) -> Message {
        let target = format!("sip:{user}@{}", self.bridge);
        let (from, to) = (format!("<sip:agent@{}>;tag=agent", self.address), format!("<{target}>"));
        let call_id = format!("pbx-{}", self.address);
        let invite = self.request("INVITE", &target, (&from, &to), &call_id, 1).with_sdp(sdp);
        self.send(&invite);
        invite
    }

    /// Sends a message again.
    pub(crate) fn repeat(&self, message: &Message) {
        self.send(message);
    }

    /// Hangs up a call that does not stand yet.
    pub(crate) fn cancel(&mut self, invite: &Message) {
        let target = invite.start.split(' ').nth(1).unwrap();
        let cancel = Message::new(&format!("CANCEL {target} SIP/2.0"))
            .copying(&["Via", "Max-Forwards", "From", "To", "Call-ID"], invite)
            .with("CSeq", "1 CANCEL");
        self.send(&cancel);
    }

    /// Acknowledges a final response to our INVITE.
    pub(crate) fn acknowledge(&mut self, invite: &Message, response: &Message) {
        let ends = (invite.header("From"), response.header("To"));
        let cseq = invite.header("CSeq").split(' ').next().unwrap().parse().unwrap();
        let ack = self.request("ACK", response.contact(), ends, invite.header("Call-ID"), cseq);
        self.send(&routed(ack, response));
    }

    /// Acknowledges a failure, in the transaction of the INVITE (RFC 3261 17.1.1.3).
    pub(crate) fn acknowledge_failure(&mut self, invite: &Message, response: &Message) {
        let target = invite.start.split(' ').nth(1).unwrap();
        let ack = Message::new(&format!("ACK {target} SIP/2.0"))
            .copying(&["Via", "Max-Forwards", "From", "Call-ID"], invite)
            .with("To", response.header("To"))
            .with("CSeq", &format!("{} ACK", invite.header("CSeq").split(' ').next().unwrap()));
        self.send(&ack);
    }

    /// The same call once more, as after a 407.
    pub(crate) fn invite_again(&mut self, invite: &Message) -> Message {
        let (target, ends) = (invite.start.split(' ').nth(1).unwrap(), (invite.header("From"), invite.header("To")));
        let again = self.request("INVITE", target, ends, invite.header("Call-ID"), 2).with_sdp(&invite.body);
        self.send(&again);
        again
    }

    /// Hangs up a call that it made.
    pub(crate) fn hang_up_own(&mut self, invite: &Message, response: &Message) {
        self.send_bye(invite, response);
        self.expect_status(200);
    }

    /// The same, without waiting.
    pub(crate) fn send_bye(&mut self, invite: &Message, response: &Message) {
        let ends = (invite.header("From"), response.header("To"));
        let bye = self.request("BYE", response.contact(), ends, invite.header("Call-ID"), 3);
        self.send(&routed(bye, response));
    }

    /// Hangs up a call that came to it.
    pub(crate) fn hang_up_other(&mut self, invite: &Message) {
        let from = format!("{};tag=pbx", invite.header("To"));
        let bye = self.request("BYE", invite.contact(), (&from, invite.header("From")), invite.header("Call-ID"), 1);
        self.send(&bye);
        self.expect_status(200);
    }
}

/// The way that the dialogue's requests take, from the caller's end (RFC 3261 12.1.2).
fn routed(request: Message, response: &Message) -> Message {
    response.all("Record-Route").rev().fold(request, |request, route| request.with("Route", route))
}
