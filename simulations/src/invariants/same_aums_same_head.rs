use std::collections::{BTreeMap, BTreeSet};

use ledger::ids::AumHash;

use super::{Broken, broken};

/// What a node has, for [`same_aums_same_head`].
#[derive(Debug)]
pub struct Holding<'a> {
    /// The node's name.
    pub name: &'a str,
    /// Where its chain begins.
    pub oldest: AumHash,
    /// All its AUMs.
    pub stored: &'a BTreeSet<AumHash>,
    /// Its head.
    pub head: AumHash,
}

/// All honest nodes that have the same AUMs have the same head, in whatever order they came.
///
/// Reason: this is all that keeps a tailnet without a trusted server together.
/// Source: spec 14.1 laws 3 and 6.
pub fn same_aums_same_head<'a>(nodes: impl IntoIterator<Item = Holding<'a>>) -> Result<(), Broken> {
    let mut heads: BTreeMap<(AumHash, &BTreeSet<AumHash>), (&str, AumHash)> = BTreeMap::new();
    for node in nodes {
        let first = heads.entry((node.oldest, node.stored)).or_insert((node.name, node.head));
        if first.1 != node.head {
            let what = format!(
                "{} is at {} and {} at {} with the same {} AUMs",
                first.0,
                first.1,
                node.name,
                node.head,
                node.stored.len()
            );
            return Err(broken("same_aums_same_head", what));
        }
    }
    Ok(())
}
