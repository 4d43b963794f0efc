//! Public keys.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64, HEXLOWER};

use super::{TextError, hex32};

/// An Ed25519 tailnet-lock public key; as a key ID it is the same 32 bytes (spec 2).
///
/// Text: `tlpub:` (or, in the LocalAPI, `nlpub:`) and 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockKey(pub [u8; 32]);

impl LockKey {
    /// The form that the command line shows: `tlpub:` and hex.
    pub fn to_tlpub(&self) -> String {
        format!("tlpub:{}", HEXLOWER.encode(&self.0))
    }

    /// The form that the LocalAPI carries: `nlpub:` and hex.
    pub fn to_nlpub(&self) -> String {
        format!("nlpub:{}", HEXLOWER.encode(&self.0))
    }

    /// 64 lower-case hex digits.
    pub fn to_hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }

    /// Whether every byte is zero: "no key" in the protocols that carry keys as text.
    pub fn is_zero(&self) -> bool {
        self.0 == [0; 32]
    }
}

impl FromStr for LockKey {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let digits = text
            .strip_prefix("tlpub:")
            .or_else(|| text.strip_prefix("nlpub:"))
            .ok_or(TextError::Prefix { expected: "tlpub:" })?;
        hex32("tailnet-lock key", digits).map(LockKey)
    }
}

impl fmt::Display for LockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_tlpub())
    }
}

impl fmt::Debug for LockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LockKey({self})")
    }
}

/// A node's WireGuard public key.
///
/// Text: `nodekey:` and 64 hex digits. In signatures: ASCII `np` and the 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeKey(pub [u8; 32]);

impl NodeKey {
    /// The 34-byte form inside node-key signatures.
    pub fn to_binary(&self) -> [u8; 34] {
        let mut binary = [0; 34];
        binary[..2].copy_from_slice(b"np");
        binary[2..].copy_from_slice(&self.0);
        binary
    }

    /// Parses the 34-byte form.
    pub fn from_binary(bytes: &[u8]) -> Result<Self, TextError> {
        bytes
            .strip_prefix(b"np")
            .and_then(|key| key.try_into().ok())
            .map(NodeKey)
            .ok_or(TextError::NodeKeyBinary)
    }

    /// The form in logs: `[` and five base64 characters and `]`; empty for the zero key.
    pub fn to_short(&self) -> String {
        if self.is_zero() {
            return String::new();
        }
        format!("[{}]", &BASE64.encode(&self.0)[..5])
    }

    /// Whether every byte is zero: "no key" in the protocols that carry keys as text.
    pub fn is_zero(&self) -> bool {
        self.0 == [0; 32]
    }
}

impl FromStr for NodeKey {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let digits =
            text.strip_prefix("nodekey:").ok_or(TextError::Prefix { expected: "nodekey:" })?;
        hex32("node key", digits).map(NodeKey)
    }
}

impl fmt::Display for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("nodekey:{}", HEXLOWER.encode(&self.0)))
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({self})")
    }
}
