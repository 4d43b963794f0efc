//! `tailscale lock log --json`: the chain's AUMs, head first (spec 12.6, schema version 1).
//!
//! ```json
//! {"SchemaVersion": "1", "Messages": [{"Hash": .., "AUM": .., "Raw": ..}, ..]}
//! ```
//! `Raw` is the AUM itself, in URL-safe base64. `Hash` and `AUM` only show it: they must be its
//! hash and its rendering, or a reader of the text saw something else than what was signed.

mod read;
mod spelling;
mod view;

pub use read::{Export, ExportError, Message, Oddity, read};
pub use view::{SCHEMA_VERSION, message, render, write};
