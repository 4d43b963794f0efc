//! `audit verify`: a source in, a verdict out.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use audit::report::Report;
use audit::source::{Detected, Kind, Unreadable, detect, detect_stream};
use audit::trust_anchor::Anchors;
use audit::verdict::Demands;
use audit::{Options, Progress, unreadable, verify_aums, verify_data_dir};
use ledger::ids::AumHash;

use super::daemon;
use crate::args::Verify;
use crate::commands;
use crate::exit::Failure;
use crate::print;

/// The exit code for what could not be decided.
const UNDECIDABLE: u8 = 3;

/// How long nothing is said about progress.
const QUIET: Duration = Duration::from_secs(1);

pub(super) fn run(args: Verify) -> ExitCode {
    let said = Mutex::new(Instant::now());
    let progress = |what: &str, count: u64| {
        // Whoever panicked while holding it only wrote to stderr.
        let mut said = said.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if said.elapsed() >= QUIET {
            print::note(&format!("{count} {what}"));
            *said = Instant::now();
        }
    };
    let progress = if args.progress { Progress::to(&progress) } else { Progress::default() };
    let options = match options(&args, progress) {
        Ok(options) => options,
        Err(failure) => return failure.report(),
    };
    // A bug met on hostile input must not pass for one of the verdicts.
    let report = catch_unwind(AssertUnwindSafe(|| audit(&args.source, &options)));
    let report = report.unwrap_or_else(|_| {
        let name = args.source.to_string_lossy();
        unreadable(&name, None, "the audit itself failed; please report this as a bug")
    });
    match show(&report, args.json) {
        Ok(()) => ExitCode::from(report.exit_code),
        // Nobody reads the report any more; the code still says what it says.
        Err(failure) if failure.what.is_empty() => ExitCode::from(report.exit_code),
        Err(failure) => {
            failure.report();
            ExitCode::from(UNDECIDABLE)
        }
    }
}

fn options<'a>(args: &Verify, progress: Progress<'a>) -> Result<Options<'a>, Failure> {
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
    Ok(Options {
        anchors: Anchors {
            genesis: hash("genesis", &args.genesis)?,
            head: hash("head", &args.head)?,
            state_id,
        },
        demands: Demands { anchor: args.require_anchor, fail_on },
        tmp: args.tmp.clone(),
        progress,
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

fn audit(source: &Path, options: &Options<'_>) -> Report {
    let (name, detected) = if source == Path::new("-") {
        ("stdin".to_owned(), detect_stream(io::stdin().lock(), Path::new("stdin")))
    } else {
        (source.to_string_lossy().into_owned(), detect(source))
    };
    match detected {
        Ok(Detected::Aums(aums)) => verify_aums(&name, aums, options),
        Ok(Detected::DataDir(dir)) => verify_data_dir(&name, &dir, options),
        Ok(Detected::Socket(socket)) => match commands::runtime() {
            Ok(runtime) => daemon::audit(&name, &socket, &runtime, options),
            Err(failure) => unreadable(&name, Some(Kind::Daemon), &failure.what),
        },
        Err(error) => {
            let kind = match &error {
                Unreadable::SeveralProfiles { .. } => Some(Kind::StateDir),
                _ => None,
            };
            unreadable(&name, kind, &error.to_string())
        }
    }
}

fn show(report: &Report, json: bool) -> Result<(), Failure> {
    print::stdout(&if json { print::json(&report.to_json())? } else { report.to_text() })
}
