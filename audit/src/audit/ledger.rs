//! Auditing records: a replica's data directory, or what a running daemon serves.

use std::path::Path;

use ::ledger::Fault;
use ::ledger::history::RecordHash;
use ::ledger::history::lifecycle::Lifecycle;
use ::ledger::history::roster;
use ::ledger::ids::AumHash;
use ::ledger::lock::{Authority, Chain, ChainId};

use super::{Options, compare_lock, trusted_keys, unreadable};
use crate::checks::catalog::{CACHE_DIFFERS, SOURCE_UNREADABLE};
use crate::checks::{self, Finding, Fork, Headcount, Sibling};
use crate::log_tail::{LogTail, Rest};
use crate::observations::{Claimed, EpochSeen, Observations};
use crate::records::{Replay, Stored, replay};
use crate::report::{LedgerFacts, Report, Unchecked};
use crate::scratch::Scratch;
use crate::source::{DataDir, Kind, Place, Shown};
use crate::trust_anchor::{Anchorable, AnchorableChain, Anchored, Whereabouts, compare};
use crate::verdict::judge;

/// What a running daemon serves: its records, and what it says of them.
pub struct Live<'a> {
    /// Its records from 0 on, in order, as they are fetched.
    pub records: Box<dyn Iterator<Item = Result<Stored, Fault>> + Send + 'a>,
    /// Its last record before they were fetched, and the hashes there.
    pub claimed: Option<Claimed>,
    /// The lock at that record, as its status shows it.
    pub shown: Option<Shown>,
}

impl std::fmt::Debug for Live<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("claimed", &self.claimed).finish_non_exhaustive()
    }
}

/// Audits a replica's data directory. It is only read, whatever state it is in, and byte for byte
/// the same afterwards.
pub fn verify_data_dir(name: &str, dir: &Path, options: &Options<'_>) -> Report {
    let kind = Kind::DataDir;
    let opened = match DataDir::open(dir) {
        Ok(opened) => opened,
        Err(fault) => return unreadable(name, Some(kind), &fault.to_string()),
    };
    let mut findings = Vec::new();
    let mut tail = LogTail::read(&opened.rows, &mut findings);
    tail.promised(opened.watermark, &mut findings);
    let seen = Observations::new(options.anchors.head, None);
    let scratch = Scratch::new(options.tmp.clone());
    let audited =
        replay(opened.records(), scratch, seen, &mut tail, &options.progress, &mut findings)
            .and_then(|replay| {
                let mut rest = Rest::default();
                if replay.is_whole() && replay.unread.is_none() {
                    rest = tail.after(&replay.fold, &replay.rows, &mut findings)?;
                    options
                        .progress
                        .tell("records replayed; comparing derived rows of", replay.present);
                    checks::derived(&replay.rows, &opened.rows, &mut findings)?;
                }
                opened.identity(replay.fold.cluster(), &mut findings);
                report(name, kind, &replay, findings, options).map(|report| (report, rest))
            });
    match audited {
        Ok((mut report, rest)) => {
            if let Some(facts) = &mut report.ledger {
                facts.waiting = rest.waiting;
                facts.holder = opened.holder;
            }
            report
        }
        Err(fault) => unreadable(name, Some(kind), &fault.to_string()),
    }
}

/// Audits what a running daemon serves.
pub fn verify_live(name: &str, live: Live<'_>, options: &Options<'_>) -> Report {
    let kind = Kind::Daemon;
    let Live { records, claimed, shown } = live;
    let mut findings = Vec::new();
    let seen = Observations::new(options.anchors.head, claimed);
    let scratch = Scratch::new(options.tmp.clone());
    let mut no_tail = LogTail::default();
    let audited = replay(records, scratch, seen, &mut no_tail, &options.progress, &mut findings)
        .and_then(|replay| {
            compare_claims(&replay, shown.as_ref(), &mut findings)?;
            report(name, kind, &replay, findings, options)
        });
    audited.unwrap_or_else(|fault| unreadable(name, Some(kind), &fault.to_string()))
}

/// Whether a daemon says of its history what its records give.
fn compare_claims(
    replay: &Replay,
    shown: Option<&Shown>,
    findings: &mut Vec<Finding>,
) -> Result<(), Fault> {
    let Some(claimed) = replay.seen.claimed() else { return Ok(()) };
    let mut differs = |message: String| findings.push(Finding::new(&CACHE_DIFFERS, message));
    match replay.seen.instead {
        Some(is) if is == claimed => {}
        Some(is) => differs(format!(
            "the daemon says that record {} has hash {} and fold hash {}; they are {} and {}",
            claimed.index, claimed.hash, claimed.fold_hash, is.hash, is.fold_hash
        )),
        None if replay.is_whole() && replay.unread.is_none() => differs(format!(
            "the daemon says that record {} is its last; it served only {}",
            claimed.index, replay.present
        )),
        None => {}
    }
    let same_moment = replay.fold.last_hash() == Some(claimed.hash) && replay.is_whole();
    let Some(shown) = shown.filter(|_| same_moment) else { return Ok(()) };
    compare_lock(shown, replay.fold.authority().map(|a| (a.head(), a.state())), findings);
    for node in &shown.nodes {
        let ours = roster::by_node_key(&replay.rows, node.node_key)?;
        let same = ours.is_some_and(|ours| {
            // A signature that lets nobody in need not be shown.
            let signed =
                ours.signature == node.signature || (!node.admitted && node.signature.is_none());
            ours.standing.is_in() == node.admitted && signed
        });
        if !same {
            let message = format!(
                "the status shows {} as {}, with a signature or without; by the records it is not \
                 so",
                node.name,
                if node.admitted { "let in" } else { "locked out" }
            );
            findings.push(Finding::new(&CACHE_DIFFERS, message).node(node.node_key));
        }
    }
    Ok(())
}

/// Sums up a replay.
fn report(
    name: &str,
    kind: Kind,
    replay: &Replay,
    mut findings: Vec<Finding>,
    options: &Options<'_>,
) -> Result<Report, Fault> {
    let Replay { fold, rows, present, seen, unread, .. } = replay;
    let mut chains = Vec::new();
    let mut verified = 0;
    let mut last = None;
    let mut assumed = Vec::new();
    for epoch in 1..=fold.epoch().map_or(0, |epoch| epoch.0) {
        let Some(authority) = Authority::open(rows, ChainId(epoch))? else { continue };
        let chain = authority.chain(rows);
        for node in chain.nodes()? {
            node?;
            verified += 1;
        }
        if let Some(seen) = seen.epochs.get(&epoch) {
            forks_and_departures(chain, seen, &mut findings)?;
        }
        if cut(chain, &authority)? {
            assumed.push(epoch);
            findings.push(checks::assumed_root(authority.oldest().hash, epoch));
        }
        chains.push(anchorable(chain, &authority, options.anchors.head)?);
        last = Some(authority);
    }
    findings.extend(seen.alarms.iter().map(|(record, alarm)| checks::alarm(*record, *alarm)));
    findings.extend(seen.objections.iter().map(|(record, aum)| checks::objection(*record, *aum)));
    let on = fold.authority();
    let mut nodes = Headcount::default();
    if let Some(authority) = on {
        let place = authority.head_place();
        let length = place.height.saturating_add(1);
        checks::standing(authority.state(), place.hash, length, &mut findings);
        nodes = checks::roster(rows, authority.state(), &mut findings)?;
    }
    let history = Anchorable { chains, origin: seen.origin, record: seen.found };
    let anchored = compare(&options.anchors, &history, &mut findings);
    let mut undecided = Vec::new();
    if let Some(fault) = unread {
        let reason = format!("The records from {present} on cannot be read: {fault}");
        findings.push(Finding::new(&SOURCE_UNREADABLE, reason.as_str()));
        undecided.push(reason);
    } else if *present == 0 {
        undecided.push("There is no record in it".to_owned());
    }
    let (verdict, exit_code) = judge(&findings, !undecided.is_empty(), &anchored, options.demands);
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
        unchecked: unchecked(kind, &assumed, &anchored),
        undecided,
        anchored,
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
            waiting: 0,
            holder: None,
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

/// The identity of a ledger in signed notes: constant across its epochs.
pub(crate) fn origin(record_0: &RecordHash) -> String {
    format!("lockstep/{record_0}")
}
