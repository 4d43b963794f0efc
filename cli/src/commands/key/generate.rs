//! `key generate` and `key seal`: new key files.

use std::path::Path;

use ledger::lock::signatures::{PrivateKey, Signer};
use replica::keys::{KeySource, Passphrase, generate_lock_key, guard_memory, store_lock_key};
use serde::Serialize;

use crate::args::{Generate, Seal};
use crate::commands::stored_key::stored;
use crate::exit::Failure;
use crate::print;

/// The JSON of a new file.
#[derive(Serialize)]
struct Made<'a> {
    key: String,
    file: &'a Path,
    sealed: bool,
}

pub(super) fn generate(args: &Generate) -> Result<(), Failure> {
    new_file(&args.file)?;
    if !args.seal && args.passphrase.passphrase_from.is_some() {
        return Err(Failure::usage(
            "--passphrase-from: a key that is not sealed has no passphrase",
        )
        .remedy("Add --seal."));
    }
    guard_memory();
    let passphrase = args.seal.then(|| args.passphrase.choose()).transpose()?;
    let key = generate_lock_key()?;
    store(&args.file, &key, passphrase.as_ref())?;
    if args.json {
        let made =
            Made { key: key.public().to_tlpub(), file: &args.file, sealed: passphrase.is_some() };
        return print::stdout(&print::json(&made)?);
    }
    print::stdout(&format!("{}\n", key.public()))
}

pub(super) fn seal(args: &Seal) -> Result<(), Failure> {
    new_file(&args.sealed)?;
    let stored = stored(&args.file)?;
    if stored.is_sealed() {
        return Err(Failure::new(format!("{} is sealed already", args.file.display())));
    }
    let key = stored.open(None)?;
    let passphrase = args.passphrase.choose()?;
    store(&args.sealed, &key, Some(&passphrase))?;
    print::stdout(&format!("{}\n", key.public()))?;
    print::note(&format!("{} still holds the key without a passphrase.", args.file.display()));
    Ok(())
}

fn store(path: &Path, key: &PrivateKey, passphrase: Option<&Passphrase>) -> Result<(), Failure> {
    Ok(store_lock_key(path, key, passphrase)?)
}

/// Refuses what cannot be a new file before anybody is asked for a passphrase.
fn new_file(path: &Path) -> Result<(), Failure> {
    match KeySource::parse(path.as_os_str())? {
        KeySource::Credential(_) => {
            Err(Failure::usage("a credential is made by the service manager, not by this command")
                .remedy("Make a file, and name it in the unit: LoadCredential=lock-key:FILE."))
        }
        KeySource::File(path) if path.symlink_metadata().is_ok() => {
            Err(replica::keys::KeyFileError::Exists { path }.into())
        }
        KeySource::File(_) => Ok(()),
    }
}
