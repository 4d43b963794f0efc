//! Rolling upgrades: members of two versions side by side, rules that rise once all know them, and
//! what can be taken back.

use std::process::{Command, Stdio};
use std::thread;

use serde_json::{Value, json};

use super::clients::Clients;
use super::harness::{Member, shown, three};
use crate::harness::{Daemon, LOCKSTEP, NEXT, Ran};

/// The rules of this version; those of the next one have the next number.
const RULES: u64 = ledger::history::KNOWN_RULES as u64;
const IDS: [&str; 3] = ["1", "2", "3"];

/// The same command, of that version.
fn by(program: &str, command: &Command) -> Command {
    let mut other = Command::new(program);
    other.args(command.get_args()).env_clear().stdin(Stdio::null());
    other.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    other.current_dir(command.get_current_dir().unwrap());
    other
}

impl Member {
    fn start_as(&mut self, program: &str) {
        self.daemon = Some(Daemon::start(&self.place, by(program, &self.serve())));
    }

    /// Stops, and starts again as that version; the group is then whole again.
    fn becomes(&mut self, program: &str) -> Value {
        self.stop();
        self.start_as(program);
        self.is_whole(&IDS)
    }

    /// Why the daemon of that version does not start.
    #[track_caller]
    fn cannot_become(&self, program: &str) -> Ran {
        match Daemon::try_start(&self.place, by(program, &self.serve())) {
            Ok(_) => panic!("{program} has started"),
            Err(ran) => ran,
        }
    }

    fn activations(&self) -> Vec<u64> {
        let records = self.place.records("");
        let raised = records.iter().filter(|record| record["kind"] == "rules-activated");
        raised.map(|record| record["index"].as_u64().unwrap()).collect()
    }
}

#[test]
fn members_are_upgraded_one_by_one_under_load_and_the_rules_rise_when_all_are() {
    let mut all = three();
    all[0].place.init("");
    let before = all[0].activations();
    let clients = Clients::of(&all);
    clients.while_busy(3, || {
        for number in [0, 1] {
            all[number].becomes(NEXT);
            clients.go_on(20);
        }
        // A mixed group, which every member shows, under the rules that all know.
        let next = format!("{}+next", env!("CARGO_PKG_VERSION"));
        for member in &all {
            let status = member.sees("both versions", |status| {
                shown(status, "1")["version"] == next.as_str()
                    && shown(status, "3")["version"] == env!("CARGO_PKG_VERSION")
            });
            assert_eq!(status["rules"], RULES, "{status:#}");
            assert_eq!(shown(&status, "2")["rules"], RULES + 1, "{status:#}");
            assert_eq!(shown(&status, "3")["rules"], RULES, "{status:#}");
        }
        // Each of both versions leads.
        for leader in ["3", "1"] {
            all[1].insists(&format!("cluster transfer-leader {leader}")).ok();
            clients.go_on(20);
        }
        // One goes back, which takes back what it said that it knows.
        let status = all[1].becomes(LOCKSTEP);
        assert_eq!(shown(&status, "2")["rules"], RULES, "{status:#}");
        clients.go_on(20);
        all[1].becomes(NEXT);
        assert_eq!(all[2].activations(), before, "the rules rose too early");

        all[2].becomes(NEXT);
        for member in &all {
            let status = member.sees("the next rules", |status| status["rules"] == RULES + 1);
            assert_eq!(status["health"], "healthy", "{status:#}");
        }
        clients.go_on(20);
    });
    assert_eq!(all[1].activations().len(), before.len() + 1);

    // Now there is no way back, for a member or for a tool of this version.
    all[2].stop();
    let says = all[2].cannot_become(LOCKSTEP).fails(1);
    let under = format!("is under rules {}", RULES + 1);
    assert!(says.contains(&under) && says.contains("cannot go back"), "{says}");
    let data = all[2].place.data().display().to_string();
    for words in ["cluster inspect", "audit verify"] {
        let ran = all[2].place.run(&format!("{words} {data}"));
        assert!(ran.code == 1 || ran.code == 3, "{ran:?}");
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains("install a newer version"), "{ran:?}");
    }
    all[2].start_as(NEXT);
    all[2].is_whole(&IDS);
    // Nor does a new member get in that knows only these rules.
    let mut late = Member::new("late");
    let token = all[0].invites(&late);
    let joining = by(LOCKSTEP, &late.joining(&token));
    let says = late.is_turned_away(joining);
    let supports = format!("supports rules up to {RULES}, not {}", RULES + 1);
    assert!(says.contains(&supports), "{says}");
    let token = all[0].invites(&late);
    let joining = by(NEXT, &late.joining(&token));
    late.daemon = Some(Daemon::start(&late.place, joining));
    all[0].is_whole(&["1", "2", "3", &late.id()]);

    clients.check(&all[1]);
    let records = all[0].place.records("");
    for member in &all {
        assert_eq!(member.place.records(""), records);
    }
    all.iter_mut().chain([&mut late]).for_each(Member::stop);
}

#[test]
fn a_group_that_is_upgraded_at_once_starts_and_its_rules_rise_once() {
    let mut all = three();
    let before = all[0].activations().len();
    all.iter_mut().for_each(Member::stop);
    thread::scope(|scope| {
        for member in &mut all {
            scope.spawn(|| member.start_as(NEXT));
        }
    });
    for member in &all {
        member.sees("the next rules", |status| status["rules"] == RULES + 1);
        member.is_whole(&IDS);
        assert_eq!(member.activations().len(), before + 1);
    }
    all.iter_mut().for_each(Member::stop);
}

#[test]
fn the_rules_rise_also_when_the_last_member_that_is_older_is_removed() {
    let mut all = three();
    for member in &mut all[..2] {
        member.becomes(NEXT);
    }
    all[0].insists("cluster remove 3").ok();
    let status = all[1].sees("the next rules", |status| status["rules"] == RULES + 1);
    assert_eq!(status["members"].as_array().unwrap().len(), 2, "{status:#}");
    all[2].daemon.take().unwrap().ends();
    all[..2].iter_mut().for_each(Member::stop);
}

#[test]
fn members_without_a_common_wire_version_say_so_and_the_others_go_on() {
    let mut all = three();
    // Too new for these, and then too old for a group of the next version.
    all[2].stop();
    let start_speaking = |member: &mut Member, wire: &str| {
        let mut serve = by(NEXT, &member.serve());
        serve.env("LOCKSTEP_NEXT_WIRE", wire);
        member.daemon = Some(Daemon::start(&member.place, serve));
    };
    start_speaking(&mut all[2], "2..3");
    let refused = "no version of the wire protocol in common";
    let warned = |status: &Value, id: &str| {
        let start = format!("replica {id} cannot be reached");
        let warnings = status["warnings"].as_array().unwrap().iter();
        let mut texts = warnings.filter_map(Value::as_str);
        texts.any(|text| text.starts_with(&start) && text.contains("version"))
    };
    let status = all[0].sees("why it is away", |status| warned(status, "3"));
    assert_eq!(status["health"], "degraded", "{status:#}");
    let status =
        all[2].sees("why the others are away", |status| warned(status, "1") && warned(status, "2"));
    assert_eq!(status["health"], "no-quorum", "{status:#}");
    assert!(all[2].log().contains(refused), "{}", all[2].log());
    assert!(all[0].log().contains(refused), "{}", all[0].log());
    all[0].place.ok(&format!("node add laptop --node-key {}", crate::harness::node_key(1)));

    // One that speaks both versions is understood by the old ones and by the new one.
    all[1].becomes_speaking(&start_speaking, "1..2");
    all[1].sees("a whole group", |status| status["health"] == "healthy");
    assert_eq!(all[1].status().1["warnings"], json!([]));
    all.iter_mut().for_each(Member::stop);
}

impl Member {
    fn becomes_speaking(&mut self, start: &impl Fn(&mut Member, &str), wire: &str) {
        self.stop();
        start(self, wire);
    }
}
