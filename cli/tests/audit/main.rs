//! `lockstep audit verify`, as a program: what it prints and how it exits.
#![allow(clippy::unwrap_used, reason = "a test that cannot run the program has failed")]

mod codes;
mod daemons;
mod evidence;
mod guard;
mod sources;
mod tailscaled;
mod text;

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

#[path = "../../../ledger/tests/vectors/files.rs"]
#[allow(dead_code, unreachable_pub)]
mod files;

/// The program, with nothing of the surroundings that could lead it elsewhere.
fn lockstep() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    for name in ["LOCKSTEP_SOCKET", "LOCKSTEP_CONFIG", "LOCKSTEP_DATA_DIR"] {
        command.env_remove(name);
    }
    command
}

/// Runs `audit verify` with these arguments.
fn verify<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Output {
    verify_from(arguments, b"")
}

/// As [`verify`], with something on stdin.
fn verify_from<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>, stdin: &[u8]) -> Output {
    let mut child = lockstep()
        .args(["audit", "verify"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses its flags does not read.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("the program was killed")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stdout)))
}

/// The report on a source, as JSON; its exit code is the one that it names.
fn report(source: &Path) -> Value {
    let output = verify([source.as_os_str(), OsStr::new("--json")]);
    let report = json(&output);
    assert_eq!(report["exit_code"], code(&output), "{report:#}");
    report
}

fn found(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["id"].as_str().unwrap()).collect()
}

/// Files to audit, gone when this is dropped.
struct Files {
    dir: TempDir,
}

impl Files {
    fn new() -> Self {
        Files { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// An export of the vectors, under its name.
    fn export(&self, name: &str) -> PathBuf {
        self.write(name, &vector(name))
    }
}

/// A file of the vectors' exports.
fn vector(name: &str) -> Vec<u8> {
    files::read(&format!("log_json/{name}")).unwrap_or_else(|| panic!("no vector {name}"))
}
