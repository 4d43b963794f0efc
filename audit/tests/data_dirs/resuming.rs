//! The next audit of a history costs what is new: what is remembered has to be the beginning of
//! what is there, by little of it, and only what came since is verified.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use audit::evidence::{NotShown, check_proof};
use audit::notebook::{BadNotebook, Notebook};
use audit::report::Report;
use audit::source::Shown;
use audit::trust_anchor::Anchors;
use audit::verdict::Verdict;
use audit::{Claimed, Live, LiveLog, Options, RecordsFrom, Stored, audit_data_dir, audit_live};
use ledger::formats::tlog::{Checkpoint, KeyType, Note, Tile, VerifierKey, origin};
use ledger::history::{Event, NewNode, merkle};
use ledger::ids::{AumHash, NodeKey};
use ledger::lock::signatures::Signer;
use ledger::rows::{Rows, tables};
use ledger::testing::{Group, key};
use tempfile::TempDir;

use super::directory::{Directory, Row};
use super::history::{Told, followed, history};
use super::ids;

/// An auditor's own place.
pub(super) struct Desk(TempDir);

impl Desk {
    pub(super) fn new() -> Self {
        Desk(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("end")
    }

    /// Audits a directory, and remembers its end if it holds.
    pub(super) fn audit(&self, directory: &Directory) -> Report {
        let mut notebook = Notebook::open(&self.file()).unwrap();
        let remembered = notebook.end().cloned();
        let anchors = Anchors { remembered, ..Anchors::default() };
        let options = Options { anchors, notebook: Some(&notebook), ..Options::default() };
        let audited = audit_data_dir("dir", directory.path(), &options, false);
        if let Some(end) = audited.report.end() {
            notebook.remember(&end, audited.kept).unwrap();
        }
        audited.report
    }

    fn contradictions(&self) -> Vec<PathBuf> {
        let paths = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().path());
        paths.filter(|path| path.to_str().unwrap().contains("contradiction")).collect()
    }
}

pub(super) fn resumed(report: &Report) -> Option<u64> {
    report.ledger.as_ref().unwrap().resumed
}

/// Two reports say the same of the history as it is now.
fn same(one: &Report, other: &Report) {
    let fingerprints = |report: &Report| {
        let mut all: Vec<_> = report
            .findings
            .iter()
            .map(|finding| (finding.check.id, finding.fingerprint(), finding.message.clone()))
            .collect();
        all.sort();
        all
    };
    assert_eq!(fingerprints(one), fingerprints(other));
    let facts = |report: &Report| {
        let facts = report.ledger.clone().unwrap();
        audit::report::LedgerFacts { resumed: None, ..facts }
    };
    assert_eq!(facts(one), facts(other));
    assert_eq!(
        (one.verdict, one.aums, one.verified, one.epochs, one.head, one.oldest),
        (other.verdict, other.aums, other.verified, other.epochs, other.head, other.oldest)
    );
    assert_eq!(one.trusted_keys, other.trusted_keys);
}

/// More of the same history: a node, a removed key, the end of the epoch and another one.
fn go_on(group: &mut Told, step: u8) {
    match step {
        0 => drop(group.add_node("camera", 0x61)),
        1 => {
            let removal = group.removal(key(2).public());
            group.apply(removal);
        }
        2 => {
            let disablement = group.disablement();
            group.apply(disablement);
        }
        _ => {
            let event = group.initialization(9, &[4, 5]);
            group.apply(event);
        }
    }
}

#[test]
fn going_on_says_what_a_whole_audit_says() {
    let mut group = history();
    let desk = Desk::new();
    assert_eq!(resumed(&desk.audit(&Directory::of(&group))), None);
    for step in 0..4 {
        let before = group.fold.next_index();
        go_on(&mut group, step);
        let directory = Directory::of(&group);
        let report = desk.audit(&directory);
        assert_eq!(resumed(&report), Some(before), "{:?}", report.findings);
        assert_eq!((report.verdict, report.exit_code), (Verdict::Holds, 0));
        let unchecked: Vec<_> = report.unchecked.iter().map(|item| item.id).collect();
        assert!(unchecked.contains(&"before-resume"), "{unchecked:?}");
        assert!(report.to_text().contains("were verified then"), "{}", report.to_text());
        same(&report, &Desk::new().audit(&directory));
        // Once more, with nothing new.
        let again = desk.audit(&directory);
        assert_eq!(resumed(&again), Some(group.fold.next_index()));
        same(&again, &report);
        let crashed = directory.as_left_by_a_crash(&group);
        same(&desk.audit(&crashed), &report);
    }
    // One state is kept, no more.
    let states = fs::read_dir(desk.0.path().join("end.state")).unwrap();
    let names = states.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: Vec<_> = names.filter(|name| name != "lock").collect();
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(names[0].starts_with(&format!("{}-", group.fold.next_index())));
}

/// The last time may have been in the middle of it: what was adopted by then was no lock yet.
#[test]
fn an_adoption_is_counted_once_whenever_it_was_looked_at() {
    let mut group = history();
    let disablement = group.disablement();
    group.apply(disablement);
    let [begun, adopted, older, head, ended] = followed();
    // Given up before it had all AUMs, and begun again.
    let events =
        [begun.clone(), ended.clone(), begun.clone(), adopted.clone(), older, head, ended.clone()];
    let more = [begun, ended];
    let desks: Vec<Desk> = events.iter().map(|_| Desk::new()).collect();
    for (step, event) in events.into_iter().chain(more).enumerate() {
        group.apply(event);
        let directory = Directory::of(&group);
        let whole = Desk::new().audit(&directory);
        // One looks each time; another one has not looked since then.
        for (since, desk) in desks.iter().enumerate() {
            if since == 0 || since == step || step > 6 {
                same(&desk.audit(&directory), &whole);
            }
        }
    }
}

#[test]
fn what_is_new_is_verified_and_what_was_is_not_looked_at() {
    let mut group = history();
    let desk = Desk::new();
    desk.audit(&Directory::of(&group));
    let before = group.fold.next_index();
    go_on(&mut group, 0);
    go_on(&mut group, 1);
    let whole = Directory::of(&group);
    let records = group.records();
    let record = |index: u64| -> Row {
        let mut bytes = records[index as usize].bytes().to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        (tables::RECORDS, index.to_be_bytes().to_vec(), Some(bytes))
    };
    // A desk that is not changed by what is looked at: it must not hold.
    let changed = whole.copied();
    changed.write(&[record(before)]);
    let report = desk.audit(&changed);
    assert_eq!((report.exit_code, resumed(&report)), (1, Some(before)));
    let changed = whole.copied();
    changed.write(&[record(3)]);
    assert_eq!(Desk::new().audit(&changed).exit_code, 1);
    // A derived row that the new records touch, and one that they do not.
    let row = |table| -> Row {
        let rows = group.rows.scan(table, &[][..]..&[][..]).unwrap().last().unwrap();
        let (key, mut value) = rows.unwrap();
        value.push(0);
        (table, key, Some(value))
    };
    let changed = whole.copied();
    changed.write(&[row(tables::AUM_NODES), row(tables::ROSTER), row(tables::REQUESTS)]);
    let report = desk.audit(&changed);
    assert_eq!(report.exit_code, 1);
    assert!(ids(&report).contains("cache.differs"), "{:?}", report.findings);
    // Nothing of that was remembered.
    let report = desk.audit(&whole);
    assert_eq!((report.exit_code, resumed(&report)), (0, Some(before)));
    // A prefix that was damaged since is passed over, as the report says.
    let changed = whole.copied();
    changed.write(&[record(3)]);
    let report = desk.audit(&changed);
    assert_eq!((report.exit_code, resumed(&report)), (0, Some(group.fold.next_index())));
    assert!(report.unchecked.iter().any(|item| item.id == "before-resume"));
}

/// The head of a group's history, signed by its member's log key.
fn head(group: &Group, size: u64) -> String {
    let origin = origin(&group.records()[0].hash());
    let root = merkle::root_at(&group.rows, size).unwrap();
    let checkpoint = Checkpoint { origin, size, root };
    let signature = checkpoint.sign(&key(0xe2)).unwrap();
    Note::new(checkpoint.to_string(), vec![signature]).to_string()
}

fn vkey(group: &Group) -> VerifierKey {
    let origin = origin(&group.records()[0].hash());
    VerifierKey::new(&origin, KeyType::Ed25519, key(0xe2).public().0).unwrap()
}

#[test]
fn heads_that_contradict_each_other_are_kept_for_everybody() {
    // The same beginning, and two ends.
    let mut ours = history();
    let common = ours.fold.next_index();
    go_on(&mut ours, 0);
    go_on(&mut ours, 1);
    let elsewhere = || {
        let mut theirs = history();
        go_on(&mut theirs, 1);
        theirs
    };
    for signed in [false, true] {
        for longer in [false, true] {
            let desk = Desk::new();
            let directory = Directory::of(&ours);
            if signed {
                let note = head(&ours, common + 1);
                fs::write(directory.path().join("checkpoint"), note).unwrap();
            }
            assert_eq!(desk.audit(&directory).exit_code, 0);
            let remembered = fs::read(desk.file()).unwrap();
            let mut theirs = elsewhere();
            if longer {
                for byte in 0x70..0x75 {
                    theirs.add_node(&format!("node{byte}"), byte);
                }
            }
            let other = Directory::of_group(&theirs);
            if signed {
                let note = head(&theirs, theirs.fold.next_index());
                fs::write(other.path().join("checkpoint"), note).unwrap();
            }
            let report = desk.audit(&other);
            assert_eq!((report.exit_code, report.verdict), (5, Verdict::Broken), "{report:#?}");
            let files = desk.contradictions();
            let [file] = files.as_slice() else { panic!("{files:?}") };
            let finding = report.findings.iter().find(|f| f.check.id == "head.root").unwrap();
            assert_eq!(finding.file.as_deref(), file.to_str());
            assert!(finding.message.contains(file.to_str().unwrap()));
            // What was remembered is remembered still.
            assert_eq!(fs::read(desk.file()).unwrap(), remembered);
            assert_eq!(desk.audit(&other).exit_code, 5);
            assert_eq!(desk.contradictions().len(), 1);
            // Anybody who knows the log's key can check it.
            let evidence = fs::read(file).unwrap();
            let shown = check_proof(&evidence, &[vkey(&ours)], None, None);
            match (signed, shown) {
                (true, Ok(shown)) => assert!(shown.contradicts && shown.signers.len() == 1),
                (false, Err(NotShown::Undecided(_))) => {}
                (_, shown) => panic!("{signed} {longer}: {shown:?}"),
            }
            let stranger =
                VerifierKey::new(vkey(&ours).name(), KeyType::Ed25519, key(7).public().0);
            let shown = check_proof(&evidence, &[stranger.unwrap()], None, None);
            assert!(matches!(shown, Err(NotShown::Undecided(_))), "{shown:?}");
            for at in (0..evidence.len()).step_by(7) {
                let mut altered = evidence.clone();
                altered[at] ^= 1;
                let shown = check_proof(&altered, &[vkey(&ours)], None, None);
                assert!(!signed || shown.is_err() || at_blank(&evidence, at), "{at}");
            }
        }
    }
}

/// A watch sees a log that goes on another way at each of its passes, and each time a longer one.
#[test]
fn so_many_contradictions_are_kept_and_no_more() {
    let mut ours = history();
    go_on(&mut ours, 0);
    go_on(&mut ours, 1);
    let desk = Desk::new();
    assert_eq!(desk.audit(&Directory::of(&ours)).exit_code, 0);
    let mut theirs = history();
    go_on(&mut theirs, 1);
    let kept = |number: usize| desk.0.path().join(format!("end.contradiction-{number:016x}.json"));
    (0..63).for_each(|number| fs::write(kept(number), "{}").unwrap());
    let report = desk.audit(&Directory::of_group(&theirs));
    assert_eq!((report.exit_code, desk.contradictions().len()), (5, 64), "{report:#?}");
    theirs.add_node("another", 0x70);
    let report = desk.audit(&Directory::of_group(&theirs));
    assert_eq!((report.exit_code, desk.contradictions().len()), (5, 64), "{report:#?}");
    let finding = report.findings.iter().find(|f| f.check.id == "head.root").unwrap();
    assert!(finding.file.is_none() && finding.message.contains("enough"), "{finding:#?}");
}

/// Whether only white space of the file was altered, or a letter of a name that is not read.
fn at_blank(text: &[u8], at: usize) -> bool {
    text[at].is_ascii_whitespace()
}

#[test]
fn what_ends_sooner_or_is_another_ledger_is_told() {
    let mut group = history();
    let early = Directory::of(&group);
    go_on(&mut group, 0);
    let desk = Desk::new();
    desk.audit(&Directory::of(&group));
    let report = desk.audit(&early);
    assert_eq!((report.exit_code, report.verdict), (3, Verdict::Undecidable));
    assert!(ids(&report).contains("head.stale"));
    let mut other = Group::unfounded();
    let mut founding = other.founding();
    if let Event::GroupCreated(founder) = &mut founding {
        founder.details.name = "other".into();
    }
    other.apply(founding);
    let report = desk.audit(&Directory::of_group(&other));
    assert_eq!(report.exit_code, 5, "{report:#?}");
    assert_eq!(desk.contradictions(), [] as [PathBuf; 0]);
}

#[test]
fn notes_that_do_not_fit_are_not_used() {
    let mut group = history();
    let desk = Desk::new();
    desk.audit(&Directory::of(&group));
    let first = desk.0.path().join("first");
    super::directory::copy(&desk.0.path().join("end.state"), &first);
    let first_end = fs::read(desk.file()).unwrap();
    go_on(&mut group, 0);
    let directory = Directory::of(&group);
    let state = |desk: &Desk| {
        let entries = fs::read_dir(desk.0.path().join("end.state")).unwrap();
        let mut paths = entries.map(|entry| entry.unwrap().path());
        paths.find(|path| path.is_dir()).unwrap()
    };
    let restore = |desk: &Desk| {
        fs::remove_dir_all(desk.0.path().join("end.state")).unwrap();
        super::directory::copy(&first, &desk.0.path().join("end.state"));
        fs::write(desk.file(), &first_end).unwrap();
    };
    restore(&desk);
    assert!(resumed(&desk.audit(&directory)).is_some());
    let spoilers: [&dyn Fn(&Path); 7] = [
        &|state| fs::remove_dir_all(state).unwrap(),
        &|state| fs::remove_file(state.join("notes.json")).unwrap(),
        &|state| fs::write(state.join("notes.json"), "{}").unwrap(),
        &|state| {
            let notes = fs::read_to_string(state.join("notes.json")).unwrap();
            let fold = notes.split("\"fold\":\"").nth(1).unwrap()[..8].to_owned();
            fs::write(state.join("notes.json"), notes.replace(&fold, "00000000")).unwrap();
        },
        // There are such bytes at which RocksDB goes round in a circle.
        &|state| {
            let entries = fs::read_dir(state.join("rows")).unwrap();
            let mut paths = entries.map(|entry| entry.unwrap().path());
            let list = paths.find(|path| path.to_str().unwrap().contains("MANIFEST")).unwrap();
            let mut bytes = fs::read(&list).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(list, bytes).unwrap();
        },
        &|state| fs::remove_file(state.join("rows/CURRENT")).unwrap(),
        // Left by an audit that was cut short: nothing of it is used.
        &|state| fs::rename(state, state.with_file_name("work")).unwrap(),
    ];
    for (which, spoil) in spoilers.iter().enumerate() {
        restore(&desk);
        spoil(&state(&desk));
        let report = desk.audit(&directory);
        assert_eq!((report.exit_code, resumed(&report)), (0, None), "{which}");
        assert!(resumed(&desk.audit(&directory)).is_some(), "{which}");
    }
    // Rows of another end under the name of this one.
    let now = state(&desk);
    restore(&desk);
    let old = state(&desk);
    let desk_rows = now.file_name().unwrap().to_owned();
    let audited = desk.audit(&directory);
    assert!(resumed(&audited).is_some());
    let new = state(&desk).with_file_name(desk_rows);
    fs::remove_dir_all(new.join("rows")).unwrap();
    let old_rows = first.join(old.file_name().unwrap()).join("rows");
    super::directory::copy(&old_rows, &new.join("rows"));
    let report = desk.audit(&directory);
    assert_eq!((report.exit_code, resumed(&report)), (0, None));
    // Two at once.
    let held = Notebook::open(&desk.file()).unwrap();
    assert!(matches!(Notebook::open(&desk.file()), Err(BadNotebook::Busy(_))));
    drop(held);
    fs::write(desk.file(), "nonsense").unwrap();
    assert!(matches!(Notebook::open(&desk.file()), Err(BadNotebook::End { .. })));
}

/// A daemon, and what it was asked for.
struct Served<'a> {
    group: &'a Group,
    records: Arc<AtomicUsize>,
    tiles: Rc<RefCell<Vec<Tile>>>,
}

impl<'a> Served<'a> {
    fn new(group: &'a Group) -> Self {
        Served { group, records: Arc::default(), tiles: Rc::default() }
    }

    fn live(&self) -> Live<'_> {
        let (records, tiles) = (self.records.clone(), self.tiles.clone());
        let all = self.group.records();
        let last = all.last().unwrap();
        let (index, hash) = (last.index(), last.hash());
        let claimed = Claimed { index, hash, fold_hash: self.group.fold.fold_hash() };
        let records = Box::new(move |first: u64| -> RecordsFrom<'_> {
            let fetched = records.clone();
            Box::new(all.clone().into_iter().skip(first as usize).map(move |record| {
                fetched.fetch_add(1, Ordering::Relaxed);
                let (index, bytes) = (Some(record.index()), record.bytes().to_vec());
                Ok(Stored { index, bytes, shown: None })
            }))
        });
        let log = LiveLog {
            head: Box::new(|size| Ok(head(self.group, size).into_bytes())),
            tile: Box::new(move |tile| {
                tiles.borrow_mut().push(*tile);
                tile.hashes(&self.group.rows)
            }),
        };
        Live { records, claimed: Some(claimed), shown: None, log: Some(log) }
    }

    fn audit(&self, desk: &Desk) -> Report {
        let mut notebook = Notebook::open(&desk.file()).unwrap();
        let anchors = Anchors { remembered: notebook.end().cloned(), ..Anchors::default() };
        let options = Options { anchors, notebook: Some(&notebook), ..Options::default() };
        let audited = audit_live("live", self.live(), &options, false);
        if let Some(end) = audited.report.end() {
            notebook.remember(&end, audited.kept).unwrap();
        }
        audited.report
    }
}

#[test]
fn a_daemon_is_asked_for_little() {
    let mut group = history();
    for at in 0..600u16 {
        let name = format!("node{at}");
        let mut key = [0x80; 32];
        key[..2].copy_from_slice(&at.to_be_bytes());
        group.apply(Event::NodeAdded(NewNode {
            name,
            node_key: NodeKey(key),
            lock_key: None,
            own: false,
            signature: None,
            auth_key: None,
        }));
    }
    let desk = Desk::new();
    let before = group.fold.next_index();
    let report = Served::new(&group).audit(&desk);
    assert_eq!((report.exit_code, resumed(&report)), (0, None), "{:?}", report.findings);
    go_on(&mut group, 0);
    let served = Served::new(&group);
    let report = served.audit(&desk);
    assert_eq!((report.exit_code, resumed(&report)), (0, Some(before)), "{:?}", report.findings);
    assert!(served.tiles.borrow().len() <= 5, "{:?}", served.tiles.borrow());
    // Record 0, the last one that is remembered, and the new one.
    assert_eq!(served.records.load(Ordering::Relaxed), 3);
    same(&report, &Served::new(&group).audit(&Desk::new()));
    // A daemon that records nothing new is compared all the same: its hashes, and its status.
    let quiet = |change: &dyn Fn(&mut Live<'_>)| {
        let notebook = Notebook::open(&desk.file()).unwrap();
        let served = Served::new(&group);
        let mut live = served.live();
        change(&mut live);
        let anchors = Anchors { remembered: notebook.end().cloned(), ..Anchors::default() };
        let options = Options { anchors, notebook: Some(&notebook), ..Options::default() };
        let report = audit_live("live", live, &options, false).report;
        assert_eq!(resumed(&report), Some(group.fold.next_index()));
        let differs = report.findings.iter().filter(|found| found.check.id == "cache.differs");
        (report.exit_code, differs.count())
    };
    assert_eq!(quiet(&|_| ()), (0, 0));
    assert_eq!(
        quiet(&|live| {
            if let Some(claimed) = &mut live.claimed {
                claimed.fold_hash.0[3] ^= 1;
            }
        }),
        (1, 1)
    );
    let head = group.fold.authority().unwrap().head();
    let shown = |head| Shown { head: Some(head), trusted_keys: Vec::new(), nodes: Vec::new() };
    let keys = group.fold.authority().unwrap().state().keys().iter();
    let keys: Vec<_> = keys.map(|key| (key.lock_key().unwrap(), key.votes)).collect();
    let truly = Shown { trusted_keys: keys, ..shown(head) };
    assert_eq!(quiet(&|live| live.shown = Some(truly.clone())), (0, 0));
    let lies = quiet(&|live| live.shown = Some(shown(AumHash([7; 32]))));
    assert!(lies.0 == 1 && lies.1 > 0, "{lies:?}");

    // One that goes on from somewhere else, and has signed that.
    let mut other = history();
    for byte in 0x70..0x75 {
        other.add_node(&format!("fork{byte}"), byte);
    }
    let report = Served::new(&other).audit(&desk);
    assert_eq!(report.exit_code, 5);
    let file = desk.contradictions().pop().unwrap();
    let shown = check_proof(&fs::read(file).unwrap(), &[vkey(&group)], None, None).unwrap();
    assert!(shown.contradicts);
}
