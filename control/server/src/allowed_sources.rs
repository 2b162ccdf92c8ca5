//! `ng-allow`: from which addresses the listeners for ng, HTTP and events take anything.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use tokio::sync::watch;

/// The list of the operator. A clone follows the same list.
#[derive(Debug, Clone)]
pub(crate) struct AllowedSources(watch::Receiver<Arc<[IpNet]>>);

impl AllowedSources {
    /// The list, and what replaces it.
    pub(crate) fn new(list: &[IpNet]) -> (Self, watch::Sender<Arc<[IpNet]>>) {
        let (sender, receiver) = watch::channel(list.into());
        (Self(receiver), sender)
    }

    /// The list as it is now.
    pub(crate) fn now(&self) -> AllowList {
        AllowList(Arc::clone(&self.0.borrow()))
    }
}

impl Default for AllowedSources {
    fn default() -> Self {
        Self::new(&[]).0
    }
}

/// Networks from which requests are taken; all, if there is none.
#[derive(Debug, Clone)]
pub(crate) struct AllowList(Arc<[IpNet]>);

impl AllowList {
    /// True if requests from `ip` are taken.
    pub(crate) fn permits(&self, ip: IpAddr) -> bool {
        // A listener on `::` shows IPv4 clients in the IPv6 form.
        let ip = ip.to_canonical();
        self.0.is_empty() || self.0.iter().any(|net| net.contains(&ip))
    }
}

/// The reason in the log: the source is not in the list.
pub(crate) const NOT_ALLOWED: &str = "refused: ng-allow does not have this source";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_permits_its_networks_in_each_form_and_an_empty_one_permits_all() {
        let (sources, sender) = AllowedSources::new(&[]);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(sources.now().permits(ip("198.51.100.1")));
        sender.send_replace(["192.0.2.0/28", "2001:db8::/64"].map(|net| net.parse().unwrap()).into());
        for (source, permitted) in [
            ("192.0.2.15", true),
            ("::ffff:192.0.2.15", true),
            ("192.0.2.16", false),
            ("::192.0.2.15", false),
            ("127.0.0.1", false),
            ("::1", false),
            ("2001:db8::7", true),
            ("2001:db8:0:1::7", false),
        ] {
            assert_eq!(sources.now().permits(ip(source)), permitted, "{source}");
        }
    }
}
