//! The output of `lock log --json`.

use ledger::formats::log_json;
use sha2::{Digest, Sha256};

use super::{Aums, Found, Kind, Place};
use crate::checks::catalog::EXPORT_MALFORMED;
use crate::checks::{Finding, exported, listing};

/// Reads an export. What cannot be read at all yields no AUMs and says so.
pub(super) fn read(bytes: &[u8]) -> Aums {
    let mut aums = Aums {
        kind: Kind::LogJson,
        sha256: Some(Sha256::digest(bytes).into()),
        found: Vec::new(),
        oldest: None,
        one_branch: true,
        findings: Vec::new(),
        unread: None,
        shown: None,
        beside: None,
    };
    match log_json::read(bytes) {
        Ok(export) => {
            exported(&export, &mut aums.findings);
            listing(&export, &mut aums.findings);
            aums.found = export
                .messages
                .into_iter()
                .map(|message| Found { aum: message.aum, place: at(message.offset) })
                .collect();
        }
        Err(error) => {
            let mut finding = Finding::new(&EXPORT_MALFORMED, error.to_string());
            if let log_json::ExportError::Json(error) = &error {
                finding = finding.at(&at(error.offset));
            }
            aums.findings.push(finding);
            aums.unread = Some(format!("the export cannot be read: {error}"));
        }
    }
    aums
}

fn at(offset: usize) -> Place {
    Place { offset: Some(offset as u64), ..Place::default() }
}
