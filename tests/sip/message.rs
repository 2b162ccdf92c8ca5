//! SIP messages (RFC 3261 7), as far as a user agent behind one proxy needs them.

use std::fmt::Write as _;

/// A request or a response.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Request line or status line.
    pub(crate) start: String,
    /// In order, long names.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Message {
    pub(crate) fn new(start: String) -> Self {
        Self { start, headers: Vec::new(), body: String::new() }
    }

    pub(crate) fn read(datagram: &[u8]) -> Self {
        let text = String::from_utf8(datagram.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("an empty line after the headers");
        let mut lines = head.split("\r\n");
        let mut message = Self::new(lines.next().unwrap().to_owned());
        for line in lines {
            let (name, value) = line.split_once(':').expect("a header");
            message.add(name.trim(), value.trim());
        }
        body.clone_into(&mut message.body);
        message
    }

    pub(crate) fn write(&self) -> String {
        let mut text = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            write!(text, "{name}: {value}\r\n").unwrap();
        }
        if !self.body.is_empty() {
            text += "Content-Type: application/sdp\r\n";
        }
        write!(text, "Content-Length: {}\r\n\r\n{}", self.body.len(), self.body).unwrap();
        text
    }

    pub(crate) fn add(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> &str {
        let header = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        header.map_or_else(|| panic!("no {name} in\n{}", self.write()), |(_, value)| value)
    }

    pub(crate) fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Of a response.
    pub(crate) fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.split(' ').next()?.parse().ok()
    }

    /// Of a request.
    pub(crate) fn method(&self) -> Option<&str> {
        self.status().is_none().then(|| self.start.split(' ').next().unwrap_or_default())
    }

    /// `1 INVITE`.
    pub(crate) fn cseq(&self) -> (u32, &str) {
        let (number, method) = self.header("CSeq").split_once(' ').unwrap();
        (number.parse().unwrap(), method)
    }

    /// Branch of the topmost Via, which with the method names a transaction (RFC 3261 17.2.3).
    pub(crate) fn branch(&self) -> &str {
        parameter(self.header("Via"), "branch").expect("a branch")
    }

    /// The dialogue's target, if this message sets one.
    pub(crate) fn contact(&self) -> String {
        let contact = self.header("Contact");
        let uri = contact.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        uri.map_or(contact, |(uri, _)| uri).to_owned()
    }
}

/// `;name=value` of a header.
pub(crate) fn parameter<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header.split(';').skip(1).find_map(|parameter| parameter.trim().strip_prefix(name)?.strip_prefix('='))
}
