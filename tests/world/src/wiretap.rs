//! What a test does to, and keeps of, the datagrams between Trestle and its peers.

use std::time::Instant;

use crate::net::Datagram;

type Tamper = Box<dyn FnMut(&mut Datagram) -> bool>;

/// Changes or loses datagrams on their way, and captures what Trestle sends and receives.
#[derive(Default)]
pub(crate) struct Wiretap {
    tamper: Option<Tamper>,
    is_capturing: bool,
    pub(crate) sent: Vec<(Instant, Datagram)>,
    pub(crate) received: Vec<(Instant, Datagram)>,
}

impl Wiretap {
    pub(crate) fn tamper(&mut self, tamper: impl FnMut(&mut Datagram) -> bool + 'static) {
        self.tamper = Some(Box::new(tamper));
    }

    pub(crate) fn capture(&mut self) {
        self.is_capturing = true;
    }

    pub(crate) fn note_sent(&mut self, now: Instant, datagram: &Datagram) {
        if self.is_capturing {
            self.sent.push((now, datagram.clone()));
        }
    }

    pub(crate) fn note_received(&mut self, now: Instant, datagram: &Datagram) {
        if self.is_capturing {
            self.received.push((now, datagram.clone()));
        }
    }

    /// False if the datagram is lost.
    pub(crate) fn passes(&mut self, datagram: &mut Datagram) -> bool {
        self.tamper.as_mut().is_none_or(|tamper| tamper(datagram))
    }
}
