//! Decoding and hashing AUMs.

use benches::rivals::original;
use benches::{Figure, data, measure, timed};
use criterion::{Criterion, criterion_group, criterion_main};
use ledger::ids::AumHash;
use ledger::lock::Sealed;

fn decode_and_hash(criterion: &mut Criterion) {
    let aums = data::aums("chain2000.hex");
    let figure = Figure {
        name: "aum-decode-hash",
        unit: "AUM",
        units: aums.len(),
        ours: Box::new(|| timed(|| aums.iter().all(|bytes| Sealed::decode(bytes).is_ok()))),
        floor: (
            "BLAKE2s-256 of the same bytes",
            Box::new(|| timed(|| aums.iter().fold(0, |sum, bytes| sum ^ AumHash::of(bytes).0[0]))),
        ),
        rival: original::AUM,
    };
    measure(criterion, figure);
}

criterion_group!(benches, decode_and_hash);
criterion_main!(benches);
