//! Checking the claims of many items together: the one way from unverified to verified.

use ed25519_zebra::{VerificationKeyBytes, batch};

use super::blinders::Transcript;
use super::cores::{Cores, Job, each_share, share_of};
use super::{BadClaim, Claim, LastKey, Signed, Unverified, Verified};
use crate::Refusal;

/// Signatures checked in one batch, at most. Larger batches gain little per signature, and a
/// failing one is checked again one by one.
const BATCH: usize = 1024;
/// Signatures below which a batch costs more than checking each by itself.
const SMALLEST_BATCH: usize = 3;

/// Checks that the work beside them counts as, for each hundred items.
const WORK_PER_HUNDRED: usize = 20;

/// What the checks of many items came to, each by itself.
pub type Verdicts<T> = Vec<Result<Verified<T>, Refusal>>;

/// Checks the claims of many items together. The answers are in the order of the items; each is
/// what [`verify_one`] would have said of the item alone.
pub fn verify_all<T: Signed + Send + Sync>(
    items: Vec<Unverified<T>>,
    cores: &dyn Cores,
) -> Verdicts<T> {
    let share = share_of(items.len(), BATCH, cores.count());
    let check = |items: &[Unverified<T>]| check_share(items.iter().map(|item| Ok(&item.0)));
    let verdicts = each_share(&items, share, check, cores);
    answers(items.into_iter().map(|item| item.0), verdicts)
}

/// Decodes many inputs, checks their claims together, and goes on with each that holds: all of
/// it on all cores. The answers are in the order of the inputs.
pub fn decode_and_verify<B: Sync, T: Signed + Send + Sync, R: Send>(
    inputs: &[B],
    decode: impl Fn(&B) -> Result<T, Refusal> + Sync,
    then: impl Fn(&B, Verified<T>) -> Result<R, Refusal> + Sync,
    cores: &dyn Cores,
) -> Vec<Result<R, Refusal>> {
    let (decode, then) = (&decode, &then);
    let work = |inputs: &[B]| {
        let items: Vec<Result<T, Refusal>> = inputs.iter().map(decode).collect();
        let decoded = items.iter().map(|item| item.as_ref().map_err(Refusal::clone));
        let verdicts = check_share(decoded);
        let verified = items.into_iter().zip(verdicts);
        inputs
            .iter()
            .zip(verified)
            .map(|(input, (item, verdict))| then(input, Verified(verdict.and(item)?)))
            .collect()
    };
    each_share(inputs, share_of(inputs.len(), BATCH, cores.count()), work, cores)
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
    let mut verdicts: Vec<Vec<Result<(), Refusal>>> = Vec::new();
    let shares = shares_beside(items.len(), cores.count());
    verdicts.resize_with(shares.len(), Vec::new);
    let mut jobs: Vec<Job<'_>> = Vec::new();
    let mut rest = items.as_slice();
    for (share, verdicts) in shares.into_iter().zip(&mut verdicts) {
        let (items, later) = rest.split_at(share);
        rest = later;
        let check = || *verdicts = check_share(items.iter().map(|item| Ok(&item.0)));
        jobs.push(Box::new(check));
    }
    let mut result = None;
    cores.run_beside(&mut || result = Some(work(&items)), jobs);
    let verdicts: Vec<Result<(), Refusal>> = verdicts.into_iter().flatten().collect();
    match result {
        Some(result) if verdicts.len() == items.len() && verdicts.iter().all(Result::is_ok) => {
            Ok((items, result))
        }
        _ => Err(answers(items.into_iter().map(|item| item.0), verdicts)),
    }
}

fn answers<T>(items: impl Iterator<Item = T>, verdicts: Vec<Result<(), Refusal>>) -> Verdicts<T> {
    items.zip(verdicts).map(|(item, verdict)| verdict.map(|()| Verified(item))).collect()
}

/// How many items each job checks while one core has other work first: so many that all cores
/// are done at the same time. The last share is that core's own.
fn shares_beside(items: usize, cores: usize) -> Vec<usize> {
    let work = items / 100 * WORK_PER_HUNDRED;
    let own = ((items + work) / cores.max(1)).saturating_sub(work);
    let mut shares = Vec::new();
    for (mut items, cores) in [(items - own, cores.saturating_sub(1)), (own, 1)] {
        let share = share_of(items, BATCH, cores);
        while items > 0 {
            shares.push(share.min(items));
            items -= share.min(items);
        }
    }
    shares
}

/// Checks the claims of one item.
pub fn verify_one<T: Signed>(item: Unverified<T>) -> Result<Verified<T>, Refusal> {
    check_share([Ok(&item.0)]).into_iter().collect::<Result<(), Refusal>>()?;
    Ok(Verified(item.0))
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
) -> Vec<Result<(), Refusal>> {
    let mut verdicts = Vec::new();
    let mut claims = Vec::new();
    let mut places = Vec::new();
    for (item, signed) in items.into_iter().enumerate() {
        let before = claims.len();
        let listed = signed.and_then(|signed| signed.claims(&mut claims));
        if listed.is_err() {
            claims.truncate(before);
        }
        verdicts.push(listed);
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
    verdicts
}

/// Checks the ZIP-215 claims at these places together; if that fails, one by one.
fn check_batch(claims: &[Claim], at: &[usize], broken: &mut Vec<usize>) {
    if at.len() >= SMALLEST_BATCH {
        let mut batch = batch::Verifier::new();
        let mut transcript = Transcript::new();
        for &at in at {
            if let Claim::Zip215 { key, message, signature } = &claims[at] {
                transcript.add(key, signature, message);
                batch.queue((VerificationKeyBytes::from(*key), (*signature).into(), message));
            }
        }
        if batch.verify(transcript.blinders()).is_ok() {
            return;
        }
    }
    broken.extend(at.iter().copied().filter(|&at| !claims[at].holds(&mut LastKey::default())));
}

#[cfg(test)]
mod tests {
    use super::super::{OneCore, PrivateKey, Signer};
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
        let answers = decode_and_verify(&inputs, decode, |_, claims| Ok(claims), &OneCore);
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
