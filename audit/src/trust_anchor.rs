//! What the auditor knows from elsewhere, and whether the history is the one it names.
//!
//! A forged history can be consistent in itself. Only a hash that did not come with the source
//! tells whose history it is.

use ledger::formats::tlog::{Checkpoint, KeyType, VerifierKey, origin};
use ledger::history::merkle::MerkleHash;
use ledger::history::{LogKey, RecordHash};
use ledger::ids::AumHash;

use crate::checks::Finding;
use crate::checks::catalog::{HEAD_REWRITTEN, HEAD_ROOT, HEAD_STALE};

/// What is known from elsewhere.
#[derive(Debug, Clone, Default)]
pub struct Anchors {
    /// The AUM that a chain begins with, or record 0.
    pub genesis: Option<AumHash>,
    /// An AUM that was the head once, or a record.
    pub head: Option<AumHash>,
    /// The two halves of the state ID. It proves nothing: whoever forges a chain copies it.
    pub state_id: Option<(u64, u64)>,
    /// Keys that sign the ledger's checkpoints, or witness them.
    pub vkeys: Vec<VerifierKey>,
    /// The end of the history when it was verified last.
    pub remembered: Option<Checkpoint>,
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

/// Compares the anchors with what is at hand.
pub(crate) fn compare(
    anchors: &Anchors,
    history: &Anchorable,
    findings: &mut Vec<Finding>,
) -> Anchored {
    let results = [
        anchors.genesis.map(|hash| genesis(hash, history)),
        anchors.head.map(|hash| head(hash, history, findings)),
        anchors.state_id.map(|id| state_id(id, history)),
        anchors.remembered.as_ref().map(|end| remembered(end, history, findings)),
    ];
    let keys = anchors.vkeys.iter().map(|key| vkey(key, history));
    let mut best = Anchored::No;
    for result in results.into_iter().flatten().chain(keys) {
        let rank = |anchored: &Anchored| match anchored {
            Anchored::No => 0,
            Anchored::By { kind: "genesis" | "vkey", .. } => 1,
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

/// What anchors may name in a history.
#[derive(Debug, Default)]
pub(crate) struct Anchorable {
    /// Its chains: one for each epoch of a ledger, one otherwise.
    pub(crate) chains: Vec<AnchorableChain>,
    /// The hash of record 0.
    pub(crate) origin: Option<RecordHash>,
    /// The record whose hash is the one that was named as head.
    pub(crate) record: Option<u64>,
    /// Log keys that members have or had.
    pub(crate) log_keys: Vec<LogKey>,
    /// Keys whose signatures on the source's checkpoint hold.
    pub(crate) signers: Vec<VerifierKey>,
    /// Records that were verified.
    pub(crate) size: u64,
    /// The root of the tree over as many records as the remembered one had, if there are that many.
    pub(crate) then: Option<MerkleHash>,
}

/// What anchors may name in one chain.
#[derive(Debug)]
pub(crate) struct AnchorableChain {
    /// Its first AUM here.
    pub(crate) oldest: AumHash,
    /// Whether something came before it that is not known here.
    pub(crate) cut: bool,
    /// The AUM that the active branch ends in.
    pub(crate) head: AumHash,
    /// The state ID of its states.
    pub(crate) state_id: (u64, u64),
    /// Where the AUM is that was named as head.
    pub(crate) named: Whereabouts,
}

/// Where an AUM is in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// On the active branch.
    Active,
    /// Verified, on a branch that lost.
    Beaten,
    /// Neither.
    Absent,
}

fn genesis(hash: AumHash, history: &Anchorable) -> Anchored {
    let (kind, value) = ("genesis", hash.to_string());
    let chains = &history.chains;
    if chains.iter().any(|chain| chain.oldest == hash)
        || history.origin.is_some_and(|origin| origin.0 == hash.0)
    {
        return Anchored::By { kind, value };
    }
    if chains.iter().any(|chain| chain.cut) {
        return Anchored::Unknown { kind, value };
    }
    let found = chains.last().map_or("no chain at all".to_owned(), |c| c.oldest.to_string());
    Anchored::Contradicted { kind, value, found }
}

fn head(hash: AumHash, history: &Anchorable, findings: &mut Vec<Finding>) -> Anchored {
    let (kind, value) = ("head", hash.to_string());
    let chains = &history.chains;
    let is = |place| chains.iter().any(|chain| chain.named == place);
    if history.record.is_some() || is(Whereabouts::Active) {
        return Anchored::By { kind, value };
    }
    if is(Whereabouts::Beaten) {
        let message = "the AUM that was named as head is not on the active branch any more";
        findings.push(Finding::new(&HEAD_REWRITTEN, message).aum(hash));
    } else if chains.iter().any(|chain| chain.cut) {
        return Anchored::Unknown { kind, value };
    }
    let found = chains.last().map_or("no chain at all".to_owned(), |c| c.head.to_string());
    Anchored::Contradicted { kind, value, found }
}

/// A log key's name is the origin, which has the hash of record 0 in it: so it names the ledger as
/// `--genesis` does, and that it signs for it is on record. A witness is known by its signature.
fn vkey(key: &VerifierKey, history: &Anchorable) -> Anchored {
    let signed = history.signers.contains(key);
    let kind = if key.kind() == KeyType::Cosignature { "witness" } else { "vkey" };
    let value = key.to_string();
    if signed {
        return Anchored::By { kind: if kind == "vkey" { "checkpoint" } else { kind }, value };
    }
    let Some(record_0) = &history.origin else { return Anchored::Unknown { kind, value } };
    if key.kind() == KeyType::Cosignature {
        return Anchored::Unknown { kind, value };
    }
    let own = origin(record_0);
    if key.name() != own {
        return Anchored::Contradicted { kind, value, found: own };
    }
    if !history.log_keys.iter().any(|log_key| log_key.0 == key.key()) {
        let found = "no member with that log key".to_owned();
        return Anchored::Contradicted { kind, value, found };
    }
    Anchored::By { kind, value }
}

/// Whether the history goes on from where it ended the last time.
fn remembered(end: &Checkpoint, history: &Anchorable, findings: &mut Vec<Finding>) -> Anchored {
    let kind = "resume";
    let value = format!("{} at {} records", end.origin, end.size);
    let Some(record_0) = &history.origin else { return Anchored::Unknown { kind, value } };
    let own = origin(record_0);
    if own != end.origin {
        return Anchored::Contradicted { kind, value, found: own };
    }
    match history.then {
        Some(root) if root == end.root => Anchored::By { kind, value },
        Some(_) => {
            let message = format!(
                "the first {} records are not those that were verified the last time",
                end.size
            );
            findings.push(Finding::new(&HEAD_ROOT, message));
            let found = "other records up to there".to_owned();
            Anchored::Contradicted { kind, value, found }
        }
        None => {
            let message = format!(
                "{} records were verified the last time; {} are here",
                end.size, history.size
            );
            findings.push(Finding::new(&HEAD_STALE, message));
            Anchored::Unknown { kind, value }
        }
    }
}

fn state_id(id: (u64, u64), history: &Anchorable) -> Anchored {
    let text = |(a, b): (u64, u64)| format!("{a}:{b}");
    if history.chains.iter().any(|chain| chain.state_id == id) {
        return Anchored::No;
    }
    let found = history.chains.last().map_or("no chain at all".to_owned(), |c| text(c.state_id));
    Anchored::Contradicted { kind: "state-id", value: text(id), found }
}
