//! What a replay of records comes to: the report.

use ::ledger::Fault;
use ::ledger::formats::tlog::{Checkpoint, origin};
use ::ledger::history::LogKey;
use ::ledger::history::lifecycle::Lifecycle;
use ::ledger::history::merkle;
use ::ledger::ids::AumHash;
use ::ledger::lock::{Authority, Chain, ChainId};

use super::conclude::{Conclusion, conclude};
use super::resuming::{contradicted, heads_apart};
use super::{Options, trusted_keys};
use crate::checks::catalog::SOURCE_UNREADABLE;
use crate::checks::{self, Finding, Fork, Headcount, Sibling};
use crate::chronicle::finish;
use crate::evidence::{Compared, Head};
use crate::observations::EpochSeen;
use crate::records::Replay;
use crate::report::{Grounds, LedgerFacts, Report, SeenCheckpoint, Unchecked, vouched};
use crate::source::{Kind, Place};
use crate::trust_anchor::{Anchorable, AnchorableChain, Anchored, Whereabouts, compare};

/// Heads that came with a source.
pub(super) struct Ends<'a> {
    /// One that is part of it.
    pub(super) compared: Option<&'a Compared>,
    /// One that lay beside it, and holds.
    pub(super) head: Option<&'a Head>,
}

/// Sums up a replay.
pub(super) fn report(
    name: &str,
    kind: Kind,
    replay: &mut Replay,
    ends: Ends<'_>,
    mut findings: Vec<Finding>,
    options: &Options<'_>,
) -> Result<Report, Fault> {
    let checkpoint = ends.compared;
    let collector = replay.seen.collector.take();
    let Replay { fold, rows, present, seen, unread, .. } = &*replay;
    let rows = &**rows;
    let mut chains = Vec::new();
    // Those of epochs that had begun the last time are counted already.
    let counted = replay.resumed.as_ref().map_or(0, |resumed| resumed.epoch);
    let mut verified = replay.resumed.as_ref().map_or(0, |resumed| resumed.aums);
    let mut last = None;
    let mut assumed = Vec::new();
    for epoch in 1..=fold.epoch().map_or(0, |epoch| epoch.0) {
        let Some(authority) = Authority::open(rows, ChainId(epoch))? else { continue };
        let chain = authority.chain(rows);
        if epoch > counted {
            for node in chain.nodes()? {
                node?;
                verified += 1;
            }
        }
        if let Some(seen) = seen.epochs.get(&epoch) {
            forks_and_departures(chain, seen, &mut findings)?;
        }
        if let Some(uses) = seen.uses.get(&epoch) {
            uses.lost(authority.state(), &mut findings);
        }
        if cut(chain, &authority)? {
            assumed.push(epoch);
            findings.push(checks::assumed_root(authority.oldest().hash, epoch));
        }
        chains.push(anchorable(chain, &authority, options.anchors.head)?);
        last = Some(authority);
    }
    let begun = seen.incarnations.iter();
    findings
        .extend(begun.map(|(at, cause, last)| checks::records::incarnation(*at, *cause, *last)));
    findings.extend(seen.alarms.iter().map(|(record, alarm)| checks::alarm(*record, *alarm)));
    findings.extend(seen.objections.iter().map(|(record, aum)| checks::objection(*record, *aum)));
    let on = fold.authority();
    let mut nodes = Headcount::default();
    if let Some(authority) = on {
        let place = authority.head_place();
        let length = place.height.saturating_add(1);
        checks::standing(authority.state(), place.hash, length, &mut findings);
        checks::preauth_old(authority.state(), options.now_ms, &mut findings);
        nodes = checks::roster(rows, authority.state(), &mut findings)?;
    }
    let size = fold.next_index();
    let log_keys: Vec<LogKey> = seen.log_keys.iter().map(|(_, key)| *key).collect();
    let end = options.anchors.remembered.as_ref();
    let then = match end.filter(|end| end.size <= size) {
        Some(end) => Some(merkle::root_at(rows, end.size)?),
        None => None,
    };
    let history = Anchorable {
        size,
        then,
        chains,
        origin: seen.origin,
        record: seen.found,
        log_keys: log_keys.clone(),
        signers: checkpoint.map(|seen| seen.signers.clone()).unwrap_or_default(),
    };
    let anchored = compare(&options.anchors, &history, &mut findings);
    if let (Some(end), Some(record_0)) = (end.filter(|_| then.is_some()), seen.origin)
        && matches!(anchored, Anchored::Contradicted { kind: "resume", .. })
    {
        let own = Checkpoint { origin: origin(&record_0), size, root: fold.merkle_root() };
        let in_it = checkpoint.map(|seen| (&seen.checkpoint, &seen.note));
        let beside = ends.head.and_then(|head| Some((&head.checkpoint, head.note.as_ref()?)));
        let heads = heads_apart(end, own, in_it.or(beside), rows)?;
        let finding = contradicted(end.size, heads.as_ref(), options)?;
        findings.retain(|found| found.check.id != finding.check.id || found.file.is_some());
        findings.push(finding);
    }
    let mut undecided = Vec::new();
    if let Some(fault) = unread {
        let reason = format!("The records from {present} on are not verified: {fault}");
        findings.push(Finding::new(&SOURCE_UNREADABLE, reason.as_str()));
        undecided.push(reason);
    } else if *present == 0 {
        undecided.push("There is no record in it".to_owned());
    }
    let chronicle = collector.map(|collector| finish(*collector, rows, seen)).transpose()?;
    let mut unchecked = unchecked(kind, &assumed, &anchored);
    let passed_over = replay.resumed.as_ref().map(|resumed| resumed.size);
    unchecked.extend(passed_over.map(passed));
    let undecidable = !undecided.is_empty();
    let Conclusion { findings, accepted, verdict, exit_code } =
        conclude(findings, undecidable, &anchored, chronicle.as_ref(), &mut unchecked, options);
    let vouched = vouched(&Grounds {
        kind,
        anchored: &anchored,
        nodes: on.is_some(),
        resumed: passed_over,
        checkpoint: checkpoint.is_some_and(|seen| seen.holds && seen.checkpoint.size == *present),
        unchecked: &unchecked,
    });
    let genesis = history.chains.last().map(|chain| chain.oldest);
    Ok(Report {
        source: name.to_owned(),
        kind: Some(kind),
        sha256: None,
        verdict,
        exit_code,
        oldest: genesis,
        head: last.as_ref().map(Authority::head),
        state_id: last.as_ref().map(|authority| authority.state().state_id()),
        aums: verified + replay.unverified_aums,
        verified,
        epochs: history.chains.len() as u64,
        trusted_keys: on.map(|authority| trusted_keys(authority.state())).unwrap_or_default(),
        findings,
        accepted,
        vouched,
        unchecked,
        undecided,
        anchored,
        chronicle,
        ledger: Some(LedgerFacts {
            origin: seen.origin,
            records: *present,
            verified_records: fold.next_index(),
            root: fold.merkle_root(),
            record_hash: fold.last_hash(),
            fold_hash: fold.fold_hash(),
            lock: match fold.lifecycle() {
                Lifecycle::Off => "never initialized",
                Lifecycle::On(_) => "on",
                Lifecycle::Retired(_) => "off",
            },
            nodes,
            log_keys,
            checkpoint: checkpoint.map(|seen| SeenCheckpoint {
                size: seen.checkpoint.size,
                signers: seen.signers.iter().map(ToString::to_string).collect(),
            }),
            waiting: 0,
            holder: None,
            resumed: passed_over,
        }),
    })
}

/// Findings about what is out of the ordinary in one epoch's chain.
fn forks_and_departures(
    chain: Chain<'_>,
    seen: &EpochSeen,
    findings: &mut Vec<Finding>,
) -> Result<(), Fault> {
    let place = |hash: &AumHash| {
        let departed = seen.departs.get(hash).map(|(_, record)| *record);
        let record = departed.or_else(|| seen.records.get(hash).copied());
        Place { record, ..Place::default() }
    };
    for (hash, (departs, _)) in &seen.departs {
        let parent = chain.node(hash)?.and_then(|node| node.parent);
        let forked = match parent {
            Some(parent) => chain.children(&parent)?.len() > 1,
            None => false,
        };
        let about = |finding: Finding| finding.aum(*hash).at(&place(hash));
        findings.extend(checks::departure(*departs, forked).map(about));
    }
    for at in &seen.forks {
        let mut siblings = Vec::new();
        for aum in chain.children(at)? {
            let Some(node) = chain.node(&aum)? else { continue };
            let departs = seen.departs.get(&aum).map(|(departs, _)| *departs);
            let (kind, weight) = (node.kind, node.weight);
            siblings.push(Sibling { aum, place: place(&aum), kind, weight, departs });
        }
        checks::fork(&Fork { at: *at, siblings }, findings);
    }
    Ok(())
}

/// Whether something came before the oldest AUM.
fn cut(chain: Chain<'_>, authority: &Authority) -> Result<bool, Fault> {
    Ok(chain.node(&authority.oldest().hash)?.is_some_and(|node| node.parent.is_some()))
}

fn anchorable(
    chain: Chain<'_>,
    authority: &Authority,
    named: Option<AumHash>,
) -> Result<AnchorableChain, Fault> {
    let head = authority.head();
    let named = match named {
        Some(hash) if chain.is_ancestor(&hash, &head)? => Whereabouts::Active,
        Some(hash) if chain.node(&hash)?.is_some() => Whereabouts::Beaten,
        _ => Whereabouts::Absent,
    };
    Ok(AnchorableChain {
        oldest: authority.oldest().hash,
        cut: cut(chain, authority)?,
        head,
        state_id: authority.state().state_id(),
        named,
    })
}

/// Records that an earlier audit has verified.
fn passed(size: u64) -> Unchecked {
    let reason = format!(
        "the first {size} records were verified the last time and are not looked at again, nor \
         the rows derived from them that no later record touches; that they are the same is \
         shown by the source's own tree"
    );
    Unchecked { id: "before-resume", reason }
}

fn unchecked(kind: Kind, assumed: &[u32], anchored: &Anchored) -> Vec<Unchecked> {
    let mut unchecked = Vec::new();
    let mut add = |id, reason: &str| unchecked.push(Unchecked { id, reason: reason.to_owned() });
    match kind {
        Kind::Daemon => {
            add("freshness", "a daemon can withhold its newest records; that cannot be seen here")
        }
        _ => add("freshness", "whether another replica has newer records cannot be seen here"),
    }
    if !assumed.is_empty() {
        add("before-root", "what came before the oldest AUM of an adopted lock is not on record");
    }
    if *anchored == Anchored::No {
        add("anchor", "nothing from outside says whose history this is");
    }
    unchecked
}
