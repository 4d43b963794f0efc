//! Checking the claims of many items together: the one way from unverified to verified.

use curve25519_dalek::EdwardsPoint;
use ed25519_zebra::{VerificationKeyBytes, batch};

use super::blinders::Transcript;
use super::cores::{Cores, OneCore, joined, on_shares, shares, shares_beside};
use super::{BadClaim, Claim, LastKey, Signed, Unverified, Verified};
use crate::Refusal;

/// Signatures from which a batch takes no more items: what all of a batch have in common costs
/// next to nothing per signature by then, and the items of one that fails are checked again one
/// by one.
const BATCH: usize = 4096;
/// Signatures below which a batch costs more than checking each by itself.
const SMALLEST_BATCH: usize = 3;
/// Items that a core takes at a time, at least: batches below some two hundred signatures cost a
/// third more for each.
const LEAST: usize = 256;
/// How many times as long an item's checks take as what a replay does with it beside them.
const BESIDE: usize = 20;

/// What the checks of many items came to, each by itself.
pub type Verdicts<T> = Vec<Result<Verified<T>, Refusal>>;

/// Checks the claims of many items together. The answers are in the order of the items; each is
/// what [`verify_one`] would have said of the item alone.
pub fn verify_all<T: Signed + Send + Sync>(
    items: Vec<Unverified<T>>,
    cores: &dyn Cores,
) -> Verdicts<T> {
    let shares = shares(items.len(), LEAST, BATCH, cores.count());
    let check =
        |items: &[Unverified<T>]| check_share(items.iter().map(|item| Some(&item.0)), cores);
    let checked = joined(on_shares(&items, shares, &mut || (), check, cores));
    verdicts(items.into_iter().map(|item| Ok(item.0)), checked).collect()
}

/// Decodes many inputs and checks their claims together: [`verify_all`] for whoever has bytes,
/// with the decoding on all cores as well. The answers are in the order of the inputs.
pub fn decode_and_verify<B: Sync, T: Signed + Send>(
    inputs: &[B],
    decode: impl Fn(&B) -> Result<T, Refusal> + Sync,
    cores: &dyn Cores,
) -> Verdicts<T> {
    decode_verify_and(inputs, decode, |_, item| Ok(item), cores)
}

/// [`decode_and_verify`] for inputs that are decoded together faster than one by one: `decode`
/// answers for each of some neighbours.
pub fn decode_each_and_verify<B: Sync, T: Signed + Send>(
    inputs: &[B],
    decode: impl Fn(&[B]) -> Vec<Result<T, Refusal>> + Sync,
    cores: &dyn Cores,
) -> Verdicts<T> {
    decode_each_verify_and(inputs, decode, |_, item| Ok(item), cores)
}

/// [`decode_and_verify`], and then goes on with each that holds, on all cores as well.
pub fn decode_verify_and<B: Sync, T: Signed, R: Send>(
    inputs: &[B],
    decode: impl Fn(&B) -> Result<T, Refusal> + Sync,
    then: impl Fn(&B, Verified<T>) -> Result<R, Refusal> + Sync,
    cores: &dyn Cores,
) -> Vec<Result<R, Refusal>> {
    let decode = |inputs: &[B]| inputs.iter().map(&decode).collect();
    decode_each_verify_and(inputs, decode, then, cores)
}

fn decode_each_verify_and<B: Sync, T: Signed, R: Send>(
    inputs: &[B],
    decode: impl Fn(&[B]) -> Vec<Result<T, Refusal>> + Sync,
    then: impl Fn(&B, Verified<T>) -> Result<R, Refusal> + Sync,
    cores: &dyn Cores,
) -> Vec<Result<R, Refusal>> {
    let shares = shares(inputs.len(), LEAST, BATCH, cores.count());
    let work = |inputs: &[B]| {
        let items = decode(inputs);
        let checked = check_share(items.iter().map(|item| item.as_ref().ok()), cores);
        let verdicts = verdicts(items.into_iter(), checked);
        inputs.iter().zip(verdicts).map(|(input, item)| then(input, item?)).collect()
    };
    joined(on_shares(inputs, shares, &mut || (), work, cores))
}

/// Checks the claims of many items while `work` goes on with them: the fold runs on one core and
/// the signatures on the others. What the work comes to is handed out, with the items, only if
/// every claim holds. Otherwise it is dropped, and the answers are those of [`verify_all`].
///
/// The work sees the items as verified before they are. It cannot let them or anything made of
/// them escape but through its result, since it can change nothing outside of itself.
pub fn verify_beside<T: Signed + Send + Sync, R>(
    items: Vec<Unverified<T>>,
    cores: &dyn Cores,
    work: impl Fn(&[Verified<T>]) -> R,
) -> Result<(Vec<Verified<T>>, R), Verdicts<T>> {
    let items: Vec<Verified<T>> = items.into_iter().map(|item| Verified(item.0)).collect();
    let own = items.len() / BESIDE;
    let shares = shares_beside(items.len(), own, (LEAST, BATCH), cores.count());
    let mut result = None;
    let mut own = || result = Some(work(&items));
    let check = |items: &[Verified<T>]| check_share(items.iter().map(|item| Some(&item.0)), cores);
    let checked = joined(on_shares(&items, shares, &mut own, check, cores));
    match result {
        Some(result) if checked.len() == items.len() && checked.iter().all(Result::is_ok) => {
            Ok((items, result))
        }
        _ => Err(verdicts(items.into_iter().map(|item| Ok(item.0)), checked).collect()),
    }
}

/// Checks the claims of one item.
pub fn verify_one<T: Signed>(item: Unverified<T>) -> Result<Verified<T>, Refusal> {
    let checked = check_share([Some(&item.0)].into_iter(), &OneCore);
    checked.into_iter().collect::<Result<(), Refusal>>()?;
    Ok(Verified(item.0))
}

/// What was decoded, with what its check came to. An item that is a refusal keeps it.
fn verdicts<T>(
    items: impl Iterator<Item = Result<T, Refusal>>,
    checked: Vec<Result<(), Refusal>>,
) -> impl Iterator<Item = Result<Verified<T>, Refusal>> {
    items.zip(checked).map(|(item, checked)| {
        let item = item?;
        checked.map(|()| Verified(item))
    })
}

/// Checks the claims of the items of one job, those for a batch together. Says nothing against
/// an item that is none.
fn check_share<'a, T: Signed + 'a>(
    items: impl ExactSizeIterator<Item = Option<&'a T>> + Clone,
    cores: &dyn Cores,
) -> Vec<Result<(), Refusal>> {
    let mut verdicts = vec![Ok(()); items.len()];
    let mut scratch = Scratch { claims: Vec::new(), last: LastKey::default(), cores };
    let mut batch = Batch::new();
    let mut from = 0;
    for (at, item) in items.clone().enumerate() {
        if let Some(item) = item {
            verdicts[at] = batch.take(item, &mut scratch);
        }
        if batch.size >= BATCH || at + 1 == verdicts.len() {
            if !batch.holds() {
                let again = verdicts[from..=at].iter_mut().zip(items.clone().skip(from));
                for (verdict, item) in again {
                    *verdict = item.map_or(Ok(()), |item| check_alone(item, &mut scratch));
                }
            }
            (batch, from) = (Batch::new(), at + 1);
        }
    }
    verdicts
}

/// What is used again for every item.
struct Scratch<'c> {
    claims: Vec<Claim>,
    last: LastKey,
    cores: &'c dyn Cores,
}

/// Checks the claims of one item, in their order and each by itself.
fn check_alone<T: Signed>(item: &T, scratch: &mut Scratch<'_>) -> Result<(), Refusal> {
    let Scratch { claims, last, cores } = scratch;
    claims.clear();
    item.claims(claims)?;
    match claims.iter().position(|claim| !claim.holds(last, *cores)) {
        None => Ok(()),
        Some(at) => Err(Refusal::BadClaim(match claims[at] {
            Claim::Disablement { .. } => BadClaim::Disablement,
            _ => BadClaim::Signature(at),
        })),
    }
}

/// Signatures that are checked together.
struct Batch {
    verifier: batch::Verifier,
    transcript: Transcript,
    /// ZIP-215 signatures in it.
    size: usize,
    /// The points that signatures of familiar keys have to begin with. They are compressed together
    /// at the end, which costs little.
    expected: Vec<EdwardsPoint>,
    /// What they begin with.
    given: Vec<[u8; 32]>,
}

impl Batch {
    fn new() -> Self {
        Batch {
            verifier: batch::Verifier::new(),
            transcript: Transcript::new(),
            size: 0,
            expected: Vec::new(),
            given: Vec::new(),
        }
    }

    /// Takes the signatures of an item that are for a batch and checks its other claims. Takes
    /// none if the item is refused.
    fn take<T: Signed>(&mut self, item: &T, scratch: &mut Scratch<'_>) -> Result<(), Refusal> {
        let Scratch { claims, last, cores } = scratch;
        claims.clear();
        item.claims(claims)?;
        let (mut expected, mut given) = (Vec::new(), Vec::new());
        let mut holds_or_waits = |claim: &Claim| match claim {
            Claim::Zip215 { .. } => true,
            Claim::Standard { key, message, signature } => {
                let keys = cores.familiar();
                match keys.and_then(|keys| keys.expected(key, message, signature)) {
                    Some(point) => {
                        expected.push(point);
                        given.extend(signature.first_chunk());
                        true
                    }
                    None => claim.holds(last, *cores),
                }
            }
            Claim::Disablement { .. } => claim.holds(last, *cores),
        };
        if !claims.iter().all(&mut holds_or_waits) {
            return check_alone(item, scratch);
        }
        self.expected.append(&mut expected);
        self.given.append(&mut given);
        let fixed_by = item.fixed_by();
        if let Some(hash) = &fixed_by {
            self.transcript.add_all_of(hash);
        }
        for claim in claims {
            if let Claim::Zip215 { key, message, signature } = claim {
                if fixed_by.is_none() {
                    self.transcript.add(key, signature, message);
                }
                let key = VerificationKeyBytes::from(*key);
                self.verifier.queue((key, (*signature).into(), &*message));
                self.size += 1;
            }
        }
        Ok(())
    }

    /// Whether everything in it holds; a batch too small to be worth it says no.
    fn holds(self) -> bool {
        let expected = EdwardsPoint::compress_batch_alloc(&self.expected);
        if !expected.iter().map(|point| &point.0).eq(&self.given) {
            return false;
        }
        match self.size {
            0 => true,
            1..SMALLEST_BATCH => false,
            _ => self.verifier.verify(self.transcript.blinders()).is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FamiliarKeys, Job, OneCore, PrivateKey, Signer};
    use super::*;

    #[derive(Debug)]
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

    #[test]
    fn work_beside_the_checks_counts_only_if_all_hold() {
        struct Cores(usize);
        impl super::Cores for Cores {
            fn count(&self) -> usize {
                self.0
            }
            fn run_beside<'a>(&self, own: &mut dyn FnMut(), jobs: Vec<Job<'a>>) {
                OneCore.run_beside(own, jobs);
            }
        }
        for (len, cores) in [(0, 1), (1, 3), (150, 1), (150, 2), (1500, 2), (4000, 3), (900, 16)] {
            let items = || (0..len).map(|n| Unverified::new(Claims(vec![signed(n)])));
            let sum = |items: &[Verified<Claims>]| items.len();
            let (held, sum_of) = verify_beside(items().collect(), &Cores(cores), sum).unwrap();
            assert_eq!((held.len(), sum_of), (len.into(), len.into()));
            if len == 0 {
                continue;
            }
            let mut spoilt: Vec<_> = items().collect();
            let at = usize::from(len) * 2 / 3;
            spoilt[at] = Unverified::new(Claims(vec![broken(signed(at as u16))]));
            let verdicts = verify_beside(spoilt, &Cores(cores), sum).map(|_| ()).unwrap_err();
            assert_eq!(verdicts.len(), usize::from(len));
            for (n, verdict) in verdicts.iter().enumerate() {
                assert_eq!(verdict.is_err(), n == at, "{n} of {len} on {cores}");
            }
        }
    }

    /// A core that remembers keys.
    struct Remembering(FamiliarKeys);

    impl super::Cores for Remembering {
        fn count(&self) -> usize {
            1
        }

        fn run_beside<'a>(&self, own: &mut dyn FnMut(), jobs: Vec<Job<'a>>) {
            OneCore.run_beside(own, jobs);
        }

        fn familiar(&self) -> Option<&FamiliarKeys> {
            Some(&self.0)
        }
    }

    #[test]
    fn the_bad_ones_are_named() {
        let remembering = Remembering(FamiliarKeys::new());
        // The last ones are where all keys are familiar.
        for (cores, bad) in [
            (&OneCore as &dyn super::Cores, [5, 1400, 2799]),
            (&remembering, [5, 1400, 2799]),
            (&remembering, [5, 1401, 2799]),
            (&remembering, [0, 7, 1400]),
            (&remembering, [2793, 2794, 2799]),
        ] {
            names_the_bad_ones(cores, &bad);
        }
    }

    /// What a batch denies is checked again one by one, so that no verdict shows whether it ever
    /// agrees.
    #[test]
    fn a_batch_of_familiar_keys_agrees_and_denies() {
        let remembering = Remembering(FamiliarKeys::new());
        let batch = |claims: &[Claim]| {
            let mut batch = Batch::new();
            let mut scratch =
                Scratch { claims: Vec::new(), last: LastKey::default(), cores: &remembering };
            for claim in claims {
                batch.take(&Claims(vec![claim.clone()]), &mut scratch).unwrap();
            }
            batch
        };
        let standard: Vec<Claim> = (0..30).map(|n| signed(7 * n)).collect();
        // Three keys sign; at their first meeting nobody knows them.
        let first = batch(&standard);
        assert_eq!((first.expected.len(), first.given.len(), first.size), (27, 27, 0));
        assert!(first.holds());
        let whole = batch(&standard);
        assert_eq!((whole.expected.len(), whole.given.len()), (30, 30));
        assert!(whole.holds());
        let mut spoilt = batch(&standard);
        spoilt.given[17][3] ^= 1;
        assert!(!spoilt.holds());
        let mut short = batch(&standard);
        short.given.pop();
        assert!(!short.holds());
        // Beside others, each kind counts.
        let mixed: Vec<Claim> = (0..1000).map(signed).collect();
        assert!(batch(&mixed).holds());
        let mut spoilt = batch(&mixed);
        spoilt.given[0][0] ^= 1;
        assert!(!spoilt.holds());
        let mut bad = mixed;
        bad[1] = broken(bad[1].clone());
        assert!(!batch(&bad).holds());
    }

    /// More claims than a batch holds, and bad ones here and there.
    fn names_the_bad_ones(cores: &dyn super::Cores, bad: &[u16]) {
        let bad = |n: u16| bad.contains(&n);
        let items: Vec<Unverified<Claims>> = (0..1400)
            .map(|item| {
                let claims = [2 * item, 2 * item + 1]
                    .map(|n| if bad(n) { broken(signed(n)) } else { signed(n) });
                Unverified::new(Claims(claims.to_vec()))
            })
            .collect();
        for (item, verdict) in verify_all(items, cores).into_iter().enumerate() {
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
        let claim =
            Claim::Disablement { secret: vec![1], value: crate::lock::disablement::image(&[1]) };
        assert!(verify_one(Unverified::new(Claims(vec![claim.clone()]))).is_ok());
        assert_eq!(
            verify_one(Unverified::new(Claims(vec![signed(1), broken(claim)]))).err(),
            Some(Refusal::BadClaim(BadClaim::Disablement))
        );
    }
}
