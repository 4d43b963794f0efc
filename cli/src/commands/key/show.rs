//! `key show`.

use ledger::lock::signatures::Signer;
use serde::Serialize;

use crate::args::Show;
use crate::commands::stored_key::stored;
use crate::exit::Failure;
use crate::print;

/// The JSON of a key file.
#[derive(Serialize)]
struct Shown {
    key: String,
    sealed: bool,
    /// Whether the private half was seen, and is this key's.
    checked: bool,
}

pub(super) fn run(args: &Show) -> Result<(), Failure> {
    let stored = stored(&args.file)?;
    let (key, sealed) = (stored.public(), stored.is_sealed());
    let source = args.passphrase.source()?;
    let checked = !sealed || source.is_some();
    if checked && stored.open(source.as_ref())?.public() != key {
        return Err(Failure::new(format!(
            "{} holds another key than it names",
            args.file.display()
        )));
    }
    if args.json {
        return print::stdout(&print::json(&Shown { key: key.to_tlpub(), sealed, checked })?);
    }
    print::stdout(&format!("{key}\n"))?;
    if !checked {
        print::note("The file is sealed: it names this key, which --passphrase-from would check.");
    }
    Ok(())
}
