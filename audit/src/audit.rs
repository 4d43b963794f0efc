//! One audit from source to report.

use ledger::ids::AumHash;

use crate::checks::catalog::{EXPORT_RESPELLED, ROOT_SEVERAL, SOURCE_UNREADABLE};
use crate::checks::{Finding, chain, forks, standing, unreadable as unreadable_bytes};
use crate::replay::{Replayed, Root, Standing, replay};
use crate::report::{Report, TrustedKey, Unchecked, tlpub};
use crate::source::{Aums, Kind};
use crate::trust_anchor::{Anchorable, Anchored, Anchors, compare};
use crate::verdict::{Demands, judge};

/// What the auditor brings along.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Hashes known from elsewhere.
    pub anchors: Anchors,
    /// What is demanded beyond the rules.
    pub demands: Demands,
}

/// Audits a source of AUMs alone. `name` is what the user called the source.
pub fn verify_aums(name: &str, aums: Aums, options: &Options) -> Report {
    let Aums { kind, sha256, found, oldest, one_branch, mut findings, unread } = aums;
    unreadable_bytes(&found, &mut findings);
    let readable = found.iter().filter(|found| found.aum.is_ok()).count();
    let first = found.iter().find_map(|found| found.aum.as_ref().ok()).map(|aum| aum.hash());
    let replayed = replay(found);
    if kind == Kind::Cbor && replayed.nodes.len() < readable {
        let message = "an AUM stands in the file more than once";
        findings.push(Finding::new(&EXPORT_RESPELLED, message));
    }
    chain(&replayed, &mut findings);
    forks(&replayed, &mut findings);
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
    if let Some(root) = root {
        standing(&replayed, &replayed.roots[root], &mut findings);
    }
    let chains = [Anchorable { replayed: &replayed, root }];
    let anchored = compare(&options.anchors, &chains, &mut findings);
    let (verdict, exit_code) = judge(&findings, !undecided.is_empty(), &anchored, options.demands);
    let root = root.map(|root| &replayed.roots[root]);
    let hash = |node: usize| replayed.nodes[node].aum.hash();
    Report {
        source: name.to_owned(),
        kind: Some(kind),
        sha256,
        verdict,
        exit_code,
        origin: None,
        size: None,
        root: None,
        oldest: root.map(|root| hash(root.node)),
        head: root.map(|root| hash(root.head)),
        state_id: root.map(|root| root.state.state_id()),
        aums: replayed.nodes.len() as u64,
        verified: verified(&replayed),
        records: 0,
        epochs: u64::from(root.is_some()),
        trusted_keys: root.map(trusted_keys).unwrap_or_default(),
        findings,
        unchecked: unchecked_of_aums(one_branch, root, &anchored),
        undecided,
        anchored,
    }
}

/// The report on a source that cannot be read at all.
pub fn unreadable(name: &str, reason: &str) -> Report {
    Report {
        source: name.to_owned(),
        kind: None,
        sha256: None,
        verdict: crate::verdict::Verdict::Undecidable,
        exit_code: 3,
        anchored: Anchored::No,
        origin: None,
        size: None,
        root: None,
        oldest: None,
        head: None,
        state_id: None,
        aums: 0,
        verified: 0,
        records: 0,
        epochs: 0,
        trusted_keys: Vec::new(),
        findings: vec![Finding::new(&SOURCE_UNREADABLE, reason)],
        unchecked: Vec::new(),
        undecided: vec![reason.to_owned()],
    }
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

fn trusted_keys(root: &Root) -> Vec<TrustedKey> {
    let key = |key: &ledger::lock::Key| TrustedKey {
        key: tlpub(key.public.as_deref()),
        votes: key.votes,
    };
    root.state.keys().iter().map(key).collect()
}

fn unchecked_of_aums(one_branch: bool, root: Option<&Root>, anchored: &Anchored) -> Vec<Unchecked> {
    let mut unchecked = Vec::new();
    let mut add = |id, reason: &str| unchecked.push(Unchecked { id, reason: reason.to_owned() });
    if one_branch {
        add("forks", "an export lists one branch; others that exist cannot be seen in it");
    }
    add("nodes", "the source holds no node-key signatures");
    add("times", "AUMs carry no time");
    add("actors", "AUMs say which key signed, not who asked");
    add("freshness", "AUMs newer than this source cannot be missed in it");
    if root.is_none_or(|root| root.assumed) {
        add("before-root", "what came before the first known state is not in the source");
    }
    if *anchored == Anchored::No {
        add("anchor", "nothing from outside says whose history this is");
    }
    unchecked
}
