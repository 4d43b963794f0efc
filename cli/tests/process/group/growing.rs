//! From one member to three, and every command on every one of them.

use std::thread;

use serde_json::json;

use super::harness::{Member, end_well, roles, shown, three};
use crate::harness::{Daemon, node_key};

#[test]
fn a_group_grows_by_invitations_from_one_to_three() {
    let first = Member::founder("alpha");
    let (code, alone) = first.status();
    assert_eq!((code, &alone["health"]), (0, &json!("healthy")), "{alone:#}");
    assert_eq!(alone["failures_tolerated"], 0);

    // The token stands alone on stdout; what to do with it on stderr.
    let ran = first.place.run("cluster invite");
    assert_eq!(ran.code, 0, "{ran:?}");
    let token = ran.stdout.trim_end();
    assert!(token.starts_with("lockstep-invite-") && !token.contains('\n'), "{ran:?}");
    assert!(ran.stderr.contains("lockstep serve --join file:"), "{ran:?}");
    assert!(!ran.stderr.contains(token), "{ran:?}");
    assert_eq!(first.status().1["invitations_open"], 1);

    // By a file, and then by its fingerprint.
    let mut second = Member::new("beta");
    let fingerprint = second.fingerprint();
    assert_eq!(second.fingerprint(), fingerprint, "it is made once");
    let serve = second.joining(token);
    second.daemon = Some(thread::scope(|scope| {
        let joining = scope.spawn(|| Daemon::start(&second.place, serve));
        let waits = first.sees("somebody who waits", |s| !roles(s, "pending").is_empty());
        let pending = shown(&waits, "2");
        assert_eq!(pending["fingerprint"], fingerprint, "{waits:#}");
        assert_eq!((&pending["name"], &pending["reachable"]), (&json!("beta"), &json!(false)));
        let text = first.place.ok("cluster status");
        assert!(text.contains(&fingerprint) && text.contains("waits for approval"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        // Somebody else's is not there to be approved.
        let other = first.place.run(&format!("cluster approve {}", "A".repeat(52)));
        assert!(other.fails(1).contains("waits for approval"));
        let text = first.place.ok(&format!("cluster approve {fingerprint}"));
        assert!(text.starts_with("Replica 2 (beta) "), "{text}");
        joining.join().unwrap()
    }));
    assert!(second.log().contains(&format!("lockstep cluster approve {fingerprint}")));
    assert!(!second.log().contains(token), "{}", second.log());
    first.is_whole(&["1", "2"]);

    // By stdin, for its own key: nobody has to approve it. Any member invites.
    let mut third = Member::new("gamma");
    let third_print = third.fingerprint();
    let invited = second.place.json(&format!("cluster invite --for {third_print} --json"));
    assert_eq!(invited["outcome"], "applied");
    assert_eq!(invited["cluster_id"], alone["cluster_id"]);
    assert!(invited["expires"].as_str().unwrap().ends_with('Z'));
    third.join_by_stdin(invited["token"].as_str().unwrap());
    assert_eq!(third.id(), "3");

    let all = [first, second, third];
    for (number, member) in all.iter().enumerate() {
        let status = member.is_whole(&["1", "2", "3"]);
        assert_eq!(status["failures_tolerated"], 1, "{status:#}");
        assert_eq!((&status["alarms"], &status["warnings"]), (&json!([]), &json!([])));
        assert_eq!(status["cluster_id"], alone["cluster_id"]);
        assert_eq!((&status["incarnation"], &status["stale"]), (&json!(1), &json!(false)));
        let id = (number + 1).to_string();
        let own = shown(&status, &id);
        assert_eq!((&own["self"], &own["reachable"]), (&json!(true), &json!(true)));
        assert!(own["disk_bytes"].as_u64().unwrap() > 0, "{own:#}");
        assert_eq!(own["peer_addr"], member.daemon.as_ref().unwrap().ready["peer_addr"]);
        // All say the same of how far they are, as soon as they have said it.
        let status = member.sees("heads", |status| {
            let members = status["members"].as_array().unwrap();
            let hash = &members[0]["record_hash"];
            hash.is_string() && members.iter().all(|member| member["record_hash"] == *hash)
        });
        let members = status["members"].as_array().unwrap();
        for member in members {
            assert_eq!(member["fold_hash"], members[0]["fold_hash"], "{status:#}");
            assert_eq!(member["version"], env!("CARGO_PKG_VERSION"), "{status:#}");
            assert_eq!(member["record_hash"].as_str().unwrap().len(), 52);
        }
    }
    let mut all = all;
    // Whoever is a member needs no token any more, and does not mind one.
    all[1].stop();
    let again = all[1].joining("lockstep-invite-AAAA");
    all[1].daemon = Some(Daemon::start(&all[1].place, again));
    all[0].is_whole(&["1", "2", "3"]);
    end_well(&mut all);
}

#[test]
fn every_command_works_on_every_member() {
    let mut all = three();
    // All three may sign.
    let keys: Vec<String> = all.iter().map(|member| member.place.own_key()).collect();
    let text = all[1].place.ok(&format!("lock init --confirm {}", keys.join(" ")));
    let secret = text.lines().find_map(|line| line.strip_prefix('\t')).unwrap().to_owned();
    for (number, member) in all.iter().enumerate() {
        let status = member.place.json("lock status --json");
        assert_eq!(status["Enabled"], true);
        assert_eq!(status["NodeKeySigned"], true, "{status:#}");
        let (name, key) = (format!("node{number}"), node_key(10 + number as u8));
        member.place.ok(&format!("node add {name} --node-key {key}"));
        member.place.ok(&format!("lock sign {key}"));
        for other in &all {
            assert_eq!(other.place.json(&format!("node show {name} --json"))["signed"], true);
            assert_eq!(
                other.place.json(&format!("node show {name} --json --read local"))["name"],
                name.as_str()
            );
        }
    }
    // The group's own commands, asked for at each in turn.
    for (asked, other) in [(0, "2"), (1, "3"), (2, "1")] {
        let place = &all[asked].place;
        let text = place.ok(&format!("cluster demote {other}"));
        assert!(text.ends_with("follows and does not vote.\n"), "{text}");
        let again = place.run(&format!("cluster demote {other}"));
        assert!(again.fails(1).contains("already"), "demoted twice");
        let lead = place.run(&format!("cluster transfer-leader {other}"));
        assert!(lead.fails(1).contains("only a voter can lead"));
        let text = place.ok(&format!("cluster promote {other}"));
        assert!(text.ends_with(" votes.\n"), "{text}");
        let outcome = place.json(&format!("cluster transfer-leader {other} --json"));
        assert_eq!(outcome["outcome"], "applied");
        assert_eq!(outcome["leader"], other);
        for member in &all {
            member.sees("the new leader", |status| status["leader"] == other);
        }
        let text = place.ok(&format!("cluster transfer-leader {other}"));
        assert!(text.contains("leads already"), "{text}");
    }
    for (words, code, says) in [
        ("cluster promote 9", 1, "the group has no replica 9"),
        ("cluster remove 9", 1, "the group has no replica 9"),
        ("cluster transfer-leader 9", 1, "the group has no replica 9"),
        ("cluster demote x", 2, "is no replica's number"),
        ("cluster approve x", 1, "parsing the fingerprint"),
        ("cluster invite --expiry 0s", 2, "--expiry"),
        ("cluster invite --for x", 1, "parsing the fingerprint"),
    ] {
        for member in &all {
            let stderr = member.place.run(words).fails(code);
            assert!(stderr.contains(says), "{words}: {stderr}");
        }
    }
    // The same request, wherever it is asked again, is the same record.
    let words = "cluster demote 2 --request-id once --json";
    let (one, two) = (all[0].place.json(words), all[2].place.json(words));
    assert_eq!(one["record_index"], two["record_index"], "{one:#} {two:#}");
    assert_eq!(one["role"], "learner");
    all[1].place.ok("cluster promote 2");

    // An invitation's token is shown once.
    let words = "cluster invite --request-id guest";
    all[0].place.ok(words);
    for member in &all {
        let stderr = member.place.run(words).fails(1);
        assert!(stderr.contains("its token was shown then"), "{stderr}");
        let other = member.place.run("cluster invite --expiry 2h --request-id guest");
        assert!(other.fails(1).contains("was used for something else"));
    }
    all[2].place.ok(&format!("lock disable {secret}"));
    // Records are the same everywhere, live and on disk.
    let records = all[0].place.records("");
    for member in &all {
        assert_eq!(member.place.records(""), records);
        assert_eq!(member.place.records("--read local --from 3").len(), records.len() - 3);
    }
    end_well(&mut all);
    for member in &all {
        let data = member.place.data();
        assert_eq!(member.place.records(&data.to_string_lossy()), records);
        let text = member.place.ok(&format!("cluster inspect {}", data.display()));
        assert!(text.contains("Voters:     1, 2, 3\n"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}

#[test]
fn the_settings_can_be_checked_before_a_start() {
    let member = Member::new("alpha");
    let config = member.place.write(
        "config.toml",
        "name = 'alpha'\npeer_listen = '0.0.0.0:7400'\npeer_address = 'alpha.example:7400'\n",
    );
    let words = format!("config check --config {}", config.display());
    let text = member.place.ok(&words);
    assert!(text.contains("peer_address     alpha.example:7400\n"), "{text}");
    assert!(text.contains("passphrase_from  (none)\n"), "{text}");
    let settings = member.place.json(&format!("{words} --json"));
    assert_eq!(settings["peer_listen"], "0.0.0.0:7400");
    assert_eq!(settings["data_dir"].as_str().unwrap(), member.place.data().to_str().unwrap());
    for (settings, says) in [
        ("peer_listen = '0.0.0.0:7400'\n", "listens everywhere"),
        ("peer_adress = 'a:1'\n", "unknown field"),
        ("peer_address = 'a'\n", "is not a host and a port"),
        ("name = 'Alpha'\n", "lower-case letters"),
    ] {
        member.place.write("config.toml", settings);
        let stderr = member.place.run(&words).fails(2);
        assert!(stderr.contains(says), "{settings}: {stderr}");
    }
    assert!(!member.place.data().exists(), "nothing was started");
}
