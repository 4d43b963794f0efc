//! `audit export` and `audit vkeys`: evidence of a ledger that holds.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::ExitCode;

use audit::evidence::Evidence;
use audit::verdict::Verdict;
use audit::{Options, Progress};
use replica::daemon::checkpoints::FILE as CHECKPOINT_FILE;
use replica::local_api::client::Client;

use super::{UNDECIDABLE, failed, source};
use crate::args::{AuditExport, AuditVkeys};
use crate::commands;
use crate::commands::words::bounded_file;
use crate::exit::Failure;
use crate::print;

/// Bytes of a checkpoint, at most.
pub(super) const CHECKPOINT_BYTES: u64 = 1 << 20;

pub(super) fn run(args: &AuditExport) -> ExitCode {
    let listener = source::progress();
    let options = Options {
        now_ms: source::now_ms(),
        tmp: args.tmp.clone(),
        progress: if args.progress { Progress::to(&listener) } else { Progress::default() },
        ..Options::default()
    };
    let mut evidence = match evidence(&args.source, &options) {
        Ok(evidence) => evidence,
        Err(code) => return code,
    };
    match export(args, &mut evidence) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(&failure),
    }
}

fn export(args: &AuditExport, evidence: &mut Evidence) -> Result<(), Failure> {
    match &args.checkpoint {
        Some(path) => checkpoint(path, evidence)?,
        None => checkpoint_beside(&args.source, evidence),
    }
    let size = args.at.unwrap_or(evidence.size());
    let writing = |error: &dyn std::fmt::Display| {
        Failure::new(format!("writing {}: {error}", args.file.display()))
    };
    let file = OpenOptions::new().write(true).create_new(true).open(&args.file);
    let mut out = BufWriter::new(file.map_err(|error| writing(&error))?);
    let written = evidence.write_bundle(size, &mut out).map_err(|error| {
        // What is there of it is no bundle.
        let _ = std::fs::remove_file(&args.file);
        writing(&error)
    })?;
    out.flush().map_err(|error| writing(&error))?;
    if let Some(dir) = &args.tiles {
        evidence
            .write_tiles(size, dir)
            .map_err(|error| Failure::new(format!("writing {}: {error}", dir.display())))?;
    }
    print::note(&format!("{size} records of {} written.", evidence.origin()));
    print::note(&match written.checkpoint {
        Some(covered) => format!("The checkpoint in it covers {covered} of them."),
        None => "There is no checkpoint in it: no signed one came with the source. Whoever \
                 gets it needs the genesis or a remembered head to know whose it is."
            .to_owned(),
    });
    Ok(())
}

pub(super) fn vkeys(args: &AuditVkeys) -> ExitCode {
    let options = Options { now_ms: source::now_ms(), ..Options::default() };
    let evidence = match evidence(&args.source, &options) {
        Ok(evidence) => evidence,
        Err(code) => return code,
    };
    let keys = evidence.vkeys(evidence.size());
    let text: String = keys.iter().map(|key| format!("{key}\n")).collect();
    match print::stdout(&text) {
        Err(failure) if !failure.what.is_empty() => failed(&failure),
        _ => ExitCode::SUCCESS,
    }
}

/// Takes a signed checkpoint that came from elsewhere.
pub(super) fn checkpoint(path: &Path, evidence: &mut Evidence) -> Result<(), Failure> {
    let bytes = bounded_file(path, CHECKPOINT_BYTES)?;
    evidence
        .use_checkpoint(&bytes)
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}

/// Takes the signed checkpoint that the source itself has: what a daemon signs now, or has left in
/// its data directory. Without one there is none; one that does not fit is told.
///
/// A checkpoint vouches for the history only to whoever trusts one of its log keys.
pub(super) fn checkpoint_beside(source: &Path, evidence: &mut Evidence) {
    let bytes = if source.is_dir() {
        let path = source.join(CHECKPOINT_FILE);
        if !path.exists() {
            return;
        }
        bounded_file(&path, CHECKPOINT_BYTES).map_err(|failure| failure.what)
    } else if source.metadata().is_ok_and(|metadata| metadata.file_type().is_socket()) {
        let client = Client::new(source);
        commands::runtime().map_err(|failure| failure.what).and_then(|runtime| {
            runtime.block_on(client.checkpoint(evidence.size())).map_err(|error| error.to_string())
        })
    } else {
        return;
    };
    let used =
        bytes.and_then(|bytes| evidence.use_checkpoint(&bytes).map_err(|error| error.to_string()));
    if let Err(error) = used {
        print::note(&format!("The source's own checkpoint is not used: {error}"));
    }
}

/// The evidence of a source whose history holds; otherwise the code to exit with.
pub(super) fn evidence(source: &Path, options: &Options<'_>) -> Result<Evidence, ExitCode> {
    let audited = source::audit(source, None, options, true);
    let report = &audited.report;
    if report.verdict != Verdict::Holds {
        let why = format!("{}: the history does not hold ({})", report.source, report.verdict);
        Failure::new(why).remedy("'lockstep audit verify' says what is wrong with it.").report();
        return Err(ExitCode::from(report.exit_code));
    }
    audited.evidence.ok_or_else(|| {
        Failure::new(format!("{}: it has no records", report.source))
            .remedy("Name a daemon of ours, a data directory or a bundle.")
            .report();
        ExitCode::from(UNDECIDABLE)
    })
}
