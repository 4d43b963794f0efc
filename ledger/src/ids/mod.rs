//! Hashes and public keys: fixed-size newtypes and their text forms (spec/tka.md 2).
//!
//! Text is parsed strictly (docs/differences.md, rule `text-strict`): one spelling per value in
//! the canonical parsers; what people type may also be hex, or in the other case.

mod hash;
mod keys;

pub use hash::{AumHash, SigHash};
pub(crate) use hash::{blake2s, blake2s_each, blake2s_parts};
pub use keys::{LockKey, NodeKey};

/// Why a text form does not parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// The prefix that tells the kind of key is missing or another one.
    #[error("key does not begin with {expected:?}")]
    Prefix {
        /// The prefix that belongs there.
        expected: &'static str,
    },
    /// The number of digits is wrong.
    #[error("{what} has {got} digits, expected {want}")]
    Length {
        /// What was parsed.
        what: &'static str,
        /// Digits found.
        got: usize,
        /// Digits expected.
        want: usize,
    },
    /// A character that is no digit of this form, or spare bits that are not zero.
    #[error("{what} has an invalid character or ending")]
    Digit {
        /// What was parsed.
        what: &'static str,
    },
    /// A binary node key without its marker, or of the wrong length.
    #[error("node key is not \"np\" and 32 bytes")]
    NodeKeyBinary,
    /// The two halves of a private key do not belong together.
    #[error("the two halves of the private key do not belong together")]
    MismatchedHalves,
}

pub(crate) fn hex32(what: &'static str, digits: &str) -> Result<[u8; 32], TextError> {
    let wrong = TextError::Length { what, got: digits.chars().count(), want: 64 };
    if digits.len() != 64 {
        return Err(wrong);
    }
    let bytes = data_encoding::HEXLOWER_PERMISSIVE
        .decode(digits.as_bytes())
        .map_err(|_| TextError::Digit { what })?;
    bytes.try_into().map_err(|_| wrong)
}
