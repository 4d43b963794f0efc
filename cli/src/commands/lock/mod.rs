//! `lock ...`.

mod add;
mod disable;
mod disablement_kdf;
mod init;
mod local;
mod log;
mod prune;
mod remove;
mod revoke_keys;
mod sign;
mod status;
mod submit;

use replica::local_api::bodies::LockStatus;
use replica::local_api::client::ClientError;

use super::Session;
use crate::args::{LockCommand, Status};
use crate::exit::Failure;

/// Runs a subcommand; without one, `status`.
pub(super) fn run(command: Option<LockCommand>, session: &Session) -> Result<(), Failure> {
    match command {
        None => status::run(Status::default(), session),
        Some(LockCommand::Status(args)) => status::run(args, session),
        Some(LockCommand::Init(args)) => init::run(args, session),
        Some(LockCommand::Add(args)) => add::run(args, session),
        Some(LockCommand::Remove(args)) if args.unused_preauth_keys => prune::run(&args, session),
        Some(LockCommand::Remove(args)) => remove::run(args, session),
        Some(LockCommand::Sign(args)) => sign::run(args, session),
        Some(LockCommand::Submit(args)) => submit::run(&args, session),
        Some(LockCommand::TskeyWrap(args)) => sign::wrap(&args, session),
        Some(LockCommand::Disable(args)) => disable::run(args, session),
        Some(LockCommand::DisablementKdf(args)) => disablement_kdf::run(args),
        Some(LockCommand::Log(args)) => log::run(args, session),
        Some(LockCommand::LocalDisable(args)) => local::disable(args, session),
        Some(LockCommand::LocalEnable(args)) => local::enable(args, session),
        Some(LockCommand::RevokeKeys(args)) => revoke_keys::run(args, session),
    }
}

/// The lock's status; an error unless it is on.
fn enabled(session: &Session) -> Result<LockStatus, Failure> {
    let status = session.wait(session.client.lock_status())?;
    if status.enabled {
        return Ok(status);
    }
    not_set_aside(session)?;
    let line = format!("lockstep lock init{}", session.socket_words());
    Err(Failure::new("tailnet lock is not enabled").remedy(format!("Run '{line}' to turn it on.")))
}

/// Refuses if the lock is on and set aside on this machine; the daemon has said that it is off.
pub(super) fn not_set_aside(session: &Session) -> Result<(), Failure> {
    match Off::here(session)? {
        Off::SetAside => Err(set_aside(session)),
        Off::Never | Off::Ended(_) | Off::Untold => Ok(()),
    }
}

/// Why a daemon says that the lock is off.
enum Off {
    /// It has never been on.
    Never,
    /// It is over; the number of the last one.
    Ended(u32),
    /// It is on for everybody else, and set aside on that machine.
    SetAside,
    /// A tailscaled, which keeps no history and does not say.
    Untold,
}

impl Off {
    /// Asks the daemon that has just said so.
    fn here(session: &Session) -> Result<Self, Failure> {
        match session.wait(session.client.epochs()) {
            Ok(epochs) => Ok(match epochs.last() {
                None => Off::Never,
                Some(last) if last.disabled_record.is_some() => Off::Ended(last.epoch),
                Some(_) => Off::SetAside,
            }),
            Err(ClientError::NeedsLockstep { .. }) => Ok(Off::Untold),
            Err(error) => Err(error.into()),
        }
    }
}

/// The lock is on, and this machine does nothing with it.
fn set_aside(session: &Session) -> Failure {
    let line = format!("lockstep lock local-enable{}", session.socket_words());
    Failure::new("tailnet lock is on, but set aside on this node alone (local-disable)")
        .remedy(format!("Run '{line}' to take part in it again."))
}

/// The schema version that `--json[=VERSION]` names: bare and true are 1, false is text.
fn json_version(json: Option<&str>) -> Result<Option<i64>, Failure> {
    match json {
        None | Some("false" | "f" | "F" | "FALSE" | "False") => Ok(None),
        Some("true" | "t" | "T" | "TRUE" | "True") => Ok(Some(1)),
        Some(text) => number(text).map(Some).ok_or_else(|| {
            Failure::usage(format!("invalid boolean value {text:?} for -json: parse error"))
        }),
    }
}

/// Whether JSON is wanted, if it is of a version that this program writes.
fn wants_json(version: Option<i64>) -> Result<bool, Failure> {
    match version {
        None => Ok(false),
        Some(1) => Ok(true),
        Some(version) => Err(Failure::new(format!("unrecognised version: {version}"))
            .remedy("This program writes schema version 1.")),
    }
}

/// An integer as Go writes it in source: decimal, `0x`, `0o` or `0`, `0b`.
fn number(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (digits, radix) = if let Some(hex) = lower.strip_prefix("0x") {
        (hex, 16)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        (octal, 8)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (binary, 2)
    } else if let Some(octal) = lower.strip_prefix('0').filter(|rest| !rest.is_empty()) {
        (octal, 8)
    } else {
        (lower.as_str(), 10)
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_may_name_its_version() {
        let wants = |json| json_version(json).and_then(wants_json);
        assert_eq!(wants(None), Ok(false));
        for yes in ["true", "1", "0x1", "01", "0b1", "+1"] {
            assert_eq!(wants(Some(yes)), Ok(true), "{yes}");
        }
        assert_eq!(wants(Some("false")), Ok(false));
        assert_eq!(wants(Some("2")).unwrap_err().what, "unrecognised version: 2");
        assert_eq!(wants(Some("0")).unwrap_err().what, "unrecognised version: 0");
        for bad in ["x", "", "--1", "0x", "1.0"] {
            let failure = json_version(Some(bad)).unwrap_err();
            assert_eq!(failure.code, crate::exit::Code::Usage, "{bad}");
        }
    }
}
