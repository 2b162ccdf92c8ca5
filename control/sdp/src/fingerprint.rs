//! `a=fingerprint` (RFC 8122).

use trestle_core::plan::Fingerprint;

use super::{Attribute, MediaDescription, Sdp, SdpError};

impl Sdp {
    /// The digest of the peer's certificate; `None` without `a=fingerprint`. Of several digests SHA-256 is used, else the longest.
    /// Unknown hash functions are ignored if there is a known one.
    ///
    /// # Errors
    ///
    /// All hash functions are unknown, or a line is malformed.
    pub fn fingerprint(&self, media: &MediaDescription) -> Result<Option<Fingerprint>, SdpError> {
        let mut best: Option<(u8, Fingerprint)> = None;
        let mut unknown: Option<Attribute<'_>> = None;
        for attribute in self.attributes_of(media, "fingerprint") {
            match read(attribute)? {
                None => unknown = Some(attribute),
                Some(found) if best.as_ref().is_none_or(|(rank, _)| found.0 > *rank) => best = Some(found),
                Some(_) => {}
            }
        }
        match (best, unknown) {
            (Some((_, fingerprint)), _) => Ok(Some(fingerprint)),
            (None, Some(attribute)) => {
                Err(attribute.line.error("the hash must be sha-256 (or sha-1, sha-384, sha-512)"))
            }
            (None, None) => Ok(None),
        }
    }
}

/// The digest and its rank (higher is preferred); `None` if the hash function is unknown.
fn read(attribute: Attribute<'_>) -> Result<Option<(u8, Fingerprint)>, SdpError> {
    let value = attribute.required()?;
    let (hash, digest) = value.split_once(' ').ok_or_else(|| attribute.line.error("expected HASH XX:XX:..."))?;
    let hash = hash.to_ascii_lowercase();
    if !matches!(hash.as_str(), "sha-1" | "sha-256" | "sha-384" | "sha-512") {
        return Ok(None);
    }
    let bytes: Option<Vec<u8>> = digest
        .trim()
        .split(':')
        .map(|pair| match pair.as_bytes() {
            [a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => u8::from_str_radix(pair, 16).ok(),
            _ => None,
        })
        .collect();
    let bytes = bytes
        .ok_or_else(|| attribute.line.error("the digest is not pairs of hexadecimal digits with colons between"))?;
    let wrong = |_| attribute.line.error(format!("the length of the digest is not that of {hash}"));
    Ok(Some(match hash.as_str() {
        "sha-1" => (0, Fingerprint::Sha1(bytes.try_into().map_err(wrong)?)),
        "sha-256" => (3, Fingerprint::Sha256(bytes.try_into().map_err(wrong)?)),
        "sha-384" => (1, Fingerprint::Sha384(bytes.try_into().map_err(wrong)?)),
        _ => (2, Fingerprint::Sha512(bytes.try_into().map_err(wrong)?)),
    }))
}

/// A SHA-256 digest as in `a=fingerprint`: pairs of upper-case hexadecimal digits, with colons between (RFC 8122 section 5).
pub fn sha256_text(digest: &[u8; 32]) -> String {
    let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}
