//! Auditing AUMs alone, without records.

use ledger::ids::AumHash;

use super::conclude::{Conclusion, conclude};
use super::{Options, compare_lock, trusted_keys};
use crate::checks::catalog::{EXPORT_RESPELLED, ROOT_SEVERAL};
use crate::checks::{
    Finding, Uses, chain, fork, forks_of, preauth_old, shown_nodes, standing, unreadable,
};
use crate::chronicle::of_aums;
use crate::history::History;
use crate::replay::{Replayed, Root, Standing, replay};
use crate::report::{Grounds, Report, Unchecked, vouched};
use crate::source::{Aums, Kind, Shown};
use crate::trust_anchor::{Anchorable, AnchorableChain, Anchored, Whereabouts, compare};
use crate::verdict::Verdict;

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
    let Aums { kind, sha256, found, oldest, one_branch, mut findings, unread, shown, beside } =
        aums;
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
        preauth_old(state, options.now_ms, &mut findings);
        if let Some(shown) = &shown {
            compare_lock(shown, Some((hash(*head), state)), &mut findings);
            shown_nodes(&shown.nodes, state, &mut findings);
        }
    }
    if let Some(root) = root {
        signed_and_lost(&replayed, root, &mut findings);
    }
    let beside = match (root, &beside) {
        (Some(root), Some(status)) => Beside::check(&replayed, root, status, &mut findings),
        (None, Some(_)) => Beside::OtherMoment,
        (_, None) => Beside::None,
    };
    let chain = root.map(|root| anchorable(&replayed, root, options.anchors.head));
    let history = Anchorable { chains: chain.into_iter().collect(), ..Anchorable::default() };
    let anchored = compare(&options.anchors, &history, &mut findings);
    let nodes = shown.is_some() || matches!(beside, Beside::Checked(_));
    let mut unchecked =
        unchecked(one_branch, nodes, root.map(|root| &replayed.roots[root]), &anchored);
    beside.unchecked(&mut unchecked);
    let mut chronicle = options.keeps_chronicle().then(|| of_aums(&replayed, root));
    if let (Some(chronicle), Some(state)) = (&mut chronicle, root) {
        let state = &replayed.roots[state].state;
        let shown = shown.iter().map(|shown| &shown.nodes).chain(beside.nodes());
        chronicle.nodes.extend(shown.flatten().map(|node| crate::checks::told(node, state)));
    }
    let undecidable = !undecided.is_empty();
    let Conclusion { findings, accepted, verdict, exit_code } =
        conclude(findings, undecidable, &anchored, chronicle.as_ref(), &mut unchecked, options);
    let vouched = vouched(&Grounds {
        kind,
        anchored: &anchored,
        nodes,
        resumed: None,
        checkpoint: false,
        unchecked: &unchecked,
    });
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
        accepted,
        vouched,
        unchecked,
        undecided,
        anchored,
        ledger: None,
        chronicle,
    };
    (report, replayed, chosen)
}

/// What keys have signed on the chain of a root that are not trusted at its end.
fn signed_and_lost(replayed: &Replayed, root: usize, findings: &mut Vec<Finding>) {
    let mut uses = Uses::default();
    for node in &replayed.nodes {
        if matches!(node.standing, Standing::Verified { root: of, .. } if of == root) {
            uses.aum(&node.aum, None);
        }
    }
    uses.lost(&replayed.roots[root].state, findings);
}

/// What was made of a status that came beside the source.
enum Beside<'a> {
    None,
    /// Its nodes were checked.
    Checked(&'a Shown),
    /// It shows a head that is not in the source.
    OtherMoment,
}

impl<'a> Beside<'a> {
    /// Checks nodes against the authority as it was when the status was taken.
    fn check(
        replayed: &Replayed,
        root: usize,
        status: &'a Shown,
        findings: &mut Vec<Finding>,
    ) -> Self {
        let state = match status.head {
            None => None,
            Some(head) => replayed.state_at(root, head),
        };
        match state {
            Some(state) => {
                shown_nodes(&status.nodes, &state, findings);
                Beside::Checked(status)
            }
            None => Beside::OtherMoment,
        }
    }

    fn nodes(&self) -> Option<&'a Vec<crate::source::ShownNode>> {
        match self {
            Beside::Checked(status) => Some(&status.nodes),
            _ => None,
        }
    }

    fn unchecked(&self, unchecked: &mut Vec<Unchecked>) {
        if let Beside::OtherMoment = self {
            unchecked.retain(|item| item.id != "nodes");
            let reason = "the status that was given shows a head that this history does not have; \
                          take both at one time";
            unchecked.push(Unchecked { id: "nodes", reason: reason.to_owned() });
        }
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
