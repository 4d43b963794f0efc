//! What people typed at the official command, typed at ours: against a daemon that answers as the
//! recorded tailscaled did, ours makes the same calls, ends with the same exit code, prints the
//! same JSON, and the same text after one table of substitutions.
//!
//! A command passes *by rule* where ours differs on purpose; rules are predicates with an id, and
//! docs/differences.md gives each one's reason. Everything else that differs is a failure.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod daemon;
mod pages;
mod rules;
mod run;
#[path = "../process/harness/terminal.rs"]
mod terminal;

use std::collections::BTreeMap;
use std::io::Read;

use serde::Deserialize;

/// A command as it was recorded.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Recorded {
    pub(crate) step: String,
    /// Everything behind the program's name.
    pub(crate) argv: Vec<String>,
    #[serde(default)]
    pub(crate) stdout: String,
    #[serde(default)]
    pub(crate) stderr: String,
    pub(crate) exit: i32,
    #[serde(default)]
    pub(crate) tty: bool,
    #[serde(default)]
    pub(crate) tty_input: String,
    #[serde(default)]
    pub(crate) tty_output: String,
    pub(crate) calls: Vec<Call>,
}

/// A call that the official command made, and what tailscaled answered.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) target: String,
    encoding: String,
    body: String,
    pub(crate) status: String,
    pub(crate) content_type: Option<String>,
    answer_encoding: String,
    answer: String,
}

impl Call {
    pub(crate) fn body(&self) -> Vec<u8> {
        bytes(&self.encoding, &self.body)
    }

    pub(crate) fn answer(&self) -> Vec<u8> {
        bytes(&self.answer_encoding, &self.answer)
    }
}

fn bytes(encoding: &str, text: &str) -> Vec<u8> {
    match encoding {
        "hex" => data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).unwrap(),
        _ => text.as_bytes().to_vec(),
    }
}

fn recorded() -> Vec<Recorded> {
    let packed = include_bytes!("../data/recorded-commands.json.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn recorded_commands_do_the_same() {
    let only = std::env::var("LOCKSTEP_RECORDED_STEP").ok();
    let (mut cases, mut same, mut failures) = (0, 0, Vec::new());
    let mut by_rule: BTreeMap<&str, usize> = BTreeMap::new();
    for case in recorded() {
        if only.as_ref().is_some_and(|step| !case.step.contains(step.as_str())) {
            continue;
        }
        cases += 1;
        let ours = run::run(&case);
        let differences = run::compare(&case, &ours);
        if differences.is_empty() {
            same += 1;
            continue;
        }
        match rules::excuse(&case, &ours, &differences) {
            Some(rule) => *by_rule.entry(rule).or_default() += 1,
            None => failures.push(format!(
                "{}: lockstep {}\n{}",
                case.step,
                case.argv.join(" "),
                differences.iter().map(ToString::to_string).collect::<String>()
            )),
        }
    }
    let rules: Vec<String> = by_rule.iter().map(|(id, n)| format!("{n} by {id}")).collect();
    println!(
        "recorded commands: {cases} cases, {} passed ({})",
        cases - failures.len(),
        rules.join(", ")
    );
    assert!(cases > 0, "no recorded command was run");
    assert!(same + by_rule.values().sum::<usize>() + failures.len() == cases);
    assert!(
        failures.is_empty(),
        "{} of {cases} recorded commands differ:\n\n{}",
        failures.len(),
        failures.join("\n")
    );
}
