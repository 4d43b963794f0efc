//! Opening a replica whose ledger has 1,000, 100,000 and 1,000,000 records: from its directory to
//! the moment at which it serves.
//!
//! Each ledger is the one before, grown. `LOCKSTEP_OPENING_MAX=N` leaves out those above N records:
//! growing to a million takes about a minute.
#![allow(clippy::unwrap_used, reason = "without its data a bench has nothing to measure")]

use std::time::Duration;

use benches::replicas::{add_node, grow, runtime, scratch, start};
use benches::rivals::original;
use benches::{Figure, measure, timed};
use criterion::{Criterion, criterion_group, criterion_main};
use replica::disk::ROWS_DIR;
use replica::disk::rocks::Rocks;

fn opening(criterion: &mut Criterion) {
    let max = std::env::var("LOCKSTEP_OPENING_MAX")
        .map_or(u64::MAX, |max| max.parse().expect("LOCKSTEP_OPENING_MAX is a number"));
    let (dir, runtime) = (scratch(env!("CARGO_TARGET_TMPDIR")), runtime());
    runtime.block_on(async {
        let node = start(dir.path()).await;
        add_node(node.handle()).await;
        node.stop().await.unwrap();
    });
    let open = || -> Duration {
        let mut node = None;
        let time = timed(|| node = Some(runtime.block_on(start(dir.path()))));
        runtime.block_on(node.unwrap().stop()).unwrap();
        time
    };
    for (name, size) in
        [("opening-1000", 1_000), ("opening-100000", 100_000), ("opening-1000000", 1_000_000)]
    {
        if size > max {
            continue;
        }
        grow(dir.path(), size);
        // The first opening still finds the growth in the write-ahead log.
        open();
        let figure = Figure {
            name,
            unit: "opening",
            units: 1,
            ours: Box::new(&open),
            floor: (
                "opening the same database alone",
                Box::new(|| timed(|| Rocks::open(&dir.path().join(ROWS_DIR)).unwrap())),
            ),
            rival: original::OPENING,
        };
        measure(criterion, figure);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = opening
}
criterion_main!(benches);
