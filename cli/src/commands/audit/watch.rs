//! `audit watch`: audits a source again and again, and tells what is new.
//!
//! Each pass goes on from where the history ended at the pass before: what came since is verified,
//! and what came before has to be the same.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use audit::dates::{date_time, rfc3339};
use audit::notebook::Notebook;
use audit::report::Report;
use audit::trust_anchor::Anchors;
use audit::verdict::Verdict;
use audit::{Audited, Options};
use ledger::formats::tlog::Checkpoint;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::verify::unusable;
use super::{failed, source};
use crate::args::AuditWatch;
use crate::commands::duration;
use crate::commands::words::bounded_file;
use crate::exit::Failure;
use crate::print;

/// Bytes of a file that remembers where a watch stopped, at most.
const MEMORY_BYTES: u64 = 16 << 20;
/// How long the command of an alert may take.
const EXEC_TIMEOUT: Duration = Duration::from_secs(30);
/// How often it is looked whether it has ended.
const EXEC_LOOK: Duration = Duration::from_millis(20);
/// The exit code of a single look that brought something new, though the history holds.
const NEWS: u8 = 4;

/// What is known from the passes before.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    /// Origin, size and root of the history, once it held.
    end: Option<String>,
    /// Records, or AUMs where there are no records.
    size: u64,
    /// When it last grew, in milliseconds since 1970.
    changed_ms: u64,
    /// Whether it was told that it does not grow.
    silent: bool,
    /// Fingerprints of the findings that were told.
    known: BTreeSet<String>,
}

pub(super) fn run(args: &AuditWatch) -> ExitCode {
    match watch(args) {
        Ok(code) => code,
        Err(failure) => failed(&failure),
    }
}

fn watch(args: &AuditWatch) -> Result<ExitCode, Failure> {
    let every = duration::parse("--interval", args.interval.as_deref().unwrap_or("30s"))?;
    let silence = args.silence.as_deref().map(|text| duration::parse("--silence", text));
    let silence = silence.transpose()?;
    let mut memory = remembered(args.resume.as_deref())?;
    let notebook = match &args.resume {
        Some(path) => {
            let mut name = path.as_os_str().to_owned();
            name.push(".end");
            Notebook::open(Path::new(&name))
        }
        None => Notebook::temporary(args.tmp.as_deref()),
    };
    let mut notebook = notebook.map_err(|error| unusable(&error))?;
    loop {
        let began = Instant::now();
        let (report, news) = pass(args, silence, &mut memory, &mut notebook)?;
        if args.once {
            let code = if report.exit_code == 0 && news { NEWS } else { report.exit_code };
            return Ok(ExitCode::from(code));
        }
        std::thread::sleep(every.saturating_sub(began.elapsed()));
    }
}

/// One look at the source. Says whether anything was new.
fn pass(
    args: &AuditWatch,
    silence: Option<Duration>,
    memory: &mut Memory,
    notebook: &mut Notebook,
) -> Result<(Report, bool), Failure> {
    let now_ms = source::now_ms();
    let end = memory.end.as_deref().map(Checkpoint::of_text);
    let remembered = end.transpose().map_err(|error| Failure::usage(error.to_string()))?;
    let anchors = Anchors { remembered, ..Anchors::default() };
    let (tmp, kept) = (args.tmp.clone(), Some(&*notebook));
    let options = Options { anchors, now_ms, tmp, notebook: kept, ..Options::default() };
    let Audited { report, kept, .. } = source::audit(&args.source, None, &options, false);
    let mut alerts = Vec::new();
    let document = report.to_json();
    let found = document["findings"].as_array().cloned().unwrap_or_default();
    let mut known = BTreeSet::new();
    for mut finding in found {
        let fingerprint = finding["fingerprint"].as_str().unwrap_or_default().to_owned();
        if !memory.known.contains(&fingerprint) {
            finding["event"] = json!("finding");
            alerts.push(finding);
        }
        known.insert(fingerprint);
    }
    // What is not found any more is told again if it comes back.
    memory.known = known;
    let size = report.ledger.as_ref().map_or(report.aums, |facts| facts.records);
    if size != memory.size || memory.changed_ms == 0 {
        (memory.size, memory.changed_ms, memory.silent) = (size, now_ms, false);
    }
    let quiet_ms = now_ms.saturating_sub(memory.changed_ms);
    if let Some(most) = silence
        && u128::from(quiet_ms) >= most.as_millis()
        && !memory.silent
    {
        memory.silent = true;
        let seconds = quiet_ms / 1000;
        let message = format!("nothing new for {seconds} s");
        let severity = "warning";
        alerts.push(json!({"event": "silence", "severity": severity, "message": message}));
    }
    let end = report.end().filter(|_| matches!(report.exit_code, 0 | 4));
    if let Some(end) = &end {
        memory.end = Some(end.to_string());
    }
    for alert in &alerts {
        tell(args, alert, &report, now_ms)?;
    }
    if let Some(path) = &args.metrics {
        super::verify::replace(path, &metrics(&report, memory, now_ms))?;
    }
    // Only what was told is known.
    if let Some(end) = &end {
        let remembered = notebook.remember(end, kept);
        remembered.map_err(|error| Failure::new(format!("remembering the end: {error}")))?;
    }
    if let Some(path) = &args.resume {
        let text = print::json(memory)?;
        super::verify::replace(path, &text)?;
    }
    Ok((report, !alerts.is_empty()))
}

fn remembered(path: Option<&Path>) -> Result<Memory, Failure> {
    let Some(path) = path.filter(|path| path.exists()) else { return Ok(Memory::default()) };
    let wrong = |what: &dyn std::fmt::Display| {
        Failure::usage(format!("{}: {what}", path.display()))
            .remedy("Give a file that 'audit watch --resume' has written, or a new one.")
    };
    let memory: Memory =
        serde_json::from_slice(&bounded_file(path, MEMORY_BYTES)?).map_err(|e| wrong(&e))?;
    if let Some(end) = &memory.end {
        Checkpoint::of_text(end).map_err(|error| wrong(&error))?;
    }
    Ok(memory)
}

/// Prints an alert, and gives it to the command that was named.
fn tell(args: &AuditWatch, alert: &Value, report: &Report, now_ms: u64) -> Result<(), Failure> {
    let mut alert = alert.clone();
    alert["time"] = json!(rfc3339(now_ms));
    alert["source"] = json!(report.source);
    alert["verdict"] = json!(report.verdict.to_string());
    let line = alert.to_string();
    let text = |name: &str| alert[name].as_str().unwrap_or_default().to_owned();
    if args.json {
        print::stdout(&format!("{line}\n"))?;
    } else {
        let what = alert["id"].as_str().unwrap_or("silence");
        let (time, severity, message) = (date_time(now_ms), text("severity"), text("message"));
        print::stdout(&format!("{time} {severity} {what}: {}\n", print::line(&message)))?;
    }
    if let Some(program) = &args.exec
        && let Err(error) = exec(program, &line)
    {
        // The watch goes on: whoever is to be told is told by what it prints.
        print::note(&format!("running {}: {error}", program.display()));
    }
    Ok(())
}

/// Runs a program with an alert on its stdin, and ends it if it takes too long.
fn exec(program: &Path, alert: &str) -> std::io::Result<()> {
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // Whoever does not read may still have understood: its status says it.
        let _ = stdin.write_all(alert.as_bytes());
    }
    let began = Instant::now();
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(std::io::Error::other(status.to_string())),
            None if began.elapsed() < EXEC_TIMEOUT => std::thread::sleep(EXEC_LOOK),
            None => {
                child.kill()?;
                child.wait()?;
                return Err(std::io::Error::other("it took too long"));
            }
        }
    }
}

/// The state of the watch, for Prometheus' textfile collector.
fn metrics(report: &Report, memory: &Memory, now_ms: u64) -> String {
    let mut out = String::new();
    let mut gauge = |name: &str, help: &str, lines: &[(String, u64)]| {
        let _ = writeln!(out, "# HELP lockstep_audit_{name} {help}");
        let _ = writeln!(out, "# TYPE lockstep_audit_{name} gauge");
        for (labels, value) in lines {
            let _ = writeln!(out, "lockstep_audit_{name}{labels} {value}");
        }
    };
    let one = |value: u64| [(String::new(), value)];
    let verdicts = [Verdict::Holds, Verdict::Broken, Verdict::Undecidable].map(|verdict| {
        (format!("{{verdict=\"{verdict}\"}}"), u64::from(report.verdict == verdict))
    });
    gauge("verdict", "1 for the verdict of the last pass", &verdicts);
    gauge("exit_code", "Exit code that the last pass stands for", &one(report.exit_code.into()));
    let records = report.ledger.as_ref().map_or(0, |facts| facts.records);
    gauge("records", "Records in the source", &one(records));
    gauge("aums", "AUMs in the source", &one(report.aums));
    let found = ["note", "warning", "error"].map(|severity| {
        let of = report.findings.iter().filter(|f| f.check.severity.to_string() == severity);
        (format!("{{severity=\"{severity}\"}}"), of.count() as u64)
    });
    gauge("findings", "Findings of the last pass", &found);
    let last = "Seconds since 1970 at which the history last grew";
    gauge("last_change_timestamp_seconds", last, &one(memory.changed_ms / 1000));
    let pass = "Seconds since 1970 of the last pass";
    gauge("last_pass_timestamp_seconds", pass, &one(now_ms / 1000));
    out
}
