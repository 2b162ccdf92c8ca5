//! What `trestle load` takes on its command line.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

use anyhow::bail;

use super::work::{Manner, Work};

/// Calls by the hundred through any ng engine (Trestle, rtpengine), and what they cost it. Phones and WhatsApp are
/// played here; every packet is sent on time whatever the engine does, and matched when it comes out.
#[derive(Debug, Clone, clap::Args)]
pub struct LoadArgs {
    /// Where the engine takes ng commands
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:2223")]
    pub ng: SocketAddrV4,

    /// What the calls are
    #[arg(long, value_enum, default_value = "bridge")]
    pub work: Work,

    /// Calls at once
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub calls: u32,

    /// How long is measured
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: u32,

    /// How long all calls talk before that
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    pub warm_up: u32,

    /// Calls set up a second, until all stand
    #[arg(long, value_name = "CALLS", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub ramp: u32,

    /// How much of what is said is pauses, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.4)]
    pub silence: f64,

    /// The engine's process, if it is not the one that is found on the ng port
    #[arg(long)]
    pub pid: Option<u32>,

    /// Names of the engine's interfaces for the offering and the answering side
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',')]
    pub direction: Vec<String>,

    /// Further flags in every offer and answer
    #[arg(long, value_name = "FLAG,...", value_delimiter = ',')]
    pub flags: Vec<String>,

    /// Address that WhatsApp's ends are at [default: 127.0.0.21 if the engine is on the loopback]
    #[arg(long, value_name = "IP")]
    pub whatsapp_ip: Option<Ipv4Addr>,

    /// Address that the phones are at [default: 127.0.0.31 if the engine is on the loopback]
    #[arg(long, value_name = "IP")]
    pub phone_ip: Option<Ipv4Addr>,

    /// Phones that share a port. WhatsApp's ends never do
    #[arg(long, value_name = "PHONES", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub phones_per_port: u32,

    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl LoadArgs {
    /// How the engine is spoken to.
    ///
    /// # Errors
    /// The options contradict each other.
    pub fn manner(&self) -> anyhow::Result<Manner> {
        let direction = match &self.direction[..] {
            [] => None,
            [from, to] => Some([from.clone(), to.clone()]),
            _ => bail!("--direction takes two names, as in wa,sip"),
        };
        Ok(Manner { direction, flags: self.flags.clone() })
    }

    /// Addresses of WhatsApp and of the phones.
    ///
    /// # Errors
    /// They cannot be guessed.
    pub fn addresses(&self) -> anyhow::Result<[Ipv4Addr; 2]> {
        let guess = |given: Option<Ipv4Addr>, usual: [u8; 4], option: &str| match given {
            Some(ip) => Ok(ip),
            None if self.ng.ip().is_loopback() => Ok(usual.into()),
            None => bail!("{option} is needed: an address of this machine that the engine can reach"),
        };
        Ok([
            guess(self.whatsapp_ip, [127, 0, 0, 21], "--whatsapp-ip")?,
            guess(self.phone_ip, [127, 0, 0, 31], "--phone-ip")?,
        ])
    }
}
