//! ICE and DTLS under forged datagrams.

use super::*;

/// Trestle's address on the WebRTC leg, once Meta has the SDP.
fn webrtc_port(world: &World) -> SocketAddr {
    let sdp = world.written.iter().find(|sdp| sdp.contains("a=fingerprint")).expect("a WebRTC SDP");
    raw::read(sdp).0
}

/// A DTLS 1.2 record in epoch `epoch` (RFC 6347 4.1).
fn record(kind: u8, epoch: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 0xfe, 0xfd];
    bytes.extend(epoch.to_be_bytes());
    bytes.extend([0; 6]);
    bytes.extend((body.len() as u16).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// A handshake message of one fragment.
fn handshake(kind: u8, seq: u8, body: &[u8]) -> Vec<u8> {
    let len = (body.len() as u32).to_be_bytes();
    let mut message = vec![kind, len[1], len[2], len[3], 0, seq, 0, 0, 0, len[1], len[2], len[3]];
    message.extend(body);
    record(22, 0, &message)
}

/// A ClientHello whose only cipher suite is unknown.
fn client_hello() -> Vec<u8> {
    let mut body = vec![0xfe, 0xfd];
    body.extend([0x5a; 32]);
    body.extend([0, 0]);
    body.extend([0, 2, 0x00, 0x00]);
    body.extend([1, 0]);
    handshake(1, 0, &body)
}

fn forgeries() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("ClientHello", client_hello()),
        ("fatal alert", record(21, 0, &[2, 40])),
        ("close_notify", record(21, 0, &[1, 0])),
        ("HelloVerifyRequest", handshake(3, 0, &[0xfe, 0xfd, 4, 1, 2, 3, 4])),
        ("ServerHello", handshake(2, 0, &[0x77; 70])),
        ("random handshake", handshake(11, 1, &[0x33; 200])),
        ("ChangeCipherSpec", record(20, 0, &[1])),
        ("epoch 1", record(22, 1, &[0x99; 48])),
        ("rubbish", vec![40; 60]),
        ("one byte", vec![22]),
    ]
}

type Caller = fn(&mut World, MetaOptions, PhoneOptions) -> Call;

/// Meta answers that it sends the ClientHello, so we are the DTLS client of the calls that it begins, and the server of
/// the others.
const ROLES: [(&str, Caller); 2] = [("client", calls::user_initiated), ("server", calls::business_initiated)];

/// Sets a call up while `forged` arrives from `from` every `period_ms`, from before the first check on; then both ends
/// say something for 300 ms.
fn under_attack(world: &mut World, caller: Caller, from: SocketAddr, forged: &[u8], period_ms: u64) -> Call {
    let meta = MetaOptions { setup: SetupAnswer::Active, silent: true, ..calls::meta() };
    let call = caller(world, meta, PhoneOptions { silent: true, ..opus_phone() });
    let port = webrtc_port(world);
    for _ in 0..300 / period_ms {
        world.inject(from, port, forged);
        world.run_for_ms(period_ms);
    }
    Kinds::WebRtc.speak(world, &call);
    world.run_for_ms(300);
    call
}

fn assert_connected(world: &mut World, call: &Call, what: &str) {
    let (meta, phone) = (world.meta(call.meta).report().stream, world.phone(call.phone).report().clone());
    let received = (meta.packets, phone.packets);
    assert!(received.0 >= 13 && received.1 >= 13, "{what}: {received:?} packets, 15 were sent each way");
    assert_eq!((meta.lost, phone.lost), (0, 0), "{what}");
}

#[test]
fn dtls_that_a_stranger_forges_during_the_handshake_does_not_keep_a_call_from_connecting() {
    for (role, caller) in ROLES {
        for (what, forged) in forgeries() {
            let mut world = World::new(521);
            let (stranger, from) = stranger(&mut world);
            let call = under_attack(&mut world, caller, from, &forged, 5);
            assert_connected(&mut world, &call, &format!("{what} towards a DTLS {role}"));
            assert_eq!(world.received_by_stranger(stranger).len(), 0);
        }
    }
}

#[test]
fn dtls_forged_in_the_peers_name_during_the_handshake_does_not_keep_a_call_from_connecting() {
    for (role, caller) in ROLES {
        for (what, forged) in forgeries() {
            for period_ms in [100, 33] {
                let mut world = World::new(522);
                let from = calls::meta().locals[0];
                let call = under_attack(&mut world, caller, from, &forged, period_ms);
                let what = format!("{what} towards a DTLS {role}, every {period_ms} ms");
                assert_connected(&mut world, &call, &what);
            }
        }
    }
}

#[test]
fn dtls_forged_in_mid_call_ends_nothing() {
    for (role, caller) in ROLES {
        let mut world = World::new(523);
        let (stranger, from) = stranger(&mut world);
        let call = caller(&mut world, calls::meta(), opus_phone());
        world.run_for_ms(1_000);
        let port = webrtc_port(&world);
        for _ in 0..10 {
            for (_, forged) in forgeries() {
                world.inject(from, port, &forged);
                world.inject(calls::meta().locals[0], port, &forged);
            }
            world.run_for_ms(100);
        }
        world.run_for_ms(1_500);
        Kinds::WebRtc.assert_untouched(&mut world, &call);
        assert_eq!(world.received_by_stranger(stranger).len(), 0);
        let failed = world.events.iter().find(|(_, event)| matches!(event.kind, EventKind::LegFailed { .. }));
        assert_eq!(failed, None, "we are the {role}");
    }
}

/// A binding request (RFC 8489) with these attributes.
fn binding_request(transaction: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (kind, value) in attributes {
        body.extend(kind.to_be_bytes());
        body.extend((value.len() as u16).to_be_bytes());
        body.extend(*value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let mut bytes = vec![0, 1];
    bytes.extend((body.len() as u16).to_be_bytes());
    bytes.extend([0x21, 0x12, 0xa4, 0x42]);
    bytes.extend([transaction; 12]);
    bytes.extend(body);
    bytes
}

#[test]
fn stun_without_our_credentials_is_never_answered() {
    let mut world = World::new(524);
    let (stranger, from) = stranger(&mut world);
    let call = Kinds::WebRtc.call(&mut world, false);
    world.run_for_ms(1_000);
    let sdp = world.written.iter().find(|sdp| sdp.contains("a=ice-ufrag")).expect("our ICE").clone();
    let value = |name: &str| {
        let line = sdp.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.to_owned()
    };
    let ours = value("a=ice-ufrag:");
    let names = [format!("{ours}:theirs"), format!("theirs:{ours}"), "x:y".to_owned(), "u".repeat(512), String::new()];
    let mut requests = vec![binding_request(1, &[])];
    for (n, name) in names.iter().enumerate() {
        let (name, mac, priority) = (name.as_bytes(), [n as u8; 20], [0x6e, 0, 1, 0xff]);
        let wrong: [(u16, &[u8]); 4] = [(6, name), (0x24, &priority), (8, &mac), (0x8028, &[1, 2, 3, 4])];
        requests.push(binding_request(2, &[(6, name)]));
        requests.push(binding_request(3, &[(6, name), (0x24, &priority), (0x802a, &[1; 8])]));
        requests.push(binding_request(4, &wrong));
        requests.push(binding_request(5, &wrong[1..]));
        requests.push(binding_request(6, &[wrong[2], wrong[0], wrong[1]]));
        requests.push(binding_request(7, &[(6, name), (8, &mac[..10])]));
        requests.push(binding_request(8, &[(6, name), (0x25, &[]), (0x0099, b"must understand"), (8, &mac)]));
    }
    for n in 0..requests.len() {
        let mut short = requests[n].clone();
        short[3] = short[3].wrapping_add(4);
        let mut odd = requests[n].clone();
        odd[3] |= 3;
        let mut response = requests[n].clone();
        response[0] = 1;
        requests.extend([short, odd, response]);
    }
    let port = webrtc_port(&world);
    world.capture();
    for round in 0..20 {
        for request in &requests {
            world.inject(from, port, request);
            // In the peer's name as well: without the password that is no better.
            world.inject(calls::meta().locals[0], port, request);
        }
        world.run_for_ms(10 + round);
    }
    world.run_for_ms(1_500);
    assert_eq!(world.received_by_stranger(stranger).len(), 0, "no reply, so no amplification");
    let responses =
        world.captured().iter().filter(|(_, datagram)| datagram.from == port && datagram.bytes[..2] == [1, 1]);
    assert_eq!(responses.count(), 0, "Meta makes no checks, so nothing was there to answer");
    Kinds::WebRtc.assert_untouched(&mut world, &call);
    let refused = world.totals().discards;
    let refused = refused.get(Discard::HandshakeRefused) + refused.get(Discard::Malformed);
    assert!(refused >= 40 * requests.len() as u64, "{refused}");
}

#[test]
fn an_offer_full_of_candidates_makes_us_probe_few_addresses() {
    let mut world = World::new(525);
    let now = world.now();
    let mut meta = Meta::new(now, calls::meta());
    let offer = meta.offer(now).expect("an offer").replace("a=ice-lite\r\n", "");
    let (at, line) = offer.match_indices("a=candidate:").next().map(|(at, _)| (at, &offer[at..])).expect("a candidate");
    let rest = &line[line.find("\r\n").expect("an end") + 2..];
    let with = |count: usize| {
        let candidate = |n: usize| {
            format!("a=candidate:{n} 1 udp {} 203.0.113.{} {} typ host\r\n", 9_000 + n, 100 + n % 100, 1_000 + n)
        };
        format!("{}{}{rest}", &offer[..at], (0..count).map(candidate).collect::<String>())
    };
    let extra = json!({"command": "offer", "call-id": "bomb", "from-tag": "m", "transport-protocol": "RTP/AVP"});
    let mut request = extra.clone();
    request["sdp"] = json!(with(1_000));
    let reply = world.ng(&request);
    assert_eq!(reply["error-reason"], "Message too long");
    assert_eq!(world.ports_in_use(), 0);

    request["sdp"] = json!(with(60));
    world.capture();
    let reply = world.ng(&request);
    calls::sdp_of(&reply);
    assert!(reply["warnings"].to_string().contains("more than 32 candidates"), "{reply}");
    world.run_for_ms(5_000);
    let probed: std::collections::BTreeSet<SocketAddr> = world.captured().iter().map(|(_, d)| d.to).collect();
    assert!((1..=8).contains(&probed.len()), "{} addresses", probed.len());
    let checks = world.captured().len();
    assert!(checks <= 100, "{checks} checks in 5 s at addresses that the peer has chosen");
}

#[test]
fn a_certificate_that_is_not_the_announced_one_ends_in_a_failed_leg_and_never_in_media() {
    for role in 0..2 {
        let mut world = World::new(526 + role as u64);
        let now = world.now();
        let meta = world.add_meta(Meta::new(now, calls::meta()));
        let phone = world.add_phone(Phone::new(now, opus_phone()));
        let forged = |sdp: &str| {
            let at = sdp.find("a=fingerprint:sha-256 ").expect("a fingerprint") + 22;
            let other = if &sdp[at..at + 2] == "00" { "01" } else { "00" };
            format!("{}{other}{}", &sdp[..at], &sdp[at + 2..])
        };
        if role == 0 {
            let offer = forged(&world.meta(meta).offer(now).expect("an offer"));
            let to_phone =
                calls::offer_sdp(&mut world, "forged", "m", &offer, json!({"transport-protocol": "RTP/AVP"}));
            let answer = world.phone(phone).answer(now, &to_phone).expect("an answer");
            let to_meta = calls::answer_sdp(&mut world, "forged", "m", "p", &answer);
            world.meta(meta).accept(now, &to_meta).expect("accepted");
        } else {
            let offer = world.phone(phone).offer();
            let extra = json!({"profile": "whatsapp", "transport-protocol": "UDP/TLS/RTP/SAVPF"});
            let to_meta = calls::offer_sdp(&mut world, "forged", "p", &offer, extra);
            let answer = forged(&world.meta(meta).answer(now, &to_meta).expect("an answer"));
            let to_phone = calls::answer_sdp(&mut world, "forged", "p", "m", &answer);
            world.phone(phone).accept(now, &to_phone).expect("accepted");
        }
        world.capture();
        world.run_for_ms(20_000);
        let reasons: Vec<_> = world
            .events
            .iter()
            .filter_map(|(_, event)| match event.kind {
                EventKind::LegFailed { reason, .. } => Some(reason),
                _ => None,
            })
            .collect();
        assert_eq!(reasons, [LegFailure::FingerprintMismatch], "role {role}");
        assert_eq!(world.phone(phone).report().packets, 0, "nothing of Meta's is forwarded");
        let to_meta = calls::meta().locals[0];
        let media = world.captured().iter().filter(|(_, datagram)| {
            datagram.to == to_meta
                && matches!(DatagramKind::of(&datagram.bytes), Some(DatagramKind::Rtp | DatagramKind::Rtcp))
        });
        assert_eq!(media.count(), 0, "nothing is sent to it");
    }
}

#[test]
fn a_fingerprint_in_small_letters_is_as_good() {
    let mut world = World::new(529);
    let now = world.now();
    let meta = world.add_meta(Meta::new(now, calls::meta()));
    let phone = world.add_phone(Phone::new(now, opus_phone()));
    let offer = world.meta(meta).offer(now).expect("an offer");
    let small = |line: &str| {
        let line = if line.starts_with("a=fingerprint:") { line.to_ascii_lowercase() } else { line.to_owned() };
        line + "\r\n"
    };
    let offer: String = offer.lines().map(small).collect();
    let to_phone = calls::offer_sdp(&mut world, "small", "m", &offer, json!({"transport-protocol": "RTP/AVP"}));
    let answer = world.phone(phone).answer(now, &to_phone).expect("an answer");
    let to_meta = calls::answer_sdp(&mut world, "small", "m", "p", &answer);
    world.meta(meta).accept(now, &to_meta).expect("accepted");
    world.run_for_ms(2_500);
    world.assert_audio_both_ways(&Call { id: "small".into(), meta, phone });
}
