//! Which call is made, and what happens in it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use trestle_peers::{Codec, Flavour, speech};

/// The direction of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallDirection {
    /// A WhatsApp user calls the business: WhatsApp offers.
    UserInitiated,
    /// The business calls a WhatsApp user: the phone offers.
    BusinessInitiated,
}

/// One of the two people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DemoParty {
    /// The WhatsApp user, behind Meta's relay.
    WhatsApp,
    /// The agent, at a SIP phone.
    Phone,
}

impl fmt::Display for DemoParty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::WhatsApp => "WhatsApp",
            Self::Phone => "phone",
        })
    }
}

/// One combination of what the bridge joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scene {
    pub(crate) direction: CallDirection,
    /// How media towards WhatsApp is secured.
    pub(crate) flavour: Flavour,
    /// What the phone speaks.
    pub(crate) codec: Codec,
}

impl Scene {
    /// All there are.
    pub(crate) fn all() -> Vec<Self> {
        let mut scenes = Vec::new();
        for direction in [CallDirection::UserInitiated, CallDirection::BusinessInitiated] {
            for flavour in [Flavour::WebRtc, Flavour::Sdes] {
                for codec in Codec::ALL {
                    scenes.push(Self { direction, flavour, codec });
                }
            }
        }
        scenes
    }

    /// The phone keeps its media secret with SDES, but for the PCMU one: plain RTP has to be shown too.
    pub(crate) fn phone_is_secured(self) -> bool {
        self.codec != Codec::Pcmu
    }

    pub(crate) fn caller(self) -> &'static str {
        match self.direction {
            CallDirection::UserInitiated => "WhatsApp calls",
            CallDirection::BusinessInitiated => "business calls",
        }
    }

    pub(crate) fn meta_side(self) -> &'static str {
        match self.flavour {
            Flavour::WebRtc => "WebRTC",
            Flavour::Sdes => "SDES",
        }
    }

    pub(crate) fn phone_side(self) -> &'static str {
        match self.codec {
            Codec::Pcma => "PCMA over SRTP",
            Codec::Pcmu => "PCMU over RTP",
            Codec::Opus => "Opus over SRTP",
        }
    }

    /// Part of file names and call-ids.
    pub(crate) fn slug(self) -> String {
        let direction = match self.direction {
            CallDirection::UserInitiated => "user-initiated",
            CallDirection::BusinessInitiated => "business-initiated",
        };
        let codec = match self.codec {
            Codec::Pcma => "pcma",
            Codec::Pcmu => "pcmu",
            Codec::Opus => "opus",
        };
        format!("{direction}-{}-{codec}", self.meta_side().to_lowercase())
    }
}

/// A key that is pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScriptedPress {
    pub(crate) by: DemoParty,
    pub(crate) digit: char,
    pub(crate) length: Duration,
    /// Since both legs stand.
    pub(crate) at: Duration,
}

/// The speech and the digits of a call, and its length. Both speak from their first packet on, at the same time; digits follow, so
/// that they cover no speech.
#[derive(Debug, Clone)]
pub(crate) struct DemoScript {
    /// Since both legs stand.
    pub(crate) length: Duration,
    /// The speech of the WhatsApp user at [`speech::CALLER_HZ`], then silence.
    pub(crate) caller: Arc<[i16]>,
    /// The speech of the agent at [`speech::AGENT_HZ`], then silence.
    pub(crate) agent: Arc<[i16]>,
    pub(crate) presses: Vec<ScriptedPress>,
    /// How many of a hundred media packets of the peers the network loses.
    pub(crate) loss_percent: u32,
}

/// From the press of a key to the next: the pause between two events, which the receiver needs to tell them apart.
const PAUSE: Duration = Duration::from_millis(160);
/// WhatsApp holds every key that long, however long the finger is on it.
const META_PRESS_MS: u64 = 500;

impl DemoScript {
    /// A whole conversation of `length`, five seconds or more.
    pub(crate) fn full(length: Duration) -> Self {
        let phone = [('2', 120), ('0', 240), ('*', 360)];
        Self::new(length, &['1', '5', '9', '#'].map(|digit| (digit, META_PRESS_MS)), &phone)
    }

    /// A few words and one key each way.
    pub(crate) fn brief() -> Self {
        Self::new(Duration::from_millis(2_800), &[('7', META_PRESS_MS)], &[('3', 200)])
    }

    /// The same on a network that loses packets.
    pub(crate) fn with_loss(self, loss_percent: u32) -> Self {
        Self { loss_percent, ..self }
    }

    fn new(length: Duration, meta: &[(char, u64)], phone: &[(char, u64)]) -> Self {
        let mut presses = Vec::new();
        let mut tail = Duration::ZERO;
        for (by, keys) in [(DemoParty::WhatsApp, meta), (DemoParty::Phone, phone)] {
            let mut at = Duration::ZERO;
            for (digit, ms) in keys {
                let length = Duration::from_millis(*ms);
                presses.push(ScriptedPress { by, digit: *digit, length, at });
                at += length + PAUSE;
            }
            tail = tail.max(at);
        }
        // A breath before the digits, and time for the last to arrive.
        let talk = length.saturating_sub(tail + Duration::from_millis(400));
        for press in &mut presses {
            press.at += talk + Duration::from_millis(150);
        }
        let of = |clip: Arc<[i16]>, hz| repeat(&clip, (talk.as_millis() * u128::from(hz / 1_000_u32)) as usize);
        let caller = of(speech::caller(), speech::CALLER_HZ);
        let agent = of(speech::agent(), speech::AGENT_HZ);
        Self { length, caller, agent, presses, loss_percent: 0 }
    }
}

/// As many whole clips as fit into `len` samples, or the beginning of one.
fn repeat(clip: &[i16], len: usize) -> Arc<[i16]> {
    let whole = len / clip.len() * clip.len();
    let len = if whole > 0 { whole } else { len };
    clip.iter().copied().cycle().take(len).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_twelve_combinations() {
        let slugs: std::collections::BTreeSet<String> = Scene::all().into_iter().map(Scene::slug).collect();
        assert_eq!(slugs.len(), 12);
    }

    #[test]
    fn no_digit_is_pressed_during_speech_or_after_the_end() {
        let scripts = [5, 10, 60].map(|seconds| DemoScript::full(Duration::from_secs(seconds)));
        for script in scripts.into_iter().chain([DemoScript::brief()]) {
            let spoken_ms = (script.caller.len() / 16).max(script.agent.len() / 8) as u64;
            assert!(spoken_ms > 1_000);
            for press in &script.presses {
                assert!(press.at > Duration::from_millis(spoken_ms + 100), "{press:?}");
                assert!(press.at + press.length + PAUSE < script.length, "{press:?}");
            }
        }
    }

    #[test]
    fn a_long_call_repeats_whole_sentences() {
        let script = DemoScript::full(Duration::from_secs(60));
        assert_eq!(script.caller.len() % speech::caller().len(), 0);
        assert!(script.caller.len() > 5 * speech::caller().len());
    }
}
