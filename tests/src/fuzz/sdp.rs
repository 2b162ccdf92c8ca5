//! Descriptions: parsed, written and parsed again they stay what they are; an offer leads to the same result twice; and
//! what we answer keeps to what was offered.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use trestle_core::{AddressPolicy, LegPorts, MediaAddress, OwnSsrcs};
use trestle_negotiate::{Environment, GatePolicy, Interface, NegotiationStep, OwnKeys, Session};
use trestle_ng::command::{Flags, Signal, words};
use trestle_sdp::limits::{CANDIDATES_MAX, CRYPTO_MAX, FORMATS_MAX, SDP_BYTES_MAX};
use trestle_sdp::{MediaDescription, Sdp, Skipped};

use super::input::Input;
use super::samples;

/// An offer; then, each behind a NUL: the choice of flags for offer and answer and of what is answered; an answer.
/// Without the latter an answerer takes what it is offered.
pub fn sdp(data: &[u8]) -> usize {
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let (text, choices, answer) = (String::from_utf8_lossy(part()), part(), part());
    if !is_fix_point(&text) {
        return 0;
    }
    let mut choices = Input::new(choices);
    let Some((offered, written)) = offer(&text, &mut choices) else { return 1 };
    let answer = match answer {
        b"" => agree(&written, &mut choices),
        raw => String::from_utf8_lossy(raw).into_owned(),
    };
    if is_fix_point(&answer) && answered(&text, &offered, &answer, &mut choices) { 3 } else { 2 }
}

/// False if the text is refused.
fn is_fix_point(text: &str) -> bool {
    let Ok(parsed) = Sdp::parse(text) else { return false };
    let written = parsed.to_string();
    assert_eq!(
        written.lines().count(),
        parsed.session.len() + parsed.media.iter().map(|m| 1 + m.lines.len()).sum::<usize>()
    );
    // Each line gets two bytes of line end, which can be one more than it had.
    if written.len() <= SDP_BYTES_MAX {
        let again = Sdp::parse(&written).expect("what we wrote ourselves");
        assert_eq!(again.to_string(), written);
        assert!(again.skipped.count() <= parsed.skipped.count(), "a line that was kept is skipped");
    }
    for media in &parsed.media {
        // Whatever they say, they say it without a panic, and twice the same.
        let read = || {
            let mut skipped = Skipped::default();
            let formats = media.audio_formats(&[], &mut skipped);
            let keys = (media.cryptos(&mut skipped), parsed.fingerprints(media, &mut skipped));
            let candidates = media.candidates(&mut skipped);
            assert!(formats.len() <= FORMATS_MAX && candidates.len() <= CANDIDATES_MAX && keys.0.len() <= CRYPTO_MAX);
            (formats, keys, candidates, skipped)
        };
        assert_eq!(read(), read());
        assert_eq!(parsed.connection(media), parsed.connection(media));
        let direction = parsed.direction(media);
        assert_eq!(direction.within(direction.within(direction)), direction.within(direction));
    }
    true
}

/// The SDP for the other side; `None` if the offer is refused.
fn offer(text: &str, choices: &mut Input<'_>) -> Option<(Session, String)> {
    let signal = signal(text, None, words::read(&samples::flags(choices)));
    let environment = environment();
    let negotiate = |session: &Session, seed| {
        session.offer(&signal, &environment, &mut ChaCha12Rng::seed_from_u64(seed)).map(|step| (described(&step), step))
    };
    let first = negotiate(&Session::default(), 1);
    let second = negotiate(&Session::default(), 1);
    match (&first, &second) {
        (Ok((written, step)), Ok((told_again, step_again))) => {
            assert_eq!((written, &step.legs), (told_again, &step_again.legs), "one offer, two results");
        }
        (Err(error), Err(error_again)) => assert_eq!(error, error_again),
        (first, second) => panic!("{first:?}, then {second:?}"),
    }
    let (written, step) = first.ok()?;
    assert!(step.removed.is_empty(), "a first offer removes {:?}", step.removed);

    // The same offer again: whatever the dice say now, ports, keys and text stay.
    let (told_again, again) = negotiate(&step.session, 2).expect("it was taken before");
    assert_eq!(told_again, written);
    assert_eq!(again.legs, step.legs);
    Some((step.session, written))
}

/// True if the answer is taken; then the SDP for the offerer keeps to its offer.
fn answered(offer: &str, session: &Session, answer: &str, choices: &mut Input<'_>) -> bool {
    let signal = signal(answer, Some("callee"), words::read(&samples::flags(choices)));
    let mut rng = ChaCha12Rng::seed_from_u64(3);
    let Ok(step) = session.answer(&signal, &environment(), &mut rng) else { return false };
    let written = Sdp::parse(&described(&step)).expect("what we wrote ourselves");
    let offer = Sdp::parse(offer).expect("it was taken");
    assert_eq!(written.media.len(), offer.media.len(), "RFC 3264 6: as many m= lines as the offer");
    let mut bridged = 0;
    for (ours, theirs) in written.media.iter().zip(&offer.media) {
        assert_eq!((&ours.media, &ours.proto), (&theirs.media, &theirs.proto));
        if ours.port == 0 {
            continue;
        }
        bridged += 1;
        for format in &ours.formats {
            assert!(theirs.formats.contains(format), "payload type {format} was not offered");
        }
        assert!(ours.formats.iter().any(|format| !is_event(ours, format)), "no codec is left");
        let tags = |media: &MediaDescription| -> Vec<u32> {
            media.cryptos(&mut Skipped::default()).iter().map(|crypto| crypto.tag).collect()
        };
        assert!(tags(ours).len() <= 1, "RFC 4568 5.1.2: one crypto attribute");
        assert!(tags(ours).iter().all(|tag| tags(theirs).contains(tag)), "a crypto tag that was not offered");
        assert!(ours.proto != "RTP/SAVP" || tags(ours).len() == 1, "SRTP without a key");
        assert!(theirs.rtcp_mux() || !ours.rtcp_mux(), "rtcp-mux that was not offered");
    }
    assert_eq!(bridged, 1, "one stream is bridged");
    true
}

fn is_event(media: &MediaDescription, format: &str) -> bool {
    let of_format = format!("{format} telephone-event/");
    media.attributes().any(|a| a.name == "rtpmap" && a.value.is_some_and(|value| value.starts_with(&of_format)))
}

/// Our SDP, which must be sound.
fn described(step: &NegotiationStep) -> String {
    let ports = |ipv6: bool, n: u16| {
        let ip: std::net::IpAddr =
            if ipv6 { [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10].into() } else { [203, 0, 113, 10].into() };
        LegPorts { rtp: (ip, 20_000 + 2 * n).into(), rtcp: (ip, 20_001 + 2 * n).into() }
    };
    let ports: Vec<_> = step.legs.iter().map(|(leg, plan)| (*leg, ports(plan.ipv6, leg.0))).collect();
    let written = step.description.write(&ports).expect("a leg of the step");
    let lines: Vec<&str> = written.split("\r\n").collect();
    assert_eq!(lines.last(), Some(&""), "it ends with a line end");
    assert!(!lines.iter().any(|line| line.chars().any(char::is_control)), "a control character in {written:?}");
    let parsed =
        Sdp::parse(&written).unwrap_or_else(|error| panic!("we write what we do not read: {error}\n{written}"));
    assert_eq!(parsed.to_string(), written);
    written
}

/// Answers an offer of ours as a phone would: one of its codecs or all of them, and everything it asks for.
fn agree(offer: &str, choices: &mut Input<'_>) -> String {
    let offer = Sdp::parse(offer).expect("what we wrote ourselves");
    let mut answer = "v=0\r\no=- 5 5 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n".to_owned();
    let session: Vec<_> = offer.attributes().map(|attribute| attribute.line).collect();
    let all = choices.flag();
    for media in &offer.media {
        let first = usize::from(!all) * choices.below(media.formats.len());
        let kept: Vec<&String> = media
            .formats
            .iter()
            .enumerate()
            .filter(|(n, format)| all || *n == first || is_event(media, format))
            .map(|(_, format)| format)
            .collect();
        let port = if media.port == 0 { 0 } else { 5_000 };
        let formats = kept.iter().map(|format| format.as_str()).collect::<Vec<_>>().join(" ");
        answer += &format!("m={} {port} {} {formats}\r\n", media.media, media.proto);
        for line in session.iter().copied().chain(&media.lines) {
            let Some(attribute) = line.attribute() else { continue };
            let value = attribute.value.unwrap_or_default();
            let of_kept = || kept.iter().any(|format| value.starts_with(&format!("{format} ")));
            match attribute.name {
                "rtpmap" | "fmtp" if of_kept() => answer += &format!("a={}\r\n", line.value),
                "mid" | "rtcp-mux" | "ice-ufrag" | "ice-pwd" | "fingerprint" => {
                    answer += &format!("a={}\r\n", line.value);
                }
                "setup" => answer += "a=setup:active\r\n",
                "crypto" if value.starts_with("1 ") => answer += &format!("a={}\r\n", with_another_key(&line.value)),
                _ => {}
            }
        }
    }
    answer
}

/// The same `a=crypto` value with a key of the same length.
fn with_another_key(value: &str) -> String {
    let (head, key) = value.split_once("inline:").unwrap_or((value, ""));
    let end = key.find(['|', ' ']).unwrap_or(key.len());
    let changed: String = key[..end].chars().map(|char| if char == '=' { '=' } else { 'A' }).collect();
    format!("{head}inline:{changed}{}", &key[end..])
}

fn signal(sdp: &str, to_tag: Option<&str>, flags: Flags) -> Signal {
    Signal {
        call_id: "call".into(),
        from_tag: "caller".into(),
        to_tag: to_tag.map(str::to_owned),
        via_branch: None,
        sdp: sdp.to_owned(),
        flags,
        received_from: None,
    }
}

fn environment() -> Environment {
    let address = |ip: std::net::IpAddr| Some(MediaAddress { local: ip, advertised: ip });
    let v4 = address([203, 0, 113, 10].into());
    let v6 = address([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10].into());
    Environment {
        interfaces: vec![Interface { name: None, v4, v6 }],
        addresses: AddressPolicy::default(),
        fingerprint: [9; 32],
        default_tos: None,
        gate_policy: GatePolicy::default(),
        own_ssrcs: OwnSsrcs::new(5),
        own_keys: OwnKeys::new([5; 32]),
    }
}
