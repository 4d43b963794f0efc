//! Configuration changes inside log entries.
//!
//! raft-rs keeps them as protobuf in an entry's data. On the wire they are CBOR as everything
//! else, and the receiving end writes the protobuf itself: so no byte that raft-rs parses, now or
//! after a restart, was chosen by another machine. Only what raft-rs writes itself is read here.

use ledger::cbor::{Malformed, Reader, Writer};
use raft::eraftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2 as RaftConfChange,
};

/// Changes in one entry, at most.
const CHANGES: usize = 256;

/// raft-rs's `ConfChangeV2`, field by field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ConfChange {
    transition: u64,
    /// Kind and member.
    changes: Vec<(u64, u64)>,
    context: Vec<u8>,
}

/// The highest `ConfChangeTransition`, and the highest `ConfChangeType`.
const MOST: u64 = 2;

impl ConfChange {
    /// From raft-rs's bytes; `None` if it would have written them differently.
    pub(crate) fn from_protobuf(bytes: &[u8]) -> Option<Self> {
        let mut change = ConfChange::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            match varint(&mut rest)? {
                0x08 => change.transition = varint(&mut rest).filter(|n| *n <= MOST)?,
                0x12 => {
                    let mut single = slice(&mut rest)?;
                    let mut fields = (0, 0);
                    while !single.is_empty() {
                        match varint(&mut single)? {
                            0x08 => fields.0 = varint(&mut single).filter(|n| *n <= MOST)?,
                            0x10 => fields.1 = varint(&mut single)?,
                            _ => return None,
                        }
                    }
                    change.changes.push(fields);
                }
                0x1a => change.context = slice(&mut rest)?.to_vec(),
                _ => return None,
            }
        }
        (change.changes.len() <= CHANGES && change.to_protobuf() == bytes).then_some(change)
    }

    /// As raft-rs writes it.
    pub(crate) fn to_protobuf(&self) -> Vec<u8> {
        let mut out = Vec::new();
        field(&mut out, 0x08, self.transition);
        for (kind, member) in &self.changes {
            let mut single = Vec::new();
            field(&mut single, 0x08, *kind);
            field(&mut single, 0x10, *member);
            out.push(0x12);
            put(&mut out, single.len() as u64);
            out.extend(single);
        }
        if !self.context.is_empty() {
            out.push(0x1a);
            put(&mut out, self.context.len() as u64);
            out.extend(&self.context);
        }
        out
    }

    /// As raft-rs takes it. The context stays behind: it changes nothing.
    pub(super) fn to_raft(&self) -> RaftConfChange {
        let mut change = RaftConfChange::default();
        change.set_transition(match self.transition {
            1 => ConfChangeTransition::Implicit,
            2 => ConfChangeTransition::Explicit,
            _ => ConfChangeTransition::Auto,
        });
        let changes = self.changes.iter().map(|(kind, member)| {
            let mut single = ConfChangeSingle::default();
            single.set_change_type(match kind {
                1 => ConfChangeType::RemoveNode,
                2 => ConfChangeType::AddLearnerNode,
                _ => ConfChangeType::AddNode,
            });
            single.node_id = *member;
            single
        });
        change.set_changes(changes.collect::<Vec<_>>().into());
        change
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.array(3).uint(self.transition).array(self.changes.len());
        for (kind, member) in &self.changes {
            out.array(2).uint(*kind).uint(*member);
        }
        out.bytes(&self.context);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.array_of(3)?;
        let transition = up_to(reader, MOST)?;
        let count = reader.array_up_to(CHANGES)?;
        let mut changes = Vec::with_capacity(count);
        for _ in 0..count {
            reader.array_of(2)?;
            changes.push((up_to(reader, MOST)?, reader.uint()?));
            reader.close();
        }
        reader.close();
        let context = reader.bytes()?.to_vec();
        reader.close();
        Ok(ConfChange { transition, changes, context })
    }
}

fn up_to(reader: &mut Reader<'_>, most: u64) -> Result<u64, Malformed> {
    let at = reader.clone();
    reader.uint().ok().filter(|n| *n <= most).ok_or_else(|| at.malformed("an unknown kind"))
}

fn field(out: &mut Vec<u8>, tag: u8, value: u64) {
    if value != 0 {
        out.push(tag);
        put(out, value);
    }
}

fn put(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut n = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, others) = rest.split_first()?;
        *rest = others;
        n |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

fn slice<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(varint(rest)?).ok()?;
    let (slice, others) = rest.split_at_checked(len)?;
    *rest = others;
    Some(slice)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2};
    use raft::storage::MemStorage;
    use raft::{Config, RawNode};

    use super::*;

    /// The data of the entry that raft-rs makes of a change.
    fn by_raft(change: &ConfChangeV2) -> Vec<u8> {
        let config = Config { id: 1, election_tick: 10, heartbeat_tick: 1, ..Config::default() };
        let quiet = slog::Logger::root(slog::Discard, slog::o!());
        let storage = MemStorage::new_with_conf_state((vec![1], vec![]));
        let mut node = RawNode::new(&config, storage, &quiet).unwrap();
        node.campaign().unwrap();
        // Its own vote and first entry have to be persisted before it leads.
        while node.has_ready() {
            let mut ready = node.ready();
            node.mut_store().wl().append(&ready.take_entries()).unwrap();
            let _ = node.advance(ready);
            node.advance_apply();
        }
        node.propose_conf_change(Vec::new(), change.clone()).unwrap();
        node.ready().take_entries().last().unwrap().data.to_vec()
    }

    #[test]
    fn changes_are_spelled_as_raft_spells_them() {
        let single = |kind, member| {
            let mut single = ConfChangeSingle::default();
            single.set_change_type(kind);
            single.node_id = member;
            single
        };
        let mut change = ConfChangeV2::default();
        change.set_transition(ConfChangeTransition::Explicit);
        change.set_changes(
            vec![
                single(ConfChangeType::AddNode, 300),
                single(ConfChangeType::RemoveNode, 1),
                single(ConfChangeType::AddLearnerNode, u64::MAX),
            ]
            .into(),
        );
        change.context = vec![7; 200].into();
        let bytes = by_raft(&change);
        let read = ConfChange::from_protobuf(&bytes).unwrap();
        assert_eq!(read.transition, 2);
        assert_eq!(read.changes, [(0, 300), (1, 1), (2, u64::MAX)]);
        assert_eq!(read.context, [7; 200]);
        assert_eq!(read.to_protobuf(), bytes);
        let mut without_context = change;
        without_context.context = Vec::new().into();
        assert_eq!(read.to_raft(), without_context);
        // What ends a joint configuration has no bytes at all.
        assert_eq!(ConfChange::from_protobuf(&[]), Some(ConfChange::default()));
    }

    #[test]
    fn what_raft_does_not_write_is_not_read() {
        for bytes in [
            &[0x08, 0][..],
            &[0x08, 3],
            &[0x08, 0x81, 0],
            &[0x08],
            &[0x12, 5, 0x10, 1],
            &[0x12, 2, 0x10, 0],
            &[0x1a, 0],
            &[0x22, 1, 1],
            &[0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        ] {
            assert_eq!(ConfChange::from_protobuf(bytes), None, "{bytes:02x?}");
        }
    }

    proptest! {
        #[test]
        fn both_spellings_say_the_same(
            transition in 0u64..=2,
            changes in prop::collection::vec((0u64..=2, any::<u64>()), 0..9),
            context in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let change = ConfChange { transition, changes, context };
            let back = ConfChange::from_protobuf(&change.to_protobuf());
            prop_assert_eq!(back.as_ref(), Some(&change));
            let mut out = Writer::new();
            change.write(&mut out);
            let bytes = out.into_bytes();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(ConfChange::read(&mut reader).unwrap(), change);
            prop_assert!(reader.finish().is_ok());
        }
    }
}
