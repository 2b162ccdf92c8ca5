//! From the text of a value to the value. Each error is a sentence that names the text and a text that would do.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::http::Uri;
use ipnet::IpNet;
use tracing::level_filters::LevelFilter;
use trestle_calls::controller::{Hundredths, UnsignedSource};
use trestle_core::plan::{Filler, Gate};
use trestle_ng::command::words::gate::{self, GATE_TIMEOUT_MAX, PRE_ROLL_MAX};

/// `IP:PORT`, or a port alone, which is then on the loopback address: an address that is open to other machines is written out.
pub(super) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    text.parse().map_err(|_| format!("{text:?} is not [IP:]PORT, e.g. 127.0.0.1:2223 or [::1]:2223"))
}

pub(super) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is not IP:PORT, e.g. 127.0.0.1:2224"))
}

/// `192.0.2.0/24`, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let bare = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse::<IpNet>()
        .or_else(|_| bare())
        .map(|net| net.trunc())
        .map_err(|_| format!("{text:?} is no network, e.g. 192.0.2.0/24, 2001:db8::/32 or 192.0.2.1"))
}

pub(super) fn unsigned_source(text: &str) -> Result<UnsignedSource, String> {
    match text {
        "unix" => Ok(UnsignedSource::Unix),
        _ => network(text).map(UnsignedSource::Network).map_err(|reason| format!("{reason}; or write unix")),
    }
}

pub(super) fn web_hook_url(text: &str) -> Result<Uri, String> {
    let good = |url: &Uri| {
        matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty())
    };
    let url = text.parse().ok().filter(good);
    url.ok_or_else(|| format!("{text:?} is no URL, e.g. https://app.example/trestle-events"))
}

fn whole<T: TryFrom<u64>>(text: &str, max: u64) -> Result<T, String> {
    let number = text.parse().ok().filter(|number| *number <= max).and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| format!("{text:?} is not a whole number from 0 to {max}"))
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    whole(text, u16::MAX.into())
}

pub(super) fn byte(text: &str) -> Result<u8, String> {
    whole(text, u8::MAX.into())
}

pub(super) fn count(text: &str) -> Result<usize, String> {
    whole(text, u32::MAX.into())
}

pub(super) fn percent(text: &str) -> Result<u8, String> {
    whole(text, 100)
}

pub(super) fn threads(text: &str) -> Result<usize, String> {
    match whole(text, u64::MAX)? {
        threads @ 1..=256 => Ok(threads),
        threads => Err(format!("{threads} is not between 1 and 256; one per processor is right")),
    }
}

pub(super) fn hundredths(text: &str) -> Result<Hundredths, String> {
    text.parse().map_err(|reason| format!("{text:?} is {reason}; write e.g. 80 or 2.5"))
}

pub(super) fn seconds_or_zero(text: &str) -> Result<Duration, String> {
    whole(text, u32::MAX.into()).map(Duration::from_secs)
}

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    match seconds_or_zero(text)? {
        Duration::ZERO => Err("0 would end every call at once; write a number of seconds".to_owned()),
        duration => Ok(duration),
    }
}

pub(super) fn milliseconds(text: &str) -> Result<Duration, String> {
    whole(text, u32::MAX.into()).map(Duration::from_millis)
}

pub(super) fn gate_timeout(text: &str) -> Result<Duration, String> {
    let timeout = seconds_or_zero(text)?;
    if timeout.is_zero() || timeout > GATE_TIMEOUT_MAX {
        return Err(format!("must be from 1 to {} seconds", GATE_TIMEOUT_MAX.as_secs()));
    }
    Ok(timeout)
}

pub(super) fn pre_roll(text: &str) -> Result<Duration, String> {
    let pre_roll = milliseconds(text)?;
    if pre_roll > PRE_ROLL_MAX {
        return Err(format!("at most {} ms are kept", PRE_ROLL_MAX.as_millis()));
    }
    Ok(pre_roll)
}

pub(super) fn gate(text: &str) -> Result<Gate, String> {
    gate::gate_named(text).ok_or_else(|| format!("{text:?} is neither open nor shut"))
}

pub(super) fn filler(text: &str) -> Result<Filler, String> {
    gate::filler_named(text).ok_or_else(|| format!("{text:?} is none of none, silence, comfort-noise and hold-tone"))
}

pub(super) fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err(format!("{text:?} is neither yes nor no")),
    }
}

pub(super) fn log_level(text: &str) -> Result<LevelFilter, String> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "off" => LevelFilter::OFF,
        "error" | "0" | "1" | "2" | "3" => LevelFilter::ERROR,
        "warn" | "warning" | "4" => LevelFilter::WARN,
        "info" | "notice" | "5" | "6" => LevelFilter::INFO,
        "debug" | "7" => LevelFilter::DEBUG,
        "trace" | "8" => LevelFilter::TRACE,
        _ => return Err(format!("{text:?} is none of error, warn, info, debug, trace or 0 to 7")),
    })
}
