//! ng over TCP and HTTP, over real sockets on the loopback.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use trestle_server::Server;
use trestle_server::config::Config;
use trestle_tests::running::local_settings;

/// Longest wait for a reply, before a test fails.
const WAIT_MAX: Duration = Duration::from_secs(10);

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 41000 RTP/AVP 8\r\n";

fn start() -> Server {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut settings = local_settings();
    settings.listen.listen_tcp_ng = vec![any];
    settings.listen.listen_http = Some(any);
    Server::start(&Config::new(settings).unwrap()).unwrap()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
    stream
}

fn read_text(stream: &mut TcpStream, len: usize) -> String {
    let mut answer = vec![0; len];
    stream.read_exact(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

fn bencoded_offer(cookie: &str, call_id: &str) -> String {
    let (sdp, id) = (SDP.len(), call_id.len());
    format!("{cookie} d3:sdp{sdp}:{SDP}7:call-id{id}:{call_id}8:from-tag1:a7:command5:offere")
}

#[test]
fn messages_over_tcp_may_come_in_any_segments_and_many_at_a_time() {
    let server = start();
    let mut stream = connect(server.tcp_addrs()[0]);
    stream.write_all(b"1 d7:command4:pinge2 d7:command4:pinge\r\n3 {\"command\":\"ping\"}\n").unwrap();
    let answers = "1 d6:result4:ponge2 d6:result4:ponge3 {\"result\":\"pong\"}\n";
    assert_eq!(read_text(&mut stream, answers.len()), answers);
    // An offer byte by byte.
    for byte in bencoded_offer("4", "c").bytes() {
        stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(read_text(&mut stream, "4 d3:sdp".len()), "4 d3:sdp");
}

#[test]
fn json_answers_over_tcp_are_lines() {
    let server = start();
    let stream = connect(server.tcp_addrs()[0]);
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let offer = serde_json::json!({"command": "offer", "call-id": "c", "from-tag": "a", "sdp": SDP});
    write!(&stream, "1 {offer}\n2 {{\"command\":\"list\"}}\n").unwrap();
    assert!(lines.next().unwrap().unwrap().starts_with("1 {\"sdp\":\"v=0"));
    assert_eq!(lines.next().unwrap().unwrap(), "2 {\"calls\":[\"c\"],\"result\":\"ok\"}");
}

#[test]
fn a_repeat_over_tcp_gets_the_same_answer_and_is_not_done_twice() {
    let server = start();
    let mut stream = connect(server.tcp_addrs()[0]);
    let mut ask = |message: &str| {
        stream.write_all(message.as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(&stream).read_line(&mut answer).unwrap();
        answer
    };
    let offer = serde_json::json!({"command": "offer", "call-id": "c", "from-tag": "a", "sdp": SDP});
    let first = ask(&format!("1 {offer}\n"));
    assert_eq!(ask(&format!("1 {offer}\n")), first);
    assert!(ask("1 {\"command\":\"ping\"}").contains("cookie-reused"));
}

#[test]
fn a_tcp_stream_without_a_message_is_answered_and_closed() {
    let server = start();
    for (bytes, answer) in [
        (
            "1 d7:command4:pinge2 dx",
            "1 d6:result4:ponge2 d6:result5:error12:error-reason35:Could not decode bencode dictionarye",
        ),
        ("1 hello", "1 d6:result5:error12:error-reason22:Invalid NG data formate"),
        (&"x".repeat(100), ""),
    ] {
        let mut stream = connect(server.tcp_addrs()[0]);
        stream.write_all(bytes.as_bytes()).unwrap();
        let mut received = String::new();
        // Unread bytes make the end a reset.
        let _: std::io::Result<usize> = stream.read_to_string(&mut received);
        assert_eq!(received, answer, "{bytes}");
    }
    let mut stream = connect(server.tcp_addrs()[0]);
    stream.write_all(b"1 d7:command4:pinge").unwrap();
    assert_eq!(read_text(&mut stream, 18), "1 d6:result4:ponge");
}

/// Posts a body and gives status, content type and body of the answer.
fn post(server: &Server, path: &str, headers: &str, body: &str) -> (u16, String, String) {
    let mut stream = connect(server.http_addr().unwrap());
    let len = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len}\r\n");
    write!(stream, "{head}{headers}\r\n{body}").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let kind = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
    (status, kind.to_owned(), body.to_owned())
}

const AS_NG: &str = "Content-Type: application/x-rtpengine-ng\r\n";
const AS_JSON: &str = "Content-Type: application/json; charset=utf-8\r\n";

#[test]
fn ng_is_posted_with_a_cookie_and_without() {
    let server = start();
    let ng = "application/x-rtpengine-ng".to_owned();
    let json = "application/json".to_owned();
    for (path, kind, body, answer) in [
        ("/ng", AS_NG, "1 d7:command4:pinge", (200, ng.clone(), "1 d6:result4:ponge".to_owned())),
        ("/ng", AS_JSON, "2 {\"command\":\"ping\"}", (200, ng.clone(), "2 {\"result\":\"pong\"}".to_owned())),
        ("/ng-plain", AS_NG, "d7:command4:pinge", (200, ng, "d6:result4:ponge".to_owned())),
        ("/ng-plain", AS_JSON, "{\"command\":\"ping\"}", (200, json, "{\"result\":\"pong\"}".to_owned())),
    ] {
        assert_eq!(post(&server, path, kind, body), answer, "{path} {body}");
    }
    let offer = serde_json::json!({"command": "offer", "call-id": "c", "from-tag": "a", "sdp": SDP}).to_string();
    let (status, _, answer) = post(&server, "/ng-plain", AS_JSON, &offer);
    assert_eq!(status, 200);
    assert!(answer.starts_with("{\"sdp\":\"v=0") && answer.ends_with("\"result\":\"ok\"}"), "{answer}");
    let (_, _, answer) = post(&server, "/ng-plain", AS_JSON, "{\"command\":\"play media\"}");
    assert!(answer.starts_with("{\"result\":\"error\",\"error-reason\":\"Unrecognized command\""), "{answer}");
}

#[test]
fn what_a_web_page_could_send_is_refused() {
    let server = start();
    let body = "{\"command\":\"list\"}";
    for (headers, status) in [
        ("Content-Type: text/plain\r\n", 415),
        ("Content-Type: application/x-www-form-urlencoded\r\n", 415),
        ("", 415),
        ("Content-Type: application/json\r\nOrigin: http://evil.example\r\n", 403),
        ("Content-Type: application/json\r\nOrigin: null\r\n", 403),
        (AS_JSON, 200),
    ] {
        assert_eq!(post(&server, "/ng-plain", headers, body).0, status, "{headers}");
        let body = format!("1 {body}");
        assert_eq!(post(&server, "/ng", headers, &body).0, status, "{headers}");
    }
}

#[test]
fn bodies_that_are_no_requests_have_an_answer() {
    let server = start();
    assert_eq!(post(&server, "/ng", AS_NG, "nospace").0, 400);
    assert_eq!(post(&server, "/ng", AS_NG, "").0, 400);
    let (status, _, answer) = post(&server, "/ng-plain", AS_JSON, "");
    assert_eq!((status, answer.as_str()), (200, "d6:result5:error12:error-reason25:Invalid data (no payload)e"));
    let (status, _, answer) = post(&server, "/ng-plain", AS_JSON, "{");
    assert_eq!((status, answer.contains("Failed to parse JSON document")), (200, true), "{answer}");
    assert_eq!(post(&server, "/ng", AS_NG, &"1 ".repeat(20_000)).0, 413);
}
