use super::*;
#[test]
fn show() {
    let mut d = Desk::new();
    let (o, a) = whatsapp_to_sip(Protocol::RtpSavp, "PCMA");
    let m = meta_sample("user_initiated.sip_webrtc.meta_offer");
    let t = d.offer(&signal(m, "a", None, o)).unwrap();
    println!("{}\n{:#?}", t.sdp, t);
    let t = d.answer(&signal(&sip_answer("RTP/SAVP", "8 101"), "a", Some("b"), a)).unwrap();
    println!("{}\n{:#?}", t.sdp, t);
    let mut d = Desk::new();
    let (o, a) = sip_to_whatsapp(true);
    let t = d.offer(&signal(SIP_OFFER, "a", None, o)).unwrap();
    println!("{}\n{:?}", t.sdp, t.warnings);
    let t = d.answer(&signal(&meta_answer("active"), "a", Some("b"), a)).unwrap();
    println!("{}\n{:#?}", t.sdp, t);
    let mut d = Desk::new();
    let (o, a) = sip_to_whatsapp(false);
    let t = d.offer(&signal(SIP_OFFER, "a", None, o)).unwrap();
    println!("{}\n{:?}", t.sdp, t.warnings);
    let t = d.answer(&signal(&meta_answer("active"), "a", Some("b"), a)).unwrap();
    println!("{}", t.sdp);
    for m in [m, SIP_OFFER, SDES_OFFER, meta_sample("business_initiated.graph_webrtc.browser_offer")] {
        let mut d = Desk::new();
        let t = d.offer(&signal(m, "a", None, Flags::default())).unwrap();
        println!("{}\n{:?}", t.sdp, t.warnings);
    }
}
