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
    *blake2s_simd::blake2s(bytes).as_array()
}

/// BLAKE2s-256 of the parts one after the other.
pub(crate) fn blake2s_parts(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = blake2s_simd::State::new();
    for part in parts {
        hash.update(part);
    }
    *hash.finalize().as_array()
}

/// BLAKE2s-256 of each of several inputs, in their order. Where the processor has wide registers,
/// eight take about as long as three one by one.
pub(crate) fn blake2s_each<'a>(inputs: impl Iterator<Item = &'a [u8]>) -> Vec<[u8; 32]> {
    use blake2s_simd::many::{HashManyJob, hash_many};
    let params = blake2s_simd::Params::new();
    let mut jobs: Vec<_> = inputs.map(|input| HashManyJob::new(&params, input)).collect();
    hash_many(&mut jobs);
    jobs.iter().map(|job| *job.to_hash().as_array()).collect()
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

    /// Whichever way the processor at hand does it; `blake2` is another implementation.
    #[test]
    fn one_hash_however_it_is_computed() {
        use blake2::{Blake2s256, Digest};
        let bytes: Vec<u8> = (0..1000_u32).map(|n| (n * n % 251) as u8).collect();
        // In neighbours of all lengths, with gaps, and more of them than are hashed at once.
        let inputs: Vec<&[u8]> =
            (0..330).map(|n| &bytes[n..n + n * 37 % (bytes.len() - n)]).collect();
        for count in [0, 1, 2, 7, 8, 9, 31, inputs.len()] {
            let each = blake2s_each(inputs[..count].iter().copied());
            assert_eq!(each.len(), count);
            for (hash, input) in each.iter().zip(&inputs) {
                let expected: [u8; 32] = Blake2s256::digest(input).into();
                let (start, end) = input.split_at(input.len() / 3);
                assert_eq!(*hash, expected, "{} bytes", input.len());
                assert_eq!(blake2s(input), expected, "{} bytes", input.len());
                assert_eq!(blake2s_parts(&[start, &[], end]), expected, "{} bytes", input.len());
            }
        }
    }

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
