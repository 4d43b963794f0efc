//! The classes of tampering with a data directory by somebody who can write to its database, and
//! knows its layout. Each must be caught: exit not 0, or a finding of at least `warning` that the
//! untouched directory does not have.

use std::collections::BTreeSet;

use audit::checks::Severity;
use ledger::history::{
    Actor, ClusterId, Event, NodeId, NodeSignature, Proposal, Record, ReplicaId, SignedProposal,
    Verdict, Who,
};
use ledger::lock::Sealed;
use ledger::lock::builder::Change;
use ledger::lock::signatures::{Signer, Unverified, verify_one};
use ledger::rows::{Draft, raft, tables};
use ledger::testing::{Group, key};

use super::directory::{Directory, Row, entry_of, last_entry, log_rows, table_rows};
use super::history::history;
use super::{audit, ids};

/// What an audit shows of at least `warning`; none if it does not exit 0.
fn warnings(directory: &Directory) -> Option<BTreeSet<(&'static str, String)>> {
    let report = audit(directory);
    let severe = report.findings.iter().filter(|f| f.check.severity >= Severity::Warning);
    (report.exit_code == 0).then(|| severe.map(|f| (f.check.id, f.fingerprint())).collect())
}

fn record_key(index: u64) -> Vec<u8> {
    index.to_be_bytes().to_vec()
}

fn record_row(index: u64, bytes: &[u8]) -> Row {
    (tables::RECORDS, record_key(index), Some(bytes.to_vec()))
}

/// Removes every row but those of the log.
fn cleared(group: &Group) -> Vec<Row> {
    table_rows(group).into_iter().map(|(table, key, _)| (table, key, None)).collect()
}

/// A record in the bytes of the format, from whatever parts.
fn record(index: u64, prev: Option<&[u8; 32]>, proposal: &[u8]) -> Vec<u8> {
    let mut out = ledger::cbor::Writer::new();
    out.map(3).uint(1).uint(index);
    out.uint(2).nullable_bytes(prev.map(|hash| hash.as_slice()));
    out.uint(3).bytes(proposal);
    out.into_bytes()
}

/// Puts proposals in their places, as somebody without any key can.
fn linked<'a>(proposals: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut prev: Option<[u8; 32]> = None;
    let mut records = Vec::new();
    for (index, proposal) in proposals.into_iter().enumerate() {
        let bytes = record(index as u64, prev.as_ref(), proposal);
        prev = Some(Record::hash_of(&bytes).0);
        records.push(bytes);
    }
    records
}

/// The rows that follow from proposals, if the rules admit them all.
fn refolded(proposals: &[SignedProposal]) -> Option<Group> {
    let mut group = Group::unfounded();
    for proposal in proposals {
        let verified = verify_one(Unverified::new(proposal.clone())).ok()?;
        let mut draft = Draft::on(&group.rows);
        let Verdict::Sealed(_) = group.fold.admit(&mut draft, &verified).unwrap() else {
            return None;
        };
        let changes = draft.finish();
        group.rows.apply(changes);
    }
    Some(group)
}

/// So many bits or bytes further on; each of them where `LOCKSTEP_EVERY_BIT` is set, which takes an
/// hour, since each case is written to the database.
fn step(usual: usize) -> usize {
    if std::env::var_os("LOCKSTEP_EVERY_BIT").is_some() { 1 } else { usual }
}

#[test]
fn every_bit_of_every_record_counts() {
    let group = history();
    let whole = Directory::of(&group);
    let directory = whole.copied();
    for found in group.records() {
        let bytes = found.bytes();
        for bit in (0..bytes.len() * 8).step_by(step(397)) {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            directory.write(&[record_row(found.index(), &flipped)]);
            let report = audit(&directory);
            assert_eq!(report.exit_code, 1, "record {} bit {bit}", found.index());
        }
        for at in (0..bytes.len()).step_by(step(151)) {
            let mut shorter = bytes.to_vec();
            shorter.remove(at);
            directory.write(&[record_row(found.index(), &shorter)]);
            let report = audit(&directory);
            assert_eq!(report.exit_code, 1, "record {} byte {at}", found.index());
        }
        directory.write(&[record_row(found.index(), bytes)]);
    }
    assert_eq!(audit(&directory).exit_code, 0);
}

#[test]
fn records_cannot_be_removed_swapped_or_repeated() {
    let group = history();
    let records = group.records();
    let whole = Directory::of(&group);
    let last = records.len() as u64 - 1;
    for i in 0..=last {
        let directory = whole.copied();
        directory.write(&[(tables::RECORDS, record_key(i), None)]);
        let report = audit(&directory);
        assert_eq!(report.exit_code, 1, "{i} removed");
        let expected = if i == last { "record.missing" } else { "record.index" };
        assert!(ids(&report).contains(expected), "{i} removed: {:?}", ids(&report));
        // What is left is still looked at, record by record.
        assert_eq!(report.ledger.unwrap().verified_records, i);

        if i > 0 {
            let directory = whole.copied();
            let (a, b) = (&records[i as usize - 1], &records[i as usize]);
            directory.write(&[record_row(i - 1, b.bytes()), record_row(i, a.bytes())]);
            let report = audit(&directory);
            assert_eq!(report.exit_code, 1, "{i} swapped");
            assert!(ids(&report).contains("record.index"));
        }

        let directory = whole.copied();
        directory.write(&[record_row(last + 1, records[i as usize].bytes())]);
        let report = audit(&directory);
        assert_eq!(report.exit_code, 1, "{i} repeated");
    }
    let directory = whole.copied();
    directory.write(&[(tables::RECORDS, b"odd".to_vec(), Some(records[1].bytes().to_vec()))]);
    assert!(ids(&audit(&directory)).contains("record.index"));
}

/// Somebody without keys links the records anew and derives all rows from them: what the members
/// signed has no place in it. The log knows.
#[test]
fn linking_anew_does_not_help() {
    let group = history();
    let proposals: Vec<SignedProposal> =
        group.records().iter().map(|record| record.proposal().clone()).collect();
    let whole = Directory::of(&group);
    let mut admitted = 0;
    let mut try_out = |what: String, changed: Vec<SignedProposal>| {
        let directory = whole.copied();
        let mut rows = cleared(&group);
        match refolded(&changed) {
            Some(forged) => {
                admitted += 1;
                rows.extend(table_rows(&forged));
            }
            None => {
                let bytes = changed.iter().map(SignedProposal::bytes);
                rows.extend(linked(bytes).iter().enumerate().map(|(i, b)| record_row(i as u64, b)));
            }
        }
        directory.write(&rows);
        let report = audit(&directory);
        assert_eq!(report.exit_code, 1, "{what}: {:?}", ids(&report));
    };
    for i in 0..proposals.len() {
        let mut less = proposals.clone();
        less.remove(i);
        try_out(format!("{i} removed"), less);
        if i > 0 {
            let mut swapped = proposals.clone();
            swapped.swap(i - 1, i);
            try_out(format!("{i} swapped"), swapped);
            try_out(format!("cut off at {i}"), proposals[..i].to_vec());
        }
    }
    assert!(admitted > proposals.len(), "the rules alone catch too much to show anything");
}

#[test]
fn a_log_that_was_cut_still_knows_its_records() {
    let group = history();
    let records = group.records();
    let whole = Directory::of(&group);
    let from = 11;
    let cut: Vec<Row> = (2..entry_of(from))
        .map(|index| (raft::RAFT_LOG, raft::log_key(index).to_vec(), None))
        .chain(log_rows(&records, from))
        .collect();
    whole.write(&cut);
    let report = audit(&whole);
    assert_eq!(report.exit_code, 0, "{:?}", report.findings);
    // Record 14 is the revocation; record 4 observed the lock of the epoch before.
    let proposals: Vec<_> = records.iter().map(|record| record.proposal().clone()).collect();
    for (kept, id) in [
        ([&proposals[..15]].concat(), "record.missing"),
        ([&proposals[..14], &proposals[15..]].concat(), "record.missing"),
        ([&proposals[..4], &proposals[5..]].concat(), ""),
    ] {
        let directory = whole.copied();
        let forged = refolded(&kept).unwrap();
        directory.write(&[cleared(&group), table_rows(&forged)].concat());
        let report = audit(&directory);
        if id.is_empty() {
            // What lies behind the log's beginning only an anchor or another replica can tell.
            assert_eq!(report.exit_code, 0);
        } else {
            assert_eq!(report.exit_code, 1);
            assert!(ids(&report).contains(id), "{:?}", ids(&report));
        }
    }
}

#[test]
fn a_record_that_the_log_does_not_know_is_noticed() {
    let group = history();
    let directory = Directory::of(&group);
    // With the member key, but behind the log's back.
    let mut forged = history();
    forged.apply(Event::NodeRemoved(NodeId(3)));
    directory.write(&[cleared(&group), table_rows(&forged)].concat());
    let report = audit(&directory);
    assert_eq!(report.exit_code, 1);
    assert!(ids(&report).contains("record.unlogged"));
}

#[test]
fn signatures_of_others_do_not_hold() {
    let group = history();
    let whole = Directory::of(&group);
    let last = group.records().last().unwrap().clone();
    let i = last.index();
    let prev = last.prev().map(|hash| hash.0);
    let replaced = |proposal: &SignedProposal| {
        let directory = whole.copied();
        directory.write(&[record_row(i, &record(i, prev.as_ref(), proposal.bytes()))]);
        let report = audit(&directory);
        assert_eq!(report.exit_code, 1);
        ids(&report)
    };
    // Another key signs what the member proposed.
    let proposal = last.proposal().proposal();
    let by_another = SignedProposal::sign(proposal, &key(0x77)).unwrap();
    assert!(replaced(&by_another).contains("record.proposer-signature"));
    // Another member is claimed.
    let actor = Actor { member: ReplicaId(2), who: Who::Uid(0), name: "eve".into() };
    let as_another = Proposal { actor, ..proposal.clone() };
    let as_another = SignedProposal::sign(&as_another, &group.member).unwrap();
    assert!(replaced(&as_another).contains("record.proposer-signature"));
    // The signature is another message's.
    let mut bytes = last.proposal().bytes().to_vec();
    let signature = bytes.len() - 1;
    bytes[signature] ^= 1;
    let broken = SignedProposal::decode(&bytes).unwrap();
    assert!(replaced(&broken).contains("record.proposer-signature"));
    // A member that proposes what the rules refuse.
    let refused = Proposal { event: Event::NodeRemoved(NodeId(99)), ..proposal.clone() };
    let refused = SignedProposal::sign(&refused, &group.member).unwrap();
    assert!(replaced(&refused).contains("record.rules"));
    // An AUM signed by a key that was never trusted, one whose signature does not hold, and a
    // signature for a node by such a key.
    let mut untrusted = group.build(&group.lock, vec![Change::Remove(key(2).public().0.to_vec())]);
    let aum = untrusted.remove(0);
    let mut unsigned = aum.clone().into_aum();
    unsigned.signatures.clear();
    let foreign = ledger::lock::revocation::cosign(Sealed::new(unsigned), &key(0x55)).unwrap();
    let mut bytes = aum.bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let broken = Sealed::decode(&bytes).unwrap();
    let node = group.signature(&key(0x55), NodeId(4));
    for (event, id) in [
        (Group::added(vec![foreign]), "aum.signer"),
        (Group::added(vec![broken]), "aum.signature"),
        (
            Event::NodeKeysSigned(vec![NodeSignature { node: NodeId(4), signature: node }]),
            "node.signature",
        ),
    ] {
        let proposal = Proposal { event, ..proposal.clone() };
        let signed = SignedProposal::sign(&proposal, &group.member).unwrap();
        let found = replaced(&signed);
        assert!(found.contains(id), "{id}: {found:?}");
    }
}

#[test]
fn records_of_another_ledger_or_epoch_do_not_fit() {
    let group = history();
    let whole = Directory::of(&group);
    let records = group.records();
    let splice = |at: u64, proposal: &SignedProposal| {
        let mut proposals: Vec<&[u8]> = records.iter().map(|r| r.proposal().bytes()).collect();
        proposals[at as usize] = proposal.bytes();
        let rows: Vec<Row> = linked(proposals)
            .iter()
            .enumerate()
            .map(|(i, bytes)| record_row(i as u64, bytes))
            .collect();
        let directory = whole.copied();
        directory.write(&rows);
        audit(&directory).exit_code
    };
    // Record 3 changed the lock of the first epoch, record 8 that of the second.
    assert_eq!(splice(8, records[3].proposal()), 1);
    assert_eq!(splice(3, records[8].proposal()), 1);
    let foreign =
        Proposal { cluster: ClusterId([9; 16]), ..records[7].proposal().proposal().clone() };
    let foreign = SignedProposal::sign(&foreign, &group.member).unwrap();
    assert_eq!(splice(7, &foreign), 1);
}

#[test]
fn every_derived_row_counts() {
    let mut group = history();
    group.apply(ledger::testing::invited(20, None));
    let whole = Directory::of(&group);
    let directory = whole.copied();
    let mut seen = BTreeSet::new();
    let all = table_rows(&group);
    let derived = all.iter().filter(|(table, _, _)| *table != tables::RECORDS);
    for (place, (table, key, value)) in derived.enumerate() {
        // Every table, and of the large ones some rows.
        if !seen.insert(table.0) && place % 5 != 0 {
            continue;
        }
        let value = value.clone().unwrap();
        let mut other = value.clone();
        match other.last_mut() {
            Some(last) => *last ^= 1,
            None => other.push(0),
        }
        let mut another_key = key.clone();
        another_key.push(1);
        for changed in [
            vec![(*table, key.clone(), None)],
            vec![(*table, key.clone(), Some(other))],
            vec![(*table, another_key.clone(), Some(value.clone()))],
        ] {
            directory.write(&changed);
            let report = audit(&directory);
            assert_eq!(report.exit_code, 1, "{} {key:?}", table.0);
            assert_eq!(ids_of_errors(&report), ["cache.differs"]);
            directory.write(&[
                (*table, key.clone(), Some(value.clone())),
                (*table, another_key.clone(), None),
            ]);
        }
    }
    // Snapshots of states are for chains with fewer checkpoints than this.
    let missing = [tables::RECORDS, tables::AUM_STATES];
    assert!(tables::ALL.iter().all(|table| seen.contains(table.0) || missing.contains(table)));
    assert_eq!(audit(&directory).exit_code, 0);
}

fn ids_of_errors(report: &audit::report::Report) -> Vec<&'static str> {
    let errors = report.findings.iter().filter(|f| f.check.severity == Severity::Error);
    let mut ids: Vec<_> = errors.map(|finding| finding.check.id).collect();
    ids.dedup();
    ids
}

#[test]
fn the_log_and_the_files_beside_it_count() {
    let group = history();
    let whole = Directory::of(&group);
    let before = warnings(&whole).unwrap();
    let last = last_entry(&group);
    let change = |rows: &[Row]| {
        let directory = whole.copied();
        directory.write(rows);
        let report = audit(&directory);
        let noticed = warnings(&directory).is_none_or(|after| !after.is_subset(&before));
        assert!(noticed, "{rows:?}");
        ids(&report)
    };
    let key = |index| raft::log_key(index).to_vec();
    // The log's end is gone, as after a lost write.
    let lost = change(&[(raft::RAFT_LOG, key(last), None)]);
    assert!(lost.contains("log.damaged") && lost.contains("record.truncated"), "{lost:?}");
    // ... consistently, with the record that came from it.
    let fewer: Vec<_> = group.records().iter().map(|r| r.proposal().clone()).collect();
    let refolded = refolded(&fewer[..fewer.len() - 1]).unwrap();
    let mut rows = cleared(&group);
    rows.push((raft::RAFT_LOG, key(last), None));
    rows.extend(table_rows(&refolded));
    rows.extend(log_rows(&refolded.records(), 0));
    let lost = change(&rows);
    assert!(lost.contains("record.truncated") && !lost.contains("log.damaged"), "{lost:?}");
    // A hole, an entry of no proposal, terms out of order.
    assert!(change(&[(raft::RAFT_LOG, key(7), None)]).contains("log.damaged"));
    let garbage = raft::entry_row(2, raft::EntryKind::Proposal, b"garbage");
    assert!(change(&[(raft::RAFT_LOG, key(7), Some(garbage))]).contains("record.unlogged"));
    let old_term =
        raft::entry_row(1, raft::EntryKind::Proposal, group.records()[4].proposal().bytes());
    assert!(change(&[(raft::RAFT_LOG, key(7), Some(old_term))]).contains("log.damaged"));
    for row in [raft::BASE, raft::HARD, raft::GROUP, raft::APPLIED, raft::IDENTITY] {
        change(&[(raft::RAFT_STATE, row.to_vec(), None)]);
        change(&[(raft::RAFT_STATE, row.to_vec(), Some(b"garbage".to_vec()))]);
    }
    let applied = raft::applied_row(last - 1);
    assert!(
        change(&[(raft::RAFT_STATE, raft::APPLIED.to_vec(), Some(applied))])
            .contains("log.damaged")
    );

    for (file, id) in [("watermark", "watermark.missing"), ("identity", "replica.identity")] {
        let directory = whole.copied();
        let path = directory.path().join(file);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(ids(&audit(&directory)).contains(id), "{file} removed");
        std::fs::write(&path, &bytes[..bytes.len() / 4]).unwrap();
        if file == "identity" {
            assert!(ids(&audit(&directory)).contains(id), "{file} cut");
        }
        std::fs::write(&path, vec![0; bytes.len()]).unwrap();
        assert!(ids(&audit(&directory)).contains(id), "{file} zeroed");
    }
}

#[test]
fn what_is_acknowledged_but_not_applied_waits() {
    let group = history();
    let directory = Directory::of(&group);
    let mut later = history();
    let proposal = later.proposal(Event::NodeRemoved(NodeId(3)));
    let signed = SignedProposal::sign(&proposal, &later.member).unwrap();
    let next = last_entry(&group) + 1;
    directory.write(&[(
        raft::RAFT_LOG,
        raft::log_key(next).to_vec(),
        Some(raft::entry_row(2, raft::EntryKind::Proposal, signed.bytes())),
    )]);
    directory.write_files(next);
    let report = audit(&directory);
    assert_eq!(report.exit_code, 0, "{:?}", report.findings);
    assert_eq!(report.ledger.unwrap().waiting, 1);
}

/// The tests above rest on this: rows made from records are those that a replica has.
#[test]
fn refolding_gives_the_same_rows() {
    let group = history();
    let proposals: Vec<_> = group.records().iter().map(|r| r.proposal().clone()).collect();
    let again = refolded(&proposals).unwrap();
    assert_eq!(table_rows(&again), table_rows(&group));
    assert_eq!(again.fold.fold_hash(), group.fold.fold_hash());
}
