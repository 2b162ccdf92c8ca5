//! `trestle ctl`: ng by hand. Sends one JSON request over UDP, repeats it until it is answered, prints the answer.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Map, Value};
use socket2::{Domain, Protocol, Socket, Type};

/// How often a request is sent, and how long each time an answer is waited for; as the proxies do it.
const TRIES: usize = 5;
const TRY_WAIT: Duration = Duration::from_secs(1);

/// Commands by hand, for a running Trestle.
#[derive(Debug, clap::Args)]
pub(crate) struct CtlArgs {
    /// Where the running Trestle listens for ng.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:2223", global = true)]
    ng: SocketAddr,

    #[command(subcommand)]
    request: Request,
}

#[derive(Debug, clap::Subcommand)]
enum Request {
    /// Asks whether anybody is there.
    Ping,
    /// Lists call-ids.
    List {
        /// How many at most.
        #[arg(long)]
        limit: Option<u32>,
    },
    /// Reports on a call.
    Query {
        /// The call-id.
        call_id: String,
        /// More keys, as in `from-tag=abc`.
        #[arg(value_name = "KEY=VALUE")]
        more: Vec<String>,
    },
    /// Ends a call.
    Delete {
        /// The call-id.
        call_id: String,
        /// More keys, as in `from-tag=abc` or `delete-delay=0`.
        #[arg(value_name = "KEY=VALUE")]
        more: Vec<String>,
    },
    /// Reports the counters.
    Statistics,
    /// Hands in an offer.
    Offer(SdpRequest),
    /// Hands in the answer.
    Answer(SdpRequest),
    /// Sends any request, written as JSON.
    Raw {
        /// The request, e.g. '{"command":"ping"}'.
        json: String,
    },
}

#[derive(Debug, clap::Args)]
struct SdpRequest {
    /// The call-id.
    call_id: String,
    /// File with the SDP; `-` is standard input.
    #[arg(long, value_name = "FILE", default_value = "-")]
    sdp: PathBuf,
    /// Tag of the offering side.
    #[arg(long, default_value = "a")]
    from_tag: String,
    /// Tag of the answering side.
    #[arg(long)]
    to_tag: Option<String>,
    /// Print the SDP of the answer and nothing else.
    #[arg(long)]
    sdp_only: bool,
    /// More keys, as in `transport-protocol=RTP/AVP` or `codec='{"transcode":["PCMA"]}'`.
    #[arg(value_name = "KEY=VALUE")]
    more: Vec<String>,
}

/// Does it. The exit code is 0 only if the answer says `ok` or `pong`.
pub(crate) fn run(args: CtlArgs) -> anyhow::Result<ExitCode> {
    let sdp_only = matches!(&args.request, Request::Offer(request) | Request::Answer(request) if request.sdp_only);
    let request = args.request.into_json()?;
    let answer = ask(args.ng, &request)?;
    let good = matches!(answer.get("result").and_then(Value::as_str), Some("ok" | "pong"));
    let mut out = io::stdout().lock();
    match answer.get("sdp").and_then(Value::as_str) {
        Some(sdp) if sdp_only && good => write!(out, "{sdp}")?,
        _ => writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?,
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sends one request to a running Trestle; its answer.
pub(crate) fn ask(ng: SocketAddr, request: &Value) -> anyhow::Result<Value> {
    let cookie = cookie(trestle_io::entropy::seed().context("no entropy for a cookie")?);
    exchange(ng, &cookie, &serde_json::to_string(request)?)
}

impl Request {
    fn into_json(self) -> anyhow::Result<Value> {
        let mut dictionary = Map::new();
        let mut put = |key: &str, value: Value| dictionary.insert(key.to_owned(), value);
        match self {
            Self::Ping => drop(put("command", "ping".into())),
            Self::Statistics => drop(put("command", "statistics".into())),
            Self::List { limit } => {
                put("command", "list".into());
                limit.map(|limit| put("limit", limit.into()));
            }
            Self::Query { call_id, more } => {
                put("command", "query".into());
                put("call-id", call_id.into());
                add_pairs(&mut dictionary, &more)?;
            }
            Self::Delete { call_id, more } => {
                put("command", "delete".into());
                put("call-id", call_id.into());
                add_pairs(&mut dictionary, &more)?;
            }
            Self::Offer(request) => request.fill("offer", &mut dictionary)?,
            Self::Answer(request) => request.fill("answer", &mut dictionary)?,
            Self::Raw { json } => return serde_json::from_str(&json).context("the request is not JSON"),
        }
        Ok(Value::Object(dictionary))
    }
}

impl SdpRequest {
    fn fill(self, command: &str, dictionary: &mut Map<String, Value>) -> anyhow::Result<()> {
        dictionary.insert("command".to_owned(), command.into());
        dictionary.insert("call-id".to_owned(), self.call_id.into());
        dictionary.insert("from-tag".to_owned(), self.from_tag.into());
        let to_tag = self.to_tag.or_else(|| (command == "answer").then(|| "b".to_owned()));
        if let Some(to_tag) = to_tag {
            dictionary.insert("to-tag".to_owned(), to_tag.into());
        }
        dictionary.insert("sdp".to_owned(), read_sdp(&self.sdp)?.into());
        add_pairs(dictionary, &self.more)
    }
}

/// Reads an SDP and gives it the line ends that SDP has (RFC 8866 section 5), whatever the editor wrote.
fn read_sdp(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    if path == Path::new("-") {
        io::stdin().read_to_string(&mut text).context("cannot read the SDP from standard input")?;
    } else {
        text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    Ok(text.lines().flat_map(|line| [line, "\r\n"]).collect())
}

/// Adds `key=value`; a value that is JSON is meant as JSON, anything else is a string.
fn add_pairs(dictionary: &mut Map<String, Value>, pairs: &[String]) -> anyhow::Result<()> {
    for pair in pairs {
        let Some((key, value)) = pair.split_once('=') else {
            bail!("{pair:?} is not KEY=VALUE");
        };
        dictionary.insert(key.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into()));
    }
    Ok(())
}

fn cookie(seed: [u8; 32]) -> String {
    seed[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sends the request until an answer with its cookie comes. The same cookie each time: the other side does it once.
fn exchange(ng: SocketAddr, cookie: &str, request: &str) -> anyhow::Result<Value> {
    let socket = Socket::new(Domain::for_address(ng), Type::DGRAM, Some(Protocol::UDP))?;
    let any = if ng.is_ipv6() {
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
    } else {
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
    };
    socket.bind(&any.into())?;
    // Connected, so that nobody else can answer, and a closed port is known at once.
    socket.connect(&ng.into())?;
    socket.set_read_timeout(Some(TRY_WAIT))?;
    let socket = std::net::UdpSocket::from(socket);
    let datagram = format!("{cookie} {request}");
    let mut buffer = vec![0; 65_536];
    for _ in 0..TRIES {
        if let Err(error) = socket.send(datagram.as_bytes()) {
            bail!("cannot send to {ng}: {error}");
        }
        match socket.recv(&mut buffer) {
            Ok(len) => {
                let answer = std::str::from_utf8(&buffer[..len]).context("the answer is not text")?;
                // An answer to another request can only be a late one from a port that was ours by chance.
                let Some(body) = answer.strip_prefix(cookie).and_then(|rest| rest.strip_prefix(' ')) else { continue };
                return serde_json::from_str(body).with_context(|| format!("the answer is not JSON: {body}"));
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                bail!("nobody listens on {ng}; is `trestle serve --listen-ng={ng}` running?");
            }
            Err(error) => bail!("no answer from {ng}: {error}"),
        }
    }
    bail!("no answer from {ng} to {TRIES} attempts")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct CommandLine {
        #[command(flatten)]
        ctl: CtlArgs,
    }

    fn json(arguments: &[&str]) -> anyhow::Result<String> {
        let parsed = CommandLine::try_parse_from(["ctl"].iter().chain(arguments))?;
        Ok(parsed.ctl.request.into_json()?.to_string())
    }

    #[test]
    fn a_command_line_becomes_one_ng_request() {
        for (arguments, expected) in [
            (&["ping"][..], r#"{"command":"ping"}"#),
            (&["list", "--limit=3"], r#"{"command":"list","limit":3}"#),
            (&["query", "c1", "from-tag=a"], r#"{"call-id":"c1","command":"query","from-tag":"a"}"#),
            (&["delete", "c1", "delete-delay=0"], r#"{"call-id":"c1","command":"delete","delete-delay":0}"#),
            (&["raw", r#"{"command":"ping"}"#], r#"{"command":"ping"}"#),
            (
                &["query", "c1", r#"flags=["verbose"]"#, "--ng=127.0.0.1:9"],
                r#"{"call-id":"c1","command":"query","flags":["verbose"]}"#,
            ),
        ] {
            let got: Value = serde_json::from_str(&json(arguments).unwrap()).unwrap();
            assert_eq!(got, serde_json::from_str::<Value>(expected).unwrap(), "{arguments:?}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_said_before_anything_is_sent() {
        assert_eq!(json(&["query", "c1", "verbose"]).unwrap_err().to_string(), "\"verbose\" is not KEY=VALUE");
        assert_eq!(json(&["raw", "ping"]).unwrap_err().to_string(), "the request is not JSON");
        assert!(json(&["offer", "c1", "--sdp=/nonexistent"]).unwrap_err().to_string().contains("/nonexistent"));
    }
}
