//! The report for people: the verdict first, what it rests on, what to do, what was found.

use std::fmt::Write as _;

use data_encoding::BASE32_NOPAD;

use super::lines::{field, some, wrapped};
use super::{LedgerFacts, Report};
use crate::checks::catalog::SOURCE_UNREADABLE;
use crate::checks::{Finding, Headcount, Severity};
use crate::foreign::plain;
use crate::trust_anchor::Anchored;
use crate::verdict::Verdict;
use ledger::formats::tlog::origin;

impl Report {
    /// The report as text of at most 80 columns, unless a single word is longer. Text that comes
    /// from the source is escaped.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        field(&mut out, "source", &self.source_line());
        field(&mut out, "state", &self.verdict.to_string().to_uppercase());
        field(&mut out, "status", &self.status());
        field(&mut out, "action", &self.action());
        if let Some(head) = self.head {
            field(&mut out, "head", &head.to_string());
        }
        if let Some(oldest) = self.oldest {
            field(&mut out, "oldest", &oldest.to_string());
        }
        let mut lock = Vec::new();
        lock.extend(self.ledger.as_ref().map(|facts| facts.lock.to_owned()));
        lock.extend(self.state_id.map(|(a, b)| format!("state ID {a}:{b}")));
        if !lock.is_empty() {
            field(&mut out, "lock", &lock.join(", "));
        }
        if let Some(facts) = &self.ledger {
            write_ledger(&mut out, facts);
        }
        field(&mut out, "counts", &self.counts());
        self.write_keys(&mut out);
        self.write_vouched(&mut out);
        self.write_findings(&mut out);
        self.write_accepted(&mut out);
        self.write_unchecked(&mut out);
        out
    }

    fn source_line(&self) -> String {
        let kind = self.kind.map_or("unknown form".to_owned(), |kind| kind.to_string());
        let holder = self.ledger.as_ref().and_then(|facts| facts.holder);
        let holder = holder.map_or(String::new(), |pid| format!(", in use by process {pid}"));
        format!("{} ({kind}{holder})", plain(&self.source))
    }

    pub(super) fn status(&self) -> String {
        let mut text = match self.verdict {
            Verdict::Holds => match &self.ledger {
                Some(LedgerFacts { records, resumed: Some(before), .. }) => format!(
                    "Every record that came since the last time was verified: {}. The {before} \
                     before were verified then.",
                    some(records - before, "record")
                ),
                Some(facts) => format!(
                    "Every record was verified from the first to the last: {}, with {}.",
                    some(facts.records, "record"),
                    some(self.aums, "AUM")
                ),
                None => {
                    format!(
                        "Every AUM was verified from the oldest on: {}.",
                        some(self.aums, "AUM")
                    )
                }
            },
            Verdict::Broken => {
                let is_error = |finding: &&Finding| finding.check.severity == Severity::Error;
                let errors = self.findings.iter().filter(is_error).count();
                format!("The history does not add up: {}.", some(errors as u64, "error"))
            }
            Verdict::Undecidable => "The history cannot be decided.".to_owned(),
        };
        for reason in &self.undecided {
            let _ = write!(text, " {}.", plain(reason));
        }
        let _ = match &self.anchored {
            Anchored::By { kind, value } => {
                write!(text, " It contains the {kind} {}.", plain(value))
            }
            Anchored::Unknown { kind, value } => {
                write!(text, " It does not reach back to the {kind} {}.", plain(value))
            }
            Anchored::Contradicted { kind, value, found } => write!(
                text,
                " It is NOT the history that you named: the {kind} is not {} but {}.",
                plain(value),
                plain(found)
            ),
            Anchored::No if self.verdict == Verdict::Holds => {
                write!(text, " Consistent, but whose? Nothing from outside vouches for it.")
            }
            Anchored::No if self.lacks_anchor() => write!(
                text,
                " It is consistent, but nothing from outside vouches for it, as was demanded."
            ),
            Anchored::No => Ok(()),
        };
        text
    }

    pub(super) fn action(&self) -> String {
        match (&self.anchored, self.verdict) {
            (Anchored::Contradicted { .. }, _) => {
                "Find out where this source comes from; do not rely on it."
            }
            (_, Verdict::Broken) => "Do not rely on this source. Each error below says what to do.",
            (_, Verdict::Undecidable)
                if self.findings.iter().any(|f| f.check.id == SOURCE_UNREADABLE.id) =>
            {
                SOURCE_UNREADABLE.remedy
            }
            (_, Verdict::Undecidable) if !self.lacks_anchor() => {
                "Audit a source that reaches back to the genesis, such as a longer export."
            }
            (Anchored::By { .. }, Verdict::Holds) => "None.",
            _ => {
                "Get the genesis or head hash from somebody you trust and give it with --genesis \
                 or --head."
            }
        }
        .to_owned()
    }

    /// Whether nothing but a missing anchor keeps the verdict open.
    fn lacks_anchor(&self) -> bool {
        self.verdict == Verdict::Undecidable
            && self.undecided.is_empty()
            && self.anchored == Anchored::No
    }

    fn counts(&self) -> String {
        let mut text = format!("{} of {} verified", self.verified, some(self.aums, "AUM"));
        if let Some(facts) = &self.ledger {
            let records = some(facts.records, "record");
            let _ = write!(text, ", {} of {records}", facts.verified_records);
            let _ = write!(text, ", {}", some(self.epochs, "epoch"));
            if facts.lock == "on" {
                let Headcount { admitted, locked_out } = facts.nodes;
                let _ = write!(text, "; {} let in", some(admitted, "node"));
                let _ = write!(text, ", {locked_out} locked out");
            }
            if facts.waiting > 0 {
                let waiting = some(facts.waiting, "proposal");
                let _ = write!(text, "; {waiting} in the log not judged yet");
            }
        }
        text
    }

    fn write_keys(&self, out: &mut String) {
        if self.trusted_keys.is_empty() {
            return field(out, "keys", "none trusted");
        }
        field(out, "keys", &format!("{} trusted; votes first:", self.trusted_keys.len()));
        for key in &self.trusted_keys {
            let _ = writeln!(out, "  {:>4} {}", key.votes, key.key);
        }
    }

    fn write_findings(&self, out: &mut String) {
        if self.findings.is_empty() {
            return field(out, "findings", "none");
        }
        field(out, "findings", &self.findings.len().to_string());
        // The severest first; within one severity in the order of the source.
        for severity in [Severity::Error, Severity::Warning, Severity::Note] {
            for finding in self.findings.iter().filter(|f| f.check.severity == severity) {
                write_finding(out, finding);
            }
        }
    }

    fn write_vouched(&self, out: &mut String) {
        if self.vouched.is_empty() {
            return;
        }
        field(out, "vouched", "");
        for item in &self.vouched {
            wrapped(out, &format!("  {}: ", item.fact), 4, &format!("{}; {}", item.by, item.why));
        }
    }

    fn write_accepted(&self, out: &mut String) {
        if self.accepted.is_empty() {
            return;
        }
        field(out, "accepted", &self.accepted.len().to_string());
        for item in &self.accepted {
            let first = format!("  {} {}: ", item.finding.check.severity, item.finding.check.id);
            let why = format!("{} (until {})", plain(&item.by.reason), item.by.expires);
            wrapped(out, &first, 4, &why);
        }
    }

    fn write_unchecked(&self, out: &mut String) {
        if self.unchecked.is_empty() {
            return;
        }
        field(out, "not checked", "");
        for item in &self.unchecked {
            wrapped(out, &format!("  {}: ", item.id), 4, &plain(&item.reason));
        }
    }
}

fn write_ledger(out: &mut String, facts: &LedgerFacts) {
    if let Some(record_0) = &facts.origin {
        field(out, "origin", &origin(record_0));
    }
    if let Some(hash) = &facts.record_hash {
        field(out, "record", &format!("{} {hash}", facts.verified_records.saturating_sub(1)));
    }
    field(out, "tree", &BASE32_NOPAD.encode(&facts.root));
}

fn write_finding(out: &mut String, finding: &Finding) {
    let first = format!("  {} {}: ", finding.check.severity, finding.check.id);
    wrapped(out, &first, 4, &plain(&finding.message));
    let mut place = Vec::new();
    if let Some(aum) = finding.aum {
        place.push(format!("AUM {aum}"));
    }
    if let Some(record) = finding.record {
        place.push(format!("record {record}"));
    }
    if let Some(key) = finding.key {
        place.push(format!("key {key}"));
    }
    if let Some(node) = finding.node {
        place.push(format!("node {node}"));
    }
    if let Some(row) = &finding.row {
        place.push(format!("row {}", plain(row)));
    }
    if let Some(file) = &finding.file {
        place.push(format!("file {}", plain(file)));
    }
    if let Some(subject) = &finding.subject {
        place.push(plain(subject));
    }
    if let Some(offset) = finding.offset {
        place.push(format!("byte {offset}"));
    }
    if !place.is_empty() {
        wrapped(out, "    at ", 7, &place.join(", "));
    }
    wrapped(out, "    ", 4, finding.check.remedy);
    wrapped(out, "    fingerprint ", 4, &finding.fingerprint());
}
