//! The kinds of calls whose packets are counted.

use trestle_core::plan::Codec;
use trestle_srtp::Profile;

use crate::{Script, Security, Side};

/// A kind of call, and what its peers do.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name in tables.
    pub name: &'static str,
    /// Its legs.
    pub sides: [Side; 2],
    /// What their peers do.
    pub scripts: [Script; 2],
}

const QUIET: Script = Script { speaks: false, digits: false, lossy: false, reports: false, suppresses_silence: false };
const SPEAKS: Script = Script { speaks: true, ..QUIET };
const LOSSY: Script = Script { lossy: true, ..SPEAKS };
const PRESSES: Script = Script { digits: true, ..SPEAKS };
const PAUSES: Script = Script { suppresses_silence: true, ..SPEAKS };
/// All at once.
const BUSY: Script = Script { speaks: true, digits: true, lossy: true, reports: true, suppresses_silence: false };

/// Every kind.
pub fn scenarios() -> Vec<Scenario> {
    let phone = Side::PHONE;
    let secure = Side::SECURE_PHONE;
    let gcm = Side::PHONE.over(Security::Sdes(Profile::AeadAes128Gcm));
    let plain_opus = Side { codec: Codec::Opus, ..Side::PHONE };
    let one_way = [SPEAKS, QUIET];
    let of = |name, sides, scripts| Scenario { name, sides, scripts };
    vec![
        of("forward rtp > rtp", [phone, phone], one_way),
        of("forward sdes > rtp", [secure, phone], one_way),
        of("forward rtp > sdes", [phone, secure], one_way),
        of("forward sdes > sdes", [secure, secure], one_way),
        of("forward gcm > gcm", [gcm, gcm], one_way),
        of("forward dtls > sdes opus", [Side::BROWSER, Side::SECURE_OPUS], one_way),
        of("forward sdes > dtls opus", [Side::SECURE_OPUS, Side::BROWSER], one_way),
        of("forward meta <> sdes opus", [Side::META, Side::SECURE_OPUS], [SPEAKS, SPEAKS]),
        of("forward rtp <> rtp all", [phone, phone], [BUSY, BUSY]),
        of("forward sdes <> sdes all", [secure, secure], [BUSY, BUSY]),
        of("forward meta <> sdes all", [Side::META, Side::SECURE_OPUS], [BUSY, BUSY]),
        of("transcode opus > pcma", [plain_opus, phone], one_way),
        of("transcode pcma > opus", [phone, plain_opus], one_way),
        of("transcode opus > pcma lossy", [plain_opus, phone], [LOSSY, QUIET]),
        of("transcode pcma > opus lossy", [phone, plain_opus], [LOSSY, QUIET]),
        of("bridge meta <> sdes pcma", [Side::META, secure], [SPEAKS, SPEAKS]),
        of("bridge digits", [Side::META, secure], [PRESSES, PRESSES]),
        of("bridge pauses", [Side::META, secure], [PAUSES, PAUSES]),
        of("bridge all", [Side::META, secure], [BUSY, BUSY]),
        of("bridge comfort noise", [Side::META, secure], [SPEAKS, QUIET]),
    ]
}
