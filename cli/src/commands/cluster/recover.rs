//! `cluster recover`.

use replica::offline::recover::{Plan, Planned, Waiting, carry_out, plan};
use serde_json::{Map, Value, json};

use super::begin::{agreed, config, not_begun, progress, tell};
use crate::args::{Global, Recover};
use crate::exit::Failure;
use crate::print;

/// Entries that are named, at most.
const NAMED: usize = 20;

pub(super) fn run(args: &Recover, global: Global) -> Result<(), Failure> {
    let config = config(&args.begin, None, global)?;
    let dir = &config.data_dir;
    let plan = match plan(dir, &args.with).map_err(|error| not_begun(&error))? {
        Planned::Plan(plan) => *plan,
        Planned::Done { incarnation } if args.begin.json => {
            let done = json!({ "outcome": "done", "incarnation": incarnation });
            return print::stdout(&print::json(&done)?);
        }
        Planned::Done { incarnation } => {
            return print::stdout(&format!(
                "Done already: incarnation {incarnation} has begun there, and waits for 'lockstep \
                 serve'.\n"
            ));
        }
    };
    let document = document(&plan);
    if !agreed(&args.begin, &text(&plan), document.clone(), "Recover the group from this?")? {
        return Ok(());
    }
    let done = carry_out(plan, &config.lock_key, &progress("replayed"));
    let done = done.map_err(|error| not_begun(&error))?;
    let before = done.before.display().to_string();
    let text = format!(
        "Recovered {} records, {} of them from entries that waited\n({} others were on record already or \
         are refused).\nThe former directory is {}; keep it until you are sure.\n",
        done.begun.records,
        done.sealed,
        done.passed_over,
        print::line(&before),
    );
    let mut more = document;
    more.insert("recorded_entries".into(), done.sealed.into());
    more.insert("passed_over_entries".into(), done.passed_over.into());
    more.insert("former_data_dir".into(), before.into());
    tell(&args.begin, &done.begun, more, &text)
}

fn text(plan: &Plan) -> String {
    let mut text = String::new();
    for (place, survivor) in plan.survivors.iter().enumerate() {
        let what = match (place == plan.records, place == plan.log) {
            (true, true) => "; its records and its log are taken",
            (true, false) => "; its records are taken",
            (false, true) => "; its log is taken",
            (false, false) => "",
        };
        text.push_str(&format!(
            "{}: replica {}, {} records, log to entry {} of term {}{what}\n",
            print::line(&survivor.dir.display().to_string()),
            survivor.facts.identity.replica,
            survivor.facts.records,
            survivor.last.index,
            survivor.last.term,
        ));
    }
    if !plan.waiting.is_empty() {
        let count = plan.waiting.len();
        text.push_str(&format!(
            "Recorded with them, though perhaps nobody was told that they are done: {count}\n"
        ));
        list(&mut text, &plan.waiting);
    }
    for survivor in plan.survivors.iter().filter(|survivor| !survivor.lost.is_empty()) {
        text.push_str(&format!(
            "Given up, because a later log has others in their place: {} of {}\n",
            survivor.lost.len(),
            print::line(&survivor.dir.display().to_string()),
        ));
        list(&mut text, &survivor.lost);
    }
    if !plan.absent.is_empty() {
        let absent: Vec<String> = plan.absent.iter().map(u64::to_string).collect();
        text.push_str(&format!(
            "DANGER: voters that are not here: {}.\nWhat only they acknowledged is lost, and if they \
             run on, there are two groups.\nMake sure that they never start again.\n",
            absent.join(", ")
        ));
    }
    if plan.majority {
        text.push_str(
            "These are a majority: start their daemons, and nothing need be recovered.\n",
        );
    }
    text
}

fn list(text: &mut String, waiting: &[Waiting]) {
    for entry in waiting.iter().take(NAMED) {
        let Waiting { position, kind, request } = entry;
        text.push_str(&format!("\tentry {}: {kind}, {}\n", position.index, print::line(request)));
    }
    if waiting.len() > NAMED {
        text.push_str(&format!("\tand {} more\n", waiting.len() - NAMED));
    }
}

fn document(plan: &Plan) -> Map<String, Value> {
    let entries = |waiting: &[Waiting]| -> Vec<Value> {
        let entry = |entry: &Waiting| {
            json!({
                "index": entry.position.index,
                "term": entry.position.term,
                "kind": entry.kind,
                "request_id": entry.request,
            })
        };
        waiting.iter().map(entry).collect()
    };
    let survivors: Vec<Value> = plan
        .survivors
        .iter()
        .map(|survivor| {
            json!({
                "data_dir": survivor.dir.display().to_string(),
                "replica_id": survivor.facts.identity.replica.to_string(),
                "records": survivor.facts.records,
                "last_term": survivor.last.term,
                "last_index": survivor.last.index,
                "given_up": entries(&survivor.lost),
            })
        })
        .collect();
    let absent: Vec<String> = plan.absent.iter().map(u64::to_string).collect();
    let mut document = Map::new();
    document.insert("survivors".into(), Value::Array(survivors));
    document.insert("waiting".into(), Value::Array(entries(&plan.waiting)));
    document.insert("absent_voters".into(), json!(absent));
    document
}
