//! Questions have the answers that the ledger's own rows give.

use audit::questions::{self, At, LogFilter, NoAnswer};
use audit::report::Report;
use audit::verdict::Verdict;
use ledger::history::{AdoptionBegun, Event};
use ledger::ids::AumHash;
use ledger::lock::builder::Change;
use ledger::lock::revocation::cosign;
use ledger::lock::signatures::Signer;
use ledger::lock::{Aum, AumKind, Key, Sealed};
use ledger::testing::{Group, genesis, genesis_state, key, member_details, member_key, node_key};

use super::history::history;
use super::{ids, kept, of_export, of_group, of_story};

#[test]
fn the_timeline_has_every_record_and_can_be_narrowed() {
    let group = history();
    let report = of_group(&group, &kept());
    let all = questions::log(&report, &LogFilter::default()).unwrap();
    let records = group.records();
    let entries = all.json["entries"].as_array().unwrap();
    assert_eq!(entries.len(), records.len());
    for (entry, record) in entries.iter().zip(&records) {
        assert_eq!(entry["hash"], record.hash().to_string());
        assert_eq!(entry["kind"], record.proposal().proposal().event.kind_name());
        assert_eq!(entry["actor"]["name"], "ada");
    }
    assert!(all.text.lines().all(|line| line.chars().count() <= 80), "{}", all.text);
    let found = |filter: LogFilter| questions::log(&report, &filter).unwrap().json["found"].clone();
    let kind = Some("node-added".to_owned());
    let added =
        records.iter().filter(|r| r.proposal().proposal().event.kind_name() == "node-added");
    assert_eq!(found(LogFilter { kind, ..LogFilter::default() }), added.count());
    let stolen = found(LogFilter { key: Some(key(9).public()), ..LogFilter::default() });
    assert!(stolen.as_u64().unwrap() >= 3, "{stolen}");
    let actor = Some("nobody".to_owned());
    assert_eq!(found(LogFilter { actor, ..LogFilter::default() }), 0);
    let limited = LogFilter { limit: Some(2), ..LogFilter::default() };
    let limited = questions::log(&report, &limited).unwrap();
    assert_eq!(limited.json["entries"].as_array().unwrap().len(), 2);
    let times = records.iter().map(|record| record.proposal().proposal().time_ms);
    let last = times.max().unwrap();
    let late = LogFilter { since: Some(last), ..LogFilter::default() };
    assert_eq!(found(late), 1);
}

#[test]
fn who_was_locked_out_by_what_is_told() {
    let report = of_group(&history(), &kept());
    let told = report.chronicle.as_ref().unwrap();
    let by = |name: &str| {
        let entry = told.entries.iter().rfind(|e| e.locked_out.iter().any(|n| n == name));
        entry.map(|entry| entry.kind.clone())
    };
    // Its signer was revoked.
    assert_eq!(by("server").as_deref(), Some("aums-added"));
    assert_eq!(by("stranger").as_deref(), Some("node-added"));
    assert_eq!(by("phone"), None);
}

/// Only a checkpoint says what is trusted: another AUM may have a state as well, which nobody's
/// client reads. Reports took it for the keys.
#[test]
fn a_state_beside_a_checkpoint_says_nothing() {
    let mut group = Group::new();
    group.apply(group.initialization(7, &[2]));
    let authority = group.fold.authority().unwrap();
    let mut thiefs = genesis_state(7, &[(&key(9), 1)]);
    thiefs.disablement_values = Some(vec![Some(vec![9; 32])]);
    let mut aum = Aum::new(AumKind::NO_OP, Some(authority.head()));
    aum.state = Some(thiefs);
    group.apply(Group::added(vec![cosign(Sealed::new(aum), &key(2)).unwrap()]));
    group.apply(Group::added(group.build(&key(1), vec![Change::Remove(key(2).public().0.into())])));
    let report = of_group(&group, &kept());
    assert_eq!(report.verdict, Verdict::Holds);
    assert!(!ids(&report).iter().any(|id| id.starts_with("checkpoint.")), "{:?}", ids(&report));
    let chain = &report.chronicle.as_ref().unwrap().chains[0];
    let state = group.fold.authority().unwrap().state();
    assert_eq!(chain.state_at(chain.head).as_ref(), Some(state));
    let lives: Vec<_> = chain.lives(0).into_iter().map(|life| life.key).collect();
    assert!(!lives.contains(&key(9).public()), "{lives:?}");
    // So it is with an export, and with the nodes of a status beside it.
    let chain = group.fold.authority().unwrap().chain(&group.rows);
    let aums: Vec<Sealed> =
        chain.back_from(state.last_aum.unwrap()).map(|aum| aum.unwrap()).collect();
    let report = of_export(&aums, &kept());
    assert!(!ids(&report).iter().any(|id| id.starts_with("checkpoint.")), "{:?}", ids(&report));
    let chain = &report.chronicle.as_ref().unwrap().chains[0];
    assert_eq!(chain.state_at(chain.head).as_ref(), Some(state));
}

/// The adoption of a lock is given up, and the same lock is adopted after all.
#[test]
fn what_was_given_up_is_told_once() {
    let root = genesis(1, &[(&key(1), 1), (&key(2), 1)]);
    let on = |parent: &Sealed, make: &dyn Fn(&mut Aum)| {
        let mut aum = Aum::new(AumKind::NO_OP, Some(parent.hash()));
        make(&mut aum);
        cosign(Sealed::new(aum), &key(1)).unwrap()
    };
    let added = on(&root, &|aum| {
        aum.kind = AumKind::ADD_KEY;
        aum.key = Some(Key::ed25519(key(3).public(), 2));
    });
    // A checkpoint that is not the sum of what came before it.
    let departs = on(&added, &|aum| {
        aum.kind = AumKind::CHECKPOINT;
        aum.state = Some(genesis_state(1, &[(&key(1), 1)]));
    });
    let head = on(&departs, &|_| ());
    let mut group = Group::new();
    let begin = |head| {
        let begun = AdoptionBegun { root: root.clone(), head, aums: 4, followed: false };
        Event::AdoptionBegun(Box::new(begun))
    };
    group.apply(begin(AumHash([7; 32])));
    group.apply(Event::AumsAdopted(vec![added.clone(), departs.clone()]));
    group.apply(Event::AdoptionEnded);
    let mut other = Group::new();
    for record in &group.records()[1..] {
        other.apply(record.proposal().proposal().event.clone());
    }
    // Nothing of it is left in a ledger that begins a lock of its own.
    other.apply(other.initialization(8, &[2]));
    let report = of_group(&other, &kept());
    assert!(!ids(&report).contains("checkpoint.not-sum"), "{:?}", ids(&report));

    group.apply(begin(head.hash()));
    group.apply(Event::AumsAdopted(vec![added, departs]));
    let again = group.apply(Event::AumsAdopted(vec![head.clone()])).index() - 1;
    assert_eq!(group.fold.authority().unwrap().head(), head.hash());
    let report = of_group(&group, &kept());
    let told = report.chronicle.as_ref().unwrap();
    let chain = &told.chains[0];
    assert_eq!((told.chains.len(), chain.aums.len()), (1, 4));
    assert_eq!(chain.aums[chain.head].aum.hash(), head.hash());
    assert_eq!(chain.forks().count(), 0);
    assert_eq!(chain.state_at(chain.head).as_ref(), Some(group.fold.authority().unwrap().state()));
    let found = report.findings.iter().find(|f| f.check.id == "checkpoint.not-sum").unwrap();
    assert_eq!(found.record, Some(again));
    // What the key that is gone signed counts, in whichever part it came.
    let export = of_export(
        &told.chains[0].aums.iter().rev().map(|a| a.aum.clone()).collect::<Vec<_>>(),
        &kept(),
    );
    let lost = |report: &Report| {
        let found = report.findings.iter().find(|f| f.check.id == "key.revoked-later");
        found.map(|found| found.key)
    };
    assert_eq!(lost(&report), lost(&export));
}

/// Whoever joined has a name, though nothing of it was changed since.
#[test]
fn members_that_joined_have_names() {
    let mut group = Group::new();
    let second = group.enrol(20);
    group.speak(second, member_key(20));
    group.add_node("laptop", 11);
    let report = of_group(&group, &kept());
    let told = report.chronicle.as_ref().unwrap();
    let actor = told.entries.last().unwrap().actor.as_ref().unwrap();
    assert_eq!(actor.member, member_details(20).name);
}

#[test]
fn the_state_at_every_place_is_the_ledgers() {
    let group = history();
    let report = of_group(&group, &kept());
    let keys = |answer: &questions::Answer| -> Vec<String> {
        let keys = answer.json.get("trusted_keys").and_then(|keys| keys.as_array());
        keys.into_iter().flatten().map(|key| key["key"].as_str().unwrap().to_owned()).collect()
    };
    // The ledger, told again record by record.
    let mut again = ledger::testing::Group::unfounded();
    for record in group.records() {
        let signed = record.proposal().clone();
        let ledger::history::Verdict::Sealed(_) = again.admit_signed(signed) else {
            panic!("record {}", record.index());
        };
        let expected: Vec<String> = again.fold.authority().map_or(Vec::new(), |authority| {
            let keys = authority.state().keys().iter();
            keys.map(|key| key.lock_key().unwrap().to_tlpub()).collect()
        });
        for at in [At::Index(record.index()), At::Hash(AumHash(record.hash().0))] {
            let answer = questions::state(&report, Some(at)).unwrap();
            assert_eq!(keys(&answer), expected, "after record {}", record.index());
            let head = again.fold.authority().map(|authority| authority.head().to_string());
            let shown = answer.json.get("head").and_then(|head| head.as_str());
            assert_eq!(shown, head.as_deref(), "after record {}", record.index());
        }
    }
    let end = questions::state(&report, None).unwrap();
    assert_eq!(end.json["lock"], "on");
    assert!(matches!(questions::state(&report, Some(At::Index(1000))), Err(NoAnswer::NotThere(_))));
    assert!(matches!(questions::state(&report, Some(At::Time(0))), Err(NoAnswer::NotThere(_))));
    // A branch that was undone has a state too.
    let undone = *group.undone.first().unwrap();
    let answer = questions::state(&report, Some(At::Hash(undone))).unwrap();
    assert!(keys(&answer).contains(&key(8).public().to_tlpub()));
    let diff = questions::diff(&report, At::Hash(undone), At::Index(group.fold.next_index() - 1));
    let removed = diff.unwrap().json["removed"].to_string();
    // The revocation keeps what the stolen key had brought in, but not the stolen key.
    assert!(removed.contains(&key(9).public().to_tlpub()), "{removed}");
}

#[test]
fn keys_nodes_and_forks_are_explained() {
    let group = history();
    let report = of_group(&group, &kept());
    let stolen = questions::key(&report, key(9).public()).unwrap();
    assert_eq!(stolen.json["trusted"], false);
    assert!(stolen.json["signed"].as_array().unwrap().iter().any(|aum| aum["active"] == false));
    let own = questions::key(&report, key(1).public()).unwrap();
    assert_eq!(own.json["trusted"], true);
    assert_eq!(own.json["lives"].as_array().unwrap().len(), 2, "one in each epoch");
    assert!(questions::key(&report, key(0x70).public()).is_err());
    let thief = questions::key(&of_story(&kept()), key(9).public()).unwrap();
    assert_eq!(thief.json["lives"].as_array().unwrap().len(), 0);
    let undone = &thief.json["undone_lives"][0];
    assert_eq!((&undone["from_number"], &undone["until_number"]), (&9.into(), &14.into()));

    let laptop = questions::node(&report, "laptop").unwrap();
    assert_eq!(laptop.json["node"]["admitted"], true);
    assert_eq!(laptop.json["node"]["levels"].as_array().unwrap().len(), 2);
    assert_eq!(laptop.json["node"]["rests_on"], key(1).public().to_tlpub());
    let server = questions::node(&report, &node_key(0x24).to_string()).unwrap();
    assert_eq!(server.json["node"]["admitted"], false);
    assert!(server.text.contains("not trusted any more"), "{}", server.text);
    assert!(questions::node(&report, "nobody").is_err());
    // By the key that it had before, and with what happened under that key.
    let before = questions::node(&report, &node_key(0x21).to_string()).unwrap();
    assert_eq!(before.json["node"], laptop.json["node"]);
    assert_eq!(laptop.json["node"]["former_keys"][0], node_key(0x21).to_string());
    let kinds = laptop.json["entries"].as_array().unwrap().iter().map(|entry| &entry["kind"]);
    let kinds: Vec<_> = kinds.collect();
    assert!(kinds.contains(&&"node-added".into()) && kinds.contains(&&"node-changed".into()));

    let forks = questions::forks(&report).unwrap();
    let fork = &forks.json["forks"][0];
    assert_eq!(fork["why"], "more votes");
    assert_eq!(
        (&fork["branches"][0]["won"], &fork["branches"][0]["weight"]),
        (&true.into(), &3.into())
    );
    assert_eq!(fork["branches"][1]["won"], false);

    let undone = *group.undone.first().unwrap();
    let shown = questions::show(&report, At::Hash(undone)).unwrap();
    assert_eq!(
        (&shown.json["aum"]["active"], &shown.json["aum"]["verified"]),
        (&false.into(), &true.into())
    );
    assert!(questions::show(&report, At::Index(3)).is_ok());
    assert!(questions::show(&report, At::Hash(AumHash([9; 32]))).is_err());
}

#[test]
fn exports_have_answers_without_times() {
    let root = genesis(1, &[(&key(1), 1)]);
    let report = of_export(std::slice::from_ref(&root), &kept());
    let log = questions::log(&report, &LogFilter::default()).unwrap();
    assert_eq!(log.json["entries"][0]["aums"][0], root.hash().to_string());
    assert!(log.json["entries"][0]["time"].is_null());
    assert!(questions::state(&report, Some(At::Time(1))).is_err());
    assert_eq!(questions::state(&report, None).unwrap().json["state_id"], "1:0");
    let document = log.document("log", &report);
    assert_eq!(document["schema"], "lockstep.audit.log/1");
    assert_eq!(document["exit_code"], 0);
}

#[test]
fn places_are_read_as_people_write_them() {
    assert_eq!("17".parse(), Ok(At::Index(17)));
    assert_eq!("2023-11-14T22:13:20Z".parse(), Ok(At::Time(1_700_000_000_000)));
    assert_eq!("A".repeat(52).parse(), Ok(At::Hash(AumHash([0; 32]))));
    assert_eq!("0".repeat(64).parse(), Ok(At::Hash(AumHash([0; 32]))));
    assert!("soon".parse::<At>().is_err());
}
