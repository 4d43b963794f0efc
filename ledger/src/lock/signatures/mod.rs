//! Ed25519: signing, and the one way from unverified to verified. Alone names the Ed25519 crates.
//!
//! A key ID is its public key and a node-key signature carries its wrapping keys, so every
//! signature can be checked before anyone asks whether its key is trusted. What an item asserts
//! is listed as [`Claim`]s; [`verify_all`] checks the claims of many items together and alone
//! makes [`Verified`]. The fold then only asks whether the named keys are trusted.

mod blinders;
mod check;
mod cores;
mod familiar;

use std::fmt;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ed25519_dalek::{Signer as _, Verifier as _};
use ed25519_zebra::{VerificationKey, VerificationKeyBytes};
use zeroize::Zeroizing;

pub use self::check::{
    Verdicts, decode_and_verify, decode_each_and_verify, decode_verify_and, verify_all,
    verify_beside, verify_one,
};
pub use self::cores::{Cores, Job, OneCore, each, each_share};
pub use self::familiar::FamiliarKeys;

use super::{Invalid, Sealed, disablement};
use crate::Refusal;
use crate::ids::{LockKey, TextError};

/// An Ed25519 private key. Wiped when dropped; shows nothing of itself.
pub struct PrivateKey(ed25519_dalek::SigningKey);

impl PrivateKey {
    /// The key with that seed (32 random bytes).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        PrivateKey(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The key from its 64-byte form, seed and public key. The halves must belong together; the
    /// original would sign with one and show the other (rule `mismatched-halves`).
    pub fn from_pair(pair: &[u8; 64]) -> Result<Self, TextError> {
        let mut seed = Zeroizing::new([0; 32]);
        seed.copy_from_slice(&pair[..32]);
        let key = Self::from_seed(&seed);
        if key.public().0 == pair[32..] { Ok(key) } else { Err(TextError::MismatchedHalves) }
    }

    /// Parses `nlpriv:` and 128 hex digits: seed and public key.
    pub fn from_nlpriv(text: &str) -> Result<Self, TextError> {
        const WHAT: &str = "private key";
        let digits =
            text.strip_prefix("nlpriv:").ok_or(TextError::Prefix { expected: "nlpriv:" })?;
        if digits.len() != 128 {
            return Err(TextError::Length { what: WHAT, got: digits.chars().count(), want: 128 });
        }
        let mut pair = Zeroizing::new([0; 64]);
        HEXLOWER_PERMISSIVE
            .decode_mut(digits.as_bytes(), pair.as_mut())
            .map_err(|_| TextError::Digit { what: WHAT })?;
        Self::from_pair(&pair)
    }

    /// `nlpriv:` and 128 lower-case hex digits.
    pub fn to_nlpriv(&self) -> Zeroizing<String> {
        let pair = self.to_pair();
        let mut text = Zeroizing::new(String::with_capacity(7 + 128));
        text.push_str("nlpriv:");
        HEXLOWER.encode_append(pair.as_ref(), &mut text);
        text
    }

    /// The 64-byte form: seed and public key.
    pub fn to_pair(&self) -> Zeroizing<[u8; 64]> {
        Zeroizing::new(self.0.to_keypair_bytes())
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(of {})", self.public())
    }
}

/// Whatever can sign with a tailnet-lock or member key, wherever the key lies.
pub trait Signer {
    /// The public key.
    fn public(&self) -> LockKey;
    /// The Ed25519 signature over `message` (RFC 8032, deterministic).
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

impl Signer for PrivateKey {
    fn public(&self) -> LockKey {
        LockKey(self.0.verifying_key().to_bytes())
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// The y coordinates of the eight points of small order, in every encoding that the rules accept,
/// least significant byte first and without the sign bit: 0, 1, p-1, p, p+1 and the two of order 8.
const SMALL_ORDER_Y: [[u8; 32]; 7] = {
    let mut near_p = [0xff; 32];
    near_p[31] = 0x7f;
    let mut all = [[0; 32], [0; 32], near_p, near_p, near_p, ORDER_8, ORDER_8_NEGATIVE];
    all[1][0] = 1;
    all[2][0] = 0xec;
    all[3][0] = 0xed;
    all[4][0] = 0xee;
    all
};
const ORDER_8: [u8; 32] = [
    0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
    0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
];
const ORDER_8_NEGATIVE: [u8; 32] = [
    0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
    0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
];

/// Whether standard verification would accept signatures under this key that nobody made: it is
/// zero or another point of small order (spec 14.2, W15).
pub fn is_weak(key: &LockKey) -> bool {
    let mut y = key.0;
    y[31] &= 0x7f;
    SMALL_ORDER_Y.contains(&y)
}

/// Something that can be checked without any state.
#[derive(Clone, PartialEq, Eq)]
pub enum Claim {
    /// An Ed25519 signature under ZIP-215 rules: what members sign, AUMs, direct and credential
    /// signatures.
    Zip215 {
        /// The public key.
        key: [u8; 32],
        /// What was signed.
        message: Vec<u8>,
        /// The signature.
        signature: [u8; 64],
    },
    /// An Ed25519 signature under the cofactorless rules of Go's crypto/ed25519: rotations.
    Standard {
        /// The public key.
        key: [u8; 32],
        /// What was signed.
        message: Vec<u8>,
        /// The signature.
        signature: [u8; 64],
    },
    /// A disablement secret whose Argon2i image is `value`. Costs about 15 ms and 16 MiB.
    Disablement {
        /// The revealed secret.
        secret: Vec<u8>,
        /// The value in the state.
        value: [u8; 32],
    },
}

/// Without the secret of a disablement: as long as nobody has checked it, it may turn a lock off.
impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |key: &[u8; 32]| HEXLOWER.encode(key);
        match self {
            Claim::Zip215 { key, .. } => write!(f, "Zip215(by {})", hex(key)),
            Claim::Standard { key, .. } => write!(f, "Standard(by {})", hex(key)),
            Claim::Disablement { secret, .. } => write!(f, "Disablement({} bytes)", secret.len()),
        }
    }
}

impl Claim {
    /// Checks this claim by itself.
    fn holds(&self, last: &mut LastKey, cores: &dyn Cores) -> bool {
        match self {
            Claim::Zip215 { key, message, signature } => {
                VerificationKey::try_from(VerificationKeyBytes::from(*key))
                    .and_then(|key| key.verify(&(*signature).into(), message))
                    .is_ok()
            }
            Claim::Standard { key, message, signature } => last
                .decompressed(key)
                .is_some_and(|key| key.verify(message, &signature.into()).is_ok()),
            Claim::Disablement { secret, value } => disablement::equals(cores.image(secret), value),
        }
    }
}

/// The key that was decompressed last: the rotations of one node follow each other, and mostly
/// have one key.
#[derive(Default)]
struct LastKey(Option<ed25519_dalek::VerifyingKey>);

impl LastKey {
    fn decompressed(&mut self, key: &[u8; 32]) -> Option<&ed25519_dalek::VerifyingKey> {
        if self.0.as_ref().is_none_or(|last| last.as_bytes() != key) {
            self.0 = ed25519_dalek::VerifyingKey::from_bytes(key).ok();
        }
        self.0.as_ref()
    }
}

/// A claim that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadClaim {
    /// The signature at this place among the item's claims, counted from 0.
    #[error("signature {0}: invalid signature")]
    Signature(usize),
    /// The disablement secret is not the one of the value.
    #[error("incorrect disablement secret")]
    Disablement,
}

/// What asserts things that can be checked without state.
pub trait Signed {
    /// Appends everything that must be checked for this item, in a fixed order. Refuses an item
    /// whose shape alone makes it impossible to verify.
    fn claims(&self, out: &mut Vec<Claim>) -> Result<(), Refusal>;

    /// A hash without collisions over all that the claims are made of, if one is at hand: whoever
    /// changes a key, message or signature has to change it. A batch then need not hash them again.
    fn fixed_by(&self) -> Option<[u8; 32]> {
        None
    }
}

impl Signed for Sealed {
    fn claims(&self, out: &mut Vec<Claim>) -> Result<(), Refusal> {
        let message = if self.signatures.is_empty() { None } else { Some(self.sig_hash()) };
        for (i, signature) in self.signatures.iter().enumerate() {
            let key = signature.key_id.as_deref().and_then(|key| key.try_into().ok());
            let bytes = signature.signature.as_deref().and_then(|bytes| bytes.try_into().ok());
            match (key, bytes, &message) {
                (Some(key), Some(signature), Some(message)) => {
                    out.push(Claim::Zip215 { key, message: message.0.to_vec(), signature });
                }
                _ => return Err(Invalid::SignatureShape(i).into()),
            }
        }
        Ok(())
    }

    /// The AUM's hash, which is always computed here and covers the signatures too.
    fn fixed_by(&self) -> Option<[u8; 32]> {
        Some(self.hash().0)
    }
}

/// Something whose claims nobody has checked yet.
#[derive(Debug, Clone)]
pub struct Unverified<T>(T);

impl<T> Unverified<T> {
    /// Wraps what came from outside.
    pub fn new(item: T) -> Self {
        Unverified(item)
    }

    /// The item, to look at but not to trust.
    pub fn get(&self) -> &T {
        &self.0
    }
}

/// Something whose claims all hold. Says nothing about whether the keys are trusted.
#[derive(Debug, Clone)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// The item.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// The item, which then no longer counts as verified.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// A part of this item as verified. For parts whose claims the whole listed as its own.
    pub(crate) fn part<U>(&self, part: U) -> Verified<U> {
        Verified(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_keys_are_those_of_small_order() {
        let mut weak = 0;
        for y in SMALL_ORDER_Y {
            for sign in [0, 0x80] {
                let mut bytes = y;
                bytes[31] |= sign;
                let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes).unwrap();
                assert!(key.is_weak() && is_weak(&LockKey(bytes)));
                weak += 1;
            }
        }
        assert_eq!(weak, 14);
        assert!(!is_weak(&PrivateKey::from_seed(&[1; 32]).public()));
    }

    #[test]
    fn private_keys_have_one_form_and_show_nothing() {
        let key = PrivateKey::from_seed(&[1; 32]);
        let text = key.to_nlpriv();
        assert_eq!(PrivateKey::from_nlpriv(&text).unwrap().to_nlpriv(), text);
        assert!(!format!("{key:?}").contains(&text[7..71]));
        let mut pair = *key.to_pair();
        pair[63] ^= 1;
        assert_eq!(PrivateKey::from_pair(&pair).err(), Some(TextError::MismatchedHalves));
    }
}
