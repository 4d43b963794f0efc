//! What the auditor knows from elsewhere, and whether the history is the one it names.
//!
//! A forged history can be consistent in itself. Only a hash that did not come with the source
//! tells whose history it is.

use ledger::ids::AumHash;

use crate::checks::Finding;
use crate::checks::catalog::HEAD_REWRITTEN;
use crate::replay::{Replayed, Standing};

/// What is known from elsewhere.
#[derive(Debug, Clone, Default)]
pub struct Anchors {
    /// The AUM that the chain begins with.
    pub genesis: Option<AumHash>,
    /// An AUM that was the head once.
    pub head: Option<AumHash>,
    /// The two halves of the state ID. It proves nothing: whoever forges a chain copies it.
    pub state_id: Option<(u64, u64)>,
}

/// What an anchor says of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anchored {
    /// Nothing was known that proves anything.
    No,
    /// It is the history that the anchor names.
    By {
        /// Which anchor.
        kind: &'static str,
        /// Its value.
        value: String,
    },
    /// The source does not reach back to what the anchor names.
    Unknown {
        /// Which anchor.
        kind: &'static str,
        /// Its value.
        value: String,
    },
    /// It is another history.
    Contradicted {
        /// Which anchor.
        kind: &'static str,
        /// Its value.
        value: String,
        /// What the source has instead.
        found: String,
    },
}

/// Compares the anchors with every chain at hand: one for each epoch of a ledger, one otherwise.
/// `current` is the last; an anchor may name an AUM of an earlier one.
pub(crate) fn compare(
    anchors: &Anchors,
    chains: &[Anchorable<'_>],
    findings: &mut Vec<Finding>,
) -> Anchored {
    let results = [
        anchors.genesis.map(|hash| genesis(hash, chains)),
        anchors.head.map(|hash| head(hash, chains, findings)),
        anchors.state_id.map(|id| state_id(id, chains)),
    ];
    let mut best = Anchored::No;
    for result in results.into_iter().flatten() {
        let rank = |anchored: &Anchored| match anchored {
            Anchored::No => 0,
            Anchored::By { kind: "genesis", .. } => 1,
            Anchored::By { .. } => 2,
            Anchored::Unknown { .. } => 3,
            Anchored::Contradicted { .. } => 4,
        };
        if rank(&result) > rank(&best) {
            best = result;
        }
    }
    best
}

/// One chain that an anchor may name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Anchorable<'a> {
    /// Its AUMs.
    pub replayed: &'a Replayed,
    /// Its root, if there is one.
    pub root: Option<usize>,
}

fn genesis(hash: AumHash, chains: &[Anchorable<'_>]) -> Anchored {
    let (kind, value) = ("genesis", hash.to_string());
    let mut found = "no chain at all".to_owned();
    let mut cut = false;
    for chain in chains {
        let Some(root) = chain.root.map(|root| &chain.replayed.roots[root]) else { continue };
        let oldest = chain.replayed.nodes[root.node].aum.hash();
        if oldest == hash {
            return Anchored::By { kind, value };
        }
        cut |= root.assumed;
        found = oldest.to_string();
    }
    match cut {
        true => Anchored::Unknown { kind, value },
        false => Anchored::Contradicted { kind, value, found },
    }
}

fn head(hash: AumHash, chains: &[Anchorable<'_>], findings: &mut Vec<Finding>) -> Anchored {
    let (kind, value) = ("head", hash.to_string());
    let mut found = "no chain at all".to_owned();
    let mut cut = false;
    for chain in chains {
        let Some(root) = chain.root else { continue };
        let replayed = chain.replayed;
        if replayed.is_active(root, hash) {
            return Anchored::By { kind, value };
        }
        if let Some(node) = replayed.find(hash)
            && let Standing::Verified { .. } = replayed.nodes[node].standing
        {
            let message = "the AUM that was named as head is not on the active branch any more";
            findings.push(Finding::new(&HEAD_REWRITTEN, message).aum(hash));
        }
        cut |= replayed.roots[root].assumed && replayed.find(hash).is_none();
        found = replayed.nodes[replayed.roots[root].head].aum.hash().to_string();
    }
    match cut {
        true => Anchored::Unknown { kind, value },
        false => Anchored::Contradicted { kind, value, found },
    }
}

fn state_id(id: (u64, u64), chains: &[Anchorable<'_>]) -> Anchored {
    let text = |(a, b): (u64, u64)| format!("{a}:{b}");
    let mut found = "no chain at all".to_owned();
    for chain in chains {
        let Some(root) = chain.root else { continue };
        let state_id = chain.replayed.roots[root].state.state_id();
        if state_id == id {
            return Anchored::No;
        }
        found = text(state_id);
    }
    Anchored::Contradicted { kind: "state-id", value: text(id), found }
}
