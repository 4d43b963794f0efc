//! Starting and stopping: what the daemon says, what it refuses, and what it leaves behind.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;

use rustix::process::{Signal, geteuid, kill_process};

use crate::harness::{Daemon, Place, Ran};

/// What a daemon says that does not start: it ends with code 1 and no ready line.
#[track_caller]
fn refused(place: &Place, command: std::process::Command) -> String {
    match Daemon::try_start(place, command) {
        Ok(_) => panic!("it started"),
        Err(ran) => ran.fails(1),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_ready_line_names_everything_and_sigterm_ends_with_0() {
    let place = Place::new();
    let daemon = place.start();
    let ready = daemon.ready.clone();
    assert_eq!(ready["event"], "ready");
    assert_eq!(ready["replica_id"], "1");
    assert_eq!(ready["socket"], place.socket().to_str().unwrap());
    assert_eq!(ready["version"], env!("CARGO_PKG_VERSION"));
    assert!(!ready["cluster_id"].as_str().unwrap().is_empty());
    let health: std::net::SocketAddr = ready["health_addr"].as_str().unwrap().parse().unwrap();
    assert!(health.ip().is_loopback() && health.port() != 0, "{health}");
    // Whoever may join finds it there; on loopback only, until something else is configured.
    assert!(ready["peer_addr"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(mode(&place.socket()), 0o600);
    assert_eq!(mode(&place.data()), 0o700);
    assert_eq!(mode(&place.data().join("keys")), 0o700);
    for key in ["member", "lock", "log", "node"] {
        assert_eq!(mode(&place.data().join(format!("keys/{key}.key"))), 0o600);
    }

    assert_eq!(daemon.terminate().code(), Some(0));
    assert!(!place.socket().exists());
    let stderr = place.run("lock").fails(1);
    assert!(stderr.starts_with("cannot connect to the daemon at "), "{stderr}");
    assert!(stderr.contains("Start the daemon with 'lockstep serve'"), "{stderr}");

    // It is the same member afterwards. SIGINT, as by Ctrl-C, ends it as well.
    let daemon = place.start();
    assert_eq!(daemon.ready["cluster_id"], ready["cluster_id"]);
    assert_eq!(place.records("").len(), 2);
    kill_process(daemon.pid(), Signal::INT).unwrap();
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn a_data_directory_has_one_daemon() {
    let place = Place::new();
    let daemon = place.start();
    let mut second = place.serve();
    second.args(["--socket", "other.sock"]);
    let mut words: Vec<_> = second.get_args().map(ToOwned::to_owned).collect();
    // The flag is already there once.
    let at = words.iter().position(|word| word == "--socket").unwrap();
    words.drain(at..at + 2);
    let mut second = place.command();
    second.args(words);
    let stderr = refused(&place, second);
    assert!(stderr.contains("another daemon is running in "), "{stderr}");
    assert!(stderr.contains(place.data().to_str().unwrap()), "{stderr}");
    // The first one goes on.
    place.ok(&format!("node add laptop --node-key {}", crate::harness::node_key(1)));
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
    let place = Place::new();
    place.start().kill();
    assert!(place.socket().exists());
    let daemon = place.start();
    place.ok("lock");

    let mut other = place.command();
    other.args(["serve", "--data-dir", "other-data", "--socket"]).arg(place.socket());
    let stderr = refused(&place, other);
    assert!(stderr.contains("another daemon serves at "), "{stderr}");
    place.ok("lock");
    assert_eq!(daemon.terminate().code(), Some(0));

    // Whoever listens there need not be ours.
    let listener = UnixListener::bind(place.socket()).unwrap();
    let stderr = refused(&place, place.serve());
    assert!(stderr.contains("another daemon serves at "), "{stderr}");
    drop(listener);
    fs::remove_file(place.socket()).unwrap();

    fs::write(place.socket(), "my notes").unwrap();
    let stderr = refused(&place, place.serve());
    assert!(stderr.contains("exists and is not a socket"), "{stderr}");
    assert_eq!(fs::read(place.socket()).unwrap(), b"my notes");
}

#[test]
fn keys_that_others_can_get_at_refuse_the_start() {
    let place = Place::new();
    assert_eq!(place.start().terminate().code(), Some(0));
    let keys = place.data().join("keys");
    for (path, wrong, right) in [
        (keys.join("lock.key"), 0o640, 0o600),
        (keys.join("member.key"), 0o604, 0o600),
        (keys.join("log.key"), 0o620, 0o600),
        (keys.join("node.key"), 0o666, 0o600),
        (keys.clone(), 0o750, 0o700),
    ] {
        set_mode(&path, wrong);
        let stderr = refused(&place, place.serve());
        let says = format!("{} has mode {wrong:04o}", path.display());
        assert!(stderr.contains(&says), "{stderr}");
        assert!(stderr.contains(&format!("chmod {right:04o}")), "{stderr}");
        set_mode(&path, right);
    }
    set_mode(&place.data(), 0o770);
    let stderr = refused(&place, place.serve());
    assert!(stderr.contains("others may write there (mode 0770)"), "{stderr}");
    set_mode(&place.data(), 0o700);
    assert_eq!(place.start().terminate().code(), Some(0));
}

/// As root a key file is given to somebody else; anybody else tries a directory of root's.
#[test]
fn keys_of_another_user_refuse_the_start() {
    let place = Place::new();
    if geteuid().is_root() {
        assert_eq!(place.start().terminate().code(), Some(0));
        let lock = place.data().join("keys/lock.key");
        chown(&lock, Some(4711), None).unwrap();
        let stderr = refused(&place, place.serve());
        assert!(stderr.contains("lock.key belongs to user 4711, but "));
        assert!(stderr.contains("chown"), "{stderr}");
        chown(&lock, Some(0), None).unwrap();
        assert_eq!(place.start().terminate().code(), Some(0));
    } else {
        let mut serve = place.command();
        serve.args(["serve", "--data-dir", "/"]);
        let stderr = refused(&place, serve);
        assert!(stderr.contains("it belongs to user 0, not "), "{stderr}");
        assert!(stderr.contains("chown"), "{stderr}");
    }
}

#[test]
fn keys_that_are_missing_or_damaged() {
    let place = Place::new();
    assert_eq!(place.start().terminate().code(), Some(0));
    let member = place.data().join("keys/member.key");
    let text = fs::read_to_string(&member).unwrap();
    fs::write(&member, text.replacen(':', ":0", 1)).unwrap();
    let stderr = refused(&place, place.serve());
    assert!(stderr.contains("does not hold the key that belongs there"), "{stderr}");
    // Not a digit of it is shown.
    let digits = text.trim_end().split(':').nth(1).unwrap();
    assert!(!stderr.contains(&digits[..8]), "{stderr}");
    fs::remove_file(&member).unwrap();
    let stderr = refused(&place, place.serve());
    assert!(stderr.contains("member.key is missing though the data directory holds a history"));
    fs::write(&member, text).unwrap();
    set_mode(&member, 0o600);
    assert_eq!(place.start().terminate().code(), Some(0));
}

/// A log on a full disk is no reason to stop.
#[test]
fn a_log_that_cannot_be_written_stops_nobody() {
    let place = Place::new();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = place.serve();
    command.env("LOCKSTEP_LOG", "debug");
    let daemon = Daemon::start_logging_to(&place, command, full);
    place.init("");
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
fn health_and_metrics() {
    let place = Place::new();
    let daemon = place.start();
    let ok = ("HTTP/1.1 200 OK".to_owned(), "ok\n".to_owned());
    assert_eq!(daemon.health("/livez"), ok);
    assert_eq!(daemon.health("/readyz"), ok);
    let metric = |name: &str| {
        let (_, body) = daemon.health("/metrics");
        let line = body.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        line.unwrap_or_else(|| panic!("no {name} in\n{body}")).trim().to_owned()
    };
    assert_eq!(metric("lockstep_ready "), "1");
    assert_eq!(metric("lockstep_records_total "), "2");
    assert_eq!(metric("lockstep_lock_enabled "), "0");
    place.init("");
    assert_eq!(metric("lockstep_lock_enabled "), "1");
    assert_eq!(metric("lockstep_trusted_keys "), "1");
    assert_eq!(metric("lockstep_records_total "), "3");
    assert_eq!(daemon.health("/").0, "HTTP/1.1 404 Not Found");
    assert_eq!(metric("lockstep_raft_role{role=\"leader\"} "), "1");
    assert_eq!(metric("lockstep_raft_role{role=\"learner\"} "), "0");
    assert_eq!(metric("lockstep_raft_leader_id "), "1");
    assert_eq!(metric("lockstep_group_voters "), "1");
    assert_eq!(metric("lockstep_replica_record_index{replica_id=\"1\"} "), "2");
    assert_eq!(metric("lockstep_limit{limit=\"trusted_keys\"} "), "512");
    assert_eq!(metric("lockstep_limit_headroom{limit=\"trusted_keys\"} "), "511");
    // What is refused is counted, and written down without what was given.
    place.run(&format!("lock disable disablement-secret:{}", "a5".repeat(32))).fails(1);
    assert_eq!(metric("lockstep_denied_operations_total{event=\"change-refused\"} "), "1");
    let log = fs::read_to_string(place.data().join("security.log")).unwrap();
    assert!(log.contains("POST /localapi/v0/tka/disable: 4") && log.lines().count() == 1, "{log}");
    assert!(!log.contains("a5a5"), "{log}");
    assert_eq!(mode(&place.data().join("security.log")), 0o600);
    let families = families(&daemon.health("/metrics").1);
    // Whoever operates it finds each of them described.
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
    let manual = fs::read_to_string(manual).unwrap();
    for family in families {
        let named = |end: &str| manual.contains(&format!("`{family}{end}"));
        assert!(named("`") || named("{"), "docs/operations.md does not describe {family}");
    }
}

/// The names of the metrics, once it is sure that they are what the text format asks for and what
/// `promtool check metrics` accepts: each family together, with help and type before its samples.
fn families(text: &str) -> Vec<String> {
    let is_name = |name: &str| {
        let part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(part)
    };
    let mut families: Vec<String> = Vec::new();
    let mut series = std::collections::BTreeSet::new();
    let mut lines = text.lines().peekable();
    assert!(text.ends_with('\n'));
    while let Some(line) = lines.next() {
        let help = line.strip_prefix("# HELP ").unwrap_or_else(|| panic!("no help: {line}"));
        let (name, help) = help.split_once(' ').unwrap();
        assert!(is_name(name) && name.starts_with("lockstep_") && help.ends_with('.'), "{line}");
        assert!(!families.iter().any(|known| known == name), "{name} twice");
        let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
        // A counter, and nothing else, is called a total.
        assert_eq!(kind, if name.ends_with("_total") { "counter" } else { "gauge" }, "{name}");
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok_and(|value| value >= 0.0), "{line}");
            assert!(series.insert(sample.to_owned()), "{sample} twice");
            let labels = sample.strip_prefix(name).unwrap_or_else(|| panic!("{line}"));
            if labels.is_empty() {
                continue;
            }
            let labels = labels.strip_prefix('{').and_then(|l| l.strip_suffix('}')).unwrap();
            for label in labels.split(',') {
                let (label, value) = label.split_once('=').unwrap();
                let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap();
                assert!(is_name(label) && !value.contains(['"', '\\', ' ']), "{line}");
            }
        }
        families.push(name.to_owned());
    }
    families
}

#[test]
fn addresses_names_and_groups_that_cannot_be() {
    let place = Place::new();
    let with = |words: &[&str]| -> Ran {
        let mut command = place.serve();
        command.args(words);
        match Daemon::try_start(&place, command) {
            Ok(_) => panic!("it started with {words:?}"),
            Err(ran) => ran,
        }
    };
    for (words, code, what) in [
        (["--health-listen", "localhost"], 2, "--health-listen: it is not an address and a port"),
        (["--peer-listen", "127.0.0.1"], 2, "--peer-listen: it is not an address and a port"),
        (["--operator", "nobody-of-that-name"], 2, "--operator: \"nobody-of-that-name\" is"),
        (["--socket-group", "no-such-group"], 2, "--socket-group: \"no-such-group\" is"),
        (["--join", "lockstep-invite-AAAA"], 2, "--join: give file:PATH, or - for stdin"),
        (["--peer-address", "nowhere"], 2, "--peer-address: \"nowhere\" is not a host and a port"),
        (["--peer-listen", "0.0.0.0:0"], 2, "--peer-address: --peer-listen 0.0.0.0:0 listens"),
    ] {
        let stderr = with(&words).fails(code);
        assert!(stderr.starts_with(what), "{stderr}");
        assert!(!place.data().exists(), "{words:?}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let stderr = with(&["--health-listen", &address]).fails(1);
    assert!(stderr.contains(&format!("listening at {address}: ")), "{stderr}");
    // The name is given already, and a flag can be given once.
    let stderr = with(&["--name", "x"]).fails(2);
    assert!(stderr.contains("invalid flag name: flag provided multiple times"), "{stderr}");
    let mut bad_name = place.command();
    bad_name.args(["serve", "--data-dir", "d", "--name", "Not A Label"]);
    let stderr = refused(&place, bad_name);
    assert!(stderr.contains("--name \"Not A Label\": a name is 1 to 63"), "{stderr}");

    // Given ports are used.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let mut command = place.serve();
    command.args(["--health-listen", &address, "--peer-listen", "127.0.0.1:0"]);
    let daemon = Daemon::start(&place, command);
    assert_eq!(daemon.ready["health_addr"], address);
    assert_eq!(daemon.terminate().code(), Some(0));
}

/// Whoever may open the socket may read; root, the daemon's user and the operator may change things.
#[test]
fn the_operator_changes_and_the_group_reads() {
    const OPERATOR: u32 = 4711;
    const READER: u32 = 4712;
    const GROUP: u32 = 4713;
    let place = Place::new();
    if !geteuid().is_root() {
        // Only root can give the socket away; the daemon says what the operator lacks.
        let mut command = place.serve();
        command.args(["--operator", &OPERATOR.to_string()]);
        let daemon = Daemon::start(&place, command);
        kill_process(daemon.pid(), Signal::TERM).unwrap();
        let (code, log) = daemon.ends();
        assert_eq!(code, 0, "{log}");
        assert!(log.contains("the operator cannot open the socket"), "{log}");
        return;
    }
    // Another user gets at the program only where it may look.
    set_mode(place.root(), 0o755);
    let program = place.file("lockstep");
    fs::copy(crate::harness::LOCKSTEP, &program).unwrap();
    let by = |user: u32, group: u32, words: &str| {
        let mut command = std::process::Command::new(&program);
        command.args(words.split(' ')).env("LOCKSTEP_SOCKET", place.socket());
        Ran::of(command.current_dir(place.root()).uid(user).gid(group))
    };
    let add = format!("node add laptop --node-key {}", crate::harness::node_key(1));

    let mut command = place.serve();
    command.args(["--operator", &OPERATOR.to_string()]);
    let daemon = Daemon::start(&place, command);
    by(OPERATOR, OPERATOR, &add).ok();
    let record = place.records("--from 2").remove(0);
    assert_eq!(record["actor"]["uid"], OPERATOR);
    let stderr = by(READER, GROUP, "lock").fails(1);
    assert!(stderr.contains("Permission denied") && stderr.contains("the socket's group"));
    assert_eq!(daemon.terminate().code(), Some(0));

    let mut command = place.serve();
    command.args(["--operator", &OPERATOR.to_string(), "--socket-group", &GROUP.to_string()]);
    let _daemon = Daemon::start(&place, command);
    assert_eq!(mode(&place.socket()), 0o660);
    let nodes = by(READER, GROUP, "node list").ok();
    assert_eq!(by(OPERATOR, OPERATOR, "node list").ok(), nodes);
    for words in ["node remove laptop", "lock add tlpub:12", "lock init --confirm tlpub:12"] {
        let ran = by(READER, GROUP, words);
        assert_eq!(ran.code, 1, "{ran:?}");
    }
    let stderr = by(READER, GROUP, "node remove laptop").fails(1);
    assert_eq!(
        stderr,
        "error: Access denied: node access denied\nRun it as root, or as the operator that the \
         daemon was started with (lockstep serve --operator).\n"
    );
    assert_eq!(place.ok("node list"), nodes);
}

#[test]
fn the_name_of_the_first_start_stays() {
    let place = Place::new();
    let daemon = place.start();
    assert_eq!(daemon.terminate().code(), Some(0));
    let mut other = place.command();
    other.args(["serve", "--name", "other", "--data-dir"]).arg(place.data());
    let daemon = Daemon::start(&place, other);
    assert_eq!(place.json("node show 1 --json")["name"], "signer");
    kill_process(daemon.pid(), Signal::TERM).unwrap();
    let (code, log) = daemon.ends();
    assert_eq!(code, 0);
    assert!(log.contains("keeps the name that it got on its first start"), "{log}");
}
