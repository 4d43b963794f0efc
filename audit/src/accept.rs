//! What an auditor has looked at and accepts for a while: a TOML file that binds a finding's
//! fingerprint, the reason, and a day on which the acceptance ends.

use serde::Deserialize;

use crate::checks::catalog::{ACCEPT_ERROR, ACCEPT_EXPIRED, ACCEPT_UNUSED};
use crate::checks::{Finding, Severity};
use crate::dates::parse_date;

/// Bytes of such a file, at most.
pub const MAX_BYTES: u64 = 1 << 20;
/// Milliseconds of the day on which an acceptance ends.
const DAY_MS: u64 = 86_400_000;

/// Findings that are accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acceptances(Vec<Acceptance>);

/// One finding that is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    /// The finding's fingerprint.
    pub fingerprint: String,
    /// Why it is accepted.
    pub reason: String,
    /// The last day on which it is, such as `2027-01-31`, in UTC.
    pub expires: String,
    /// The end of that day in milliseconds since 1970.
    ends_ms: u64,
}

/// A finding, and why it counts no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The finding.
    pub finding: Finding,
    /// What accepts it.
    pub by: Acceptance,
}

/// Why a file is no list of acceptances.
#[derive(Debug, thiserror::Error)]
pub enum BadAcceptances {
    /// It is no TOML of this shape.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// An entry says something that cannot be.
    #[error("entry {index}: {what}")]
    Entry {
        /// Which, from 1.
        index: usize,
        /// What is wrong with it.
        what: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    accept: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    fingerprint: String,
    reason: String,
    expires: Day,
}

/// A day as a TOML date or as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Day {
    Date(toml::value::Datetime),
    Text(String),
}

impl Acceptances {
    /// Reads a file: `[[accept]]` tables of `fingerprint`, `reason` and `expires`. Anything else in
    /// it is refused.
    pub fn parse(text: &str) -> Result<Self, BadAcceptances> {
        let file: File = toml::from_str(text)?;
        let mut all: Vec<Acceptance> = Vec::new();
        for (at, entry) in file.accept.into_iter().enumerate() {
            let wrong = |what| BadAcceptances::Entry { index: at + 1, what };
            let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            if entry.fingerprint.len() != 16 || !entry.fingerprint.bytes().all(hex) {
                return Err(wrong("a fingerprint is 16 lower-case hex digits"));
            }
            if entry.reason.trim().is_empty() {
                return Err(wrong("the reason is empty"));
            }
            if all.iter().any(|other| other.fingerprint == entry.fingerprint) {
                return Err(wrong("its fingerprint stands in the file twice"));
            }
            let expires = match entry.expires {
                Day::Date(date) => date.to_string(),
                Day::Text(text) => text,
            };
            let day = parse_date(&expires);
            let day = day.ok_or_else(|| wrong("expires is no date such as 2027-01-31"))?;
            let (fingerprint, reason) = (entry.fingerprint, entry.reason);
            all.push(Acceptance { fingerprint, reason, expires, ends_ms: day + DAY_MS });
        }
        Ok(Acceptances(all))
    }

    /// Takes what is accepted at that time out of the findings. Errors stay, and what is accepted
    /// in vain is a finding of its own.
    pub(crate) fn apply(&self, findings: &mut Vec<Finding>, now_ms: u64) -> Vec<Accepted> {
        let mut accepted = Vec::new();
        let mut said = Vec::new();
        for by in &self.0 {
            let named = format!("the acceptance of {}", by.fingerprint);
            let found = findings.iter().find(|finding| finding.fingerprint() == by.fingerprint);
            let (check, message) = match found {
                None => (&ACCEPT_UNUSED, format!("{named} is about nothing that was found")),
                Some(finding) if finding.check.severity == Severity::Error => {
                    let id = finding.check.id;
                    (&ACCEPT_ERROR, format!("{named} is of no use: {id} is an error"))
                }
                Some(_) if now_ms >= by.ends_ms => {
                    (&ACCEPT_EXPIRED, format!("{named} ended with {}", by.expires))
                }
                Some(_) => {
                    let (is, not): (Vec<_>, Vec<_>) = std::mem::take(findings)
                        .into_iter()
                        .partition(|finding| finding.fingerprint() == by.fingerprint);
                    *findings = not;
                    let it = |finding| Accepted { finding, by: by.clone() };
                    accepted.extend(is.into_iter().map(it));
                    continue;
                }
            };
            said.push(Finding::new(check, message).subject(&by.fingerprint));
        }
        findings.extend(said);
        accepted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::catalog::{AUM_HASH, FORK_TIE};

    fn entry(fingerprint: &str, expires: &str) -> String {
        format!(
            "[[accept]]\nfingerprint = \"{fingerprint}\"\nreason = \"seen\"\nexpires = {expires}\n"
        )
    }

    #[test]
    fn an_acceptance_ends_and_never_covers_an_error() {
        let (tie, hash) = (Finding::new(&FORK_TIE, "a"), Finding::new(&AUM_HASH, "b"));
        let text = entry(&tie.fingerprint(), "2027-01-31")
            + &entry(&hash.fingerprint(), "\"2027-01-31\"")
            + &entry("0123456789abcdef", "2027-01-31");
        let acceptances = Acceptances::parse(&text).unwrap();
        let last = parse_date("2027-02-01").unwrap() - 1;
        let ids = |findings: &[Finding]| findings.iter().map(|f| f.check.id).collect::<Vec<_>>();
        let mut findings = vec![tie.clone(), hash.clone()];
        let accepted = acceptances.apply(&mut findings, last);
        assert_eq!(accepted.len(), 1);
        assert_eq!(ids(&findings), ["aum.hash", "accept.error", "accept.unused"]);
        let mut findings = vec![tie, hash];
        assert_eq!(acceptances.apply(&mut findings, last + 1), []);
        assert_eq!(
            ids(&findings),
            ["fork.tie", "aum.hash", "accept.expired", "accept.error", "accept.unused"]
        );
    }

    #[test]
    fn nothing_unknown_is_overlooked() {
        let good = entry("0123456789abcdef", "2027-01-31");
        assert!(Acceptances::parse(&good).is_ok());
        for bad in [
            good.replace("reason", "raison"),
            good.replace("seen", " "),
            good.replace("0123", "01G3"),
            good.replace("2027-01-31", "2027-02-30"),
            good.replace("2027-01-31", "\"soon\""),
            good.replace("[[accept]]", "[[accepted]]"),
            good.clone() + &good,
            good.replace("fingerprint", "id"),
        ] {
            assert!(Acceptances::parse(&bad).is_err(), "{bad}");
        }
    }
}
