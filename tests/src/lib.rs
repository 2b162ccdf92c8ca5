//! A simulated world: Trestle as it is, its signalling client, phones and WhatsApp's relay around it, and a network
//! between them that can delay, lose, repeat and overtake. Everything runs in one thread, in virtual time, from a seed.
//!
//! A scenario reads like this:
//!
//! ```no_run
//! use trestle_tests::{World, calls};
//! let mut world = World::new(1);
//! let call = calls::user_initiated(&mut world, calls::meta(), calls::phone());
//! world.run_for_ms(3_000);
//! assert!(world.meta(call.meta).is_connected());
//! ```

pub mod bencode;
pub mod calls;
pub mod captured;
pub mod fuzz;
pub mod net;
pub mod raw;
pub mod world;

pub use net::Link;
pub use world::{ActorId, World};
