//! A tap on the wire between Kamailio and Trestle: what was asked, what was answered, and how long that took.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use trestle_tests::bencode;

/// How soon the tap's threads notice that it is over.
const TICK: Duration = Duration::from_millis(100);

/// One request as it came first.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) request: Value,
    pub(crate) reply: Option<Value>,
    /// From the request's passing to the reply's.
    pub(crate) took: Option<Duration>,
}

impl Exchange {
    /// `offer`, `answer` and so on.
    pub(crate) fn command(&self) -> &str {
        self.request["command"].as_str().unwrap()
    }

    /// The SDP of the reply, for the other side.
    pub(crate) fn written(&self) -> &str {
        let sdp = self.reply.as_ref().and_then(|reply| reply["sdp"].as_str());
        sdp.unwrap_or_else(|| panic!("no SDP in {:?}", self.reply))
    }

    /// The SDP of the request.
    pub(crate) fn announced(&self) -> &str {
        self.request["sdp"].as_str().unwrap_or_else(|| panic!("no SDP in {}", self.request))
    }
}

#[derive(Default)]
struct Record {
    exchanges: Vec<Exchange>,
    /// By the client's address and cookie: index into `exchanges`, and when the request passed.
    open: HashMap<(SocketAddr, Vec<u8>), (usize, Instant)>,
}

/// Passes datagrams on, and remembers them. Writes them to a file when it is dropped.
pub(crate) struct Tap {
    record: Arc<Mutex<Record>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    log: PathBuf,
}

impl Tap {
    /// Kamailio's side is `front`; requests go to `trestle`.
    pub(crate) fn start(front: SocketAddr, trestle: SocketAddr, log: PathBuf) -> Self {
        let socket = UdpSocket::bind(front).unwrap();
        let (record, over) = (Arc::new(Mutex::new(Record::default())), Arc::new(AtomicBool::new(false)));
        let wire = Wire { front: socket, trestle, record: Arc::clone(&record), over: Arc::clone(&over) };
        let thread = Some(thread::spawn(move || wire.carry()));
        Self { record, over, thread, log }
    }

    /// Everything so far but pings.
    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        let record = self.record.lock().unwrap();
        record.exchanges.iter().filter(|exchange| exchange.command() != "ping").cloned().collect()
    }

    /// The last exchange of this command.
    pub(crate) fn last(&self, command: &str) -> Exchange {
        let found = self.exchanges().into_iter().rfind(|exchange| exchange.command() == command);
        found.unwrap_or_else(|| panic!("there was no {command}"))
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let Ok(record) = self.record.lock() else { return };
        let mut text = String::new();
        for Exchange { request, reply, took } in &record.exchanges {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "> {request}\n< {} after {took:?}\n", reply.as_ref().unwrap_or(&Value::Null));
        }
        let _ = fs::write(&self.log, text.replace("\\r\\n", "\n    "));
    }
}

struct Wire {
    front: UdpSocket,
    trestle: SocketAddr,
    record: Arc<Mutex<Record>>,
    over: Arc<AtomicBool>,
}

impl Wire {
    fn carry(self) {
        let (wire, mut backs, mut buffer) = (Arc::new(self), HashMap::new(), vec![0; 65_536]);
        let mut threads = Vec::new();
        wire.front.set_read_timeout(Some(TICK)).unwrap();
        while let Some(received) = wire.receive(&mut buffer) {
            let Some((len, client)) = received else { continue };
            // A socket for each client, as Trestle distinguishes clients by their addresses.
            let back = backs.entry(client).or_insert_with(|| {
                let back = UdpSocket::bind((wire.trestle.ip(), 0)).unwrap();
                back.connect(wire.trestle).unwrap();
                back.set_read_timeout(Some(TICK)).unwrap();
                let (replies, wire) = (back.try_clone().unwrap(), Arc::clone(&wire));
                threads.push(thread::spawn(move || wire.carry_replies(&replies, client)));
                back
            });
            wire.note_request(client, &buffer[..len]);
            // Fails while Trestle is down; the client retries.
            let _ = back.send(&buffer[..len]);
        }
        for thread in threads {
            let _ = thread.join();
        }
    }

    /// The next datagram at the front; `Some(None)` after a while without one, `None` when all is over.
    fn receive(&self, buffer: &mut [u8]) -> Option<Option<(usize, SocketAddr)>> {
        (!self.over.load(Ordering::Relaxed)).then(|| self.front.recv_from(buffer).ok())
    }

    fn carry_replies(&self, back: &UdpSocket, client: SocketAddr) {
        let mut buffer = vec![0; 65_536];
        while !self.over.load(Ordering::Relaxed) {
            // Nothing comes for a while, or Trestle is down.
            let Ok(len) = back.recv(&mut buffer) else { continue };
            self.note_reply(client, &buffer[..len]);
            let _ = self.front.send_to(&buffer[..len], client);
        }
    }

    fn note_request(&self, client: SocketAddr, datagram: &[u8]) {
        let (cookie, body) = split(datagram);
        let mut record = self.record.lock().unwrap();
        if record.open.contains_key(&(client, cookie.to_vec())) {
            return;
        }
        let index = record.exchanges.len();
        record.exchanges.push(Exchange { request: bencode::read(body), reply: None, took: None });
        record.open.insert((client, cookie.to_vec()), (index, Instant::now()));
    }

    fn note_reply(&self, client: SocketAddr, datagram: &[u8]) {
        let now = Instant::now();
        let (cookie, body) = split(datagram);
        let mut record = self.record.lock().unwrap();
        if let Some((index, since)) = record.open.get(&(client, cookie.to_vec())).copied() {
            let exchange = &mut record.exchanges[index];
            if exchange.reply.is_none() {
                exchange.took = Some(now.saturating_duration_since(since));
                exchange.reply = Some(bencode::read(body));
            }
        }
    }
}

fn split(datagram: &[u8]) -> (&[u8], &[u8]) {
    let space = datagram.iter().position(|byte| *byte == b' ').expect("a cookie");
    (&datagram[..space], &datagram[space + 1..])
}
