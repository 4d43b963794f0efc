//! The classes of tampering with a backup. It is not signed as a whole, so what its records' rules
//! allow shows by a hash that somebody remembers (docs/audit.md).

use std::path::Path;

use audit::checks::Severity;
use audit::report::Report;
use audit::source::{Detected, detect_bytes};
use audit::trust_anchor::Anchors;
use audit::{Options, unreadable, verify_backup};
use ledger::formats::record_stream::{End, Head, frame};
use ledger::history::{ClusterId, Fold, FoldHash, Record, SignedProposal, Verdict};
use ledger::ids::AumHash;
use ledger::lock::signatures::{Unverified, verify_one};
use ledger::rows::Draft;
use ledger::testing::{Group, key};
use sha2::{Digest, Sha256};

use super::history;

fn audited(bytes: &[u8], head: Option<AumHash>) -> Report {
    let anchors = Anchors { head, ..Anchors::default() };
    let options = Options { anchors, ..Options::default() };
    match detect_bytes(bytes, Path::new("backup")) {
        Ok(Detected::Backup(backup)) => verify_backup("backup", &backup, &options, false).report,
        // Whatever else it may look like now, it is no history.
        _ => unreadable("backup", None, "no backup"),
    }
}

/// Whether it shows that something was done to it.
fn shows(bytes: &[u8]) -> bool {
    audited(bytes, None).exit_code != 0
}

/// A backup of these records, which says what somebody wants it to say.
fn written(records: &[Vec<u8>], cluster: ClusterId, incarnation: u64, fold: FoldHash) -> Vec<u8> {
    let head = Head { cluster, incarnation, records: records.len() as u64 };
    let hash = Record::hash_of(records.last().unwrap());
    let mut out = head.to_bytes();
    out.extend(records.iter().flat_map(|record| frame(record)));
    out.extend(End { hash, fold }.to_bytes());
    out
}

fn of(records: &[Vec<u8>], group: &Group) -> Vec<u8> {
    written(records, Group::CLUSTER, 1, group.fold.fold_hash())
}

fn bytes_of(group: &Group) -> Vec<Vec<u8>> {
    group.records().iter().map(|record| record.bytes().to_vec()).collect()
}

/// A founding, a node, a lock and a signature: one of each kind of signature.
fn small() -> Group {
    let mut group = Group::new();
    let node = group.add_node("node", 0x21);
    group.apply(group.initialization(1, &[]));
    let signature = group.signature(&key(1), node);
    let signed = ledger::history::NodeSignature { node, signature };
    group.apply(ledger::history::Event::NodeKeysSigned(vec![signed]));
    group
}

/// Runs a check for each of so many cases, on all cores.
fn each_case(cases: usize, check: impl Fn(usize) + Sync) {
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let check = &check;
            scope.spawn(move || (worker..cases).step_by(workers).for_each(check));
        }
    });
}

#[test]
fn a_backups_report_names_the_file_whole_or_cut() {
    let group = small();
    let bytes = of(&bytes_of(&group), &group);
    for bytes in [&bytes[..], &bytes[..bytes.len() / 2]] {
        assert_eq!(audited(bytes, None).sha256, Some(Sha256::digest(bytes).into()));
    }
}

#[test]
fn every_bit_and_every_byte_of_a_backup_counts() {
    let group = small();
    let bytes = of(&bytes_of(&group), &group);
    assert!(!shows(&bytes));
    each_case(bytes.len() * 8, |bit| {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(shows(&flipped), "bit {bit} of {}", bytes.len() * 8);
    });
    each_case(bytes.len(), |at| {
        let mut shorter = bytes.clone();
        shorter.remove(at);
        assert!(shows(&shorter), "byte {at} deleted");
        let mut longer = bytes.clone();
        longer.insert(at, 0);
        assert!(shows(&longer), "a byte inserted at {at}");
        assert!(shows(&bytes[..at]), "cut at {at}");
    });
    assert!(shows(&[bytes.as_slice(), &[0]].concat()));
    assert!(shows(&[bytes.as_slice(), bytes.as_slice()].concat()));
}

#[test]
fn records_of_a_backup_cannot_be_removed_swapped_or_repeated() {
    let group = history();
    let records = bytes_of(&group);
    assert!(!shows(&of(&records, &group)));
    for at in 0..records.len() {
        let mut fewer = records.clone();
        fewer.remove(at);
        assert!(shows(&of(&fewer, &group)), "{at} removed");
        for other in [at + 1, records.len() - 1] {
            if other < records.len() && other != at {
                let mut swapped = records.clone();
                swapped.swap(at, other);
                assert!(shows(&of(&swapped, &group)), "{at} and {other} swapped");
            }
        }
        let mut more = records.clone();
        more.insert(at, records[at].clone());
        assert!(shows(&of(&more, &group)), "{at} twice");
        more = records.clone();
        more.push(records[at].clone());
        assert!(shows(&of(&more, &group)), "{at} once more at the end");
    }
    // What surrounds them.
    let fold = group.fold.fold_hash();
    assert!(shows(&written(&records, ClusterId([9; 16]), 1, fold)));
    assert!(shows(&written(&records, Group::CLUSTER, 2, fold)));
    assert!(shows(&written(&records, Group::CLUSTER, 1, FoldHash([9; 32]))));
}

/// Records of these proposals, linked anew by somebody without keys, and the fold hash at their end
/// if the rules admit them all.
fn linked(proposals: &[SignedProposal]) -> (Vec<Vec<u8>>, Option<FoldHash>) {
    let mut group = Group::unfounded();
    let (mut records, mut whole) = (Vec::new(), true);
    let mut prev: Option<[u8; 32]> = None;
    for (index, proposal) in (0u64..).zip(proposals) {
        let mut out = ledger::cbor::Writer::new();
        out.map(3).uint(1).uint(index);
        out.uint(2).nullable_bytes(prev.as_ref().map(|hash| hash.as_slice()));
        out.uint(3).bytes(proposal.bytes());
        let bytes = out.into_bytes();
        prev = Some(Record::hash_of(&bytes).0);
        records.push(bytes);
        whole = whole && folded(&mut group, proposal);
    }
    (records, whole.then(|| group.fold.fold_hash()))
}

fn folded(group: &mut Group, proposal: &SignedProposal) -> bool {
    let Ok(verified) = verify_one(Unverified::new(proposal.clone())) else { return false };
    let mut draft = Draft::on(&group.rows);
    let verdict = Fold::admit(&mut group.fold, &mut draft, &verified).unwrap();
    let changes = draft.finish();
    group.rows.apply(changes);
    matches!(verdict, Verdict::Sealed(_))
}

#[test]
fn what_the_rules_allow_shows_by_a_remembered_hash() {
    let group = history();
    let records = group.records();
    let proposals: Vec<SignedProposal> = records.iter().map(|r| r.proposal().clone()).collect();
    let head = AumHash(records.last().unwrap().hash().0);
    let (same, fold) = linked(&proposals);
    assert_eq!((same, fold), (bytes_of(&group), Some(group.fold.fold_hash())));
    let (mut noticed, mut allowed) = (0, 0);
    let mut judge = |what: &str, changed: &[SignedProposal]| {
        let (records, fold) = linked(changed);
        let bytes = written(&records, Group::CLUSTER, 1, fold.unwrap_or(FoldHash([7; 32])));
        match (fold, shows(&bytes)) {
            // No group has admitted that.
            (None, shown) => {
                assert!(shown, "{what}");
                noticed += 1;
            }
            // Documented: members sign what they propose and not its place.
            (Some(_), _) => {
                assert_eq!(audited(&bytes, Some(head)).exit_code, 5, "{what}");
                allowed += 1;
            }
        }
    };
    for at in 1..proposals.len() {
        let mut fewer = proposals.clone();
        fewer.remove(at);
        judge(&format!("{at} taken out"), &fewer);
        let mut swapped = proposals.clone();
        swapped.swap(at, at - 1);
        judge(&format!("{at} and the one before swapped"), &swapped);
        let mut again = proposals.clone();
        again.push(proposals[at].clone());
        judge(&format!("{at} again"), &again);
    }
    assert!(noticed > allowed && allowed > 0, "{noticed} {allowed}");
    for size in 1..proposals.len() {
        // A cut-off end, made whole: nothing shows it but a hash from behind the cut.
        let (cut, fold) = linked(&proposals[..size]);
        let bytes = written(&cut, Group::CLUSTER, 1, fold.unwrap());
        assert_eq!(audited(&bytes, None).exit_code, 0);
        assert_eq!(audited(&bytes, Some(head)).exit_code, 5, "cut at {size}");
    }
}

#[test]
fn signatures_of_others_and_records_of_other_epochs_do_not_fit() {
    let group = history();
    let records = group.records();
    let proposals: Vec<SignedProposal> = records.iter().map(|r| r.proposal().clone()).collect();
    let broken = |what: &str, proposals: &[SignedProposal]| {
        let (records, fold) = linked(proposals);
        assert_eq!(fold, None, "{what}");
        let report = audited(&of(&records, &group), None);
        assert_eq!(report.exit_code, 1, "{what}");
        let severest = report.findings.iter().map(|finding| finding.check.severity).max();
        assert_eq!(severest, Some(Severity::Error), "{what}");
    };
    for at in 0..proposals.len() {
        // Re-signed by another key, with everything after it linked anew.
        let mut resigned = proposals.clone();
        let proposal = proposals[at].proposal();
        // The founding record brings the key that it is signed with.
        resigned[at] = match SignedProposal::sign(proposal, &key(0x66)) {
            Ok(signed) => signed,
            Err(refusal) => panic!("{at}: {refusal}"),
        };
        broken(&format!("{at} signed by another"), &resigned);
        // Signed by the right key, but for another ledger.
        let mut foreign = proposals.clone();
        let other = ledger::history::Proposal { cluster: ClusterId([9; 16]), ..proposal.clone() };
        foreign[at] = SignedProposal::sign(&other, &group.member).unwrap();
        if at > 0 {
            broken(&format!("{at} of another ledger"), &foreign);
        }
    }
    // Record 3 changed the lock of the first epoch, record 8 that of the second.
    for (to, from) in [(8, 3), (3, 8)] {
        let mut spliced = proposals.clone();
        spliced[to] = proposals[from].clone();
        broken(&format!("{from} in the place of {to}"), &spliced);
    }
}
