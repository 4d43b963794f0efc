//! Node-key signatures: what lets a node into a locked tailnet (spec 8).

mod authorize;
mod render;
mod signature;

pub use authorize::{Authorization, NotAuthorized, Rotation, authorize};
pub use signature::{NodeKeySignature, SigKind};
