//! Keys, ICE and addresses.

use std::net::IpAddr;

use super::judge::Judge;
use super::{Role, Rule, Writer};
use crate::{Attribute, Candidate, MediaDescription, Setup};

/// The suite of Meta's own lines.
const METAS_SUITE: &str = "AES_CM_128_HMAC_SHA1_80";
/// RFC 8839 5.4.
const UFRAG_CHARS_MIN: usize = 4;
const PWD_CHARS_MIN: usize = 22;

/// True if the address is not reachable from the Internet (RFC 6890). Addresses for documentation pass: they represent public ones.
fn is_unreachable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback(),
    }
}

impl Judge<'_> {
    pub(super) fn transport(&mut self) {
        let Some(audio) = self.audio else { return };
        let (fingerprints, cryptos) = (self.all("fingerprint"), self.all("crypto"));
        match audio.proto.as_str() {
            "UDP/TLS/RTP/SAVPF" => {
                if let Some(crypto) = cryptos.first() {
                    self.find(Rule::Keying, Some(crypto.line), "a=crypto beside DTLS");
                }
                self.fingerprints(audio, &fingerprints);
                self.setup(audio);
                self.ice(audio);
            }
            "RTP/SAVP" => {
                if let Some(fingerprint) = fingerprints.first() {
                    self.find(Rule::Keying, Some(fingerprint.line), "a=fingerprint beside RTP/SAVP");
                }
                self.cryptos(audio, &cryptos);
            }
            other => self.find(Rule::Profile, Some(&audio.line), format!("the protocol is {}", other.escape_debug())),
        }
        self.address(audio);
    }

    fn fingerprints(&mut self, audio: &MediaDescription, fingerprints: &[Attribute<'_>]) {
        match fingerprints {
            [] => self.find(Rule::OneFingerprint, None, "there is no a=fingerprint"),
            [_] => {}
            [_, others @ ..] => {
                let hash = |a: &Attribute<'_>| a.value.unwrap_or_default().split(' ').next().unwrap_or("").to_owned();
                let hashes: Vec<String> = fingerprints.iter().map(hash).collect();
                let what = format!("there are {} fingerprints: {}", fingerprints.len(), hashes.join(", "));
                return self.find(Rule::OneFingerprint, Some(others[0].line), what);
            }
        }
        let Some(fingerprint) = fingerprints.first() else { return };
        let value = fingerprint.value.unwrap_or_default().trim();
        let digits =
            value.split_once(' ').filter(|(hash, _)| hash.eq_ignore_ascii_case("sha-256")).map(|(_, d)| d.trim());
        let pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
        match digits {
            Some(digits) if digits.split(':').count() == 32 && digits.split(':').all(pair) => {
                if digits.contains(|char: char| char.is_ascii_lowercase()) {
                    self.find(Rule::FingerprintCapitals, Some(fingerprint.line), "has small letters");
                }
            }
            Some(_) => self.find(Rule::FingerprintHash, Some(fingerprint.line), "is no digest of sha-256"),
            None => self.find(Rule::FingerprintHash, Some(fingerprint.line), "is not sha-256"),
        }
        if audio.attribute("fingerprint").is_none() {
            self.find(Rule::FingerprintPlace, Some(fingerprint.line), "it is above m=");
        }
    }

    fn setup(&mut self, audio: &MediaDescription) {
        let line = self.first("setup").map(|attribute| attribute.line);
        let setup = match self.sdp.setup(audio) {
            Ok(setup) => setup,
            Err(error) => return self.find(Rule::Setup, line, error.reason),
        };
        match (self.role, setup) {
            (Some(Role::Offer), Some(Setup::ActPass)) | (Some(Role::Answer), Some(Setup::Active)) => {}
            (Some(Role::Answer), Some(Setup::Passive)) => {
                self.find(Rule::DtlsClient, line, "leaves the ClientHello to Meta");
            }
            (Some(Role::Answer), Some(Setup::ActPass)) => {
                self.find(Rule::Setup, line, "an answer has to choose");
                self.find(Rule::SetupAnswered, line, "chooses nothing");
            }
            (Some(Role::Answer), None) => {
                self.find(Rule::Setup, None, "there is no a=setup");
                self.find(Rule::SetupAnswered, None, "there is no a=setup");
            }
            (Some(Role::Offer) | None, None) => self.find(Rule::Setup, None, "there is no a=setup"),
            (Some(Role::Offer), Some(_)) => self.find(Rule::Setup, line, "an offer has to leave the choice"),
            (None, Some(_)) => {}
        }
    }

    fn cryptos(&mut self, audio: &MediaDescription, cryptos: &[Attribute<'_>]) {
        match cryptos {
            [] => return self.find(Rule::OneCrypto, None, "there is no a=crypto"),
            [_, second, ..] if self.is_answer() => {
                self.find(Rule::OneCrypto, Some(second.line), "an answer chooses one key, this has more");
            }
            _ => {}
        }
        match audio.cryptos() {
            Err(error) => {
                let line = cryptos.iter().find(|crypto| Some(crypto.line.number) == error.line).map(|a| a.line);
                self.find(Rule::CryptoKey, line, error.reason);
            }
            Ok(_) => {
                let suite =
                    |a: &Attribute<'_>| a.value.and_then(|v| v.split_ascii_whitespace().nth(1)) == Some(METAS_SUITE);
                if !cryptos.iter().any(suite) {
                    self.find(Rule::CryptoSuite, Some(cryptos[0].line), format!("is not {METAS_SUITE}"));
                }
            }
        }
    }

    fn ice(&mut self, audio: &MediaDescription) {
        match self.first("ice-lite") {
            Some(lite) => self.find(Rule::IceLite, Some(lite.line), "promises that you answer checks and send none"),
            None => self.find(Rule::LiteExpected, None, "there is no a=ice-lite"),
        }
        for (name, chars_min) in [("ice-ufrag", UFRAG_CHARS_MIN), ("ice-pwd", PWD_CHARS_MIN)] {
            let line = self.first(name).map(|attribute| attribute.line);
            match self.sdp.ice_credential(audio, name) {
                Ok(None) => self.find(Rule::IceCredentials, None, format!("there is no a={name}")),
                Err(error) => self.find(Rule::IceCredentials, line, error.reason),
                Ok(Some(value)) if value.len() < chars_min => {
                    self.find(Rule::IceCredentials, line, format!("is shorter than {chars_min} characters"));
                }
                Ok(Some(value)) => {
                    if value.contains(['=', '-', '_']) {
                        self.find(Rule::IceChars, line, "has a character that is none of the 64");
                    }
                    if value.ends_with('=') {
                        self.find(Rule::PaddedPwd, line, "ends with \"=\"");
                    }
                }
            }
        }
        if let Some(options) = self.first("ice-options")
            && options.value.is_some_and(|value| value.split_ascii_whitespace().any(|option| option == "trickle"))
        {
            self.find(Rule::Trickle, Some(options.line), "promises more candidates");
        }
        self.candidates(audio);
    }

    fn candidates(&mut self, audio: &MediaDescription) {
        let lines: Vec<Attribute<'_>> = audio.attributes().filter(|a| a.name == "candidate").collect();
        let mut usable: Vec<Candidate> = Vec::new();
        for attribute in &lines {
            match Candidate::parse(attribute.line, attribute.value.unwrap_or_default()) {
                Err(error) => self.find(Rule::CandidateForm, Some(attribute.line), error.reason),
                Ok(None) => self.find(Rule::CandidateKind, Some(attribute.line), "is of no use to Meta"),
                Ok(Some(candidate)) if candidate.kind != "host" => {
                    self.find(Rule::CandidateKind, Some(attribute.line), format!("is of type {}", candidate.kind));
                }
                Ok(Some(candidate)) => {
                    if is_unreachable(candidate.address.ip()) {
                        let what = format!("{} is no public address", candidate.address.ip());
                        self.find(Rule::PublicAddress, Some(attribute.line), what);
                    }
                    let family = candidate.address.is_ipv4();
                    if usable.iter().any(|other| other.address.is_ipv4() == family) {
                        let what = format!("is a second {} candidate", if family { "IPv4" } else { "IPv6" });
                        self.find(Rule::CandidateCount, Some(attribute.line), what);
                    }
                    usable.push(candidate);
                }
            }
        }
        if lines.is_empty() {
            self.find(Rule::Candidates, None, "there is no candidate");
        }
        if usable.is_empty() {
            return self.find(Rule::CandidatesExpected, None, "there is no host candidate over UDP");
        }
        let main = self.sdp.connection(audio).ok().map(|connection| (connection.address, audio.port));
        if main.is_some_and(|main| !usable.iter().any(|c| (c.address.ip(), c.address.port()) == main)) {
            self.find(Rule::CandidateAddress, Some(&audio.line), "c= and m= name no candidate");
        }
    }

    fn address(&mut self, audio: &MediaDescription) {
        let line = audio.lines.iter().chain(&self.sdp.session).find(|line| line.letter == 'c');
        let address = match self.sdp.connection(audio) {
            Ok(connection) => connection.address,
            Err(error) => return self.find(Rule::Readable, line, error.reason),
        };
        // An address that a candidate repeats was found there.
        let reported = |judge: &Self| {
            let is_reported = |finding: &super::Finding| finding.rule == Rule::PublicAddress;
            judge.findings.iter().any(is_reported)
        };
        if is_unreachable(address) && !reported(self) {
            self.find(Rule::PublicAddress, line, format!("{address} is no public address"));
        }
        match audio.port {
            0 if self.writer == Writer::Us => {
                self.find(Rule::MediaPort, Some(&audio.line), "port 0 refuses the stream")
            }
            0 => {}
            9 if !self.is_dtls() => self.find(Rule::MediaPort, Some(&audio.line), "port 9 without ICE"),
            _ if !self.is_dtls() && address.is_unspecified() => {
                self.find(Rule::MediaPort, line, format!("{address} without ICE"));
            }
            _ => {}
        }
    }
}
