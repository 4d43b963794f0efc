//! Keys that sign again and again, whose signatures are checked with multiples of them at hand.
//!
//! Signatures under the rules of Go's crypto/ed25519 have no sound batch: each must be computed by
//! itself. Most of that are doublings, of the key as of the base point. Whoever keeps a few dozen
//! multiples of a point adds up those that a scalar asks for and doubles forty times instead of 250
//! (the comb of Lim and Lee, "More flexible exponentiation with precomputation", CRYPTO '94).
//! Nodes sign their rotations with one key for years.
//!
//! Everything in here is public, so that nothing need take the same time for every scalar.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::traits::Identity;
use curve25519_dalek::{EdwardsPoint, Scalar};
use sha2::{Digest, Sha512};

/// Bits of a scalar that are looked up together in the multiples of a key: 127 points, 20 KB.
const KEY_TEETH: usize = 7;
/// The same for the base point: 1023 points, 164 KB.
const BASE_TEETH: usize = 10;
/// Keys whose multiples are kept, at most.
const KEPT: usize = 1024;
/// Places in which a key that was met leaves a mark.
const MARKS: usize = 1 << 16;
/// Once as many are kept as may be, one key of so many that would be kept takes the place of the
/// one that was kept for longest. If keys come round in a circle that is too large, most of them
/// stay, and making multiples costs next to nothing.
const PATIENCE: u32 = 16;

/// The keys that were met so far, from how many threads ever. Takes some 22 MB at most.
pub struct FamiliarKeys {
    base: Comb,
    kept: Mutex<Kept>,
}

struct Kept {
    /// What was met in each place last.
    marks: Vec<u64>,
    /// The multiples of the negated keys.
    combs: BTreeMap<[u8; 32], Arc<Comb>>,
    /// The keys of the combs, those that were kept for longest first.
    order: VecDeque<[u8; 32]>,
    turned_away: u32,
}

impl Default for FamiliarKeys {
    fn default() -> Self {
        FamiliarKeys::new()
    }
}

impl FamiliarKeys {
    /// No keys yet.
    pub fn new() -> Self {
        let kept = Kept {
            marks: vec![0; MARKS],
            combs: BTreeMap::new(),
            order: VecDeque::new(),
            turned_away: 0,
        };
        FamiliarKeys { base: Comb::of(ED25519_BASEPOINT_POINT, BASE_TEETH), kept: Mutex::new(kept) }
    }

    /// The point that a signature has to begin with, compressed, to hold under the rules of Go's
    /// crypto/ed25519: `[s]B - [k]A`, with all of the key's and nothing of the cofactor left out.
    /// None if the key is not familiar yet, or the signature cannot be one.
    pub(super) fn expected(
        &self,
        key: &[u8; 32],
        message: &[u8],
        signature: &[u8; 64],
    ) -> Option<EdwardsPoint> {
        let (first, s) = signature.split_first_chunk::<32>()?;
        let s = Option::<Scalar>::from(Scalar::from_canonical_bytes(s.try_into().ok()?))?;
        let negated = self.comb(key)?;
        let k = Sha512::new().chain_update(first).chain_update(key).chain_update(message);
        let k = Scalar::from_bytes_mod_order_wide(&k.finalize().into());
        Some(sum_of_products([(&k, &*negated), (&s, &self.base)]))
    }

    /// The multiples of a negated key that was met before. Each call is a meeting.
    fn comb(&self, key: &[u8; 32]) -> Option<Arc<Comb>> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let met = kept().meet(key);
        match met {
            Met::Familiar(comb) => Some(comb),
            Met::Stranger => None,
            Met::Again => {
                // Nobody waits meanwhile: it takes half as long again as a signature.
                let comb = Arc::new(Comb::of(-CompressedEdwardsY(*key).decompress()?, KEY_TEETH));
                kept().keep(*key, comb.clone());
                Some(comb)
            }
        }
    }
}

/// How a key was met.
enum Met {
    /// Its multiples are at hand.
    Familiar(Arc<Comb>),
    /// It was met before, and its multiples are to be made.
    Again,
    /// For the first time, or there is no place for it.
    Stranger,
}

impl Kept {
    fn meet(&mut self, key: &[u8; 32]) -> Met {
        if let Some(comb) = self.combs.get(key) {
            return Met::Familiar(comb.clone());
        }
        let [place, mark, ..] = *key.as_chunks::<8>().0 else { return Met::Stranger };
        let place = &mut self.marks[u64::from_le_bytes(place) as usize % MARKS];
        // Zero is what nobody has met yet.
        let mark = u64::from_le_bytes(mark).max(1);
        if std::mem::replace(place, mark) != mark {
            return Met::Stranger;
        }
        if self.combs.len() >= KEPT {
            self.turned_away += 1;
            if self.turned_away < PATIENCE {
                return Met::Stranger;
            }
            self.turned_away = 0;
        }
        Met::Again
    }

    fn keep(&mut self, key: [u8; 32], comb: Arc<Comb>) {
        if self.combs.insert(key, comb).is_none() {
            self.order.push_back(key);
        }
        while self.combs.len() > KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.combs.remove(&oldest);
        }
    }
}

impl fmt::Debug for FamiliarKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FamiliarKeys").finish_non_exhaustive()
    }
}

/// Multiples of a point P. The 256 bits of a scalar are written in rows, one below the other; with
/// `2^columns` P, `4^columns` P and so on for the rows, each column of bits stands for the sum of
/// those rows that have a one in it.
struct Comb {
    columns: usize,
    /// The sums for all columns but the empty one: that of column `n` at `n - 1`.
    sums: Box<[EdwardsPoint]>,
}

impl Comb {
    fn of(point: EdwardsPoint, teeth: usize) -> Self {
        let columns = 256_usize.div_ceil(teeth);
        let mut sums = Vec::with_capacity((1 << teeth) - 1);
        let mut row = point;
        for tooth in 0..teeth {
            if tooth > 0 {
                (0..columns).for_each(|_| row += row);
            }
            sums.push(row);
            for below in 0..sums.len() - 1 {
                sums.push(sums[below] + row);
            }
        }
        Comb { columns, sums: sums.into() }
    }

    /// The sum for a column of a scalar's bits; none if it has no ones or there is no such column.
    fn sum(&self, scalar: &[u8; 32], column: usize) -> Option<&EdwardsPoint> {
        if column >= self.columns {
            return None;
        }
        let bits = (column..256).step_by(self.columns);
        let bits = bits.map(|bit| usize::from(scalar[bit / 8] >> (bit % 8) & 1));
        let number = bits.enumerate().fold(0, |sum, (tooth, bit)| sum | bit << tooth);
        self.sums.get(number.checked_sub(1)?)
    }
}

/// The sum of products of scalars and points. Scalars are taken as they are, not modulo the order
/// of the base point, which matters for points with a part of small order.
fn sum_of_products<const N: usize>(products: [(&Scalar, &Comb); N]) -> EdwardsPoint {
    let columns = products.iter().map(|(_, comb)| comb.columns).max().unwrap_or_default();
    let mut sum = EdwardsPoint::identity();
    for column in (0..columns).rev() {
        sum += sum;
        for (scalar, comb) in products {
            if let Some(point) = comb.sum(scalar.as_bytes(), column) {
                sum += point;
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::EIGHT_TORSION;
    use ed25519_dalek::{Verifier, VerifyingKey};
    use proptest::prelude::*;

    use super::super::{PrivateKey, Signer};
    use super::*;

    fn scalar() -> impl Strategy<Value = Scalar> {
        let any = any::<[u8; 32]>().prop_map(Scalar::from_bytes_mod_order);
        let edges = [Scalar::ZERO, Scalar::ONE, -Scalar::ONE, Scalar::from(1_u64 << 43)];
        prop_oneof![8 => any, 1 => proptest::sample::select(edges.to_vec())]
    }

    /// What the key's comb says of a signature, and what the library says.
    fn verdicts(
        keys: &FamiliarKeys,
        (key, message, signature): (&[u8; 32], &[u8], &[u8; 64]),
    ) -> [bool; 2] {
        // So that it is familiar.
        keys.comb(key);
        let expected = keys.expected(key, message, signature);
        let ours = expected.is_some_and(|point| point.compress().0 == signature[..32]);
        let theirs = VerifyingKey::from_bytes(key)
            .is_ok_and(|key| key.verify(message, &signature.into()).is_ok());
        [ours, theirs]
    }

    proptest! {
        #[test]
        fn sums_are_those_of_the_library(
            a in scalar(),
            b in scalar(),
            of in scalar(),
            torsion in 0_usize..8,
        ) {
            let point = EdwardsPoint::mul_base(&of) + EIGHT_TORSION[torsion];
            let base = Comb::of(ED25519_BASEPOINT_POINT, BASE_TEETH);
            let sum = sum_of_products([(&a, &Comb::of(point, KEY_TEETH)), (&b, &base)]);
            prop_assert_eq!(sum, EdwardsPoint::vartime_double_scalar_mul_basepoint(&a, &point, &b));
        }

        /// With keys and first points that have a part of small order, some of these signatures
        /// hold for the library and some do not, as Go would have it.
        #[test]
        fn the_verdict_is_that_of_the_library(
            private in scalar(),
            nonce in scalar(),
            parts in (0_usize..8, 0_usize..8),
            message in any::<[u8; 32]>(),
            flip in proptest::option::weighted(0.3, 0_usize..96 * 8),
        ) {
            let key = EdwardsPoint::mul_base(&private) + EIGHT_TORSION[parts.0];
            let first = EdwardsPoint::mul_base(&nonce) + EIGHT_TORSION[parts.1];
            let (mut key, first) = (key.compress().0, first.compress().0);
            let k = Sha512::new().chain_update(first).chain_update(key).chain_update(message);
            let k = Scalar::from_bytes_mod_order_wide(&k.finalize().into());
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&first);
            signature[32..].copy_from_slice((nonce + k * private).as_bytes());
            if let Some(bit) = flip {
                let byte = bit / 8;
                *key.iter_mut().chain(&mut signature).nth(byte).unwrap() ^= 1 << (bit % 8);
            }
            let [ours, theirs] = verdicts(&FamiliarKeys::new(), (&key, &message, &signature));
            prop_assert_eq!(ours, theirs);
            // Zero times a point has two spellings.
            if parts == (0, 0) && private != Scalar::ZERO {
                prop_assert_eq!(ours, flip.is_none());
            }
        }
    }

    /// Encodings that decode to a point but are not what it is compressed to, and an `s` that is
    /// not the least of its kind.
    #[test]
    fn odd_spellings_are_judged_as_by_the_library() {
        let mut seen = [0; 2];
        let mut near_p = [0xff; 32];
        near_p[31] = 0x7f;
        let points: Vec<[u8; 32]> = (0xea..=0xff)
            .flat_map(|low| {
                let mut point = near_p;
                point[0] = low;
                let mut negative = point;
                negative[31] = 0xff;
                [point, negative]
            })
            .chain(EIGHT_TORSION.map(|point| point.compress().0))
            .collect();
        let keys = FamiliarKeys::new();
        for key in &points {
            for (first, message) in points.iter().flat_map(|first| [(first, b"1"), (first, b"2")]) {
                for s in [[0; 32], ORDER] {
                    let signature: [u8; 64] = [*first, s].concat().try_into().unwrap();
                    let [ours, theirs] = verdicts(&keys, (key, message, &signature));
                    assert_eq!(ours, theirs, "{key:x?} {signature:x?}");
                    seen[usize::from(ours)] += 1;
                }
            }
        }
        assert!(seen[0] > 500 && seen[1] > 10, "{seen:?}");
    }

    /// The order of the base point, which is zero for whoever reduces it.
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];

    #[test]
    fn so_many_are_kept_and_others_have_their_turn() {
        let keys = FamiliarKeys::new();
        let key = |n: u64| {
            PrivateKey::from_seed(&[&n.to_le_bytes()[..], &[0; 24]].concat().try_into().unwrap())
        };
        let asked = |n: u64| keys.comb(&key(n).public().0).is_some();
        let most = KEPT as u64;
        for n in 0..most {
            assert_eq!([asked(n), asked(n)], [false, true], "{n}");
        }
        // Now others have to be patient, and those that are here are not forgotten for them.
        let patience: Vec<bool> = (0..=PATIENCE).map(|_| asked(most)).collect();
        assert_eq!(patience.iter().filter(|found| **found).count(), 1);
        assert!(patience[patience.len() - 1] && asked(most));
        assert!(!asked(0) && (1..most).all(asked));
        let kept = keys.kept.lock().unwrap();
        assert_eq!((kept.combs.len(), kept.order.len()), (KEPT, KEPT));
    }

    /// Threads that meet a key at the same time all come to the same, and it is kept once.
    #[test]
    fn several_may_meet_a_key_at_once() {
        let signer = PrivateKey::from_seed(&[4; 32]);
        let (keys, key) = (FamiliarKeys::new(), signer.public().0);
        let signature = signer.sign(b"message");
        let found: Vec<EdwardsPoint> = std::thread::scope(|scope| {
            let meet = || keys.expected(&key, b"message", &signature);
            let threads = [(); 4]
                .map(|()| scope.spawn(move || (0..20).filter_map(|_| meet()).collect::<Vec<_>>()));
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        // Only the first of all meetings finds nothing.
        assert_eq!(found.len(), 79);
        assert!(found.iter().all(|point| point.compress().0 == signature[..32]));
        let kept = keys.kept.lock().unwrap();
        assert_eq!((kept.combs.len(), kept.order.len()), (1, 1));
    }

    #[test]
    fn a_signature_of_a_familiar_key_holds() {
        let signer = PrivateKey::from_seed(&[3; 32]);
        let (keys, key) = (FamiliarKeys::new(), signer.public().0);
        let signature = signer.sign(b"message");
        assert_eq!(
            keys.expected(&key, b"message", &signature),
            None,
            "nobody is familiar at first"
        );
        assert_eq!(verdicts(&keys, (&key, b"message", &signature)), [true, true]);
        assert_eq!(verdicts(&keys, (&key, b"massage", &signature)), [false, false]);
    }
}
