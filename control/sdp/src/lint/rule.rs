//! The rules: what each asks for, why, and what to do.

use super::Writer;

/// What a broken rule costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Works as it is; there is something to know about it.
    Hint,
    /// Works with luck, or worse than it could.
    Warning,
    /// The call is refused, or comes up without media.
    Error,
}

impl Severity {
    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hint => "hint",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A rule in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// What the rule asks for.
    pub asks: &'static str,
    /// What happens otherwise, with Meta's error where one is known.
    pub why: &'static str,
    /// What to do.
    pub fix: &'static str,
}

macro_rules! rules {
    ($($rule:ident $id:literal $severity:ident [$($writer:ident)*] $asks:literal $why:literal $fix:literal;)*) => {
        /// Something that is asked of a description.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $(#[doc = $asks] $rule,)*
        }

        impl Rule {
            /// Every rule, in the order in which a description is read.
            pub const ALL: &[Self] = &[$(Self::$rule),*];

            /// Its name.
            pub fn id(self) -> &'static str {
                match self { $(Self::$rule => $id,)* }
            }

            /// What breaking it costs.
            pub fn severity(self) -> Severity {
                match self { $(Self::$rule => Severity::$severity,)* }
            }

            /// Whose descriptions have to keep it.
            pub fn writers(self) -> &'static [Writer] {
                match self { $(Self::$rule => &[$(Writer::$writer),*],)* }
            }

            /// It in words.
            pub fn explain(self) -> Explanation {
                match self { $(Self::$rule => Explanation { asks: $asks, why: $why, fix: $fix },)* }
            }
        }
    };
}

rules! {
    Escaped "escaped" Error [Us Meta Phone]
        "line ends are line ends, not a backslash and a letter"
        "JSON was encoded twice. Meta reads one endless line: error 138008, \"SDP Validation error\"."
        "Hand the string over as it is and let the JSON library escape it, once.";
    SessionSdp "session-sdp" Warning [Us Meta]
        "the description is in `session.sdp`"
        "Meta's FAQ: \"Do not use the legacy connection->WebRTC->SDP param\"; it is escaped in another way."
        "Read and write `session.sdp`.";
    SdpType "sdp-type" Error [Us Meta]
        "`sdp_type` is the kind of the description: answer with pre_accept and accept, offer with connect"
        "Meta's parameter table has \"offer\" everywhere, but an answer with that type is refused."
        "Say \"answer\" in pre_accept and accept, \"offer\" in connect.";
    LineEnds "line-ends" Warning [Us]
        "every line, the last one too, ends with CR LF (RFC 8866 section 5)"
        "Meta's FAQ: RFC 8866 \"requires CRLF to be used to end a record\". An editor may have saved this file with LF; then only the file is at fault."
        "Write \\r\\n after every line.";
    Ascii "ascii" Warning [Us]
        "nothing but ASCII, and no byte order mark"
        "A name with an accent is legal UTF-8 in s= and i=; in a cname or in o= it is not, and nothing is gained by finding out."
        "Write s=- and a cname of letters and digits.";
    LineForm "line-form" Error [Us Meta Phone]
        "a line is a small letter, \"=\" and a value, without white space before it and without empty lines between"
        "A strict reader stops here: 138008 at Meta, an error-reason here."
        "Take out the empty line, or the white space that an editor or a here-document put before the letter.";
    Readable "readable" Error [Us Meta Phone]
        "the description can be read (RFC 8866)"
        "No peer understands anything after this line."
        "Mend the line; the reason names what is expected.";
    SessionLines "session-lines" Error [Us]
        "v=, o=, s= and t= stand at the head, in this order"
        "\"The SDP must be compliant with RFC 8866\", which demands them in section 5: 138008."
        "Begin with v=0, o=- ID VERSION IN IP4 ADDRESS, s=-, t=0 0.";
    Origin "origin" Warning [Us]
        "o= has a number as session id and one as version"
        "A peer that compares versions (RFC 3264 section 8) cannot compare words."
        "Draw a number as id and count the version up when the text changes.";
    Time "time" Warning [Us]
        "t=0 0: a call is not scheduled"
        "Every sample of Meta's has it; another time would mean that the call is over, or not yet on."
        "Write t=0 0.";
    OneMedia "one-media" Error [Us Meta]
        "there is one m= line, and it is audio"
        "\"Only one stream is supported in the Offer/Answer SDP\": 138008."
        "Take out video and data channels before the offer is made (one audio transceiver, nothing else).";
    Bundle "bundle" Warning [Us]
        "with DTLS, one a=group:BUNDLE names the a=mid of the audio"
        "Meta's own texts have it, and so have all answers with DTLS that are known to be taken."
        "Write a=group:BUNDLE and a=mid with the same word: the offer's in an answer.";
    Profile "profile" Error [Us Meta]
        "the protocol of m= is UDP/TLS/RTP/SAVPF (DTLS) or RTP/SAVP (SDES)"
        "Meta takes no other: SIP 488, or 138008. Plain RTP is never taken."
        "Offer what the number's srtp_key_exchange_protocol is set to.";
    Keying "keying" Error [Us Meta]
        "keys come from a=fingerprint or from a=crypto, never from both"
        "Meta takes the one that the number is set to and refuses the description with both: 138008."
        "Take out a=crypto with UDP/TLS/RTP/SAVPF, a=fingerprint with RTP/SAVP.";
    OneFingerprint "one-fingerprint" Error [Us Meta]
        "with DTLS there is exactly one a=fingerprint"
        "The most frequent cause of 138008 (subcode 2593093). Without one the text is \"No fingerprint found in SDP\"."
        "Keep the sha-256 line and drop the others; some stacks write sha-384 and sha-512 beside it.";
    FingerprintHash "fingerprint-hash" Error [Us Meta]
        "the fingerprint is sha-256, 32 pairs of hexadecimal digits"
        "Meta's samples and every answer known to be taken have sha-256. Another is 138008, or a handshake that fails."
        "Write a=fingerprint:sha-256 with the digest of the certificate in use.";
    FingerprintCapitals "fingerprint-capitals" Warning [Us]
        "the digits of the fingerprint are capitals"
        "RFC 8122 section 5 demands upper case, and some readers compare the text."
        "Write A to F, not a to f.";
    FingerprintPlace "fingerprint-place" Hint [Us]
        "a=fingerprint is below m="
        "Above it, it is legal, but no description of Meta's has it there."
        "Move the line below the m= line.";
    OneCrypto "one-crypto" Error [Us Meta]
        "with RTP/SAVP there is an a=crypto, and in an answer only one"
        "Without keys there is no SRTP. An answer chooses one line of the offer (RFC 4568 section 5.1.2)."
        "Write one a=crypto; in an answer with the tag of the offered line.";
    CryptoKey "crypto-key" Error [Us Meta Phone]
        "a=crypto is TAG SUITE inline:KEY with a key of the suite's length (RFC 4568 section 9.1)"
        "The peer cannot decrypt what it receives: silence, or 488."
        "Encode key and salt together, as base64: 30 octets for AES_CM_128.";
    CryptoSuite "crypto-suite" Warning [Us]
        "AES_CM_128_HMAC_SHA1_80 is among the suites"
        "It is the one of Meta's own lines. Others were offered beside it with success; alone they are untested."
        "Put AES_CM_128_HMAC_SHA1_80 first.";
    Setup "setup" Error [Us]
        "a=setup is actpass in an offer, active in an answer"
        "RFC 5763 section 5 allows nothing else in an offer and no actpass in an answer; if both wait for the ClientHello, no media flows and WhatsApp hangs up after 20 s."
        "Write a=setup:actpass in offers, a=setup:active in answers.";
    DtlsClient "dtls-client" Warning [Us]
        "an answer to Meta has a=setup:active: you send the ClientHello"
        "Meta asks businesses to be the DTLS client. As server you wait for Meta, and the first words are clipped."
        "Answer a=setup:active, and send the ClientHello as soon as an ICE pair is valid.";
    SetupAnswered "setup-answered" Warning [Meta]
        "Meta's answer has active or passive"
        "With actpass, or without a=setup, against RFC 5763, the sender of the ClientHello is undefined. Seen in real calls."
        "Send the ClientHello, and go on taking one. Trestle does.";
    IceLite "ice-lite" Error [Us]
        "no a=ice-lite"
        "Meta is ICE-lite. Two lite agents wait for each other's checks for ever: no media, the call ends after 20 s."
        "Use a full ICE agent that takes the controlling role.";
    LiteExpected "lite-expected" Warning [Meta]
        "Meta's description has a=ice-lite"
        "It always has. Without it the roles are decided by who offered, and a conflict costs time."
        "Nothing, if ICE comes up; otherwise ask who has changed the description on its way.";
    IceCredentials "ice-credentials" Error [Us Meta]
        "with DTLS there are a=ice-ufrag (4 characters or more) and a=ice-pwd (22 or more)"
        "No connectivity check can be made or answered without (RFC 8839 section 5.4)."
        "Write what your ICE agent drew.";
    IceChars "ice-chars" Warning [Us]
        "ice-ufrag and ice-pwd are letters, digits, + and /"
        "Others are no ice-char (RFC 8839 section 5.4). Meta writes base64 with = at its end itself, but be strict in what you send."
        "Draw from those 64 characters; do not pad.";
    PaddedPwd "padded-pwd" Hint [Meta]
        "Meta's ice-pwd ends with ="
        "Base64 padding is no ice-char; a strict parser refuses the whole description. Trestle takes it."
        "Make your parser lenient here, and use the password with its padding.";
    Candidates "candidates" Hint [Us]
        "the description has a candidate"
        "Meta takes descriptions without: it learns your address from your checks. It can then do nothing until they come."
        "Wait until gathering is complete, and hand over the complete description.";
    CandidatesExpected "candidates-expected" Warning [Meta]
        "Meta's description has a UDP candidate to send checks to"
        "Without one nothing can be connected, unless c= and m= are meant."
        "Ask who has shortened the description on its way.";
    Trickle "trickle" Hint [Us]
        "no a=ice-options:trickle"
        "There is no way to hand candidates to Meta later; the line promises them."
        "Leave the line out, and put all candidates in.";
    CandidateForm "candidate-form" Error [Us Meta Phone]
        "a=candidate is FOUNDATION COMPONENT udp PRIORITY ADDRESS PORT typ TYPE (RFC 8839 section 5.1)"
        "One unreadable candidate makes strict readers refuse all: 138008."
        "Take the line from your ICE agent as it is.";
    CandidateKind "candidate-kind" Warning [Us]
        "candidates are host, UDP, component 1, with an IP address"
        "Meta has one UDP address and one component; TCP, mDNS names, and RTCP's own candidates are of no use to it."
        "Advertise the public address as host candidate (1:1 NAT), and leave the others out.";
    CandidateCount "candidate-count" Warning [Us]
        "one IPv4 candidate and at most one IPv6 candidate"
        "\"A single ipv4 and ipv6 address per data stream component. The SDP answer should follow the same format.\" More are addresses of virtual interfaces, on which STUN may pass and media may not."
        "Gather on the one interface that Meta can reach.";
    PublicAddress "public-address" Error [Us]
        "c= and candidates are addresses that Meta can reach"
        "A private c= was in descriptions that ended in 138008; with SDES, media is sent there and lost: silence, and the end after 30 s."
        "Advertise the public side of the NAT. Trestle: --interface=10.0.0.5!203.0.113.9.";
    CandidateAddress "candidate-address" Warning [Us]
        "c= and the port of m= are those of a candidate"
        "They name the default candidate (RFC 8839 section 4.2.1.2); Meta's own descriptions keep it so."
        "Write the host candidate's address and port into c= and m=.";
    MediaPort "media-port" Error [Us]
        "m= and c= give the address of media: no port 0, and without ICE neither port 9 nor 0.0.0.0"
        "With SDES nothing else gives the address; port 0 refuses the stream."
        "Write the address and port of the socket.";
    Codecs "codecs" Error [Us Meta Phone]
        "there is Opus, or G.711"
        "\"Use only the supported codecs\": Opus, PCMA and PCMU. Without one the call is refused."
        "Put opus/48000/2 into the description, or a transcoder between.";
    Opus "opus" Warning [Us]
        "there is Opus"
        "G.711 needs to be enabled for the number, and Meta transcodes it, which takes time and quality."
        "Offer opus/48000/2 first.";
    CodecList "codec-list" Warning [Us]
        "no format but Opus, PCMA, PCMU and telephone-event/8000"
        "\"Use only the supported codecs.\" If any mandatory requirement is unmet, the call fails. G722, red, CN and telephone-event/48000 come from browsers."
        "Set the codec preferences before the description is made.";
    TelephoneEvent "telephone-event" Warning [Us Meta Phone]
        "there is telephone-event/8000"
        "Digits are lost, or arrive as tones. Meta sends them as payload type 126 even where its answer does not list it."
        "Write a=rtpmap:126 telephone-event/8000; the clock is 8000 Hz beside Opus too.";
    Rtpmap "rtpmap" Error [Us Meta]
        "every payload type above 95 has an a=rtpmap"
        "The peer cannot know which codec it means."
        "Write the line, or take the number out of m=.";
    OpusClock "opus-clock" Error [Us]
        "Opus is opus/48000/2, whatever is spoken (RFC 7587 section 7)"
        "\"Set the media clock rate to 48 kHz\" is mandatory: the call fails in signalling or in decoding."
        "Write opus/48000/2; say 16 kHz with maxplaybackrate.";
    Ptime "ptime" Error [Us]
        "packets of 20 ms: a=ptime:20, a=maxptime not below"
        "\"Use a ptime of 20ms\" is mandatory for Meta."
        "Write a=ptime:20 and a=maxptime:20, and send it.";
    PtimeUnsaid "ptime-unsaid" Hint [Us]
        "a=ptime:20 and a=maxptime:20 are written down"
        "20 ms is the default, and Meta's own current descriptions say it."
        "Write both lines.";
    OpusFec "opus-fec" Hint [Us]
        "a=fmtp of Opus has useinbandfec=1"
        "Meta then sends copies of lost frames inside the next ones."
        "Write a=fmtp:111 useinbandfec=1, and the rest of Meta's own line.";
    OpusFmtp "opus-fmtp" Hint [Us]
        "the parameters of Opus in an answer are those of Meta's offer"
        "Meta encodes for 16 kHz and 20 kbit/s; more is neither played nor liked."
        "Copy Meta's a=fmtp.";
    RtcpFb "rtcp-fb" Hint [Us]
        "a=rtcp-fb promises nothing that is not sent"
        "transport-cc needs its header extension; nack and ccm are for video."
        "Leave the lines out unless your stack sends that feedback.";
    RtcpMux "rtcp-mux" Error [Us]
        "with DTLS there is a=rtcp-mux"
        "Meta has one port and one component; RTCP elsewhere is lost, and with it the sign of life."
        "Write a=rtcp-mux and send RTCP on the pair of RTP.";
    SendRecv "sendrecv" Error [Us Meta]
        "a=sendrecv"
        "Hold is nothing that Meta's leg knows: without packets from you WhatsApp hangs up after 20 s at the start, after 30 s later."
        "Keep sendrecv and send music or silence.";
    OneSsrc "one-ssrc" Error [Us Meta]
        "one SSRC is announced"
        "\"Audio must use a single SSRC\"; more mean glitches and likely total media failure."
        "Announce one, and keep it through hold, transfer and prompts.";
    SsrcUnsaid "ssrc-unsaid" Hint [Us]
        "a=ssrc with a cname is written down"
        "Meta's own descriptions have it; then a second SSRC is noticed before it does harm."
        "Write a=ssrc:NUMBER cname:NAME.";
    MidEcho "mid-echo" Error [Us]
        "an answer has the a=mid of the offer"
        "The answer speaks about a stream that was not offered (RFC 9143): 138008."
        "Copy a=mid from the offer.";
    AnswerShape "answer-shape" Error [Us Meta]
        "an answer has as many m= lines as the offer, with the same protocols"
        "RFC 3264 section 6. The number's srtp_key_exchange_protocol decides between DTLS and SDES."
        "Answer each m= line, and keep its protocol.";
    AnswerFormats "answer-formats" Error [Us Meta]
        "an answer has no payload type that was not offered, nor gives one another meaning"
        "Packets of that number are dropped: one side receives no audio."
        "Take numbers and names from the offer.";
    AnswerExtmap "answer-extmap" Warning [Us]
        "an answer has no a=extmap that was not offered"
        "RFC 8285 section 6. Meta's current offers have none."
        "Leave the lines out.";
    Bridgeable "bridgeable" Error [Us Meta Phone]
        "Trestle can bridge it"
        "Trestle would refuse this description with that reason."
        "See the reason.";
}

impl Rule {
    /// The rule of this name.
    pub fn by_id(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.id() == id)
    }

    /// True if a description by `writer` has to keep it.
    pub fn concerns(self, writer: Writer) -> bool {
        self.writers().contains(&writer)
    }

    /// Meta's error code, where the rule is known to end in one.
    pub fn meta_error(self) -> Option<u32> {
        self.explain().why.contains("138008").then_some(138_008)
    }
}
