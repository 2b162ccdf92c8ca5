//! The sockets of one worker, and the poller in which its thread waits.
//!
//! `mio` is used for its waker only. Its sockets are edge-triggered, which costs a second read of every socket to find it
//! empty; and the timeout of a wait is a kernel timer that is set and cancelled each time, which costs more than a
//! packet if it is due within a millisecond or so. So sockets are level-triggered, and there is one timer, set when
//! a deadline becomes earlier and otherwise not changed (decision 0009).

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Poll, Token};
use rustix::event::epoll;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::time::{self, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use slab::Slab;
use trestle_core::SocketId;

use crate::BoundPorts;
use crate::mailbox::Bell;
use crate::queue_time::QueueTime;
use crate::{clock, socket};

/// Sockets that one wait reports at most: a few milliseconds of decoding at worst before timers and commands are processed.
/// The kernel reports the sockets first that it has not reported for longest.
const READY_MAX: usize = 128;

/// Deadlines are rounded up to this grid, so that the playout of a hundred calls needs some wake-ups per frame, not hundreds.
const TIMER_GRID: Duration = Duration::from_millis(1);

/// Datagrams that are dropped when a socket is used again: more than its buffer holds. Later ones of a flood reach the next
/// call, which discards them.
const REUSE_READS_MAX: usize = 512;

const BELL: u64 = usize::MAX as u64;
const TIMER: u64 = BELL - 1;

/// Open sockets by id, and which of them are readable.
pub(crate) struct Poller {
    poll: Poll,
    /// Sockets that the last wait reported and that are not taken yet, the next one last.
    ready: Vec<SocketId>,
    is_all_reported: bool,
    bell: Arc<Bell>,
    timer: Timer,
    sockets: Slab<Open>,
    queue_time: QueueTime,
    bound: Arc<BoundPorts>,
}

struct Open {
    udp: UdpSocket,
    ipv6: bool,
    /// DSCP byte of the socket; 0 is the system's default.
    tos: u8,
    /// Released by its call: received datagrams are dropped.
    quarantined: bool,
}

/// A timer of the kernel that wakes the poller.
struct Timer {
    descriptor: OwnedFd,
    /// Origin of its grid.
    start: Instant,
    /// When it fires next; `None` if it has fired.
    armed: Option<Instant>,
}

/// The result of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReceiveResult {
    /// A datagram of this length from this address, and how long it has waited in the queue of its socket. Zero in turns that do not
    /// begin late.
    Datagram(usize, SocketAddr, Duration),
    /// A datagram on a socket in quarantine.
    Quarantined,
    /// No datagram is waiting, or the socket is closed.
    Empty,
    /// The system reports an error; the next read may succeed.
    Failed,
}

impl Timer {
    fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { descriptor, start: clock::now(), armed: None })
    }

    /// Makes the timer fire at `deadline` or soon after. A deadline that becomes later costs no system call: the poller wakes once
    /// without work.
    fn arm(&mut self, now: Instant, deadline: Instant) -> io::Result<()> {
        let at = self.start + on_grid(deadline.saturating_duration_since(self.start));
        if self.armed.is_some_and(|armed| armed <= at) {
            return Ok(());
        }
        // Zero would disarm it.
        let after = at.saturating_duration_since(now).max(Duration::from_nanos(1));
        let it_value = Timespec { tv_sec: after.as_secs() as i64, tv_nsec: after.subsec_nanos().into() };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        time::timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &once)?;
        self.armed = Some(at);
        Ok(())
    }
}

/// The next point of the grid.
fn on_grid(since_start: Duration) -> Duration {
    let grid = TIMER_GRID.as_nanos() as u64;
    // u64 has 584 years of nanoseconds.
    let nanos = u64::try_from(since_start.as_nanos()).unwrap_or(u64::MAX - grid);
    Duration::from_nanos(nanos.div_ceil(grid) * grid)
}

impl Poller {
    /// `bound` is kept equal to the addresses of the open sockets.
    pub(crate) fn new(bound: Arc<BoundPorts>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let bell = Arc::new(Bell::new(poll.registry(), Token(BELL as usize))?);
        let timer = Timer::new()?;
        // Edge-triggered, so that a timer that has fired need not be read.
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(poll.registry(), &timer.descriptor, epoll::EventData::new_u64(TIMER), flags)?;
        Ok(Self {
            poll,
            ready: Vec::with_capacity(READY_MAX),
            is_all_reported: true,
            bell,
            timer,
            sockets: Slab::new(),
            queue_time: QueueTime::new(clock::sample_epoch()),
            bound,
        })
    }

    /// Wakes [`Poller::wait`] from another thread.
    pub(crate) fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
    }

    /// Binds a socket and watches it.
    pub(crate) fn open(&mut self, address: SocketAddr) -> io::Result<(SocketId, SocketAddr)> {
        let udp = socket::bind(address, socket::MEDIA_BUFFER_BYTES)?;
        let bound = udp.local_addr()?;
        if let Err(error) = socket::stamp_received(&udp) {
            tracing::warn!(%error, "datagrams have no time of arrival; old audio is not recognised after a stall");
        }
        let entry = self.sockets.vacant_entry();
        let key = entry.key();
        let id = SocketId(u32::try_from(key).map_err(|_| io::ErrorKind::OutOfMemory)?);
        epoll::add(self.poll.registry(), &udp, epoll::EventData::new_u64(key as u64), epoll::EventFlags::IN)?;
        self.bound.insert(bound);
        entry.insert(Open { udp, ipv6: address.is_ipv6(), tos: 0, quarantined: false });
        Ok((id, bound))
    }

    /// Closes a socket; an unknown id is ignored. The kernel removes a closed descriptor from the poller.
    pub(crate) fn close(&mut self, id: SocketId) {
        if let Some(open) = self.sockets.try_remove(id.0 as usize)
            && let Ok(address) = open.udp.local_addr()
        {
            self.bound.remove(address);
        }
    }

    /// From now on datagrams received on the socket are dropped.
    pub(crate) fn quarantine(&mut self, id: SocketId) {
        if let Some(open) = self.sockets.get_mut(id.0 as usize) {
            open.quarantined = true;
        }
    }

    /// Makes a quarantined socket usable again: datagrams of its last call are dropped, and its DSCP byte is the default.
    pub(crate) fn reuse(&mut self, id: SocketId) {
        for _ in 0..REUSE_READS_MAX {
            if self.receive(id, &mut []) != ReceiveResult::Quarantined {
                break;
            }
        }
        let Some(open) = self.sockets.get_mut(id.0 as usize) else { return };
        open.quarantined = false;
        if std::mem::take(&mut open.tos) != 0
            && let Err(error) = socket::set_tos(&open.udp, open.ipv6, 0)
        {
            tracing::warn!(%error, "cannot take the marking from a socket");
        }
    }

    /// Waits until a socket is readable, the bell rings or `deadline` is reached; `None` waits without limit. It may return
    /// without a reason. A deadline is met up to [`TIMER_GRID`] late.
    pub(crate) fn wait(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.ready.clear();
        let mut at_once = None;
        if let Some(deadline) = deadline.filter(|deadline| self.timer.armed.is_none_or(|armed| *deadline < armed)) {
            let now = clock::now();
            if deadline <= now {
                at_once = Some(Timespec { tv_sec: 0, tv_nsec: 0 });
            } else {
                self.timer.arm(now, deadline)?;
            }
        }
        let mut space = [const { MaybeUninit::uninit() }; READY_MAX];
        let found = match epoll::wait(self.poll.registry(), &mut space, at_once.as_ref()) {
            Err(Errno::INTR) => &[],
            other => &*other?.0,
        };
        self.bell.acknowledge();
        self.is_all_reported = found.len() < READY_MAX;
        for event in found.iter().rev() {
            match event.data.u64() {
                BELL => {}
                TIMER => self.timer.armed = None,
                socket => self.ready.push(SocketId(socket as u32)),
            }
        }
        Ok(())
    }

    /// The next socket that the last wait found readable.
    pub(crate) fn next_ready(&mut self) -> Option<SocketId> {
        self.ready.pop()
    }

    /// True if the last wait reported every readable socket.
    pub(crate) fn is_all_reported(&self) -> bool {
        self.is_all_reported
    }

    /// The sockets that the last wait reported are read from `now` on, one datagram of each.
    pub(crate) fn begin_turn(&mut self, now: Instant) {
        self.queue_time.begin_turn(now, clock::sample_epoch);
    }

    /// They have been read.
    pub(crate) fn end_turn(&mut self) {
        self.queue_time.end_turn(self.is_all_reported);
    }

    /// Reads a datagram.
    pub(crate) fn receive(&mut self, id: SocketId, buffer: &mut [u8]) -> ReceiveResult {
        let Some(open) = self.sockets.get(id.0 as usize) else {
            return ReceiveResult::Empty;
        };
        let received = if self.queue_time.is_late() {
            socket::receive_stamped(&open.udp, buffer)
                .map(|(len, remote, stamp)| (len, remote, self.queue_time.waited(stamp)))
        } else {
            open.udp.recv_from(buffer).map(|(len, remote)| (len, remote, Duration::ZERO))
        };
        match received {
            Ok(_) if open.quarantined => ReceiveResult::Quarantined,
            Ok((len, remote, waited)) => ReceiveResult::Datagram(len, remote, waited),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ReceiveResult::Empty,
            Err(_) => ReceiveResult::Failed,
        }
    }

    pub(crate) fn send(&mut self, id: SocketId, remote: SocketAddr, tos: Option<u8>, bytes: &[u8]) -> io::Result<()> {
        let open = self.sockets.get_mut(id.0 as usize).ok_or(io::ErrorKind::NotConnected)?;
        if let Some(tos) = tos.filter(|tos| *tos != open.tos) {
            // Once per socket and value. Unmarked media is better than none, so a refused value is not set again.
            open.tos = tos;
            if let Err(error) = socket::set_tos(&open.udp, open.ipv6, tos) {
                tracing::warn!(%error, tos, "cannot mark outgoing packets");
            }
        }
        open.udp.send_to(bytes, remote).map(|_len| ())
    }
}

#[cfg(test)]
mod tests;
