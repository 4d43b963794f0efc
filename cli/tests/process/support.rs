//! The support secret on its way to the escrow, and whose the others are.

use std::fs;

use crate::harness::{Daemon, Place};

/// A daemon with this configuration file.
fn start(place: &Place, settings: &str) -> Daemon {
    let config = place.write("config.toml", settings);
    let mut serve = place.serve();
    serve.arg("--config").arg(config);
    Daemon::start(place, serve)
}

#[test]
fn the_support_secret_goes_to_the_escrow_and_is_not_shown() {
    let place = Place::new();
    let path = place.file("support-secret");
    let settings = format!("[support_escrow]\nname = 'the vault'\nfile = {path:?}\n");
    let _daemon = start(&place, &settings);
    let own = place.own_key();
    let words = format!(
        "lock init --gen-disablements=2 --gen-disablement-for-support --disablement-for alice {own}"
    );
    // First the plan.
    let text = place.ok(&words);
    assert_eq!(
        text,
        format!(
            "You are initializing tailnet lock with the following trusted signing keys:\n - {own} \
             (25519 key)\n\n2 disablement secrets will be generated.\nA disablement secret will be \
             generated and transmitted to Tailscale support.\n\nIf this is correct, please re-run \
             this command with the --confirm flag:\n\tlockstep lock init --confirm \
             --gen-disablements 2 --gen-disablement-for-support --disablement-for alice {own}\n"
        )
    );
    assert!(!path.exists());
    let ran = place.shell(text.lines().last().unwrap().trim());
    assert_eq!(ran.code, 0, "{ran:?}");
    let stderr =
        format!("The support secret goes to the escrow the vault (file {}).\n", path.display());
    assert_eq!(ran.stderr, stderr);
    let after = ran.stdout.split("WILL NOT be shown again.\n").nth(1).unwrap();
    let lines: Vec<&str> = after.lines().collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(
        lines[2..],
        [
            "A disablement secret for Tailscale support has been generated and will be transmitted \
             to Tailscale upon initialization.",
            "Initialization complete."
        ]
    );
    let secret = fs::read_to_string(&path).unwrap();
    assert!(secret.starts_with("disablement-secret:") && secret.len() == 19 + 64 + 1);
    assert!(!ran.stdout.contains(secret.trim_end()) && !ran.stderr.contains(secret.trim_end()));
    let log = fs::read_to_string(place.file("serve.log")).unwrap();
    assert!(log.contains("the vault") && !log.contains("disablement-secret"), "{log}");

    // Whose each secret is stands in the record.
    let records = place.ok("cluster records");
    assert!(records.contains(", for alice\n"), "{records}");
    assert!(records.contains(", for support: the vault\n"), "{records}");
    let values = records.lines().filter(|line| line.starts_with("  disablement:"));
    assert_eq!(values.count(), 3);

    // A new lock does not overwrite the old one's secret.
    place.ok(&format!("lock disable {}", secret.trim_end()));
    let init = format!("lock init --confirm --gen-disablement-for-support {own}");
    let ran = place.run(&init);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("the escrow the vault did not take the support secret"));
    assert!(ran.stderr.contains("exists already"), "{}", ran.stderr);
    assert!(ran.stderr.contains("are void: nothing was initialized"), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(&path).unwrap(), secret);
    assert_eq!(place.json("lock status --json")["Enabled"], false);
    fs::remove_file(&path).unwrap();
    place.ok(&init);
    assert_ne!(fs::read_to_string(&path).unwrap(), secret);
}

#[test]
fn holders_are_as_many_as_secrets() {
    let place = Place::new();
    let _daemon = place.start();
    let own = place.own_key();
    let value = format!("disablement:{}", "ab".repeat(32));
    let init = |more: &str| place.run(&format!("lock init --confirm {own} {more}"));
    let stderr = init("--disablement-for a --disablement-for b").fails(2);
    assert!(stderr.contains("2 holders for 1 disablement secrets"), "{stderr}");
    let stderr = init(&format!("--disablement-for {}", "x".repeat(257))).fails(2);
    assert!(stderr.contains("more than 256 bytes"), "{stderr}");
    init(&format!("{value} --disablement-for given --disablement-for \x1bmade")).ok();
    let records = place.ok("cluster records");
    let given = format!("  {value}: by ");
    let line = records.lines().find(|line| line.starts_with(&given)).unwrap();
    assert!(line.ends_with(", for given"), "{line}");
    assert!(records.contains(", for \\u{1b}made\n") && !records.contains('\x1b'), "{records}");
    assert!(!records.contains(", for support"));
}

#[test]
fn a_configuration_that_cannot_be_is_refused_at_the_start() {
    let place = Place::new();
    for (settings, says) in [
        ("[support_escrow]\n", "support_escrow: it needs one of file and command"),
        ("[support_escrow]\nfile = 'here'\n", "is not named by its absolute path"),
        ("[support_escrow]\ncommand = ['put']\n", "\"put\" is not named by its absolute path"),
        ("[support_escrow]\nshell = 'put'\n", "unknown field `shell`"),
        ("[on_locked_out]\ncommand = []\n", "on_locked_out: the command is empty"),
        ("[on_locked_out]\ncommand = ['/a']\ntimeout_seconds = 0\n", "timeout_seconds"),
        ("lock_key = 'nlpriv:ababababab'\n", "--lock-key: a key is named by its file"),
        ("passphrase_from = 'abababababab'\n", "--passphrase-from: it is none of"),
    ] {
        let config = place.write("config.toml", settings);
        let mut serve = place.serve();
        serve.arg("--config").arg(config);
        let Err(ran) = Daemon::try_start(&place, serve) else { panic!("{settings}") };
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
        assert!(!ran.stderr.contains("abab"), "{}", ran.stderr);
    }
}
