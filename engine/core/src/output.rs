//! What comes out of a shard, and the queue it waits in.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Instant;

use crate::{CommandReply, Event, PortPair, SocketId, limits};

/// One thing for the edge to do. After [`Output::Timeout`] there is nothing more until the next input.
#[derive(Debug)]
pub enum Output<'a> {
    /// Send a datagram.
    Transmit(Transmit<'a>),
    /// Give the controller the reply to a command.
    Reply(Box<CommandReply>),
    /// Give the controller an event.
    Event(Event),
    /// The ports are no longer in use; close them, after a quarantine.
    Release(PortPair),
    /// Call again at this instant, or with the next input. `None`: nothing is pending.
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

/// Output that waits for [`crate::Shard::poll_output`]. Datagrams are stored in one buffer that is reused: no allocation per packet.
#[derive(Debug)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// Octets of `bytes` in use. The others are never cleared: that would cost more than sending a packet.
    used: usize,
    /// Those from `next` on wait; the list is cleared when none does.
    datagrams: Vec<QueuedDatagram>,
    next: usize,
    control_queue: VecDeque<Control>,
}

#[derive(Debug)]
struct QueuedDatagram {
    socket: SocketId,
    remote: SocketAddr,
    tos: Option<u8>,
    range: Range<usize>,
}

/// All output but datagrams.
#[derive(Debug)]
enum Control {
    Reply(Box<CommandReply>),
    Event(Event),
    Release(PortPair),
}

/// Initial capacity of each queue. A queue that needs more grows, and keeps its size.
const QUEUE_INITIAL: usize = 64;

impl Default for Outbox {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            used: 0,
            datagrams: Vec::with_capacity(QUEUE_INITIAL),
            next: 0,
            control_queue: VecDeque::with_capacity(QUEUE_INITIAL),
        }
    }
}

impl Outbox {
    /// Queues one datagram. `fill` writes it to the front of a buffer of [`limits::DATAGRAM_BYTES_MAX`] octets and returns its
    /// length; if it returns `None`, nothing is queued. Returns that length.
    pub fn datagram(
        &mut self,
        socket: SocketId,
        remote: SocketAddr,
        tos: Option<u8>,
        fill: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Option<usize> {
        let start = self.used;
        let end = start + limits::DATAGRAM_BYTES_MAX;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        let len = fill(&mut self.bytes[start..end])?.min(limits::DATAGRAM_BYTES_MAX);
        self.used = start + len;
        self.datagrams.push(QueuedDatagram { socket, remote, tos, range: start..start + len });
        Some(len)
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.control_queue.push_back(Control::Event(event));
    }

    pub(crate) fn reply(&mut self, reply: CommandReply) {
        self.control_queue.push_back(Control::Reply(Box::new(reply)));
    }

    pub(crate) fn release(&mut self, ports: PortPair) {
        self.control_queue.push_back(Control::Release(ports));
    }

    /// The next queued output; datagrams first.
    pub(crate) fn poll(&mut self) -> Option<Output<'_>> {
        if let Some(QueuedDatagram { socket, remote, tos, range }) = self.datagrams.get(self.next) {
            self.next += 1;
            let bytes = &self.bytes[range.clone()];
            return Some(Output::Transmit(Transmit { socket: *socket, remote: *remote, tos: *tos, bytes }));
        }
        self.datagrams.clear();
        (self.used, self.next) = (0, 0);
        Some(match self.control_queue.pop_front()? {
            Control::Reply(reply) => Output::Reply(reply),
            Control::Event(event) => Output::Event(event),
            Control::Release(ports) => Output::Release(ports),
        })
    }
}
