//! Where ours differs from the recording on purpose (docs/differences.md, "Commands").

use super::Recorded;
use super::run::{Difference, Ours};

/// A rule: an id, and whether a case falls under it.
struct Rule {
    id: &'static str,
    covers: fn(&Recorded, &Ours, &[Difference]) -> bool,
}

/// The rule by which a case passes although it differs.
pub(crate) fn excuse(
    case: &Recorded,
    ours: &Ours,
    differences: &[Difference],
) -> Option<&'static str> {
    RULES.iter().find(|rule| (rule.covers)(case, ours, differences)).map(|rule| rule.id)
}

const RULES: &[Rule] = &[
    // Both fail alike after the same calls, and ours says why in its own words.
    Rule {
        id: "error-text",
        covers: |case, ours, differences| {
            both_fail(case, ours) && differences.iter().all(is_stderr)
        },
    },
    // Both fail, ours before it has asked the daemon for what cannot be.
    Rule {
        id: "checked-first",
        covers: |case, ours, differences| {
            both_fail(case, ours)
                && calls(differences).is_some_and(|(recorded, ours)| {
                    ours.len() < recorded.len() && recorded.starts_with(ours)
                })
                && case.stdout.starts_with(&ours.stdout)
        },
    },
    // Secrets are out before anything is proposed, so they are there too when it fails.
    Rule {
        id: "secrets-first",
        covers: |case, ours, differences| {
            both_fail(case, ours)
                && case.argv.iter().any(|word| word == "init")
                && differences.iter().all(|d| is_stderr(d) || is_stdout(d))
                && ours.stdout.starts_with(&case.stdout)
                && ours.stdout.contains("they WILL NOT be shown again")
                && ours.stderr.contains("are void")
        },
    },
    // Help is asked for, so it is no error: it goes to stdout, and has our own words.
    Rule {
        id: "help",
        covers: |case, ours, differences| {
            let asked = |word: &String| ["-h", "-help", "--help"].contains(&word.as_str());
            case.argv.iter().any(asked)
                && ours.exit == 0
                && ours.stdout.contains("Usage: lockstep lock")
                && ours.stdout.contains("Example")
                && differences.iter().all(|d| is_stderr(d) || is_stdout(d))
        },
    },
    // Without a rotation key none is sent, instead of 32 zero bytes (weakness W15).
    Rule {
        id: "no-rotation-key",
        covers: |case, ours, differences| {
            case.exit == ours.exit
                && differences.iter().all(|difference| match difference {
                    Difference::Body { recorded, ours, .. } => {
                        let zero = format!("\"{}=\"", "A".repeat(43));
                        recorded.trim_end().replace(&zero, "null") == ours.trim_end()
                    }
                    Difference::Stderr { .. } => case.exit != 0,
                    _ => false,
                })
        },
    },
    // Lists may be separated by commas.
    Rule {
        id: "comma-lists",
        covers: |case, ours, _| {
            case.exit == 1 && ours.exit == 0 && case.argv.iter().any(|word| word.contains(','))
        },
    },
    // A list of keys that is empty is a mistake.
    Rule {
        id: "missing-arguments",
        covers: |case, ours, _| {
            let last = case.argv.last().map(String::as_str);
            ours.exit == 1
                && ours.stderr.starts_with("missing argument")
                && matches!(last, Some("add" | "remove" | "--cosign" | "--finish" | "revoke-keys"))
        },
    },
    // What was just signed is what is submitted (weakness W17).
    Rule {
        id: "cosigned-finish",
        covers: |case, ours, differences| {
            let flag = |flag: &str| case.argv.iter().any(|word| word == flag);
            let cosigned = case.calls.first().map(|call| call.answer());
            let submitted = ours.requests.last().map(|request| request.body.clone());
            flag("--cosign")
                && flag("--finish")
                && cosigned == submitted
                && differences.iter().all(|d| matches!(d, Difference::Body { call: 1, .. }))
        },
    },
    // Every hash may be given in either case.
    Rule {
        id: "hash-case",
        covers: |case, ours, _| {
            let lower = |word: &String| {
                word.len() == 52 && word.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'))
            };
            case.exit == 1
                && case.calls.is_empty()
                && case.argv.iter().any(lower)
                && ours.requests.len() == 1
        },
    },
    // The page has `--resign`; the recorded version `--re-sign`. Ours takes both.
    Rule {
        id: "both-resign-flags",
        covers: |case, ours, _| {
            case.exit == 2
                && case.argv.iter().any(|word| word.starts_with("--resign"))
                && ours.exit != 2
        },
    },
    // `--json=false` is what a flag of its kind can be given.
    Rule {
        id: "json-false",
        covers: |case, _, _| case.exit == 2 && case.argv.iter().any(|word| word == "--json=false"),
    },
    // What everybody may know does not disable a lock: the value is not sent as if it were a secret.
    Rule {
        id: "value-for-secret",
        covers: |case, ours, _| {
            case.argv.iter().any(|word| word == "disable")
                && case.argv.iter().any(|word| word.starts_with("disablement:"))
                && ours.exit == 1
                && ours.requests.is_empty()
        },
    },
    // Where the support secret goes is said.
    Rule {
        id: "escrow-named",
        covers: |case, ours, differences| {
            case.exit == ours.exit
                && differences.iter().all(is_stderr)
                && ours.stderr.starts_with("The support secret goes to ")
        },
    },
    // What is ignored is said to be.
    Rule {
        id: "ignored-arguments",
        covers: |case, ours, differences| {
            case.exit == ours.exit
                && differences.iter().all(is_stderr)
                && ours.stderr.ends_with("arguments are ignored\n")
        },
    },
];

fn both_fail(case: &Recorded, ours: &Ours) -> bool {
    case.exit != 0 && ours.exit == case.exit && !ours.stderr.trim().is_empty()
}

fn is_stderr(difference: &Difference) -> bool {
    matches!(difference, Difference::Stderr { .. })
}

fn is_stdout(difference: &Difference) -> bool {
    matches!(difference, Difference::Stdout { .. })
}

fn calls(differences: &[Difference]) -> Option<(&[String], &[String])> {
    differences.iter().find_map(|difference| match difference {
        Difference::Calls { recorded, ours } => Some((recorded.as_slice(), ours.as_slice())),
        _ => None,
    })
}
