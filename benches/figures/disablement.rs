//! The disablement KDF.

use benches::rivals::original;
use benches::{Figure, measure, timed};
use criterion::{Criterion, criterion_group, criterion_main};
use ledger::lock::{State, disablement};

fn kdf(criterion: &mut Criterion) {
    let secret = [0xa5; 32];
    let state = State {
        disablement_values: Some(
            (0..32).map(|i| Some(disablement::image(&[i]).to_vec())).collect(),
        ),
        ..State::default()
    };
    let figure = Figure {
        name: "disablement",
        unit: "check against 32 values",
        units: 1,
        ours: Box::new(|| timed(|| state.disablement_value_of(&secret))),
        floor: ("one run of the KDF", Box::new(|| timed(|| disablement::image(&secret)))),
        rival: original::DISABLEMENT,
    };
    measure(criterion, figure);
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30);
    targets = kdf
}
criterion_main!(benches);
