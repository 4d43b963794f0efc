//! A daemon of ours: its socket while it runs, its data directory while it runs, after it was
//! killed, and after it stopped.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use super::{Files, code, found, json, lockstep, report, verify};

/// A signing node with a lock on, one node signed and another locked out.
pub(super) struct Daemon {
    child: Child,
    files: Files,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Daemon {
    pub(super) fn start() -> Self {
        let files = Files::new();
        let mut daemon = Daemon { child: serve(&files), files };
        daemon.await_ready();
        let own = daemon.status()["PublicKey"].as_str().unwrap().to_owned();
        daemon.run(&["lock", "init", "--confirm", &own]);
        for (name, byte) in [("laptop", "1a"), ("stranger", "1b")] {
            daemon.run(&["node", "add", name, "--node-key", &node_key(byte)]);
        }
        daemon.run(&["lock", "sign", &node_key("1a")]);
        daemon
    }

    fn await_ready(&mut self) {
        let mut line = String::new();
        BufReader::new(self.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(ready["event"], "ready");
    }

    fn socket(&self) -> PathBuf {
        self.files.path().join("socket")
    }

    pub(super) fn data(&self) -> PathBuf {
        self.files.path().join("data")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = lockstep();
        command.arg("--socket").arg(self.socket()).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        output
    }

    fn status(&self) -> Value {
        json(&self.run(&["lock", "status", "--json"]))
    }

    /// Ends it as a crash does.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn serve(files: &Files) -> Child {
    lockstep()
        .arg("serve")
        .arg("--data-dir")
        .arg(files.path().join("data"))
        .arg("--socket")
        .arg(files.path().join("socket"))
        .args(["--health-listen", "127.0.0.1:0", "--peer-listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn node_key(byte: &str) -> String {
    format!("nodekey:{}", byte.repeat(32))
}

/// Every file below `dir` with its content, length and the time of its last change; directories
/// with theirs.
pub(super) fn every_file(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(path) = open.pop() {
        let metadata = std::fs::symlink_metadata(&path).unwrap();
        let mut content = Vec::new();
        if metadata.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            content = std::fs::read(&path).unwrap();
        }
        found.insert(path, (content, metadata.modified().unwrap()));
    }
    found
}

/// Whether a report says what the daemon says of itself.
fn agrees(report: &Value, status: &Value, records: usize) {
    assert_eq!(report["verdict"], "holds", "{report:#}");
    assert_eq!(report["head"], status["Head"]);
    let keys = |list: &Value, name: &str| -> Vec<Value> {
        list.as_array().unwrap().iter().map(|key| key[name].clone()).collect()
    };
    assert_eq!(keys(&report["trusted_keys"], "key"), keys(&status["TrustedKeys"], "Public"));
    assert_eq!(report["records"], records);
    assert_eq!(report["size"], records);
    assert_eq!((&report["epochs"], &report["lock"]), (&1.into(), &"on".into()));
    assert_eq!(report["nodes"], serde_json::json!({"admitted": 2, "locked_out": 1}));
    assert!(report["origin"].as_str().unwrap().starts_with("lockstep/"));
    assert_eq!(report["root"].as_str().unwrap().len(), 52);
    assert_eq!(found(report).iter().filter(|id| **id == "node.locked-out").count(), 1);
}

#[test]
fn a_signing_node_running_killed_and_stopped() {
    let mut daemon = Daemon::start();
    let status = daemon.status();
    let lines = String::from_utf8(daemon.run(&["cluster", "records", "--json"]).stdout).unwrap();
    let records: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();

    let live = report(&daemon.socket());
    assert_eq!(live["source"]["kind"], "daemon");
    agrees(&live, &status, records.len());
    assert_eq!(live["origin"], format!("lockstep/{}", records[0]["hash"].as_str().unwrap()));
    assert_eq!(live["record_hash"], records.last().unwrap()["hash"]);

    // While it runs, its directory can be read as well, and the report says who is using it.
    let shared = report(&daemon.data());
    assert_eq!(shared["source"]["kind"], "data-dir");
    agrees(&shared, &status, records.len());
    for field in ["origin", "root", "record_hash", "fold_hash", "head", "state_id"] {
        assert_eq!(shared[field], live[field], "{field}");
    }
    let text = String::from_utf8(verify([daemon.data()]).stdout).unwrap();
    let holder = format!("in use by process {}", daemon.child.id());
    let unwrapped = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(unwrapped.contains(&holder), "{text}");

    daemon.kill();
    let before = every_file(&daemon.data());
    let crashed = report(&daemon.data());
    agrees(&crashed, &status, records.len());
    assert_eq!(crashed["root"], live["root"]);
    assert_eq!(every_file(&daemon.data()), before);
    let text = String::from_utf8(verify([daemon.data()]).stdout).unwrap();
    assert!(!text.contains("in use by"));

    // Any record vouches for those before it.
    for record in [&records[0], records.last().unwrap()] {
        let head = record["hash"].as_str().unwrap();
        let data = daemon.data();
        let arguments = ["--require-anchor", "--head", head, data.to_str().unwrap()];
        assert_eq!(code(&verify(arguments)), 0);
    }

    daemon.child = serve(&daemon.files);
    daemon.await_ready();
    agrees(&report(&daemon.socket()), &status, records.len());
    terminate(&mut daemon.child);
    let before = every_file(&daemon.data());
    let stopped = report(&daemon.data());
    agrees(&stopped, &status, records.len());
    assert_eq!(every_file(&daemon.data()), before);
}

/// The end is remembered from the socket; what comes later is verified there and in the directory.
#[test]
fn the_next_audit_of_a_daemon_goes_on_where_the_last_one_ended() {
    let mut daemon = Daemon::start();
    let end = daemon.files.path().join("end");
    let run = |source: &Path| {
        let output = verify([Path::new("--json"), Path::new("--resume"), &end, source]);
        (json(&output), code(&output))
    };
    let (first, exit) = run(&daemon.socket());
    assert_eq!((exit, &first["resumed_from"]), (0, &Value::Null));
    daemon.run(&["node", "add", "camera", "--node-key", &node_key("1c")]);
    let new = daemon.status();
    let (second, exit) = run(&daemon.socket());
    assert_eq!(exit, 0, "{second:#}");
    let before = format!("at {} records", first["records"]);
    assert!(second["resumed_from"].as_str().unwrap().ends_with(&before), "{second:#}");
    let unchecked = second["unchecked"].as_array().unwrap();
    assert!(unchecked.iter().any(|item| item["id"] == "before-resume"), "{second:#}");
    assert_eq!(second["head"], new["Head"]);
    let whole = report(&daemon.socket());
    for field in ["root", "record_hash", "fold_hash", "aums", "verified", "nodes", "findings"] {
        assert_eq!(second[field], whole[field], "{field}");
    }
    // While it is followed, nothing is told twice.
    let memory = daemon.files.path().join("watch.json");
    let watch = || {
        let output = lockstep()
            .args(["audit", "watch", "--once", "--json", "--resume"])
            .args([&memory, &daemon.socket()])
            .output()
            .unwrap();
        (String::from_utf8(output.stdout.clone()).unwrap(), code(&output))
    };
    assert_eq!(watch().1, 4);
    assert_eq!(watch(), (String::new(), 0));
    daemon.run(&["node", "add", "scanner", "--node-key", &node_key("1d")]);
    let (told, exit) = watch();
    assert_eq!((told.lines().count(), exit), (1, 4), "{told}");
    assert!(told.contains("node.locked-out"), "{told}");
    daemon.kill();
    let before = every_file(&daemon.data());
    let (third, exit) = run(&daemon.data());
    assert_eq!(exit, 0, "{third:#}");
    let at = format!("at {} records", second["records"]);
    assert!(third["resumed_from"].as_str().unwrap().ends_with(&at), "{third:#}");
    assert_eq!(every_file(&daemon.data()), before);
}

/// SIGTERM, and the wait for it.
fn terminate(child: &mut Child) {
    let killed = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(killed.success());
    assert!(child.wait().unwrap().success());
}

/// A directory copied while the daemon writes to it is torn in any way: never a crash, and never
/// a verdict on a history that is not there.
#[test]
fn a_copy_made_while_the_daemon_writes_is_judged_somehow() {
    let daemon = Daemon::start();
    let writer = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for i in 0..20u8 {
                let name = format!("node-{i}");
                daemon.run(&[
                    "node",
                    "add",
                    &name,
                    "--node-key",
                    &node_key(&format!("{:02x}", 0x40 + i)),
                ]);
            }
        });
        let mut copies = 0;
        while !writing.is_finished() || copies == 0 {
            let copy = Files::new();
            copy_tree(&daemon.data(), &copy.path().join("data"));
            let output = verify([copy.path().join("data")]);
            assert!([0, 1, 3].contains(&code(&output)), "{output:?}");
            // The running directory itself is of one moment.
            let running = verify([daemon.data()]);
            assert_eq!(code(&running), 0, "{}", String::from_utf8_lossy(&running.stdout));
            let live = verify([daemon.socket()]);
            assert_eq!(code(&live), 0, "{}", String::from_utf8_lossy(&live.stdout));
            copies += 1;
        }
        copies
    });
    assert!(writer > 0);
}

pub(super) fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &to);
        } else {
            // It may have been deleted since it was listed.
            let _ = std::fs::copy(entry.path(), to);
        }
    }
}

#[test]
fn history_outlives_the_lock() {
    let daemon = Daemon::start();
    let epoch_1 = report(&daemon.socket());
    // The secrets are printed once, so this takes another group.
    let other = Files::new();
    let mut second = Daemon { child: serve(&other), files: other };
    second.await_ready();
    let own = second.status()["PublicKey"].as_str().unwrap().to_owned();
    let init = second.run(&["lock", "init", "--confirm", &own]);
    let text = String::from_utf8(init.stdout).unwrap();
    let secret = text
        .split_whitespace()
        .find(|word| word.starts_with("disablement-secret:"))
        .unwrap()
        .to_owned();
    second.run(&["lock", "disable", &secret]);
    let off = report(&second.socket());
    assert_eq!((&off["verdict"], &off["lock"]), (&"holds".into(), &"off".into()));
    assert_eq!((&off["epochs"], &off["trusted_keys"]), (&1.into(), &serde_json::json!([])));
    second.run(&["lock", "init", "--confirm", &own]);
    let again = report(&second.data());
    assert_eq!((&again["verdict"], &again["epochs"]), (&"holds".into(), &2.into()));
    assert_ne!(again["head"], off["head"]);
    // Neither history passes for the other.
    let genesis = epoch_1["oldest"].as_str().unwrap();
    let data = second.data();
    assert_eq!(code(&verify(["--genesis", genesis, data.to_str().unwrap()])), 5);
}
