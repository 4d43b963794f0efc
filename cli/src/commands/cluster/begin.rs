//! What `cluster restore` and `cluster recover` have in common.

use std::cell::Cell;
use std::time::{Duration, Instant};

use replica::daemon::config::{Config, Given, Surroundings};
use replica::offline::{NotBegun, Refounded};
use serde_json::{Map, Value, json};

use crate::args::{Begin, Global};
use crate::commands::given;
use crate::commands::words::{can_ask, confirmed, quoted};
use crate::exit::Failure;
use crate::print;

/// How long nothing is said about progress.
const QUIET: Duration = Duration::from_secs(1);

/// The daemon's settings, of which the data directory, the name and the lock key count.
pub(super) fn config(
    args: &Begin,
    name: Option<String>,
    global: Global,
) -> Result<Config, Failure> {
    let flags = Given {
        lock_key: args.lock_key.clone(),
        passphrase_from: args.passphrase_from.clone(),
        name,
        ..given(global)
    };
    Config::resolve(flags, Given::in_environment(), &Surroundings::of_process())
        .map_err(|error| Failure::usage(error.to_string()))
}

/// Shows what would happen, and whether it is to. Without a terminal the plan is all.
pub(super) fn agreed(
    args: &Begin,
    plan: &str,
    document: Map<String, Value>,
    question: &str,
) -> Result<bool, Failure> {
    if args.yes {
        // What is given up is told all the same, where it is in nobody's way.
        print::note(plan.trim_end());
        return Ok(true);
    }
    if args.json {
        let mut document = document;
        document.insert("outcome".into(), "planned".into());
        print::stdout(&print::json(&Value::Object(document))?)?;
        return Ok(false);
    }
    print::stdout(plan)?;
    if can_ask() {
        return confirmed(&format!("{question} [y/N]"), false);
    }
    print::stdout("Nothing was changed. To go on, run the same command with --yes.\n")?;
    Ok(false)
}

/// Tells of the incarnation that has begun.
pub(super) fn tell(
    args: &Begin,
    begun: &Refounded,
    more: Map<String, Value>,
    text: &str,
) -> Result<(), Failure> {
    let dir = begun.dir.display().to_string();
    if args.json {
        let Value::Object(mut document) = json!({
            "outcome": "applied",
            "record_index": begun.index,
            "record_hash": begun.hash.to_string(),
            "request_id": begun.request.to_string(),
            "cluster_id": begun.cluster.to_string(),
            "incarnation": begun.incarnation,
            "replica_id": begun.replica.to_string(),
            "data_dir": dir,
            "records": begun.records,
        }) else {
            return Ok(());
        };
        document.extend(more);
        return print::stdout(&print::json(&Value::Object(document))?);
    }
    print::stdout(&format!(
        "{text}Incarnation {} of cluster {} has begun with record {}.\nReplica {} is its \
         only member.\nStart it:\n\tlockstep serve --data-dir {}\nThen let others in, each with an \
         empty data directory (lockstep cluster invite).\n",
        begun.incarnation,
        begun.cluster,
        begun.index,
        begun.replica,
        quoted(&dir),
    ))
}

/// Says now and then how many records are done.
pub(super) fn progress(what: &'static str) -> impl Fn(u64) {
    let said = Cell::new(Instant::now());
    move |records| {
        if said.get().elapsed() >= QUIET {
            print::note(&format!("{records} records {what}"));
            said.set(Instant::now());
        }
    }
}

pub(super) fn not_begun(error: &NotBegun) -> Failure {
    let failure = Failure::new(error.to_string());
    match error.remedy() {
        Some(remedy) => failure.remedy(remedy),
        None => failure,
    }
}
