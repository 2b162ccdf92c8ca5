//! The ng protocol on the wire: `COOKIE SP DICT`, bencode or JSON, and its replies.

pub mod bencode;
pub mod frame;
pub mod json;
pub mod replay;
pub mod reply;
pub mod stream;
pub mod value;

pub use frame::{Cookie, Encoding, FrameError};
pub use replay::{Replay, Seen};
pub use reply::Reply;
pub use stream::{Framer, StreamError};
pub use value::{Dict, Value};
