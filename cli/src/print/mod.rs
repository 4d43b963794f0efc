//! Text and JSON for people and programs. Everything here only formats.

mod auth_keys;
mod commands;
pub(crate) mod everyone;
mod foreign;
pub(crate) mod group;
pub(crate) mod inspected;
pub(crate) mod log;
pub(crate) mod nodes;
pub(crate) mod records;
pub(crate) mod revocations;
pub(crate) mod signing;
pub(crate) mod status;
mod streams;
mod table;

use std::io::{ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::CommandFactory;
use serde::Serialize;
use serde_json::Value;

pub(crate) use auth_keys::auth_keys;
pub(crate) use foreign::{line, lines, without_secrets};

use crate::args::Cli;
use crate::exit::Failure;

/// What commands within notes end with: ` --socket PATH`, if this command was given one.
static SOCKET: OnceLock<String> = OnceLock::new();

/// From now on the commands within notes repeat these words. Said once, before anything is printed.
pub(crate) fn commands_repeat(socket: String) {
    // The first one stays: there is one command line.
    let _ = SOCKET.set(socket);
}

/// Writes to stdout and flushes it: when this returns, whoever reads has it.
pub(crate) fn stdout(text: &str) -> Result<(), Failure> {
    if streams::no_stdout() {
        return Err(Failure::new("writing to stdout: it is closed"));
    }
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| match error.kind() {
        // Nobody reads any more, as behind `| head`.
        ErrorKind::BrokenPipe => Failure::new(""),
        _ => Failure::new(format!("writing to stdout: {error}")),
    })
}

/// Writes to stderr as it is, secrets included.
pub(crate) fn stderr(text: &str) -> Result<(), Failure> {
    if streams::no_stderr() {
        return Err(Failure::new("writing to stderr: it is closed"));
    }
    let written = std::io::stderr().lock().write_all(text.as_bytes());
    written.map_err(|error| Failure::new(format!("writing to stderr: {error}")))
}

/// A message on stderr: made safe for terminals, without the secrets that somebody typed. Commands
/// in it that are meant for this machine repeat `--socket`, also those in a daemon's words.
pub(crate) fn note(text: &str) {
    let text = foreign::lines(&foreign::without_secrets(text));
    let text = match SOCKET.get() {
        Some(socket) => commands::naming_the_socket(&text, &Cli::command(), socket),
        None => text,
    };
    // There is no other place to complain.
    let _ = writeln!(std::io::stderr(), "{text}");
}

impl Failure {
    /// Says it on stderr and gives the code. Secrets that somebody typed are not repeated.
    pub(crate) fn report(&self) -> ExitCode {
        if !self.what.is_empty() {
            note(&self.what);
            if let Some(remedy) = &self.remedy {
                note(remedy);
            }
        }
        ExitCode::from(self.code as u8)
    }
}

/// Whether stdout is a terminal that wants colour.
pub(crate) fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// As [`json`], of what may be stale: each object, or each in a list, says so.
pub(crate) fn stale_json<T: Serialize>(value: &T) -> Result<String, Failure> {
    json(&marked_stale(value)?)
}

/// The value as JSON in which each object, or each in a list, says that it may be stale.
pub(crate) fn marked_stale<T: Serialize>(value: &T) -> Result<Value, Failure> {
    let mut value = serde_json::to_value(value)
        .map_err(|error| Failure::new(format!("writing JSON: {error}")))?;
    let objects = match &mut value {
        Value::Array(list) => list.iter_mut().collect(),
        other => vec![other],
    };
    for object in objects.into_iter().filter_map(Value::as_object_mut) {
        object.insert("stale".into(), Value::Bool(true));
    }
    Ok(value)
}

/// JSON as `tailscale lock` prints it: two spaces, `<`, `>` and `&` escaped, a final newline.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(format!("writing JSON: {error}")))?;
    // These stand only inside strings.
    let mut text = text.replace('<', r"\u003c").replace('>', r"\u003e").replace('&', r"\u0026");
    text.push('\n');
    Ok(text)
}
