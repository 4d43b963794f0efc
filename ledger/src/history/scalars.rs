//! The fold's scalars: what decides a verdict apart from the rows, kept as one row.

use super::lifecycle::Lifecycle;
use super::merkle::Frontier;
use super::{ClusterId, Epoch, FIRST_RULES, FoldHash, NodeId, RecordHash, ReplicaId};
use crate::cbor::{Malformed, Reader, Writer};

/// All of them; the fold keeps what they say true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scalars {
    pub(super) cluster: Option<ClusterId>,
    pub(super) incarnation: u64,
    pub(super) rules: u32,
    pub(super) last_hash: Option<RecordHash>,
    pub(super) fold_hash: FoldHash,
    pub(super) lifecycle: Lifecycle,
    /// The number of the node that joins next.
    pub(super) next_node: NodeId,
    /// The number of nodes in the roster.
    pub(super) nodes: u64,
    /// The number of the member that joins next.
    pub(super) next_replica: ReplicaId,
    /// Its size is the next record's index.
    pub(super) frontier: Frontier,
}

impl Scalars {
    /// Those before record 0.
    pub(super) fn before_record_0() -> Self {
        Scalars {
            cluster: None,
            incarnation: 0,
            rules: FIRST_RULES,
            last_hash: None,
            fold_hash: FoldHash([0; 32]),
            lifecycle: Lifecycle::Off,
            next_node: NodeId(1),
            nodes: 0,
            next_replica: ReplicaId(1),
            frontier: Frontier::default(),
        }
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(256 + 34 * self.frontier.roots().len());
        out.array(11);
        out.nullable_bytes(self.cluster.as_ref().map(|id| id.0.as_slice()));
        out.uint(self.incarnation).uint(self.rules.into());
        out.nullable_bytes(self.last_hash.as_ref().map(|hash| hash.0.as_slice()));
        out.bytes(&self.fold_hash.0);
        match self.lifecycle {
            Lifecycle::Off => out.array(2).uint(0).uint(0),
            Lifecycle::On(epoch) => out.array(2).uint(1).uint(epoch.0.into()),
            Lifecycle::Retired(epoch) => out.array(2).uint(2).uint(epoch.0.into()),
        };
        out.uint(self.next_node.0).uint(self.nodes).uint(self.next_replica.0);
        out.uint(self.frontier.size()).array(self.frontier.roots().len());
        for root in self.frontier.roots() {
            out.bytes(root);
        }
        out.into_bytes()
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.array_of(11)?;
        let cluster = if reader.null() { None } else { Some(ClusterId(reader.fixed()?)) };
        let incarnation = reader.uint()?;
        let rules = u32_of(reader)?;
        let last_hash = if reader.null() { None } else { Some(RecordHash(reader.fixed()?)) };
        let fold_hash = FoldHash(reader.fixed()?);
        let at = reader.clone();
        reader.array_of(2)?;
        let kind = reader.uint()?;
        let epoch = Epoch(u32_of(reader)?);
        reader.close();
        let lifecycle = match kind {
            0 => Lifecycle::Off,
            1 => Lifecycle::On(epoch),
            2 => Lifecycle::Retired(epoch),
            _ => return Err(at.malformed("an unknown state of the lock")),
        };
        let next_node = NodeId(reader.uint()?);
        let nodes = reader.uint()?;
        let next_replica = ReplicaId(reader.uint()?);
        let at = reader.clone();
        let size = reader.uint()?;
        let mut roots = Vec::new();
        for _ in 0..reader.array()? {
            roots.push(reader.fixed()?);
        }
        reader.close();
        reader.close();
        let frontier = Frontier::new(size, roots)
            .ok_or_else(|| at.malformed("a right edge that does not fit its tree"))?;
        Ok(Scalars {
            cluster,
            incarnation,
            rules,
            last_hash,
            fold_hash,
            lifecycle,
            next_node,
            nodes,
            next_replica,
            frontier,
        })
    }
}

fn u32_of(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    let at = reader.clone();
    u32::try_from(reader.uint()?).map_err(|_| at.malformed("a number of more than 32 bits"))
}
