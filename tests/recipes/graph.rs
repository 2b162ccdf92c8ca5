//! Meta's side of the signalling: the Graph API's `calls` endpoint, and web hooks. Every request is looked at, and answered,
//! by the test.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use serde_json::Value;
use tiny_http::{Header, Request, Response, Server};
use trestle_tools::meta_sim::graph::{self, PhoneNumbers, Refusal, SignalDirection};

use crate::WAIT_MAX;

pub(crate) const NUMBER_ID: &str = "106540352242922";
pub(crate) const TOKEN: &str = "EAAJB";
pub(crate) const SECRET: &str = "an app's secret";
pub(crate) const VERIFY_TOKEN: &str = "mine";
pub(crate) const USER: &str = "16315553601";
const BUSINESS: &str = "15550783881";

pub(crate) struct Graph {
    server: Server,
    /// Where web hooks go.
    hook: SocketAddr,
}

/// A request that waits for its answer.
pub(crate) struct Asked {
    request: Request,
    pub(crate) body: Value,
}

impl Graph {
    pub(crate) fn start(address: SocketAddr) -> Self {
        Self { server: Server::http(address).unwrap(), hook: address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v23.0", self.server.server_addr())
    }

    pub(crate) fn meet(&mut self, hook: SocketAddr) {
        self.hook = hook;
    }

    /// The next request, which has to be this action; answered by [`Asked::succeed`] and its like.
    pub(crate) fn expect(&self, action: &str) -> Asked {
        let request = self.server.recv_timeout(WAIT_MAX).unwrap();
        let mut request = request.unwrap_or_else(|| panic!("no request to Graph to {action}"));
        let mut body = String::new();
        request.as_reader().read_to_string(&mut body).unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["action"], action, "{body:#}");
        assert_eq!(body["messaging_product"], "whatsapp");
        assert_eq!(request.method().as_str(), "POST");
        assert_eq!(request.url(), format!("/v23.0/{NUMBER_ID}/calls"));
        let header = |name: &'static str| {
            let header = request.headers().iter().find(|header| header.field.equiv(name));
            header.map_or("", |header| header.value.as_str())
        };
        assert_eq!(header("Authorization"), format!("Bearer {TOKEN}"));
        assert_eq!(header("Content-Type"), "application/json");
        Asked { request, body }
    }

    /// No request arrives.
    pub(crate) fn expect_nothing_more(&self) {
        assert!(self.server.try_recv().unwrap().is_none(), "Graph is asked for more");
    }

    /// Delivers events; gives the status with which they are taken.
    pub(crate) fn deliver(&self, value: &Value) -> u16 {
        let value = hook(value);
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let signature = hmac::sign(&key, value.as_bytes());
        let hex: String = signature.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        self.post(&value, &format!("sha256={hex}"))
    }

    /// As a sender without the secret would.
    pub(crate) fn forge(&self, value: &Value) -> u16 {
        self.post(&hook(value), "sha256=0000")
    }

    fn post(&self, body: &str, signature: &str) -> u16 {
        let head = "POST / HTTP/1.1\r\nHost: hook\r\nContent-Type: application/json\r\nConnection: close\r\n";
        let length = body.len();
        self.http(&format!("{head}X-Hub-Signature-256: {signature}\r\nContent-Length: {length}\r\n\r\n{body}")).0
    }

    /// Asks whether the hook is ours, as Meta does when it is entered.
    pub(crate) fn verify(&self, token: &str) -> (u16, String) {
        let query = format!("hub.mode=subscribe&hub.verify_token={token}&hub.challenge=1158201444");
        self.http(&format!("GET /?{query} HTTP/1.1\r\nHost: hook\r\nConnection: close\r\n\r\n"))
    }

    fn http(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.hook).unwrap();
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").expect("an HTTP response");
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}

impl Asked {
    pub(crate) fn sdp(&self) -> &str {
        self.body["session"]["sdp"].as_str().expect("an SDP")
    }

    /// The session has to be of this kind.
    pub(crate) fn with_session(self, sdp_type: &str) -> Self {
        assert_eq!(self.body["session"]["sdp_type"], sdp_type, "{:#}", self.body);
        assert!(self.sdp().ends_with("\r\n"), "{}", self.sdp());
        self
    }

    pub(crate) fn about(self, call_id: &str) -> Self {
        assert_eq!(self.body["call_id"], call_id);
        self
    }

    pub(crate) fn succeed(self) {
        self.reply(200, &graph::success());
    }

    /// To `connect`: the call has this id.
    pub(crate) fn ring(self, call_id: &str) {
        assert_eq!(self.body["to"], USER);
        self.reply(200, &graph::ringing(call_id));
    }

    pub(crate) fn fail(self) {
        let refusal = Refusal { status: 400, code: 138_006, details: String::new() };
        self.reply(refusal.status, &refusal.body());
    }

    fn reply(self, status: u16, body: &Value) {
        let json = Header::from_bytes("Content-Type", "application/json").unwrap();
        let response = Response::from_string(body.to_string()).with_status_code(status).with_header(json);
        // The client may have hung up.
        let _ = self.request.respond(response);
    }
}

fn hook(value: &Value) -> String {
    ends().hook(value).to_string()
}

fn ends() -> PhoneNumbers {
    PhoneNumbers { phone_number_id: NUMBER_ID.to_owned(), business: BUSINESS.to_owned(), user: USER.to_owned() }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A user calls.
pub(crate) fn offered(call_id: &str, sdp: &str) -> Value {
    offered_ago(0, call_id, sdp)
}

/// The same, from a queue that was stopped.
pub(crate) fn offered_ago(ago_s: u64, call_id: &str, sdp: &str) -> Value {
    ends().offered(now_s() - ago_s, call_id, sdp)
}

/// WhatsApp's answer to a call that the business makes.
pub(crate) fn answered(call_id: &str, sdp: &str) -> Value {
    ends().answered(now_s(), call_id, sdp)
}

/// `RINGING`, `ACCEPTED` or `REJECTED`.
pub(crate) fn status(call_id: &str, status: &str) -> Value {
    ends().status(now_s(), call_id, status)
}

pub(crate) fn terminated(call_id: &str, direction: SignalDirection) -> Value {
    ends().terminated(now_s(), call_id, direction, None)
}
