//! `audit prove`: proofs in the formats of C2SP.

use std::process::ExitCode;

use audit::Options;
use audit::evidence::{Evidence, NoEvidence};

use super::export::{checkpoint, evidence};
use super::{failed, source};
use crate::args::AuditProve;
use crate::exit::Failure;
use crate::print;

pub(super) fn run(args: &AuditProve) -> ExitCode {
    let (index, source) = match (args.words.as_slice(), args.from) {
        ([index, source], None) => {
            let index = index.to_str().and_then(|text| text.parse::<u64>().ok());
            match index {
                Some(index) => (index, source),
                None => return failed(&Failure::usage("the index of a record is a number")),
            }
        }
        ([source], Some(_)) => (0, source),
        _ => {
            return failed(
                &Failure::usage("prove takes the index of a record, or --from, and a source")
                    .remedy("Such as: lockstep audit prove 17 evidence.tar"),
            );
        }
    };
    let options = Options { now_ms: source::now_ms(), ..Options::default() };
    let mut evidence = match evidence(source, &options) {
        Ok(evidence) => evidence,
        Err(code) => return code,
    };
    match proof(args, index, &mut evidence).and_then(|text| print::stdout(&text)) {
        Err(failure) if !failure.what.is_empty() => failed(&failure),
        _ => ExitCode::SUCCESS,
    }
}

fn proof(args: &AuditProve, index: u64, evidence: &mut Evidence) -> Result<String, Failure> {
    if let Some(path) = &args.checkpoint {
        checkpoint(path, evidence)?;
    }
    let text = match args.from {
        Some(old) => evidence.consistency(old).map(|proof| proof.to_string()),
        None => evidence.inclusion(index).map(|proof| proof.to_string()),
    };
    text.map_err(|error| {
        let failure = Failure::new(error.to_string());
        match error {
            NoEvidence::NoCheckpoint => failure.remedy(
                "Give one that a log key of this ledger has signed with --checkpoint, or prove \
                 from a bundle that has one.",
            ),
            _ => failure,
        }
    })
}
