use std::net::{Ipv4Addr, SocketAddr};

use mio::{Events, Poll, Token};
use trestle_core::plan::{
    Codec, LatchPolicy, Muting, OpusSettings, ReceiveFormat, ReceivePlan, RtpPeer, SendFormat, SendPlan, SendPolicy,
    Source, Transport,
};
use trestle_core::{AddressPolicy, CallId, CommandError, DtlsIdentity, EngineReply, LegId, LegPlan};
use trestle_wire::{Pt, Ptime, Ssrc};

use super::*;
use crate::mailbox::Bell;
use crate::ports::PortRange;
use crate::ports::tests::{interface, unused_range};
use crate::socket;

fn config(range: PortRange) -> WorkerConfig {
    WorkerConfig {
        worker: 0,
        epoch: clock::sample_epoch(),
        identity: DtlsIdentity::generate().unwrap(),
        media_timeout: Duration::from_secs(60),
        own_ssrcs: OwnSsrcs::new(1),
        probe_time: None,
        interfaces: vec![interface(0)],
        ports: PortPool::new(&[interface(0)], range),
        addresses: AddressPolicy::default(),
        bound_ports: Arc::default(),
    }
}

struct Control {
    bell: Arc<Bell>,
    poll: Poll,
    inbox: Receiver<FromShard>,
    sender: Sender<FromShard>,
}

impl Control {
    fn new(capacity: usize) -> Self {
        let poll = Poll::new().unwrap();
        let bell = Arc::new(Bell::new(poll.registry(), Token(0)).unwrap());
        let (sender, inbox) = mailbox::channel(capacity, Arc::clone(&bell));
        Self { bell, poll, inbox, sender }
    }

    fn start(&self, range: PortRange) -> Worker {
        Worker::start(config(range), self.sender.clone()).unwrap()
    }

    /// The next message; a worker without a message for ten seconds fails the test.
    fn next(&mut self) -> ShardMessage {
        let mut events = Events::with_capacity(4);
        loop {
            if let Ok(from) = self.inbox.try_recv() {
                return from.message;
            }
            self.poll.poll(&mut events, Some(Duration::from_secs(10))).unwrap();
            assert!(!events.is_empty(), "the worker sends nothing");
            self.bell.acknowledge();
        }
    }
}

fn is_bound(range: PortRange) -> bool {
    range.rtp_ports().any(|port| socket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), 4096).is_err())
}

#[test]
fn a_worker_binds_a_port_at_the_start_and_gives_it_back_when_it_stops() {
    let control = Control::new(16);
    let range = unused_range(4);
    let worker = control.start(range);
    assert!(is_bound(range));
    worker.stop();
    assert!(!is_bound(range));
}

#[test]
fn a_worker_that_can_bind_nothing_does_not_start() {
    let control = Control::new(16);
    let range = unused_range(1);
    let first = control.start(range);
    let error = Worker::start(config(range), control.sender.clone()).unwrap_err();
    assert_eq!(error.to_string(), "cannot bind a media port on 127.0.0.1");
    assert!(std::error::Error::source(&error).is_some(), "the error of the system is the source");
    first.stop();
}

#[test]
fn every_accepted_command_gets_a_reply_even_if_the_control_thread_is_slow_to_read() {
    let mut control = Control::new(1);
    let worker = control.start(unused_range(1));
    for n in 0..50 {
        worker.send(RequestId(n), Command::Query { call: CallId(n) }).unwrap();
    }
    for n in 0..50 {
        let ShardMessage::Reply(reply) = control.next() else { panic!("no event was due") };
        assert_eq!(reply.0, RequestId(n));
        assert!(reply.1.is_err());
    }
    worker.send(RequestId(99), Command::Totals).unwrap();
    let ShardMessage::Reply(reply) = control.next() else { panic!("no event was due") };
    assert!(matches!(reply.1, Ok(EngineReply::Totals(_))));
    worker.stop();
}

/// A minimal phone: sends PCMU packets and receives.
struct Phone {
    udp: std::net::UdpSocket,
    seq: u16,
}

impl Phone {
    fn new() -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { udp: socket.into(), seq: 0 }
    }

    fn address(&self) -> SocketAddr {
        self.udp.local_addr().unwrap()
    }

    /// Sends 20 ms of one sample value (RFC 3550 5.1: version 2, PT 0).
    fn send(&mut self, to: SocketAddr, sample: u8) {
        let mut packet = vec![0x80, 0];
        packet.extend(self.seq.to_be_bytes());
        packet.extend((u32::from(self.seq) * 160).to_be_bytes());
        packet.extend(0x1234_5678_u32.to_be_bytes());
        packet.extend([sample; 160]);
        self.seq += 1;
        self.udp.send_to(&packet, to).unwrap();
    }

    /// The payload of the next RTP packet, and its source address.
    fn receive(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 2048];
        loop {
            let (len, from) = self.udp.recv_from(&mut buffer).expect("nothing is received");
            if buffer[1] & 0x7f == 0 {
                return (buffer[12..len].to_vec(), from);
            }
        }
    }
}

fn plan(peer: &Phone, source: u16) -> LegPlan {
    let pt = Pt::PCMU;
    LegPlan {
        interface: InterfaceId(0),
        ipv6: false,
        transport: Transport::Plain(RtpPeer {
            rtp: Some(peer.address()),
            rtcp: None,
            latch: LatchPolicy::Exact,
            strict_source: false,
        }),
        rtcp_mux: true,
        ssrc: Ssrc(0x0a0b_0c00 + u32::from(source)),
        cname: "test".to_owned(),
        tos: Some(184),
        send: SendPlan {
            format: Some(SendFormat {
                pt,
                codec: Codec::Pcmu,
                ptime: Ptime::MS_20,
                strict_ptime: false,
                opus: OpusSettings::default(),
                event: None,
            }),
            source: Source::Leg(LegId(source)),
            muting: Muting::default(),
            policy: SendPolicy::default(),
            enabled: true,
        },
        receive: ReceivePlan {
            is_linked: false,
            proposed: None,
            formats: vec![ReceiveFormat { pt, codec: Codec::Pcmu }],
            events: Vec::new(),
            detect_inband_dtmf: false,
            enabled: true,
        },
    }
}

impl Control {
    /// The next reply; events before it are skipped.
    fn reply(&mut self) -> CommandReply {
        loop {
            if let ShardMessage::Reply(reply) = self.next() {
                return *reply;
            }
        }
    }

    /// Opens a call of two plain legs; returns their RTP addresses.
    fn open(&mut self, worker: &Worker, call: CallId, phones: [&Phone; 2]) -> [SocketAddr; 2] {
        let legs = vec![(LegId(0), plan(phones[0], 1)), (LegId(1), plan(phones[1], 0))];
        worker.send(RequestId(0), Command::Apply { call, legs }).unwrap();
        match self.reply() {
            (_, Ok(EngineReply::Applied(ports))) => [ports[0].1.rtp, ports[1].1.rtp],
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn audio_of_one_phone_arrives_at_the_other_from_the_signalled_port() {
    let mut control = Control::new(64);
    let worker = control.start(unused_range(4));
    let (mut alice, mut bob) = (Phone::new(), Phone::new());
    let [for_alice, for_bob] = control.open(&worker, CallId(1), [&alice, &bob]);
    for sample in 1..=5 {
        alice.send(for_alice, sample);
        assert_eq!(bob.receive(), (vec![sample; 160], for_bob));
        bob.send(for_bob, sample);
        assert_eq!(alice.receive(), (vec![sample; 160], for_alice));
    }
    worker.stop();
}

#[test]
fn a_call_continues_while_another_host_floods_its_port_and_that_of_another_call() {
    let mut control = Control::new(64);
    let worker = control.start(unused_range(8));
    let (mut alice, bob) = (Phone::new(), Phone::new());
    let [for_alice, _] = control.open(&worker, CallId(1), [&alice, &bob]);
    let (carol, dan) = (Phone::new(), Phone::new());
    let [for_carol, _] = control.open(&worker, CallId(2), [&carol, &dan]);
    let mut stranger = Phone::new();
    for sample in 1..=20 {
        (0..20).for_each(|_| stranger.send(for_alice, 0));
        (0..60).for_each(|_| stranger.send(for_carol, 0));
        alice.send(for_alice, sample);
        assert_eq!(bob.receive().0, vec![sample; 160]);
    }
    worker.stop();
}

#[test]
fn a_phone_that_sends_after_the_end_of_its_call_has_no_listener() {
    let mut control = Control::new(64);
    let worker = control.start(unused_range(2 * limits::PORT_STOCK as u16));
    let (mut alice, bob) = (Phone::new(), Phone::new());
    let [for_alice, _] = control.open(&worker, CallId(1), [&alice, &bob]);
    worker.send(RequestId(1), Command::Delete { call: CallId(1) }).unwrap();
    assert!(matches!(control.reply(), (_, Ok(EngineReply::Deleted(_)))));

    alice.send(for_alice, 9);
    // Every reply is a turn of the worker; in one of the first turns it reads the packet.
    let mut turns = 0..100_000;
    let counted = turns.any(|_| {
        worker.send(RequestId(3), Command::Totals).unwrap();
        matches!(control.reply(), (_, Ok(EngineReply::Totals(_)))) && worker.counts().quarantined == 1
    });
    assert!(counted, "{:?}", worker.counts());
    worker.stop();
}

#[test]
fn the_ports_of_ended_calls_are_used_again_when_no_others_are_left() {
    let mut control = Control::new(64);
    let worker = control.start(unused_range(2));
    let (alice, bob) = (Phone::new(), Phone::new());
    let before = control.open(&worker, CallId(1), [&alice, &bob]);
    worker.send(RequestId(1), Command::Delete { call: CallId(1) }).unwrap();
    assert!(matches!(control.reply(), (_, Ok(EngineReply::Deleted(_)))));
    let mut after = loop {
        let legs = vec![(LegId(0), plan(&alice, 1)), (LegId(1), plan(&bob, 0))];
        worker.send(RequestId(2), Command::Apply { call: CallId(2), legs }).unwrap();
        match control.reply().1 {
            Ok(EngineReply::Applied(ports)) => break [ports[0].1.rtp, ports[1].1.rtp],
            Err(CommandError::NoPorts) => {}
            other => panic!("{other:?}"),
        }
    };
    after.sort_unstable();
    assert_eq!(after, {
        let mut before = before;
        before.sort_unstable();
        before
    });
    worker.stop();
}

impl Control {
    /// Opens a call of two plain legs, as often as there is no port until it opens. The error otherwise.
    fn try_open(&mut self, worker: &Worker, call: CallId, phones: [&Phone; 2]) -> Result<(), CommandError> {
        let legs = vec![(LegId(0), plan(phones[0], 1)), (LegId(1), plan(phones[1], 0))];
        worker.send(RequestId(2), Command::Apply { call, legs }).unwrap();
        self.reply().1.map(|_| ())
    }
}

#[test]
fn a_call_on_one_thread_can_have_the_ports_that_another_thread_does_not_use() {
    let mut control = Control::new(64);
    let pool = PortPool::new(&[interface(0)], unused_range(6));
    let [first, second] = [0, 1].map(|worker| {
        let config = WorkerConfig { worker, ports: pool.clone(), ..config(unused_range(1)) };
        Worker::start(config, control.sender.clone()).unwrap()
    });
    let (alice, bob) = (Phone::new(), Phone::new());
    for call in 1..=3 {
        assert_eq!(control.try_open(&first, CallId(call), [&alice, &bob]), Ok(()), "call {call}");
    }
    assert_eq!(control.try_open(&second, CallId(9), [&alice, &bob]), Err(CommandError::NoPorts));
    first.send(RequestId(1), Command::Delete { call: CallId(1) }).unwrap();
    assert!(matches!(control.reply(), (_, Ok(EngineReply::Deleted(_)))));
    // The ports rest on the first thread; then it gives them up as soon as it is asked to.
    let opened = (0..1_000_000).any(|_| {
        first.send(RequestId(1), Command::FreePorts { pairs: 2 }).unwrap();
        assert!(matches!(control.reply(), (_, Ok(EngineReply::Done))));
        control.try_open(&second, CallId(9), [&alice, &bob]).is_ok()
    });
    assert!(opened);
    assert_eq!(control.try_open(&first, CallId(1), [&alice, &bob]), Err(CommandError::NoPorts));
    first.stop();
    second.stop();
}
