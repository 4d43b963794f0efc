//! Replaying a chain of 2,000 AUMs: from bytes to the head and the state at it.
//!
//! `replay` is what an audit does: every AUM judged, nothing written. `replay-file` is the whole
//! audit of a file, from its bytes to the report. `replay-rows` is what a node does that takes the
//! chain in: every AUM with its indexes as rows.
#![allow(clippy::unwrap_used, reason = "without its data a bench has nothing to measure")]

use std::path::Path;

use audit::replay::{Replayed, replay};
use audit::report::Report;
use audit::source::{Detected, Found, Place, detect_bytes};
use audit::{Options, verify_aums};
use benches::floors::Checks;
use benches::rivals::original;
use benches::{AllCores, Figure, data, measure, timed};
use criterion::{Criterion, criterion_group, criterion_main};
use ledger::ids::AumHash;
use ledger::lock::chain::ChainId;
use ledger::lock::signatures::{Unverified, Verified, each_share, verify_beside};
use ledger::lock::{Authority, Sealed};
use ledger::rows::{Changes, Draft, Memory};

fn judge(chain: &[Vec<u8>]) -> Replayed {
    let decoded = each_share(chain, Sealed::decode_many, &AllCores).into_iter();
    replay(decoded.map(|aum| Found { aum, place: Place::default() }).collect())
}

fn audit_file(file: &[u8]) -> Report {
    match detect_bytes(file, Path::new("chain")).unwrap() {
        Detected::Aums(aums) => verify_aums("chain", aums, &Options::default()),
        other => panic!("not a file of AUMs: {other:?}"),
    }
}

/// What taking a chain in leaves behind.
type Taken = (Vec<Verified<Sealed>>, (Authority, Changes));

fn take_in(chain: &[Vec<u8>]) -> Taken {
    let decoded = each_share(chain, Sealed::decode_many, &AllCores).into_iter();
    let aums = decoded.map(|aum| Unverified::new(aum.unwrap())).collect();
    let fold = |aums: &[Verified<Sealed>]| {
        let rows = Memory::new();
        let mut draft = Draft::on(&rows);
        let mut authority = Authority::bootstrap(&mut draft, ChainId(0), &aums[0]).unwrap();
        authority.inform(&mut draft, &aums[1..]).unwrap();
        (authority, draft.finish())
    };
    verify_beside(aums, &AllCores, fold).unwrap()
}

fn replays(criterion: &mut Criterion) {
    let chain = data::aums("chain2000.hex");
    let file = chain.concat();
    let aums: Vec<_> = chain.iter().map(|bytes| Sealed::decode(bytes).unwrap()).collect();
    let checks = Checks::of(&aums);
    let head: AumHash = aums.last().unwrap().hash();
    let replayed = judge(&chain);
    assert_eq!(replayed.nodes[replayed.roots[0].head].aum.hash(), head, "the chain has no forks");
    assert_eq!((audit_file(&file).head, audit_file(&file).exit_code), (Some(head), 0));
    assert_eq!(take_in(&chain).1.0.head(), head);
    let figure = |name, ours| Figure {
        name,
        unit: "AUM",
        units: chain.len(),
        ours,
        floor: (
            "raw batch Ed25519 of as many signatures with the same keys, all cores",
            Box::new(|| timed(|| checks.run())),
        ),
        rival: original::REPLAY,
    };
    measure(criterion, figure("replay", Box::new(|| timed(|| judge(&chain)))));
    measure(criterion, figure("replay-file", Box::new(|| timed(|| audit_file(&file)))));
    measure(criterion, figure("replay-rows", Box::new(|| timed(|| take_in(&chain)))));
}

criterion_group!(benches, replays);
criterion_main!(benches);
