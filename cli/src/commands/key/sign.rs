//! `key sign`: signs on a machine without a daemon, after showing what.

use std::path::Path;

use replica::local_api::bodies::{MAX_SIGNING_BYTES, SigningRequest};

use crate::args::SignFile;
use crate::commands::outside::{signed_name, write_new};
use crate::commands::stored_key::stored;
use crate::commands::words::{bounded_file, can_ask, confirmed, quoted};
use crate::exit::Failure;
use crate::print;

pub(super) fn run(args: &SignFile) -> Result<(), Failure> {
    let what = |what: String| Failure::new(format!("{}: {what}", args.file.display()));
    let bytes = bounded_file(&args.file, MAX_SIGNING_BYTES as u64)?;
    let request: SigningRequest = serde_json::from_slice(&bytes).map_err(|error| {
        what(format!("it is nothing to sign: {error}"))
            .remedy("Give the file that 'lockstep lock ... --export' wrote.")
    })?;
    let draft = request.draft().map_err(|bad| what(bad.to_string()))?;
    let stored = stored(&args.key)?;
    let (want, got) = (draft.signer(), stored.public());
    if want != got {
        return Err(what(format!("it is to be signed by {want}, and this key is {got}"))
            .remedy("Use the other key, or export it for this one."));
    }
    let out = args.out.clone().unwrap_or_else(|| signed_name(&args.file));
    if out.symlink_metadata().is_ok() {
        return Err(Failure::new(format!("{} exists already", out.display()))
            .remedy("Choose another name with --out."));
    }
    print::stdout(&print::signing::text(&request, &draft))?;
    if !args.confirm && !agreed(args)? {
        return Ok(());
    }
    let key = stored.open(args.passphrase.source()?.as_ref())?;
    let signed = request.sign(&*key).map_err(|bad| what(bad.to_string()))?;
    write_new(&out, &signed)?;
    print::stdout(&format!(
        "Signed. Where it was exported, run:\n\tlockstep lock submit {}\n",
        word(&out)
    ))
}

/// Asks on a terminal; elsewhere says how to go on.
fn agreed(args: &SignFile) -> Result<bool, Failure> {
    if can_ask() {
        return confirmed("Sign all of this? [y/N]", false);
    }
    let mut line = format!("lockstep key sign --confirm --key {}", word(&args.key));
    if let Some(source) = &args.passphrase.passphrase_from {
        line.push_str(&format!(" --passphrase-from {}", quoted(source)));
    }
    if let Some(out) = &args.out {
        line.push_str(&format!(" --out {}", word(out)));
    }
    print::stdout(&format!(
        "If this is correct, please re-run this command with the --confirm flag:\n\t{line} {}\n",
        word(&args.file)
    ))?;
    Ok(false)
}

fn word(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}
