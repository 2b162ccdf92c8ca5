//! The edge: the relay's socket, one poller, the clock, and what is printed.

use std::io::{self, BufRead as _, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use serde_json::Value;
use trestle_io::clock;
use trestle_io::mailbox::{self, Bell, Sender};

use super::call::{CallEnding, SimulatedCall};
use super::exchange::SimExchange;
use super::graph::SignalDirection;
use super::options::MetaSimArgs;
use super::server::{GraphServer, SimInput, WebHookClient};
use super::verdict::SimVerdict;
use super::wav;

const RELAY: Token = Token(0);
const BELL: Token = Token(1);
/// The loop turns at least that often.
const TURN: Duration = Duration::from_millis(20);
/// Requests and deliveries that may wait.
const NEWS_MAX: usize = 64;
/// No datagram is longer.
const DATAGRAM_BYTES: usize = 65_536;
/// Samples of what is recorded.
const HEARD_HZ: u32 = 16_000;

/// How the two sides talk about the call.
enum Signalling {
    /// Descriptions alone, in files or pipes; the sim accepts by itself.
    Files { write: PathBuf },
    /// As Meta does it.
    GraphServer {
        exchange: Box<SimExchange>,
        hooks: mpsc::Sender<Value>,
        delivery: JoinHandle<()>,
        _graph: GraphServer,
    },
}

/// Plays one call and writes an account of it to `out`; `args` name the files of the descriptions. Returns the verdict.
///
/// # Errors
/// A socket, a file or an SDP cannot be had.
pub fn run(args: &MetaSimArgs, out: &mut dyn Write) -> anyhow::Result<SimVerdict> {
    let mut poll = Poll::new()?;
    let bell = Arc::new(Bell::new(poll.registry(), BELL)?);
    let (news_in, news) = mailbox::channel(NEWS_MAX, Arc::clone(&bell));
    let mut socket = UdpSocket::bind(args.relay).with_context(|| format!("cannot bind {}", args.relay))?;
    let relay = socket.local_addr()?;
    poll.registry().register(&mut socket, RELAY, Interest::READABLE)?;
    let mut call = SimulatedCall::new(clock::now(), args.script(relay)?);
    let mut signalling = open(args, &news_in, relay, out)?;
    let direction = args.direction();
    if direction == SignalDirection::UserInitiated {
        let offer = call.offer(clock::now()).context("Meta cannot offer")?;
        match &mut signalling {
            Signalling::Files { write } => hand_over(write, &offer)?,
            Signalling::GraphServer { exchange, .. } => exchange.begin(now_s(), &offer),
        }
    }
    if matches!(signalling, Signalling::Files { .. }) {
        read_theirs(args.files.read.clone(), news_in.clone())?;
    }
    drop(news_in);
    let mut stage = SimRun { call, signalling, socket, relay, news, undelivered: Vec::new() };
    stage.play(&mut poll, &bell, args, out)?;
    stage.close(args, out)
}

fn open(
    args: &MetaSimArgs,
    news: &Sender<SimInput>,
    relay: SocketAddr,
    out: &mut dyn Write,
) -> anyhow::Result<Signalling> {
    let Some(url) = &args.graph_api.hook else {
        writeln!(out, "WhatsApp's relay is {relay}")?;
        return Ok(Signalling::Files { write: args.files.write.clone() });
    };
    let hook = WebHookClient::new(url, &args.graph_api.app_secret).map_err(anyhow::Error::msg)?;
    let (hooks, delivery) = hook.start(news.clone())?;
    let graph = GraphServer::start(args.graph_api.graph, args.graph_api.token.clone(), news.clone())
        .with_context(|| format!("cannot listen on {}", args.graph_api.graph))?;
    let call_id = format!(
        "wacid.sim{}",
        trestle_io::entropy::seed()?[..6].iter().map(|b| format!("{b:02X}")).collect::<String>()
    );
    let exchange = Box::new(SimExchange::new(args.ends(), args.direction(), call_id));
    let (address, id) = (graph.address, &args.graph_api.phone_number_id);
    writeln!(out, "ready: Graph http://{address}/v23.0/{id}/calls, web hooks to {url}, relay {relay}")?;
    out.flush()?;
    Ok(Signalling::GraphServer { exchange, hooks, delivery, _graph: graph })
}

/// The wall clock, in seconds.
fn now_s() -> u64 {
    clock::sample_epoch().unix.as_secs()
}

fn hand_over(path: &Path, sdp: &str) -> anyhow::Result<()> {
    if path == Path::new("-") {
        let mut out = io::stdout().lock();
        out.write_all(sdp.as_bytes())?;
        return Ok(out.flush()?);
    }
    // A reader that waits for the file finds it complete.
    let part = path.with_extension("part");
    std::fs::write(&part, sdp)
        .and_then(|()| std::fs::rename(&part, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// A thread that waits for the business' SDP. It ends with the process if none comes.
fn read_theirs(path: PathBuf, news: Sender<SimInput>) -> anyhow::Result<()> {
    thread::Builder::new().name("reader".to_owned()).spawn(move || {
        let text = if path == Path::new("-") { read_pipe() } else { wait_for_file(&path) };
        let text = text.map_err(|error| format!("{}: {error}", path.display()));
        // The receiver is gone once the call is over.
        let _: Result<(), _> = news.send(SimInput::Sdp(text));
    })?;
    Ok(())
}

/// Up to its end, or to an empty line after an `m=`.
fn read_pipe() -> io::Result<String> {
    let mut text = String::new();
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() && text.contains("m=") {
            break;
        }
        text.push_str(line.trim_end_matches('\r'));
        text.push_str("\r\n");
    }
    Ok(text)
}

fn wait_for_file(path: &Path) -> io::Result<String> {
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return Ok(text),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => thread::park_timeout(TURN),
        }
    }
}

struct SimRun {
    call: SimulatedCall,
    signalling: Signalling,
    socket: UdpSocket,
    relay: SocketAddr,
    news: Receiver<SimInput>,
    undelivered: Vec<String>,
}

impl SimRun {
    fn play(&mut self, poll: &mut Poll, bell: &Bell, args: &MetaSimArgs, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(16);
        let mut buffer = vec![0; DATAGRAM_BYTES];
        let mut accept_at: Option<Instant> = None;
        while self.call.ended().is_none() {
            let now = clock::now();
            let wait = self.call.poll_timeout().map_or(TURN, |due| due.saturating_duration_since(now)).min(TURN);
            if let Err(error) = poll.poll(&mut events, Some(wait))
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error.into());
            }
            bell.acknowledge();
            while let Some((len, remote)) = receive(&self.socket, &mut buffer)? {
                self.call.handle_datagram(clock::now(), self.relay, remote, &buffer[..len]);
            }
            while let Ok(news) = self.news.try_recv() {
                if self.take(news)? {
                    accept_at = Some(clock::now() + Duration::from_millis(args.user_actions.ring_ms));
                }
            }
            let now = clock::now();
            if accept_at.take_if(|at| now >= *at).is_some() {
                self.call.accept(now);
            }
            if self.call.poll_timeout().is_some_and(|due| due <= now) {
                self.call.handle_timeout(now);
            }
            while let Some(transmit) = self.call.poll_transmit(now) {
                // A full buffer or a closed port loses the datagram, as a network would.
                let _: io::Result<usize> = self.socket.send_to(&transmit.bytes, transmit.remote);
            }
            self.tell(out)?;
        }
        Ok(())
    }

    /// True if the sim is to accept by itself, after a while.
    fn take(&mut self, news: SimInput) -> anyhow::Result<bool> {
        match (news, &mut self.signalling) {
            (SimInput::GraphRequest { phone_number_id, body, answer }, Signalling::GraphServer { exchange, .. }) => {
                let replied = exchange.handle_request(clock::now(), now_s(), &phone_number_id, &body, &mut self.call);
                // The client may have disconnected.
                let _: Result<(), _> = answer.send(replied);
            }
            (SimInput::Delivered(outcome), _) => match outcome {
                Ok(200..=299) => {}
                Ok(status) => self.undelivered.push(format!("a web hook was answered with {status}")),
                Err(error) => self.undelivered.push(format!("a web hook could not be delivered: {error}")),
            },
            (SimInput::Sdp(text), Signalling::Files { write }) => {
                let text = text.map_err(anyhow::Error::msg)?;
                if text.is_empty() {
                    bail!("there is no SDP from the business");
                }
                let now = clock::now();
                if self.call.has_offered() {
                    match self.call.take_answer(now, &text) {
                        Ok(()) => return Ok(true),
                        Err(_told) => self.call.end(now, CallEnding::Refused),
                    }
                } else {
                    match self.call.take_offer(now, &text) {
                        // A called user accepts when it has rung long enough.
                        Ok(answer) => hand_over(write, &answer)?,
                        Err(_told) => self.call.end(now, CallEnding::Refused),
                    }
                }
            }
            (SimInput::GraphRequest { .. }, Signalling::Files { .. })
            | (SimInput::Sdp(_), Signalling::GraphServer { .. }) => {}
        }
        Ok(false)
    }

    /// Web hooks that are due, and what is new.
    fn tell(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if let Signalling::GraphServer { exchange, hooks, .. } = &mut self.signalling {
            exchange.look(now_s(), &self.call);
            while let Some(hook) = exchange.poll_hook() {
                // The thread lives as long as this sender.
                let _: Result<(), _> = hooks.send(hook);
            }
        }
        while let Some(moment) = self.call.poll_moment() {
            writeln!(out, "{:>9.1} ms  {}", moment.after.as_secs_f64() * 1e3, moment.what)?;
        }
        out.flush()
    }

    fn close(mut self, args: &MetaSimArgs, out: &mut dyn Write) -> anyhow::Result<SimVerdict> {
        self.tell(out)?;
        if let Signalling::GraphServer { hooks, delivery, .. } = self.signalling {
            drop(hooks);
            // A panic there has been printed.
            let _: Result<(), _> = delivery.join();
            for news in self.news.try_iter() {
                match news {
                    SimInput::Delivered(Ok(200..=299)) => {}
                    SimInput::Delivered(Ok(status)) => {
                        self.undelivered.push(format!("a web hook was answered with {status}"))
                    }
                    SimInput::Delivered(Err(error)) => {
                        self.undelivered.push(format!("a web hook could not be delivered: {error}"))
                    }
                    SimInput::GraphRequest { .. } | SimInput::Sdp(_) => {}
                }
            }
        }
        if let Some(path) = &args.user_actions.record {
            wav::write(path, self.call.recording(), HEARD_HZ)?;
            writeln!(out, "recorded {}", path.display())?;
        }
        let mut judgement = SimVerdict::of(&self.call);
        judgement.faults.append(&mut self.undelivered);
        judgement.good = judgement.faults.is_empty();
        write!(out, "{}", judgement.text())?;
        out.flush()?;
        Ok(judgement)
    }
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
    match socket.recv_from(buffer) {
        Ok(received) => Ok(Some(received)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
