//! How a command line may be written, and which of several settings counts.

use crate::harness::{Daemon, Place, node_key, tlpub};

#[test]
fn flags_as_in_go() {
    let place = Place::new();
    let _daemon = place.start();
    place.init("");
    for seed in 2..5 {
        place.ok(&format!("lock add {}", tlpub(seed)));
    }
    let socket = place.socket();
    let socket = socket.display();
    let same = |lines: &[&str]| {
        let want = place.ok(lines[0]);
        for line in lines {
            let line = line.replace("SOCKET", &socket.to_string());
            assert_eq!(place.ok(&line), want, "{line}");
        }
    };
    same(&[
        "lock log --limit 2 --json",
        "lock log -limit 2 -json",
        "lock log --limit=2 --json=1",
        "lock log -limit=2 -json=true",
        "lock log --json --limit +2",
        "--socket SOCKET lock log --limit 2 --json",
        "-socket=SOCKET lock log --limit 2 --json",
        "lock --socket=SOCKET log --limit 2 --json",
        "lock log --limit 2 -socket SOCKET --json",
    ]);
    same(&["lock status", "lock", "lock status --json=false", "lock --socket SOCKET"]);
    same(&["node show signer --json", "node show --json signer", "node show -json=true -- signer"]);
    same(&[
        "node show signer",
        "node show 1",
        "node show n1CNTRL",
        "node show --json=false signer",
    ]);
    let log = |words: &str| place.ok(words).matches("update ").count();
    assert_eq!(log("lock log"), 4);
    // None at all, as in the original.
    assert_eq!((log("lock log --limit 0"), log("lock log --limit -1")), (0, 0));
    assert_eq!(log("lock log --limit=-1"), 0);

    // Flags stand after arguments, too, until two dashes.
    let add = format!("lock add {} --json -request-id=a {}", tlpub(5), tlpub(6));
    let document: serde_json::Value = serde_json::from_str(&place.ok(&add)).unwrap();
    assert_eq!(document["request_id"], "a");
    let stderr = place.run(&format!("lock add -- {} --json", tlpub(7))).fails(1);
    assert!(stderr.starts_with("parsing key 2: "), "{stderr}");

    for (words, what) in [
        ("lock log --limit", "flag needs an argument: -limit"),
        ("lock log --json --json", "invalid flag json: flag provided multiple times"),
        ("lock log --json -json", "invalid flag json: flag provided multiple times"),
        ("lock log ---limit 2", "bad flag syntax: ---limit"),
        ("lock log --=2", "bad flag syntax: --=2"),
        ("lock log --lim 2", "flag provided but not defined: -lim"),
        ("lock log --json=maybe", "invalid boolean value \"maybe\" for -json: parse error"),
        ("node list --json=maybe", "invalid boolean value \"maybe\" for -json"),
    ] {
        let stderr = place.run(words).fails(2);
        assert!(stderr.starts_with(what), "{words}: {stderr}");
    }
    let stderr = place.run("lock log --json=2").fails(1);
    assert!(stderr.starts_with("unrecognised version: 2\n"), "{stderr}");
}

#[test]
fn a_flag_counts_before_the_environment_before_the_file() {
    let place = Place::new();
    let _daemon = place.start();
    let socket = place.socket();
    let file = place.write("c.toml", format!("socket = {socket:?}\n"));
    let wrong = place.write("wrong.toml", "socket = \"/nonexistent/file.sock\"\n");
    let status = |flags: &[&str], environment: &[(&str, &str)]| {
        let mut command = place.command();
        command.env_remove("LOCKSTEP_SOCKET").args(["lock", "status"]).args(flags);
        command.envs(environment.iter().copied());
        crate::harness::Ran::of(&mut command)
    };
    let (socket, file, wrong) =
        (socket.to_str().unwrap(), file.to_str().unwrap(), wrong.to_str().unwrap());
    for (flags, environment) in [
        (
            ["--socket", socket].as_slice(),
            [("LOCKSTEP_SOCKET", "/nonexistent/env.sock")].as_slice(),
        ),
        (&["--socket", socket, "--config", wrong], &[]),
        (&[], &[("LOCKSTEP_SOCKET", socket), ("LOCKSTEP_CONFIG", wrong)]),
        (&["--config", wrong], &[("LOCKSTEP_SOCKET", socket)]),
        (&["--config", file], &[("LOCKSTEP_CONFIG", wrong)]),
        (&[], &[("LOCKSTEP_CONFIG", file)]),
        // Empty is as good as not there.
        (&["--config", file], &[("LOCKSTEP_SOCKET", "")]),
    ] {
        let text = status(flags, environment).ok();
        assert!(text.starts_with("Tailnet lock is NOT enabled."), "{text}");
    }
    let stderr = status(&["--config", wrong], &[]).fails(1);
    assert!(stderr.starts_with("cannot connect to the daemon at /nonexistent/file.sock: "));
    let stderr = status(&["--config", "/nonexistent.toml"], &[]).fails(2);
    assert!(stderr.contains("/nonexistent.toml"), "{stderr}");
    let bad = place.write("bad.toml", "sokcet = 1\n");
    let stderr = status(&["--config", bad.to_str().unwrap()], &[]).fails(2);
    assert!(stderr.contains("sokcet"), "{stderr}");
}

#[test]
fn the_daemon_reads_the_same_settings() {
    let place = Place::new();
    let config = place.write(
        "c.toml",
        format!(
            "data_dir = {:?}\nsocket = {:?}\nname = \"from-file\"\nhealth_listen = \"[::1]:0\"\n",
            place.file("file-data"),
            place.file("file.sock"),
        ),
    );
    let mut command = place.command();
    command.args(["serve", "--config"]).arg(&config);
    // The environment's socket and data directory go before the file's.
    command.env("LOCKSTEP_DATA_DIR", place.data());
    let daemon = Daemon::start(&place, command);
    assert_eq!(daemon.ready["socket"], place.socket().to_str().unwrap());
    assert!(place.data().join("identity").exists() && !place.file("file-data").exists());
    assert!(daemon.ready["health_addr"].as_str().unwrap().starts_with("[::1]:"));
    place.ok(&format!("node add laptop --node-key {}", node_key(1)));
    assert_eq!(place.json("node show 1 --json")["name"], "from-file");
    assert_eq!(daemon.terminate().code(), Some(0));
}
