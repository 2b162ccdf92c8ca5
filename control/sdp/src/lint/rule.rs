//! The rules. Each has a requirement, the reason for it, and the correction. Operators read these texts.

use super::Writer;

/// How serious a broken rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The call works. The finding is for information.
    Hint,
    /// The call may fail, or has a lower quality.
    Warning,
    /// The call is refused, or has no media.
    Error,
}

impl Severity {
    /// Name in the output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hint => "hint",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// The texts of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// The requirement, as a statement that is true of a correct description.
    pub asks: &'static str,
    /// The reason: what happens if the rule is broken, with Meta's error code if it is known.
    pub why: &'static str,
    /// The correction.
    pub fix: &'static str,
}

macro_rules! rules {
    ($($rule:ident $id:literal $severity:ident [$($writer:ident)*] $asks:literal $why:literal $fix:literal;)*) => {
        /// A requirement that a description must meet.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $(#[doc = $asks] $rule,)*
        }

        impl Rule {
            /// All rules, in the order of the lines of a description.
            pub const ALL: &[Self] = &[$(Self::$rule),*];

            /// Name in the output and on the command line.
            pub fn id(self) -> &'static str {
                match self { $(Self::$rule => $id,)* }
            }

            /// How serious it is to break the rule.
            pub fn severity(self) -> Severity {
                match self { $(Self::$rule => Severity::$severity,)* }
            }

            /// The writers whose descriptions must keep the rule.
            pub fn writers(self) -> &'static [Writer] {
                match self { $(Self::$rule => &[$(Writer::$writer),*],)* }
            }

            /// The texts of the rule.
            pub fn explain(self) -> Explanation {
                match self { $(Self::$rule => Explanation { asks: $asks, why: $why, fix: $fix },)* }
            }
        }
    };
}

rules! {
    Escaped "escaped" Error [Us Meta Phone]
        "lines end with CR LF, not with a backslash and a letter"
        "JSON was encoded twice. Meta reads one long line: error 138008, \"SDP Validation error\"."
        "Pass the string unchanged, and let the JSON library escape it once.";
    SessionSdp "session-sdp" Warning [Us Meta]
        "the description is in `session.sdp`"
        "Meta's FAQ: \"Do not use the legacy connection->WebRTC->SDP param\". Its value is escaped in another way."
        "Read and write `session.sdp`.";
    SdpType "sdp-type" Error [Us Meta]
        "`sdp_type` is \"answer\" in pre_accept and accept, and \"offer\" in connect"
        "Meta's parameter table has \"offer\" for all three, but Meta refuses an answer with that type."
        "Write \"answer\" in pre_accept and accept, \"offer\" in connect.";
    LineEnds "line-ends" Warning [Us]
        "each line, the last one too, ends with CR LF (RFC 8866 section 5)"
        "Meta's FAQ: RFC 8866 \"requires CRLF to be used to end a record\". If an editor saved this file with LF, only the file is wrong."
        "Write \\r\\n after each line.";
    Ascii "ascii" Warning [Us]
        "all characters are ASCII, and there is no byte order mark"
        "RFC 8866 allows UTF-8 in s= and i=, but not in o= or in a cname."
        "Write s=- and a cname of letters and digits.";
    LineForm "line-form" Error [Us Meta Phone]
        "a line is a lower-case letter, \"=\" and a value; there is no white space before it and no empty line between"
        "A strict parser stops here: 138008 at Meta, an error-reason at Trestle."
        "Remove the empty line, or the white space that an editor or a here-document put before the letter.";
    Readable "readable" Error [Us Meta Phone]
        "the description can be parsed (RFC 8866)"
        "A peer refuses a description that it cannot parse."
        "Correct the line. The message above names what is expected.";
    SessionLines "session-lines" Error [Us]
        "v=, o=, s= and t= are the first lines, in this order"
        "\"The SDP must be compliant with RFC 8866\", and its section 5 requires them: 138008."
        "Begin with v=0, o=- ID VERSION IN IP4 ADDRESS, s=-, t=0 0.";
    Origin "origin" Warning [Us]
        "o= has a number as session id and a number as version"
        "A peer that compares versions (RFC 3264 section 8) cannot compare words."
        "Use a random number as id, and increase the version when the text changes.";
    Time "time" Warning [Us]
        "t= is 0 0: the call has no scheduled time"
        "All samples of Meta have it. Another time means that the call is over or has not begun."
        "Write t=0 0.";
    OneMedia "one-media" Error [Us Meta]
        "there is one m= line, and it is audio"
        "\"Only one stream is supported in the Offer/Answer SDP\": 138008."
        "Remove video and data channels before the offer is made: one audio transceiver, nothing else.";
    Bundle "bundle" Warning [Us]
        "with DTLS, one a=group:BUNDLE contains the a=mid of the audio"
        "Meta's own descriptions have it. Each answer with DTLS that Meta is known to accept has it too."
        "Write a=group:BUNDLE and a=mid with the same word; in an answer, with the word of the offer.";
    Profile "profile" Error [Us Meta]
        "the protocol of m= is UDP/TLS/RTP/SAVPF (DTLS) or RTP/SAVP (SDES)"
        "Meta accepts no other protocol: SIP 488, or 138008. Meta never accepts plain RTP."
        "Use the protocol that the number's srtp_key_exchange_protocol selects.";
    Keying "keying" Error [Us Meta]
        "keys come from a=fingerprint or from a=crypto, never from both"
        "The number is set to one of the two. Meta refuses a description with both: 138008."
        "Remove a=crypto with UDP/TLS/RTP/SAVPF, or a=fingerprint with RTP/SAVP.";
    OneFingerprint "one-fingerprint" Error [Us Meta]
        "with DTLS there is exactly one a=fingerprint"
        "This is the most frequent cause of 138008 (subcode 2593093). If there is none, Meta's text is \"No fingerprint found in SDP\"."
        "Keep the sha-256 line and remove the others. Some stacks add sha-384 and sha-512.";
    FingerprintHash "fingerprint-hash" Error [Us Meta]
        "the fingerprint is sha-256, 32 pairs of hexadecimal digits"
        "Meta's samples have sha-256, and so has each answer that Meta is known to accept. Another hash causes 138008, or the handshake fails."
        "Write a=fingerprint:sha-256 with the digest of the certificate in use.";
    FingerprintCapitals "fingerprint-capitals" Warning [Us]
        "the hexadecimal digits of the fingerprint are upper-case"
        "RFC 8122 section 5 requires upper case, and some parsers compare the text."
        "Write A to F, not a to f.";
    FingerprintPlace "fingerprint-place" Hint [Us]
        "a=fingerprint is below m="
        "It is legal above m=, but each description of Meta has it below."
        "Move the line below the m= line.";
    OneCrypto "one-crypto" Error [Us Meta]
        "with RTP/SAVP there is an a=crypto, and in an answer exactly one"
        "Without keys there is no SRTP. An answer chooses one line of the offer (RFC 4568 section 5.1.2)."
        "Write one a=crypto; in an answer, with the tag of the offered line.";
    CryptoKey "crypto-key" Error [Us Meta Phone]
        "a=crypto is TAG SUITE inline:KEY with a key of the suite's length (RFC 4568 section 9.1)"
        "The peer cannot decrypt what it receives: no audio, or SIP 488."
        "Encode key and salt together, as base64: 30 octets for AES_CM_128.";
    CryptoSuite "crypto-suite" Warning [Us]
        "AES_CM_128_HMAC_SHA1_80 is one of the suites"
        "Meta's own lines have this suite. Other suites were accepted beside it; without it they are untested."
        "Put AES_CM_128_HMAC_SHA1_80 first.";
    Setup "setup" Error [Us]
        "a=setup is actpass in an offer, active in an answer"
        "RFC 5763 section 5 requires actpass in an offer and forbids it in an answer. If both sides wait for the ClientHello, no media flows, and WhatsApp hangs up after 20 s."
        "Write a=setup:actpass in offers, a=setup:active in answers.";
    DtlsClient "dtls-client" Warning [Us]
        "an answer to Meta has a=setup:active: you send the ClientHello"
        "Meta asks businesses to be the DTLS client. A DTLS server has to wait for Meta, and the first words of the call are lost."
        "Answer a=setup:active, and send the ClientHello as soon as an ICE pair is valid.";
    SetupAnswered "setup-answered" Warning [Meta]
        "Meta's answer has a=setup:active or a=setup:passive"
        "RFC 5763 section 5 forbids actpass in an answer. With it, or without a=setup, it is undefined which side sends the ClientHello. This occurs in real calls."
        "Send the ClientHello, and also accept one. Trestle does both.";
    IceLite "ice-lite" Error [Us]
        "there is no a=ice-lite"
        "Meta is ICE-lite. Two lite agents both wait for checks of the other: no media, and the call ends after 20 s."
        "Use a full ICE agent in the controlling role.";
    LiteExpected "lite-expected" Warning [Meta]
        "Meta's description has a=ice-lite"
        "Meta's descriptions always have it. Without it the offerer gets the controlling role, and a role conflict takes time."
        "If ICE connects, do nothing. Otherwise find out which element changed the description.";
    IceCredentials "ice-credentials" Error [Us Meta]
        "with DTLS there are a=ice-ufrag (4 characters or more) and a=ice-pwd (22 or more)"
        "Without them no connectivity check can be sent or answered (RFC 8839 section 5.4)."
        "Write the values of your ICE agent.";
    IceChars "ice-chars" Warning [Us]
        "ice-ufrag and ice-pwd have only letters, digits, + and /"
        "RFC 8839 section 5.4 allows no other characters. Meta itself writes base64 with = at the end; a strict parser refuses that."
        "Use random characters of these 64, without padding.";
    PaddedPwd "padded-pwd" Hint [Meta]
        "Meta's ice-pwd ends with ="
        "Base64 padding is not an ice-char; a strict parser refuses the whole description. Trestle accepts it."
        "Make your parser accept it, and use the password with its padding.";
    Candidates "candidates" Hint [Us]
        "the description has an a=candidate"
        "Meta accepts a description without candidates: it learns your address from your checks. Until they arrive, Meta can send nothing."
        "Wait until gathering is complete, then send the complete description.";
    CandidatesExpected "candidates-expected" Warning [Meta]
        "Meta's description has a host candidate over UDP"
        "Without one, ICE cannot connect, unless c= and m= have the address."
        "Find out which element removed it from the description.";
    Trickle "trickle" Hint [Us]
        "there is no a=ice-options:trickle"
        "The line announces later candidates, but there is no way to send them to Meta."
        "Remove the line, and write all candidates.";
    CandidateForm "candidate-form" Error [Us Meta Phone]
        "a=candidate is FOUNDATION COMPONENT udp PRIORITY ADDRESS PORT typ TYPE (RFC 8839 section 5.1)"
        "A strict parser refuses the whole description for one malformed candidate: 138008."
        "Copy the line from your ICE agent unchanged.";
    CandidateKind "candidate-kind" Warning [Us]
        "each candidate has the type host, UDP, component 1, and an IP address"
        "Meta has one UDP address and one component. It cannot use TCP, mDNS names, or candidates for RTCP."
        "Write the public address as host candidate (1:1 NAT), and remove the others.";
    CandidateCount "candidate-count" Warning [Us]
        "there is one IPv4 candidate and at most one IPv6 candidate"
        "Meta: \"A single ipv4 and ipv6 address per data stream component. The SDP answer should follow the same format.\" Further addresses are often those of virtual interfaces: STUN may pass on them, and media may not."
        "Gather candidates only on the interface that Meta can reach.";
    PublicAddress "public-address" Error [Us]
        "c= and candidates are addresses that Meta can reach"
        "Descriptions with a private address in c= were refused with 138008. With SDES, Meta sends media there and it is lost: no audio, and the call ends after 30 s."
        "Write the public address of the NAT. Trestle: --interface=10.0.0.5!203.0.113.9.";
    CandidateAddress "candidate-address" Warning [Us]
        "c= and the port of m= are those of a candidate"
        "They are the default candidate (RFC 8839 section 4.2.1.2), also in Meta's own descriptions."
        "Write the host candidate's address and port into c= and m=.";
    MediaPort "media-port" Error [Us]
        "m= and c= give the address of media: the port is not 0; without ICE, the port is not 9 and the address is not 0.0.0.0"
        "With SDES there is no other place for the address. Port 0 refuses the stream."
        "Write the address and port of the socket.";
    Codecs "codecs" Error [Us Meta Phone]
        "there is Opus or G.711"
        "\"Use only the supported codecs\": Opus, PCMA and PCMU. Meta refuses a call without one of them."
        "Add opus/48000/2 to the description, or put a transcoder between.";
    Opus "opus" Warning [Us]
        "there is Opus"
        "G.711 must be enabled for the number, and Meta transcodes it, which adds delay and reduces quality."
        "Offer opus/48000/2 first.";
    CodecList "codec-list" Warning [Us]
        "there is no format other than Opus, PCMA, PCMU and telephone-event/8000"
        "\"Use only the supported codecs.\" If a mandatory requirement is not met, the call fails. G722, red, CN and telephone-event/48000 come from browsers."
        "Set the codec preferences before the description is made.";
    TelephoneEvent "telephone-event" Warning [Us Meta Phone]
        "there is telephone-event/8000"
        "Digits are lost, or arrive as tones. Meta sends them as payload type 126 even if its answer does not list it."
        "Write a=rtpmap:126 telephone-event/8000. The clock rate is 8000 Hz, also beside Opus.";
    Rtpmap "rtpmap" Error [Us Meta]
        "every payload type above 95 has an a=rtpmap"
        "The peer cannot know the codec of the payload type."
        "Write the line, or remove the payload type from m=.";
    OpusClock "opus-clock" Error [Us]
        "Opus is opus/48000/2 at any audio bandwidth (RFC 7587 section 7)"
        "\"Set the media clock rate to 48 kHz\" is mandatory. Otherwise signalling or decoding fails."
        "Write opus/48000/2. Announce 16 kHz with maxplaybackrate.";
    Ptime "ptime" Error [Us]
        "packets have 20 ms: a=ptime is 20, and a=maxptime is not less"
        "\"Use a ptime of 20ms\" is mandatory for Meta."
        "Write a=ptime:20 and a=maxptime:20, and send packets of 20 ms.";
    PtimeExplicit "ptime-explicit" Hint [Us]
        "a=ptime:20 and a=maxptime:20 are both present"
        "20 ms is the default, but Meta's own current descriptions have both lines."
        "Write both lines.";
    OpusFec "opus-fec" Hint [Us]
        "a=fmtp of Opus has useinbandfec=1"
        "Meta then sends, in each packet, a copy of the frame before (in-band FEC)."
        "Write a=fmtp:111 useinbandfec=1, and the other parameters of Meta's own line.";
    OpusFmtp "opus-fmtp" Hint [Us]
        "the parameters of Opus in an answer are those of Meta's offer"
        "Meta encodes at 16 kHz and 20 kbit/s. It plays no higher bandwidth."
        "Copy Meta's a=fmtp.";
    RtcpFb "rtcp-fb" Hint [Us]
        "a=rtcp-fb announces only feedback that is sent"
        "transport-cc needs its header extension. nack and ccm are for video."
        "Remove the lines unless your stack sends that feedback.";
    RtcpMux "rtcp-mux" Error [Us]
        "with DTLS there is a=rtcp-mux"
        "Meta has one port and one component. RTCP on another port is lost."
        "Write a=rtcp-mux, and send RTCP on the ICE pair of RTP.";
    SendRecv "sendrecv" Error [Us Meta]
        "the direction is a=sendrecv"
        "Meta does not support hold. Without packets from you, WhatsApp hangs up: after 20 s at the start of a call, after 30 s later."
        "Keep a=sendrecv, and send music or silence.";
    OneSsrc "one-ssrc" Error [Us Meta]
        "one SSRC is announced"
        "\"Audio must use a single SSRC\". A second SSRC causes glitches and probably total loss of media."
        "Announce one SSRC, and keep it through hold, transfer and prompts.";
    SsrcAnnounced "ssrc-announced" Hint [Us]
        "there is an a=ssrc with a cname"
        "Meta's own descriptions have it. A second SSRC can then be detected before it causes harm."
        "Write a=ssrc:NUMBER cname:NAME.";
    MidEcho "mid-echo" Error [Us]
        "an answer has the a=mid of the offer"
        "Otherwise the answer is about a stream that is not in the offer (RFC 9143): 138008."
        "Copy a=mid from the offer.";
    AnswerShape "answer-shape" Error [Us Meta]
        "an answer has as many m= lines as the offer, with the same protocols"
        "RFC 3264 section 6 requires it. The number's srtp_key_exchange_protocol selects DTLS or SDES."
        "Answer each m= line, and keep its protocol.";
    AnswerFormats "answer-formats" Error [Us Meta]
        "an answer has only payload types of the offer, each with the same codec"
        "Packets with another payload type are dropped: one side receives no audio."
        "Copy payload types and names from the offer.";
    AnswerExtmap "answer-extmap" Warning [Us]
        "an answer has only a=extmap lines of the offer"
        "RFC 8285 section 6 requires it. Meta's current offers have none."
        "Remove the lines.";
    Bridgeable "bridgeable" Error [Us Meta Phone]
        "Trestle can bridge the description"
        "Trestle refuses this description for the reason in the message above."
        "Correct what the message above names.";
}

impl Rule {
    /// The rule with this [`Rule::id`].
    pub fn by_id(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.id() == id)
    }

    /// True if a description of `writer` must keep the rule.
    pub fn concerns(self, writer: Writer) -> bool {
        self.writers().contains(&writer)
    }

    /// Meta's error code for a description that breaks the rule, if it is known.
    pub fn meta_error(self) -> Option<u32> {
        self.explain().why.contains("138008").then_some(138_008)
    }
}
