//! Keys in files and credentials, and the passphrases that open them.

use std::path::Path;

use ledger::lock::signatures::PrivateKey;
use replica::keys::{
    KeyFileError, KeySource, Passphrase, PassphraseSource, StoredKey, ask_passphrase, guard_memory,
};

use crate::args::PassphraseFrom;
use crate::exit::Failure;

impl From<KeyFileError> for Failure {
    fn from(error: KeyFileError) -> Self {
        Failure::new(error.to_string())
    }
}

impl PassphraseFrom {
    pub(super) fn source(&self) -> Result<Option<PassphraseSource>, Failure> {
        let source = self.passphrase_from.as_deref().map(str::parse).transpose();
        source.map_err(|error| Failure::usage(format!("--passphrase-from: {error}")))
    }

    /// The key that `word` names, opened.
    pub(super) fn open(&self, word: &Path) -> Result<Box<PrivateKey>, Failure> {
        let source = self.source()?;
        Ok(stored(word)?.open(source.as_ref())?)
    }

    /// A passphrase for a new file; on the terminal it is asked for twice.
    pub(super) fn choose(&self) -> Result<Passphrase, Failure> {
        if let Some(source) = self.source()? {
            return Ok(source.read()?);
        }
        let first = ask_passphrase("New passphrase")?;
        if ask_passphrase("The same passphrase again")? != first {
            return Err(Failure::new("the two passphrases differ; nothing was written"));
        }
        Ok(first)
    }
}

/// What lies where `word` says, still sealed if it is. From here on the process guards its memory.
pub(super) fn stored(word: &Path) -> Result<StoredKey, Failure> {
    guard_memory();
    Ok(KeySource::parse(word.as_os_str())?.read()?)
}
