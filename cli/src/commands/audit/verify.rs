//! `audit verify`: a source in, a verdict out.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;

use audit::accept::{self, Acceptances};
use audit::notebook::{BadNotebook, Notebook};
use audit::policy::{self, Policy};
use audit::report::Report;
use audit::source::Kind;
use audit::trust_anchor::Anchors;
use audit::verdict::Demands;
use audit::{Audited, Options, Progress, compare_replicas};
use ledger::formats::tlog::VerifierKey;
use ledger::ids::AumHash;

use super::{UNDECIDABLE, source};
use crate::args::Verify;
use crate::commands::words::bounded_file;
use crate::exit::Failure;
use crate::print;

pub(super) fn run(args: Verify) -> ExitCode {
    let listener = source::progress();
    let progress = if args.progress { Progress::to(&listener) } else { Progress::default() };
    let usage = |failure: Failure| Failure { code: crate::exit::Code::Usage, ..failure }.report();
    let mut notebook = match args.resume.as_deref().map(Notebook::open).transpose() {
        Ok(notebook) => notebook,
        Err(error) => return usage(unusable(&error)),
    };
    let options = match options(&args, notebook.as_ref(), progress) {
        Ok(options) => options,
        Err(failure) => return usage(failure),
    };
    let beside = match source::beside(args.status.as_deref()) {
        Ok(beside) => beside,
        Err(failure) => return usage(failure),
    };
    let compare = !args.replica.is_empty();
    if let Some(failure) = overwrites(&args) {
        return usage(failure);
    }
    let mut audited = source::audit(&args.source, beside, &options, compare);
    if compare {
        let of = |path: &std::path::PathBuf| source::audit(path, None, &options, true);
        let others: Vec<Audited> = args.replica.iter().map(of).collect();
        if let Err(fault) = compare_replicas(&mut audited, &others, &options) {
            return super::failed(&Failure::new(fault.to_string()));
        }
    }
    let Audited { report, kept, .. } = audited;
    let of_aums = [Kind::Tailscaled, Kind::LogJson, Kind::StateDir, Kind::Cbor];
    if notebook.is_some() && report.kind.is_some_and(|kind| of_aums.contains(&kind)) {
        let what =
            "--resume: this source holds AUMs and no records, and is checked whole each time";
        let remedy = "Leave it out. --head HASH says whether it still has what was its head once.";
        return usage(Failure::usage(what).remedy(remedy));
    }
    let shown = show(&report, &args).and_then(|()| {
        // Only a history that holds and is the one that was named is remembered.
        match (&mut notebook, report.end()) {
            (Some(notebook), Some(end)) if matches!(report.exit_code, 0 | 4) => notebook
                .remember(&end, kept)
                .map_err(|error| Failure::new(format!("remembering the end: {error}"))),
            _ => Ok(()),
        }
    });
    match shown {
        Ok(()) => ExitCode::from(report.exit_code),
        // Nobody reads the report any more; the code still says what it says.
        Err(failure) if failure.what.is_empty() => ExitCode::from(report.exit_code),
        Err(failure) => {
            failure.report();
            ExitCode::from(UNDECIDABLE)
        }
    }
}

/// A report must not take the place of what it is about.
fn overwrites(args: &Verify) -> Option<Failure> {
    let file = |path: &Path| fs::metadata(path).ok().map(|it| (it.dev(), it.ino()));
    let sources: Vec<_> = args.replica.iter().chain([&args.source]).map(|it| file(it)).collect();
    let written = [&args.sarif, &args.html].into_iter().flatten();
    let over = written.into_iter().find(|path| {
        let there = file(path);
        there.is_some() && sources.contains(&there)
    })?;
    let what = format!("{}: the report would be written over its source", over.display());
    Some(Failure::usage(what).remedy("Give the report a file of its own."))
}

fn options<'a>(
    args: &Verify,
    notebook: Option<&'a Notebook>,
    progress: Progress<'a>,
) -> Result<Options<'a>, Failure> {
    let hash = |flag: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => AumHash::from_any(text).map(Some).map_err(|error| {
            Failure::usage(format!("invalid value for -{flag}: {error}"))
                .remedy("Give a hash as 52 base32 characters or 64 hex digits.")
        }),
    };
    let state_id = args.state_id.as_deref().map(state_id).transpose()?;
    let fail_on = match &args.fail_on {
        None => None,
        Some(text) => Some(text.parse().map_err(|what: &str| {
            Failure::usage(format!("invalid value {text:?} for -fail-on: {what}"))
        })?),
    };
    let policy = file(args.policy.as_deref(), policy::MAX_BYTES, Policy::parse)?;
    let accept = file(args.accept.as_deref(), accept::MAX_BYTES, Acceptances::parse)?;
    Ok(Options {
        anchors: Anchors {
            genesis: hash("genesis", &args.genesis)?,
            head: hash("head", &args.head)?,
            state_id,
            vkeys: args.vkey.iter().map(|text| vkey(text)).collect::<Result<_, _>>()?,
            remembered: notebook.and_then(|notebook| notebook.end().cloned()),
        },
        demands: Demands { anchor: args.require_anchor, fail_on },
        tmp: args.tmp.clone(),
        policy,
        accept,
        now_ms: source::now_ms(),
        chronicle: args.html.is_some(),
        notebook,
        guard: None,
        progress,
    })
}

/// A verifier key as somebody typed it.
pub(super) fn vkey(text: &str) -> Result<VerifierKey, Failure> {
    text.parse().map_err(|error| {
        Failure::usage(format!("invalid value for -vkey: {error}"))
            .remedy("Give a key as 'lockstep audit vkeys' prints it.")
    })
}

/// A TOML file of the auditor's.
fn file<T, E: std::fmt::Display>(
    path: Option<&Path>,
    max: u64,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<T>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let wrong =
        |what: &dyn std::fmt::Display| Failure::usage(format!("{}: {what}", path.display()));
    let text = String::from_utf8(bounded_file(path, max)?).map_err(|error| wrong(&error))?;
    parse(&text)
        .map(Some)
        .map_err(|error| wrong(&error).remedy("docs/audit.md describes the file."))
}

/// Why what was kept of an earlier audit cannot be used.
pub(super) fn unusable(error: &BadNotebook) -> Failure {
    Failure::usage(error.to_string()).remedy(match error {
        BadNotebook::Busy(_) => "Wait until it has ended, or give each its own file.",
        BadNotebook::End { .. } | BadNotebook::Io { .. } => {
            "Give a file that --resume has written, or one that is not there yet."
        }
    })
}

/// The two halves of a state ID, decimal with a colon between.
fn state_id(text: &str) -> Result<(u64, u64), Failure> {
    let halves = text.split_once(':');
    let parsed = halves.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    parsed.ok_or_else(|| {
        Failure::usage(format!("invalid value {text:?} for -state-id: not two numbers"))
            .remedy("Give both halves as 'lockstep lock log' shows them, such as 1:2.")
    })
}

fn show(report: &Report, args: &Verify) -> Result<(), Failure> {
    if let Some(path) = &args.sarif {
        write(path, &print::json(&report.to_sarif())?)?;
    }
    if let Some(path) = &args.html {
        write(path, &report.to_html())?;
    }
    print::stdout(&if args.json { print::json(&report.to_json())? } else { report.to_text() })
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text)
        .map_err(|error| Failure::new(format!("writing {}: {error}", path.display())))
}

/// Replaces a file whole, so that a crash leaves the old one or the new one.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    write(Path::new(&name), text)?;
    fs::rename(&name, path)
        .map_err(|error| Failure::new(format!("writing {}: {error}", path.display())))
}
