//! The edge: sockets in batches (`sendmmsg`, `recvmmsg`), the kernel's own time of arrival, sleep, signals.
//!
//! What comes is stamped by the kernel when it comes (`SO_TIMESTAMPNS`), so that the load may look for it once in a while
//! without a delay being longer for it. What is sent is stamped between two clock reads around its batch.

use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use anyhow::Context as _;
use arrayvec::ArrayVec;
use mio::net::UdpSocket;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg, setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};
use trestle_io::socket;

use super::pace::Ns;
use super::send_batch::{FrameStamp, SendBatch};

/// Datagrams of one system call.
const BATCH: usize = 32;
/// No packet of media, handshake or ng that the load is sent is longer.
const DATAGRAM_BYTES: usize = 4_096;
/// Kernel buffer of a socket: what comes for 32 calls in a second.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// Sockets that may be looked at in one turn.
const EVENTS: usize = 1_024;

/// A datagram that came.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// On which socket.
    pub socket: usize,
    /// From where.
    pub from: SocketAddrV4,
    /// When the kernel had it.
    pub at: Ns,
    /// What.
    pub bytes: &'a mut [u8],
}

/// The sockets of the load.
pub struct BatchedSockets {
    sockets: Vec<UdpSocket>,
    epoll: Epoll,
    events: Vec<EpollEvent>,
    signals: SignalFd,
    send_headers: MultiHeaders<SockaddrIn>,
    receive_headers: MultiHeaders<SockaddrIn>,
    buffers: Vec<u8>,
    /// Datagrams that the kernel did not take.
    pub unsent: u64,
}

impl std::fmt::Debug for BatchedSockets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("sockets", &self.sockets.len()).finish_non_exhaustive()
    }
}

impl BatchedSockets {
    /// Without a socket. From now on SIGINT and SIGTERM end nothing by themselves; see [`BatchedSockets::is_interrupted`].
    ///
    /// # Errors
    /// The error of the system.
    pub fn new() -> anyhow::Result<Self> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGINT);
        mask.add(Signal::SIGTERM);
        mask.thread_block()?;
        // Without slack a sleep ends when it should, not 50 us later. A refusal costs only that.
        let _: nix::Result<()> = nix::sys::prctl::set_timerslack(1);
        Ok(Self {
            sockets: Vec::new(),
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            events: vec![EpollEvent::empty(); EVENTS],
            signals: SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?,
            send_headers: MultiHeaders::preallocate(BATCH, None),
            receive_headers: MultiHeaders::preallocate(BATCH, Some(nix::cmsg_space!(TimeSpec))),
            buffers: vec![0; BATCH * DATAGRAM_BYTES],
            unsent: 0,
        })
    }

    /// Opens a socket on a free port of `ip`: its number and address.
    ///
    /// # Errors
    /// The error of the system.
    pub fn open(&mut self, ip: Ipv4Addr) -> anyhow::Result<(usize, SocketAddrV4)> {
        let socket = socket::bind(SocketAddrV4::new(ip, 0).into(), BUFFER_BYTES)
            .with_context(|| format!("cannot open a socket on {ip}, the load's {}th", self.sockets.len() + 1))?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        let number = self.sockets.len();
        self.epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, number as u64))?;
        let SocketAddr::V4(address) = socket.local_addr()? else { anyhow::bail!("{ip} is not IPv4") };
        self.sockets.push(socket);
        Ok((number, address))
    }

    /// Sends all of `outbox` and empties it. `sent` is called with the send time of each packet of a stream.
    pub fn send(&mut self, outbox: &mut SendBatch, mut sent: impl FnMut(FrameStamp, Ns)) {
        outbox.sort();
        for of_socket in outbox.items.chunk_by(|a, b| a.socket == b.socket) {
            for batch in of_socket.chunks(BATCH) {
                let fd = self.sockets[batch[0].socket].as_raw_fd();
                let slices: ArrayVec<[IoSlice<'_>; 1], BATCH> =
                    batch.iter().map(|item| [IoSlice::new(&outbox.bytes[item.range.clone()])]).collect();
                let to: ArrayVec<Option<SockaddrIn>, BATCH> = batch.iter().map(|item| Some(item.to.into())).collect();
                let none: [ControlMessage<'_>; 0] = [];
                let before = now();
                let done = sendmmsg(fd, &mut self.send_headers, &slices, to, none, MsgFlags::MSG_DONTWAIT);
                let done = done.map_or(0, Iterator::count);
                let each = now().saturating_sub(before) / (done.max(1) as Ns);
                self.unsent += (batch.len() - done) as u64;
                for (n, item) in batch[..done].iter().enumerate() {
                    if let Some(stamp) = item.stamp {
                        sent(stamp, before + each * n as Ns);
                    }
                }
            }
        }
        outbox.clear();
    }

    /// Hands over everything that has come.
    ///
    /// # Errors
    /// The poller fails.
    pub fn receive(&mut self, mut take: impl FnMut(Datagram<'_>)) -> anyhow::Result<()> {
        let ready = match self.epoll.wait(&mut self.events, EpollTimeout::ZERO) {
            Err(Errno::EINTR) => 0,
            other => other?,
        };
        for event in &self.events[..ready] {
            let socket = event.data() as usize;
            loop {
                let mut heads: ArrayVec<(usize, SocketAddrV4, Ns), BATCH> = ArrayVec::new();
                {
                    let mut buffers = self.buffers.chunks_exact_mut(DATAGRAM_BYTES);
                    let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
                        std::array::from_fn(|_| [IoSliceMut::new(buffers.next().unwrap_or_default())]);
                    let fd = self.sockets[socket].as_raw_fd();
                    let flags = MsgFlags::MSG_DONTWAIT;
                    // An error is of one datagram, or means that there is none.
                    let Ok(came) = recvmmsg(fd, &mut self.receive_headers, slices.iter_mut(), flags, None) else {
                        break;
                    };
                    for message in came {
                        let from = message.address.map_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), Into::into);
                        let stamped = message.cmsgs().ok().into_iter().flatten().find_map(|cmsg| match cmsg {
                            ControlMessageOwned::ScmTimestampns(time) => Some(ns(time)),
                            _ => None,
                        });
                        heads.push((message.bytes, from, stamped.unwrap_or_else(now)));
                    }
                }
                for ((len, from, at), buffer) in heads.iter().zip(self.buffers.chunks_exact_mut(DATAGRAM_BYTES)) {
                    take(Datagram { socket, from: *from, at: *at, bytes: &mut buffer[..*len] });
                }
                if heads.len() < BATCH {
                    break;
                }
            }
        }
        Ok(())
    }

    /// True once SIGINT or SIGTERM came.
    pub fn is_interrupted(&self) -> bool {
        matches!(self.signals.read_signal(), Ok(Some(_)))
    }
}

/// The time on the clock that the kernel stamps arrivals with.
pub fn now() -> Ns {
    // The clock exists on every Linux.
    clock_gettime(ClockId::CLOCK_REALTIME).map_or(0, ns)
}

/// Processor time of this process so far.
pub fn own_cpu_s() -> f64 {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(0.0, |time| ns(time) as f64 / 1e9)
}

/// Sleeps for that long.
pub fn sleep(ns: Ns) {
    let time = TimeSpec::from_duration(Duration::from_nanos(ns));
    // An interrupted sleep is a short one.
    let _: nix::Result<TimeSpec> = clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::empty(), &time);
}

fn ns(time: TimeSpec) -> Ns {
    time.tv_sec() as Ns * 1_000_000_000 + time.tv_nsec() as Ns
}
