//! Questions to a history: what happened, what was so when, and why. Each answer is text for
//! people and JSON for programs, and says how far the history can be relied on.

mod asked;
mod diff;
mod forks;
mod key;
mod log;
mod node;
mod show;
mod state;

use serde_json::{Map, Value, json};

use crate::chronicle::{Chronicle, Entry};
use crate::dates::date_time;
use crate::foreign::plain;
use crate::report::Report;
use crate::report::lines::{field, wrapped};
use crate::verdict::Verdict;

pub use asked::{At, BadAt};
pub use diff::diff;
pub use forks::forks;
pub(crate) use forks::why;
pub use key::key;
pub use log::{LogFilter, log};
pub use node::node;
pub use show::show;
pub use state::state;

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// For people; foreign text is escaped, lines have at most 80 columns where words allow.
    pub text: String,
    /// For programs, without what all answers have in common.
    pub json: Map<String, Value>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The source was not replayed far enough to have one.
    #[error("nothing could be read from the source")]
    Nothing,
    /// The history does not have what was asked for.
    #[error("this history has no {0}")]
    NotThere(String),
    /// It is there, but nothing can be said of it.
    #[error("{0}")]
    Unknown(String),
}

impl Answer {
    fn new(text: String, pairs: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        let json = pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Answer { text, json }
    }

    /// The answer as a document that says how far it can be relied on.
    pub fn document(&self, question: &str, report: &Report) -> Value {
        let mut all = Map::new();
        all.insert("schema".into(), json!(format!("lockstep.audit.{question}/1")));
        all.insert("verdict".into(), json!(report.verdict.to_string()));
        all.insert("exit_code".into(), json!(report.exit_code));
        all.extend(self.json.clone());
        Value::Object(all)
    }
}

/// What people are told before they read an answer from a history that does not hold.
pub fn caution(report: &Report) -> Option<String> {
    match report.verdict {
        Verdict::Holds => None,
        Verdict::Broken => Some(
            "The history is BROKEN: what follows is what could be verified. See 'audit verify'."
                .to_owned(),
        ),
        Verdict::Undecidable => Some(
            "The history cannot be decided: what follows may lack something. See 'audit verify'."
                .to_owned(),
        ),
    }
}

fn chronicle(report: &Report) -> Result<&Chronicle, NoAnswer> {
    report.chronicle.as_ref().filter(|told| !told.entries.is_empty()).ok_or(NoAnswer::Nothing)
}

/// Who asked, in words.
fn actor(entry: &Entry) -> Option<String> {
    let actor = entry.actor.as_ref()?;
    let who = match actor.who {
        ledger::history::Who::Member => "the member itself".to_owned(),
        ledger::history::Who::Uid(uid) if actor.name.is_empty() => format!("uid {uid}"),
        ledger::history::Who::Uid(uid) => format!("{} (uid {uid})", plain(&actor.name)),
    };
    Some(format!("{who} through {}", plain(&actor.member)))
}

/// An entry in some lines.
fn write_entry(out: &mut String, told: &Chronicle, entry: &Entry) {
    let what = if told.has_records { "record" } else { "AUM" };
    let mut head = format!("{what} {}", entry.number);
    if let Some(ms) = entry.time_ms {
        head += &format!("  {}", date_time(ms));
    }
    if let Some(actor) = actor(entry) {
        head += &format!("  {actor}");
    }
    wrapped(out, "", 2, &head);
    wrapped(out, "  ", 2, &plain(&entry.what));
    for (names, how) in [(&entry.let_in, "let in"), (&entry.locked_out, "locked out")] {
        if !names.is_empty() {
            let names: Vec<String> = names.iter().map(|name| plain(name)).collect();
            wrapped(out, &format!("  {how}: "), 4, &names.join(", "));
        }
    }
    for aum in &entry.aums {
        wrapped(out, "  AUM ", 4, &aum.to_string());
    }
}

fn entry_json(entry: &Entry) -> Value {
    let actor = entry.actor.as_ref().map(|actor| {
        let uid = match actor.who {
            ledger::history::Who::Member => None,
            ledger::history::Who::Uid(uid) => Some(uid),
        };
        json!({"member": actor.member, "uid": uid, "name": actor.name})
    });
    json!({
        "number": entry.number,
        "hash": entry.hash.map(|hash| hash.to_string()),
        "time_ms": entry.time_ms,
        "time": entry.time_ms.map(date_time),
        "actor": actor,
        "kind": entry.kind,
        "what": entry.what,
        "aums": entry.aums.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "keys": entry.keys.iter().map(|key| key.to_tlpub()).collect::<Vec<_>>(),
        "nodes": entry.nodes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "let_in": entry.let_in,
        "locked_out": entry.locked_out,
    })
}

/// A line of text for each field that has one.
fn fields<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut out = String::new();
    for (name, text) in pairs {
        field(&mut out, name, &text);
    }
    out
}
