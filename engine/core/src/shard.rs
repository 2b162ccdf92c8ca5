//! The engine of one thread: many calls, their sockets and timers, nothing shared.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::leg::webrtc::DtlsIdentity;
use crate::output::{Outbox, Output};
use crate::time::Epoch;
use crate::{Command, InterfaceId, PortPair, RequestId, SocketId};

/// What a shard is built from.
#[derive(Debug, Clone)]
pub struct ShardConfig {
    /// Entropy for what the shard itself draws.
    pub seed: [u8; 32],
    /// Where the monotonic clock stands in wall time.
    pub epoch: Epoch,
    /// Our DTLS certificate and its settings, shared by all WebRTC legs.
    pub identity: DtlsIdentity,
    /// After this long without media on any leg of a call, [`crate::EventKind::MediaTimeout`] is emitted.
    pub media_timeout: Duration,
}

/// See the crate documentation for the contract.
#[derive(Debug)]
pub struct Shard {
    outbox: Outbox,
}

impl Shard {
    /// An empty shard.
    pub fn new(_config: ShardConfig) -> Self {
        Self { outbox: Outbox::default() }
    }

    /// Interfaces and address families whose stock of ports is below [`crate::limits::PORT_STOCK`], and by how many pairs.
    pub fn ports_wanted(&self) -> impl Iterator<Item = (InterfaceId, bool, usize)> + '_ {
        std::iter::empty()
    }

    /// Adds a bound pair to the stock.
    pub fn add_port_pair(&mut self, _interface: InterfaceId, _ipv6: bool, _pair: PortPair) {}

    /// Takes one datagram; it is decrypted in place.
    pub fn handle_datagram(&mut self, _now: Instant, _socket: SocketId, _remote: SocketAddr, _datagram: &mut [u8]) {}

    /// Takes one command; its reply comes out of [`Shard::poll_output`].
    pub fn handle_command(&mut self, _now: Instant, _request: RequestId, _command: Command) {}

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Output<'_> {
        self.outbox.poll().unwrap_or(Output::Timeout(None))
    }

    /// When [`Shard::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
