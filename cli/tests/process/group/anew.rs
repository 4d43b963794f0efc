//! Backing a group up, and beginning it anew: from a backup, and from what is left of it.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;

use serde_json::Value;

use super::harness::{Member, end_well, three};
use crate::harness::{Daemon, Place, node_key};

/// Adds nodes at every one of these until it is told to stop; the names that were acknowledged.
fn storm(places: &[&Place], stop: &AtomicBool, done: &Mutex<Vec<String>>) {
    let number = AtomicU8::new(1);
    thread::scope(|scope| {
        for place in places.iter().cycle().take(6) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let number = number.fetch_add(1, Ordering::Relaxed);
                    if number > 250 {
                        return;
                    }
                    let name = format!("storm{number}");
                    let words = format!("node add {name} --node-key {}", node_key(number));
                    if place.run(&words).code == 0 {
                        done.lock().unwrap().push(name);
                    }
                }
            });
        }
    });
}

fn wait_for(done: &Mutex<Vec<String>>, count: usize) {
    while done.lock().unwrap().len() < count {
        thread::yield_now();
    }
}

fn names(place: &Place) -> Vec<String> {
    let nodes = place.json("node list --json");
    let nodes = nodes.as_array().unwrap().iter();
    nodes.map(|node| node["name"].as_str().unwrap().to_owned()).collect()
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Whether the audit of a source holds, and warns that an incarnation began.
#[track_caller]
fn tells_of_an_incarnation(place: &Place, source: &str) {
    let report: Value =
        serde_json::from_str(&place.ok(&format!("audit verify {source} --json"))).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["id"] == "record.incarnation");
    assert_eq!(found.unwrap()["severity"], "warning", "{report:#}");
}

#[test]
fn a_backup_taken_under_load_is_restored_and_the_group_grows_again() {
    let mut old = Member::founder("alpha");
    old.place.init("");
    let (stop, done) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let (before, made) = thread::scope(|scope| {
        scope.spawn(|| storm(&[&old.place], &stop, &done));
        wait_for(&done, 20);
        let before = done.lock().unwrap().clone();
        let made = old.place.json("cluster backup b.backup --json");
        let more = done.lock().unwrap().len() + 1;
        wait_for(&done, more);
        stop.store(true, Ordering::Relaxed);
        (before, made)
    });
    let file = text(&old.place.file("b.backup"));
    let records = made["records"].as_u64().unwrap();
    let line = &old.place.records(&format!("--from {} --limit 1", records - 1))[0];
    assert_eq!(line["hash"], made["record_hash"], "{made:#}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o7777, 0o600);
    assert!(old.place.run("cluster backup b.backup").fails(1).contains("overwrites nothing"));
    let report = old.place.json(&format!("audit verify {file} --json"));
    assert_eq!(
        (&report["source"]["kind"], &report["exit_code"]),
        (&"backup".into(), &0.into()),
        "{report:#}"
    );
    let last = old.place.records(&format!("--from {} {file}", records - 2));
    assert_eq!((last.len(), &last[1]["hash"]), (2, &made["record_hash"]));
    old.kill();

    // What was changed or cut off is refused, by the audit too.
    let bytes = fs::read(&file).unwrap();
    let mut place = Place::new();
    for (name, bytes) in [
        ("cut", bytes[..bytes.len() - 10].to_vec()),
        ("short", bytes[..bytes.len() / 2].to_vec()),
        ("longer", [&bytes[..], b"x"].concat()),
        ("flipped", {
            let mut b = bytes.clone();
            let at = b.len() / 2;
            b[at] ^= 1;
            b
        }),
        ("fold", {
            let mut b = bytes.clone();
            *b.last_mut().unwrap() ^= 1;
            b
        }),
        ("cluster", {
            let mut b = bytes.clone();
            b[26] ^= 1;
            b
        }),
        ("none", b"lockstep backup 2\n".to_vec()),
    ] {
        let path = text(&place.write(name, bytes));
        let stderr = place.run(&format!("cluster restore {path} --yes")).fails(1);
        assert!(stderr.contains("the backup") || stderr.contains("record "), "{name}: {stderr}");
        assert!(!place.data().exists(), "{name}");
        assert_ne!(place.run(&format!("audit verify {path}")).code, 0, "{name}");
    }

    // What would be undone is told, and nothing happens unless somebody insists.
    let data = text(&old.place.data());
    let ran = place.run(&format!("cluster restore {file} --compare {data}"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout.contains("records that it lacks") && ran.stdout.contains("node-added"),
        "{ran:?}"
    );
    assert!(!place.data().exists(), "{ran:?}");
    let used = place.run(&format!("cluster restore {file} --yes --data-dir {data}"));
    assert!(used.fails(1).contains("is not empty"));
    let export = text(&old.place.write("one", "x"));
    assert!(place.run(&format!("cluster restore {file} --compare {export}")).code == 1);

    let begun = place.json(&format!("cluster restore {file} --yes --json --compare {data}"));
    assert_eq!(
        (&begun["incarnation"], &begun["replica_id"]),
        (&2.into(), &"2".into()),
        "{begun:#}"
    );
    assert_eq!(begun["record_index"].as_u64(), Some(records), "{begun:#}");
    assert!(!place.file("data.restoring").exists());
    let mut first = Member::new("anew");
    std::mem::swap(&mut first.place, &mut place);
    first.start();
    assert_eq!(first.id(), "2");
    let known = names(&first.place);
    assert!(before.iter().all(|name| known.contains(name)), "{known:?}");
    let mut second = Member::new("beta");
    let token = first.invites(&second);
    second.join(&token);
    let status = first.is_whole(&["2", "3"]);
    assert_eq!(status["incarnation"], 2, "{status:#}");
    second.place.ok(&format!("node add later --node-key {}", node_key(254)));
    tells_of_an_incarnation(&second.place, &text(&second.place.socket()));
    end_well(&mut [first, second]);
}

#[test]
fn what_is_left_of_a_group_goes_on_and_nothing_acknowledged_is_lost() {
    let mut all = three();
    all[0].place.init("");
    all[0].insists("cluster transfer-leader 1");
    all[0].sees("the leader", |status| status["leader"] == "1");
    let lock_key = all[0].place.own_key();
    let (stop, done) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let mut daemons: Vec<_> = all.iter_mut().map(|member| member.daemon.take().unwrap()).collect();
    thread::scope(|scope| {
        scope.spawn(|| storm(&[&all[0].place], &stop, &done));
        wait_for(&done, 20);
        // Two are lost while the third is writing, and then it stops as well.
        daemons.drain(1..).for_each(Daemon::kill);
        let refused =
            all[1].place.run(&format!("cluster recover --data-dir {}", text(&all[0].place.data())));
        assert!(refused.fails(1).contains("a daemon is running"));
        daemons.drain(..).for_each(Daemon::kill);
        stop.store(true, Ordering::Relaxed);
    });
    let acknowledged = done.into_inner().unwrap();
    let data = text(&all[0].place.data());
    let place = &all[0].place;

    // What cannot be relied on is refused.
    let third = all[2].place.data();
    let twice = place.run(&format!("cluster recover --with {data}"));
    assert!(twice.fails(1).contains("is named twice"));
    let mark = fs::read(third.join("watermark")).unwrap();
    fs::remove_file(third.join("watermark")).unwrap();
    let stderr = place.run(&format!("cluster recover --with {}", text(&third))).fails(1);
    assert!(stderr.contains("its watermark is missing"), "{stderr}");
    fs::write(third.join("watermark"), mark).unwrap();
    let plan = place.json(&format!("cluster recover --json --with {}", text(&third)));
    assert_eq!(
        (&plan["outcome"], &plan["absent_voters"]),
        (&"planned".into(), &serde_json::json!(["2"]))
    );

    let text_of = place.ok("cluster recover");
    assert!(text_of.contains("DANGER: voters that are not here: 2, 3."), "{text_of}");
    assert!(text_of.contains("re-run") || text_of.contains("--yes"), "{text_of}");
    let begun = place.json("cluster recover --yes --json");
    println!("entries that waited: {}", begun["waiting"].as_array().unwrap().len());
    assert_eq!(
        (&begun["incarnation"], &begun["replica_id"]),
        (&2.into(), &"4".into()),
        "{begun:#}"
    );
    assert!(place.file("data.before-incarnation-2").is_dir());
    assert!(!place.file("data.recovering").exists());
    assert!(place.ok("cluster recover --yes").contains("Done already"));
    // As if it had been cut short between the two renames.
    fs::rename(place.data(), place.file("data.recovering")).unwrap();
    assert!(place.ok("cluster recover --yes").contains("Done already"));

    all[0].start();
    assert_eq!(all[0].id(), "4");
    assert_eq!(all[0].place.own_key(), lock_key);
    let known = names(&all[0].place);
    let lost: Vec<_> = acknowledged.iter().filter(|name| !known.contains(name)).collect();
    assert!(lost.is_empty(), "{lost:?}");
    tells_of_an_incarnation(&all[0].place, &text(&all[0].place.socket()));

    // Whoever is left of the former incarnation does not get in; it says why and what to do, and so
    // does the other side.
    all[1].start();
    let status = all[1].sees("why it is alone", |status| {
        let warnings = status["warnings"].to_string();
        status["health"] == "no-quorum" && warnings.contains("new incarnation")
    });
    assert!(status["warnings"].to_string().contains("lockstep cluster invite"), "{status:#}");
    let log = all[1].log();
    assert!(log.contains("it goes on in a new incarnation"), "{log}");
    let log = all[0].log();
    assert!(log.contains("as a member of an earlier incarnation does"), "{log}");
    let status = all[0].is_whole(&["4"]);
    assert_eq!(status["incarnation"], 2, "{status:#}");
    all[1].kill();

    // It comes back as a new member.
    let mut fresh = Member::new("delta");
    let token = all[0].invites(&fresh);
    fresh.join(&token);
    all[0].is_whole(&["4", "5"]);
    let first = all.into_iter().next().unwrap();
    end_well(&mut [first, fresh]);
}
