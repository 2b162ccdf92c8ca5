//! What `trestle load` takes on its command line.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

use anyhow::bail;

use super::workload::{NgStyle, Workload};

/// Calls by the hundred through any ng engine (Trestle, rtpengine), and what they cost it. Phones and WhatsApp are
/// played here; every packet is sent on time whatever the engine does, and matched when it comes out.
#[derive(Debug, Clone, PartialEq, clap::Args)]
pub struct LoadArgs {
    #[expect(missing_docs, reason = "clap takes no doc comment here")]
    #[command(flatten)]
    pub engine: EngineArgs,

    /// What the calls are
    #[arg(long, value_enum, default_value = "bridge")]
    pub work: Workload,

    /// Calls at once
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub calls: u32,

    /// How long is measured
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: u32,

    /// How long all calls talk before that
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    pub warm_up: u32,

    /// Measure with each of these numbers of calls, one after the other
    #[arg(long, value_name = "CALLS,...", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub sweep: Vec<u32>,

    /// For the works about setting up: so many calls a second. Without it, ever more until the engine does not follow
    #[arg(long, value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub rate: Option<u32>,

    /// Calls set up a second, until all stand
    #[arg(long, value_name = "CALLS", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub ramp: u32,

    /// Share of pauses in the speech, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.4)]
    pub silence: f64,

    /// Address that WhatsApp's ends are at [default: 127.0.0.21 if the engine is on the loopback]
    #[arg(long, value_name = "IP")]
    pub whatsapp_ip: Option<Ipv4Addr>,

    /// Address that the phones are at [default: 127.0.0.31 if the engine is on the loopback]
    #[arg(long, value_name = "IP")]
    pub phone_ip: Option<Ipv4Addr>,

    /// Phones that share a port. WhatsApp's ends never do
    #[arg(long, value_name = "PHONES", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub phones_per_port: u32,

    #[expect(missing_docs, reason = "clap takes no doc comment here")]
    #[command(flatten)]
    pub output: OutputArgs,
}

// Not a doc comment: clap would print it in place of the command's own description.
// The engine under load, and how it is addressed.
#[derive(Debug, Clone, PartialEq, clap::Args)]
#[expect(missing_docs, reason = "clap prints the doc comment of a flattened struct in place of the command's")]
pub struct EngineArgs {
    /// Where the engine takes ng commands
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:2223")]
    pub ng: SocketAddrV4,

    /// The engine's process, if it is not the one that is found on the ng port
    #[arg(long)]
    pub pid: Option<u32>,

    /// Names of the engine's interfaces for the offering and the answering side
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',')]
    pub direction: Vec<String>,

    /// Further flags in every offer and answer
    #[arg(long, value_name = "FLAG,...", value_delimiter = ',')]
    pub flags: Vec<String>,
}

// Where the figures are written.
#[derive(Debug, Clone, PartialEq, clap::Args)]
#[expect(missing_docs, reason = "as for `EngineArgs`")]
pub struct OutputArgs {
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Draw them, as SVG
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}

impl LoadArgs {
    /// What is usual: ten bridged calls for ten seconds.
    pub fn new(ng: SocketAddrV4, work: Workload) -> Self {
        Self {
            engine: EngineArgs { ng, pid: None, direction: Vec::new(), flags: Vec::new() },
            work,
            calls: 10,
            seconds: 10,
            warm_up: 2,
            sweep: Vec::new(),
            rate: None,
            ramp: 50,
            silence: 0.4,
            whatsapp_ip: None,
            phone_ip: None,
            phones_per_port: 32,
            output: OutputArgs { json: None, plot: None },
        }
    }

    /// How the engine is spoken to.
    ///
    /// # Errors
    /// The options contradict each other.
    pub fn manner(&self) -> anyhow::Result<NgStyle> {
        let direction = match &self.engine.direction[..] {
            [] => None,
            [from, to] => Some([from.clone(), to.clone()]),
            _ => bail!("--direction takes two names, as in wa,sip"),
        };
        Ok(NgStyle { direction, flags: self.engine.flags.clone() })
    }

    /// Addresses of WhatsApp and of the phones.
    ///
    /// # Errors
    /// They cannot be guessed.
    pub fn addresses(&self) -> anyhow::Result<[Ipv4Addr; 2]> {
        let guess = |given: Option<Ipv4Addr>, usual: [u8; 4], option: &str| match given {
            Some(ip) => Ok(ip),
            None if self.engine.ng.ip().is_loopback() => Ok(usual.into()),
            None => bail!("{option} is needed: an address of this machine that the engine can reach"),
        };
        Ok([
            guess(self.whatsapp_ip, [127, 0, 0, 21], "--whatsapp-ip")?,
            guess(self.phone_ip, [127, 0, 0, 31], "--phone-ip")?,
        ])
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn parse(line: &[&str]) -> Result<LoadArgs, clap::Error> {
        let command = LoadArgs::augment_args(clap::Command::new("load"));
        LoadArgs::from_arg_matches(&command.try_get_matches_from(line)?)
    }

    #[test]
    fn without_an_option_it_is_the_usual() {
        let usual = LoadArgs::new("127.0.0.1:2223".parse().unwrap(), Workload::Bridge);
        assert_eq!(parse(&["load"]).unwrap(), usual);
        assert_eq!(usual.addresses().unwrap(), [Ipv4Addr::new(127, 0, 0, 21), Ipv4Addr::new(127, 0, 0, 31)]);
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        assert!(parse(&["load", "--calls=0"]).is_err());
        assert!(parse(&["load", "--sweep=10,0"]).is_err());
        let sweep = parse(&["load", "--sweep=10,200", "--direction=wa,sip"]).unwrap();
        assert_eq!(sweep.sweep, [10, 200]);
        assert_eq!(sweep.manner().unwrap().direction, Some(["wa".to_owned(), "sip".to_owned()]));
        assert!(parse(&["load", "--direction=wa"]).unwrap().manner().is_err());
        assert!(parse(&["load", "--ng=192.0.2.1:2223"]).unwrap().addresses().is_err());
    }
}
