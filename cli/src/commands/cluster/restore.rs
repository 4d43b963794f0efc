//! `cluster restore`.

use std::path::PathBuf;

use audit::source::{Detected, detect};
use ledger::ids::AumHash;
use replica::offline::restore::{Beyond, Survey, check_target, restore, survey};
use serde_json::{Map, Value, json};

use super::begin::{agreed, config, not_begun, progress, tell};
use crate::args::{Global, Restore};
use crate::exit::Failure;
use crate::print;

/// AUMs that are named, at most.
const NAMED: usize = 20;

/// What a node has of the lock.
struct Theirs {
    name: String,
    aums: Vec<AumHash>,
}

pub(super) fn run(args: &Restore, global: Global) -> Result<(), Failure> {
    let config = config(&args.begin, args.name.clone(), global)?;
    check_target(&config.data_dir).map_err(|error| not_begun(&error))?;
    let (dirs, theirs) = sources(&args.compare)?;
    let survey = survey(&args.file, &dirs, &progress("read"));
    let survey = survey.map_err(|error| not_begun(&error))?;
    let undone = Undone::of(&survey, &theirs);
    let file = args.file.display().to_string();
    let dir = print::line(&config.data_dir.display().to_string());
    let text = format!("{}The new incarnation goes to {dir}.\n", undone.text(&file, &survey));
    if !agreed(&args.begin, &text, undone.document(&survey), "Restore this backup?")? {
        return Ok(());
    }
    let name = replica::daemon::member_name(config.name.as_deref())
        .map_err(|error| Failure::usage(error.to_string()))?;
    let begun =
        restore(&args.file, &config.data_dir, &name, &config.lock_key, &progress("replayed"));
    let begun = begun.map_err(|error| not_begun(&error))?;
    let done = format!("Restored {} records from {}.\n", begun.records, print::line(&file));
    tell(&args.begin, &begun, undone.document(&survey), &done)
}

/// Tells data directories from what nodes have.
fn sources(paths: &[PathBuf]) -> Result<(Vec<PathBuf>, Vec<Theirs>), Failure> {
    let (mut dirs, mut theirs) = (Vec::new(), Vec::new());
    for path in paths {
        let pulled = path.join("aums.cbor");
        let path = if pulled.is_file() { &pulled } else { path };
        let name = path.display().to_string();
        match detect(path) {
            Ok(Detected::DataDir(dir)) => dirs.push(dir),
            Ok(Detected::Aums(aums)) => {
                let aums = aums.found.iter().filter_map(|found| found.aum.as_ref().ok());
                theirs.push(Theirs { name, aums: aums.map(|aum| aum.hash()).collect() });
            }
            Ok(_) => {
                return Err(Failure::new(format!("--compare {name}: there is nothing to compare"))
                    .remedy("Name a data directory, or what a node has of the lock."));
            }
            Err(error) => return Err(Failure::new(format!("--compare {name}: {error}"))),
        }
    }
    Ok((dirs, theirs))
}

/// What others have and the backup has not.
struct Undone<'a> {
    records: Vec<&'a Beyond>,
    aums: Vec<(&'a str, Vec<AumHash>)>,
}

impl<'a> Undone<'a> {
    fn of(survey: &'a Survey, theirs: &'a [Theirs]) -> Self {
        let missing = |theirs: &'a Theirs| {
            let aums = theirs.aums.iter().filter(|aum| !survey.aums.contains(*aum));
            (theirs.name.as_str(), aums.copied().collect::<Vec<_>>())
        };
        Undone {
            records: survey.beyond.iter().collect(),
            aums: theirs.iter().map(missing).collect(),
        }
    }

    fn text(&self, file: &str, survey: &Survey) -> String {
        let head = survey.head;
        let mut text = format!(
            "{}: {} records of incarnation {}, the last from {}\n{}\nWhatever was recorded after \
             that is undone.\nNobody from before can enter the new incarnation.\n",
            print::line(file),
            head.records,
            head.incarnation,
            audit::dates::date_time(survey.last_ms),
            survey.end.hash,
        );
        for beyond in &self.records {
            let dir = print::line(&beyond.dir.display().to_string());
            let count = beyond.records.len() as u64 + beyond.more;
            match (beyond.differs, count) {
                (None, 0) => text.push_str(&format!("{dir} has no record that it lacks.\n")),
                (None, _) => text.push_str(&format!("{dir} has {count} records that it lacks:\n")),
                (Some(at), _) => text.push_str(&format!(
                    "{dir} HAS ANOTHER HISTORY from record {at} on, {count} records:\n"
                )),
            }
            for record in &beyond.records {
                let proposal = record.proposal().proposal();
                text.push_str(&format!(
                    "\trecord {}: {}, {}\n",
                    record.index(),
                    proposal.event.kind_name(),
                    proposal.request,
                ));
            }
            if beyond.more > 0 {
                text.push_str(&format!("\tand {} more\n", beyond.more));
            }
        }
        for (name, aums) in &self.aums {
            let name = print::line(name);
            if aums.is_empty() {
                text.push_str(&format!("{name} has no AUM that it lacks.\n"));
                continue;
            }
            text.push_str(&format!("{name} has {} AUMs that it lacks:\n", aums.len()));
            for aum in aums.iter().take(NAMED) {
                text.push_str(&format!("\t{aum}\n"));
            }
            if aums.len() > NAMED {
                text.push_str(&format!("\tand {} more\n", aums.len() - NAMED));
            }
            text.push_str("That node will not accept the restored lock.\n");
        }
        if self.records.is_empty() && self.aums.is_empty() {
            text.push_str("What that is cannot be told: nothing was named with --compare.\n");
        }
        text
    }

    fn document(&self, survey: &Survey) -> Map<String, Value> {
        let records: Vec<Value> = self
            .records
            .iter()
            .map(|beyond| {
                json!({
                    "source": beyond.dir.display().to_string(),
                    "records": beyond.records.len() as u64 + beyond.more,
                    "differs_at": beyond.differs,
                    "first": beyond.records.iter().map(|record| json!({
                        "index": record.index(),
                        "hash": record.hash().to_string(),
                        "kind": record.proposal().proposal().event.kind_name(),
                        "request_id": record.proposal().proposal().request.to_string(),
                    })).collect::<Vec<_>>(),
                })
            })
            .collect();
        let aums: Vec<Value> = self
            .aums
            .iter()
            .map(|(name, aums)| {
                let aums: Vec<String> = aums.iter().map(ToString::to_string).collect();
                json!({ "source": name, "aums": aums })
            })
            .collect();
        let backup = json!({
            "records": survey.head.records,
            "record_hash": survey.end.hash.to_string(),
            "incarnation": survey.head.incarnation,
        });
        let mut document = Map::new();
        document.insert("backup".into(), backup);
        document.insert("undone_records".into(), Value::Array(records));
        document.insert("undone_aums".into(), Value::Array(aums));
        document
    }
}
