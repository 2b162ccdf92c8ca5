//! What comes out of a shard, and the queue it waits in.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Instant;

use crate::{Answer, Event, PortPair, SocketId, limits};

/// One thing for the edge to do. After [`Output::Timeout`] there is nothing more until the next input.
#[derive(Debug)]
pub enum Output<'a> {
    /// Send a datagram.
    Transmit(Transmit<'a>),
    /// Answer a command.
    Reply(Box<Answer>),
    /// Tell the controller.
    Event(Event),
    /// The ports are no longer in use; close them, after a quarantine.
    Release(PortPair),
    /// Come back at this instant, or with the next input. `None`: nothing is pending.
    Timeout(Option<Instant>),
}

/// A datagram to send.
#[derive(Debug, Clone, Copy)]
pub struct Transmit<'a> {
    /// From this socket.
    pub socket: SocketId,
    /// To this address.
    pub remote: SocketAddr,
    /// DSCP byte, if the leg asks for one.
    pub tos: Option<u8>,
    /// The datagram.
    pub bytes: &'a [u8],
}

/// Outgoing datagrams wait here, one behind the other in one buffer that is reused: no allocation per packet.
#[derive(Debug)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// How much of `bytes` is taken; what is behind it is left as it is, since clearing it would cost more than a packet.
    taken: usize,
    datagrams: VecDeque<Queued>,
    /// Replies, events and ports, which are rare.
    pub(crate) rest: VecDeque<Rare>,
}

#[derive(Debug)]
struct Queued {
    socket: SocketId,
    remote: SocketAddr,
    tos: Option<u8>,
    range: Range<usize>,
}

#[derive(Debug)]
pub(crate) enum Rare {
    Reply(Box<Answer>),
    Event(Event),
    Release(PortPair),
}

/// Datagrams and other things that there is room for from the beginning; more make more room, once.
const ROOM: usize = 64;

impl Default for Outbox {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            taken: 0,
            datagrams: VecDeque::with_capacity(ROOM),
            rest: VecDeque::with_capacity(ROOM),
        }
    }
}

impl Outbox {
    /// Queues one datagram. `fill` writes it into the front of a buffer of [`limits::DATAGRAM_BYTES_MAX`] bytes and
    /// says how long it became; `None` queues nothing.
    pub fn datagram(
        &mut self,
        socket: SocketId,
        remote: SocketAddr,
        tos: Option<u8>,
        fill: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Option<usize> {
        let start = self.taken;
        let end = start + limits::DATAGRAM_BYTES_MAX;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        let len = fill(&mut self.bytes[start..end])?.min(limits::DATAGRAM_BYTES_MAX);
        self.taken = start + len;
        self.datagrams.push_back(Queued { socket, remote, tos, range: start..start + len });
        Some(len)
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.rest.push_back(Rare::Event(event));
    }

    /// The next queued thing; datagrams first.
    pub(crate) fn poll(&mut self) -> Option<Output<'_>> {
        if let Some(next) = self.datagrams.pop_front() {
            let Queued { socket, remote, tos, range } = next;
            return Some(Output::Transmit(Transmit { socket, remote, tos, bytes: &self.bytes[range] }));
        }
        self.taken = 0;
        Some(match self.rest.pop_front()? {
            Rare::Reply(answer) => Output::Reply(answer),
            Rare::Event(event) => Output::Event(event),
            Rare::Release(ports) => Output::Release(ports),
        })
    }
}
