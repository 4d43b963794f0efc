//! Replaying a chain of 2,000 AUMs: from bytes to the head and the state at it.
#![allow(clippy::unwrap_used, reason = "without its data a bench has nothing to measure")]

use benches::floors::Checks;
use benches::rivals::original;
use benches::{AllCores, Figure, data, measure, timed};
use criterion::{Criterion, criterion_group, criterion_main};
use ledger::lock::chain::ChainId;
use ledger::lock::signatures::{Unverified, Verified, verify_all};
use ledger::lock::{Authority, Sealed};
use ledger::rows::{Draft, Memory};

fn replay(chain: &[Vec<u8>]) -> Authority {
    let aums = chain.iter().map(|bytes| Unverified::new(Sealed::decode(bytes).unwrap())).collect();
    let aums: Vec<Verified<Sealed>> =
        verify_all(aums, &AllCores).into_iter().map(Result::unwrap).collect();
    let rows = Memory::new();
    let mut draft = Draft::on(&rows);
    let mut authority = Authority::bootstrap(&mut draft, ChainId(0), &aums[0]).unwrap();
    authority.inform(&mut draft, &aums[1..]).unwrap();
    authority
}

fn replay_chain(criterion: &mut Criterion) {
    let chain = data::aums("chain2000.hex");
    let aums: Vec<_> = chain.iter().map(|bytes| Sealed::decode(bytes).unwrap()).collect();
    let checks = Checks::of(&aums);
    assert_eq!(replay(&chain).head(), aums.last().unwrap().hash(), "the chain has no forks");
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
