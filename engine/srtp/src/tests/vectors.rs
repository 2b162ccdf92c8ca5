//! The test vectors of RFC 3711, RFC 6188 and RFC 7714, and whole packets as libsrtp 2 sends them.

use zeroize::Zeroizing;

use super::{protect, protect_rtcp, unprotect, unprotect_rtcp};
use crate::cipher::{Cipher, Gcm};
use crate::kdf::{Label, aes_cm, derive};
use crate::{KeyingMaterial, Profile, SrtpContext, UnprotectError};
use trestle_wire::Ssrc;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn keystream(key: &str, iv: [u8; 16], len: usize) -> Vec<u8> {
    let mut data = vec![0; len];
    aes_cm(&hex(key)).apply(iv, &mut data);
    data
}

/// The counter block that both keystream vectors start from: salt F0F1..FCFD, SSRC 0, index 0.
const IV: [u8; 16] = [0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0x00, 0x00];

#[test]
fn rfc_3711_b_2_aes_128_cm_keystream() {
    let stream = keystream("2B7E151628AED2A6ABF7158809CF4F3C", IV, 0xff02 * 16);
    let first =
        hex("E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0");
    let last =
        hex("EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE 6A2CC3787889374FBEB4C81B17BA6C44");
    assert_eq!(stream[..48], first);
    assert_eq!(stream[0xfeff * 16..], last, "counters FEFF, FF00, FF01");
}

#[test]
fn rfc_6188_7_1_aes_256_cm_keystream() {
    let stream = keystream("57f82fe3613fd170a85ec93c40b1f092 2ec4cb0dc025b58272147cc438944a98", IV, 0xff02 * 16);
    let first =
        hex("92bdd28a93c3f52511c677d08b5515a4 9da71b2378a854f67050756ded165bac 63c4868b7096d88421b563b8c94c9a31");
    let last =
        hex("cea518c90fd91ced9cbb18c078a54711 3dbc4814f4da5f00a08772b63c6a046d 6eb246913062a16891433e97dd01a57f");
    assert_eq!(stream[..48], first);
    assert_eq!(stream[0xfeff * 16..], last, "counters FEFF, FF00, FF01");
}

#[test]
fn rfc_3711_b_3_key_derivation() {
    let material = KeyingMaterial::new(
        Profile::AesCm128HmacSha1_80,
        &hex("E1F97A0D3E018BE0D64FA32C06DE4139"),
        &hex("0EC675AD498AFEEBB6960B3AABE6"),
    )
    .unwrap();
    assert_eq!(derive::<16>(&material, Label::RtpEncryption)[..], hex("C61E7A93744F39EE10734AFE3FF7A087"));
    assert_eq!(derive::<14>(&material, Label::RtpSalt)[..], hex("30CBBC08863D8C85D49DB34A9AE1"));
    assert_eq!(
        derive::<94>(&material, Label::RtpAuthentication)[..],
        hex("CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE
             E049646C43D9327AD175578EF7227098 6371C10C9A369AC2F94A8C5FBCDDDC25
             6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2")
    );
}

#[test]
fn rfc_6188_7_2_key_derivation() {
    let material = rfc_6188_material();
    assert_eq!(
        derive::<32>(&material, Label::RtpEncryption)[..],
        hex("5ba1064e30ec51613cad926c5a28ef73 1ec7fb397f70a960653caf06554cd8c4")
    );
    assert_eq!(derive::<14>(&material, Label::RtpSalt)[..], hex("fa31791685ca444a9e07c6c64e93"));
    assert_eq!(derive::<20>(&material, Label::RtpAuthentication)[..], hex("fd9c32d39ed5fbb5a9dc96b30818454d1313dc05"));
}

fn rfc_6188_material() -> KeyingMaterial {
    KeyingMaterial::new(
        Profile::AesCm256HmacSha1_80,
        &hex("f0f04914b513f2763a1b1fa130f10e29 98f6f6e43e4309d1e622a0e332b9f1b6"),
        &hex("3b04803de51ee7c96423ab5b78d2"),
    )
    .unwrap()
}

/// RFC 7714 sections 16 and 17 give session keys, not master keys.
fn rfc_7714_context(profile: Profile) -> SrtpContext {
    let key: Vec<u8> = (0..profile.key_len() as u8).collect();
    let cipher = || {
        let mut salt = Zeroizing::new([0; 12]);
        salt.copy_from_slice(b"Quid pro quo");
        Cipher::Gcm(Gcm::new(&key, salt))
    };
    let mut context = SrtpContext::new(&KeyingMaterial::new(profile, &key, &[0; 12]).unwrap());
    context.rtp = cipher();
    context.rtcp = cipher();
    context
}

const RFC_7714_RTP: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976
    69736120 696e2070 61727465 73207472 6573";

const RFC_7714_RTCP: &str = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
    deadbeef deadbeef deadbeef deadbeef deadbeef";

struct Rfc7714 {
    profile: Profile,
    srtp: &'static str,
    /// Authenticated only.
    srtp_clear: &'static str,
    srtcp: &'static str,
    /// Authenticated only: E = 0.
    srtcp_clear: &'static str,
}

const RFC_7714: [Rfc7714; 2] = [
    Rfc7714 {
        profile: Profile::AeadAes128Gcm,
        srtp: "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5
            0d294e6f 42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
        srtp_clear: "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976
            69736120 696e2070 61727465 73207472 65732249 3f82d2bc e397e9d7 9e3b19aa 4216",
        srtcp: "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d
            c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872
            45d9eade 800005d4",
        srtcp_clear: "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
            deadbeef deadbeef deadbeef deadbeef deadbeef 841dd968 3dd78ec9 2ae58790
            125f62b3 000005d4",
    },
    Rfc7714 {
        profile: Profile::AeadAes256Gcm,
        srtp: "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238
            9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
        srtp_clear: "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976
            69736120 696e2070 61727465 73207472 6573a866 d5910f88 7463067c eefec452 15d4",
        srtcp: "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50
            a2eaa5c1 110555be 8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c
            b26ac3be 800005d4",
        srtcp_clear: "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
            deadbeef deadbeef deadbeef deadbeef deadbeef 91db4afb feee5a97 8fab4393
            ed2615fe 000005d4",
    },
];

#[test]
fn rfc_7714_16_srtp() {
    for vector in RFC_7714 {
        let (plain, secret) = (hex(RFC_7714_RTP), hex(vector.srtp));
        assert_eq!(protect(&mut rfc_7714_context(vector.profile), plain.clone()), Ok(secret.clone()));
        assert_eq!(unprotect(&mut rfc_7714_context(vector.profile), &secret), Ok(plain));
        let clear = unprotect(&mut rfc_7714_context(vector.profile), &hex(vector.srtp_clear));
        assert_eq!(clear, Err(UnprotectError::AuthFailed), "authenticated only is never agreed to");
    }
}

#[test]
fn rfc_7714_17_srtcp() {
    for vector in RFC_7714 {
        let (plain, secret) = (hex(RFC_7714_RTCP), hex(vector.srtcp));
        let mut sender = rfc_7714_context(vector.profile);
        sender.set_srtcp_index(0x5d4);
        assert_eq!(protect_rtcp(&mut sender, plain.clone()), Ok(secret.clone()));
        let mut receiver = rfc_7714_context(vector.profile);
        assert_eq!(unprotect_rtcp(&mut receiver, &secret), Ok(plain));
        assert_eq!(receiver.received_srtcp_index(Ssrc(0x4d61_7273)), Some(0x5d4));
        let clear = unprotect_rtcp(&mut rfc_7714_context(vector.profile), &hex(vector.srtcp_clear));
        assert_eq!(clear, Err(UnprotectError::Malformed), "authenticated only is never agreed to");
    }
}

#[test]
fn rfc_7714_every_bit_of_a_tag_counts() {
    for vector in RFC_7714 {
        let (srtp, srtcp) = (hex(vector.srtp), hex(vector.srtcp));
        for bit in 0..128 {
            let mut forged = srtp.clone();
            let at = srtp.len() - 16 + bit / 8;
            forged[at] ^= 1 << (bit % 8);
            let refused = unprotect(&mut rfc_7714_context(vector.profile), &forged);
            assert_eq!(refused, Err(UnprotectError::AuthFailed), "SRTP tag bit {bit}");

            let mut forged = srtcp.clone();
            let at = srtcp.len() - 20 + bit / 8;
            forged[at] ^= 1 << (bit % 8);
            let refused = unprotect_rtcp(&mut rfc_7714_context(vector.profile), &forged);
            assert_eq!(refused, Err(UnprotectError::AuthFailed), "SRTCP tag bit {bit}");
        }
    }
}

/// What libsrtp 2 sends under master key 10 11 12.. and salt a0 a1 a2..: two SRTP packets over a wrap, the second with
/// CSRCs and an extension, then two SRTCP packets with the indices 1 and 2.
const LIBSRTP: [(Profile, [&str; 4]); 4] = [
    (
        Profile::AesCm128HmacSha1_80,
        [
            "806fffff01020304cafebabe 09651f98e5e260182247d6d8ce8e 2719c013efd6bd011ed6",
            "926f000001020304cafebabe1111111122222222bede000110ff0000 4115d552e2713271b2a214be0231 f0a9ef86328b45e3abd3",
            "80c90001cafebabe cddcf9adce772d5b95fa25b8f1811e81 80000001 24b17101c529da7eecf7",
            "80c90001cafebabe 43d662407538152194dbedd0529283e0 80000002 26e94c3c24b347541337",
        ],
    ),
    (
        Profile::AesCm128HmacSha1_32,
        [
            "806fffff01020304cafebabe 09651f98e5e260182247d6d8ce8e 2719c013",
            "926f000001020304cafebabe1111111122222222bede000110ff0000 4115d552e2713271b2a214be0231 f0a9ef86",
            "80c90001cafebabe cddcf9adce772d5b95fa25b8f1811e81 80000001 24b17101c529da7eecf7",
            "80c90001cafebabe 43d662407538152194dbedd0529283e0 80000002 26e94c3c24b347541337",
        ],
    ),
    (
        Profile::AeadAes128Gcm,
        [
            "806fffff01020304cafebabe 0dedf1dc6822fcb502d61f98672c cceb1e6d57647dd6ef18cea4c2397bd1",
            "926f000001020304cafebabe1111111122222222bede000110ff0000 fe8e5c5ec0c2d109a4739ff5a299
             88cdffba08366902c75f76d932650628",
            "80c90001cafebabe fc7f52175fb162341b496dae80876d4a 33f4feb377a8d2ff6d8d4e9e7e377031 80000001",
            "80c90001cafebabe d32a782d6bdee8cc2aced3eadaa016ff c7e690a10e886908b4244ba48d9e7752 80000002",
        ],
    ),
    (
        Profile::AeadAes256Gcm,
        [
            "806fffff01020304cafebabe 071d2376ac932deb96f8e139f88d 946b39201f1f08a2ea8e9c6bdfa32026",
            "926f000001020304cafebabe1111111122222222bede000110ff0000 e2c2eff4cbc7c528ce5b71e7c9e9
             17bff90495fa069b9aec86630883a1ea",
            "80c90001cafebabe 8b619035d1655dda20b4e3eb72c52e7a ff910d6243d98e81a02c67f32c34aba3 80000001",
            "80c90001cafebabe db460a6b5d1752b37d56a95ed765f312 7a3390ead67ec4d4785fce7c4c56331a 80000002",
        ],
    ),
];

#[test]
fn packets_are_those_of_libsrtp_in_both_directions() {
    let speech = b"one small step";
    let rtp = [
        [hex("806fffff01020304cafebabe"), speech.to_vec()].concat(),
        [hex("926f000001020304cafebabe1111111122222222bede000110ff0000"), speech.to_vec()].concat(),
    ];
    let rtcp = hex("80c90001cafebabe 81ca0003cafebabe 0104656172740000");
    for (profile, [first, second, report_1, report_2]) in LIBSRTP {
        let key: Vec<u8> = (0x10..0x30).collect();
        let salt: Vec<u8> = (0xa0..0xae).collect();
        let material = KeyingMaterial::new(profile, &key[..profile.key_len()], &salt[..profile.salt_len()]).unwrap();
        let (mut sender, mut receiver) = (SrtpContext::new(&material), SrtpContext::new(&material));
        sender.set_srtcp_index(1);
        for (plain, secret) in rtp.iter().zip([first, second]) {
            assert_eq!(protect(&mut sender, plain.clone()), Ok(hex(secret)), "{profile:?}");
            assert_eq!(unprotect(&mut receiver, &hex(secret)).as_ref(), Ok(plain), "{profile:?}");
        }
        for secret in [report_1, report_2] {
            assert_eq!(protect_rtcp(&mut sender, rtcp.clone()), Ok(hex(secret)), "{profile:?}");
            assert_eq!(unprotect_rtcp(&mut receiver, &hex(secret)).as_ref(), Ok(&rtcp), "{profile:?}");
        }
    }
}

#[test]
fn a_packet_under_the_master_key_of_rfc_6188() {
    // As libsrtp validates itself: sequence number 1234, sixteen bytes of AB.
    let plain = hex("800f1234decafbadcafebabe abababababababababababababababab");
    let secret = hex("800f1234decafbadcafebabe f1d9de17ff251ff1aa007774b0b4b40d a08d9d9a5b3a55d8873b");
    assert_eq!(protect(&mut SrtpContext::new(&rfc_6188_material()), plain.clone()), Ok(secret.clone()));
    assert_eq!(unprotect(&mut SrtpContext::new(&rfc_6188_material()), &secret), Ok(plain));
}
