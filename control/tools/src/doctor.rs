//! `trestle sdp`: checks a session description against the rules of the peers.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use trestle_sdp::lint::{self, Context, Role, Rule, Severity, Writer, lint};

/// The longest text that is read: a web hook with a description is a hundredth of it.
const TEXT_BYTES_MAX: u64 = 1024 * 1024;

/// Judges session descriptions by what WhatsApp takes.
#[derive(Debug, clap::Args)]
pub struct SdpArgs {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, clap::Subcommand)]
enum Task {
    /// Lists the rules that a description breaks, their reasons, and the remedies. The exit code is 1 if there is an error.
    Lint(LintArgs),
    /// Explains a rule.
    Explain {
        /// Its name, e.g. one-fingerprint.
        rule: String,
    },
    /// Lists all rules, as a table in Markdown.
    Rules,
}

#[derive(Debug, clap::Args)]
struct LintArgs {
    /// A description, or JSON with one in it: a web hook, a request to Graph, an ng reply. `-` is standard input.
    file: PathBuf,
    /// Who wrote it; guessed if not given.
    #[arg(long, value_name = "WHO")]
    from: Option<Who>,
    /// Offer or answer; guessed if not given.
    #[arg(long, value_name = "ROLE")]
    role: Option<Half>,
    /// The offer that it answers.
    #[arg(long, value_name = "FILE")]
    offer: Option<PathBuf>,
    /// Warnings count as errors.
    #[arg(long)]
    strict: bool,
    /// For programs.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Who {
    /// The business: it is handed to Meta.
    Us,
    /// Meta: it comes from WhatsApp.
    Meta,
    /// The SIP side.
    Phone,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Half {
    /// It opens.
    Offer,
    /// It answers.
    Answer,
}

/// Does it.
pub fn run(args: &SdpArgs) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match &args.task {
        Task::Rules => write!(out, "{}", lint::table())?,
        Task::Explain { rule } => match Rule::by_id(rule) {
            Some(rule) => write!(out, "{rule}")?,
            None => bail!("there is no rule {rule:?}; `trestle sdp rules` lists all"),
        },
        Task::Lint(args) => return args.run(&mut out),
    }
    Ok(ExitCode::SUCCESS)
}

impl LintArgs {
    fn run(&self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let text = read(&self.file)?;
        let offer = self.offer.as_deref().map(read).transpose()?;
        let writer = self.from.map(|who| match who {
            Who::Us => Writer::Us,
            Who::Meta => Writer::Meta,
            Who::Phone => Writer::Phone,
        });
        let role = self.role.map(|half| match half {
            Half::Offer => Role::Offer,
            Half::Answer => Role::Answer,
        });
        let verdict = lint(&text, &Context { writer, role, offer: offer.as_deref() });
        if self.json {
            writeln!(out, "{:#}", verdict.json())?;
        } else {
            let name = if self.file == Path::new("-") { "standard input".into() } else { self.file.to_string_lossy() };
            write!(out, "{}", verdict.text(&name))?;
        }
        let bad = verdict.has_errors() || (self.strict && verdict.count(Severity::Warning) > 0);
        Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// Bytes that are no UTF-8 are read as the replacement character, which is not ASCII and found as such.
fn read(path: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().lock().take(TEXT_BYTES_MAX).read_to_end(&mut bytes).context("cannot read standard input")?;
    } else {
        let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        file.take(TEXT_BYTES_MAX).read_to_end(&mut bytes).with_context(|| format!("cannot read {}", path.display()))?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
