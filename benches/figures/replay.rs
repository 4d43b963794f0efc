//! Replaying a chain of 2,000 AUMs: from bytes to the head and the state at it.
#![allow(clippy::unwrap_used, reason = "without its data a bench has nothing to measure")]

use benches::floors::Checks;
use benches::rivals::original;
use benches::{AllCores, Figure, data, measure, timed};
use criterion::{Criterion, criterion_group, criterion_main};
use ledger::lock::chain::ChainId;
use ledger::lock::signatures::{Unverified, Verified, each, verify_beside};
use ledger::lock::{Authority, Sealed};
use ledger::rows::{Changes, Draft, Memory};

/// What a replay leaves behind.
type Replayed = (Vec<Verified<Sealed>>, (Authority, Changes));

fn replay(chain: &[Vec<u8>]) -> Replayed {
    let aums = each(chain, |bytes| Unverified::new(Sealed::decode(bytes).unwrap()), &AllCores);
    let fold = |aums: &[Verified<Sealed>]| {
        let rows = Memory::new();
        let mut draft = Draft::on(&rows);
        let mut authority = Authority::bootstrap(&mut draft, ChainId(0), &aums[0]).unwrap();
        authority.inform(&mut draft, &aums[1..]).unwrap();
        (authority, draft.finish())
    };
    verify_beside(aums, &AllCores, fold).unwrap()
}

fn replay_chain(criterion: &mut Criterion) {
    let chain = data::aums("chain2000.hex");
    let aums: Vec<_> = chain.iter().map(|bytes| Sealed::decode(bytes).unwrap()).collect();
    let checks = Checks::of(&aums);
    let (_, (authority, _)) = replay(&chain);
    assert_eq!(authority.head(), aums.last().unwrap().hash(), "the chain has no forks");
    let figure = Figure {
        name: "replay",
        unit: "AUM",
        units: chain.len(),
        ours: Box::new(|| timed(|| replay(&chain))),
        floor: (
            "raw batch Ed25519 of as many signatures with the same keys, all cores",
            Box::new(|| timed(|| checks.run())),
        ),
        rival: original::REPLAY,
    };
    measure(criterion, figure);
}

criterion_group!(benches, replay_chain);
criterion_main!(benches);
