//! Opening the fold of a ledger with 1,000, 100,000 and 1,000,000 records.
//!
//! Each ledger is the one before, grown. `LOCKSTEP_OPENING_MAX=N` leaves out those above N records:
//! growing to a million takes some minutes and gigabytes.

use benches::rivals::original;
use benches::{Figure, measure, timed};
use criterion::{Criterion, criterion_group, criterion_main};
use ledger::history::{ChangedNode, Event, Fold};
use ledger::ids::NodeKey;
use ledger::rows::{Rows, tables};
use ledger::testing::Group;

const OPENINGS: usize = 100;

/// Adds records, each a new key of one node, until there are `size`.
fn grow(group: &mut Group, size: u64) {
    while group.fold.next_index() < size {
        let mut node_key = [0x5a; 32];
        node_key[..8].copy_from_slice(&group.fold.next_index().to_be_bytes());
        let node = ledger::history::NodeId(1);
        group.apply(Event::NodeChanged(ChangedNode {
            node,
            node_key: NodeKey(node_key),
            lock_key: None,
            signature: None,
        }));
    }
}

fn opening(criterion: &mut Criterion) {
    let max = std::env::var("LOCKSTEP_OPENING_MAX")
        .map_or(u64::MAX, |max| max.parse().expect("LOCKSTEP_OPENING_MAX is a number"));
    let mut group = Group::new();
    group.add_node("first", 2);
    group.apply(group.initialization(1, &[]));
    for (name, size) in
        [("opening-1000", 1_000), ("opening-100000", 100_000), ("opening-1000000", 1_000_000)]
    {
        if size > max {
            continue;
        }
        grow(&mut group, size);
        let rows = &group.rows;
        let last = (size - 1).to_be_bytes();
        let figure = Figure {
            name,
            unit: "opening",
            units: OPENINGS,
            ours: Box::new(|| timed(|| (0..OPENINGS).filter(|_| Fold::open(rows).is_ok()).count())),
            floor: (
                "reading the last record",
                Box::new(|| {
                    timed(|| {
                        (0..OPENINGS).filter(|_| rows.get(tables::RECORDS, &last).is_ok()).count()
                    })
                }),
            ),
            rival: original::OPENING,
        };
        measure(criterion, figure);
    }
}

criterion_group!(benches, opening);
criterion_main!(benches);
