//! Whether an export shows what its AUMs say, in the way the original writes it.

use std::collections::BTreeSet;

use ledger::formats::log_json::{Export, Oddity};

use super::Finding;
use super::catalog::{AUM_HASH, EXPORT_RESPELLED, EXPORT_VIEW_DIFFERS};
use crate::source::Place;

/// Findings about the text: hashes and renderings that are not those of the bytes, and spelling.
pub(crate) fn exported(export: &Export, findings: &mut Vec<Finding>) {
    let at = |offset: usize| Place { offset: Some(offset as u64), ..Place::default() };
    for (i, message) in export.messages.iter().enumerate() {
        for oddity in &message.oddities {
            let finding = match oddity {
                Oddity::Hash(shown) => Finding::new(
                    &AUM_HASH,
                    format!("message {i} shows Hash {shown}, which is not the hash of its Raw"),
                ),
                Oddity::View(path) => Finding::new(
                    &EXPORT_VIEW_DIFFERS,
                    format!("message {i} shows another {path} than its Raw says"),
                ),
                Oddity::LeftOut(name) => Finding::new(
                    &EXPORT_VIEW_DIFFERS,
                    format!("message {i} has no {name}, which the original always shows"),
                ),
                Oddity::SeveralRaws => Finding::new(
                    &EXPORT_VIEW_DIFFERS,
                    format!("message {i} has several Raw, and they differ"),
                ),
            };
            let finding = match &message.aum {
                Ok(aum) => finding.aum(aum.hash()),
                Err(_) => finding,
            };
            findings.push(finding.at(&at(message.offset)));
        }
    }
    if let Some(offset) = export.respelled {
        let what = "the text says what the AUMs say, but not as an original program writes it";
        findings.push(Finding::new(&EXPORT_RESPELLED, what).at(&at(offset)));
    }
}

/// Findings about the order: each message must be followed by its parent, as the original lists
/// them. Missing AUMs are not looked for here.
pub(crate) fn listing(export: &Export, findings: &mut Vec<Finding>) {
    let aums = || export.messages.iter().filter_map(|message| message.aum.as_ref().ok());
    let present: BTreeSet<_> = aums().map(|aum| aum.hash()).collect();
    let repeated = aums().count() != present.len();
    let pairs = export.messages.windows(2).enumerate();
    let out_of_order = pairs
        .filter_map(|(i, pair)| Some((i, pair, pair[0].aum.as_ref().ok()?)))
        .find(|(_, pair, aum)| {
            let next = pair[1].aum.as_ref().ok().map(|next| next.hash());
            // A parent that is not in the export is another finding, and so is an unreadable one.
            let parent = aum.parent_hash();
            next.is_some() && next != parent && parent.is_none_or(|p| present.contains(&p))
        });
    let (i, offset) = match out_of_order {
        Some((i, pair, _)) => (i, pair[1].offset),
        None if repeated => (0, 0),
        None => return,
    };
    let message = format!("message {i} is not followed by its parent, as the original lists them");
    let place = Place { offset: Some(offset as u64), ..Place::default() };
    findings.push(Finding::new(&EXPORT_RESPELLED, message).at(&place));
}
