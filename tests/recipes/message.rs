//! SIP messages (RFC 3261 7), as far as a fake PBX looks at them.

/// A request or a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) start: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Message {
    pub(crate) fn new(start: &str) -> Self {
        Self { start: start.to_owned(), headers: Vec::new(), body: String::new() }
    }

    pub(crate) fn read(datagram: &[u8]) -> Self {
        let text = std::str::from_utf8(datagram).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("an empty line behind the headers");
        let mut lines = head.split("\r\n");
        let mut message = Self::new(lines.next().unwrap());
        for line in lines {
            let (name, value) = line.split_once(':').expect("a header");
            message = message.with(name.trim(), value.trim());
        }
        body.clone_into(&mut message.body);
        assert_eq!(message.header("Content-Length"), body.len().to_string(), "{text}");
        message.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-length"));
        message
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn with_sdp(self, sdp: &str) -> Self {
        let typed = if sdp.is_empty() { self } else { self.with("Content-Type", "application/sdp") };
        Self { body: sdp.to_owned(), ..typed }
    }

    /// These headers of another message.
    pub(crate) fn copying(mut self, names: &[&str], other: &Self) -> Self {
        let wanted = |(name, _): &&(String, String)| names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name));
        self.headers.extend(other.headers.iter().filter(wanted).cloned());
        self
    }

    pub(crate) fn write(&self) -> String {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{}\r\n{headers}Content-Length: {}\r\n\r\n{}", self.start, self.body.len(), self.body)
    }

    /// The first of this name.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or_else(|| panic!("no {name} in\n{}", self.write()), |(_, value)| value)
    }

    /// All of this name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a str> {
        self.headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Of a response.
    pub(crate) fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.split(' ').next()?.parse().ok()
    }

    /// `INVITE sip:...` of a request, without what follows the method.
    pub(crate) fn is_request(&self, method: &str) -> bool {
        self.start.starts_with(&format!("{method} "))
    }

    /// Where requests of the dialogue go.
    pub(crate) fn contact(&self) -> &str {
        let contact = self.header("Contact");
        contact.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(contact, |(uri, _)| uri)
    }
}
