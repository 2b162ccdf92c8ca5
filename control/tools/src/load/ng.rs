//! [`Client`]: an ng client without a socket. It makes cookies, repeats commands, and finds the command of a reply.

use std::collections::HashMap;

use serde_json::Value;

use super::pace::Ns;

/// After this time without a reply, a command is sent again, as by proxies.
const REPEAT_NS: Ns = 1_000_000_000;
/// A command is sent this many times at most.
const TRIES: u32 = 5;

/// The verb of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoadVerb {
    /// `offer`
    Offer,
    /// `answer`
    Answer,
    /// `delete`
    Delete,
}

/// A command that has a reply, or whose reply did not arrive in time.
#[derive(Debug)]
pub struct CommandOutcome {
    /// Number of the call.
    pub call: usize,
    /// The verb.
    pub verb: LoadVerb,
    /// The reply; `None` if it did not arrive, or is not JSON.
    pub reply: Option<Value>,
    /// Time from the first transmission to the reply, or to the timeout.
    pub took: Ns,
}

#[derive(Debug)]
struct Pending {
    call: usize,
    verb: LoadVerb,
    datagram: Vec<u8>,
    first_at: Ns,
    sent_at: Ns,
    tries: u32,
}

/// An ng client.
#[derive(Debug, Default)]
pub struct Client {
    run: String,
    cookies: u64,
    pending: HashMap<u64, Pending>,
    /// Replies that no command waits for: they are late, or repeated.
    pub strays: u64,
    /// Number of retransmissions of commands.
    pub repeats: u64,
}

impl Client {
    /// `run` is the prefix of the cookies. Each client needs another one.
    pub fn new(run: &str) -> Self {
        Self { run: run.to_owned(), ..Self::default() }
    }

    /// Adds a command. Returns its datagram, which the caller sends.
    pub fn ask(&mut self, now: Ns, call: usize, verb: LoadVerb, request: &Value) -> Vec<u8> {
        self.cookies += 1;
        let datagram = format!("{}_{} {request}", self.run, self.cookies).into_bytes();
        let pending = Pending { call, verb, datagram: datagram.clone(), first_at: now, sent_at: now, tries: 1 };
        self.pending.insert(self.cookies, pending);
        datagram
    }

    /// Number of commands that wait for a reply.
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// Handles a reply. Returns `None` if no command waits for it.
    pub fn handle_datagram(&mut self, now: Ns, datagram: &[u8]) -> Option<CommandOutcome> {
        let space = datagram.iter().position(|byte| *byte == b' ')?;
        let cookie = std::str::from_utf8(&datagram[..space]).ok()?.strip_prefix(&self.run)?.strip_prefix('_')?;
        let Some(pending) = cookie.parse().ok().and_then(|cookie: u64| self.pending.remove(&cookie)) else {
            self.strays += 1;
            return None;
        };
        let reply = serde_json::from_slice(&datagram[space..]).ok();
        let took = now.saturating_sub(pending.first_at);
        Some(CommandOutcome { call: pending.call, verb: pending.verb, reply, took })
    }

    /// Adds to `again` the datagrams that are to be sent again, and returns the commands that have timed out. The caller calls it
    /// several times a second.
    pub fn handle_timeout(&mut self, now: Ns, again: &mut Vec<Vec<u8>>) -> Vec<CommandOutcome> {
        let late = |pending: &Pending| now.saturating_sub(pending.sent_at) >= REPEAT_NS;
        for pending in self.pending.values_mut().filter(|pending| late(pending) && pending.tries < TRIES) {
            pending.tries += 1;
            pending.sent_at = now;
            self.repeats += 1;
            again.push(pending.datagram.clone());
        }
        let lost: Vec<u64> =
            self.pending.iter().filter(|(_, pending)| late(pending)).map(|(cookie, _)| *cookie).collect();
        let outcome = |pending: Pending| {
            let Pending { call, verb, first_at, .. } = pending;
            CommandOutcome { call, verb, reply: None, took: now - first_at }
        };
        lost.iter().filter_map(|cookie| self.pending.remove(cookie)).map(outcome).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reply_ends_its_command_once() {
        let mut client = Client::new("r");
        let first = client.ask(10, 7, LoadVerb::Offer, &json!({"command": "offer"}));
        assert_eq!(first, br#"r_1 {"command":"offer"}"#);
        client.ask(20, 8, LoadVerb::Delete, &json!({}));
        let outcome = client.handle_datagram(35, br#"r_1 {"result":"ok"}"#).unwrap();
        assert_eq!((outcome.call, outcome.verb, outcome.took), (7, LoadVerb::Offer, 25));
        assert_eq!(outcome.reply.unwrap()["result"], "ok");
        assert!(client.handle_datagram(36, br#"r_1 {"result":"ok"}"#).is_none());
        assert!(client.handle_datagram(36, b"other_2 {}").is_none());
        assert_eq!((client.strays, client.waiting()), (1, 1));
    }

    #[test]
    fn a_command_without_a_reply_is_sent_five_times_and_then_times_out() {
        let mut client = Client::new("r");
        let datagram = client.ask(0, 3, LoadVerb::Answer, &json!({}));
        let mut again = Vec::new();
        for second in 1..=4 {
            assert!(client.handle_timeout(second * REPEAT_NS - 1, &mut again).is_empty());
            assert_eq!(again.len() as u64, second - 1);
            assert!(client.handle_timeout(second * REPEAT_NS, &mut again).is_empty());
        }
        assert_eq!(again, vec![datagram; 4]);
        let outcomes = client.handle_timeout(5 * REPEAT_NS, &mut again);
        assert!(matches!(outcomes[..], [CommandOutcome { call: 3, verb: LoadVerb::Answer, reply: None, .. }]));
        assert_eq!((client.waiting(), again.len(), client.repeats), (0, 4, 4));
    }
}
