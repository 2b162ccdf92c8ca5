//! [`SendBatch`]: the datagrams that are sent together at the end of a turn, in one buffer.

use std::net::SocketAddrV4;
use std::ops::Range;

/// Identifies a packet whose transmission time is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameStamp {
    /// Number of the leg that sends.
    pub leg: usize,
    /// Number of the frame.
    pub frame: u64,
}

/// One datagram of a [`SendBatch`].
#[derive(Debug, Clone)]
pub struct Item {
    /// Number of the socket that sends it.
    pub socket: usize,
    /// Destination.
    pub to: SocketAddrV4,
    /// Position of its bytes in [`SendBatch::bytes`].
    pub range: Range<usize>,
    /// For a packet of a stream: leg and frame. `None` for other datagrams.
    pub stamp: Option<FrameStamp>,
}

/// Datagrams that wait for the end of a turn.
#[derive(Debug, Default)]
pub struct SendBatch {
    /// The bytes of all datagrams.
    pub bytes: Vec<u8>,
    /// The datagrams.
    pub items: Vec<Item>,
}

impl SendBatch {
    /// Adds a datagram.
    pub fn push(&mut self, socket: usize, to: SocketAddrV4, datagram: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(datagram);
        self.items.push(Item { socket, to, range: start..self.bytes.len(), stamp: None });
    }

    /// Adds a packet. `write` gets a buffer of `room` bytes, writes the packet at its start and returns the length; with `None` nothing
    /// is added. Returns true if a packet was added.
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

    /// Sorts the datagrams by socket. Those of one socket keep their order.
    pub fn sort(&mut self) {
        self.items.sort_by_key(|item| item.socket);
    }

    /// Removes all datagrams.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
    }
}
