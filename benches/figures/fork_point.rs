//! The fork point of a revocation, for a key added early, in the middle and late.
#![allow(clippy::unwrap_used, reason = "without its data a bench has nothing to measure")]

use benches::rivals::original;
use benches::{Figure, data, measure, timed};
use criterion::{Criterion, criterion_group, criterion_main};
use ledger::lock::chain::ChainId;
use ledger::lock::revocation::fork_point;
use ledger::lock::signatures::{Unverified, verify_one};
use ledger::lock::{Authority, Sealed};
use ledger::rows::{Draft, Memory, Rows, tables};

fn fork_points(criterion: &mut Criterion) {
    for (name, added_at) in
        [("fork-point-at10", 10), ("fork-point-at500", 500), ("fork-point-at990", 990)]
    {
        let revocation = data::revocation(added_at);
        let aums: Vec<_> = revocation
            .chain
            .iter()
            .map(|bytes| verify_one(Unverified::new(Sealed::decode(bytes).unwrap())).unwrap())
            .collect();
        let mut rows = Memory::new();
        let mut draft = Draft::on(&rows);
        let mut authority = Authority::bootstrap(&mut draft, ChainId(0), &aums[0]).unwrap();
        authority.inform(&mut draft, &aums[1..]).unwrap();
        let changes = draft.finish();
        rows.apply(changes);

        let revoked = [revocation.revoked.0.to_vec()];
        let find = || fork_point(&rows, &authority, &revoked, &revocation.own).unwrap();
        assert_eq!(find(), revocation.expected);
        let expected = [&0u32.to_be_bytes()[..], &revocation.expected.0].concat();
        let figure = Figure {
            name,
            unit: "fork point",
            units: 100,
            ours: Box::new(|| timed(|| (0..100).filter(|_| find() == revocation.expected).count())),
            floor: (
                "reading the fork point's own row",
                Box::new(|| {
                    timed(|| (0..100).filter(|_| rows.get(tables::AUMS, &expected).is_ok()).count())
                }),
            ),
            rival: original::FORK_POINT,
        };
        measure(criterion, figure);
    }
}

criterion_group!(benches, fork_points);
criterion_main!(benches);
