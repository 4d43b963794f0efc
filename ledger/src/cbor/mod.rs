//! CTAP2-canonical CBOR: the strict reader and the canonical writer (spec/tka.md 1.1).
//!
//! Definite lengths, shortest heads, no tags, no floats. The reader refuses whatever the writer
//! would not have written, so bytes that decode are their own re-encoding: identity over bytes
//! and identity over content are the same thing everywhere in Lockstep.

mod reader;
mod writer;

pub use reader::{Fields, Malformed, Reader};
pub use writer::Writer;
