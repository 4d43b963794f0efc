//! Node-key signatures: what lets a node into a locked tailnet (spec 8).

mod auth_key;
mod authorize;
mod obsolete;
mod render;
mod rotation;
mod sign;
mod signature;

pub use auth_key::{
    AuthKey, WrappedAuthKey, auth_key_meta, is_pre_auth, is_wrapped, pre_auth_id, wrap_auth_key,
};
pub use authorize::{
    Authorization, NotAuthorized, Rotation, authorize, authorize_all, check_affected,
};
pub use obsolete::obsolete_keys;
pub use rotation::resign;
pub use sign::{CannotSign, reissue, sign_credential, sign_direct};
pub use signature::{NodeKeySignature, SigKind};
