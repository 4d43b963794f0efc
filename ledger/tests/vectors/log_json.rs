//! log_json/: exports of the reference's command line, and the stores that they were made from.

use ledger::formats::log_json::{read, write};
use ledger::ids::AumHash;
use ledger::lock::Sealed;
use serde_json::Value;

use crate::case::{hash, list, member, number};
use crate::report::{Pass, Report, Verdict, guarded, run_folder, same};
use crate::{files, stores};

#[test]
fn log_json() {
    run_folder("log_json", |name, report| {
        // A name is the chain's, a dot, and what the file is.
        let (stem, kind) = name.split_once('.').unwrap_or((name, ""));
        let limit = kind.strip_prefix("limit").and_then(|kind| kind.strip_suffix(".json"));
        match (kind, limit.map(str::parse)) {
            ("tar", _) => report.note(name, guarded(|| stores::store(stem))),
            ("expect.json", _) => report.note(name, guarded(|| expectations(stem))),
            ("json", _) => export(name, stem, usize::MAX, report),
            (_, Some(Ok(limit))) => export(name, stem, limit, report),
            _ => report.note(name, Err("no test reads it".to_owned())),
        }
    });
}

fn bytes(path: &str) -> Vec<u8> {
    files::read(path).unwrap_or_else(|| panic!("{path} is missing"))
}

/// What the reference says of a chain, whose other files must be there.
pub fn expected(stem: &str) -> Value {
    serde_json::from_slice(&bytes(&format!("log_json/{stem}.expect.json"))).unwrap()
}

/// What is expected of a chain fits together; its other files are held to it.
fn expectations(stem: &str) -> Verdict {
    let expected = expected(stem);
    let log = list(member(&expected, "log_hashes_head_first_b32"));
    same("AUMs in the log", log.len() as u64, number(member(&expected, "aums_in_log")))?;
    same("head", log.first(), Some(member(&expected, "head_b32")))?;
    Ok(Pass::Same)
}

/// Each message is the AUM that it shows, at its place below the head; and ours would be written
/// byte for byte like that.
fn export(name: &str, stem: &str, limit: usize, report: &mut Report) {
    let expected = expected(stem);
    let log: Vec<AumHash> =
        list(member(&expected, "log_hashes_head_first_b32")).iter().map(hash).collect();
    let wanted = &log[..log.len().min(limit)];
    let document = bytes(&format!("log_json/{name}"));
    let export = match read(&document) {
        Ok(export) => export,
        Err(e) => return report.note("the document", Err(e.to_string())),
    };
    let mut aums: Vec<Sealed> = Vec::new();
    for (i, message) in export.messages.iter().enumerate() {
        let verdict = guarded(|| {
            let aum = message.aum.as_ref().map_err(|e| e.to_string())?;
            same("shown otherwise", message.oddities.as_slice(), &[])?;
            same("hash", Some(&aum.hash()), wanted.get(i))?;
            Ok(Pass::Same)
        });
        aums.extend(message.aum.clone());
        report.note(&format!("message {i}"), verdict);
    }
    let whole = guarded(|| {
        same("messages", export.messages.len(), wanted.len())?;
        same("respelled", export.respelled, None)?;
        same("written", write(&aums).as_bytes(), document.as_slice())?;
        Ok(Pass::Same)
    });
    if let Err(what) = whole {
        report.note("the document", Err(what));
    }
}
