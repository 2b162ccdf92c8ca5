//! The signalling stack of a test: Kamailio, Trestle, and the wire between them.

use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

use crate::place::Place;
use crate::program::{Program, wait_until};
use crate::tap::Tap;
use crate::trestle::Trestle;

/// Hosts of a test's net.
pub(crate) const PROXY: u8 = 1;
pub(crate) const CALLER: u8 = 2;
pub(crate) const CALLEE: u8 = 3;
pub(crate) const OTHER_CALLEE: u8 = 4;
const MEDIA: u8 = 10;

/// Flags of `rtpengine_offer` and `rtpengine_answer`, as they stand in `kamailio.cfg`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flags {
    /// For calls and for the caller's re-INVITEs.
    pub(crate) offer_to_callee: &'static str,
    pub(crate) answer_to_caller: &'static str,
    /// For the callee's re-INVITEs.
    pub(crate) offer_to_caller: &'static str,
    pub(crate) answer_to_callee: &'static str,
}

impl Flags {
    /// The same flags for each offerer.
    pub(crate) const fn new(to_callee: &'static str, to_caller: &'static str) -> Self {
        Self {
            offer_to_callee: to_callee,
            answer_to_caller: to_caller,
            offer_to_caller: to_caller,
            answer_to_callee: to_callee,
        }
    }
}

/// What differs between tests beside flags.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Extras {
    /// Calls ring at [`OTHER_CALLEE`] too.
    pub(crate) forks: bool,
    /// Kamailio gives a silent Trestle up soon, and looks for it again soon.
    pub(crate) impatient: bool,
    /// Seconds for which Trestle remembers ended calls.
    pub(crate) delete_delay: u32,
}

/// Everything between the user agents. Dropped in this order.
pub(crate) struct Stack {
    kamailio: Program,
    pub(crate) tap: Tap,
    pub(crate) trestle: Trestle,
    pub(crate) place: Place,
}

impl Stack {
    pub(crate) fn start(flags: Flags) -> Self {
        Self::start_with(flags, Extras::default())
    }

    pub(crate) fn start_with(flags: Flags, extras: Extras) -> Self {
        let place = Place::new();
        let (ng, front) = ((place.ip(PROXY), 2_224).into(), (place.ip(PROXY), 2_223).into());
        let trestle = Trestle::start(ng, place.ip(MEDIA), extras.delete_delay);
        let tap = Tap::start(front, ng, place.path("ng.log"));
        let mut definitions = vec![
            format!("LISTEN=udp:{}", place.sip(PROXY)),
            format!("RELAY=\"udp:{front}\""),
            format!("CALLER_IP=\"{}\"", place.ip(CALLER)),
            format!("CALLEE=\"sip:{}@{}\"", crate::baresip::USER, place.sip(CALLEE)),
            format!("OFFER_TO_CALLEE=\"{}\"", flags.offer_to_callee),
            format!("ANSWER_TO_CALLER=\"{}\"", flags.answer_to_caller),
            format!("OFFER_TO_CALLER=\"{}\"", flags.offer_to_caller),
            format!("ANSWER_TO_CALLEE=\"{}\"", flags.answer_to_callee),
        ];
        if extras.forks {
            definitions.push(format!("OTHER_CALLEE=\"sip:{}@{}\"", crate::baresip::USER, place.sip(OTHER_CALLEE)));
        }
        if extras.impatient {
            definitions.extend(["RELAY_TIMEOUT_MS=100", "RELAY_TRIES=2", "RELAY_DISABLED_S=1"].map(str::to_owned));
        }
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("sip/kamailio.cfg");
        let run = place.path("");
        let mut arguments = vec!["-DD", "-E", "-m", "64", "-M", "8", "-f", config.to_str().unwrap()];
        arguments.extend(["-Y", run.to_str().unwrap()]);
        arguments.extend(definitions.iter().flat_map(|definition| ["-A", definition]));
        let kamailio = Program::start("kamailio", &arguments, &run, &place.path("kamailio.log"));
        let mut stack = Self { kamailio, tap, trestle, place };
        stack.wait_for_kamailio();
        stack
    }

    /// Until it answers.
    fn wait_for_kamailio(&mut self) {
        let socket = UdpSocket::bind((self.place.ip(PROXY), 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let (proxy, local) = (self.place.sip(PROXY), socket.local_addr().unwrap());
        let options = format!(
            "OPTIONS sip:{proxy} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK-ready\r\nMax-Forwards: 70\r\n\
             From: <sip:test@{local}>;tag=ready\r\nTo: <sip:{proxy}>\r\nCall-ID: ready\r\nCSeq: 1 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n"
        );
        wait_until("Kamailio's answer to OPTIONS", || {
            self.kamailio.assert_runs();
            socket.send_to(options.as_bytes(), proxy).unwrap();
            socket.recv(&mut [0; 2_048]).is_ok()
        });
    }

    /// Where to call.
    pub(crate) fn callee_uri(&self) -> String {
        format!("sip:callee@{}", self.place.sip(PROXY))
    }

    /// Nothing is left of any call, and Kamailio was never refused anything.
    pub(crate) fn assert_done(&self) {
        assert_eq!(self.trestle.calls(), [""; 0], "calls that were not deleted");
        for exchange in self.tap.exchanges() {
            let reply = exchange.reply.as_ref().unwrap_or_else(|| panic!("no reply to {}", exchange.request));
            assert_eq!(reply["result"], "ok", "{reply} to {}", exchange.request);
        }
    }
}
