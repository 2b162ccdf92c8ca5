//! `a=crypto` (RFC 4568).

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use trestle_srtp::{KeyingMaterial, Profile};

use super::limits::CRYPTO_MAX;
use super::{Attribute, MediaDescription, SdpError, Skipped};

/// Base64 with or without `=` at the end. A key of 30 bytes has no padding, one of 46 bytes has two `=` (RFC 4568 section 6.1,
/// RFC 6188).
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One `a=crypto` line with a suite that Trestle supports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crypto {
    /// Tag. A line of an answer has the tag of the line of the offer that it accepts.
    pub tag: u32,
    /// The key and salt with which the writer sends, and their suite.
    pub key: KeyingMaterial,
    /// Length of the master key identifier (MKI) in each packet, bytes; 0 if there is none.
    pub mki_len: u8,
}

impl Crypto {
    /// Longest MKI (RFC 4568 section 6.1). Trestle accepts one key per line, so the MKI carries no information.
    const MKI_BYTES_MAX: u8 = 128;

    /// Parses a line. `None` if Trestle does not support the suite, or if the line has several keys.
    ///
    /// # Errors
    ///
    /// The line is malformed, or a session parameter is not supported.
    pub fn parse(attribute: Attribute<'_>) -> Result<Option<Self>, SdpError> {
        let line = attribute.line;
        let mut words = attribute.required()?.split_ascii_whitespace();
        let (Some(tag), Some(suite), Some(keys)) = (words.next(), words.next(), words.next()) else {
            return Err(line.error("expected TAG SUITE inline:KEY"));
        };
        let tag = match tag.parse::<u32>() {
            Ok(tag) if tag <= 999_999_999 => tag,
            _ => return Err(line.error("the tag is not a number of 1 to 9 digits")),
        };
        let Some(profile) = Profile::from_name(suite) else { return Ok(None) };
        for parameter in words {
            session_parameter(parameter).map_err(|reason| line.error(reason))?;
        }
        if keys.contains(';') {
            return Ok(None);
        }
        let Some((method, info)) = keys.split_once(':') else { return Err(line.error("expected inline:KEY")) };
        if !method.eq_ignore_ascii_case("inline") {
            return Err(line.error("the only key method is \"inline\" (RFC 4568 9.1)"));
        }
        let mut parts = info.split('|');
        let key = zeroize::Zeroizing::new(
            BASE64.decode(parts.next().unwrap_or_default()).map_err(|_| line.error("the key is not base64"))?,
        );
        let key = KeyingMaterial::from_key_and_salt(profile, &key).map_err(|error| line.error(error.to_string()))?;
        let mki_len = key_parameters(parts).map_err(|reason| line.error(reason))?;
        Ok(Some(Self { tag, key, mki_len }))
    }

    /// The value of the line: `1 AES_CM_128_HMAC_SHA1_80 inline:...`.
    ///
    /// `pad` keeps the `=` of base64: peers with libsrtp accept both forms, a few old phones only the padded form. `lifetime` adds
    /// `|2^31`.
    pub fn text(tag: u32, key: &KeyingMaterial, pad: bool, lifetime: bool) -> String {
        let encoded = base64::engine::general_purpose::STANDARD.encode(key.key_and_salt().as_slice());
        let encoded = if pad { encoded.as_str() } else { encoded.trim_end_matches('=') };
        let lifetime = if lifetime { "|2^31" } else { "" };
        format!("{tag} {} inline:{encoded}{lifetime}", key.profile().name())
    }
}

/// Parses the optional lifetime (`2^20` or `1048576`) and the optional `MKI:LENGTH`. Returns the length of the MKI, 0 without one.
/// The error is the reason.
fn key_parameters<'a>(parts: impl Iterator<Item = &'a str>) -> Result<u8, String> {
    let mut mki_len = 0;
    let mut seen_lifetime = false;
    for part in parts {
        if let Some((value, length)) = part.split_once(':') {
            let known = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            match length.parse::<u8>() {
                Ok(length @ 1..=Crypto::MKI_BYTES_MAX) if known && mki_len == 0 => mki_len = length,
                _ => return Err(format!("an MKI must be VALUE:LENGTH of at most {} bytes", Crypto::MKI_BYTES_MAX)),
            }
        } else {
            // After this number of packets the peer must send new keys. Trestle does not use the value.
            let number = match part.strip_prefix("2^") {
                Some(exponent) => exponent.parse::<u32>().is_ok_and(|exponent| exponent <= 48),
                None => part.parse::<u64>().is_ok_and(|packets| packets > 0),
            };
            if !number || seen_lifetime || mki_len != 0 {
                return Err("the lifetime must be a number of packets or a power of two up to 2^48".to_owned());
            }
            seen_lifetime = true;
        }
    }
    Ok(mki_len)
}

/// Checks a session parameter. Trestle refuses parameters that disable protection and those that it does not support, such as a key
/// derivation rate (RFC 4568 section 6.3). Unknown parameters with `-` are optional and ignored. The error is the reason.
fn session_parameter(parameter: &str) -> Result<(), String> {
    let name = parameter.split('=').next().unwrap_or(parameter).to_ascii_uppercase();
    match name.as_str() {
        "UNENCRYPTED_SRTP" | "UNENCRYPTED_SRTCP" | "UNAUTHENTICATED_SRTP" => {
            Err(format!("{name} switches protection off"))
        }
        "KDR" if parameter.eq_ignore_ascii_case("KDR=0") => Ok(()),
        "WSH" => Ok(()),
        _ if name.starts_with('-') => Ok(()),
        _ => Err(format!("session parameter {name} is not supported")),
    }
}

impl MediaDescription {
    /// The `a=crypto` lines that Trestle can use, in the peer's order. A line that is malformed, has a session parameter that Trestle
    /// does not support, or repeats a tag, goes to `skipped`: the peer offers a choice (RFC 4568 sections 5.1.2 and 6.3).
    pub fn cryptos(&self, skipped: &mut Skipped) -> Vec<Crypto> {
        let mut cryptos: Vec<Crypto> = Vec::new();
        for attribute in self.attributes().filter(|attribute| attribute.name == "crypto") {
            let Some(crypto) = skipped.take(Crypto::parse(attribute)) else { continue };
            if cryptos.iter().any(|other| other.tag == crypto.tag) {
                skipped.add(attribute.line.error(format!("tag {} is used twice", crypto.tag)));
            } else if cryptos.len() == CRYPTO_MAX {
                skipped.add(attribute.line.error(format!("more than {CRYPTO_MAX} a=crypto lines")));
            } else {
                cryptos.push(crypto);
            }
        }
        cryptos
    }
}
