//! Checks of protocol, keys, DTLS roles, ICE and addresses.

use std::net::IpAddr;

use trestle_core::AddressClass;

use super::run::LintRun;
use super::{Role, Rule, Writer};
use crate::{Attribute, Candidate, MediaDescription, Setup, Skipped};

/// The suite of Meta's own lines.
const METAS_SUITE: &str = "AES_CM_128_HMAC_SHA1_80";
/// Shortest ICE credentials, in characters (RFC 8839 section 5.4).
const UFRAG_CHARS_MIN: usize = 4;
const PWD_CHARS_MIN: usize = 22;

/// True if the address is not reachable from the Internet (RFC 6890). Addresses for documentation pass: they represent public ones.
fn is_unreachable(address: IpAddr) -> bool {
    let is_private = match address {
        IpAddr::V4(v4) => v4.is_private() || matches!(v4.octets(), [100, 64..128, ..]),
        IpAddr::V6(v6) => v6.is_unique_local(),
    };
    // The unspecified address has a rule of its own.
    is_private || !matches!(AddressClass::of(address), AddressClass::Ordinary | AddressClass::Unspecified)
}

pub(super) fn check(run: &mut LintRun<'_>) {
    let Some(audio) = run.audio else { return };
    let (fingerprints, cryptos) = (run.all("fingerprint"), run.all("crypto"));
    match audio.proto.as_str() {
        "UDP/TLS/RTP/SAVPF" => {
            if let Some(crypto) = cryptos.first() {
                run.report(Rule::Keying, Some(crypto.line), "there is an a=crypto beside DTLS");
            }
            check_fingerprints(run, audio, &fingerprints);
            check_setup(run, audio);
            check_ice(run, audio);
        }
        "RTP/SAVP" => {
            if let Some(fingerprint) = fingerprints.first() {
                run.report(Rule::Keying, Some(fingerprint.line), "there is an a=fingerprint beside RTP/SAVP");
            }
            check_cryptos(run, audio, &cryptos);
        }
        other => run.report(Rule::Profile, Some(&audio.line), format!("the protocol is {}", other.escape_debug())),
    }
    check_address(run, audio);
}

fn check_fingerprints(run: &mut LintRun<'_>, audio: &MediaDescription, fingerprints: &[Attribute<'_>]) {
    match fingerprints {
        [] => run.report(Rule::OneFingerprint, None, "there is no a=fingerprint"),
        [_] => {}
        [_, others @ ..] => {
            let hash = |a: &Attribute<'_>| a.value.unwrap_or_default().split(' ').next().unwrap_or("").to_owned();
            let hashes: Vec<String> = fingerprints.iter().map(hash).collect();
            let what = format!("there are {} fingerprints: {}", fingerprints.len(), hashes.join(", "));
            return run.report(Rule::OneFingerprint, Some(others[0].line), what);
        }
    }
    let Some(fingerprint) = fingerprints.first() else { return };
    let value = fingerprint.value.unwrap_or_default().trim();
    let digits = value.split_once(' ').filter(|(hash, _)| hash.eq_ignore_ascii_case("sha-256")).map(|(_, d)| d.trim());
    let pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
    match digits {
        Some(digits) if digits.split(':').count() == 32 && digits.split(':').all(pair) => {
            if digits.contains(|char: char| char.is_ascii_lowercase()) {
                run.report(Rule::FingerprintCapitals, Some(fingerprint.line), "the digest has lower-case letters");
            }
        }
        Some(_) => run.report(
            Rule::FingerprintHash,
            Some(fingerprint.line),
            "the digest is not 32 pairs of hexadecimal digits",
        ),
        None => run.report(Rule::FingerprintHash, Some(fingerprint.line), "the hash is not sha-256"),
    }
    if audio.attribute("fingerprint").is_none() {
        run.report(Rule::FingerprintPlace, Some(fingerprint.line), "a=fingerprint is above m=");
    }
}

fn check_setup(run: &mut LintRun<'_>, audio: &MediaDescription) {
    let line = run.first("setup").map(|attribute| attribute.line);
    let setup = match run.sdp.setup(audio) {
        Ok(setup) => setup,
        Err(error) => return run.report(Rule::Setup, line, error.reason),
    };
    match (run.role, setup) {
        (Some(Role::Offer), Some(Setup::ActPass)) | (Some(Role::Answer), Some(Setup::Active)) => {}
        (Some(Role::Answer), Some(Setup::Passive)) => {
            run.report(Rule::DtlsClient, line, "a=setup:passive makes Meta the DTLS client");
        }
        (Some(Role::Answer), Some(Setup::ActPass)) => {
            run.report(Rule::Setup, line, "an answer must not have a=setup:actpass");
            run.report(Rule::SetupAnswered, line, "the answer has a=setup:actpass");
        }
        (Some(Role::Answer), None) => {
            run.report(Rule::Setup, None, "there is no a=setup");
            run.report(Rule::SetupAnswered, None, "there is no a=setup");
        }
        (Some(Role::Offer) | None, None) => run.report(Rule::Setup, None, "there is no a=setup"),
        (Some(Role::Offer), Some(_)) => run.report(Rule::Setup, line, "an offer must have a=setup:actpass"),
        (None, Some(_)) => {}
    }
}

fn check_cryptos(run: &mut LintRun<'_>, audio: &MediaDescription, cryptos: &[Attribute<'_>]) {
    match cryptos {
        [] => return run.report(Rule::OneCrypto, None, "there is no a=crypto"),
        [_, second, ..] if run.is_answer() => {
            run.report(Rule::OneCrypto, Some(second.line), "an answer must have one a=crypto, and this one has more");
        }
        _ => {}
    }
    let mut skipped = Skipped::default();
    audio.cryptos(&mut skipped);
    match skipped.iter().next() {
        Some(error) => {
            let line = cryptos.iter().find(|crypto| Some(crypto.line.number) == error.line).map(|a| a.line);
            run.report(Rule::CryptoKey, line, error.reason.clone());
        }
        None => {
            let suite =
                |a: &Attribute<'_>| a.value.and_then(|v| v.split_ascii_whitespace().nth(1)) == Some(METAS_SUITE);
            if !cryptos.iter().any(suite) {
                run.report(
                    Rule::CryptoSuite,
                    Some(cryptos[0].line),
                    format!("no a=crypto has the suite {METAS_SUITE}"),
                );
            }
        }
    }
}

fn check_ice(run: &mut LintRun<'_>, audio: &MediaDescription) {
    match run.first("ice-lite") {
        Some(lite) => run.report(Rule::IceLite, Some(lite.line), "a=ice-lite announces an agent that sends no checks"),
        None => run.report(Rule::LiteExpected, None, "there is no a=ice-lite"),
    }
    for (name, chars_min) in [("ice-ufrag", UFRAG_CHARS_MIN), ("ice-pwd", PWD_CHARS_MIN)] {
        let line = run.first(name).map(|attribute| attribute.line);
        match run.sdp.ice_credential(audio, name) {
            Ok(None) => run.report(Rule::IceCredentials, None, format!("there is no a={name}")),
            Err(error) => run.report(Rule::IceCredentials, line, error.reason),
            Ok(Some(value)) if value.len() < chars_min => {
                run.report(Rule::IceCredentials, line, format!("a={name} is shorter than {chars_min} characters"));
            }
            Ok(Some(value)) => {
                if value.contains(['=', '-', '_']) {
                    run.report(
                        Rule::IceChars,
                        line,
                        format!("a={name} has a character other than letters, digits, + and /"),
                    );
                }
                if value.ends_with('=') {
                    run.report(Rule::PaddedPwd, line, format!("a={name} ends with \"=\""));
                }
            }
        }
    }
    if let Some(options) = run.first("ice-options")
        && options.value.is_some_and(|value| value.split_ascii_whitespace().any(|option| option == "trickle"))
    {
        run.report(Rule::Trickle, Some(options.line), "a=ice-options:trickle announces more candidates");
    }
    check_candidates(run, audio);
}

fn check_candidates(run: &mut LintRun<'_>, audio: &MediaDescription) {
    let lines: Vec<Attribute<'_>> = audio.attributes().filter(|a| a.name == "candidate").collect();
    let mut usable: Vec<Candidate> = Vec::new();
    for attribute in &lines {
        match Candidate::parse(attribute.line, attribute.value.unwrap_or_default()) {
            Err(error) => run.report(Rule::CandidateForm, Some(attribute.line), error.reason),
            Ok(None) => run.report(Rule::CandidateKind, Some(attribute.line), "Meta cannot use this candidate"),
            Ok(Some(candidate)) if candidate.kind != "host" => {
                run.report(
                    Rule::CandidateKind,
                    Some(attribute.line),
                    format!("the candidate has the type {}", candidate.kind),
                );
            }
            Ok(Some(candidate)) => {
                if is_unreachable(candidate.address.ip()) {
                    let what = format!("{} is not a public address", candidate.address.ip());
                    run.report(Rule::PublicAddress, Some(attribute.line), what);
                }
                let family = candidate.address.is_ipv4();
                if usable.iter().any(|other| other.address.is_ipv4() == family) {
                    let what = format!("this is a second {} candidate", if family { "IPv4" } else { "IPv6" });
                    run.report(Rule::CandidateCount, Some(attribute.line), what);
                }
                usable.push(candidate);
            }
        }
    }
    if lines.is_empty() {
        run.report(Rule::Candidates, None, "there is no candidate");
    }
    if usable.is_empty() {
        return run.report(Rule::CandidatesExpected, None, "there is no host candidate over UDP");
    }
    let main = run.sdp.connection(audio).ok().map(|connection| (connection.address, audio.port));
    if main.is_some_and(|main| !usable.iter().any(|c| (c.address.ip(), c.address.port()) == main)) {
        run.report(Rule::CandidateAddress, Some(&audio.line), "no candidate has the address of c= and the port of m=");
    }
}

fn check_address(run: &mut LintRun<'_>, audio: &MediaDescription) {
    let line = audio.lines.iter().chain(&run.sdp.session).find(|line| line.letter == 'c');
    let address = match run.sdp.connection(audio) {
        Ok(connection) => connection.address,
        Err(error) => return run.report(Rule::Readable, line, error.reason),
    };
    // The same address in a candidate was reported already.
    let reported = |run: &LintRun<'_>| {
        let is_reported = |finding: &super::Finding| finding.rule == Rule::PublicAddress;
        run.findings.iter().any(is_reported)
    };
    if is_unreachable(address) && !reported(run) {
        run.report(Rule::PublicAddress, line, format!("{address} is not a public address"));
    }
    match audio.port {
        0 if run.writer == Writer::Us => run.report(Rule::MediaPort, Some(&audio.line), "port 0 refuses the stream"),
        0 => {}
        9 if !run.is_dtls() => run.report(Rule::MediaPort, Some(&audio.line), "the port is 9, and there is no ICE"),
        _ if !run.is_dtls() && address.is_unspecified() => {
            run.report(Rule::MediaPort, line, format!("the address is {address}, and there is no ICE"));
        }
        _ => {}
    }
}
