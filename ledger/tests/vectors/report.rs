//! Running the cases of a file and counting how they passed.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;

use crate::case::Case;
use crate::files;
use crate::rules::Rule;

/// How a case passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// With the reference's result.
    Same,
    /// With another result, on purpose.
    ByRule(Rule),
}

/// What a case came to: a pass, or what was wrong.
pub type Verdict = Result<Pass, String>;

/// Checks one case of a certain type.
pub type Check = fn(&Case<'_>) -> Verdict;

/// Counts passes and keeps failures.
#[derive(Default)]
pub struct Report {
    passed: usize,
    by_rule: BTreeMap<&'static str, usize>,
    failures: Vec<String>,
}

impl Report {
    /// Notes the verdict on the case of that name.
    pub fn note(&mut self, name: &str, verdict: Verdict) {
        match verdict {
            Ok(pass) => {
                self.passed += 1;
                if let Pass::ByRule(rule) = pass {
                    *self.by_rule.entry(rule.id()).or_default() += 1;
                }
            }
            Err(what) => self.failures.push(format!("{name}: {what}")),
        }
    }

    /// Prints the file's line; gives the names of the failures if there are any.
    pub fn finish(self, file: &str) -> Result<(), String> {
        let cases = self.passed + self.failures.len();
        let rules: Vec<String> =
            self.by_rule.iter().map(|(rule, count)| format!("{count} by {rule}")).collect();
        let rules =
            if rules.is_empty() { String::new() } else { format!(" ({})", rules.join(", ")) };
        println!("{file}: {cases} cases, {} passed{rules}", self.passed);
        if self.failures.is_empty() {
            return Ok(());
        }
        Err(format!("{file}:\n{}\n", self.failures.join("\n")))
    }
}

/// Runs every case of a file through the check for its type.
pub fn run(file: &str, checks: &[(&str, Check)]) {
    let Some(bytes) = files::read(file) else {
        println!("{file}: not among these vectors");
        return;
    };
    let cases: Vec<Value> = serde_json::from_slice(&bytes).unwrap();
    let mut report = Report::default();
    for case in &cases {
        let case = Case::new(case);
        let verdict = match checks.iter().find(|(kind, _)| *kind == case.kind()) {
            Some((_, check)) => guarded(|| wholly(check, &case)),
            None => Err(format!("unknown type {:?}", case.kind())),
        };
        report.note(case.name(), verdict);
    }
    report.finish(file).unwrap_or_else(|failures| panic!("{failures}"));
}

/// Checks a case. If ours agrees, nothing that the reference says may have been passed over. (In
/// other vectors than the project's own, fields that are not known are additions.)
fn wholly(check: &Check, case: &Case<'_>) -> Verdict {
    match (check(case)?, case.overlooked()) {
        (Pass::Same, Some(field)) if !files::replaced() => {
            Err(format!("nobody looked at what it expects of {field}"))
        }
        (pass, _) => Ok(pass),
    }
}

/// Reports on every file of a folder, then panics with the names of all failures.
pub fn run_folder(folder: &str, check: impl Fn(&str, &mut Report)) {
    let mut failures = String::new();
    for name in files::list(folder) {
        let mut report = Report::default();
        if let Err(panic) = guarded(|| {
            check(&name, &mut report);
            Ok(Pass::Same)
        }) {
            report.note("the file", Err(panic));
        }
        if let Err(failed) = report.finish(&format!("{folder}/{name}")) {
            failures.push_str(&failed);
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

/// Runs a check; a panic is a failure of the case.
pub fn guarded(check: impl FnOnce() -> Verdict) -> Verdict {
    catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Err(format!("panicked: {text}"))
    })
}

/// Fails unless both are equal.
pub fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    ours: T,
    reference: T,
) -> Result<(), String> {
    if ours == reference {
        Ok(())
    } else {
        Err(format!("{what}: ours {ours:?}, the reference's {reference:?}"))
    }
}
