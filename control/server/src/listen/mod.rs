//! Listeners for ng over TCP, HTTP and a Unix socket, and the limits of their connections. The UDP sockets for ng belong to the control thread.

pub(crate) mod bound;
pub mod connections;
pub mod http;
mod ng_client;
pub mod ng_tcp;
pub(crate) mod ng_unix;
pub mod stream_request;

#[cfg(test)]
mod tests;
