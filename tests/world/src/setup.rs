//! What a simulated Trestle is configured with. The only place outside the daemon that builds these configurations.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use trestle_calls::controller::ControllerConfig;
use trestle_core::{AddressPolicy, DtlsIdentity, Epoch, InterfaceId, MediaAddress, OwnSsrcs, ShardConfig};
use trestle_negotiate::{Environment, GatePolicy, Interface, OwnKeys};

/// Trestle's IPv4 address.
pub(crate) const TRESTLE_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10));
/// Trestle's IPv6 address.
pub(crate) const TRESTLE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10));

/// The media ports: first, and one past the last.
const PORTS: [u16; 2] = [20_000, 40_000];

/// What varies between simulated Trestles. [`TrestleSetup::new`] gives the usual one.
#[derive(Debug, Clone)]
pub struct TrestleSetup {
    /// Seeds the controller's random numbers: keys, ICE credentials, SSRCs.
    pub seed: u64,
    /// Seeds the shard's: initial sequence numbers and timestamps, RTCP intervals.
    pub shard_seed: [u8; 32],
    /// Wall time at the start of virtual time, since 1970.
    pub unix: Duration,
    /// The media ports: first, and one past the last. Both address families draw from the same range.
    pub ports: [u16; 2],
    /// The controller's configuration.
    pub controller: ControllerConfig,
    /// What negotiation knows of the machine.
    pub environment: Environment,
}

impl TrestleSetup {
    /// A dual-stack machine with ports 20,000 to 39,999, one shard, no limit of calls.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            shard_seed: [seed as u8; 32],
            unix: Duration::from_secs(1_800_000_000),
            ports: PORTS,
            // Three minutes, as the tests wait.
            controller: ControllerConfig {
                offer_timeout: Duration::from_secs(180),
                publish_events: true,
                ..ControllerConfig::default()
            },
            environment: environment(identity().fingerprint()),
        }
    }
}

/// The addresses of that machine, which has ng on port 2223 of all of them.
fn address_policy() -> AddressPolicy {
    AddressPolicy {
        listeners: vec![(Ipv4Addr::UNSPECIFIED, 2_223).into()],
        media: [TRESTLE_V4, TRESTLE_V6].map(|ip| MediaAddress { local: ip, advertised: ip }).to_vec(),
        media_ports: (PORTS[0], PORTS[1] - 1),
        ..AddressPolicy::default()
    }
}

/// The environment of a machine with one interface that has `TRESTLE_V4` and `TRESTLE_V6`.
pub fn environment(fingerprint: [u8; 32]) -> Environment {
    let [v4, v6] = [TRESTLE_V4, TRESTLE_V6].map(|ip| Some(MediaAddress { local: ip, advertised: ip }));
    Environment {
        interfaces: vec![Interface { name: None, v4, v6 }],
        addresses: address_policy(),
        fingerprint,
        default_tos: None,
        gate_policy: GatePolicy::default(),
        own_ssrcs: own_ssrcs(),
        own_keys: OwnKeys::new([5; 32]),
    }
}

/// The configuration of a shard with one interface. `families` lists its address families, true for IPv6.
pub fn shard_config(seed: [u8; 32], epoch: Epoch, identity: DtlsIdentity, families: &[bool]) -> ShardConfig {
    ShardConfig {
        seed,
        epoch,
        identity,
        interfaces: families.iter().map(|ipv6| (InterfaceId(0), *ipv6)).collect(),
        media_timeout: Duration::from_secs(60),
        own_ssrcs: own_ssrcs(),
        // The default of the daemon.
        probe_time: Some(Duration::from_secs(60)),
        addresses: AddressPolicy::default(),
    }
}

/// The SSRCs of every simulated Trestle.
pub(crate) fn own_ssrcs() -> OwnSsrcs {
    OwnSsrcs::new(5)
}

/// The instant at which virtual time starts, one for the whole process.
#[expect(clippy::disallowed_methods, reason = "virtual time counts from one real instant")]
pub fn instant_zero() -> Instant {
    static ZERO: OnceLock<Instant> = OnceLock::new();
    *ZERO.get_or_init(Instant::now)
}

/// One certificate for the whole process: key generation takes longer than most fuzz inputs run.
pub(crate) fn identity() -> &'static DtlsIdentity {
    static IDENTITY: OnceLock<DtlsIdentity> = OnceLock::new();
    IDENTITY.get_or_init(|| DtlsIdentity::generate().expect("a certificate"))
}
