//! `trestle load` against a whole Trestle over real sockets on the loopback.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::net::SocketAddr;
use std::time::Duration;

use trestle_server::Server;
use trestle_server::config::{Config, Settings};
use trestle_tools::load::drive::{self, LoadRun};
use trestle_tools::load::workload::Workload;
use trestle_tools::load::{EngineArgs, LoadArgs, LoadReport, set_up};

/// Engine, WhatsApp and phone, each at an address that no other test has.
const IPS: [&str; 3] = ["127.0.9.1", "127.0.9.2", "127.0.9.3"];

fn start(change: impl FnOnce(&mut Settings)) -> Server {
    let mut settings = Settings::default();
    settings.media.interface = vec![format!("wa/{}", IPS[0]), format!("sip/{}", IPS[0])];
    settings.listen.listen_ng = vec![format!("{}:0", IPS[0]).parse().unwrap()];
    // A machine that runs many tests at once is late; overload is not the subject here.
    settings.limits.max_lateness_ms = Duration::ZERO;
    change(&mut settings);
    Server::start(&Config::new(settings).unwrap()).unwrap()
}

fn args(server: &Server, work: Workload) -> LoadArgs {
    let SocketAddr::V4(ng) = server.ng_addr() else { panic!("not an IPv4 address") };
    let usual = LoadArgs::new(ng, work);
    LoadArgs {
        calls: 3,
        seconds: 1,
        warm_up: 0,
        engine: EngineArgs { direction: vec!["wa".to_owned(), "sip".to_owned()], ..usual.engine },
        whatsapp_ip: Some(IPS[1].parse().unwrap()),
        phone_ip: Some(IPS[2].parse().unwrap()),
        phones_per_port: 2,
        ..usual
    }
}

#[test]
fn every_work_comes_up_talks_both_ways_and_is_deleted() {
    let server = start(|_| {});
    for work in Workload::MEDIA {
        let args = args(&server, work);
        let mut stage = LoadRun::open(&args, 3).unwrap();
        let outcome = drive::talk(&args, &mut stage, 3, |_| {}).unwrap();
        let report = LoadReport::of(&args, 3, &outcome);
        assert!(report.is_complete(), "{work:?}: {report:?}");
        assert_eq!((outcome.counts.deleted, report.packets.sent), (3, 300), "{work:?}");
        // 50 packets of each of six streams. A machine that is very busy may lose some.
        for came in outcome.counts.came {
            assert!((100..=150).contains(&came), "{work:?}: {report:?}");
        }
        assert_eq!((report.packets.bad, report.packets.again), (0, 0), "{work:?}");
        let target = report.target.as_ref().unwrap();
        assert_eq!(target.pid, std::process::id(), "the engine is this process");
        let table = report.table();
        for word in [work.name(), "added delay", "us/packet", "kB/call", "late by"] {
            assert!(table.contains(word), "{word} is missing in\n{table}");
        }
    }
    server.stop();
}

#[test]
fn calls_are_set_up_at_a_given_rate() {
    let server = start(|_| {});
    for work in [Workload::SetUp, Workload::SetUpBridge] {
        let args = LoadArgs { rate: Some(20), ..args(&server, work) };
        let report = set_up::run(&args, |_, _| {}).unwrap();
        let [step] = &report.steps[..] else { panic!("{report:?}") };
        assert_eq!((step.begun, step.up, step.rate), (20, 20, 20), "{report:?}");
        assert_eq!(step.set_up_ms.dtls.is_some(), work == Workload::SetUpBridge);
        assert!(report.table().contains("calls/s"));
    }
    server.stop();
}

#[test]
fn calls_that_the_engine_refuses_are_counted_with_its_reason() {
    let server = start(|settings| settings.limits.max_sessions = Some(1));
    let args = args(&server, Workload::RtpRtp);
    let mut stage = LoadRun::open(&args, 3).unwrap();
    let outcome = drive::talk(&args, &mut stage, 3, |_| {}).unwrap();
    let report = LoadReport::of(&args, 3, &outcome);
    assert!(!report.is_complete());
    assert_eq!((report.calls, report.packets.sent), (1, 100), "{report:?}");
    assert_eq!(report.failed.get("Offer: Parallel session limit reached"), Some(&2), "{report:?}");
    server.stop();
}
