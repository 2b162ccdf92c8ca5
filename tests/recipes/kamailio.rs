//! Kamailio's recipe, in Debian's Kamailio.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use trestle_peers::{Flavour, Meta, MetaOptions, Phone, PhoneOptions};

use crate::pbx::Pbx;
use crate::place::{Place, Trestle};

struct Proxy {
    process: Process,
    trestle: Trestle,
    /// WhatsApp's end of the signalling, and the PBX's.
    whatsapp: Pbx,
    pbx: Pbx,
    meta: Meta,
    phone: Phone,
    _place: Place,
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Its children end with it if it is asked to end, and not if it is killed.
        let asked = Command::new("kill").arg(self.0.id().to_string()).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _ = self.0.kill();
        }
        let _ = self.0.wait();
    }
}

impl Proxy {
    fn start(flavour: Flavour) -> Self {
        let place = Place::new();
        let trestle = Trestle::start(&place);
        let (mut whatsapp, mut pbx) = (Pbx::bind(place.at(5, 5_060)), Pbx::bind(place.at(3, 5_060)));
        let defined = [
            format!("LISTEN=udp:{}", place.at(2, 5_060)),
            format!("PBX=\"sip:{}\"", pbx.address()),
            format!("PBX_IP=\"{}\"", pbx.address().ip()),
            format!("WHATSAPP=\"sip:{}\"", whatsapp.address()),
            format!("TRESTLE=\"udp:{}\"", trestle.ng()),
        ];
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/recipes/kamailio/kamailio.cfg");
        let process = Command::new("kamailio")
            .env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()))
            .args(["-DD", "-E", "-m", "64", "-M", "8", "-f"])
            .arg(config)
            .arg("-Y")
            .arg(place.directory())
            .args(defined.iter().flat_map(|defined| ["-A", defined]))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(place.log())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start kamailio: {error}. Run .ci/install"));
        whatsapp.meet(place.at(2, 5_060));
        pbx.meet(place.at(2, 5_060));
        let now = Instant::now();
        let meta = Meta::new(now, MetaOptions::new(place.at(5, 3_480), flavour));
        let phone = Phone::new(now, PhoneOptions::new(place.at(3, 4_000)));
        let mut proxy = Self { process: Process(process), trestle, whatsapp, pbx, meta, phone, _place: place };
        proxy.pbx.wait_for_the_other();
        proxy
    }

    /// Trestle has no call any more, and no message is left that the test has not read.
    fn end(mut self) {
        self.trestle.end();
        self.pbx.expect_nothing_more();
        self.whatsapp.expect_nothing_more();
        assert!(self.process.0.try_wait().unwrap().is_none(), "kamailio has ended");
    }
}

#[test]
fn whatsapp_calls_through_kamailio() {
    for flavour in [Flavour::WebRtc, Flavour::Sdes] {
        let mut proxy = Proxy::start(flavour);
        let offer = proxy.meta.offer(Instant::now()).unwrap();
        let invite = proxy.whatsapp.invite("+15550783881", &offer);
        proxy.whatsapp.expect_status(100);
        let ringing = proxy.pbx.expect("INVITE");
        assert!(ringing.body.contains(" RTP/AVP "), "{}", ringing.body);
        let answer = proxy.phone.answer(Instant::now(), &ringing.body).unwrap();
        proxy.pbx.respond(&ringing, 200, &answer);
        let ok = proxy.whatsapp.expect_status(200);
        proxy.meta.accept(Instant::now(), &ok.body).unwrap_or_else(|error| panic!("{error}\n{}", ok.body));
        proxy.whatsapp.acknowledge(&invite, &ok);
        proxy.pbx.expect("ACK");
        proxy.whatsapp.send_bye(&invite, &ok);
        let bye = proxy.pbx.expect("BYE");
        proxy.pbx.respond(&bye, 200, "");
        proxy.whatsapp.expect_status(200);
        proxy.end();
    }
}

#[test]
fn the_pbx_calls_through_kamailio_with_a_password() {
    let mut proxy = Proxy::start(Flavour::WebRtc);
    let offer = proxy.phone.offer();
    let invite = proxy.pbx.invite("+16315553601", &offer);
    proxy.pbx.expect_status(100);
    let asked = proxy.whatsapp.expect("INVITE");
    proxy.whatsapp.respond(&asked, 407, "");
    proxy.whatsapp.expect("ACK");
    let question = proxy.pbx.expect_status(407);
    proxy.pbx.acknowledge_failure(&invite, &question);
    let invite = proxy.pbx.invite_again(&invite);
    proxy.pbx.expect_status(100);
    let ringing = proxy.whatsapp.expect("INVITE");
    let answer = proxy.meta.answer(Instant::now(), &ringing.body);
    let answer = answer.unwrap_or_else(|error| panic!("{error}\n{}", ringing.body));
    proxy.whatsapp.respond(&ringing, 200, &answer);
    let ok = proxy.pbx.expect_status(200);
    proxy.phone.accept(Instant::now(), &ok.body).unwrap();
    proxy.pbx.acknowledge(&invite, &ok);
    proxy.whatsapp.expect("ACK");
    proxy.pbx.send_bye(&invite, &ok);
    let bye = proxy.whatsapp.expect("BYE");
    proxy.whatsapp.respond(&bye, 200, "");
    proxy.pbx.expect_status(200);
    proxy.end();
}

#[test]
fn a_call_that_fails_leaves_nothing() {
    let mut proxy = Proxy::start(Flavour::WebRtc);
    let offer = proxy.phone.offer();
    let invite = proxy.pbx.invite("+16315553601", &offer);
    proxy.pbx.expect_status(100);
    let asked = proxy.whatsapp.expect("INVITE");
    proxy.whatsapp.respond(&asked, 486, "");
    proxy.whatsapp.expect("ACK");
    let busy = proxy.pbx.expect_status(486);
    proxy.pbx.acknowledge_failure(&invite, &busy);
    proxy.end();
}
