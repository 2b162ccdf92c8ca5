//! Meta's nine session descriptions, byte for byte as its documentation prints them; unit tests include this file by path.

/// Name and text of each sample.
pub(crate) const META: [(&str, &str); 9] = {
    macro_rules! sample {
        ($name:literal) => {
            ($name, include_str!(concat!($name, ".sdp")))
        };
    }
    [
        sample!("business_initiated.graph_webrtc.browser_offer"),
        sample!("business_initiated.graph_webrtc.meta_answer"),
        sample!("business_initiated.sip_sdes.meta_answer"),
        sample!("business_initiated.sip_sdes.partner_offer"),
        sample!("user_initiated.graph_webrtc.meta_offer"),
        sample!("user_initiated.graph_webrtc.partner_answer"),
        sample!("user_initiated.sip_sdes.meta_offer"),
        sample!("user_initiated.sip_sdes.partner_answer"),
        sample!("user_initiated.sip_webrtc.meta_offer"),
    ]
};

/// The text of the sample `name`.
pub(crate) fn meta_sample(name: &str) -> &'static str {
    META.iter().find(|(known, _)| *known == name).map(|(_, text)| *text).unwrap()
}
