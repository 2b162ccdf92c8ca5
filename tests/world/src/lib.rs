//! A simulated world: Trestle as it is, a signalling client, phones and WhatsApp's relay, and a network between them that
//! can delay, lose, repeat and reorder. Everything runs in one thread, in virtual time, from a seed.
//!
//! Two layers:
//!
//! - [`SimulatedTrestle`]: a controller and a shard (or a [`FakeEngine`]) with simulated ports. No peers, no network.
//! - [`World`]: a [`SimulatedTrestle`] with peers and a network.
//!
//! A scenario reads like this:
//!
//! ```no_run
//! use trestle_world::{World, calls};
//! let mut world = World::new(1);
//! let call = calls::user_initiated(&mut world, calls::meta(), calls::phone());
//! world.run_for_ms(3_000);
//! assert!(world.meta(call.meta).is_connected());
//! ```

mod actor;
pub mod calls;
pub mod captured;
mod checks;
mod fake_engine;
pub mod judge;
pub mod net;
mod ports;
pub mod raw;
mod setup;
mod trestle;
mod wiretap;
pub mod world;

pub use actor::ActorId;
pub use fake_engine::FakeEngine;
pub use net::Link;
pub use setup::{TrestleSetup, environment, instant_zero, shard_config};
pub use trestle::{Sent, SimulatedTrestle};
pub use world::World;
