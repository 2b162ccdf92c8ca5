//! `trestle ctl`: sends one JSON request over UDP, repeats it until the reply comes, and prints the reply.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde_json::{Map, Value};
use socket2::{Domain, Protocol, Socket, Type};
use trestle_ng::{NgSecrets, signature};
use trestle_server::config::read_ng_secrets;

/// Attempts, and how long each waits for a reply; the values of the proxies' modules.
const ATTEMPTS: usize = 5;
const ATTEMPT_WAIT: Duration = Duration::from_secs(1);

/// Names the file of the secret, as it does for `trestle serve` and the clients.
const SECRET_FILE_VARIABLE: &str = "TRESTLE_NG_SECRET_FILE";

/// Where the running Trestle is, and how its requests are signed.
#[derive(Debug, clap::Args)]
pub(crate) struct NgArgs {
    /// Address on which the running Trestle listens for ng, or its Unix socket.
    #[arg(long, value_name = "IP:PORT|unix:PATH", default_value = "127.0.0.1:2223", global = true, value_parser = ng_address)]
    ng: NgAddress,

    /// File with the shared secret, if the running Trestle has `ng-secret-file`; the variable TRESTLE_NG_SECRET_FILE names it as well.
    #[arg(long, value_name = "FILE", global = true)]
    ng_secret_file: Option<PathBuf>,
}

/// Sends a command to a running Trestle.
#[derive(Debug, clap::Args)]
pub(crate) struct CtlArgs {
    #[command(flatten)]
    ng: NgArgs,

    #[command(subcommand)]
    request: CtlRequest,
}

#[derive(Debug, clap::Subcommand)]
enum CtlRequest {
    /// Checks that the server replies.
    Ping,
    /// Lists call-ids.
    List {
        /// Longest list.
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
    /// Refuses new calls, waits for the others, ends them after a time, and then ends the server.
    Drain {
        /// How long to wait for calls; without it, the server's setting `grace`.
        #[arg(long, value_name = "SECONDS", conflicts_with = "stop")]
        grace: Option<u32>,
        /// Accept new calls again.
        #[arg(long)]
        stop: bool,
    },
    /// Sends an offer.
    Offer(SdpRequest),
    /// Sends an answer.
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
    /// Print only the SDP of the reply.
    #[arg(long)]
    sdp_only: bool,
    /// More keys, as in `transport-protocol=RTP/AVP` or `codec='{"transcode":["PCMA"]}'`.
    #[arg(value_name = "KEY=VALUE")]
    more: Vec<String>,
}

/// Sends the request and prints the reply. The exit code is 0 only if the result is `ok` or `pong`.
pub(crate) fn run(args: CtlArgs) -> anyhow::Result<ExitCode> {
    let sdp_only =
        matches!(&args.request, CtlRequest::Offer(request) | CtlRequest::Answer(request) if request.sdp_only);
    let request = args.request.into_json()?;
    let reply = send(&args.ng, &request)?;
    let good = matches!(reply.get("result").and_then(Value::as_str), Some("ok" | "pong"));
    let mut out = io::stdout().lock();
    match reply.get("sdp").and_then(Value::as_str) {
        Some(sdp) if sdp_only && good => write!(out, "{sdp}")?,
        _ => writeln!(out, "{}", serde_json::to_string_pretty(&reply)?)?,
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sends one request to a running Trestle and returns the reply.
///
/// # Errors
/// The secret cannot be read, there is no reply after all attempts, or it is not JSON.
pub(crate) fn send(ng: &NgArgs, request: &Value) -> anyhow::Result<Value> {
    let cookie = cookie(trestle_io::entropy::seed().context("no entropy for a cookie")?);
    let message = CtlMessage::new(cookie, &serde_json::to_string(request)?, ng.secrets()?);
    match &ng.ng {
        NgAddress::Udp(address) => exchange(*address, &message),
        NgAddress::Unix(path) => exchange_over_unix(path, &message),
    }
}

/// Where the running Trestle listens for ng.
#[derive(Debug, Clone, PartialEq, Eq)]
enum NgAddress {
    Udp(SocketAddr),
    Unix(PathBuf),
}

fn ng_address(text: &str) -> Result<NgAddress, String> {
    match text.strip_prefix("unix:") {
        Some("") => Err("write a path behind unix:, e.g. unix:/run/trestle/ng.sock".to_owned()),
        Some(path) => Ok(NgAddress::Unix(path.into())),
        None => text.parse().map(NgAddress::Udp).map_err(|_| {
            format!("{text:?} is neither IP:PORT nor unix:PATH, e.g. 127.0.0.1:2223 or unix:/run/trestle/ng.sock")
        }),
    }
}

impl NgArgs {
    fn secrets(&self) -> anyhow::Result<Option<NgSecrets>> {
        let variable = || std::env::var_os(SECRET_FILE_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        let Some(path) = self.ng_secret_file.clone().or_else(variable) else { return Ok(None) };
        read_ng_secrets(&path).map(Some).map_err(|reason| anyhow!("ng-secret-file: {reason}"))
    }
}

/// One request as it is sent, each time with the same bytes, so that the server executes it once.
struct CtlMessage {
    cookie: String,
    /// With the secrets that it was made with; `None` for a request without a signature.
    signature: Option<(NgSecrets, String)>,
    text: String,
}

impl CtlMessage {
    fn new(cookie: String, request: &str, secrets: Option<NgSecrets>) -> Self {
        let unix = trestle_io::clock::sample_epoch().unix;
        let signature = secrets.and_then(|secrets| {
            let signature = secrets.sign_request(unix, cookie.as_bytes(), request.as_bytes())?;
            Some((secrets, signature))
        });
        let text = match &signature {
            Some((_, signature)) => format!("{cookie} {signature} {request}"),
            None => format!("{cookie} {request}"),
        };
        Self { cookie, signature, text }
    }

    /// The body of a reply to this message.
    fn reply<'a>(&self, reply: &'a str) -> ReplyText<'a> {
        // A reply with another cookie is a late one to a program that had this port before.
        let body = reply.strip_prefix(&self.cookie).and_then(|rest| rest.strip_prefix(' '));
        match (body, &self.signature) {
            (None, _) => ReplyText::Foreign,
            (Some(body), None) => ReplyText::Body(body),
            (Some(signed), Some((secrets, request))) => {
                let (signature, body) = signature::split(signed.as_bytes());
                let is_good = secrets.is_reply(request, signature, self.cookie.as_bytes(), body);
                if is_good { ReplyText::Body(&signed[signed.len() - body.len()..]) } else { ReplyText::BadSignature }
            }
        }
    }
}

/// A message that has come back.
enum ReplyText<'a> {
    Body(&'a str),
    Foreign,
    BadSignature,
}

impl CtlRequest {
    fn into_json(self) -> anyhow::Result<Value> {
        let mut dictionary = Map::new();
        let mut put = |key: &str, value: Value| dictionary.insert(key.to_owned(), value);
        match self {
            Self::Ping => drop(put("command", "ping".into())),
            Self::Statistics => drop(put("command", "statistics".into())),
            Self::Drain { grace, stop } => {
                put("command", "drain".into());
                grace.map(|grace| put("grace", grace.into()));
                stop.then(|| put("op", "stop".into()));
            }
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

/// Reads an SDP and writes the line ends of RFC 8866 section 5 in place of those of the file.
fn read_sdp(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    if path == Path::new("-") {
        io::stdin().read_to_string(&mut text).context("cannot read the SDP from standard input")?;
    } else {
        text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    Ok(text.lines().flat_map(|line| [line, "\r\n"]).collect())
}

/// Adds `key=value`. A value that parses as JSON is taken as JSON, any other is a string.
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

/// Sends the request over a Unix socket and waits for the line of its reply.
fn exchange_over_unix(path: &Path, message: &CtlMessage) -> anyhow::Result<Value> {
    let shown = path.display();
    let mut stream = UnixStream::connect(path).with_context(|| {
        format!(
            "cannot connect to {shown}; is `trestle serve --listen-ng-unix={shown}` running, and are you in its group?"
        )
    })?;
    stream.set_read_timeout(Some(ATTEMPT_WAIT * ATTEMPTS as u32))?;
    writeln!(stream, "{}", message.text).with_context(|| format!("cannot send to {shown}"))?;
    let mut line = String::new();
    let len = BufReader::new(&stream).read_line(&mut line).with_context(|| format!("no reply from {shown}"))?;
    if len == 0 {
        bail!("{shown} has closed the connection: the log of the server names the reason");
    }
    match message.reply(line.trim_end()) {
        ReplyText::Foreign => bail!("the reply from {shown} is of another request: {line}"),
        ReplyText::BadSignature => bail!("the reply from {shown} is not signed with the secret"),
        ReplyText::Body(body) => serde_json::from_str(body).with_context(|| format!("the reply is not JSON: {body}")),
    }
}

/// Repeats the request until its reply comes.
fn exchange(ng: SocketAddr, message: &CtlMessage) -> anyhow::Result<Value> {
    let socket = Socket::new(Domain::for_address(ng), Type::DGRAM, Some(Protocol::UDP))?;
    let any = if ng.is_ipv6() {
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
    } else {
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
    };
    socket.bind(&any.into())?;
    // Connected: datagrams of other addresses are not received, and a closed port is reported at once.
    socket.connect(&ng.into())?;
    socket.set_read_timeout(Some(ATTEMPT_WAIT))?;
    let socket = std::net::UdpSocket::from(socket);
    let mut buffer = vec![0; 65_536];
    for _ in 0..ATTEMPTS {
        if let Err(error) = socket.send(message.text.as_bytes()) {
            bail!("cannot send to {ng}: {error}");
        }
        match socket.recv(&mut buffer) {
            Ok(len) => {
                let reply = std::str::from_utf8(&buffer[..len]).context("the reply is not text")?;
                match message.reply(reply) {
                    ReplyText::Foreign => {}
                    ReplyText::Body(body) => {
                        return serde_json::from_str(body).with_context(|| format!("the reply is not JSON: {body}"));
                    }
                    ReplyText::BadSignature => bail!(
                        "the reply from {ng} is not signed with the secret; does the server have the same ng-secret-file?"
                    ),
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                bail!("no server listens on {ng}; is `trestle serve --listen-ng={ng}` running?");
            }
            Err(error) => bail!("no reply from {ng}: {error}"),
        }
    }
    bail!(
        "no reply from {ng} to {ATTEMPTS} attempts. A server with ng-secret-file or ng-allow sends none to a request without the secret, \
         or from another address: its log names the reason"
    )
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
            (&["drain"], r#"{"command":"drain"}"#),
            (&["drain", "--grace=60"], r#"{"command":"drain","grace":60}"#),
            (&["drain", "--stop"], r#"{"command":"drain","op":"stop"}"#),
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
    fn an_address_is_that_of_a_udp_port_or_a_unix_socket() {
        assert_eq!(ng_address("[::1]:9"), Ok(NgAddress::Udp("[::1]:9".parse().unwrap())));
        assert_eq!(ng_address("unix:/run/x"), Ok(NgAddress::Unix("/run/x".into())));
        for wrong in ["unix:", "/run/x", "localhost:9", "9"] {
            assert!(ng_address(wrong).unwrap_err().contains("unix:"), "{wrong}");
        }
    }

    #[test]
    fn an_invalid_argument_is_an_error_before_a_request_is_sent() {
        assert_eq!(json(&["query", "c1", "verbose"]).unwrap_err().to_string(), "\"verbose\" is not KEY=VALUE");
        assert_eq!(json(&["raw", "ping"]).unwrap_err().to_string(), "the request is not JSON");
        assert!(json(&["offer", "c1", "--sdp=/nonexistent"]).unwrap_err().to_string().contains("/nonexistent"));
    }
}
