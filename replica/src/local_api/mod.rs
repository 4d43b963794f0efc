//! The local API on a Unix socket: tailscaled's endpoints for tailnet lock, and ours beside them.

pub mod bodies;
pub mod client;
mod headers;
