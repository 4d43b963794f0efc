//! Bytes that come from outside or go there, in forms that other programs define, and
//! those of ours that travel.

pub mod base64;
pub mod chonk_file;
pub mod deeplink;
mod json;
pub mod log_json;
pub mod record_stream;
pub mod tlog;

pub use json::{Json, JsonError, JsonReader, Layout};
