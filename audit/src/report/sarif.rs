//! The findings as SARIF 2.1.0 (OASIS), for the tools that show findings of any program.

use std::collections::BTreeSet;

use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};

use super::Report;
use crate::checks::{Check, Finding, Severity, catalog};
use crate::foreign::plain;

/// The name under which fingerprints are kept.
const FINGERPRINT: &str = "lockstepFinding/v1";

impl Report {
    /// The findings as a SARIF log of one run. What was accepted is in it as suppressed.
    pub fn to_sarif(&self) -> Value {
        let accepted = self.accepted.iter();
        let all: Vec<(&Finding, Option<&str>)> = self
            .findings
            .iter()
            .map(|finding| (finding, None))
            .chain(accepted.map(|it| (&it.finding, Some(it.by.reason.as_str()))))
            .collect();
        let used: BTreeSet<&str> = all.iter().map(|(finding, _)| finding.check.id).collect();
        let rules: Vec<&&Check> =
            catalog::ALL.iter().filter(|check| used.contains(check.id)).collect();
        let place = |id: &str| rules.iter().position(|check| check.id == id);
        let results: Vec<Value> = all
            .iter()
            .map(|(finding, accepted)| self.result(finding, *accepted, place(finding.check.id)))
            .collect();
        let notices: Vec<Value> = self
            .unchecked
            .iter()
            .map(|item| {
                let text = format!("not checked: {}: {}", item.id, plain(&item.reason));
                json!({"level": "note", "message": {"text": text}})
            })
            .collect();
        json!({
            "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
            "version": "2.1.0",
            "runs": [{
                "tool": {"driver": {
                    "name": "lockstep-audit",
                    "semanticVersion": env!("CARGO_PKG_VERSION"),
                    "rules": rules.iter().map(|check| rule(check)).collect::<Vec<_>>(),
                }},
                "artifacts": [self.artifact()],
                "invocations": [{
                    "executionSuccessful": true,
                    "exitCode": self.exit_code,
                    "toolExecutionNotifications": notices,
                }],
                "results": results,
                "columnKind": "unicodeCodePoints",
                "properties": {
                    "verdict": self.verdict.to_string(),
                    "head": self.head.map(|head| head.to_string()),
                },
            }],
        })
    }

    fn artifact(&self) -> Value {
        let mut artifact = Map::new();
        artifact.insert("location".into(), json!({"uri": uri(&self.source)}));
        if let Some(sha256) = &self.sha256 {
            artifact.insert("hashes".into(), json!({"sha-256": HEXLOWER.encode(sha256)}));
        }
        Value::Object(artifact)
    }

    fn result(&self, finding: &Finding, accepted: Option<&str>, rule: Option<usize>) -> Value {
        let mut artifact = Map::new();
        match &finding.file {
            // A file of a directory is a path below it; one in an archive is named in words.
            Some(file) => {
                artifact.insert("uri".into(), json!(uri(&format!("{}/{file}", self.source))));
            }
            None => {
                artifact.insert("uri".into(), json!(uri(&self.source)));
                artifact.insert("index".into(), json!(0));
            }
        }
        let mut physical = json!({"artifactLocation": artifact});
        if let Some(offset) = finding.offset {
            physical["region"] = json!({"byteOffset": offset, "byteLength": 0});
        }
        let logical: Vec<Value> = [
            finding.record.map(|index| format!("record/{index}")),
            finding.aum.map(|hash| format!("aum/{hash}")),
            finding.key.map(|key| format!("key/{key}")),
            finding.node.map(|node| format!("node/{node}")),
            finding.row.as_ref().map(|row| format!("row/{row}")),
        ]
        .into_iter()
        .flatten()
        .map(|name| json!({"fullyQualifiedName": name}))
        .collect();
        let mut location = json!({"physicalLocation": physical});
        if !logical.is_empty() {
            location["logicalLocations"] = json!(logical);
        }
        let mut result = json!({
            "ruleId": finding.check.id,
            "level": level(finding.check.severity),
            "message": {"text": plain(&finding.message)},
            "locations": [location],
            "partialFingerprints": {FINGERPRINT: finding.fingerprint()},
        });
        if let Some(rule) = rule {
            result["ruleIndex"] = json!(rule);
        }
        if let Some(reason) = accepted {
            result["suppressions"] = json!([{"kind": "external", "justification": reason}]);
        }
        result
    }
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

fn rule(check: &Check) -> Value {
    json!({
        "id": check.id,
        "shortDescription": {"text": check.id},
        "help": {"text": format!("{} See {}.", check.remedy, check.doc())},
        "defaultConfiguration": {"level": level(check.severity)},
    })
}

/// A path as the reference that SARIF wants: everything but plain characters is escaped.
fn uri(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::unreadable;
    use crate::checks::catalog::{AUM_HASH, FORK_TIE};

    #[test]
    fn each_result_names_its_rule_and_place() {
        let mut report = unreadable("a dir/x\u{e9}.json", None, "why");
        report.findings = vec![
            Finding::new(&FORK_TIE, "<b>").record(3),
            Finding { offset: Some(7), ..Finding::new(&AUM_HASH, "x") },
        ];
        let sarif = report.to_sarif();
        let run = &sarif["runs"][0];
        assert_eq!(sarif["version"], "2.1.0");
        assert_eq!(run["artifacts"][0]["location"]["uri"], "a%20dir/x%C3%A9.json");
        for result in run["results"].as_array().unwrap() {
            let rule = result["ruleIndex"].as_u64().unwrap() as usize;
            assert_eq!(run["tool"]["driver"]["rules"][rule]["id"], result["ruleId"]);
        }
        let locations = |i: usize| &run["results"][i]["locations"][0];
        assert_eq!(locations(0)["logicalLocations"][0]["fullyQualifiedName"], "record/3");
        assert_eq!(locations(1)["physicalLocation"]["region"]["byteOffset"], 7);
    }
}
