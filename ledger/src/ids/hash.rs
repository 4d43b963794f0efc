//! Hashes of AUMs and of what is signed.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, HEXLOWER};

use super::{TextError, hex32};

/// BLAKE2s-256 of an AUM's canonical bytes, signatures included (spec 2): its identity.
///
/// Text: RFC 4648 base32, upper case, without padding: 52 characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AumHash(pub [u8; 32]);

/// BLAKE2s-256 of an AUM or node-key signature without its own signatures (spec 2): what is signed.
/// It stays the same while signatures are added, so it names a revocation that waits for them.
///
/// Text: as an [`AumHash`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SigHash(pub [u8; 32]);

impl AumHash {
    /// The hash that AUM `bytes` have.
    pub fn of(bytes: &[u8]) -> Self {
        AumHash(blake2s(bytes))
    }

    /// Parses what a person may type: base32 or 64 hex digits, in either case.
    pub fn from_any(text: &str) -> Result<Self, TextError> {
        if text.len() == 64 {
            hex32("hash", text).map(AumHash)
        } else {
            text.to_ascii_uppercase().parse()
        }
    }

    /// The hash as 64 lower-case hex digits.
    pub fn to_hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }
}

pub(crate) fn blake2s(bytes: &[u8]) -> [u8; 32] {
    blake2s_parts(&[bytes])
}

/// BLAKE2s-256 of the parts one after the other.
pub(crate) fn blake2s_parts(parts: &[&[u8]]) -> [u8; 32] {
    use blake2::Digest;
    let mut hash = blake2::Blake2s256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

impl SigHash {
    /// The signature hash of the bytes of a message without its signatures.
    pub fn of(bytes: &[u8]) -> Self {
        SigHash(blake2s(bytes))
    }

    /// The same of bytes that lie in parts.
    pub(crate) fn of_parts(parts: &[&[u8]]) -> Self {
        SigHash(blake2s_parts(parts))
    }

    /// The hash as 64 lower-case hex digits.
    pub fn to_hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }
}

impl FromStr for AumHash {
    type Err = TextError;

    /// The one canonical spelling; the original's parser takes 16 of each (spec 2, W19).
    fn from_str(text: &str) -> Result<Self, TextError> {
        const WHAT: &str = "hash";
        if text.len() != 52 {
            return Err(TextError::Length { what: WHAT, got: text.chars().count(), want: 52 });
        }
        let bytes =
            BASE32_NOPAD.decode(text.as_bytes()).map_err(|_| TextError::Digit { what: WHAT })?;
        bytes.try_into().map(AumHash).map_err(|_| TextError::Digit { what: WHAT })
    }
}

impl fmt::Display for AumHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&BASE32_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for AumHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AumHash({self})")
    }
}

impl fmt::Display for SigHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&BASE32_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for SigHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigHash({})", self.to_hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_of_a_hash() {
        let text = "N4GXUQKCUB5EYNJWLZHHOQF33IQZNITTTY63TIUFFXELX5TVU63A";
        let hash: AumHash = text.parse().unwrap();
        assert_eq!(hash.to_string(), text);
        assert_eq!(AumHash::from_any(&hash.to_hex().to_uppercase()), Ok(hash));
        assert_eq!(AumHash::from_any(&text.to_lowercase()), Ok(hash));
        // The last character carries four spare bits.
        assert!(text.replace("U63A", "U63B").parse::<AumHash>().is_err());
        assert!(text.to_lowercase().parse::<AumHash>().is_err());
        assert!(format!("{text}====").parse::<AumHash>().is_err());
        assert!("".parse::<AumHash>().is_err());
    }
}
