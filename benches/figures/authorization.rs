//! Authorizing many node keys: 10,000 direct signatures and 2,000 rotations, from bytes to verdict.
#![allow(clippy::unwrap_used, reason = "without its data a bench has nothing to measure")]

use benches::floors::Checks;
use benches::rivals::{Rival, original};
use benches::{AllCores, Figure, data, measure, timed};
use criterion::{Criterion, criterion_group, criterion_main};
use ledger::lock::node_keys::{NodeKeySignature, authorize_all};

fn authorization(
    criterion: &mut Criterion,
    name: &'static str,
    file: &str,
    floor: &'static str,
    rival: Rival<'static>,
) {
    let state = data::state();
    let keys = data::node_keys(file);
    let signatures: Vec<_> =
        keys.iter().map(|(_, bytes)| NodeKeySignature::decode(bytes).unwrap()).collect();
    let checks = Checks::of(&signatures);
    let answers = authorize_all(&keys, &state, &AllCores);
    assert!(answers.iter().all(Result::is_ok), "every signature must authorize");
    let figure = Figure {
        name,
        unit: "node key",
        units: keys.len(),
        ours: Box::new(|| timed(|| authorize_all(&keys, &state, &AllCores))),
        floor: (floor, Box::new(|| timed(|| checks.run()))),
        rival,
    };
    measure(criterion, figure);
}

fn direct(criterion: &mut Criterion) {
    authorization(
        criterion,
        "authorize-direct",
        "direct10000.txt",
        "raw batch Ed25519 of as many signatures with the same keys, all cores",
        original::DIRECT,
    );
}

fn rotation(criterion: &mut Criterion) {
    authorization(
        criterion,
        "authorize-rotation",
        "rotation2000.txt",
        "raw Ed25519, the nested in batches, the rotations one by one, all cores",
        original::ROTATION,
    );
}

criterion_group!(benches, direct, rotation);
criterion_main!(benches);
