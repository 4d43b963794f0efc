//! Auditing AUMs alone, without records.

use ledger::ids::AumHash;

use super::{Options, compare_lock, trusted_keys};
use crate::checks::catalog::{EXPORT_RESPELLED, ROOT_SEVERAL};
use crate::checks::{Finding, chain, fork, forks_of, shown_nodes, standing, unreadable};
use crate::history::History;
use crate::replay::{Replayed, Root, Standing, replay};
use crate::report::{Report, Unchecked};
use crate::source::{Aums, Kind};
use crate::trust_anchor::{Anchorable, AnchorableChain, Anchored, Whereabouts, compare};
use crate::verdict::{Verdict, judge};

/// Audits a source of AUMs alone. `name` is what the user called the source.
pub fn verify_aums(name: &str, aums: Aums, options: &Options<'_>) -> Report {
    audited(name, aums, options).0
}

/// Audits a source of AUMs alone, and gives the history that the report is about, if everything in
/// the source was verified from a root.
pub fn verified_history(
    name: &str,
    aums: Aums,
    options: &Options<'_>,
) -> (Report, Option<History>) {
    let one_branch = aums.one_branch;
    let (report, replayed, root) = audited(name, aums, options);
    let root = root.filter(|_| report.verdict == Verdict::Holds);
    let history = root.map(|root| History::of(&replayed, root, one_branch));
    (report, history)
}

/// The report, all AUMs judged, and the root of the chain that the report is about.
fn audited(name: &str, aums: Aums, options: &Options<'_>) -> (Report, Replayed, Option<usize>) {
    let Aums { kind, sha256, found, oldest, one_branch, mut findings, unread, shown } = aums;
    unreadable(&found, &mut findings);
    let readable = found.iter().filter(|found| found.aum.is_ok()).count();
    let first = found.iter().find_map(|found| found.aum.as_ref().ok()).map(|aum| aum.hash());
    let replayed = replay(found);
    if kind == Kind::Cbor && replayed.nodes.len() < readable {
        let message = "an AUM stands in the file more than once";
        findings.push(Finding::new(&EXPORT_RESPELLED, message));
    }
    chain(&replayed, &mut findings);
    for found in forks_of(&replayed) {
        fork(&found, &mut findings);
    }
    let named = if one_branch { first } else { oldest };
    let root = choose_root(&replayed, named);
    let mut undecided = undecided(&replayed, unread);
    if replayed.roots.len() > 1 {
        let message = format!(
            "the source holds {} chains that do not join; this report is about one of them",
            replayed.roots.len()
        );
        findings.push(Finding::new(&ROOT_SEVERAL, message));
        if oldest.is_none() || root.is_none() {
            undecided.push("nothing says which of several chains is the tailnet's".to_owned());
        }
    }
    let hash = |node: usize| replayed.nodes[node].aum.hash();
    if let Some(Root { state, head, length, .. }) = root.map(|root| &replayed.roots[root]) {
        standing(state, hash(*head), *length, &mut findings);
        if let Some(shown) = &shown {
            compare_lock(shown, Some((hash(*head), state)), &mut findings);
            shown_nodes(&shown.nodes, state, &mut findings);
        }
    }
    let chain = root.map(|root| anchorable(&replayed, root, options.anchors.head));
    let history = Anchorable { chains: chain.into_iter().collect(), ..Anchorable::default() };
    let anchored = compare(&options.anchors, &history, &mut findings);
    let (verdict, exit_code) = judge(&findings, !undecided.is_empty(), &anchored, options.demands);
    let chosen = root;
    let root = root.map(|root| &replayed.roots[root]);
    let report = Report {
        source: name.to_owned(),
        kind: Some(kind),
        sha256,
        verdict,
        exit_code,
        oldest: root.map(|root| hash(root.node)),
        head: root.map(|root| hash(root.head)),
        state_id: root.map(|root| root.state.state_id()),
        aums: replayed.nodes.len() as u64,
        verified: verified(&replayed),
        epochs: u64::from(root.is_some()),
        trusted_keys: root.map(|root| trusted_keys(&root.state)).unwrap_or_default(),
        findings,
        unchecked: unchecked(one_branch, shown.is_some(), root, &anchored),
        undecided,
        anchored,
        ledger: None,
    };
    (report, replayed, chosen)
}

/// The root of the chain that the report is about: the one that the source names; without one,
/// the one with the most AUMs, the lower hash on a tie.
fn choose_root(replayed: &Replayed, named: Option<AumHash>) -> Option<usize> {
    if let Some(root) = named.and_then(|hash| replayed.root_of(hash)) {
        return Some(root);
    }
    let size = |root: usize| {
        replayed.count(|s| matches!(s, Standing::Verified { root: r, .. } if *r == root))
    };
    (0..replayed.roots.len()).max_by_key(|&root| {
        (size(root), std::cmp::Reverse(replayed.nodes[replayed.roots[root].node].aum.hash()))
    })
}

fn undecided(replayed: &Replayed, unread: Option<String>) -> Vec<String> {
    let mut reasons: Vec<String> = unread.into_iter().collect();
    let unrooted = replayed.count(|standing| *standing == Standing::Unrooted);
    if replayed.roots.is_empty() {
        reasons.push("There is no checkpoint that a chain could begin with".to_owned());
    } else if unrooted > 0 {
        reasons.push(format!(
            "{unrooted} AUMs come before any known state, so nobody can say whether their signers \
             were trusted"
        ));
    }
    reasons
}

fn verified(replayed: &Replayed) -> u64 {
    replayed.count(|standing| matches!(standing, Standing::Verified { .. })) as u64
}

fn anchorable(replayed: &Replayed, root: usize, named: Option<AumHash>) -> AnchorableChain {
    let named = match named {
        Some(hash) if replayed.is_active(root, hash) => Whereabouts::Active,
        Some(hash) if replayed.root_of(hash).is_some() => Whereabouts::Beaten,
        _ => Whereabouts::Absent,
    };
    let root = &replayed.roots[root];
    AnchorableChain {
        oldest: replayed.nodes[root.node].aum.hash(),
        cut: root.assumed,
        head: replayed.nodes[root.head].aum.hash(),
        state_id: root.state.state_id(),
        named,
    }
}

fn unchecked(
    one_branch: bool,
    nodes: bool,
    root: Option<&Root>,
    anchored: &Anchored,
) -> Vec<Unchecked> {
    let mut unchecked = Vec::new();
    let mut add = |id, reason: &str| unchecked.push(Unchecked { id, reason: reason.to_owned() });
    if one_branch {
        add("forks", "an export lists one branch; others that exist cannot be seen in it");
    }
    if !nodes {
        add("nodes", "the source holds no node-key signatures");
    }
    add("times", "AUMs carry no time");
    add("actors", "AUMs say which key signed, not who asked");
    add("freshness", "whether there are newer AUMs elsewhere cannot be seen here");
    if root.is_none_or(|root| root.assumed) {
        add("before-root", "what came before the first known state is not in the source");
    }
    if *anchored == Anchored::No {
        add("anchor", "nothing from outside says whose history this is");
    }
    unchecked
}
