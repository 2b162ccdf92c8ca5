//! The command line of `trestle meta-sim`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser as _, ValueEnum};
use trestle_peers::{Flavour, MetaOptions, NetworkOptions, Patience, SetupAnswer, Voice, speech};

use super::call::UserScript;
use super::graph::{PhoneNumbers, SignalDirection};
use super::wav;

/// Plays WhatsApp and Meta towards a media engine: signalling, an ICE-lite relay, a user, and his judgement.
#[derive(Debug, Clone, clap::Args)]
pub struct MetaSimArgs {
    /// Who calls.
    #[arg(value_enum)]
    pub direction: Caller,

    /// The relay's address; port 0 is any that is free.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:3480")]
    pub relay: SocketAddr,

    /// How keys are agreed on.
    #[arg(long, value_enum, default_value = "dtls")]
    pub keys: KeyAgreement,

    #[expect(missing_docs, reason = "clap takes no doc comment here")]
    #[command(flatten)]
    pub files: FileArgs,

    #[expect(missing_docs, reason = "clap takes no doc comment here")]
    #[command(flatten)]
    pub graph_api: GraphArgs,

    #[expect(missing_docs, reason = "clap takes no doc comment here")]
    #[command(flatten)]
    pub user_actions: UserArgs,

    /// The a=setup of Meta's answer, and the DTLS role that Meta takes.
    #[arg(long, value_enum, default_value = "active")]
    pub setup: SetupRole,

    /// An ice-pwd with base64's padding.
    #[arg(long)]
    pub padded_pwd: bool,

    /// The number has G.711 enabled.
    #[arg(long)]
    pub g711: bool,

    #[expect(missing_docs, reason = "clap takes no doc comment here")]
    #[command(flatten)]
    pub network: NetworkArgs,

    /// Of everything random.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

// How the SDP is exchanged over files. Not a doc comment: clap would print it in place of the command's own description.
#[derive(Debug, Clone, clap::Args)]
#[expect(missing_docs, reason = "clap prints the doc comment of a flattened struct in place of the command's")]
pub struct FileArgs {
    /// Where Meta's SDP is written; `-` is standard output.
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub write: PathBuf,

    /// Where the business' SDP is read, up to its end or an empty line; `-` is standard input. A file is waited for.
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub read: PathBuf,
}

// How the SDP is exchanged over web hooks and the Graph API. Not a doc comment: clap would print it in place of the command's own description.
#[derive(Debug, Clone, clap::Args)]
#[expect(missing_docs, reason = "clap prints the doc comment of a flattened struct in place of the command's")]
pub struct GraphArgs {
    /// Signals as Meta does: web hooks go to this URL, requests are taken at --graph.
    #[arg(long, value_name = "URL", conflicts_with_all = ["write", "read"])]
    pub hook: Option<String>,

    /// Where the Graph API listens: POST /VERSION/PHONE-NUMBER-ID/calls.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8089", requires = "hook")]
    pub graph: SocketAddr,

    /// The business number's id.
    #[arg(long, value_name = "ID", default_value = "106540352242922")]
    pub phone_number_id: String,

    /// The business number.
    #[arg(long, value_name = "NUMBER", default_value = "15550783881")]
    pub business: String,

    /// The user's number.
    #[arg(long, value_name = "NUMBER", default_value = "16315553601")]
    pub user: String,

    /// The token that requests have to bear; any if not given.
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,

    /// Signs web hooks (X-Hub-Signature-256).
    #[arg(long, value_name = "SECRET", default_value = "secret")]
    pub app_secret: String,
}

// What the WhatsApp user does. Not a doc comment: clap would print it in place of the command's own description.
#[derive(Debug, Clone, clap::Args)]
#[expect(missing_docs, reason = "clap prints the doc comment of a flattened struct in place of the command's")]
pub struct UserArgs {
    /// How long the user stays after the acceptance, in seconds.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub seconds: u64,

    /// Between answer and acceptance, in milliseconds; with Graph and a calling user the application accepts.
    #[arg(long, value_name = "MS", default_value_t = 1_000)]
    pub ring_ms: u64,

    /// The user's audio: a mono WAV file at 8, 16 or 48 kHz. A clip of speech if not given.
    #[arg(long, value_name = "FILE")]
    pub say: Option<PathBuf>,

    /// The user sends no packet at all.
    #[arg(long, conflicts_with = "say")]
    pub silent: bool,

    /// Writes the audio that the user receives, at 16 kHz.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,

    /// Keys that the user presses: 500 ms each, 100 ms between.
    #[arg(long, value_name = "KEYS", default_value = "", value_parser = keys)]
    pub press: String,

    /// From the acceptance to Meta's first packet, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub first_packet_ms: u64,
}

// The simulated network, each way. Not a doc comment: clap would print it in place of the command's own description.
#[derive(Debug, Clone, clap::Args)]
#[expect(missing_docs, reason = "clap prints the doc comment of a flattened struct in place of the command's")]
pub struct NetworkArgs {
    /// Media packets of a hundred that are lost, each way.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub loss: u32,

    /// One-way delay, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub delay_ms: u64,

    /// Up to this much more delay, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub jitter_ms: u64,
}

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Caller {
    /// The WhatsApp user calls the business: Meta offers.
    UserCalls,
    /// The business calls the user: Meta answers.
    BusinessCalls,
}

/// How keys are agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyAgreement {
    /// ICE and DTLS-SRTP.
    Dtls,
    /// a=crypto, without ICE.
    Sdes,
}

/// `a=setup` of an answer, and what Meta then does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SetupRole {
    /// Announces active and sends the ClientHello.
    Active,
    /// Announces passive and waits for it.
    Passive,
    /// Announces active and waits for it all the same.
    ActivePassive,
    /// Announces actpass and sends the ClientHello.
    ActpassActive,
    /// Announces actpass and waits for it.
    ActpassPassive,
}

fn keys(text: &str) -> Result<String, String> {
    match text.chars().find(|char| !"0123456789*#".contains(*char)) {
        Some(char) => Err(format!("{char:?} is no key; there are 0 to 9, * and #")),
        None => Ok(text.to_owned()),
    }
}

/// A command line of nothing else.
#[derive(Debug, clap::Parser)]
struct CommandLine {
    #[command(flatten)]
    args: MetaSimArgs,
}

impl MetaSimArgs {
    /// Reads words as on the command line, without those before them.
    ///
    /// # Errors
    /// What the command line would print.
    pub fn read<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let words = std::iter::once("meta-sim").chain(words);
        CommandLine::try_parse_from(words).map(|line| line.args).map_err(|error| error.to_string())
    }

    pub(super) fn direction(&self) -> SignalDirection {
        match self.direction {
            Caller::UserCalls => SignalDirection::UserInitiated,
            Caller::BusinessCalls => SignalDirection::BusinessInitiated,
        }
    }

    pub(super) fn ends(&self) -> PhoneNumbers {
        PhoneNumbers {
            phone_number_id: self.graph_api.phone_number_id.clone(),
            business: self.graph_api.business.clone(),
            user: self.graph_api.user.clone(),
        }
    }

    /// What is played, with the relay at `relay`.
    pub(super) fn script(&self, relay: SocketAddr) -> anyhow::Result<UserScript> {
        let flavour = match self.keys {
            KeyAgreement::Dtls => Flavour::WebRtc,
            KeyAgreement::Sdes => Flavour::Sdes,
        };
        let setup = match self.setup {
            SetupRole::Active => SetupAnswer::Active,
            SetupRole::Passive => SetupAnswer::Passive,
            SetupRole::ActivePassive => SetupAnswer::ActiveThenPassive,
            SetupRole::ActpassActive => SetupAnswer::ActpassThenActive,
            SetupRole::ActpassPassive => SetupAnswer::ActpassThenPassive,
        };
        let voice = match &self.user_actions.say {
            Some(path) => Voice::Clip(wav::read_16k(path)?),
            None => Voice::Clip(speech::caller()),
        };
        let meta = MetaOptions {
            setup,
            padded_pwd: self.padded_pwd,
            g711: self.g711,
            voice,
            silent: self.user_actions.silent,
            seed: self.seed,
            ..MetaOptions::new(relay, flavour)
        };
        let ms = Duration::from_millis;
        Ok(UserScript {
            direction: self.direction(),
            meta,
            network: NetworkOptions {
                loss_percent: self.network.loss,
                delay: ms(self.network.delay_ms),
                jitter: ms(self.network.jitter_ms),
            },
            length: Duration::from_secs(self.user_actions.seconds),
            ring: ms(self.user_actions.ring_ms),
            digits: self.user_actions.press.clone(),
            first_packet: ms(self.user_actions.first_packet_ms),
            patience: Patience::METAS,
        })
    }
}
