//! Messages as proxies put them on the wire.

/// Kamailio 5.6.3, as captured; `{SDP}` is replaced by [`SDP`] with its length.
pub(crate) const KAMAILIO_PING: &str = "0_3997_0 d7:command4:pinge";
pub(crate) const KAMAILIO_BARE_OFFER: &str = "0_3997_1 d8:supportsl10:load limite3:sdp{SDP}7:call-id8:cid-none13:received-froml3:IP49:127.0.0.1e8:from-tag3:ft17:command5:offere";
pub(crate) const KAMAILIO_OFFER_TO_PBX: &str = "0_3997_2 d8:supportsl10:load limite3:sdp{SDP}3:ICE6:remove4:DTLS3:off5:flagsl13:trust-addresse7:replacel6:origin18:session-connectione5:codecd4:maskl4:opuse9:transcodel4:PCMAee18:transport-protocol7:RTP/AVP8:rtcp-muxl5:demuxe7:call-id7:cid-std13:received-froml3:IP49:127.0.0.1e8:from-tag3:ft17:command5:offere";
pub(crate) const KAMAILIO_OFFER_TO_WEBRTC: &str = "0_3997_3 d8:supportsl10:load limite3:sdp{SDP}3:ICE5:force4:DTLS7:passive18:transport-protocol17:UDP/TLS/RTP/SAVPF3:TOSi184e13:media-address9:192.0.2.911:record-call2:on9:directionl4:priv3:pube5:flagsl13:trust-address12:generate-mid5:boguse7:replacel6:origin18:session-connectione5:codecd4:maskl4:PCMAe9:transcodel12:opus/48000/2ee8:rtcp-muxl7:requiree4:SDESl3:offe7:call-id10:cid-webrtc10:via-branch14:z9hG4bK-webrtc13:received-froml3:IP49:127.0.0.1e8:from-tag3:ft17:command5:offere";
pub(crate) const KAMAILIO_ANSWER: &str = "0_5314_3 d8:supportsl10:load limite3:sdp{SDP}3:ICE5:force5:flagsl13:trust-addresse7:replacel6:origine7:call-id5:cid-q10:via-branch46:z9hG4bK7e2a.84cff422d5c70d617fbb5b7b805c9b79.013:received-froml3:IP49:127.0.0.1e8:from-tag3:ft16:to-tag3:tt97:command6:answere";
pub(crate) const KAMAILIO_DELETE: &str = "0_3997_5 d8:supportsl10:load limite7:call-id7:cid-std13:received-froml3:IP49:127.0.0.1e8:from-tag3:ft17:command6:deletee";
pub(crate) const KAMAILIO_QUERY: &str = "0_3997_6 d8:supportsl10:load limite7:call-id7:cid-std13:received-froml3:IP49:127.0.0.1e8:from-tag3:ft16:to-tag3:tt17:command5:querye";

/// OpenSIPS leaves what it does not know in `flags`, has its own spellings, and deletes without a tag.
pub(crate) const OPENSIPS_OFFER: &str = "77_1804289383_1 d3:sdp{SDP}3:ICE6:remove4:DTLS3:off9:directionl4:priv3:pube5:flagsl13:trust-address15:codec-mask-opus20:codec-transcode-PCMA8:SDES-off12:generate-mide7:replacel6:origin11:SDP version12:zero address12:session namee18:transport-protocol7:RTP/AVP8:rtcp-muxl5:demuxe14:address family3:IP47:call-id3:os110:via-branch6:z9hG4b13:received-froml3:IP49:192.0.2.7e8:from-tag1:a7:command5:offere";
pub(crate) const OPENSIPS_DELETE: &str =
    "77_1804289383_2 d12:delete-delayi5e7:call-id3:os113:received-froml3:IP49:192.0.2.7e7:command6:deletee";

pub(crate) const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n";

/// The datagram with its SDP in place.
pub(crate) fn whole(datagram: &str) -> String {
    assert_eq!(SDP.len(), 87, "what the captures say");
    datagram.replace("{SDP}", &format!("87:{SDP}"))
}
