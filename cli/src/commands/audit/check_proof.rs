//! `audit check-proof`: a proof in, a verdict out.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use audit::Options;
use audit::evidence::{NotShown, Shown, check_proof};
use ledger::formats::tlog::{Checkpoint, VerifierKey};
use ledger::history::merkle::MerkleHash;
use serde_json::json;

use super::export::{CHECKPOINT_BYTES, evidence};
use super::verify::vkey;
use super::{UNDECIDABLE, failed, source};
use crate::args::AuditCheckProof;
use crate::commands::words::bounded_file;
use crate::exit::Failure;
use crate::print;

/// Bytes of a proof, at most: the largest record in base64, and what surrounds it.
const PROOF_BYTES: u64 = 8 << 20;

pub(super) fn run(args: &AuditCheckProof) -> ExitCode {
    let given = given(args);
    let (proof, keys, old) = match given {
        Ok(given) => given,
        Err(failure) => return failed(&failure),
    };
    let history = match &args.source {
        None => None,
        Some(path) => {
            let options = Options { now_ms: source::now_ms(), ..Options::default() };
            match evidence(path, &options) {
                Ok(evidence) => Some(evidence),
                Err(code) => return code,
            }
        }
    };
    let checked = check_proof(&proof, &keys, old, history.as_ref());
    let (code, verdict) = match &checked {
        Ok(_) => (0, "holds"),
        Err(NotShown::Malformed(_) | NotShown::Wrong(_) | NotShown::Forged) => (1, "broken"),
        Err(NotShown::Undecided(_) | NotShown::NoEvidence(_)) => (UNDECIDABLE, "undecidable"),
        Err(NotShown::OtherLog(_)) => (5, "undecidable"),
    };
    let text = if args.json { document(&checked, verdict, code) } else { Ok(text(&checked)) };
    match text.and_then(|text| print::stdout(&text)) {
        Err(failure) if !failure.what.is_empty() => failed(&failure),
        _ => ExitCode::from(code),
    }
}

type Given = (Vec<u8>, Vec<VerifierKey>, Option<(u64, MerkleHash)>);

fn given(args: &AuditCheckProof) -> Result<Given, Failure> {
    let keys = args.vkey.iter().map(|text| vkey(text)).collect::<Result<_, _>>()?;
    let old = match &args.old {
        None => None,
        Some(path) => {
            let bytes = bounded_file(path, CHECKPOINT_BYTES)?;
            // Also the file that --resume keeps, which nobody has signed.
            let unsigned = std::str::from_utf8(&bytes).ok().map(Checkpoint::of_text);
            let old = match unsigned {
                Some(Ok(checkpoint)) => Ok(checkpoint),
                _ => Checkpoint::of_note(&bytes).map(|(checkpoint, _)| checkpoint),
            };
            let old = old.map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?;
            Some((old.size, old.root))
        }
    };
    let proof = if args.proof == Path::new("-") {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().take(PROOF_BYTES).read_to_end(&mut bytes);
        read.map_err(|error| Failure::new(format!("reading from stdin: {error}")))?;
        bytes
    } else {
        bounded_file(&args.proof, PROOF_BYTES)?
    };
    Ok((proof, keys, old))
}

fn text(checked: &Result<Shown, NotShown>) -> String {
    let shown = match checked {
        Ok(shown) => shown,
        Err(why) => {
            return format!("  state: NOT SHOWN\n status: {}\n", print::line(&why.to_string()));
        }
    };
    let what = match (&shown.record, shown.old) {
        _ if shown.contradicts => format!(
            "the log is not what it was: its head at {} records and the one at {} cannot both be \
             true",
            shown.old.unwrap_or_default(),
            shown.size
        ),
        (Some((index, hash)), _) => format!("record {index} ({hash}) is in it"),
        (None, Some(old)) => format!("it began with the {old} records of the earlier checkpoint"),
        (None, None) => "nothing".to_owned(),
    };
    let mut out = format!(
        "  state: HOLDS\n status: {what}\n origin: {}\n   size: {}\n",
        print::line(&shown.origin),
        shown.size
    );
    for key in &shown.signers {
        out += &format!(" signer: {}\n", print::line(&key.to_string()));
    }
    out
}

fn document(checked: &Result<Shown, NotShown>, verdict: &str, code: u8) -> Result<String, Failure> {
    let common = json!({
        "schema": "lockstep.audit.check-proof/1",
        "verdict": verdict,
        "exit_code": code,
    });
    let mut document = common;
    match checked {
        Ok(shown) => {
            document["origin"] = json!(shown.origin);
            document["size"] = json!(shown.size);
            document["signers"] = shown.signers.iter().map(ToString::to_string).collect();
            document["old"] = json!(shown.old);
            document["contradiction"] = json!(shown.contradicts);
            document["record"] = shown.record.map_or(
                json!(null),
                |(index, hash)| json!({"index": index, "hash": hash.to_string()}),
            );
        }
        Err(why) => document["error"] = json!(why.to_string()),
    }
    print::json(&document)
}
