//! ICE of one leg: one local candidate, one pair that is kept (RFC 8445). The only engine file that names str0m.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use str0m::ice::{IceAgent, IceAgentEvent, IceCreds, StunMessage, StunPacket};
use str0m::net::Protocol;
use str0m::{Candidate, IceConnectionState};
use trestle_wire::stun;

use crate::plan::{IceCredentials, WebRtcRemote};
use crate::{CommandError, Discard, limits};

/// Pacing of checks (RFC 8445 Ta allows 5 ms and up). There are few pairs, so this is only how soon a nomination
/// follows its check.
const TIMING_ADVANCE: Duration = Duration::from_millis(5);

/// While connecting, a check is repeated this often. Meta's relay answers only once it has our SDP, at a moment we do
/// not know; backing off would add to the time to voice.
const EAGER_RTO: Duration = Duration::from_millis(50);
/// How long checks stay that eager; after it they back off to [`PATIENT_RTO`].
const EAGER_FOR: Duration = Duration::from_secs(2);
const PATIENT_RTO: Duration = Duration::from_secs(1);
/// Checks before the agent gives a pair up while connecting; it is then made anew. No more than 121: the agent doubles
/// [`EAGER_RTO`] for each check in 128 bits of milliseconds before it caps it, and panics when they overflow.
const CONNECTING_CHECKS: usize = 120;

/// Checks with USE-CANDIDATE that may be under way at once: at [`EAGER_RTO`] apart, enough for a round trip of 1.6 s.
const NOMINATIONS_MAX: usize = 32;

/// Once connected a check goes out every 3 s as proof of consent (RFC 7675 asks for at most 5 s on average) and
/// unanswered ones follow faster; consent is lost after about 23 s without an answer (RFC 7675 allows 30 s).
const CONSENT_RTO_INITIAL: Duration = Duration::from_millis(250);
const CONSENT_RTO: Duration = Duration::from_secs(3);
const CONSENT_CHECKS: usize = 9;

/// The ICE agent of a leg.
#[derive(Debug)]
pub(super) struct Ice {
    agent: IceAgent,
    local: SocketAddr,
    credentials: IceCredentials,
    remote: Option<WebRtcRemote>,
    /// Where we send media and DTLS. Set by the first nomination and kept while that pair lives: Meta's relay must not
    /// see the candidate switched in mid-call.
    selected: Option<SocketAddr>,
    /// Our latest checks with USE-CANDIDATE. Over a long path several are under way before the first is answered.
    nominating: ArrayVec<stun::TransactionId, NOMINATIONS_MAX>,
    established: bool,
    /// Consent has expired: nothing but checks may be sent until a pair is established anew (RFC 7675 5.1).
    consent_lost: bool,
    /// [`IceOutput::Established`] is still to be said.
    announce: bool,
    checked: bool,
    /// The agent has run out of checks before there was an answer; it is made anew.
    gave_up: bool,
    patient_at: Option<Instant>,
}

/// Something the ICE agent has to say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum IceOutput {
    /// Send this message.
    Transmit { to: SocketAddr, len: usize },
    /// The pair is nominated and the nomination is answered: DTLS may start.
    Established,
    /// Consent is lost, or never came back.
    Disconnected,
}

impl Ice {
    /// An agent with `local` (a bound address) as its only candidate.
    pub(super) fn new(local: SocketAddr, credentials: &IceCredentials) -> Result<Self, CommandError> {
        Ok(Self {
            agent: new_agent(local, credentials)?,
            local,
            credentials: credentials.clone(),
            remote: None,
            selected: None,
            nominating: ArrayVec::new(),
            established: false,
            consent_lost: false,
            announce: false,
            checked: false,
            gave_up: false,
            patient_at: None,
        })
    }

    /// Takes what the peer's SDP said. New credentials mean an ICE restart: a fresh agent, while media goes on over the
    /// old pair until the new one is nominated.
    pub(super) fn set_remote(
        &mut self,
        now: Instant,
        credentials: &IceCredentials,
        remote: &WebRtcRemote,
    ) -> Result<(), CommandError> {
        if self.remote.as_ref().is_some_and(|known| known.credentials == remote.credentials) {
            // The call is being signalled again; that is when a peer that has ignored us so far becomes ready.
            self.be_eager(now);
            return Ok(());
        }
        self.credentials = credentials.clone();
        if self.remote.replace(remote.clone()).is_some() {
            self.agent = new_agent(self.local, credentials)?;
        }
        self.begin_checks(remote);
        self.be_eager(now);
        self.agent.handle_timeout(now);
        Ok(())
    }

    fn begin_checks(&mut self, remote: &WebRtcRemote) {
        self.agent.set_controlling(remote.controlling);
        let IceCredentials { ufrag, pwd } = remote.credentials.clone();
        self.agent.set_remote_credentials(IceCreds { ufrag, pass: pwd });
        usable_candidates(self.local, remote)
            .into_iter()
            .for_each(|candidate| self.agent.add_remote_candidate(candidate));
        self.nominating.clear();
        self.established = false;
        self.gave_up = false;
    }

    fn be_eager(&mut self, now: Instant) {
        if !self.established {
            // They are addresses that somebody else has chosen: more of them must not mean more datagrams. Meta has one.
            let candidates = self.agent.remote_candidates().count().max(1) as u32;
            self.agent.set_max_stun_rto(EAGER_RTO * candidates);
            self.patient_at = Some(now + EAGER_FOR);
        }
    }

    /// Takes a STUN message. Only one with our credentials and a valid MESSAGE-INTEGRITY has any effect.
    pub(super) fn handle_stun(&mut self, now: Instant, source: SocketAddr, bytes: &[u8]) -> Result<(), Discard> {
        let head = stun::Head::parse(bytes).map_err(|_| Discard::Malformed)?;
        let message = StunMessage::parse(bytes).map_err(|_| Discard::Malformed)?;
        let packet = StunPacket { proto: Protocol::Udp, source, destination: self.local, message };
        if !self.agent.handle_packet(now, packet) {
            return Err(Discard::HandshakeRefused);
        }
        if head.class == stun::Class::Success && self.nominating.contains(&head.transaction) {
            self.nominating.clear();
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
        if self.gave_up
            && let Some(remote) = self.remote.clone()
            && let Ok(agent) = new_agent(self.local, &self.credentials)
        {
            // A phone may ring for longer than the agent cares to check; the controller ends the call, not we.
            self.agent = agent;
            self.agent.set_max_stun_rto(PATIENT_RTO);
            self.begin_checks(&remote);
        }
        self.agent.handle_timeout(now);
    }

    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        crate::time::soonest(self.agent.poll_timeout(), self.patient_at)
    }

    /// The next thing to do; a message is written to the front of `buf`.
    pub(super) fn poll_output(&mut self, buf: &mut [u8]) -> Option<IceOutput> {
        while let Some(event) = self.agent.poll_event() {
            match event {
                IceAgentEvent::NominatedSend { destination, .. } => self.nominated(destination),
                IceAgentEvent::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                    if self.established {
                        self.established = false;
                        self.consent_lost = true;
                        return Some(IceOutput::Disconnected);
                    }
                    self.gave_up = true;
                }
                IceAgentEvent::IceConnectionStateChange(_)
                | IceAgentEvent::IceRestart(_)
                | IceAgentEvent::DiscoveredRecv { .. } => {}
            }
        }
        if std::mem::take(&mut self.announce) {
            return Some(IceOutput::Established);
        }
        let transmit = self.agent.poll_transmit()?;
        let bytes: &[u8] = &transmit.contents;
        if let Ok(head) = stun::Head::parse(bytes)
            && head.class == stun::Class::Request
        {
            self.checked = true;
            if head.use_candidate && !self.established {
                if self.nominating.is_full() {
                    self.nominating.remove(0);
                }
                self.nominating.push(head.transaction);
            }
        }
        let len = bytes.len().min(buf.len());
        buf[..len].copy_from_slice(&bytes[..len]);
        Some(IceOutput::Transmit { to: transmit.destination, len })
    }

    /// True once the first check has left.
    pub(super) fn has_checked(&self) -> bool {
        self.checked
    }

    /// Where to send media and DTLS; nowhere once consent is lost.
    pub(super) fn selected(&self) -> Option<SocketAddr> {
        self.selected.filter(|_| !self.consent_lost)
    }

    /// True if the pair is nominated and the nomination is answered.
    pub(super) fn is_established(&self) -> bool {
        self.established
    }

    /// DTLS and media are taken only from a tuple that has passed a check: the selected one, or another valid pair, as
    /// browsers send from two or three at the start.
    pub(super) fn is_valid_source(&self, source: SocketAddr) -> bool {
        self.selected == Some(source) || self.agent.has_viable_remote_candidate(source)
    }

    fn nominated(&mut self, destination: SocketAddr) {
        let lives = self.selected.is_some_and(|selected| self.agent.has_viable_remote_candidate(selected));
        if self.selected == Some(destination) || lives && self.established {
            return;
        }
        self.selected = Some(destination);
        if self.agent.controlling() {
            // One pair from here on: the others must neither be checked nor nominated later.
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
        if !self.established {
            self.established = true;
            self.consent_lost = false;
            self.announce = true;
            self.patient_at = None;
            self.agent.set_initial_stun_rto(CONSENT_RTO_INITIAL);
            self.agent.set_max_stun_rto(CONSENT_RTO);
            self.agent.set_max_stun_retransmits(CONSENT_CHECKS);
        }
    }
}

fn new_agent(local: SocketAddr, credentials: &IceCredentials) -> Result<IceAgent, CommandError> {
    let IceCredentials { ufrag, pwd } = credentials.clone();
    let mut agent =
        IceAgent::with_hmac(IceCreds { ufrag, pass: pwd }, str0m::crypto::from_feature_flags().sha1_hmac_provider);
    agent.set_timing_advance(TIMING_ADVANCE);
    agent.set_initial_stun_rto(EAGER_RTO);
    agent.set_max_stun_rto(EAGER_RTO);
    agent.set_max_stun_retransmits(CONNECTING_CHECKS);
    agent.set_max_candidate_pairs(2 * limits::REMOTE_CANDIDATES_MAX);
    let candidate = Candidate::host(local, Protocol::Udp)
        .map_err(|_| CommandError::BadPlan("the interface address cannot be an ICE candidate"))?;
    agent.add_local_candidate(candidate);
    Ok(agent)
}

/// The peer's candidates that we check: UDP, component 1, of our address family, and no address that could make us
/// probe a third party's broadcast domain. A lite peer gets exactly one, so that there is exactly one pair.
fn usable_candidates(local: SocketAddr, remote: &WebRtcRemote) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = remote
        .candidates
        .iter()
        .filter_map(|line| Candidate::from_sdp_string(line).ok())
        .filter(|candidate| {
            let ip = candidate.addr().ip();
            candidate.proto() == Protocol::Udp
                && ip.is_ipv4() == local.is_ipv4()
                && !ip.is_multicast()
                && !ip.is_unspecified()
                && candidate.addr().port() != 0
        })
        .collect();
    candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.prio()));
    candidates.truncate(if remote.lite { 1 } else { limits::REMOTE_CANDIDATES_MAX });
    candidates
}
