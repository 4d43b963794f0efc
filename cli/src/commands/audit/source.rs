//! Opening a source for the audit: files and directories there, sockets here.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use audit::source::{Detected, Kind, Shown, Unreadable, detect, detect_stream};
use audit::{
    Audited, Options, audit_data_dir, unreadable, verify_aums, verify_backup, verify_bundle,
};

use super::{daemon, read_directory};
use crate::commands;
use crate::commands::status_file::{self, StatusFile};
use crate::exit::Failure;
use crate::print;

/// How long nothing is said about progress.
const QUIET: Duration = Duration::from_secs(1);

/// Says on stderr how far the work is, now and then.
pub(super) fn progress() -> impl Fn(&str, u64) + Sync {
    let said = Mutex::new(Instant::now());
    move |what: &str, count: u64| {
        // Whoever panicked while holding it only wrote to stderr.
        let mut said = said.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if said.elapsed() >= QUIET {
            print::note(&format!("{count} {what}"));
            *said = Instant::now();
        }
    }
}

/// This machine's clock, in milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The nodes of a status that goes with an export.
pub(super) fn beside(path: Option<&Path>) -> Result<Option<Shown>, Failure> {
    let Some(path) = path else { return Ok(None) };
    match status_file::read(path)? {
        StatusFile::Lock(shown) => Ok(Some(shown)),
        StatusFile::Machine(_) => Err(Failure::usage(format!(
            "{}: the status of a machine has no signatures",
            path.display()
        ))
        .remedy("Give what 'tailscale lock status --json' prints.")),
    }
}

/// Audits a source. `keep` asks for the evidence too.
pub(super) fn audit(
    source: &Path,
    beside: Option<Shown>,
    options: &Options<'_>,
    keep: bool,
) -> Audited {
    // A bug met on hostile input must not pass for one of the verdicts.
    let audited = catch_unwind(AssertUnwindSafe(|| detected(source, beside, options, keep)));
    audited.unwrap_or_else(|_| {
        let name = source.to_string_lossy();
        let why = "the audit itself failed; please report this as a bug";
        unreadable(&name, None, why).into()
    })
}

fn detected(source: &Path, beside: Option<Shown>, options: &Options<'_>, keep: bool) -> Audited {
    let (name, detected) = if source == Path::new("-") {
        ("stdin".to_owned(), detect_stream(io::stdin().lock(), Path::new("stdin")))
    } else {
        (source.to_string_lossy().into_owned(), detect(source))
    };
    match detected {
        Ok(Detected::Aums(mut aums)) => {
            aums.beside = beside;
            verify_aums(&name, aums, options).into()
        }
        Ok(Detected::Backup(backup)) => verify_backup(&name, &backup, options, keep),
        Ok(Detected::Bundle(bundle)) => verify_bundle(&name, &bundle, options),
        Ok(Detected::DataDir(dir)) => {
            let guard = read_directory::guard();
            audit_data_dir(&name, &dir, &Options { guard, ..options.clone() }, keep)
        }
        Ok(Detected::Socket(socket)) => match commands::runtime() {
            Ok(runtime) => daemon::audit(&name, &socket, &runtime, options, keep),
            Err(failure) => unreadable(&name, Some(Kind::Daemon), &failure.what).into(),
        },
        Err(error) => {
            let kind = match &error {
                Unreadable::SeveralProfiles { .. } => Some(Kind::StateDir),
                _ => None,
            };
            unreadable(&name, kind, &error.to_string()).into()
        }
    }
}
