//! The sockets of one worker and the poller it sleeps in.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use trestle_core::SocketId;

use crate::mailbox::Bell;
use crate::socket;

/// Readiness reports taken from the kernel at once; the rest comes with the next wait.
const EVENTS_MAX: usize = 1024;

const WAKER: Token = Token(usize::MAX);

/// Open sockets by id, and which of them have something to read.
pub(crate) struct Poller {
    poll: Poll,
    events: Events,
    bell: Arc<Bell>,
    sockets: Slab<Open>,
    /// Sockets that became readable and have not said "would block" since: the kernel reports an edge only once.
    ready: VecDeque<SocketId>,
}

struct Open {
    udp: UdpSocket,
    ipv6: bool,
    /// What the socket is set to; 0 is the system's default.
    tos: u8,
    /// In `ready`.
    queued: bool,
    /// Given back by its call; whatever arrives is for nobody.
    quarantined: bool,
}

/// What reading a socket gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// A datagram of this length from this address.
    Datagram(usize, SocketAddr),
    /// A datagram on a socket in quarantine.
    Quarantined,
    /// Nothing is waiting, or the socket is closed.
    Empty,
    /// The system reports an error; the next read may succeed.
    Failed,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let bell = Arc::new(Bell::new(poll.registry(), WAKER)?);
        let events = Events::with_capacity(EVENTS_MAX);
        Ok(Self { poll, events, bell, sockets: Slab::new(), ready: VecDeque::new() })
    }

    /// Wakes [`Poller::wait`] from another thread.
    pub(crate) fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
    }

    /// Binds a socket and watches it.
    pub(crate) fn open(&mut self, address: SocketAddr) -> io::Result<(SocketId, SocketAddr)> {
        let mut udp = socket::bind(address, socket::MEDIA_BUFFER_BYTES)?;
        let bound = udp.local_addr()?;
        let entry = self.sockets.vacant_entry();
        let key = entry.key();
        let id = SocketId(u32::try_from(key).map_err(|_| io::ErrorKind::OutOfMemory)?);
        self.poll.registry().register(&mut udp, Token(key), Interest::READABLE)?;
        entry.insert(Open { udp, ipv6: address.is_ipv6(), tos: 0, queued: false, quarantined: false });
        Ok((id, bound))
    }

    /// Closes a socket; an unknown id is ignored.
    pub(crate) fn close(&mut self, id: SocketId) {
        if let Some(mut open) = self.sockets.try_remove(id.0 as usize) {
            // Closing the descriptor takes it out of the kernel's set as well; this only keeps mio's books.
            let _: io::Result<()> = self.poll.registry().deregister(&mut open.udp);
        }
    }

    /// From now on whatever arrives on the socket is dropped.
    pub(crate) fn quarantine(&mut self, id: SocketId) {
        if let Some(open) = self.sockets.get_mut(id.0 as usize) {
            open.quarantined = true;
        }
    }

    /// Makes a quarantined socket as good as new: what has come for its last call is thrown away, and what it sends is marked
    /// by default again.
    pub(crate) fn reuse(&mut self, id: SocketId) {
        while self.receive(id, &mut []) == Received::Quarantined {}
        let Some(open) = self.sockets.get_mut(id.0 as usize) else { return };
        open.quarantined = false;
        if std::mem::take(&mut open.tos) != 0
            && let Err(error) = socket::set_tos(&open.udp, open.ipv6, 0)
        {
            tracing::warn!(%error, "cannot take the marking from a socket");
        }
    }

    /// Sleeps until a socket is readable, the bell is rung or `timeout` is over. `None` sleeps without end.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = if self.ready.is_empty() { timeout } else { Some(Duration::ZERO) };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        self.bell.heard();
        for event in self.events.iter().filter(|event| event.token() != WAKER) {
            // Another datagram on a queued socket is a second edge, not a second place in the queue.
            if let Some(open) = self.sockets.get_mut(event.token().0).filter(|open| !open.queued) {
                open.queued = true;
                self.ready.push_back(SocketId(event.token().0 as u32));
            }
        }
        Ok(())
    }

    /// Takes the next socket that may have something to read.
    pub(crate) fn next_ready(&mut self) -> Option<SocketId> {
        let id = self.ready.pop_front()?;
        if let Some(open) = self.sockets.get_mut(id.0 as usize) {
            open.queued = false;
        }
        Some(id)
    }

    /// No socket is known to have anything to read.
    pub(crate) fn is_idle(&self) -> bool {
        self.ready.is_empty()
    }

    /// Puts a socket back that was not read to its end.
    pub(crate) fn not_empty(&mut self, id: SocketId) {
        if let Some(open) = self.sockets.get_mut(id.0 as usize).filter(|open| !open.queued) {
            open.queued = true;
            self.ready.push_back(id);
        }
    }

    pub(crate) fn receive(&mut self, id: SocketId, buffer: &mut [u8]) -> Received {
        let Some(open) = self.sockets.get(id.0 as usize) else {
            return Received::Empty;
        };
        match open.udp.recv_from(buffer) {
            Ok(_) if open.quarantined => Received::Quarantined,
            Ok((len, remote)) => Received::Datagram(len, remote),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Received::Empty,
            Err(_) => Received::Failed,
        }
    }

    pub(crate) fn send(&mut self, id: SocketId, remote: SocketAddr, tos: Option<u8>, bytes: &[u8]) -> io::Result<()> {
        let open = self.sockets.get_mut(id.0 as usize).ok_or(io::ErrorKind::NotConnected)?;
        if let Some(tos) = tos.filter(|tos| *tos != open.tos) {
            // Once per socket and marking. Unmarked media is better than none, so a refusal is not asked for again.
            open.tos = tos;
            if let Err(error) = socket::set_tos(&open.udp, open.ipv6, tos) {
                tracing::warn!(%error, tos, "cannot mark outgoing packets");
            }
        }
        open.udp.send_to(bytes, remote).map(|_len| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(poller: &mut Poller) -> (SocketId, SocketAddr, std::net::UdpSocket) {
        let (id, address) = poller.open("127.0.0.1:0".parse().unwrap()).unwrap();
        let peer =
            std::net::UdpSocket::from(socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap());
        peer.connect(address).unwrap();
        (id, address, peer)
    }

    fn wait_for_one(poller: &mut Poller) -> SocketId {
        loop {
            poller.wait(Some(Duration::from_secs(10))).unwrap();
            if let Some(id) = poller.next_ready() {
                return id;
            }
        }
    }

    #[test]
    fn a_socket_that_was_not_read_to_its_end_stays_ready_without_a_new_edge() {
        let mut poller = Poller::new().unwrap();
        let (id, _, peer) = pair(&mut poller);
        peer.send(b"one").unwrap();
        peer.send(b"two").unwrap();
        let mut buffer = [0; 16];
        assert_eq!(wait_for_one(&mut poller), id);
        assert_eq!(poller.receive(id, &mut buffer), Received::Datagram(3, peer.local_addr().unwrap()));
        poller.not_empty(id);
        assert_eq!(wait_for_one(&mut poller), id);
        assert_eq!(poller.receive(id, &mut buffer), Received::Datagram(3, peer.local_addr().unwrap()));
        assert_eq!(&buffer[..3], b"two");
        assert_eq!(poller.receive(id, &mut buffer), Received::Empty);
    }

    #[test]
    fn a_quarantined_socket_is_read_but_nothing_comes_of_it() {
        let mut poller = Poller::new().unwrap();
        let (id, _, peer) = pair(&mut poller);
        poller.quarantine(id);
        peer.send(b"late").unwrap();
        assert_eq!(wait_for_one(&mut poller), id);
        assert_eq!(poller.receive(id, &mut [0; 16]), Received::Quarantined);
        assert_eq!(poller.receive(id, &mut [0; 16]), Received::Empty);
    }

    #[test]
    fn a_socket_that_is_used_again_gives_nothing_of_what_came_in_quarantine_and_marks_nothing() {
        let mut poller = Poller::new().unwrap();
        let (id, _, peer) = pair(&mut poller);
        let to = peer.local_addr().unwrap();
        poller.send(id, to, Some(184), b"x").unwrap();
        poller.quarantine(id);
        peer.send(b"late").unwrap();
        peer.send(b"later").unwrap();
        poller.reuse(id);
        assert_eq!(poller.receive(id, &mut [0; 16]), Received::Empty);
        peer.send(b"new").unwrap();
        assert_eq!(poller.receive(id, &mut [0; 16]), Received::Datagram(3, to));
        assert_eq!(socket2::SockRef::from(&poller.sockets[id.0 as usize].udp).tos_v4().unwrap(), 0);
    }

    #[test]
    fn a_closed_socket_neither_reads_nor_sends() {
        let mut poller = Poller::new().unwrap();
        let (id, address, _peer) = pair(&mut poller);
        poller.close(id);
        poller.close(id);
        assert_eq!(poller.receive(id, &mut [0; 16]), Received::Empty);
        assert!(poller.send(id, address, None, b"x").is_err());
    }
}
