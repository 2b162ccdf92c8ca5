//! Media never becomes control: both sides of the door, with real sockets.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::net::{SocketAddr, UdpSocket};

use serde_json::{Value, json};
use trestle_server::Server;
use trestle_server::config::Config;
use trestle_tests::running::{RunningTrestle, local_settings};

fn start() -> RunningTrestle {
    RunningTrestle::start(local_settings())
}

fn phone_sdp(at: SocketAddr, lines: &str) -> String {
    let (ip, port) = (at.ip(), at.port());
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n{lines}"
    )
}

fn offer(trestle: &RunningTrestle, call: &str, sdp: &str, keys: Value) -> Value {
    let mut request = json!({ "command": "offer", "call-id": call, "from-tag": "a", "sdp": sdp });
    request.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    trestle.request(&request)
}

fn dropped(trestle: &RunningTrestle, reason: &str) -> u64 {
    let metrics = trestle_tests::running::metrics(trestle.server());
    let name = format!("trestle_control_dropped_total{{reason=\"{reason}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
}

/// Each address on which this Trestle listens, and one of its media ports.
fn own(server: &Server, media: SocketAddr) -> Vec<SocketAddr> {
    let mut own = server.ng_addrs().to_vec();
    own.extend(server.tcp_addrs());
    own.extend(server.http_addr());
    own.extend(server.events_addr());
    own.push(media);
    own
}

#[test]
fn no_sdp_and_no_flag_can_make_trestle_send_to_its_own_sockets() {
    let mut settings = local_settings();
    settings.listen.listen_ng.push("0.0.0.0:0".parse().unwrap());
    let local = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    // The system chooses the ports.
    settings.listen.listen_tcp_ng =
        vec![local(0), "0.0.0.0:0".parse().unwrap(), "[::ffff:127.0.0.1]:0".parse().unwrap()];
    settings.listen.listen_http = Some(local(0));
    settings.events.listen_events = Some("0.0.0.0:0".parse().unwrap());
    let trestle = RunningTrestle::start(settings);
    let phone = trestle.client().local_addr().unwrap();

    for address in own(trestle.server(), local(20_000)) {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        // A wildcard listener is reached at each address of this machine.
        let address =
            if address.ip().is_unspecified() { SocketAddr::from(([127, 9, 9, 9], address.port())) } else { address };
        let (ip, port) = (address.ip(), address.port());
        let phone_at_port = SocketAddr::new([127, 0, 0, 77].into(), port);
        let attempts = [
            (phone_sdp(address, ""), json!({})),
            (phone_sdp(phone, &format!("a=rtcp:{port} IN IP4 {ip}\r\n")), json!({})),
            (
                phone_sdp(phone_at_port, ""),
                json!({ "received-from": ["IP4", ip.to_string()], "flags": ["SIP-source-address"] }),
            ),
        ];
        for (sdp, keys) in attempts {
            let reply = offer(&trestle, "evil", &sdp, keys.clone());
            let reason = reply["error-reason"].as_str().unwrap_or_else(|| panic!("{address} {keys}: {reply}"));
            assert!(reason.contains("itself listens") || reason.contains("a media port of this Trestle"), "{reason}");
        }
    }
    assert_eq!(trestle.request(&json!({ "command": "list" }))["calls"], json!([]));
    let good = offer(&trestle, "good", &phone_sdp(phone, ""), json!({}));
    assert_eq!(good["result"], "ok", "{good}");
}

#[test]
fn a_request_from_a_media_port_of_trestle_has_no_effect_and_is_counted() {
    let mut settings = local_settings();
    settings.listen.listen_http = Some("127.0.0.1:0".parse().unwrap());
    let trestle = RunningTrestle::start(settings);
    let bound = trestle.server().bound_ports();
    let client = trestle.client();
    let address = client.local_addr().unwrap();
    // A media port of Trestle is a socket that this process has bound: the test makes its own one.
    bound.insert(address);
    client.send(br#"c1 {"command":"delete","call-id":"k"}"#).unwrap();
    assert!((0..10_000).any(|_| dropped(&trestle, "own_media_port") == 1), "not counted");
    bound.remove(address);
    client.send(br#"c2 {"command":"ping"}"#).unwrap();
    let mut reply = [0; 1_500];
    let len = client.recv(&mut reply).unwrap();
    assert_eq!(&reply[..len], br#"c2 {"result":"pong"}"#, "the first reply is to the second request");
}

#[test]
fn the_media_ports_of_a_call_are_known_as_such() {
    let trestle = start();
    let phone = trestle.client().local_addr().unwrap();
    let reply = offer(&trestle, "call", &phone_sdp(phone, ""), json!({}));
    let sdp = reply["sdp"].as_str().unwrap_or_else(|| panic!("{reply}"));
    let port = sdp.lines().find_map(|line| line.strip_prefix("m=audio ")?.split(' ').next()).unwrap();
    let rtp = SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
    let bound = trestle.server().bound_ports();
    assert!(bound.contains(rtp) && bound.contains(SocketAddr::new(rtp.ip(), rtp.port() + 1)));
    assert!(!bound.contains(phone));
}

#[test]
fn a_message_whose_cookie_is_not_printable_has_no_effect_and_is_counted() {
    let mut settings = local_settings();
    settings.listen.listen_http = Some("127.0.0.1:0".parse().unwrap());
    let trestle = RunningTrestle::start(settings);
    let client: UdpSocket = trestle.client();
    // The header of an RTP packet, then a command as its payload.
    let rtp = [&b"\x80\x08\x00\x07\x00\x00\x04\x60\x12\x34\x56\x78 "[..], br#"{"command":"ping"}"#].concat();
    client.send(&rtp).unwrap();
    client.send(br#"c2 {"command":"ping"}"#).unwrap();
    let mut reply = [0; 1_500];
    let len = client.recv(&mut reply).unwrap();
    assert_eq!(&reply[..len], br#"c2 {"result":"pong"}"#);
    assert_eq!(dropped(&trestle, "no_cookie"), 1);
}

#[test]
fn replies_and_events_of_a_wildcard_listener_leave_from_the_address_that_was_asked() {
    for (wildcard, asked) in [("0.0.0.0:0", "127.0.0.2"), ("[::]:0", "::1")] {
        let mut settings = local_settings();
        settings.listen.listen_ng = vec![wildcard.parse().unwrap()];
        // A machine may have IPv6 switched off; then there is nothing to test.
        let Ok(server) = Server::start(&Config::new(settings).unwrap()) else {
            assert!(wildcard.starts_with('['), "{wildcard}");
            continue;
        };
        let asked = SocketAddr::new(asked.parse().unwrap(), server.ng_addr().port());
        // Connected: the kernel drops what comes from another address than the one that was asked.
        let client = connected(asked);
        let ask = |request: &str| {
            client.send(request.as_bytes()).unwrap();
            receive(&client)
        };
        assert_eq!(ask(r#"1 {"command":"ping"}"#), r#"1 {"result":"pong"}"#);
        assert_eq!(ask(r#"1 {"command":"ping"}"#), r#"1 {"result":"pong"}"#, "of the cache");
        assert!(ask(r#"2 {"command":"subscribe events"}"#).contains(r#""result":"ok""#));
        let sdp = phone_sdp("127.0.0.1:5004".parse().unwrap(), "");
        let request = json!({ "command": "offer", "call-id": "c", "from-tag": "a", "sdp": sdp });
        client.send(format!("3 {request}").as_bytes()).unwrap();
        client.send(br#"4 {"command":"delete","call-id":"c","delete-delay":0}"#).unwrap();
        // Replies and events come in any order.
        assert!((0..8).any(|_| receive(&client).contains(r#""event":"call.ended""#)));
    }
}

#[expect(clippy::disallowed_methods, reason = "tests with real sockets are the outside world")]
fn connected(to: SocketAddr) -> UdpSocket {
    let any = if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let client = UdpSocket::bind(any).unwrap();
    client.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    client.connect(to).unwrap();
    client
}

fn receive(client: &UdpSocket) -> String {
    let mut buffer = [0; 65_535];
    let len = client.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..len].to_vec()).unwrap()
}
