//! A whole audit of bytes from anybody, in every form that a source can have: it ends with the same
//! verdict each time, what it says holds does hold, and the source is as it was.
//!
//! Input: the form; then the bytes, or files or records behind their lengths.
#![no_main]

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use audit::questions::{self, At, LogFilter};
use audit::report::Report;
use audit::source::{Aums, Detected, detect, detect_bytes, tailscaled};
use audit::verdict::Verdict;
use audit::{
    History, Live, Options, Stored, verified_history, verify_aums, verify_backup, verify_bundle,
    verify_data_dir, verify_live,
};
use ledger::formats::chonk_file::{FileRecord, path as file_of};
use ledger::history::records;
use ledger::ids::AumHash;
use ledger::lock::Sealed;
use ledger::lock::client::Client;
use ledger::lock::forks;
use ledger::lock::signatures::OneCore;
use ledger::rows::{Draft, Memory};
use ledger_fuzz::{Choices, histories};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static DIRECTORY: OnceCell<tempfile::TempDir> = const { OnceCell::new() };
}

fn directory() -> PathBuf {
    DIRECTORY.with(|cell| {
        let made = || {
            let made = tempfile::Builder::new().tempdir_in("/dev/shm");
            made.or_else(|_| tempfile::tempdir()).expect("a directory")
        };
        cell.get_or_init(made).path().to_owned()
    })
}

fuzz_target!(init: { histories(); }, |input: &[u8]| {
    let mut choices = Choices::new(input);
    match choices.below(5) {
        0 => bytes(choices.rest()),
        1 => state_directory(&mut choices),
        2 => log(&mut choices),
        3 => live(&mut choices),
        _ => data_directory(&mut choices),
    }
});

/// A file: an export, AUMs one after the other, or nothing of the kind.
fn bytes(bytes: &[u8]) {
    let read = || match detect_bytes(bytes, Path::new("input")) {
        Ok(Detected::Aums(aums)) => Some(aums),
        Ok(Detected::Bundle(bundle)) => {
            let audit = || verify_bundle("input", &bundle, &kept()).report;
            let report = audit();
            same(&report, &audit());
            told(&report);
            None
        }
        Ok(Detected::Backup(backup)) => {
            told(&verify_backup("input", &backup, &kept(), true).report);
            None
        }
        Ok(other) => panic!("bytes are no {other:?}"),
        Err(error) => {
            assert!(error.to_string().len() < 1000);
            None
        }
    };
    if let (Some(first), Some(second)) = (read(), read()) {
        assert!(first.found.len() <= bytes.len());
        audited(first, second);
    }
}

/// A tailscaled's state directory: files named after their AUMs, or by the input.
fn state_directory(choices: &mut Choices<'_>) {
    let root = directory().join("state");
    let _ = fs::remove_dir_all(&root);
    let profile = match choices.below(3) {
        0 => root.clone(),
        1 => root.join("tka-profiles/a1b2"),
        _ => root.join("a1b2"),
    };
    fs::create_dir_all(&profile).expect("a directory");
    let mut files: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    let hint = choices.below(4);
    if hint == 1 {
        files.insert(profile.join("last_active_ancestor"), choices.bytes(32).to_vec());
    }
    while !choices.is_over() && files.len() < 12 {
        let how = choices.byte();
        let bytes = choices.piece().to_vec();
        let aum = FileRecord::decode(&bytes).ok().and_then(|record| record.aum);
        let name = match aum {
            Some(aum) if how & 7 != 0 => {
                if hint == 2 {
                    let name = profile.join("last_active_ancestor");
                    files.entry(name).or_insert(aum.hash().0.to_vec());
                }
                file_of(&aum.hash())
            }
            _ => format!("AA/{}", "A".repeat(51) + ["A", "Q", "B", "a"][usize::from(how % 4)]),
        };
        files.insert(profile.join(name), bytes);
    }
    for (path, bytes) in &files {
        fs::create_dir_all(path.parent().expect("it is below the root")).expect("a directory");
        fs::write(path, bytes).expect("a file");
    }
    let read = || match detect(&root) {
        Ok(Detected::Aums(aums)) => Some(aums),
        Ok(other) => panic!("it is no {other:?}"),
        Err(_) => None,
    };
    if let (Some(first), Some(second)) = (read(), read()) {
        assert!(first.found.len() <= files.len());
        audited(first, second);
    }
    for (path, bytes) in &files {
        assert_eq!(&fs::read(path).expect("a file"), bytes);
    }
}

/// What a tailscaled shows of its log, newest first.
fn log(choices: &mut Choices<'_>) {
    let mut log: Vec<(AumHash, Vec<u8>)> = Vec::new();
    while !choices.is_over() && log.len() < 40 {
        let how = choices.byte();
        let bytes = choices.piece().to_vec();
        let hash = match Sealed::decode(&bytes) {
            Ok(aum) if how & 7 != 0 => aum.hash(),
            _ => AumHash([how; 32]),
        };
        log.push((hash, bytes));
    }
    audited(tailscaled(log.clone(), None), tailscaled(log, None));
}

/// Audits the same twice.
fn audited(first: Aums, second: Aums) {
    let found = first.found.len() as u64;
    let (report, history) = verified_history("input", first, &Options::default());
    let again = verify_aums("input", second, &kept());
    same(&report, &again);
    told(&again);
    assert!(report.verified <= report.aums && report.aums <= found);
    if let Some(history) = history {
        assert_eq!(report.verdict, Verdict::Holds);
        assert_eq!(report.head, Some(history.head));
        holds(&history);
    }
}

fn kept() -> Options<'static> {
    Options { chronicle: true, ..Options::default() }
}

/// Every question has an answer or none, and every report a form, whatever is in them.
fn told(report: &Report) {
    let html = report.to_html();
    assert!(!html.contains('\x1b') && !html.contains("<script"));
    let _ = report.to_sarif();
    let _ = questions::log(report, &LogFilter::default());
    let _ = questions::forks(report);
    let _ = questions::state(report, None);
    let _ = questions::diff(report, At::Index(0), At::Index(1));
    for chain in report.chronicle.iter().flat_map(|told| &told.chains) {
        for aum in &chain.aums {
            let at = At::Hash(aum.aum.hash());
            let _ = questions::show(report, at);
            let _ = questions::state(report, Some(at));
        }
        for life in chain.lives(0) {
            let _ = questions::key(report, life.key);
        }
    }
}

fn same(report: &Report, again: &Report) {
    assert_eq!(report.to_json(), again.to_json());
    assert_eq!(report.to_text(), again.to_text());
    assert_eq!(report.exit_code == 0, report.verdict == Verdict::Holds);
    let text = report.to_text();
    assert!(!text.contains('\x1b') && !text.contains('\0'), "{text:?}");
}

/// Who has nothing but these AUMs comes to the same head: by the rules of a foreign store, and, if
/// it begins at a genesis, as a client that verifies everything.
fn holds(history: &History) {
    let store: BTreeMap<AumHash, Sealed> =
        history.aums.iter().map(|aum| (aum.hash(), aum.clone())).collect();
    assert_eq!(store.len(), history.aums.len());
    let opened = forks::open(&store, None).expect("it holds");
    assert_eq!(opened.head(), history.head);
    assert_eq!(opened.state, history.state);
    assert_eq!(opened.active.len() as u64, history.active);
    let Some((root, rest)) = history.aums.split_first() else { panic!("it has a root") };
    if root.parent.is_some() {
        return;
    }
    let rows = Memory::new();
    let mut draft = Draft::on(&rows);
    let mut client = Client::open(&rows).expect("no rows");
    client.bootstrap(&mut draft, root).expect("it holds");
    if !rest.is_empty() {
        client.inform(&mut draft, rest.to_vec(), &OneCore).expect("it holds");
    }
    assert_eq!(client.head(), Some(history.head));
}

/// The records of a history, some of them changed.
fn changed(choices: &mut Choices<'_>) -> Vec<Stored> {
    let history = choices.one(histories());
    let mut stored: Vec<Stored> = Vec::new();
    for (index, record) in (0..).zip(records::from(&history.rows, 0).expect("rows")) {
        let record = record.expect("a record");
        let shown = Some(record.hash());
        stored.push(Stored { index: Some(index), bytes: record.bytes().to_vec(), shown });
    }
    while !choices.is_over() {
        let at = usize::from(choices.byte());
        match (choices.below(6), stored.get_mut(at)) {
            (0, Some(record)) if !record.bytes.is_empty() => {
                let place = usize::from(choices.byte()) << 8 | usize::from(choices.byte());
                let length = record.bytes.len();
                record.bytes[place % length] ^= choices.byte();
            }
            (1, Some(_)) => drop(stored.remove(at)),
            (2, Some(record)) => record.index = Some(choices.byte().into()),
            (3, Some(record)) => record.shown = None,
            (4, Some(_)) => {
                let to = choices.below(stored.len());
                stored.swap(at, to);
            }
            _ => {
                let bytes = choices.piece().to_vec();
                stored.push(Stored { index: Some(stored.len() as u64), bytes, shown: None });
            }
        }
    }
    stored
}

/// What a running daemon serves.
fn live(choices: &mut Choices<'_>) {
    let stored = changed(choices);
    let audit =
        || verify_live("input", Live::of(stored.clone().into_iter().map(Ok).collect()), &kept());
    let report = audit();
    same(&report, &audit());
    told(&report);
    if report.verdict == Verdict::Holds {
        // Then it is a beginning of one of the histories, since nobody else can sign.
        let whole = |history: &ledger_fuzz::History| {
            let all = records::from(&history.rows, 0).expect("rows");
            let all: Vec<Vec<u8>> = all.map(|r| r.expect("a record").bytes().to_vec()).collect();
            stored.len() <= all.len() && stored.iter().zip(&all).all(|(s, all)| s.bytes == *all)
        };
        assert!(stored.is_empty() || histories().iter().any(whole));
    }
}

/// A directory that looks like a replica's and whose files are anything.
fn data_directory(choices: &mut Choices<'_>) {
    let root = directory().join("data");
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(root.join("db")).expect("a directory");
    let names = [
        "db/CURRENT",
        "db/MANIFEST-000001",
        "db/000004.log",
        "db/000008.sst",
        "db/OPTIONS-000007",
        "db/IDENTITY",
        "identity",
        "watermark",
        "local-disable",
    ];
    let mut files: BTreeMap<&str, &[u8]> = BTreeMap::new();
    files.insert("db/CURRENT", b"MANIFEST-000001\n");
    while !choices.is_over() {
        let name = *choices.one(&names);
        files.insert(name, choices.piece());
    }
    for (name, bytes) in &files {
        fs::write(root.join(name), bytes).expect("a file");
    }
    let report = verify_data_dir("input", &root, &Options::default());
    assert_ne!(report.verdict, Verdict::Holds);
    let _ = (report.to_json(), report.to_text());
    for (name, bytes) in &files {
        assert_eq!(&fs::read(root.join(name)).expect("a file"), bytes);
    }
}
