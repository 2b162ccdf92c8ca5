//! The ng protocol: frames `COOKIE SP DICT` in bencode or JSON, signed frames, the retransmit cache, typed requests ([`command`]), and replies.

pub mod bencode;
pub mod command;
pub mod frame;
pub mod json;
pub mod replay;
pub mod reply;
pub mod signature;
pub mod stream;
pub mod value;

pub use frame::{Cookie, Encoding, FrameError};
pub use replay::{Replay, Seen};
pub use reply::Reply;
pub use signature::{Doorkeeper, NgSecrets};
pub use stream::{Framer, StreamError};
pub use value::{Dict, Value};
