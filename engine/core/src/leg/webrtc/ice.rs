//! ICE of one leg: one local candidate, one pair that is kept (RFC 8445). The only engine file that uses str0m.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use str0m::ice::{IceAgent, IceAgentEvent, IceCreds, StunMessage, StunPacket};
use str0m::net::Protocol;
use str0m::{Candidate, IceConnectionState};
use trestle_wire::stun;

use crate::plan::{IceCredentials, WebRtcRemote};
use crate::{CommandError, Discard, limits};

/// Pacing of checks (RFC 8445 Ta: 5 ms or more). There are few pairs, so it only determines how soon a nomination follows
/// its check.
const TIMING_ADVANCE: Duration = Duration::from_millis(5);

/// While connecting, a check is repeated at this interval. Meta's relay answers only once it has our SDP, at an unknown
/// moment; back-off would add to the time to voice.
const EAGER_RTO: Duration = Duration::from_millis(50);
/// How long checks are repeated that fast; after it they back off to [`PATIENT_RTO`].
const EAGER_FOR: Duration = Duration::from_secs(2);
const PATIENT_RTO: Duration = Duration::from_secs(1);
/// Checks before the agent gives up a pair while connecting; a new agent replaces it then. No more than 121: the agent doubles
/// [`EAGER_RTO`] for each check in 128 bits of milliseconds before it limits it, and panics when they overflow.
const CONNECTING_CHECKS: usize = 120;

/// Checks that may be in flight at once: at [`EAGER_RTO`] apart, enough for a round trip of 1.6 s.
const CHECKS_MAX: usize = 32;

/// Once connected a check is sent every 3 s as proof of consent (RFC 7675 asks for at most 5 s on average) and
/// unanswered ones follow faster. Consent is lost after about 23 s in which no check of ours is answered and no check of the peer's
/// arrives (RFC 7675 allows 30 s). A check of the peer's counts as well, other than in RFC 7675 5.1: it has our password, so the peer
/// wants this media, and some browsers stop answering checks in the middle of a call. A lite peer sends none.
// See docs/decisions/0023-consent.md.
const CONSENT_RTO_INITIAL: Duration = Duration::from_millis(250);
const CONSENT_RTO: Duration = Duration::from_secs(3);
const CONSENT_CHECKS: usize = 9;
/// After this long without a response nothing but checks may be sent (RFC 7675 5.1). On an established pair the agent does it, as
/// [`CONSENT_RTO`] describes; this is for a pair that is in use while its nomination, or that of its successor, is still unanswered.
const CONSENT_EXPIRES: Duration = Duration::from_secs(30);

/// The ICE agent of a leg.
#[derive(Debug)]
pub(super) struct Ice {
    agent: IceAgent,
    /// The bound address.
    local: Candidate,
    credentials: IceCredentials,
    remote: Option<WebRtcRemote>,
    /// Destination of media and DTLS. Set as soon as the first pair is valid and its nomination is sent, and kept while that pair
    /// is valid: Meta's relay must not see the candidate change in mid-call.
    selected: Option<SocketAddr>,
    /// When a check was last answered.
    answered_at: Option<Instant>,
    /// The latest checks sent. Over a long path several are in flight before the first is answered.
    checks: ArrayVec<SentCheck, CHECKS_MAX>,
    established: bool,
    /// Consent has expired: nothing but checks may be sent, and the pair is not used again before the peer has new
    /// credentials (RFC 7675 5.1).
    consent_lost: bool,
    /// Output that is not polled yet: a pair was selected, it is established, consent is lost.
    announcements: ArrayVec<IceOutput, 3>,
    checked: bool,
    /// The agent has used up its checks without a response; a new agent replaces it.
    exhausted: bool,
    patient_at: Option<Instant>,
}

/// A check that was sent.
#[derive(Debug)]
struct SentCheck {
    transaction: stun::TransactionId,
    to: SocketAddr,
    /// It has USE-CANDIDATE, and the pair was not established yet.
    nominates: bool,
}

/// A result of [`Ice::poll_output`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum IceOutput {
    /// Send this message.
    Transmit { to: SocketAddr, len: usize },
    /// A pair is valid, and the check that nominates it is the next datagram: DTLS may start (RFC 8445 12.1).
    Selected,
    /// The nomination is answered.
    Established,
    /// Consent is lost, or was not regained.
    Disconnected,
}

impl Ice {
    /// An agent with `local` (a bound address) as its only candidate.
    ///
    /// # Errors
    /// [`CommandError::BadPlan`] if `local` cannot be an ICE candidate.
    pub(super) fn new(local: SocketAddr, credentials: &IceCredentials) -> Result<Self, CommandError> {
        let local = Candidate::host(local, Protocol::Udp)
            .map_err(|_| CommandError::BadPlan("the interface address cannot be an ICE candidate"))?;
        Ok(Self {
            agent: new_agent(&local, credentials),
            local,
            credentials: credentials.clone(),
            remote: None,
            selected: None,
            answered_at: None,
            checks: ArrayVec::new(),
            established: false,
            consent_lost: false,
            announcements: ArrayVec::new(),
            checked: false,
            exhausted: false,
            patient_at: None,
        })
    }

    /// Sets the values of the peer's SDP. New credentials mean an ICE restart: a new agent, while media continues over the
    /// old pair until the new one is nominated.
    pub(super) fn set_remote(&mut self, now: Instant, credentials: &IceCredentials, remote: &WebRtcRemote) {
        if self.remote.as_ref().is_some_and(|known| known.credentials == remote.credentials) {
            // The call is signalled again: at that moment a peer that has not answered so far becomes ready.
            self.check_eagerly(now);
            return;
        }
        self.credentials = credentials.clone();
        if self.remote.replace(remote.clone()).is_some() {
            self.agent = new_agent(&self.local, credentials);
        }
        self.begin_checks(remote);
        self.check_eagerly(now);
        self.agent.handle_timeout(now);
    }

    fn begin_checks(&mut self, remote: &WebRtcRemote) {
        self.agent.set_controlling(remote.controlling);
        let IceCredentials { ufrag, pwd } = &remote.credentials;
        self.agent.set_remote_credentials(IceCreds { ufrag: ufrag.clone(), pass: pwd.to_string() });
        usable_candidates(self.local.addr(), remote)
            .into_iter()
            .for_each(|candidate| self.agent.add_remote_candidate(candidate));
        self.checks.clear();
        self.established = false;
        self.exhausted = false;
        if std::mem::take(&mut self.consent_lost) {
            self.selected = None;
        }
    }

    fn check_eagerly(&mut self, now: Instant) {
        if !self.established {
            // The peer chooses these addresses: more of them must not mean more datagrams. Meta has one.
            let candidates = self.agent.remote_candidates().count().max(1) as u32;
            self.agent.set_max_stun_rto(EAGER_RTO * candidates);
            self.patient_at = Some(now + EAGER_FOR);
        }
    }

    /// Takes a STUN message. Only one with our credentials and a valid MESSAGE-INTEGRITY has an effect.
    ///
    /// # Errors
    /// [`Discard::Malformed`] if it is not a STUN message, [`Discard::ForeignSource`] if it is a response from another address
    /// than its check went to, or if the agent refuses it.
    pub(super) fn handle_stun(&mut self, now: Instant, source: SocketAddr, bytes: &[u8]) -> Result<(), Discard> {
        let head = stun::Head::parse(bytes).map_err(|_| Discard::Malformed)?;
        let message = StunMessage::parse(bytes).map_err(|_| Discard::Malformed)?;
        let answered = match head.class {
            stun::Class::Success | stun::Class::Error => {
                self.checks.iter().find(|check| check.transaction == head.transaction)
            }
            stun::Class::Request | stun::Class::Indication => None,
        };
        // A response must come from where the check went (RFC 8445 7.2.5.2.1). A host with several addresses may respond from
        // another one, and would send its media from there: its other candidate is the pair that works.
        if answered.is_some_and(|check| (check.to.ip(), check.to.port()) != (source.ip(), source.port())) {
            return Err(Discard::ForeignSource);
        }
        let nominated = head.class == stun::Class::Success && answered.is_some_and(|check| check.nominates);
        let packet = StunPacket { proto: Protocol::Udp, source, destination: self.local.addr(), message };
        if !self.agent.handle_packet(now, packet) {
            return Err(Discard::HandshakeRefused);
        }
        if head.class == stun::Class::Success {
            self.answered_at = Some(now);
        }
        if nominated {
            self.checks.clear();
            self.establish();
        }
        self.agent.handle_timeout(now);
        Ok(())
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.patient_at.is_some_and(|at| at <= now) {
            self.patient_at = None;
            if !self.established {
                self.agent.set_max_stun_rto(PATIENT_RTO);
            }
        }
        if self.consent_until().is_some_and(|until| until <= now) {
            self.lose_consent();
        }
        if self.exhausted
            && let Some(remote) = self.remote.clone()
        {
            // A phone may ring for longer than the agent checks; the controller ends the call, not the engine.
            self.agent = new_agent(&self.local, &self.credentials);
            self.agent.set_max_stun_rto(PATIENT_RTO);
            self.begin_checks(&remote);
        }
        self.agent.handle_timeout(now);
    }

    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        let own = crate::time::soonest(self.patient_at, self.consent_until());
        crate::time::soonest(self.agent.poll_timeout(), own)
    }

    /// When consent ends unless a check is answered; `None` while the agent tracks consent (the pair is established), or
    /// there is none.
    fn consent_until(&self) -> Option<Instant> {
        if self.established || self.selected().is_none() {
            return None;
        }
        self.answered_at.map(|at| at + CONSENT_EXPIRES)
    }

    fn lose_consent(&mut self) {
        self.established = false;
        self.consent_lost = true;
        self.announce(IceOutput::Disconnected);
    }

    fn announce(&mut self, output: IceOutput) {
        // Only an output that is repeated between two polls does not fit, and one copy is enough.
        let _ = self.announcements.try_push(output);
    }

    /// The next output; a message is written to the front of `buf`.
    pub(super) fn poll_output(&mut self, buf: &mut [u8]) -> Option<IceOutput> {
        while let Some(event) = self.agent.poll_event() {
            match event {
                IceAgentEvent::NominatedSend { destination, .. } => self.nominated(destination),
                IceAgentEvent::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                    if self.established {
                        self.lose_consent();
                    } else {
                        // A pair that has lost consent is not checked again with the same credentials.
                        self.exhausted = !self.consent_lost;
                    }
                }
                IceAgentEvent::IceConnectionStateChange(_)
                | IceAgentEvent::IceRestart(_)
                | IceAgentEvent::DiscoveredRecv { .. } => {}
            }
        }
        let Some(transmit) = self.agent.poll_transmit() else { return self.announcements.pop_at(0) };
        let bytes: &[u8] = &transmit.contents;
        if let Ok(head) = stun::Head::parse(bytes)
            && head.class == stun::Class::Request
        {
            self.checked = true;
            if self.checks.is_full() {
                self.checks.remove(0);
            }
            self.checks.push(SentCheck {
                transaction: head.transaction,
                to: transmit.destination,
                nominates: head.use_candidate && !self.established,
            });
        }
        let len = bytes.len().min(buf.len());
        buf[..len].copy_from_slice(&bytes[..len]);
        Some(IceOutput::Transmit { to: transmit.destination, len })
    }

    /// True once the first check is sent.
    pub(super) fn has_checked(&self) -> bool {
        self.checked
    }

    /// Destination of media and DTLS; `None` once consent is lost.
    pub(super) fn selected(&self) -> Option<SocketAddr> {
        self.selected.filter(|_| !self.consent_lost)
    }

    /// True if the peer never sends checks of its own (ICE-lite).
    pub(super) fn peer_is_lite(&self) -> bool {
        self.remote.as_ref().is_some_and(|remote| remote.lite)
    }

    /// True if `source` has passed a check: the selected pair, or another valid one, since browsers send from two or three at
    /// the start. DTLS and media are accepted only from such a source.
    pub(super) fn is_valid_source(&self, source: SocketAddr) -> bool {
        self.selected == Some(source) || self.agent.has_viable_remote_candidate(source)
    }

    fn nominated(&mut self, destination: SocketAddr) {
        let lives = self.selected.is_some_and(|selected| self.agent.has_viable_remote_candidate(selected));
        if self.consent_lost || self.established && (self.selected == Some(destination) || lives) {
            return;
        }
        self.selected = Some(destination);
        self.announce(IceOutput::Selected);
        // The peer answers. The repetition of a lost nomination must not wait for the interval of an absent peer.
        self.agent.set_max_stun_rto(EAGER_RTO);
        self.patient_at = None;
        if self.agent.controlling() {
            // One pair from now on: the others must neither be checked nor nominated later.
            let others: Vec<Candidate> =
                self.agent.remote_candidates().filter(|candidate| candidate.addr() != destination).collect();
            others.iter().for_each(|other| {
                self.agent.invalidate_candidate(other);
            });
        } else {
            // The peer controls: its USE-CANDIDATE and our own successful check are the nomination.
            self.establish();
        }
    }

    fn establish(&mut self) {
        if !self.established && !self.consent_lost {
            self.established = true;
            self.announce(IceOutput::Established);
            self.patient_at = None;
            self.agent.set_initial_stun_rto(CONSENT_RTO_INITIAL);
            self.agent.set_max_stun_rto(CONSENT_RTO);
            self.agent.set_max_stun_retransmits(CONSENT_CHECKS);
        }
    }
}

fn new_agent(local: &Candidate, credentials: &IceCredentials) -> IceAgent {
    let IceCredentials { ufrag, pwd } = credentials;
    let mut agent = IceAgent::with_hmac(
        IceCreds { ufrag: ufrag.clone(), pass: pwd.to_string() },
        str0m::crypto::from_feature_flags().sha1_hmac_provider,
    );
    agent.set_timing_advance(TIMING_ADVANCE);
    agent.set_initial_stun_rto(EAGER_RTO);
    agent.set_max_stun_rto(EAGER_RTO);
    agent.set_max_stun_retransmits(CONNECTING_CHECKS);
    agent.set_max_candidate_pairs(2 * limits::REMOTE_CANDIDATES_MAX);
    agent.add_local_candidate(local.clone());
    agent
}

/// The peer's candidates that are checked: UDP and of our address family; negotiation has judged the addresses
/// ([`crate::AddressPolicy`]). A lite peer gets exactly one, so that there is exactly one pair.
fn usable_candidates(local: SocketAddr, remote: &WebRtcRemote) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = remote
        .candidates
        .iter()
        .filter_map(|line| Candidate::from_sdp_string(line).ok())
        .filter(|candidate| candidate.proto() == Protocol::Udp && candidate.addr().is_ipv4() == local.is_ipv4())
        .collect();
    candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.prio()));
    candidates.truncate(if remote.lite { 1 } else { limits::REMOTE_CANDIDATES_MAX });
    candidates
}
