//! Questions to a history: `audit log`, `show`, `state`, `key`, `node`, `forks` and `diff`.

use std::path::Path;
use std::process::ExitCode;

use audit::dates::parse_time;
use audit::questions::{self, Answer, At, LogFilter, NoAnswer, caution};
use audit::report::Report;
use audit::{Options, Progress};
use ledger::ids::{LockKey, NodeKey};

use super::{UNDECIDABLE, failed, source};
use crate::args::{
    AuditDiff, AuditHow, AuditKey, AuditLog, AuditNode, AuditShow, AuditSource, AuditState,
};
use crate::exit::Failure;
use crate::print;

pub(super) fn log(args: &AuditLog) -> ExitCode {
    let filter = match filter(args) {
        Ok(filter) => filter,
        Err(failure) => return failed(&failure),
    };
    answer("log", &args.source, &args.how, |report| questions::log(report, &filter))
}

pub(super) fn show(args: &AuditShow) -> ExitCode {
    match place(&args.what) {
        Ok(at) => answer("show", &args.source, &args.how, |report| questions::show(report, at)),
        Err(failure) => failed(&failure),
    }
}

pub(super) fn state(args: &AuditState) -> ExitCode {
    match args.at.as_deref().map(place).transpose() {
        Ok(at) => answer("state", &args.source, &args.how, |report| questions::state(report, at)),
        Err(failure) => failed(&failure),
    }
}

pub(super) fn key(args: &AuditKey) -> ExitCode {
    match lock_key(&args.key) {
        Ok(key) => answer("key", &args.source, &args.how, |report| questions::key(report, key)),
        Err(failure) => failed(&failure),
    }
}

pub(super) fn node(args: &AuditNode) -> ExitCode {
    answer("node", &args.source, &args.how, |report| questions::node(report, &args.node))
}

pub(super) fn forks(args: &AuditSource) -> ExitCode {
    answer("forks", &args.source, &args.how, questions::forks)
}

pub(super) fn diff(args: &AuditDiff) -> ExitCode {
    match (place(&args.from), place(&args.to)) {
        (Ok(from), Ok(to)) => {
            answer("diff", &args.source, &args.how, |report| questions::diff(report, from, to))
        }
        (Err(failure), _) | (_, Err(failure)) => failed(&failure),
    }
}

fn filter(args: &AuditLog) -> Result<LogFilter, Failure> {
    let time = |flag: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => parse_time(text).map(Some).ok_or_else(|| {
            Failure::usage(format!("invalid value {text:?} for -{flag}"))
                .remedy("Give a date or a time in UTC, such as 2026-11-26T18:00Z.")
        }),
    };
    let node = |text: &String| {
        text.parse::<NodeKey>()
            .map_err(|error| Failure::usage(format!("invalid value for -node: {error}")))
    };
    Ok(LogFilter {
        key: args.key.as_deref().map(lock_key).transpose()?,
        node: args.node.as_ref().map(node).transpose()?,
        kind: args.kind.clone(),
        actor: args.actor.clone(),
        since: time("since", &args.since)?,
        until: time("until", &args.until)?,
        limit: args.limit,
    })
}

fn lock_key(text: &str) -> Result<LockKey, Failure> {
    text.parse().map_err(|error| {
        Failure::usage(format!("invalid key: {error}"))
            .remedy("Give a key as tlpub: and 64 hex digits.")
    })
}

fn place(text: &str) -> Result<At, Failure> {
    text.parse().map_err(|error: questions::BadAt| Failure::usage(error.to_string()))
}

/// Audits the source and answers. The exit code is the verdict's: it says how far the answer can
/// be relied on.
fn answer(
    question: &str,
    source: &Path,
    how: &AuditHow,
    ask: impl Fn(&Report) -> Result<Answer, NoAnswer>,
) -> ExitCode {
    let listener = source::progress();
    let beside = match source::beside(how.status.as_deref()) {
        Ok(beside) => beside,
        Err(failure) => return failed(&failure),
    };
    let options = Options {
        chronicle: true,
        now_ms: source::now_ms(),
        tmp: how.tmp.clone(),
        progress: if how.progress { Progress::to(&listener) } else { Progress::default() },
        ..Options::default()
    };
    let report = source::audit(source, beside, &options, false).report;
    let answer = match ask(&report) {
        Ok(answer) => answer,
        Err(none) => {
            let why = report.undecided.first();
            let why = why.filter(|_| none == NoAnswer::Nothing).cloned();
            let failure = Failure::new(why.unwrap_or_else(|| none.to_string()));
            failure.remedy("'lockstep audit verify' says what the source holds.").report();
            return ExitCode::from(if report.exit_code == 0 {
                UNDECIDABLE
            } else {
                report.exit_code
            });
        }
    };
    if let Some(caution) = caution(&report) {
        print::note(&caution);
    }
    let text =
        if how.json { print::json(&answer.document(question, &report)) } else { Ok(answer.text) };
    match text.and_then(|text| print::stdout(&text)) {
        Ok(()) => ExitCode::from(report.exit_code),
        Err(failure) if failure.what.is_empty() => ExitCode::from(report.exit_code),
        Err(failure) => failed(&failure),
    }
}
