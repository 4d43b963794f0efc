//! Ed25519: signing, and the one way from unverified to verified. Alone names the Ed25519 crates.
//!
//! A key ID is its public key and a node-key signature carries its wrapping keys, so every
//! signature can be checked before anyone asks whether its key is trusted. What an item asserts
//! is listed as [`Claim`]s; [`verify_all`] checks the claims of many items together and alone
//! makes [`Verified`]. The fold then only asks whether the named keys are trusted.

use std::fmt;

use blake2::{Blake2b512, Digest};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ed25519_dalek::{Signer as _, Verifier as _};
use ed25519_zebra::{VerificationKey, VerificationKeyBytes, batch};
use rand_core::{TryCryptoRng, TryRng};
use zeroize::Zeroizing;

use super::{Invalid, Sealed, disablement};
use crate::Refusal;
use crate::ids::{LockKey, TextError};

/// Signatures checked in one batch, at most. Larger batches gain little per signature, and a
/// failing one is checked again one by one.
const BATCH: usize = 1024;
/// Signatures below which a batch costs more than checking each by itself.
const SMALLEST_BATCH: usize = 3;

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
    fn holds(&self, last: &mut LastKey) -> bool {
        match self {
            Claim::Zip215 { key, message, signature } => {
                VerificationKey::try_from(VerificationKeyBytes::from(*key))
                    .and_then(|key| key.verify(&(*signature).into(), message))
                    .is_ok()
            }
            Claim::Standard { key, message, signature } => last
                .decompressed(key)
                .is_some_and(|key| key.verify(message, &signature.into()).is_ok()),
            Claim::Disablement { secret, value } => disablement::matches(secret, value),
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

/// Runs jobs, on as many cores as the caller has to give: this crate starts no threads.
pub trait Cores {
    /// How many jobs run at once.
    fn count(&self) -> usize;
    /// Runs every job to its end before it returns.
    fn run<'a>(&self, jobs: Vec<Box<dyn FnOnce() + Send + 'a>>);
}

/// Runs everything where it was asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct OneCore;

impl Cores for OneCore {
    fn count(&self) -> usize {
        1
    }

    fn run<'a>(&self, jobs: Vec<Box<dyn FnOnce() + Send + 'a>>) {
        for job in jobs {
            job();
        }
    }
}

/// Checks the claims of many items together. The answers are in the order of the items; each is
/// what [`verify_one`] would have said of the item alone.
pub fn verify_all<T: Signed + Send + Sync>(
    items: Vec<Unverified<T>>,
    cores: &dyn Cores,
) -> Vec<Result<Verified<T>, Refusal>> {
    let mut verdicts = vec![Ok(()); items.len()];
    let share = share_of(items.len(), cores);
    let jobs = items
        .chunks(share)
        .zip(verdicts.chunks_mut(share))
        .map(|(items, verdicts)| {
            let items = items.iter().map(|item| Ok(&item.0));
            Box::new(move || check_share(items, verdicts)) as Box<dyn FnOnce() + Send + '_>
        })
        .collect();
    cores.run(jobs);
    let verdicts = verdicts.into_iter();
    items.into_iter().zip(verdicts).map(|(item, ok)| ok.map(|()| Verified(item.0))).collect()
}

/// Decodes many inputs and checks their claims together: [`verify_all`] for whoever has bytes,
/// with the decoding on all cores as well. The answers are in the order of the inputs.
pub fn decode_and_verify<B: Sync, T: Signed + Send>(
    inputs: &[B],
    decode: impl Fn(&B) -> Result<T, Refusal> + Sync,
    cores: &dyn Cores,
) -> Vec<Result<Verified<T>, Refusal>> {
    let decode = &decode;
    let mut shares: Vec<Vec<Result<Verified<T>, Refusal>>> = Vec::new();
    let share = share_of(inputs.len(), cores);
    shares.resize_with(inputs.len().div_ceil(share), Vec::new);
    let jobs = inputs
        .chunks(share)
        .zip(&mut shares)
        .map(|(inputs, answers)| {
            Box::new(move || {
                let items: Vec<Result<T, Refusal>> = inputs.iter().map(decode).collect();
                let mut verdicts = vec![Ok(()); items.len()];
                check_share(
                    items.iter().map(|item| item.as_ref().map_err(Refusal::clone)),
                    &mut verdicts,
                );
                let verdicts = verdicts.into_iter();
                *answers = items
                    .into_iter()
                    .zip(verdicts)
                    .map(|(item, verdict)| verdict.and(item).map(Verified))
                    .collect();
            }) as Box<dyn FnOnce() + Send + '_>
        })
        .collect();
    cores.run(jobs);
    shares.into_iter().flatten().collect()
}

/// Items of one job: few enough that no core waits long for the last one, many enough for full
/// batches.
fn share_of(items: usize, cores: &dyn Cores) -> usize {
    items.div_ceil(cores.count().max(1)).clamp(1, BATCH)
}

/// Checks the claims of one item.
pub fn verify_one<T: Signed>(item: Unverified<T>) -> Result<Verified<T>, Refusal> {
    let mut verdict = [Ok(())];
    check_share([Ok(&item.0)], &mut verdict);
    let [verdict] = verdict;
    verdict.map(|()| Verified(item.0))
}

/// Where a claim belongs: item and place within it.
#[derive(Clone, Copy)]
struct Place {
    item: usize,
    index: usize,
}

/// Lists the claims of all items of a share, then checks them batch by batch. An item that is a
/// refusal keeps it.
fn check_share<'a, T: Signed + 'a>(
    items: impl IntoIterator<Item = Result<&'a T, Refusal>>,
    verdicts: &mut [Result<(), Refusal>],
) {
    let mut claims = Vec::new();
    let mut places = Vec::new();
    for (item, (signed, verdict)) in items.into_iter().zip(verdicts.iter_mut()).enumerate() {
        let before = claims.len();
        if let Err(refusal) = signed.and_then(|signed| signed.claims(&mut claims)) {
            claims.truncate(before);
            *verdict = Err(refusal);
        }
        places.extend((0..claims.len() - before).map(|index| Place { item, index }));
    }
    let mut broken = Vec::new();
    let mut last = LastKey::default();
    let mut batched = Vec::with_capacity(claims.len().min(BATCH));
    for (at, claim) in claims.iter().enumerate() {
        if matches!(claim, Claim::Zip215 { .. }) {
            batched.push(at);
            if batched.len() == BATCH {
                check_batch(&claims, &batched, &mut broken);
                batched.clear();
            }
        } else if !claim.holds(&mut last) {
            broken.push(at);
        }
    }
    check_batch(&claims, &batched, &mut broken);
    // The first broken claim of an item is its verdict, whatever order they were found in.
    broken.sort_unstable();
    for at in broken {
        let Place { item, index } = places[at];
        if verdicts[item].is_ok() {
            verdicts[item] = Err(Refusal::BadClaim(match claims[at] {
                Claim::Disablement { .. } => BadClaim::Disablement,
                _ => BadClaim::Signature(index),
            }));
        }
    }
}

/// Checks the ZIP-215 claims at these places together; if that fails, one by one.
fn check_batch(claims: &[Claim], at: &[usize], broken: &mut Vec<usize>) {
    if at.len() >= SMALLEST_BATCH {
        let mut batch = batch::Verifier::new();
        let mut seed = Blake2b512::new_with_prefix(b"lockstep batch blinders 1");
        for &at in at {
            if let Claim::Zip215 { key, message, signature } = &claims[at] {
                seed.update(key);
                seed.update(signature);
                seed.update((message.len() as u64).to_le_bytes());
                seed.update(message);
                batch.queue((VerificationKeyBytes::from(*key), (*signature).into(), message));
            }
        }
        if batch.verify(Blinders::from_seed(seed.finalize().into())).is_ok() {
            return;
        }
    }
    broken.extend(at.iter().copied().filter(|&at| !claims[at].holds(&mut LastKey::default())));
}

/// The blinding factors of one batch, drawn from a hash over everything in it.
///
/// A batch checks one random combination of all its equations. It is sound as long as the
/// factors cannot be known before keys, messages and signatures are fixed: then a batch with an
/// invalid signature passes with probability 2^-128 or so. A hash over all of them gives exactly
/// that (the Fiat-Shamir argument: whoever changes anything in the batch draws all factors anew),
/// so a forger has to try about 2^128 batches. Fresh randomness would be no safer, and would make
/// the verdict depend on something other than the input. Which factor meets which signature does
/// not matter, nor does the order in which the batch walks its keys.
struct Blinders {
    seed: [u8; 64],
    block: [u8; 64],
    used: usize,
    counter: u64,
}

impl Blinders {
    fn from_seed(seed: [u8; 64]) -> Self {
        Blinders { seed, block: [0; 64], used: 64, counter: 0 }
    }
}

impl TryRng for Blinders {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        for byte in out {
            if self.used == self.block.len() {
                let mut hash = Blake2b512::new_with_prefix(self.seed);
                hash.update(self.counter.to_le_bytes());
                self.block = hash.finalize().into();
                self.used = 0;
                self.counter += 1;
            }
            *byte = self.block[self.used];
            self.used += 1;
        }
        Ok(())
    }
}

impl TryCryptoRng for Blinders {}

#[cfg(test)]
mod tests {
    use super::*;

    struct Claims(Vec<Claim>);

    impl Signed for Claims {
        fn claims(&self, out: &mut Vec<Claim>) -> Result<(), Refusal> {
            out.extend(self.0.iter().cloned());
            Ok(())
        }
    }

    fn signed(n: u16) -> Claim {
        let signer = PrivateKey::from_seed(&[(n % 3) as u8; 32]);
        let message = n.to_le_bytes().to_vec();
        let signature = signer.sign(&message);
        let key = signer.public().0;
        if n.is_multiple_of(7) {
            Claim::Standard { key, message, signature }
        } else {
            Claim::Zip215 { key, message, signature }
        }
    }

    fn broken(claim: Claim) -> Claim {
        match claim {
            Claim::Zip215 { key, mut message, signature } => {
                message.push(0);
                Claim::Zip215 { key, message, signature }
            }
            Claim::Standard { key, mut message, signature } => {
                message.push(0);
                Claim::Standard { key, message, signature }
            }
            Claim::Disablement { secret, .. } => Claim::Disablement { secret, value: [0; 32] },
        }
    }

    /// More claims than a batch holds, and bad ones here and there.
    #[test]
    fn the_bad_ones_are_named() {
        let bad = |n: u16| n == 5 || n == 1500 || n == 2799;
        let items: Vec<Unverified<Claims>> = (0..1400)
            .map(|item| {
                let claims = [2 * item, 2 * item + 1]
                    .map(|n| if bad(n) { broken(signed(n)) } else { signed(n) });
                Unverified::new(Claims(claims.to_vec()))
            })
            .collect();
        for (item, verdict) in verify_all(items, &OneCore).into_iter().enumerate() {
            let n = 2 * item as u16;
            let expected = [n, n + 1].into_iter().position(bad);
            let found = match verdict.err() {
                Some(Refusal::BadClaim(BadClaim::Signature(at))) => Some(at),
                Some(other) => panic!("{other}"),
                None => None,
            };
            assert_eq!(found, expected, "item {item}");
        }
    }

    #[test]
    fn decoding_and_verifying_answers_in_order() {
        let inputs: Vec<u16> = (0..3000).collect();
        let decode = |n: &u16| match n % 1000 {
            500 => Err(Refusal::BadClaim(BadClaim::Disablement)),
            777 => Ok(Claims(vec![signed(1), broken(signed(*n))])),
            _ => Ok(Claims(vec![signed(*n)])),
        };
        let answers = decode_and_verify(&inputs, decode, &OneCore);
        assert_eq!(answers.len(), inputs.len());
        for (n, answer) in answers.into_iter().enumerate() {
            let expected = match n % 1000 {
                500 => Err(Refusal::BadClaim(BadClaim::Disablement)),
                777 => Err(Refusal::BadClaim(BadClaim::Signature(1))),
                _ => Ok(vec![signed(n as u16)]),
            };
            assert_eq!(answer.map(|item| item.into_inner().0), expected);
        }
    }

    #[test]
    fn a_wrong_secret_is_a_bad_claim() {
        let claim = Claim::Disablement { secret: vec![1], value: disablement::image(&[1]) };
        assert!(verify_one(Unverified::new(Claims(vec![claim.clone()]))).is_ok());
        assert_eq!(
            verify_one(Unverified::new(Claims(vec![signed(1), broken(claim)]))).err(),
            Some(Refusal::BadClaim(BadClaim::Disablement))
        );
    }

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
