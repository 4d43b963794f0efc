//! A data directory is opened by a process that has given up nearly everything. If that dies, the
//! audit says so and decides nothing; whatever happens, the directory is as it was.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, io, net};

use audit::guard::{Guard, Limits, restrict};
use audit::report::Report;
use audit::{Options, audit_data_dir};

use super::daemons::{Daemon, copy_tree, every_file};
use super::{Files, code, json, lockstep, report, verify};

const PROGRAM: &str = env!("CARGO_BIN_EXE_lockstep");

/// The directory of a daemon that was killed.
fn crashed() -> Daemon {
    let mut daemon = Daemon::start();
    daemon.kill();
    daemon
}

fn guard(program: &str, arguments: &[&str], limits: Limits) -> Options<'static> {
    let arguments = arguments.iter().map(Into::into).collect();
    let guard = Guard { program: program.into(), arguments, limits };
    Options { guard: Some(guard), ..Options::default() }
}

/// Nothing was decided, and the report says why.
fn undecided(report: &Report, why: &str) {
    assert_eq!((report.exit_code, report.verdict.to_string().as_str()), (3, "undecidable"));
    let [finding] = report.findings.as_slice() else { panic!("{:#?}", report.findings) };
    assert_eq!(finding.check.id, "source.unreadable");
    assert!(finding.message.contains(why), "{}", finding.message);
}

#[test]
fn the_reader_has_limits_and_no_rights() {
    let daemon = crashed();
    let mut reader = lockstep()
        .args(["audit", "read-directory"])
        .arg(daemon.data())
        .args(["still", "3221225472", "77", "999"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut opened = [0; 5];
    reader.stdout.as_mut().unwrap().read_exact(&mut opened).unwrap();
    assert_eq!(&opened, b"\0\0\0\x01O");
    let about = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", reader.id())).unwrap();
    let limits = about("limits");
    for (name, most) in [
        ("Max address space", "3221225472"),
        ("Max cpu time", "77"),
        ("Max open files", "999"),
        ("Max file size", "0"),
        ("Max core file size", "0"),
    ] {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        let values: Vec<_> = line[name.len()..].split_whitespace().take(2).collect();
        assert_eq!(values, [most, most], "{line}");
    }
    assert!(about("status").lines().any(|line| line == "NoNewPrivs:\t1"));
    // What is no question ends it, and so does the end of its input.
    reader.stdin.as_mut().unwrap().write_all(b"\0\0\0\x01?").unwrap();
    assert_eq!(reader.wait().unwrap().code(), Some(1));
    let output = lockstep()
        .args(["audit", "read-directory"])
        .arg(daemon.data())
        .args(["still", "3221225472", "77", "999"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!((code(&output), output.stdout.as_slice()), (0, &opened[..]));
}

/// What a process that has restricted itself can still do. It is this test, started once more.
#[test]
fn what_is_given_up_is_gone() {
    const DIR: &str = "LOCKSTEP_TEST_RESTRICTED";
    if let Some(dir) = env::var_os(DIR) {
        let dir = PathBuf::from(dir);
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let limits = Limits { memory: 2 << 30, seconds: 60, files: 64 };
        let restricted = restrict(&dir, limits).unwrap();
        assert_eq!(fs::read(dir.join("identity")).unwrap(), b"a file");
        assert!(fs::read_dir(&dir).unwrap().count() == 1);
        // Whatever the kernel has: nothing can be written.
        let written = File::create(dir.join("new")).and_then(|mut file| file.write_all(b"x"));
        let error = written.unwrap_err();
        if restricted.landlock {
            let denied =
                |error: io::Error| assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            denied(error);
            denied(File::open("/etc/passwd").unwrap_err());
            denied(File::options().append(true).open(dir.join("identity")).unwrap_err());
            denied(fs::remove_file(dir.join("identity")).unwrap_err());
            denied(fs::rename(dir.join("identity"), dir.join("other")).unwrap_err());
            denied(Command::new("/bin/true").status().unwrap_err());
            // Kernels since 6.7 deny connections as well.
            if net::TcpStream::connect(address).is_ok() {
                println!("the kernel's Landlock knows no network");
            }
        }
        println!("restricted: landlock {}", restricted.landlock);
        return;
    }
    let files = Files::new();
    fs::write(files.path().join("identity"), "a file").unwrap();
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "guard::what_is_given_up_is_gone", "--nocapture"])
        .env(DIR, files.path())
        // A file that cannot grow ends a process; here it shall see the error.
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("restricted: landlock "), "{output:?}");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_reader_that_dies_decides_nothing() {
    let daemon = crashed();
    let data = daemon.data();
    let before = every_file(&data);
    let audit = |options: &Options<'_>| audit_data_dir("dir", &data, options, false).report;
    let reads = ["audit", "read-directory"];
    let whole = audit(&guard(PROGRAM, &reads, Limits::default()));
    assert_eq!(whole.exit_code, 0, "{:#?}", whole.findings);
    // Nothing there to start; something that dies, that ends, that talks nonsense.
    undecided(&audit(&guard("/nowhere/lockstep", &reads, Limits::default())), "start /nowhere");
    let shell = |script: &str| guard("/bin/sh", &["-c", script, "sh"], Limits::default());
    undecided(&audit(&shell("kill -9 $$")), "it was killed");
    undecided(&audit(&shell("kill -6 $$")), "for want of memory (it may take 4096 MiB)");
    undecided(&audit(&shell("kill -11 $$")), "ended by signal 11");
    undecided(&audit(&shell("exit 7")), "ended with code 7");
    undecided(&audit(&shell("head -c 100 /dev/zero; cat >/dev/null")), "is gone");
    undecided(&audit(&shell("echo nonsense that is no frame at all; cat >/dev/null")), "is gone");
    // Limits that it cannot keep within.
    let memory = Limits { memory: 8 << 20, ..Limits::default() };
    let report = audit(&guard(PROGRAM, &reads, memory));
    assert_eq!(report.exit_code, 3, "{:#?}", report.findings);
    let files = Limits { files: 3, ..Limits::default() };
    let report = audit(&guard(PROGRAM, &reads, files));
    assert_eq!(report.exit_code, 3, "{:#?}", report.findings);
    // A file that is never read to its end.
    let files = Files::new();
    let endless = files.path().join("data");
    copy_tree(&data, &endless);
    let manifest = fs::read_to_string(endless.join("db/CURRENT")).unwrap();
    let manifest = endless.join("db").join(manifest.trim());
    fs::remove_file(&manifest).unwrap();
    assert!(Command::new("mkfifo").arg(&manifest).status().unwrap().success());
    let patience = Limits { seconds: 1, ..Limits::default() };
    let options = guard(PROGRAM, &reads, patience);
    let report = audit_data_dir("dir", &endless, &options, false).report;
    undecided(&report, "it had no answer for 1 s");
    // Wherever it dies, nothing is found to be wrong with the directory.
    let mut length = 1;
    loop {
        let cut = format!(
            "'{PROGRAM}' audit read-directory \"$@\" | {{ dd bs=1 count={length} status=none; kill -9 $$; }}"
        );
        let report = audit(&shell(&cut));
        if report.exit_code == 0 {
            break;
        }
        undecided(&report, "is gone");
        length += length / 3 + 1;
    }
    assert!(length > 4000, "{length}");
    assert_eq!(every_file(&data), before);
}

#[test]
fn a_directory_on_a_mount_that_cannot_be_written_is_audited() {
    let daemon = crashed();
    let expected = report(&daemon.data());
    let files = Files::new();
    let target = files.path().join("mounted");
    fs::create_dir(&target).unwrap();
    let mount = |arguments: &[&str]| {
        let output = Command::new("mount").args(arguments).output();
        output.is_ok_and(|output| output.status.success())
    };
    let path = target.to_str().unwrap();
    if !mount(&["-t", "tmpfs", "-o", "size=64m", "tmpfs", path]) {
        // Only root can mount. For others, modes say what cannot be written.
        copy_tree(&daemon.data(), &target.join("data"));
        assert!(Command::new("chmod").args(["-R", "a-w", path]).status().unwrap().success());
        audited_unchanged(&target.join("data"), &expected);
        assert!(Command::new("chmod").args(["-R", "u+w", path]).status().unwrap().success());
        return;
    }
    let unmount = Unmount(target.clone());
    copy_tree(&daemon.data(), &target.join("data"));
    assert!(mount(&["-o", "remount,ro", path]));
    assert!(File::create(target.join("x")).is_err());
    audited_unchanged(&target.join("data"), &expected);
    // And a part of a file system that can be written elsewhere.
    let (from, bound) = (daemon.data(), files.path().join("bound"));
    fs::create_dir(&bound).unwrap();
    assert!(mount(&["--bind", from.to_str().unwrap(), bound.to_str().unwrap()]));
    let second = Unmount(bound.clone());
    assert!(mount(&["-o", "remount,bind,ro", bound.to_str().unwrap()]));
    assert!(File::create(bound.join("x")).is_err());
    audited_unchanged(&bound, &expected);
    drop((second, unmount));
}

fn audited_unchanged(data: &Path, expected: &serde_json::Value) {
    let before = every_file(data);
    let output = verify([Path::new("--json"), data]);
    assert_eq!(code(&output), 0, "{output:?}");
    let found = json(&output);
    for field in ["records", "root", "record_hash", "fold_hash", "head", "findings"] {
        assert_eq!(found[field], expected[field], "{field}");
    }
    assert_eq!(every_file(data), before);
}

/// Takes a mount away again.
struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        // A test that failed is told by that.
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
