//! How long a call is held up on its way through Kamailio, with Trestle and without. Printed, not asserted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::agent::Agent;
use crate::line;
use crate::stack::{CALLEE, CALLER, Flags, Stack};

/// Calls of each kind.
const CALLS: usize = 300;

#[test]
fn offers_and_answers_hardly_hold_a_call_up() {
    const TO_BOTH: &str = "replace-origin ICE=remove RTP/AVP";
    let stack = Stack::start(Flags::new(TO_BOTH, TO_BOTH));
    let (mut caller, mut callee) = (Agent::new(&stack.place, CALLER), Agent::new(&stack.place, CALLEE));
    let phones = [CALLER, CALLEE].map(|n| line::phone(&stack.place, n, 440.0));
    let mut measured: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for n in 0..2 * CALLS {
        let (uri, invite_kind, accept_kind) = if n % 2 == 0 {
            (stack.callee_uri(), "INVITE in to INVITE out, with offer", "200 in to 200 out, with answer")
        } else {
            let uri = stack.callee_uri().replace("callee@", "unrelayed@");
            (uri, "INVITE in to INVITE out, without", "200 in to 200 out, without")
        };
        let offer = phones[0].with(|phone, _| phone.offer());
        let mut dialogue = caller.dialogue(&uri);
        let since = Instant::now();
        caller.invite(&mut dialogue, &offer);
        let invite = callee.expect("INVITE");
        measured.entry(invite_kind).or_default().push(since.elapsed());
        let answer = phones[1].with(|phone, _| phone.offer());
        let since = Instant::now();
        callee.reply(&invite, "200 OK", &format!("callee{n}"), &answer);
        caller.accepted(&mut dialogue);
        measured.entry(accept_kind).or_default().push(since.elapsed());
        callee.expect("ACK");
        caller.bye(&mut dialogue);
        callee.expect("BYE");
    }
    let exchanges = stack.tap.exchanges();
    for (command, kind) in [("offer", "Trestle: offer"), ("answer", "Trestle: answer"), ("delete", "Trestle: delete")] {
        let took =
            exchanges.iter().filter(|exchange| exchange.command() == command).filter_map(|exchange| exchange.took);
        measured.entry(kind).or_default().extend(took);
    }
    for (kind, mut times) in measured {
        times.sort();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        println!("{kind}: n {}, median {:?}, p99 {:?}, longest {:?}", times.len(), at(0.5), at(0.99), at(1.0));
        assert!(times.len() >= CALLS, "{kind} happened {} times", times.len());
    }
    stack.assert_done();
}
