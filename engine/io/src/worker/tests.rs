use std::net::{Ipv4Addr, SocketAddr};

use mio::{Events, Poll, Token, Waker};
use trestle_core::{CallId, DtlsIdentity, Reply};

use super::*;
use crate::ports::tests::{interface, unused_range};
use crate::socket;

fn config(range: PortRange) -> WorkerConfig {
    WorkerConfig {
        worker: 0,
        workers: 1,
        epoch: clock::sample_epoch(),
        identity: DtlsIdentity::generate().unwrap(),
        media_timeout: Duration::from_secs(60),
        interfaces: vec![interface(0)],
        range,
    }
}

struct Control {
    poll: Poll,
    inbox: Receiver<FromShard>,
    sender: Sender<FromShard>,
}

impl Control {
    fn new(capacity: usize) -> Self {
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let (sender, inbox) = mailbox::channel(capacity, waker);
        Self { poll, inbox, sender }
    }

    fn start(&self, range: PortRange) -> Worker {
        Worker::start(config(range), self.sender.clone()).unwrap()
    }

    /// The next message; a worker that says nothing for ten seconds fails the test.
    fn next(&mut self) -> ShardMessage {
        let mut events = Events::with_capacity(4);
        loop {
            if let Ok(from) = self.inbox.try_recv() {
                return from.message;
            }
            self.poll.poll(&mut events, Some(Duration::from_secs(10))).unwrap();
            assert!(!events.is_empty(), "the worker says nothing");
        }
    }
}

fn is_bound(range: PortRange) -> bool {
    range.rtp_ports().any(|port| socket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), 4096).is_err())
}

#[test]
fn a_worker_binds_its_stock_at_the_start_and_gives_it_back_when_it_stops() {
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
    assert!(error.to_string().starts_with("cannot bind a media port on 127.0.0.1: "), "{error}");
    first.stop();
}
#[test]
fn every_accepted_command_is_answered_even_if_the_control_thread_is_slow_to_read() {
    let mut control = Control::new(1);
    let worker = control.start(unused_range(1));
    for n in 0..50 {
        worker.send(RequestId(n), Command::Query { call: CallId(n) }).unwrap();
    }
    for n in 0..50 {
        let ShardMessage::Answer(answer) = control.next() else { panic!("no event was due") };
        assert_eq!(answer.0, RequestId(n));
        assert!(answer.1.is_err());
    }
    worker.send(RequestId(99), Command::Totals).unwrap();
    let ShardMessage::Answer(answer) = control.next() else { panic!("no event was due") };
    assert!(matches!(answer.1, Ok(Reply::Totals(_))));
    worker.stop();
}
