//! `trestle meta-sim` against a whole Trestle over real sockets on the loopback: this test is the application between
//! Graph and ng, and the phone behind it.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tiny_http::Response;
use trestle_peers::{Codec, Phone, PhoneOptions, Voice, ear};
use trestle_server::Server;
use trestle_server::config::Config;
use trestle_tests::running::local_settings;
use trestle_tools::meta_sim::{self, MetaSimArgs, SimVerdict};

/// Longest wait for anything, before a test fails.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How long one look at a socket takes if nothing comes.
const LOOK: Duration = Duration::from_millis(1);
/// The agent's tone.
const AGENT_HZ: f64 = 600.0;

/// What the sim prints, line by line.
struct Lines(mpsc::Sender<String>, String);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.push_str(&String::from_utf8_lossy(bytes));
        while let Some((line, rest)) = self.1.split_once('\n') {
            let _ = self.0.send(line.to_owned());
            self.1 = rest.to_owned();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Trestle, the sim, and everything between them.
struct Place {
    server: Server,
    ng: UdpSocket,
    hooks: tiny_http::Server,
    graph: SocketAddr,
    sim: JoinHandle<SimVerdict>,
    lines: mpsc::Receiver<String>,
    phone: Phone,
    socket: UdpSocket,
    cookies: u32,
}

#[expect(clippy::disallowed_methods, reason = "this test is the outside world")]
fn udp() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

#[expect(clippy::disallowed_methods, reason = "this test is the outside world")]
fn now() -> Instant {
    Instant::now()
}

impl Place {
    #[expect(clippy::disallowed_methods, reason = "this test is the outside world")]
    fn new(words: &[&str]) -> Self {
        let server = Server::start(&Config::new(local_settings()).unwrap()).unwrap();
        let ng = udp();
        ng.connect(server.ng_addr()).unwrap();
        ng.set_read_timeout(Some(WAIT_MAX)).unwrap();
        let hooks = tiny_http::Server::http("127.0.0.1:0").unwrap();
        let hook = format!("--hook=http://{}/whatsapp", hooks.server_addr());
        let fixed = ["--relay=127.0.0.1:0", "--graph=127.0.0.1:0", "--token=EAAJB", &hook];
        let args = MetaSimArgs::read(words.iter().copied().chain(fixed)).unwrap();
        let (announced, lines) = mpsc::channel();
        let sim = thread::spawn(move || meta_sim::run(&args, &mut Lines(announced, String::new())).unwrap());
        let ready: String = lines.recv_timeout(WAIT_MAX).unwrap();
        let graph = ready.strip_prefix("ready: Graph http://").and_then(|rest| rest.split('/').next());
        let graph = graph.unwrap_or_else(|| panic!("{ready}")).parse().unwrap();
        let socket = udp();
        socket.set_read_timeout(Some(LOOK)).unwrap();
        let phone = PhoneOptions {
            codecs: vec![Codec::Pcma],
            rtcp_mux: true,
            voice: Voice::Tone { hz: AGENT_HZ, peak: 8_000 },
            ..PhoneOptions::new(socket.local_addr().unwrap())
        };
        let phone = Phone::new(now(), phone);
        Self { server, ng, hooks, graph, sim, lines, phone, socket, cookies: 0 }
    }

    /// The value of the next web hook.
    fn hook(&self) -> Value {
        let mut request = self.hooks.recv_timeout(WAIT_MAX).unwrap().expect("a web hook");
        let mut body = String::new();
        request.as_reader().read_to_string(&mut body).unwrap();
        let signature = request.headers().iter().find(|header| header.field.equiv("X-Hub-Signature-256")).unwrap();
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"secret");
        let expected = aws_lc_rs::hmac::sign(&key, body.as_bytes());
        let expected: String = expected.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(signature.value.as_str(), format!("sha256={expected}"));
        assert_eq!(request.url(), "/whatsapp");
        request.respond(Response::empty(200)).unwrap();
        let hook: Value = serde_json::from_str(&body).unwrap();
        hook["entry"][0]["changes"][0]["value"].clone()
    }

    /// Asks Graph.
    fn act(&self, body: &Value) -> (u16, Value) {
        let mut body = body.clone();
        body["messaging_product"] = "whatsapp".into();
        let body = body.to_string();
        let mut stream = TcpStream::connect(self.graph).unwrap();
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        write!(
            stream,
            "POST /v23.0/106540352242922/calls HTTP/1.1\r\nHost: graph\r\nAuthorization: Bearer EAAJB\r\n\
             Content-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
    }

    /// Asks Trestle.
    fn request(&mut self, request: &Value) -> Value {
        self.cookies += 1;
        let mut request = request.clone();
        request["call-id"] = "call".into();
        self.ng.send(format!("{} {request}", self.cookies).as_bytes()).unwrap();
        let mut reply = [0; 8_192];
        let len = self.ng.recv(&mut reply).expect("Trestle replies");
        let reply = std::str::from_utf8(&reply[..len]).unwrap().split_once(' ').unwrap().1;
        let reply: Value = serde_json::from_str(reply).unwrap();
        assert_eq!(reply["result"], "ok", "{reply}");
        reply
    }

    /// The phone talks and listens until the sim has ended.
    fn talk(&mut self) {
        let deadline = now() + WAIT_MAX;
        let local = self.socket.local_addr().unwrap();
        let mut buffer = [0; 2_048];
        while !self.sim.is_finished() {
            assert!(now() < deadline, "the sim does not end: {:?}", self.phone.report());
            if let Ok((len, remote)) = self.socket.recv_from(&mut buffer) {
                self.phone.handle_datagram(now(), local, remote, &buffer[..len]);
            }
            if self.phone.poll_timeout().is_some_and(|due| due <= now()) {
                self.phone.handle_timeout(now());
            }
            while let Some(transmit) = self.phone.poll_transmit() {
                self.socket.send_to(&transmit.bytes, transmit.remote).unwrap();
            }
            // Web hooks are taken while people talk.
            while let Ok(Some(request)) = self.hooks.try_recv() {
                request.respond(Response::empty(200)).unwrap();
            }
        }
    }

    fn end(self) -> (SimVerdict, Vec<String>) {
        let judgement = self.sim.join().unwrap();
        self.server.stop();
        (judgement, self.lines.try_iter().collect())
    }
}

fn sdp(value: &Value) -> &str {
    value["sdp"].as_str().unwrap_or_else(|| panic!("no SDP in {value}"))
}

/// What a listener recorded ends with this tone.
fn assert_tone(path: &std::path::Path, hz: f64) {
    let received = meta_sim::wav::read_16k(path).unwrap();
    let tone = ear::dominant_tone(&received[received.len() - 8_000..], 16_000).expect("a tone");
    assert!((tone.hz - hz).abs() < 3.0, "{tone:?} instead of {hz} Hz");
}

#[test]
fn a_user_calls_an_agent_and_whatsapp_is_content() {
    let record = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("meta-sim-user-calls.wav");
    let record_word = format!("--record={}", record.display());
    let mut place = Place::new(&["user-calls", "--seconds=4", "--press=15#", "--padded-pwd", &record_word]);
    let connect = place.hook();
    let call = &connect["calls"][0];
    let id = call["id"].clone();
    let offer = json!({"command": "offer", "from-tag": "wa", "gate": "shut", "transport-protocol": "RTP/AVP",
        "sdp": sdp(&call["session"])});
    let offered = place.request(&offer);
    let answer = place.phone.answer(now(), sdp(&offered)).unwrap();
    let answered = place.request(&json!({"command": "answer", "from-tag": "wa", "to-tag": "pbx", "sdp": answer}));
    let act = |action: &str, sdp: &str| json!({"call_id": id, "action": action, "session": {"sdp_type": "answer", "sdp": sdp}});
    let (status, refusal) = place.act(&act("pre_accept", &sdp(&answered).replace("setup:active", "setup:actpass")));
    assert_eq!((status, &refusal["error"]["code"]), (400, &json!(138_008)), "{refusal}");
    assert_eq!(place.act(&act("pre_accept", sdp(&answered))).0, 200);
    assert_eq!(place.act(&act("accept", sdp(&answered))).0, 200);
    place.request(&json!({"command": "gate", "op": "open"}));
    place.talk();
    assert_eq!(place.phone.report().digits_received(), "15#");
    let (judgement, lines) = place.end();
    // The one fault is the answer that was refused on purpose.
    assert_eq!(judgement.faults.len(), 1, "{judgement:#?}\n{lines:#?}");
    assert!(judgement.faults[0].contains("setup"), "{judgement:?}");
    assert!(lines.iter().any(|line| line.ends_with("DTLS is connected")), "{lines:#?}");
    assert_tone(&record, AGENT_HZ);
}

#[test]
fn an_agent_calls_a_user_who_answers_actpass() {
    let mut place = Place::new(&["business-calls", "--seconds=3", "--ring-ms=500", "--setup=actpass-passive"]);
    let offer = place.phone.offer();
    let offer = json!({"command": "offer", "from-tag": "pbx", "profile": "whatsapp", "gate": "shut", "sdp": offer});
    let offered = place.request(&offer);
    let session = json!({"sdp_type": "offer", "sdp": sdp(&offered)});
    let (status, body) = place.act(&json!({"action": "connect", "to": "16315553601", "session": session}));
    assert_eq!(status, 200, "{body}");
    let connect = place.hook();
    let answer = sdp(&connect["calls"][0]["session"]).to_owned();
    assert!(answer.contains("a=setup:actpass\r\n"));
    let answered = place.request(&json!({"command": "answer", "from-tag": "pbx", "to-tag": "wa", "sdp": answer}));
    place.phone.accept(now(), sdp(&answered)).unwrap();
    assert_eq!(place.hook()["statuses"][0]["status"], "RINGING");
    assert_eq!(place.hook()["statuses"][0]["status"], "ACCEPTED");
    place.request(&json!({"command": "gate", "op": "open"}));
    place.talk();
    let (judgement, lines) = place.end();
    assert!(judgement.good, "{judgement:#?}\n{lines:#?}");
}
