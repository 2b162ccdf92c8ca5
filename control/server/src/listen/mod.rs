//! Listeners for ng over TCP and HTTP, and the limits of their connections. The UDP sockets for ng belong to the control thread.

pub(crate) mod bound;
pub mod connections;
pub mod http;
pub mod ng_tcp;
pub mod stream_request;

#[cfg(test)]
mod tests;
