//! Auditing a long history in a backup, with 1, 10 and 500 trusted keys that sign: a time as
//! a ratio to the floor of its own signatures in the same run, and the most memory that it took.
//!
//! `LOCKSTEP_AUDIT_EVENTS=N` says how long (default 20,000; `1000000` takes some minutes for each
//! number of signers, most of it to make the history), `LOCKSTEP_AUDIT_SIGNERS=1,500` with how many,
//! `LOCKSTEP_AUDIT_DIR=DIR` where histories are kept for the next run. Each audit is a process of its
//! own, so that its memory is its own.
#![allow(clippy::unwrap_used, reason = "without its data a bench has nothing to measure")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use audit::source::{Detected, detect};
use audit::{Options, verify_backup};
use benches::replicas::scratch;
use benches::rivals::original;
use benches::{Figure, histories, measure_by_turns, timed};

/// What a process of this program is asked to do instead of measuring.
const AUDIT: &str = "LOCKSTEP_AUDIT_THIS";
/// How often ours, the floor and the rival take turns.
const TURNS: usize = 3;

/// Audits a directory, and says how long it took and how much memory was in use at most.
fn audit(dir: &Path) {
    let options = Options::default();
    let mut report = None;
    let time = timed(|| {
        let Ok(Detected::Backup(backup)) = detect(&dir.join(histories::BACKUP)) else {
            panic!("{} has no backup", dir.display())
        };
        report = Some(verify_backup("bench", &backup, &options, false).report);
    });
    let report = report.unwrap();
    assert_eq!(report.exit_code, 0, "{:?}", &report.findings[..report.findings.len().min(9)]);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("{} {} {kib}", time.as_nanos(), report.ledger.unwrap().verified_records);
}

fn number<T: std::str::FromStr>(name: &str, default: T) -> T {
    let given = std::env::var(name).ok();
    given.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

fn history(parent: &Path, events: u64, signers: usize) -> PathBuf {
    let dir = parent.join(format!("{events}-{signers}"));
    if !dir.join(histories::BACKUP).exists() {
        let _ = std::fs::remove_dir_all(&dir);
        histories::tell(&dir, events, signers);
    }
    dir
}

fn main() {
    if let Some(dir) = std::env::var_os(AUDIT) {
        return audit(Path::new(&dir));
    }
    let events: u64 = number("LOCKSTEP_AUDIT_EVENTS", 20_000);
    let signers = std::env::var("LOCKSTEP_AUDIT_SIGNERS").unwrap_or("1,10,500".to_owned());
    let kept = std::env::var_os("LOCKSTEP_AUDIT_DIR").map(PathBuf::from);
    let temporary = scratch(env!("CARGO_TARGET_TMPDIR"));
    let parent = kept.as_deref().unwrap_or(temporary.path());
    for signers in signers.split(',').map(|text| text.parse().unwrap()) {
        let dir = history(parent, events, signers);
        let mut most = 0;
        let ours = || {
            let program = std::env::current_exe().unwrap();
            let output = Command::new(program).env(AUDIT, &dir).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let said = String::from_utf8(output.stdout).unwrap();
            let numbers: Vec<u64> =
                said.split_whitespace().map(|word| word.parse().unwrap()).collect();
            assert_eq!(numbers[1], events);
            most = most.max(numbers[2]);
            Duration::from_nanos(numbers[0])
        };
        let name = match signers {
            1 => "audit-1-signer".to_owned(),
            signers => format!("audit-{signers}-signers"),
        };
        let figure = Figure {
            name: &name,
            unit: "record",
            units: events as usize,
            ours: Box::new(ours),
            floor: (
                "raw Ed25519 of its signatures in batches of 1,024, rotations one by one, all cores",
                Box::new(|| histories::floor(&dir)),
            ),
            rival: original::REPLAY,
        };
        measure_by_turns(TURNS, figure);
        println!("memory {name} peak={:.1} MB at {events} records", most as f64 * 1024.0 / 1e6);
    }
}
