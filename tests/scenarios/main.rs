//! Scenarios: whole calls in virtual time, one claim each.
#![allow(missing_docs, reason = "the names of the tests are their documentation")]

mod bridge;
mod control;
mod digits;
mod digits_in_band;
mod drain;
mod dtmf;
mod events;
mod flood;
mod gate;
mod hostile;
mod immortal;
mod judge;
mod latch;
mod offers;
mod protocol;
mod reinvite;
mod risks;
mod secrets;
mod srtp;
mod stalls;
mod time_to_voice;
mod timeouts;
mod transcode;
mod verbs;
mod verdict;
