//! The operator's command for nodes that are locked out.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use ledger::lock::signatures::Signer;
use ledger::testing::{genesis, key, node_key};
use replica::local_api::bodies::{
    AdoptionBeginRequest, Base64, ModifyRequest, NodeAddRequest, NodeRotateRequest, SignRequest,
};
use replica::local_api::client::Asked;
use rustix::fs::{CWD, Mode, mkfifoat};

use super::{Daemon, key_body};

/// What the commands say, line by line, as it comes.
struct Told(Option<BufReader<File>>);

impl Told {
    /// A pipe in the directory, and the settings that make the command write to it.
    fn pipe(dir: &Path) -> (Told, String) {
        let path = dir.join("told");
        mkfifoat(CWD, &path, Mode::from_raw_mode(0o600)).unwrap();
        // Open for writing too, so that it neither waits for a writer nor ends with one.
        let pipe = File::options().read(true).write(true).open(&path).unwrap();
        let script = format!(
            "echo \"$LOCKSTEP_NODE_ID $LOCKSTEP_NODE_STABLE_ID $LOCKSTEP_NODE_NAME \
             $LOCKSTEP_NODE_KEY $LOCKSTEP_RECORD $LOCKSTEP_REASON\" > {}",
            path.display()
        );
        let settings = format!("[on_locked_out]\ncommand = ['/bin/sh', '-c', '''{script}''']\n");
        (Told(Some(BufReader::new(pipe))), settings)
    }

    /// The next line, whenever it comes.
    async fn line(&mut self) -> String {
        let mut reader = self.0.take().unwrap();
        let read = move || {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            (reader, line)
        };
        let (reader, line) = tokio::task::spawn_blocking(read).await.unwrap();
        self.0 = Some(reader);
        line.trim_end().to_owned()
    }

    /// The names in the next lines, sorted: commands run side by side.
    async fn names(&mut self, count: usize) -> Vec<String> {
        let mut names = Vec::new();
        for _ in 0..count {
            names.push(self.line().await.split(' ').nth(2).unwrap().to_owned());
        }
        names.sort();
        names
    }
}

async fn add(daemon: &Daemon, name: &str, byte: u8) {
    let request = NodeAddRequest {
        name: name.into(),
        node_key: node_key(byte).to_string(),
        ..NodeAddRequest::default()
    };
    daemon.client.node_add(&request, &Asked::default()).await.unwrap();
}

async fn sign(daemon: &Daemon, byte: u8) {
    let request = SignRequest { node_key: node_key(byte), rotation_public: None };
    daemon.client.sign(&request, &Asked::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_locked_out_node_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut told, settings) = Told::pipe(dir.path());
    let daemon = Daemon::start_with(dir.path(), &settings).await;
    add(&daemon, "before", 1).await;
    daemon.init(&[key(2).public()]).await;
    // Only this one comes when there is a lock.
    add(&daemon, "late", 2).await;
    let node = daemon.client.node("late").await.unwrap();
    let key = &node.node_key;
    let record = node.since_record;
    assert_eq!(
        told.line().await,
        format!("3 n3CNTRL late {key} {record} locked out: nobody has signed it")
    );
    // In and out again is another lock-out.
    sign(&daemon, 2).await;
    let rotate = NodeRotateRequest {
        node: "late".into(),
        node_key: Some(node_key(3).to_string()),
        signature: None,
    };
    daemon.client.node_rotate(&rotate, &Asked::default()).await.unwrap();
    let line = told.line().await;
    assert!(line.starts_with("3 n3CNTRL late nodekey:0303"), "{line}");
    assert!(line.contains("took the place of nodekey:0202"), "{line}");

    // Over a restart nothing is told again.
    daemon.stop().await;
    let daemon = Daemon::start_with(dir.path(), "").await;
    // Without the command what comes now is not told, not even later.
    add(&daemon, "untold", 4).await;
    daemon.stop().await;
    let daemon = Daemon::start_with(dir.path(), &settings).await;
    add(&daemon, "told", 5).await;
    assert_eq!(told.names(1).await, ["told"]);
    // When the next one's turn comes, the last one's is over.
    add(&daemon, "interrupted", 6).await;
    assert_eq!(told.names(1).await, ["interrupted"]);
    daemon.stop().await;
    let daemon = Daemon::start_with(dir.path(), &settings).await;
    add(&daemon, "again", 7).await;
    let next = told.names(1).await;
    // Whose command was running at the stop is told once more, and nobody else.
    assert!(next == ["again"] || next == ["interrupted"] && told.names(1).await == ["again"]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_all_told() {
    let dir = tempfile::tempdir().unwrap();
    let (mut told, settings) = Told::pipe(dir.path());
    let daemon = Daemon::start_with(dir.path(), &settings).await;
    let own = daemon.lock_key().await;
    daemon.init(&[key(2).public()]).await;
    let names: Vec<String> = (10..21).map(|n| format!("n{n}")).collect();
    for (name, byte) in names.iter().zip(10..) {
        add(&daemon, name, byte).await;
        assert_eq!(told.names(1).await, [name.as_str()]);
        sign(&daemon, byte).await;
    }
    // The key that signed all of them goes, and nobody signs them again.
    let request = ModifyRequest { add_keys: None, remove_keys: Some(vec![key_body(own)]) };
    daemon.client.modify(&request, &Asked::default()).await.unwrap();
    // The machine itself is among them.
    let mut all = names.clone();
    all.insert(0, "first".into());
    all.sort();
    assert_eq!(told.names(all.len()).await, all);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_command_holds_nothing_up() {
    let dir = tempfile::tempdir().unwrap();
    let (mut told, good) = Told::pipe(dir.path());
    let settings = "[on_locked_out]\ncommand = ['/nonexistent/hook']\n";
    let daemon = Daemon::start_with(dir.path(), settings).await;
    daemon.init(&[]).await;
    add(&daemon, "a", 1).await;
    daemon.stop().await;
    let daemon = Daemon::start_with(dir.path(), &good).await;
    add(&daemon, "b", 2).await;
    // `a` may or may not have had its turn before the stop.
    let first = told.line().await;
    let name = first.split(' ').nth(2).unwrap();
    assert!(name == "b" || name == "a" && told.names(1).await == ["b"], "{first}");
    daemon.stop().await;
}

/// A lock that exists elsewhere begins with everybody out, and nobody was told before a restart.
#[tokio::test(flavor = "multi_thread")]
async fn whom_an_adopted_lock_locks_out_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (mut told, settings) = Told::pipe(dir.path());
    let daemon = Daemon::start_with(dir.path(), &settings).await;
    add(&daemon, "before", 1).await;
    let root = genesis(5, &[(&key(2), 1)]);
    let begin = AdoptionBeginRequest {
        root: Base64(root.bytes().to_vec()),
        head: root.hash().to_string(),
        aums: 1,
        followed: true,
    };
    daemon.client.adoption_begin(&begin, &Asked::default()).await.unwrap();
    assert_eq!(told.names(2).await, ["before", "first"]);
    daemon.stop().await;
}

/// Commands for others took so long that somebody had signed the node meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_in_again_before_its_turn_is_not_told() {
    let dir = tempfile::tempdir().unwrap();
    let (mut told, settings) = Told::pipe(dir.path());
    let gate = dir.path().join("gate");
    mkfifoat(CWD, &gate, Mode::from_raw_mode(0o600)).unwrap();
    let mut opens = File::options().read(true).write(true).open(&gate).unwrap();
    // Each says who it is for, and goes on when it may.
    let settings = settings.replace("''']", &format!("; read x < {}''']", gate.display()));
    let daemon = Daemon::start_with(dir.path(), &settings).await;
    daemon.init(&[]).await;
    add(&daemon, "n1", 1).await;
    assert_eq!(told.names(1).await, ["n1"]);
    for (name, byte) in [("n2", 2), ("n3", 3), ("n4", 4), ("n5", 5), ("n6", 6)] {
        add(&daemon, name, byte).await;
    }
    opens.write_all(b"\n").unwrap();
    assert_eq!(told.names(4).await, ["n2", "n3", "n4", "n5"]);
    // The last one waits for one of their places.
    sign(&daemon, 6).await;
    add(&daemon, "n7", 7).await;
    opens.write_all(b"\n\n\n\n").unwrap();
    assert_eq!(told.names(1).await, ["n7"]);
    opens.write_all(b"\n").unwrap();
    daemon.stop().await;
}
