//! Changes that another key than the daemon's signs: from a file here, or on another machine.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use ledger::ids::LockKey;
use ledger::lock::signatures::{PrivateKey, Signer};
use replica::local_api::bodies::{AskedBody, SigningRequest, UnsignedRequest};
use serde::Serialize;

use super::Session;
use super::change::{Done, Request};
use super::stored_key::stored;
use super::words::quoted;
use crate::args::SignWith;
use crate::exit::Failure;
use crate::print;

/// How often something is signed anew because the lock has changed under it.
const ATTEMPTS: usize = 64;

/// A key that the daemon does not hold.
pub(super) enum With {
    /// At hand.
    Key(Box<PrivateKey>),
    /// On another machine, for which a file is written.
    Export {
        /// The key.
        signer: LockKey,
        /// The file.
        file: PathBuf,
    },
}

impl With {
    /// The key that signs.
    pub(super) fn signer(&self) -> LockKey {
        match self {
            With::Key(key) => key.public(),
            With::Export { signer, .. } => *signer,
        }
    }
}

impl SignWith {
    /// The key that was asked for; none if it is the daemon's.
    pub(super) fn chosen(&self) -> Result<Option<With>, Failure> {
        let public = |path: &Path| path.to_str().and_then(|text| text.parse::<LockKey>().ok());
        match (&self.key, &self.export) {
            (None, None) if self.passphrase.passphrase_from.is_some() => {
                Err(Failure::usage("--passphrase-from: no sealed key is named")
                    .remedy("Name its file with --key."))
            }
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Failure::usage("--export: it is not said who is to sign")
                .remedy("Name the key with --key: its file, or its public key (tlpub:...).")),
            (Some(key), Some(file)) => {
                let signer = match public(key) {
                    Some(key) => key,
                    None => stored(key)?.public(),
                };
                Ok(Some(With::Export { signer, file: file.clone() }))
            }
            (Some(key), None) if public(key).is_some() => {
                Err(Failure::usage("--key: this is a public key, which signs nothing").remedy(
                    "Name the file that holds its private half, or write what is to be signed to \
                     a file with --export.",
                ))
            }
            (Some(key), None) => self.passphrase.open(key).map(With::Key).map(Some),
        }
    }
}

impl SignWith {
    /// The flags again, for a command that is printed.
    pub(super) fn words(&self) -> String {
        let mut words = String::new();
        let mut flag = |name: &str, value: &str| {
            words.push_str(&format!(" {name} {}", quoted(value)));
        };
        if let Some(key) = &self.key {
            flag("--key", &key.to_string_lossy());
        }
        if let Some(from) = &self.passphrase.passphrase_from {
            flag("--passphrase-from", from);
        }
        if let Some(file) = &self.export {
            flag("--export", &file.to_string_lossy());
        }
        words
    }
}

/// Has a change signed and recorded, or written to a file to be signed; then there is no outcome.
pub(super) fn change(
    asked: AskedBody,
    with: &With,
    request: &Request,
    session: &Session,
) -> Result<Option<Done>, Failure> {
    if let (With::Export { .. }, true) = (with, request.json) {
        return Err(Failure::usage("--json: an export changes nothing and has no outcome"));
    }
    let mut order = UnsignedRequest { signer: with.signer().to_tlpub(), asked, head: None };
    let mut attempts = 0;
    loop {
        attempts += 1;
        let answer = session.wait(session.client.unsigned(&order, &request.asked()));
        let answer = answer.map_err(Failure::from)?;
        let Some(unsigned) = answer.value else {
            return Ok(Some(Done { receipt: answer.receipt, node: None }));
        };
        let key = match with {
            With::Key(key) => key,
            With::Export { file, .. } => return export(&unsigned, file, session).map(|()| None),
        };
        // What was asked was asked on the first head, whatever comes between.
        order.head.get_or_insert_with(|| unsigned.head.clone());
        let signed =
            unsigned.sign(&**key).map_err(|bad| Failure::new(format!("signing: {bad}")))?;
        match session.wait(session.client.signed(&signed, &request.asked())) {
            Ok(changed) => return Ok(Some(Done { receipt: changed.receipt, node: None })),
            Err(error) if error.overtaken() && attempts < ATTEMPTS => {}
            Err(error) => return Err(request.failed(error)),
        }
    }
}

/// Tells the outcome, if there is one.
pub(super) fn conclude(
    request: &Request,
    result: Result<Option<Done>, Failure>,
) -> Result<(), Failure> {
    match result {
        Ok(None) => Ok(()),
        Ok(Some(done)) => request.conclude(Ok(done)).map(drop),
        Err(failure) => request.conclude(Err(failure)).map(drop),
    }
}

fn export(unsigned: &SigningRequest, file: &Path, session: &Session) -> Result<(), Failure> {
    write_new(file, unsigned)?;
    let words = |path: &Path| quoted(&path.to_string_lossy());
    print::stdout(&format!(
        "What {} is to sign was written to {}. On the machine that has the key, run:\n\tlockstep \
         key sign {} --key KEY_FILE\nThen bring {} here and run:\n\tlockstep lock submit {}{}\n",
        unsigned.signer,
        file.display(),
        words(file),
        signed_name(file).display(),
        words(&signed_name(file)),
        session.socket_words()
    ))
}

/// Where the signed form of a file goes.
pub(super) fn signed_name(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".signed");
    name.into()
}

/// Writes JSON to a file that must be new.
pub(super) fn write_new<T: Serialize>(path: &Path, value: &T) -> Result<(), Failure> {
    let failed =
        |what: &dyn std::fmt::Display| Failure::new(format!("writing {}: {what}", path.display()));
    let text = print::json(value)?;
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = file.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => failed(&error).remedy("Choose a name that is not there yet."),
        _ => failed(&error),
    })?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|error| {
        // Half a file would only be in the way.
        let _ = std::fs::remove_file(path);
        failed(&error)
    })
}
