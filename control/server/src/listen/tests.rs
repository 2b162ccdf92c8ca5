//! Both listeners over real sockets, without a control thread behind them: `/ping` needs none.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use trestle_io::{Heartbeat, mailbox};

use super::bound::bind;
use super::connections::{Connections, Deadlines};
use super::http::{HttpServer, Scrape};
use super::ng_tcp::TcpServer;
use super::stream_request::StreamRequest;
use crate::allowed_sources::AllowedSources;
use crate::health::Health;
use crate::metrics::ClosedConnections;

/// A test that waits longer than this has failed.
const TEST_TIMEOUT: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(3_600);
const SHORT: Duration = Duration::from_millis(50);

/// Both listeners, and the other ends of their mailboxes.
struct Listeners {
    tcp: (Connections, TcpServer),
    http: (Connections, HttpServer),
    _control: (mio::Poll, Receiver<StreamRequest>, Receiver<Scrape>),
}

impl Listeners {
    fn start(max: usize, deadlines: Deadlines) -> Self {
        let poll = mio::Poll::new().unwrap();
        let bell = Arc::new(mailbox::Bell::new(poll.registry(), mio::Token(0)).unwrap());
        let (requests, requested) = mailbox::channel(1, Arc::clone(&bell));
        let (scrapes, scraped) = mailbox::channel(1, bell);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let [by_tcp, by_http] =
            ["tcp", "http"].map(|name| Connections::new(name, max, deadlines, AllowedSources::default()));
        let tcp = TcpServer::start(Heartbeat::new("tcp-ng"), vec![bind(any).unwrap()], &by_tcp, &requests).unwrap();
        let http = HttpServer::start(
            (Heartbeat::new("http"), Health::default()),
            bind(any).unwrap(),
            by_http.clone(),
            &[],
            scrapes,
            requests,
        )
        .unwrap();
        Self { tcp: (by_tcp, tcp), http: (by_http, http), _control: (poll, requested, scraped) }
    }

    /// Each listener's connections and address.
    fn each(&self) -> [(&Connections, SocketAddr); 2] {
        [(&self.tcp.0, self.tcp.1.addresses()[0]), (&self.http.0, self.http.1.address())]
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    stream
}

/// The bytes until the end of the connection, which the server must close.
fn rest(mut stream: &TcpStream) -> String {
    let mut text = Vec::new();
    match stream.read_to_end(&mut text) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "it is left open"),
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn a_peer_that_does_not_begin_or_end_its_message_is_closed_and_counted() {
    for (idle, message, sent) in
        [(SHORT, LONG, ["", ""]), (LONG, SHORT, ["1 d7:comm", "POST /ng HTTP/1.1\r\nContent-Le"])]
    {
        let listeners = Listeners::start(4, Deadlines { idle, message });
        for ((connections, address), sent) in listeners.each().into_iter().zip(sent) {
            let mut stream = connect(address);
            stream.write_all(sent.as_bytes()).unwrap();
            assert_eq!(rest(&stream), "", "{sent:?}");
            assert_eq!(connections.closed(), ClosedConnections { late: 1, ..ClosedConnections::default() }, "{sent:?}");
        }
    }
}

#[test]
fn the_time_for_a_message_does_not_begin_anew_with_each_of_its_bytes() {
    let listeners = Listeners::start(4, Deadlines { idle: LONG, message: Duration::from_millis(5) });
    let head = "POST /ng HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n";
    for ((connections, address), sent) in listeners.each().into_iter().zip(["1 d3:sdp30000:", head]) {
        let mut stream = connect(address);
        stream.set_nodelay(true).unwrap();
        stream.write_all(sent.as_bytes()).unwrap();
        // So many system calls take far more than 5 ms.
        let closed = (0..29_999).any(|_| stream.write_all(b"a").is_err());
        assert!(closed || rest(&stream).is_empty());
        assert_eq!(connections.closed(), ClosedConnections { late: 1, ..ClosedConnections::default() }, "{sent:?}");
    }
}

#[test]
fn an_idle_connection_makes_room_and_one_within_a_message_does_not() {
    let listeners = Listeners::start(1, Deadlines { idle: LONG, message: LONG });
    for ((connections, address), sent) in
        listeners.each().into_iter().zip(["1 d7:comm", "POST /ng HTTP/1.1\r\nContent-Le"])
    {
        let idle = connect(address);
        let mut busy = connect(address);
        assert_eq!(rest(&idle), "", "closed for the second");
        busy.write_all(sent.as_bytes()).unwrap();
        // Until the server has read that, the connection is idle, too; from then on it keeps its place.
        let refused = (0..1_000).any(|_| {
            assert_eq!(rest(&connect(address)), "");
            connections.closed().refused > 0
        });
        assert!(refused || connections.closed().displaced > 1);
        assert_eq!(connections.closed().late, 0);
    }
}

#[test]
fn idle_connections_cannot_keep_a_client_out() {
    let listeners = Listeners::start(8, Deadlines { idle: LONG, message: LONG });
    let ping = "GET /ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let address = listeners.http.1.address();
    let idle: Vec<TcpStream> = (0..32).map(|_| connect(address)).collect();
    let mut stream = connect(address);
    stream.write_all(ping.as_bytes()).unwrap();
    assert!(rest(&stream).ends_with("pong"));
    drop(idle);
}

#[test]
fn a_scraper_keeps_its_connection_from_one_request_to_the_next() {
    let listeners = Listeners::start(1, Deadlines { idle: LONG, message: LONG });
    let mut stream = connect(listeners.http.1.address());
    for _ in 0..3 {
        stream.write_all(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"pong") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
    }
    assert_eq!(listeners.http.0.closed(), ClosedConnections::default());
}
