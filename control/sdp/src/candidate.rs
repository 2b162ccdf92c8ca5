//! `a=candidate` (RFC 8839 5.1).

use std::net::{IpAddr, SocketAddr};

use super::limits::CANDIDATES_MAX;
use super::{Line, MediaDescription, SdpError, Skipped};

/// A UDP candidate of the peer for component 1 (RTP), with the values that connectivity checks need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The same for candidates of the same type, base and server (RFC 8445 section 5.1.1.3).
    pub foundation: String,
    /// Priority; checks prefer higher values.
    pub priority: u32,
    /// Address and port.
    pub address: SocketAddr,
    /// `host`, `srflx`, `prflx` or `relay`.
    pub kind: String,
}

impl Candidate {
    /// Parses the value of an `a=candidate` line. `None` if the line is valid but Trestle cannot use it: TCP, another component, an
    /// unknown type, a name instead of an address (mDNS). Negotiation judges the address ([`trestle_core::AddressPolicy`]).
    ///
    /// Extensions (`generation`, `network-cost`, `ufrag`, ...) are ignored.
    ///
    /// # Errors
    ///
    /// The line is malformed.
    pub fn parse(line: &Line, value: &str) -> Result<Option<Self>, SdpError> {
        let words: Vec<&str> = value.split_ascii_whitespace().collect();
        let [foundation, component, transport, priority, address, port, "typ", kind, ..] = words.as_slice() else {
            return Err(line.error("expected FOUNDATION COMPONENT udp PRIORITY ADDRESS PORT typ TYPE"));
        };
        if foundation.len() > 32 || !foundation.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/".contains(&b)) {
            return Err(line.error("the foundation is not a word of up to 32 letters, digits, + and /"));
        }
        let component: u16 = component.parse().map_err(|_| line.error("the component is not a number"))?;
        let priority: u32 = priority.parse().map_err(|_| line.error("the priority is not a 32-bit number"))?;
        let port: u16 = port.parse().map_err(|_| line.error("the port is not a number from 0 to 65535"))?;
        if !matches!(*kind, "host" | "srflx" | "prflx" | "relay") {
            return Ok(None);
        }
        let Ok(ip) = address.parse::<IpAddr>() else { return Ok(None) };
        if !transport.eq_ignore_ascii_case("udp") || component != 1 {
            return Ok(None);
        }
        let (foundation, kind) = ((*foundation).to_owned(), (*kind).to_owned());
        Ok(Some(Self { foundation, priority, address: SocketAddr::new(ip, port), kind }))
    }
}

impl std::fmt::Display for Candidate {
    /// The attribute without extensions, from `candidate:`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { foundation, priority, address, kind } = self;
        write!(f, "candidate:{foundation} 1 udp {priority} {} {} typ {kind}", address.ip(), address.port())?;
        // RFC 8839 section 5.1 requires a related address except for hosts. Trestle does not keep the real one.
        if kind != "host" {
            f.write_str(if address.is_ipv4() { " raddr 0.0.0.0 rport 0" } else { " raddr :: rport 0" })?;
        }
        Ok(())
    }
}

impl MediaDescription {
    /// The candidates that Trestle can use, in the peer's order. Malformed ones, and those beyond [`CANDIDATES_MAX`], go to `skipped`.
    pub fn candidates(&self, skipped: &mut Skipped) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for attribute in self.attributes().filter(|attribute| attribute.name == "candidate") {
            match Candidate::parse(attribute.line, attribute.value.unwrap_or_default()) {
                Ok(Some(_)) if candidates.len() == CANDIDATES_MAX => {
                    skipped.add(attribute.line.error(format!("more than {CANDIDATES_MAX} candidates")));
                }
                Ok(candidate) => candidates.extend(candidate),
                Err(error) => skipped.add(error),
            }
        }
        candidates
    }
}
