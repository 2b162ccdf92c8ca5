//! Both listeners over real sockets, without a control thread behind them: `/ping` needs none.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::Receiver;

use trestle_io::mailbox;

use super::*;
use crate::ask::Ask;
use crate::http::{HttpServer, Scrape};
use crate::tcp::TcpServer;

/// A test that waits longer than this waits in vain.
const IN_VAIN: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(3_600);
const SHORT: Duration = Duration::from_millis(50);

/// Both listeners, and what keeps them going.
struct Listeners {
    tcp: (Connections, TcpServer),
    http: (Connections, HttpServer),
    _control: (mio::Poll, Receiver<Ask>, Receiver<Scrape>),
}

impl Listeners {
    fn start(max: usize, patience: Patience) -> Self {
        let poll = mio::Poll::new().unwrap();
        let bell = Arc::new(mailbox::Bell::new(poll.registry(), mio::Token(0)).unwrap());
        let (asks, asked) = mailbox::channel(1, Arc::clone(&bell));
        let (scrapes, scraped) = mailbox::channel(1, bell);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let [by_tcp, by_http] = ["tcp", "http"].map(|name| Connections::new(name, max, patience));
        let tcp = TcpServer::start(&[any], &by_tcp, &asks).unwrap();
        let http = HttpServer::start(any, by_http.clone(), &[], scrapes, asks).unwrap();
        Self { tcp: (by_tcp, tcp), http: (by_http, http), _control: (poll, asked, scraped) }
    }

    /// Each listener's connections and address.
    fn each(&self) -> [(&Connections, SocketAddr); 2] {
        [(&self.tcp.0, self.tcp.1.addresses()[0]), (&self.http.0, self.http.1.address())]
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(IN_VAIN)).unwrap();
    stream
}

/// What comes until the connection is closed, which it must be.
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
    for (idle, message, said) in
        [(SHORT, LONG, ["", ""]), (LONG, SHORT, ["1 d7:comm", "POST /ng HTTP/1.1\r\nContent-Le"])]
    {
        let listeners = Listeners::start(4, Patience { idle, message });
        for ((connections, address), said) in listeners.each().into_iter().zip(said) {
            let mut stream = connect(address);
            stream.write_all(said.as_bytes()).unwrap();
            assert_eq!(rest(&stream), "", "{said:?}");
            assert_eq!(connections.closed(), Closed { refused: 0, late: 1 }, "{said:?}");
        }
    }
}

#[test]
fn the_time_for_a_message_does_not_begin_anew_with_each_of_its_bytes() {
    let listeners = Listeners::start(4, Patience { idle: LONG, message: Duration::from_millis(5) });
    let head = "POST /ng HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n";
    for ((connections, address), said) in listeners.each().into_iter().zip(["1 d3:sdp30000:", head]) {
        let mut stream = connect(address);
        stream.set_nodelay(true).unwrap();
        stream.write_all(said.as_bytes()).unwrap();
        // So many system calls take far more than 5 ms.
        let closed = (0..29_999).any(|_| stream.write_all(b"a").is_err());
        assert!(closed || rest(&stream).is_empty());
        assert_eq!(connections.closed(), Closed { refused: 0, late: 1 }, "{said:?}");
    }
}

#[test]
fn connections_beyond_the_limit_are_closed_and_counted_and_their_place_comes_back() {
    let listeners = Listeners::start(1, Patience { idle: LONG, message: LONG });
    for (connections, address) in listeners.each() {
        let first = connect(address);
        assert_eq!(rest(&connect(address)), "");
        assert_eq!(connections.closed(), Closed { refused: 1, late: 0 });
        drop(first);
    }
    // The place is free again as soon as the server has seen the end of the first.
    let ping = "GET /ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answered = (0..1_000).any(|_| {
        let mut stream = connect(listeners.http.1.address());
        stream.write_all(ping.as_bytes()).is_ok() && rest(&stream).ends_with("pong")
    });
    assert!(answered);
}

#[test]
fn a_scraper_keeps_its_connection_from_one_request_to_the_next() {
    let listeners = Listeners::start(1, Patience { idle: LONG, message: LONG });
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
    assert_eq!(listeners.http.0.closed(), Closed::default());
}
