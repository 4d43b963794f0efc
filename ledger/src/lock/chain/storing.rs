//! Writing the rows of a chain.

use super::row::write_snapshot;
use super::{ChainId, Node, Place, Preference};
use crate::Fault;
use crate::ids::{AumHash, blake2s};
use crate::lock::{AumKind, Key, Sealed, State};
use crate::rows::{Draft, Rows, prefix_end, tables};

/// Writing one chain. The caller has verified what it stores.
pub(in crate::lock) struct Storing<'d, 'a> {
    pub(in crate::lock) draft: &'d mut Draft<'a>,
    pub(in crate::lock) id: ChainId,
}

impl Storing<'_, '_> {
    /// Stores the first AUM: a checkpoint whose parent, if any, is not stored.
    pub(in crate::lock) fn root(&mut self, aum: &Sealed, weight: u64) -> Node {
        let node = Node {
            height: 0,
            kind: aum.kind,
            parent: aum.parent_hash(),
            weight,
            checkpoint: None,
            jump: None,
            since: 0,
        };
        self.put(aum, &node);
        for key in aum.state.iter().flat_map(State::keys) {
            self.key_change(key.id(), Place { hash: aum.hash(), height: 0 }, true);
        }
        node
    }

    /// Stores an AUM on top of a stored one; `before` and `after` are the states around it.
    pub(in crate::lock) fn child(
        &mut self,
        aum: &Sealed,
        node: &Node,
        before: &[Key],
        after: &State,
    ) {
        self.put(aum, node);
        if node.since == 0 && node.kind != AumKind::CHECKPOINT {
            self.draft.put(
                tables::AUM_STATES,
                self.id.key(&[&aum.hash().0]),
                write_snapshot(after),
            );
        }
        let at = Place { hash: aum.hash(), height: node.height };
        match aum.kind {
            AumKind::ADD_KEY => {
                self.key_change(aum.key.as_ref().and_then(Key::id), at, true);
            }
            AumKind::REMOVE_KEY => self.key_change(aum.key_id.as_deref(), at, false),
            AumKind::CHECKPOINT => {
                let ids = |keys: &[Key]| -> std::collections::BTreeSet<Vec<u8>> {
                    keys.iter().filter_map(Key::id).map(<[u8]>::to_vec).collect()
                };
                let (before, after) = (ids(before), ids(after.keys()));
                for id in before.symmetric_difference(&after) {
                    self.key_change(Some(id), at, after.contains(id));
                }
            }
            _ => {}
        }
    }

    fn put(&mut self, aum: &Sealed, node: &Node) {
        let key = self.id.key(&[&aum.hash().0]);
        if let Some(parent) = node.parent {
            let preference = Preference::of(aum, node.weight);
            let child = self.id.key(&[&parent.0, &preference.key()]);
            self.draft.put(tables::AUM_CHILDREN, child, []);
        }
        self.draft.put(tables::AUM_NODES, key.as_slice(), node.encode());
        self.draft.put(tables::AUMS, key, aum.bytes());
    }

    /// Notes whether a key is trusted after an AUM.
    pub(in crate::lock) fn key_change(&mut self, key_id: Option<&[u8]>, at: Place, trusted: bool) {
        let Some(key_id) = key_id else { return };
        let height = (u64::MAX - at.height).to_be_bytes();
        let key = self.id.key(&[&blake2s(key_id), &height, &at.hash.0]);
        self.draft.put(tables::AUM_KEY_CHANGES, key, [u8::from(trusted)]);
    }

    /// Deletes an AUM and all its rows but the key changes.
    pub(in crate::lock) fn delete(&mut self, aum: &Sealed, node: &Node) {
        let key = self.id.key(&[&aum.hash().0]);
        if let Some(parent) = node.parent {
            let preference = Preference::of(aum, node.weight);
            self.draft.delete(tables::AUM_CHILDREN, self.id.key(&[&parent.0, &preference.key()]));
        }
        self.draft.delete(tables::AUM_STATES, key.as_slice());
        self.draft.delete(tables::AUM_NODES, key.as_slice());
        self.draft.delete(tables::AUMS, key);
    }

    /// Deletes key-change rows, by their keys.
    pub(in crate::lock) fn delete_key_changes(&mut self, keys: Vec<Vec<u8>>) {
        for key in keys {
            self.draft.delete(tables::AUM_KEY_CHANGES, key);
        }
    }

    /// Deletes every row of the chain.
    pub(in crate::lock) fn erase(&mut self) -> Result<(), Fault> {
        let start = self.id.key(&[]);
        let end = prefix_end(&start);
        for table in [
            tables::AUMS,
            tables::AUM_NODES,
            tables::AUM_CHILDREN,
            tables::AUM_STATES,
            tables::AUM_KEY_CHANGES,
            tables::CHAINS,
        ] {
            let rows = self.draft.scan(table, start.as_slice()..&end)?;
            let keys = rows.map(|row| Ok(row?.0)).collect::<Result<Vec<_>, Fault>>()?;
            for key in keys {
                self.draft.delete(table, key);
            }
        }
        Ok(())
    }

    /// Notes where the active chain begins and ends.
    pub(in crate::lock) fn ends(&mut self, oldest: &AumHash, head: &AumHash) {
        let ends = [oldest.0, head.0].concat();
        self.draft.put(tables::CHAINS, self.id.key(&[]), ends);
    }
}

/// Where the active chain begins and ends: (oldest, head); `None` before the bootstrap.
pub(in crate::lock) fn ends(
    rows: &dyn Rows,
    id: ChainId,
) -> Result<Option<(AumHash, AumHash)>, Fault> {
    let Some(row) = rows.get(tables::CHAINS, &id.key(&[]))? else { return Ok(None) };
    match (row.get(..32).map(<[u8; 32]>::try_from), row.get(32..).map(<[u8; 32]>::try_from)) {
        (Some(Ok(oldest)), Some(Ok(head))) => Ok(Some((AumHash(oldest), AumHash(head)))),
        _ => Err(Fault::new("damaged row of the chain's ends")),
    }
}
