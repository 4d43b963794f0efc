//! What stands beside a source or answers for it: the process that has a directory open, and the
//! rows that it shows; policies, acceptances, proofs, the status of a lock, what an auditor has kept.
//!
//! Input: what it is; then its bytes, or edits to a genuine one.
#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use audit::accept::Acceptances;
use audit::evidence::{Contradiction, Head, check_proof};
use audit::notebook::Notebook;
use audit::policy::Policy;
use audit::questions::At;
use audit::report::Report;
use audit::source::{Detected, Shown, detect_bytes, shown_by_status};
use audit::trust_anchor::Anchors;
use audit::verdict::Verdict;
use audit::{Audited, Options, audit_answers, verify_aums};
use audit_fuzz::{Answering, every_table, frame, with_log, write_files};
use ledger::formats::log_json;
use ledger::formats::tlog::{
    Checkpoint, ConsistencyProof, InclusionProof, KeyType, Note, VerifierKey, origin,
};
use ledger::history::{Record, ReplicaId, merkle, records};
use ledger::lock::Sealed;
use ledger::lock::signatures::Signer;
use ledger::rows::{Draft, Memory, Rows, tables};
use ledger::testing::{entry_of, key};
use ledger_fuzz::{Choices, histories};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: { LazyLock::force(&PLACE); }, |input: &[u8]| {
    let mut choices = Choices::new(input);
    match choices.below(7) {
        0 => rows(&mut choices),
        1 => answers(&mut choices),
        2 => demands(choices.rest()),
        3 => accepted(choices.rest()),
        4 => proof(&mut choices),
        5 => status(&mut choices),
        _ => kept(&mut choices),
    }
});

// --- what is genuine

/// A data directory of each founded history, and one auditor's notebook.
struct Place {
    root: tempfile::TempDir,
    directories: Vec<(PathBuf, Memory)>,
    /// An export that holds.
    aums: Vec<u8>,
    /// The same, but the signature of its head is another.
    forged: Vec<u8>,
}

static PLACE: LazyLock<Place> = LazyLock::new(|| {
    let made = tempfile::Builder::new().tempdir_in("/dev/shm");
    let root = made.or_else(|_| tempfile::tempdir()).expect("a directory");
    let mut directories = Vec::new();
    for history in histories().iter().filter(|history| history.fold.next_index() > 0) {
        let all: Vec<Record> =
            records::from(&history.rows, 0).expect("rows").map(|r| r.expect("a record")).collect();
        let dir = root.path().join(directories.len().to_string());
        write_files(&dir, entry_of(all.len() as u64) - 1);
        directories.push((dir, with_log(&history.rows, &all)));
        let (dir, rows) = directories.last().expect("it was put there");
        let report = audited(dir, Answering::of(rows.clone()), &Options::default()).report;
        let findings = report.to_text();
        assert!(report.exit_code < 2 && !findings.contains("the audit itself"), "{findings}");
        let single = history.fold.next_replica() == ReplicaId(2);
        assert!(!single || report.verdict == Verdict::Holds, "{}: {findings}", history.name);
    }
    let locked = histories().iter().find(|history| history.name == "changed").expect("a history");
    let authority = locked.fold.authority().expect("the lock is on");
    let chain = authority.chain(&locked.rows);
    let aums: Vec<_> = chain.back_from(authority.head()).map(|aum| aum.expect("rows")).collect();
    let mut forged = aums.clone();
    let mut head = (*forged[0]).clone();
    head.signatures[0].signature = Some(vec![7; 64]);
    forged[0] = Sealed::new(head);
    let forged = log_json::write(forged.iter()).into_bytes();
    let aums = log_json::write(aums.iter()).into_bytes();
    let place = Place { root, directories, aums, forged };
    let mut notebook = Notebook::open(&place.notebook().join("end")).expect("a notebook");
    let (dir, rows) = &place.directories[NOTED];
    let options = Options { notebook: Some(&notebook), ..Options::default() };
    let audited = audited(dir, Answering::of(rows.clone()), &options);
    let end = audited.report.end().expect("it holds");
    notebook.remember(&end, audited.kept).expect("a notebook");
    place
});

/// The directory whose end is kept: that of the history "peopled".
const NOTED: usize = 1;

impl Place {
    fn notebook(&self) -> PathBuf {
        let path = self.root.path().join("notebook");
        fs::create_dir_all(&path).expect("a directory");
        path
    }
}

// --- rows

fn audited(dir: &Path, answering: Answering, options: &Options<'_>) -> Audited {
    audit_answers("input", dir, answering.clone(), answering, options, false)
}

/// Rows that are others than a replica has written: the same verdict each time, and none that holds
/// over records that nobody has signed.
fn rows(choices: &mut Choices<'_>) {
    let (dir, genuine) = choices.one(&PLACE.directories);
    let page = [1, 2, 7, usize::MAX][choices.below(4)];
    let mut rows = genuine.clone();
    let mut changed = 0;
    while !choices.is_over() && changed < 16 {
        changed += 1;
        let table = *choices.one(every_table());
        let found = genuine.scan(table, &[][..]..&[][..]).expect("no fault");
        let keys: Vec<Vec<u8>> = found.map(|row| row.expect("no fault").0).collect();
        let how = choices.byte();
        let key = match keys.is_empty() || how & 1 == 1 {
            true => choices.piece().to_vec(),
            false => choices.one(&keys).clone(),
        };
        let mut draft = Draft::on(&rows);
        let was = rows.get(table, &key).expect("no fault");
        match (how >> 1 & 3, was) {
            (0, _) => draft.delete(table, key),
            (1, Some(mut was)) if !was.is_empty() => {
                let at = usize::from(choices.byte()) << 8 | usize::from(choices.byte());
                let at = at % was.len();
                was[at] ^= choices.byte();
                draft.put(table, key, was);
            }
            _ => draft.put(table, key, choices.piece()),
        }
        let changes = draft.finish();
        rows.apply(changes);
    }
    let audit = || {
        let answering = Answering::oddly(rows.clone(), Vec::new(), page);
        audited(dir, answering, &Options { chronicle: true, ..Options::default() }).report
    };
    let report = audit();
    same(&report, &audit());
    let of = |rows: &Memory| -> Vec<_> {
        let found = rows.scan(tables::RECORDS, &[][..]..&[][..]).expect("no fault");
        found.map(|row| row.expect("no fault")).collect()
    };
    if report.verdict == Verdict::Holds {
        assert!(of(genuine).starts_with(&of(&rows)), "{}", report.to_text());
    }
}

/// Answers that are none: the audit ends, with a report that can be read.
fn answers(choices: &mut Choices<'_>) {
    let (dir, rows) = choices.one(&PLACE.directories);
    let page = [1, 2, 7, usize::MAX][choices.below(4)];
    let mut odd = Vec::new();
    while !choices.is_over() && odd.len() < 8 {
        let at = u64::from(choices.byte());
        let bytes = match choices.below(3) {
            0 => choices.piece().to_vec(),
            _ => {
                let kind = *choices.one(b"OVNMLFGS?");
                let parts: Vec<&[u8]> = (0..choices.below(6)).map(|_| choices.piece()).collect();
                frame(kind, &parts)
            }
        };
        odd.push((at, bytes));
    }
    let answering = Answering::oddly(rows.clone(), odd, page);
    let report = audited(dir, answering, &Options::default()).report;
    let (text, _) = (report.to_text(), report.to_json());
    assert!(!text.contains('\x1b') && !text.contains('\0'), "{text:?}");
}

fn same(report: &Report, again: &Report) {
    assert_eq!(report.to_json(), again.to_json());
    assert_eq!(report.to_text(), again.to_text());
    // What falls short of a demand holds all the same.
    assert!(report.exit_code != 0 || report.verdict == Verdict::Holds);
}

// --- what an auditor gives along

fn export(options: &Options<'_>, status: Option<Shown>) -> Report {
    of_aums(&PLACE.aums, options, status)
}

fn of_aums(export: &[u8], options: &Options<'_>, status: Option<Shown>) -> Report {
    let Ok(Detected::Aums(mut aums)) = detect_bytes(export, Path::new("input")) else {
        panic!("it is an export");
    };
    aums.beside = status;
    verify_aums("input", aums, options)
}

/// Demands on an export that holds: it holds all the same, and falls short of them or not.
fn demands(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Policy::parse(text) {
        Ok(policy) => {
            assert_eq!(Policy::parse(text).expect("the same"), policy);
            let options = Options { policy: Some(policy), ..Options::default() };
            let report = export(&options, None);
            same(&report, &export(&options, None));
            assert!(matches!(report.exit_code, 0 | 4), "{}", report.to_text());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    // Words of the command line, by the way.
    if let Ok(At::Time(ms)) = text.parse() {
        let again = audit::dates::date_time(ms);
        assert_eq!(audit::dates::parse_time(&again).map(|ms| ms / 1000), Some(ms / 1000));
    }
}

/// Acceptances of findings about an export with a forged signature.
fn accepted(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Acceptances::parse(text) {
        Ok(accept) => {
            let errors = |report: &Report| {
                let serious = |f: &&audit::checks::Finding| {
                    f.check.severity == audit::checks::Severity::Error
                };
                report.findings.iter().filter(serious).count()
            };
            let options = Options { accept: Some(accept), ..Options::default() };
            let report = of_aums(&PLACE.forged, &options, None);
            same(&report, &of_aums(&PLACE.forged, &options, None));
            // What is an error stays one.
            let before = errors(&of_aums(&PLACE.forged, &Options::default(), None));
            assert!(before > 0 && errors(&report) >= before && report.exit_code == 1);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The history that proofs are of, its signed head, and proofs.
struct Log {
    rows: Memory,
    vkey: VerifierKey,
    proofs: Vec<Vec<u8>>,
}

static LOG: LazyLock<Log> = LazyLock::new(|| {
    let history = histories().iter().find(|history| history.name == "changed").expect("a history");
    let rows = history.rows.clone();
    let size = history.fold.next_index();
    let first = records::record(&rows, 0).expect("rows").expect("record 0").hash();
    let origin = origin(&first);
    let head = |size: u64, root: [u8; 32]| {
        let checkpoint = Checkpoint { origin: origin.clone(), size, root };
        let signature = checkpoint.sign(&key(0xe2)).expect("a signature");
        let note = Note::new(checkpoint.to_string(), vec![signature]);
        (checkpoint, note)
    };
    let root = |size| merkle::root_at(&rows, size).expect("rows");
    let (_, checkpoint) = head(size, root(size));
    let mut proofs = Vec::new();
    for index in [0, 1, size - 1] {
        let extra = records::record(&rows, index).expect("rows").map(|r| r.bytes().to_vec());
        let hashes = merkle::inclusion_proof(&rows, index, size).expect("rows");
        let proof = InclusionProof { extra, index, hashes, checkpoint: checkpoint.clone() };
        proofs.push(proof.to_string().into_bytes());
    }
    for old in [1, 3, size] {
        let hashes = merkle::consistency_proof(&rows, old, size).expect("rows");
        let proof =
            ConsistencyProof { old, hashes: hashes.clone(), checkpoint: checkpoint.clone() };
        proofs.push(proof.to_string().into_bytes());
        let signed = |(checkpoint, note)| Head { checkpoint, note: Some(note) };
        let heads = Contradiction {
            smaller: signed(head(old, [9; 32])),
            larger: signed(head(size, root(size))),
            proof: Some((root(old), hashes)),
        };
        proofs.push(heads.to_string().into_bytes());
    }
    let vkey = VerifierKey::new(&origin, KeyType::Ed25519, key(0xe2).public().0).expect("a key");
    Log { rows, vkey, proofs }
});

/// A proof shows what is so, and nothing by a key that nobody named.
fn proof(choices: &mut Choices<'_>) {
    let log = &*LOG;
    let bytes = match choices.below(4) {
        0 => choices.rest().to_vec(),
        _ => edited(choices.one(&log.proofs).clone(), choices),
    };
    assert!(check_proof(&bytes, &[], None, None).is_err());
    for old in [None, Some((3, merkle::root_at(&log.rows, 3).expect("rows")))] {
        match check_proof(&bytes, std::slice::from_ref(&log.vkey), old, None) {
            Ok(shown) => {
                assert_eq!(shown.origin, log.vkey.name());
                assert_eq!(shown.signers, [log.vkey.clone()]);
                if let Some((index, hash)) = shown.record {
                    let record = records::record(&log.rows, index).expect("rows");
                    assert_eq!(record.map(|record| record.hash()), Some(hash));
                }
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

/// Some bytes of it become others.
fn edited(mut bytes: Vec<u8>, choices: &mut Choices<'_>) -> Vec<u8> {
    while !choices.is_over() && !bytes.is_empty() {
        let at = usize::from(choices.byte()) << 8 | usize::from(choices.byte());
        let at = at % bytes.len();
        match choices.below(4) {
            0 => bytes[at] ^= choices.byte(),
            1 => bytes.truncate(at),
            2 => drop(bytes.splice(at..at, choices.piece().iter().copied())),
            _ => {
                let end = bytes.len().min(at + choices.below(64));
                drop(bytes.drain(at..end));
            }
        }
    }
    bytes
}

/// The status of a lock, beside an export.
fn status(choices: &mut Choices<'_>) {
    let bytes = match choices.below(2) {
        0 => choices.rest().to_vec(),
        _ => edited(STATUS.as_bytes().to_vec(), choices),
    };
    let Ok(document) = serde_json::from_slice::<serde_json::Value>(&bytes) else { return };
    match shown_by_status(document.clone()) {
        Ok(shown) => {
            assert!(shown.nodes.len() <= bytes.len() / 10);
            assert_eq!(shown_by_status(document).ok().as_ref(), Some(&shown));
            let report = export(&Options::default(), Some(shown.clone()));
            same(&report, &export(&Options::default(), Some(shown)));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// What an auditor has kept, damaged: it is not used, or the audit ends in some way.
fn kept(choices: &mut Choices<'_>) {
    let desk = PLACE.root.path().join("desk");
    let _ = fs::remove_dir_all(&desk);
    let mut files = Vec::new();
    copy(&PLACE.notebook(), &desk, &mut files);
    files.sort();
    for _ in 0..1 + choices.below(3) {
        let path = choices.one(&files);
        let length = choices.below(40);
        let mut edits = Choices::new(choices.bytes(length));
        let bytes = edited(fs::read(path).expect("a file"), &mut edits);
        fs::write(path, bytes).expect("a file");
    }
    // The history is there, or one that goes on from it, or another one.
    let (dir, rows) = &PLACE.directories[NOTED + choices.below(4)];
    let Ok(mut notebook) = Notebook::open(&desk.join("end")) else { return };
    let anchors = Anchors { remembered: notebook.end().cloned(), ..Anchors::default() };
    let options = Options { anchors, notebook: Some(&notebook), ..Options::default() };
    let audited = audited(dir, Answering::of(rows.clone()), &options);
    let (text, _) = (audited.report.to_text(), audited.report.to_json());
    assert!(!text.contains('\x1b') && !text.contains('\0'), "{text:?}");
    if let Some(end) = audited.report.end() {
        // Rows that cannot be read cannot be kept either.
        if notebook.remember(&end, audited.kept).is_ok() {
            assert_eq!(notebook.end(), Some(&end));
        }
    }
}

fn copy(from: &Path, to: &Path, files: &mut Vec<PathBuf>) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &to, files);
        } else {
            fs::copy(entry.path(), &to).expect("a file");
            files.push(to);
        }
    }
}

/// What `lock status --json` prints.
const STATUS: &str = r#"{
  "SchemaVersion": "1",
  "Enabled": true,
  "Head": "AEBAGBAFAYDQQCIKBMGA2DQPCAIREEYUCULBOGAZDINRYHI6D4QA",
  "NodeKey": "nodekey:0101010101010101010101010101010101010101010101010101010101010101",
  "NodeKeySigned": true,
  "NodeKeySignature": {"SigKind": "direct", "Signature": "AAAA", "KeyID": "tlpub:0202"},
  "VisiblePeers": [
    {
      "DNSName": "laptop.example.ts.net.",
      "NodeKey": "nodekey:0303030303030303030303030303030303030303030303030303030303030303",
      "NodeKeySignature": {
        "SigKind": "rotation", "PublicKey": "nodekey:0303", "Signature": "AQID",
        "Nested": {"SigKind": "direct", "Signature": "", "WrappingPublicKey": "tlpub:04"}
      }
    }
  ],
  "FilteredPeers": [
    {"NodeKey": "nodekey:0505050505050505050505050505050505050505050505050505050505050505"}
  ]
}"#;
