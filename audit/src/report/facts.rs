//! What vouches for each fact of a report.

use super::Unchecked;
use crate::source::Kind;
use crate::trust_anchor::Anchored;

/// A fact, and what vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouched {
    /// The fact.
    pub fact: &'static str,
    /// What vouches for it, as a stable identifier: `aum-signature`, `member-signature`, `member`,
    /// `node-signature`, `recomputed`, `genesis`, `head`, `vkey`, `checkpoint`, `witness`, `nobody`.
    pub by: &'static str,
    /// The same in words.
    pub why: String,
}

/// What is known when the report is written.
pub(crate) struct Grounds<'a> {
    /// The source's form.
    pub(crate) kind: Kind,
    /// What the anchors say.
    pub(crate) anchored: &'a Anchored,
    /// Whether node signatures were checked.
    pub(crate) nodes: bool,
    /// Records that an earlier audit has verified and this one has not, if it went on from there.
    pub(crate) resumed: Option<u64>,
    /// Whether a verified checkpoint covers all records.
    pub(crate) checkpoint: bool,
    /// What was not checked.
    pub(crate) unchecked: &'a [Unchecked],
}

/// Every fact of a report that has some.
pub(crate) fn vouched(grounds: &Grounds<'_>) -> Vec<Vouched> {
    let mut out = Vec::new();
    let mut add = |fact, by, why: &str| out.push(Vouched { fact, by, why: why.to_owned() });
    let records =
        matches!(grounds.kind, Kind::Daemon | Kind::DataDir | Kind::Backup | Kind::Bundle);
    let anchor = match grounds.anchored {
        Anchored::By { kind, .. } => Some(*kind),
        _ => None,
    };
    match anchor {
        Some(kind) => add("whose history it is", kind, "a value that came from elsewhere is in it"),
        None => add("whose history it is", "nobody", "nothing came from elsewhere"),
    }
    add(
        "trusted keys and head",
        "aum-signature",
        "each AUM is signed by keys that were trusted before it, from the root on",
    );
    if grounds.unchecked.iter().any(|item| item.id == "before-root") {
        add("the first known state", "nobody", "what came before it is not in the source");
    }
    if grounds.nodes {
        let why = "each signature rests on a key that was trusted when it was given";
        add("which nodes are let in", "node-signature", why);
    }
    if records {
        add("what was asked for", "member-signature", "the proposing member signed each record");
        add("who asked, and when", "member", "the proposing member's word and its clock");
        let order = match (anchor, grounds.checkpoint) {
            (Some("head"), _) => ("head", "a remembered hash fixes all records before it"),
            (_, true) => ("checkpoint", "a log key signed the Merkle tree over all records"),
            _ => ("nobody", "members sign what they propose, not its place"),
        };
        add("the order of the records", order.0, order.1);
    }
    if grounds.resumed.is_some() {
        let why = "an earlier audit has verified them, and what is said of them is from then";
        add("what was recorded before", "resume", why);
    }
    match (grounds.kind, grounds.resumed) {
        (Kind::DataDir, None) => {
            add("derived rows", "recomputed", "they were made anew from the records and compared");
        }
        (Kind::DataDir, Some(_)) => {
            let why = "those that later records touch were made anew and compared";
            add("derived rows", "recomputed", why);
        }
        _ => {}
    }
    add("that nothing newer exists", "nobody", "a source can be behind, or cut off");
    out
}
