//! `a=candidate` (RFC 8839 5.1).

use std::net::{IpAddr, SocketAddr};

use super::{Line, MediaDescription, SdpError};

/// A remote UDP candidate for component 1, as far as checks need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Groups candidates of one origin.
    pub foundation: String,
    /// Its priority.
    pub priority: u32,
    /// Where it is.
    pub address: SocketAddr,
    /// `host`, `srflx`, `prflx` or `relay`.
    pub kind: String,
}

impl Candidate {
    /// Reads the value of an `a=candidate` line. `None` if it is sound but of no use to us: TCP, another component than
    /// RTP's, a name instead of an address (mDNS), an address that cannot be sent to.
    ///
    /// Extensions (`generation`, `network-cost`, `ufrag`, ...) come in pairs and in any order; none matters here.
    pub fn parse(line: &Line, value: &str) -> Result<Option<Self>, SdpError> {
        let words: Vec<&str> = value.split_ascii_whitespace().collect();
        let [foundation, component, transport, priority, address, port, "typ", kind, ..] = words.as_slice() else {
            return Err(line.error("expected FOUNDATION COMPONENT udp PRIORITY ADDRESS PORT typ TYPE"));
        };
        if foundation.len() > 32 || !foundation.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/".contains(&b)) {
            return Err(line.error("the foundation is no word of up to 32 letters and digits"));
        }
        let component: u16 = component.parse().map_err(|_| line.error("the component is no number"))?;
        let priority: u32 = priority.parse().map_err(|_| line.error("the priority is no number of 32 bits"))?;
        let port: u16 = port.parse().map_err(|_| line.error("the port is no number from 0 to 65535"))?;
        if !matches!(*kind, "host" | "srflx" | "prflx" | "relay") {
            return Ok(None);
        }
        let Ok(ip) = address.parse::<IpAddr>() else { return Ok(None) };
        let reachable = !ip.is_unspecified() && !ip.is_multicast() && port != 0;
        if !transport.eq_ignore_ascii_case("udp") || component != 1 || !reachable {
            return Ok(None);
        }
        let (foundation, kind) = ((*foundation).to_owned(), (*kind).to_owned());
        Ok(Some(Self { foundation, priority, address: SocketAddr::new(ip, port), kind }))
    }
}

impl std::fmt::Display for Candidate {
    /// The canonical form without extensions, beginning with `candidate:`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { foundation, priority, address, kind } = self;
        write!(f, "candidate:{foundation} 1 udp {priority} {} {} typ {kind}", address.ip(), address.port())?;
        // RFC 8839 5.1 demands a related address for all but hosts; we have no use for the real one.
        if kind != "host" {
            f.write_str(if address.is_ipv4() { " raddr 0.0.0.0 rport 0" } else { " raddr :: rport 0" })?;
        }
        Ok(())
    }
}

impl MediaDescription {
    /// The candidates that are of use, in the peer's order.
    pub fn candidates(&self) -> Result<Vec<Candidate>, SdpError> {
        let mut candidates = Vec::new();
        for attribute in self.attributes().filter(|attribute| attribute.name == "candidate") {
            candidates.extend(Candidate::parse(attribute.line, attribute.required()?)?);
        }
        Ok(candidates)
    }
}
