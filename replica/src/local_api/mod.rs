//! The local API on a Unix socket: tailscaled's endpoints for tailnet lock, and ours beside them.

pub mod bodies;
pub mod client;
mod framing;
mod headers;
pub(crate) mod http;
mod permissions;

pub use permissions::{Access, Permission};
