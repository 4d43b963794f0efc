//! Rows of the chain that are not what was written: whoever follows them gets an error or something
//! sound, and gets there. Found by the fuzz target `rows`: a checkpoint said to lie above its AUM was
//! subtracted from it, and one that led back to itself would have been followed for ever.

use std::cell::Cell;
use std::ops::Range;

use ledger::Fault;
use ledger::lock::builder::{Change, UpdateBuilder};
use ledger::lock::signatures::{Signer, Unverified, verify_one};
use ledger::lock::sync::{missing_aums, offer};
use ledger::lock::{Authority, Chain, ChainId, Key};
use ledger::rows::{Draft, Memory, RowIter, Rows, Table, tables};
use ledger::testing::{Group, key};

/// More reads than anybody needs who follows a chain of this length.
const READS: u32 = 20_000;

/// Rows of which only so many can be read.
struct Counted<'a> {
    rows: &'a Memory,
    left: Cell<u32>,
}

impl Counted<'_> {
    fn read(&self) -> Result<(), Fault> {
        let left = self.left.get().checked_sub(1);
        assert!(left.is_some(), "it does not end");
        self.left.set(left.unwrap());
        Ok(())
    }
}

impl Rows for Counted<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.read()?;
        self.rows.get(table, key)
    }

    fn scan(&self, table: Table, keys: Range<&[u8]>) -> Result<RowIter<'_>, Fault> {
        self.read()?;
        self.rows.scan(table, keys)
    }
}

fn follow(rows: &Memory) {
    let id = ChainId(1);
    let rows = Counted { rows, left: Cell::new(READS) };
    let chain = Chain::new(&rows, id);
    let known: Vec<_> = match chain.nodes() {
        Ok(nodes) => nodes.filter_map(|node| Some(node.ok()?.0)).collect(),
        Err(_) => return,
    };
    for hash in &known {
        let _ = chain.state_at(hash);
        for height in [0, 1, 4, u64::MAX] {
            let _ = chain.ancestor_at(hash, height);
        }
        for other in &known {
            let _ = chain.is_ancestor(other, hash);
        }
    }
    let Ok(Some(mut authority)) = Authority::open(&rows, id) else { return };
    if let Ok(ours) = offer(&rows, &authority) {
        let _ = missing_aums(&rows, &authority, &ours);
    }
    let signer = key(2);
    let Ok(mut builder) = UpdateBuilder::new(&rows, &authority, Some(&signer)) else { return };
    if builder.add_key(Key::ed25519(key(90).public(), 1)).is_err() {
        return;
    }
    let built = builder.finish().unwrap_or_default().into_iter();
    let built: Vec<_> = built.map(|aum| verify_one(Unverified::new(aum)).unwrap()).collect();
    let _ = authority.inform(&mut Draft::on(&rows), &built);
}

#[test]
fn whoever_follows_a_damaged_chain_gets_there() {
    let mut group = Group::new();
    group.apply(group.initialization(1, &[2]));
    for seed in 3..12 {
        let add = vec![Change::Add(Key::ed25519(key(seed).public(), 1))];
        group.apply(Group::added(group.build(&group.lock, add)));
    }
    let nodes: Vec<(Vec<u8>, Vec<u8>)> =
        group.rows.scan(tables::AUM_NODES, &[][..]..&[][..]).unwrap().map(Result::unwrap).collect();
    assert_eq!(nodes.len(), 10);
    let with = |key: &[u8], value: &[u8]| {
        let mut rows = group.rows.clone();
        let mut draft = Draft::on(&rows);
        draft.put(tables::AUM_NODES, key.to_vec(), value.to_vec());
        let changes = draft.finish();
        rows.apply(changes);
        follow(&rows);
    };
    for (key, value) in &nodes {
        // What belongs to another AUM: it leads to itself, or above.
        for (_, other) in &nodes {
            with(key, other);
        }
        for at in 0..value.len() {
            for bit in 0..8 {
                let mut changed = value.clone();
                changed[at] ^= 1 << bit;
                with(key, &changed);
            }
        }
    }
}
