//! What is to be sent: datagrams in one piece of memory, sorted by socket when their time has come.

use std::net::SocketAddrV4;
use std::ops::Range;

/// The packet of a stream, whose time of sending is to be noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameStamp {
    /// Number of the leg that sends.
    pub leg: usize,
    /// Number of the frame.
    pub frame: u64,
}

/// One datagram.
#[derive(Debug, Clone)]
pub struct Item {
    /// From which socket.
    pub socket: usize,
    /// Where to.
    pub to: SocketAddrV4,
    /// Its bytes, in [`SendBatch::bytes`].
    pub range: Range<usize>,
    /// The packet of a stream.
    pub stamp: Option<FrameStamp>,
}

/// Datagrams that wait for the end of a turn.
#[derive(Debug, Default)]
pub struct SendBatch {
    /// All of them.
    pub bytes: Vec<u8>,
    /// Each of them.
    pub items: Vec<Item>,
}

impl SendBatch {
    /// Adds a datagram.
    pub fn push(&mut self, socket: usize, to: SocketAddrV4, datagram: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(datagram);
        self.items.push(Item { socket, to, range: start..self.bytes.len(), stamp: None });
    }

    /// Adds a packet that `write` puts to the front of `room` bytes, and of which it gives the length; `None` adds nothing.
    pub fn push_with(
        &mut self,
        socket: usize,
        to: SocketAddrV4,
        stamp: FrameStamp,
        room: usize,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> bool {
        let start = self.bytes.len();
        self.bytes.resize(start + room, 0);
        let len = write(&mut self.bytes[start..]);
        self.bytes.truncate(start + len.unwrap_or(0));
        if len.is_some() {
            self.items.push(Item { socket, to, range: start..self.bytes.len(), stamp: Some(stamp) });
        }
        len.is_some()
    }

    /// Brings those of one socket together, in their order.
    pub fn sort(&mut self) {
        self.items.sort_by_key(|item| item.socket);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
    }
}
