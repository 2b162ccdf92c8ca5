//! Requests as they come in and replies as they go out: frames, the cache of replies for retransmits, and their counters.

use std::collections::BTreeSet;
use std::time::Instant;

use trestle_ng::command::{Request, RequestError, Verb, verb_names};
use trestle_ng::value::{Dict, Value};
use trestle_ng::{Cookie, Encoding, FrameError, Replay, Reply, Seen, frame, signature};

use super::counters::{DroppedRequest, Tally};
use super::ng_door::{Admitted, NgDoor, RefusedRequest};
use super::reply_to::{Origin, ReplyTo};
use super::{ControllerOutput, Outbox};

/// Characters of an unknown command that the warning repeats.
const COMMAND_SHOWN_MAX: usize = 40;

/// Errors of signed requests. The part before the colon is a contract.
const LATE_SIGNATURE: &str = "Late signature: compare the clocks";
const NO_SECRET: &str = "Unknown signature: this Trestle has no ng-secret-file";

/// Different warnings that are logged for clients which do not read them.
const LOGGED_WARNINGS_MAX: usize = 256;

/// Reads requests, writes replies, and replays the reply to a retransmitted request.
#[derive(Debug)]
pub(super) struct NgEndpoint {
    pub(super) door: NgDoor,
    replay: Replay,
    /// Requests understood, by verb.
    pub(super) understood: Tally<&'static str>,
    /// Error replies, by verb.
    pub(super) errors: Tally<&'static str>,
    /// Requests that were seen before.
    pub(super) retransmits: u64,
    /// Messages without a reply.
    pub(super) dropped: Tally<DroppedRequest>,
    /// Warnings that were logged, at most [`LOGGED_WARNINGS_MAX`].
    logged_warnings: BTreeSet<String>,
}

impl NgEndpoint {
    /// Has received nothing yet.
    pub(super) fn new(door: NgDoor) -> Self {
        Self {
            door,
            replay: Replay::default(),
            understood: Tally::default(),
            errors: Tally::default(),
            retransmits: 0,
            dropped: Tally::default(),
            logged_warnings: BTreeSet::new(),
        }
    }

    /// Reads a datagram. `None` if it is a retransmit or not a valid request; then the reply is already in `outbox`.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        origin: Origin,
        bytes: &[u8],
        outbox: &mut Outbox,
    ) -> Option<(ReplyTo, Verb)> {
        let Some((cookie, signed_body)) = frame::split(bytes) else {
            self.dropped.add(DroppedRequest::NoCookie);
            return None;
        };
        let (signature, body) = signature::split(signed_body);
        let encoding = Encoding::of(body).unwrap_or_default();
        let mut reply_to = ReplyTo::new(origin, cookie, encoding);
        match self.door.check(now, origin, &reply_to.cookie, signature, body) {
            Ok(Admitted { signed, is_repetition }) => {
                reply_to.signed = signed;
                // Its reply is not kept any more, so it cannot be distinguished from a copy.
                if is_repetition && !self.replay.knows(origin.peer(), &reply_to.cookie) {
                    self.drop_request(DroppedRequest::Replayed, origin, reply_to.cookie, outbox);
                    return None;
                }
            }
            Err(RefusedRequest::Dropped(reason)) => {
                self.drop_request(reason, origin, reply_to.cookie, outbox);
                return None;
            }
            Err(RefusedRequest::Late(signed)) => {
                self.dropped.add(DroppedRequest::LateSignature);
                reply_to.signed = Some(signed);
                self.reply_uncached(&reply_to, &Reply::error(LATE_SIGNATURE), outbox);
                return None;
            }
            Err(RefusedRequest::NoSecret) => {
                self.reply_uncached(&reply_to, &Reply::error(NO_SECRET), outbox);
                return None;
            }
        }
        if body.len() > frame::DATAGRAM_BYTES_MAX {
            // The reply is the same every time, so the body is not hashed for the cache.
            self.reply_uncached(&reply_to, &Reply::error(FrameError::TooLong.to_string()), outbox);
            return None;
        }
        match self.replay.begin(now, origin.peer(), &reply_to.cookie, body) {
            Seen::New => self.read(reply_to, body, outbox),
            Seen::InWork => {
                self.retransmits += 1;
                None
            }
            Seen::Done(reply) => {
                let bytes = self.door.frame(&reply_to.cookie, reply_to.signed, reply);
                self.retransmits += 1;
                outbox.push_back(ControllerOutput::Transmit { to: origin, bytes });
                None
            }
            Seen::Reused => {
                self.reply_uncached(&reply_to, &Reply::error("cookie-reused"), outbox);
                None
            }
        }
    }

    fn read(&mut self, mut reply_to: ReplyTo, body: &[u8], outbox: &mut Outbox) -> Option<(ReplyTo, Verb)> {
        let error = match frame::read(body) {
            Ok((_, dict)) => match Request::read(&dict) {
                Ok(request) => {
                    reply_to.warnings = request.warnings;
                    reply_to.verbose = request.verbose;
                    reply_to.verb = request.verb_name;
                    self.understood.add(reply_to.verb);
                    return Some((reply_to, request.verb));
                }
                Err(RequestError::UnknownCommand) => unknown_command(&dict),
                Err(error) => Reply::error(error.to_string()),
            },
            Err(FrameError::Json(detail)) => {
                let reply = Reply::error(FrameError::Json(detail.clone()).to_string());
                reply.with_warnings([detail.to_string()])
            }
            Err(error) => Reply::error(error.to_string()),
        };
        self.reply(reply_to, error, outbox);
        None
    }

    /// Sends the one reply to a request and keeps it for retransmits.
    pub(super) fn reply(&mut self, reply_to: ReplyTo, reply: Reply, outbox: &mut Outbox) {
        if !reply.is_success() {
            self.errors.add(reply_to.verb);
        }
        if reply_to.encoding == Encoding::Bencode {
            self.log_warnings(&reply_to);
        }
        let ReplyTo { origin, cookie, encoding, signed, warnings, .. } = reply_to;
        let body = reply.with_warnings(warnings).write(encoding);
        self.replay.finish(origin.peer(), &cookie, &body);
        outbox.push_back(ControllerOutput::Transmit { to: origin, bytes: self.door.frame(&cookie, signed, &body) });
    }

    /// A request gets no reply. The client of a connection is not to wait for one.
    fn drop_request(&mut self, reason: DroppedRequest, to: Origin, cookie: Cookie, outbox: &mut Outbox) {
        self.dropped.add(reason);
        if !matches!(to, Origin::Udp { .. }) {
            outbox.push_back(ControllerOutput::NoReply { to, cookie });
        }
    }

    /// A reply in bencode has no warnings, because proxies would not read them: each is logged once.
    fn log_warnings(&mut self, reply_to: &ReplyTo) {
        for warning in &reply_to.warnings {
            if self.logged_warnings.len() < LOGGED_WARNINGS_MAX && self.logged_warnings.insert(warning.clone()) {
                let peer = reply_to.origin.peer();
                tracing::warn!(%peer, verb = reply_to.verb, %warning, "not all of a request in bencode has an effect");
            }
        }
    }

    fn reply_uncached(&mut self, reply_to: &ReplyTo, reply: &Reply, outbox: &mut Outbox) {
        self.errors.add(reply_to.verb);
        let bytes = self.door.frame(&reply_to.cookie, reply_to.signed, &reply.write(reply_to.encoding));
        outbox.push_back(ControllerOutput::Transmit { to: reply_to.origin, bytes });
    }

    /// Drops replies that are too old to be asked for again.
    pub(super) fn expire(&mut self, now: Instant) {
        self.replay.expire(now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.replay.poll_timeout()
    }
}

fn unknown_command(dict: &Dict) -> Reply {
    let command = dict.get("command").and_then(Value::to_text).unwrap_or_default();
    let command: String = command.chars().take(COMMAND_SHOWN_MAX).collect();
    let known = verb_names().collect::<Vec<_>>().join(", ");
    let warning = format!("unknown command `{command}`; known are {known}");
    Reply::error(RequestError::UnknownCommand.to_string()).with_warnings([warning])
}
