//! Questions, policies, acceptances and the reports for people and programs.
#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its ledger has failed")]

mod checks;
#[path = "../data_dirs/history.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod history;
mod html;
mod questions;

use std::collections::BTreeSet;
use std::path::Path;

use audit::demo::stolen_key;
use audit::report::Report;
use audit::source::{Detected, detect_bytes};
use audit::{Live, Options, Stored, verify_aums, verify_bundle, verify_live};
use ledger::formats::log_json;
use ledger::lock::Sealed;
use ledger::testing::Group;

/// The report on everything that a group has recorded.
fn of_group(group: &Group, options: &Options<'_>) -> Report {
    let records = group.records().into_iter().map(|record| {
        let (index, bytes) = (Some(record.index()), record.bytes().to_vec());
        Ok(Stored { index, bytes, shown: None })
    });
    verify_live("live", Live::of(records.collect()), options)
}

/// The report on an export of these AUMs, newest first.
fn of_export(aums: &[Sealed], options: &Options<'_>) -> Report {
    let text = log_json::write(aums);
    match detect_bytes(text.as_bytes(), Path::new("export")) {
        Ok(Detected::Aums(aums)) => verify_aums("export", aums, options),
        other => panic!("{other:?}"),
    }
}

/// The report on the sample story.
fn of_story(options: &Options<'_>) -> Report {
    let bundle = stolen_key().unwrap().bundle;
    match detect_bytes(&bundle, Path::new("history.tar")) {
        Ok(Detected::Bundle(bundle)) => verify_bundle("history.tar", &bundle, options).report,
        other => panic!("{other:?}"),
    }
}

fn kept() -> Options<'static> {
    Options { chronicle: true, ..Options::default() }
}

fn ids(report: &Report) -> BTreeSet<&'static str> {
    report.findings.iter().map(|finding| finding.check.id).collect()
}
