//! Evidence: the same bundle from every replica, in formats that others read; nothing in it can be
//! changed unnoticed; proofs hold for what they prove and for nothing else.
#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its ledger has failed")]

mod backups;
#[path = "../data_dirs/directory.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod directory;
mod heads;
#[path = "../data_dirs/history.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod history;
mod proofs;
mod replicas;
mod tampering;

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use audit::evidence::{Bundle, Evidence};
use audit::source::{Detected, detect, detect_bytes};
use audit::{Audited, Live, Options, Stored, audit_data_dir, audit_live, verify_bundle};
use ledger::formats::tlog::{Checkpoint, Note, Tile};
use ledger::history::{Record, merkle};
use ledger::lock::signatures::PrivateKey;
use ledger::testing::{Group, key};

use directory::Directory;
use history::history;

/// The log key of every [`Group`]'s member.
fn log_key() -> PrivateKey {
    key(0xe2)
}

fn live(group: &Group) -> Audited {
    let records = group.records().into_iter().map(|record| {
        let (index, bytes) = (Some(record.index()), record.bytes().to_vec());
        Ok(Stored { index, bytes, shown: None })
    });
    audit_live("live", Live::of(records.collect()), &Options::default(), true)
}

fn evidence(group: &Group) -> Evidence {
    live(group).evidence.unwrap()
}

/// A checkpoint of the first records, signed.
fn checkpoint(evidence: &Evidence, size: u64, signer: &PrivateKey) -> String {
    let (origin, root) = (evidence.origin(), evidence.root_at(size).unwrap());
    signed(&Checkpoint { origin, size, root }, signer)
}

fn signed(checkpoint: &Checkpoint, signer: &PrivateKey) -> String {
    let signature = checkpoint.sign(signer).unwrap();
    Note::new(checkpoint.to_string(), vec![signature]).to_string()
}

fn bundle(evidence: &Evidence, size: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    evidence.write_bundle(size, &mut bytes).unwrap();
    bytes
}

/// A bundle of a whole history with its end signed.
fn whole_bundle(group: &Group) -> Vec<u8> {
    let mut evidence = evidence(group);
    let size = evidence.size();
    let note = checkpoint(&evidence, size, &log_key());
    evidence.use_checkpoint(note.as_bytes()).unwrap();
    bundle(&evidence, size)
}

fn opened(bytes: &[u8]) -> Option<Bundle> {
    match detect_bytes(bytes, Path::new("bundle")) {
        Ok(Detected::Bundle(bundle)) => Some(bundle),
        _ => None,
    }
}

fn audit(bytes: &[u8]) -> Audited {
    verify_bundle("bundle", &opened(bytes).unwrap(), &Options::default())
}

fn ids(audited: &Audited) -> BTreeSet<&'static str> {
    audited.report.findings.iter().map(|finding| finding.check.id).collect()
}

/// Names and contents of an archive, as another program reads it.
fn files(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        assert_eq!(entry.header().mtime().unwrap(), 0);
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), content)
    });
    entries.collect()
}

#[test]
fn every_replica_writes_the_same_bytes() {
    let group = history();
    let ours = live(&group);
    assert_eq!(ours.report.exit_code, 0, "{:?}", ours.report.findings);
    let ours = ours.evidence.unwrap();
    let directory = Directory::of(&group);
    let theirs = audit_data_dir("dir", directory.path(), &Options::default(), true);
    let theirs = theirs.evidence.unwrap();
    assert_eq!(ours.size(), group.fold.next_index());
    for size in [0, 1, 5, ours.size()] {
        let bytes = bundle(&ours, size);
        assert!(bytes == bundle(&theirs, size), "{size} records");
        if size == 0 {
            continue;
        }
        let audited = audit(&bytes);
        assert_eq!(audited.report.exit_code, 0, "{:?}", audited.report.findings);
        assert!(ids(&audited).contains("head.unsigned"));
        assert!(bytes == bundle(&audited.evidence.unwrap(), size), "{size} records again");
    }
    assert!(ours.write_bundle(ours.size() + 1, Vec::new()).is_err());
    // Only the checkpoint is another where one is.
    let signed = files(&whole_bundle(&group));
    let unsigned = files(&bundle(&ours, ours.size()));
    let rest: Vec<_> = signed.into_iter().filter(|(name, _)| name != "checkpoint").collect();
    assert!(rest == unsigned);
}

#[test]
fn what_is_in_a_bundle_is_what_its_names_say() {
    let group = history();
    let bytes = whole_bundle(&group);
    let found = files(&bytes);
    let names: Vec<&String> = found.iter().map(|(name, _)| name).collect();
    assert!(names.is_sorted());
    let records = group.records();
    let mut tiles = 0;
    for (name, content) in &found {
        if let Some(index) = name.strip_prefix("record/") {
            assert_eq!(content, records[index.parse::<usize>().unwrap()].bytes());
        } else if let Some(hash) = name.strip_prefix("aums/") {
            let aum = ledger::lock::Sealed::decode(content).unwrap();
            assert_eq!(aum.hash().to_string(), hash);
        } else if name == "vkeys" {
            let origin = format!("lockstep/{}", records[0].hash());
            assert!(std::str::from_utf8(content).unwrap().starts_with(&origin));
        } else if name != "checkpoint" {
            name.parse::<Tile>().unwrap();
            tiles += 1;
        }
    }
    assert_eq!(tiles, 2, "one tile of hashes and one of entries");
    let of = |wanted: &str| found.iter().find(|(name, _)| name == wanted).unwrap().1.clone();
    let size = records.len();
    let hashes = of(&format!("tile/0/000.p/{size}"));
    for (i, hash) in hashes.chunks(32).enumerate() {
        assert_eq!(hash, merkle::leaf(&records[i].hash().0));
    }
    let entries = of(&format!("tile/entries/000.p/{size}"));
    for (i, entry) in entries.chunks(34).enumerate() {
        assert_eq!((&entry[..2], &entry[2..]), (&[0, 32][..], &records[i].hash().0[..]));
    }
}

#[test]
fn a_bundle_is_recognized_in_a_file_and_in_a_stream() {
    let group = history();
    let bytes = whole_bundle(&group);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("evidence");
    std::fs::write(&path, &bytes).unwrap();
    let Ok(Detected::Bundle(from_file)) = detect(&path) else { panic!("not recognized") };
    let from_file = verify_bundle("b", &from_file, &Options::default()).report;
    let from_bytes = audit(&bytes).report;
    assert_eq!((from_file.exit_code, from_bytes.exit_code), (0, 0));
    assert_eq!(from_file.sha256, from_bytes.sha256);
    assert!(from_file.sha256.is_some());
    let facts = from_file.ledger.unwrap();
    assert_eq!(facts.checkpoint.unwrap().signers.len(), 1);
    assert!(from_file.vouched.iter().any(|item| item.by == "checkpoint"));
}

#[test]
fn the_same_files_go_into_a_directory_for_a_web_server() {
    let group = history();
    let evidence = evidence(&group);
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("served");
    evidence.write_tiles(evidence.size(), &dir).unwrap();
    for (name, content) in files(&bundle(&evidence, evidence.size())) {
        assert_eq!(std::fs::read(dir.join(&name)).unwrap(), content, "{name}");
    }
    assert!(evidence.write_tiles(evidence.size(), &dir).is_err(), "nothing is overwritten");
}

/// More than one full tile on two levels.
#[test]
fn full_tiles_and_higher_levels() {
    let mut group = Group::new();
    for _ in 0..600 {
        let details = group.details();
        group.apply(ledger::history::Event::MemberChanged(details));
    }
    let bytes = whole_bundle(&group);
    let names: Vec<String> = files(&bytes).into_iter().map(|(name, _)| name).collect();
    for tile in
        ["tile/0/000", "tile/0/001", "tile/0/002.p/89", "tile/1/000.p/2", "tile/entries/001"]
    {
        assert!(names.iter().any(|name| name == tile), "{tile}: {names:?}");
    }
    assert!(!names.iter().any(|name| name.starts_with("tile/2/")));
    assert_eq!(audit(&bytes).report.exit_code, 0);
    let records: Vec<Record> = group.records();
    assert_eq!(names.iter().filter(|name| name.starts_with("record/")).count(), records.len());
}
