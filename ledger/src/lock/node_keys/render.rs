//! A signature as text (spec 8.5).

use std::fmt;

use super::NodeKeySignature;
use crate::ids::{LockKey, NodeKey};

impl fmt::Display for NodeKeySignature {
    /// One line per field, two spaces deeper per level; the signature itself is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, level) in self.levels().enumerate() {
            let indent = 2 * depth;
            if depth > 0 {
                write!(f, "\n{:1$}Nested:\n", "", indent - 2)?;
            }
            write!(f, "{:indent$}SigKind: {}", "", level.kind)?;
            if !level.pubkey.is_empty() {
                match NodeKey::from_binary(&level.pubkey) {
                    Ok(key) => write!(f, "\n{:indent$}Pubkey: {}", "", key.to_short())?,
                    Err(e) => write!(f, "\n{:indent$}Pubkey: <error: {e}>", "")?,
                }
            }
            for (name, bytes) in [("KeyID", &level.key_id), ("WrappingPubkey", &level.wrapping)] {
                if !bytes.is_empty() {
                    // As the original shows them: cut, or padded with zeros, to 32 bytes.
                    let mut key = LockKey([0; 32]);
                    key.0.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
                    write!(f, "\n{:indent$}{name}: {key}", "")?;
                }
            }
        }
        Ok(())
    }
}
