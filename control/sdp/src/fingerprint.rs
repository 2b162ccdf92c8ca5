//! `a=fingerprint` (RFC 8122).

use trestle_core::plan::Fingerprint;

use super::{Attribute, MediaDescription, Sdp, SdpError, Skipped};

/// Digests that are kept.
const FINGERPRINTS_MAX: usize = 8;

impl Sdp {
    /// The digests of the peer's certificates; the certificate that it sends must have one of them (RFC 8122 section 5). SHA-1 is
    /// taken only if there is no other. A line that is malformed, or has an unknown hash function, goes to `skipped`.
    pub fn fingerprints(&self, media: &MediaDescription, skipped: &mut Skipped) -> Vec<Fingerprint> {
        let mut fingerprints: Vec<Fingerprint> = Vec::new();
        for attribute in self.attributes_of(media, "fingerprint") {
            match read(attribute) {
                Ok(found) if fingerprints.contains(&found) => {}
                Ok(found) if fingerprints.len() < FINGERPRINTS_MAX => fingerprints.push(found),
                Ok(_) => skipped.add(attribute.line.error(format!("more than {FINGERPRINTS_MAX} fingerprints"))),
                Err(error) => skipped.add(error),
            }
        }
        let is_weak = |fingerprint: &Fingerprint| matches!(fingerprint, Fingerprint::Sha1(_));
        if !fingerprints.iter().all(is_weak) {
            fingerprints.retain(|fingerprint| !is_weak(fingerprint));
        }
        fingerprints
    }
}

fn read(attribute: Attribute<'_>) -> Result<Fingerprint, SdpError> {
    let value = attribute.required()?;
    let (hash, digest) = value.split_once(' ').ok_or_else(|| attribute.line.error("expected HASH XX:XX:..."))?;
    let hash = hash.to_ascii_lowercase();
    if !matches!(hash.as_str(), "sha-1" | "sha-256" | "sha-384" | "sha-512") {
        return Err(attribute.line.error("the hash must be sha-256 (or sha-1, sha-384, sha-512)"));
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
    Ok(match hash.as_str() {
        "sha-1" => Fingerprint::Sha1(bytes.try_into().map_err(wrong)?),
        "sha-256" => Fingerprint::Sha256(bytes.try_into().map_err(wrong)?),
        "sha-384" => Fingerprint::Sha384(bytes.try_into().map_err(wrong)?),
        _ => Fingerprint::Sha512(bytes.try_into().map_err(wrong)?),
    })
}

/// A SHA-256 digest as in `a=fingerprint`: pairs of upper-case hexadecimal digits, with colons between (RFC 8122 section 5).
pub fn sha256_text(digest: &[u8; 32]) -> String {
    let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}
