//! The demo's edge: a running Trestle, the peers' sockets, one poller and the clock. One thread drives all peers.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use serde_json::Value;
use trestle_io::clock;
use trestle_server::Server;
use trestle_server::config::{Config, Settings};

use super::call::{Addresses, DemoCall};
use super::scene::{DemoScript, Scene};

/// Addresses of the three, all on the loopback and easy to distinguish in a trace.
pub(crate) const TRESTLE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
pub(crate) const META: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 21);
pub(crate) const PHONE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 31);

/// The watcher is called at least that often.
const TURN: Duration = Duration::from_millis(20);
/// Attempts to find two free ports beside each other.
const PORT_TRIES: usize = 50;
/// No datagram is longer.
const DATAGRAM_BYTES: usize = 65_536;

const NG: Token = Token(usize::MAX);

/// Trestle and a client of it.
pub(crate) struct DemoBridge {
    server: Server,
    poll: Poll,
    ng: UdpSocket,
    cookies: u64,
    seeds: u64,
}

struct Bound {
    socket: UdpSocket,
    local: SocketAddr,
    call: usize,
}

impl DemoBridge {
    /// Starts Trestle in this process, as `trestle serve` does.
    pub(crate) fn open() -> anyhow::Result<Self> {
        let mut settings = Settings::default();
        settings.media.interface = vec![TRESTLE.to_string()];
        settings.listen.listen_ng = vec![SocketAddr::new(TRESTLE.into(), 0)];
        // The demo makes few calls, however slow the machine is.
        settings.limits.max_lateness_ms = Duration::ZERO;
        let server = Server::start(&Config::new(settings)?).context("Trestle does not start")?;
        let poll = Poll::new()?;
        let mut ng = UdpSocket::bind(SocketAddr::new(TRESTLE.into(), 0))?;
        ng.connect(server.ng_addr())?;
        poll.registry().register(&mut ng, NG, Interest::READABLE)?;
        Ok(Self { server, poll, ng, cookies: 0, seeds: 0 })
    }

    pub(crate) fn ng_addr(&self) -> SocketAddr {
        self.server.ng_addr()
    }

    pub(crate) fn close(self) {
        self.server.stop();
    }

    /// Makes one call of each scene, the next `stagger` after the last, and gives them back when all are over. `watch` sees
    /// them every few milliseconds.
    pub(crate) fn play(
        &mut self,
        scenes: &[Scene],
        script: &DemoScript,
        stagger: Duration,
        mut watch: impl FnMut(Instant, &mut [DemoCall]),
    ) -> anyhow::Result<Vec<DemoCall>> {
        let start = clock::now();
        let mut calls = Vec::new();
        let mut bound = Vec::new();
        for (call, scene) in scenes.iter().enumerate() {
            let sockets = [bind(META.into(), 0)?].into_iter().chain(bind_pair(PHONE.into())?);
            let mut locals = Vec::new();
            for (mut socket, local) in sockets {
                self.poll.registry().register(&mut socket, Token(bound.len()), Interest::READABLE)?;
                bound.push(Bound { socket, local, call });
                locals.push(local);
            }
            let addresses = Addresses { meta: locals[0], phone: locals[1] };
            self.seeds += 2;
            calls.push(DemoCall::new(start + stagger * call as u32, *scene, script.clone(), addresses, self.seeds));
        }
        let by_local: BTreeMap<SocketAddr, usize> = bound.iter().enumerate().map(|(n, b)| (b.local, n)).collect();
        let mut asked: BTreeMap<u64, usize> = BTreeMap::new();
        let mut events = Events::with_capacity(256);
        let mut buffer = vec![0; DATAGRAM_BYTES];
        while calls.iter().any(|call| !call.is_over()) {
            let now = clock::now();
            let due = calls.iter().filter_map(DemoCall::poll_timeout).min();
            let wait = due.map_or(TURN, |due| due.saturating_duration_since(now)).min(TURN);
            if let Err(error) = self.poll.poll(&mut events, Some(wait))
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error.into());
            }
            for event in &events {
                if event.token() == NG {
                    self.receive_replies(&mut buffer, &mut asked, &mut calls)?;
                    continue;
                }
                let Bound { socket, local, call } = &bound[event.token().0];
                while let Some((len, remote)) = receive(socket, &mut buffer)? {
                    calls[*call].handle_datagram(clock::now(), *local, remote, &buffer[..len]);
                }
            }
            for (n, call) in calls.iter_mut().enumerate() {
                let now = clock::now();
                if call.poll_timeout().is_some_and(|at| at <= now) {
                    call.handle_timeout(now);
                }
                while let Some(transmit) = call.poll_transmit() {
                    let socket = by_local.get(&transmit.local).map(|n| &bound[*n].socket);
                    // A full buffer or a closed port loses the datagram, as a network would; the peers notice.
                    let _ = socket.map(|socket| socket.send_to(&transmit.bytes, transmit.remote));
                }
                while let Some(request) = call.poll_request(clock::now()) {
                    self.cookies += 1;
                    asked.insert(self.cookies, n);
                    self.ng.send(format!("demo{} {request}", self.cookies).as_bytes())?;
                }
            }
            watch(clock::now(), &mut calls);
        }
        for Bound { mut socket, .. } in bound {
            self.poll.registry().deregister(&mut socket)?;
        }
        Ok(calls)
    }

    fn receive_replies(
        &mut self,
        buffer: &mut [u8],
        asked: &mut BTreeMap<u64, usize>,
        calls: &mut [DemoCall],
    ) -> anyhow::Result<()> {
        loop {
            let len = match self.ng.recv(buffer) {
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => bail!("ng on {}: {error}", self.ng_addr()),
            };
            let text = std::str::from_utf8(&buffer[..len]).context("a reply that is not text")?;
            let (cookie, body) = text.split_once(' ').with_context(|| format!("a reply without cookie: {text}"))?;
            let asker = cookie.strip_prefix("demo").and_then(|n| asked.remove(&n.parse().ok()?));
            // An answer to a call of an earlier round, which was given up.
            let Some(call) = asker else { continue };
            let reply: Value =
                serde_json::from_str(body).with_context(|| format!("a reply that is not JSON: {body}"))?;
            calls[call].handle_reply(clock::now(), &reply);
        }
    }
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
    match socket.recv_from(buffer) {
        Ok(received) => Ok(Some(received)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

fn bind(ip: IpAddr, port: u16) -> anyhow::Result<(UdpSocket, SocketAddr)> {
    let wanted = SocketAddr::new(ip, port);
    let socket = UdpSocket::bind(wanted).with_context(|| format!("cannot bind {wanted}"))?;
    let local = socket.local_addr()?;
    Ok((socket, local))
}

/// RTP on an even port and RTCP on the next (RFC 3550 section 11).
fn bind_pair(ip: IpAddr) -> anyhow::Result<[(UdpSocket, SocketAddr); 2]> {
    for _ in 0..PORT_TRIES {
        let (rtp, local) = bind(ip, 0)?;
        if local.port() % 2 == 0
            && let Ok(rtcp) = bind(ip, local.port() + 1)
        {
            return Ok([(rtp, local), rtcp]);
        }
    }
    bail!("found no two free ports beside each other on {ip}")
}
