//! Several daemons of one group, each in a place of its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Daemon, Place, Ran};

/// After this an event that has not come is taken for one that never comes.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks for an event.
const LOOK: Duration = Duration::from_millis(20);

/// A member: its place, and its daemon while it runs.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) daemon: Option<Daemon>,
}

impl Member {
    pub(super) fn new(name: &str) -> Member {
        Member { name: name.into(), place: Place::new(), daemon: None }
    }

    /// The command that runs its daemon.
    pub(super) fn serve(&self) -> Command {
        let mut command = self.place.command();
        command.arg("serve").arg("--data-dir").arg(self.place.data());
        command.arg("--socket").arg(self.place.socket()).args(["--name", &self.name]);
        command
    }

    /// Starts its daemon, and returns when it is ready.
    pub(super) fn start(&mut self) {
        self.daemon = Some(Daemon::start(&self.place, self.serve()));
    }

    /// The first of a group.
    pub(super) fn founder(name: &str) -> Member {
        let mut member = Member::new(name);
        member.start();
        member
    }

    /// What its daemon takes to join by this token, from a file.
    pub(super) fn joining(&self, token: &str) -> Command {
        let path = self.place.write("invitation", token);
        let mut command = self.serve();
        command.arg("--join").arg(format!("file:{}", path.display()));
        command
    }

    /// Joins by a token, and returns when it is ready.
    pub(super) fn join(&mut self, token: &str) {
        self.daemon = Some(Daemon::start(&self.place, self.joining(token)));
    }

    /// As [`join`](Self::join), with the token on stdin.
    pub(super) fn join_by_stdin(&mut self, token: &str) {
        let path = self.place.write("invitation", token);
        let mut command = self.serve();
        command.args(["--join", "-"]).stdin(File::open(path).unwrap());
        self.daemon = Some(Daemon::start(&self.place, command));
    }

    /// Joins by a token that is of no use; what the daemon says.
    #[track_caller]
    pub(super) fn is_turned_away(&self, command: Command) -> String {
        match Daemon::try_start(&self.place, command) {
            Ok(_) => panic!("it was let in"),
            Err(ran) => ran.fails(1),
        }
    }

    pub(super) fn kill(&mut self) {
        self.daemon.take().unwrap().kill();
    }

    pub(super) fn stop(&mut self) {
        assert_eq!(self.daemon.take().unwrap().terminate().code(), Some(0));
    }

    /// The fingerprint of its member key.
    pub(super) fn fingerprint(&self) -> String {
        self.place.ok("cluster fingerprint").trim_end().to_owned()
    }

    /// An invitation for that member alone.
    pub(super) fn invites(&self, other: &Member) -> String {
        self.place.ok(&format!("cluster invite --for {}", other.fingerprint()))
    }

    pub(super) fn id(&self) -> String {
        self.daemon.as_ref().unwrap().ready["replica_id"].as_str().unwrap().to_owned()
    }

    /// How it sees its group, whatever the exit code.
    pub(super) fn status(&self) -> (i32, Value) {
        let ran = self.place.run("cluster status --json");
        let status = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
        (ran.code, status)
    }

    /// Waits until it sees its group like that.
    #[track_caller]
    pub(super) fn sees(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let since = Instant::now();
        loop {
            let (_, status) = self.status();
            if is(&status) {
                return status;
            }
            assert!(since.elapsed() < PATIENCE, "{what}: {status:#}");
            thread::sleep(LOOK);
        }
    }

    /// Waits until these are the voters and everybody is reachable.
    #[track_caller]
    pub(super) fn is_whole(&self, voters: &[&str]) -> Value {
        self.sees("a whole group", |status| {
            status["health"] == "healthy"
                && roles(status, "voter") == voters
                && status["leader"].is_string()
        })
    }

    /// What its log says so far.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.place.file("serve.log")).unwrap()
    }

    /// Asks until something other than a lack of quorum is said.
    pub(super) fn insists(&self, words: &str) -> Ran {
        let since = Instant::now();
        loop {
            let ran = self.place.run(words);
            if ran.code == 0 || since.elapsed() > PATIENCE {
                return ran;
            }
        }
    }
}

/// The numbers of those that have this role.
pub(super) fn roles(status: &Value, role: &str) -> Vec<String> {
    let members = status["members"].as_array().unwrap().iter();
    let with = members.filter(|member| member["role"] == role);
    with.map(|member| member["replica_id"].as_str().unwrap().to_owned()).collect()
}

/// A member as a status shows it.
#[track_caller]
pub(super) fn shown<'a>(status: &'a Value, id: &str) -> &'a Value {
    let mut members = status["members"].as_array().unwrap().iter();
    members.find(|member| member["replica_id"] == id).unwrap_or_else(|| panic!("{status:#}"))
}

/// Three members, whole.
pub(super) fn three() -> [Member; 3] {
    let first = Member::founder("alpha");
    let [mut second, mut third] = ["beta", "gamma"].map(Member::new);
    for other in [&mut second, &mut third] {
        let token = first.invites(other);
        other.join(&token);
    }
    let all = [first, second, third];
    for member in &all {
        member.is_whole(&["1", "2", "3"]);
    }
    all
}

/// Stops every daemon; every data directory then holds the same history, and it is one that
/// holds.
pub(super) fn end_well(members: &mut [Member]) {
    for member in members.iter_mut().filter(|member| member.daemon.is_some()) {
        member.stop();
    }
    let mut ends: BTreeMap<u64, String> = BTreeMap::new();
    for member in members {
        let data = member.place.data().display().to_string();
        member.place.ok(&format!("audit verify {data}"));
        let facts = member.place.json(&format!("cluster inspect {data} --json"));
        let records = facts["records"].as_u64().unwrap();
        let hash = facts["record_hash"].as_str().unwrap().to_owned();
        let known = ends.entry(records).or_insert_with(|| hash.clone());
        assert_eq!(*known, hash, "{}: {facts:#}", member.name);
    }
}
