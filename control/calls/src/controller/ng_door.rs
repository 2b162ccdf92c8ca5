//! Which requests must be signed (`ng-secret-file`, `ng-unsigned`), and the signatures of replies and events.

use std::fmt;
use std::time::Instant;

use ipnet::IpNet;
use trestle_core::Epoch;
use trestle_ng::signature::{Passed, SignatureRefusal, Signed};
use trestle_ng::{Cookie, Doorkeeper, NgSecrets};

use super::counters::DroppedRequest;
use super::refusal_log::RefusalLog;
use super::reply_to::Origin;

/// Which requests are taken.
#[derive(Debug, Clone)]
pub struct SignaturePolicy {
    /// A signed request is signed with one of these.
    pub secrets: NgSecrets,
    /// Sources from which unsigned requests are taken all the same.
    pub unsigned: Vec<UnsignedSource>,
}

impl SignaturePolicy {
    /// True if each request of a network must be signed.
    pub fn has_no_open_network(&self) -> bool {
        self.unsigned.iter().all(|source| *source == UnsignedSource::Unix)
    }
}

/// A source whose requests need no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnsignedSource {
    /// The addresses of a network.
    Network(IpNet),
    /// The Unix socket.
    Unix,
}

impl UnsignedSource {
    fn has(self, origin: Origin) -> bool {
        match (self, origin) {
            (Self::Unix, Origin::Unix) => true,
            (Self::Unix, _) | (Self::Network(_), Origin::Unix) => false,
            (Self::Network(net), _) => net.contains(&origin.peer().ip().to_canonical()),
        }
    }
}

/// Checks requests, and signs what is sent back.
#[derive(Debug)]
pub(super) struct NgDoor {
    /// `None`: no request is signed.
    doorkeeper: Option<Doorkeeper>,
    unsigned: Vec<UnsignedSource>,
    /// The wall clock as it is now. It follows a clock that is set, as those of clients do.
    wall_clock: Epoch,
    refusals: RefusalLog,
}

/// A request that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Admitted {
    /// How its reply is signed.
    pub(super) signed: Option<Signed>,
    /// It must not be executed again.
    pub(super) is_repetition: bool,
}

/// A request that is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefusedRequest {
    /// It has no reply.
    Dropped(DroppedRequest),
    /// It has a good signature of another time; the error reply is signed alike. Its sender may have a wrong clock.
    Late(Signed),
    /// It is signed, and there is no secret.
    NoSecret,
}

impl NgDoor {
    /// Takes every request.
    pub(super) fn new(wall_clock: Epoch) -> Self {
        Self { doorkeeper: None, unsigned: Vec::new(), wall_clock, refusals: RefusalLog::new("ng") }
    }

    /// Takes another policy. The requests that were received so far remain known.
    pub(super) fn reconfigure(&mut self, now: Instant, policy: Option<SignaturePolicy>) {
        let Some(SignaturePolicy { secrets, unsigned }) = policy else {
            (self.doorkeeper, self.unsigned) = (None, Vec::new());
            return;
        };
        self.unsigned = unsigned;
        match &mut self.doorkeeper {
            Some(doorkeeper) => doorkeeper.set_secrets(secrets),
            None => self.doorkeeper = Some(Doorkeeper::new(secrets, self.wall_clock.unix_at(now))),
        }
    }

    pub(super) fn set_wall_clock(&mut self, wall_clock: Epoch) {
        self.wall_clock = wall_clock;
    }

    /// Decides about a request.
    ///
    /// # Errors
    /// [`RefusedRequest`]: it has no effect.
    pub(super) fn check(
        &mut self,
        now: Instant,
        origin: Origin,
        cookie: &Cookie,
        signature: &[u8],
        body: &[u8],
    ) -> Result<Admitted, RefusedRequest> {
        let Some(doorkeeper) = &mut self.doorkeeper else {
            return if signature.is_empty() { Ok(Admitted::default()) } else { Err(RefusedRequest::NoSecret) };
        };
        if signature.is_empty() && self.unsigned.iter().any(|source| source.has(origin)) {
            return Ok(Admitted::default());
        }
        let unix = self.wall_clock.unix_at(now);
        let refusal = match doorkeeper.check(unix, origin.peer(), cookie.as_bytes(), signature, body) {
            Ok(Passed { signed, is_repetition }) => return Ok(Admitted { signed: Some(signed), is_repetition }),
            Err(refusal) => refusal,
        };
        self.refusals.note(now, origin.peer(), Shown(refusal));
        Err(match refusal {
            SignatureRefusal::Unsigned => RefusedRequest::Dropped(DroppedRequest::Unsigned),
            SignatureRefusal::BadSignature => RefusedRequest::Dropped(DroppedRequest::BadSignature),
            SignatureRefusal::Replayed => RefusedRequest::Dropped(DroppedRequest::Replayed),
            SignatureRefusal::Late(_, signed) => RefusedRequest::Late(signed),
        })
    }

    /// The reply to a request, with its cookie and, if the request was signed, a signature.
    pub(super) fn frame(&self, cookie: &Cookie, signed: Option<Signed>, body: &[u8]) -> Vec<u8> {
        let signature = signed.and_then(|signed| self.secrets()?.sign_reply(signed, cookie.as_bytes(), body));
        match signature {
            Some(signature) => cookie.frame(&[signature.as_bytes(), b" ", body].concat()),
            None => cookie.frame(body),
        }
    }

    /// An event for a subscriber whose request was `signed`.
    pub(super) fn event(&self, now: Instant, signed: Option<Signed>, event: &[u8]) -> Vec<u8> {
        let unix = self.wall_clock.unix_at(now);
        match signed.and_then(|signed| self.secrets()?.sign_event(signed, unix, event)) {
            Some(signature) => [signature.as_bytes(), b" ", event].concat(),
            None => event.to_vec(),
        }
    }

    fn secrets(&self) -> Option<&NgSecrets> {
        self.doorkeeper.as_ref().map(Doorkeeper::secrets)
    }
}

/// A refusal as the log shows it.
struct Shown(SignatureRefusal);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            SignatureRefusal::Unsigned => {
                f.write_str("request refused: it is not signed; give the client the secret of ng-secret-file")
            }
            SignatureRefusal::BadSignature => {
                f.write_str("request refused: it is not signed with a secret of ng-secret-file")
            }
            SignatureRefusal::Replayed => f.write_str("request refused: a copy of a signed request"),
            SignatureRefusal::Late(age_ms, _) => write!(
                f,
                "request refused: it was signed {} s {} the present time of this machine; compare the clocks",
                age_ms.unsigned_abs() / 1_000,
                if age_ms < 0 { "after" } else { "before" }
            ),
        }
    }
}
