//! From findings to one verdict and one exit code.

use std::fmt;

use crate::checks::{Finding, Severity};
use crate::trust_anchor::Anchored;

/// What can be said of the history as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Everything present was verified from a root.
    Holds,
    /// Something breaks a rule.
    Broken,
    /// Something present could not be verified, and nothing is known to be wrong.
    Undecidable,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Holds => "holds",
            Verdict::Broken => "broken",
            Verdict::Undecidable => "undecidable",
        })
    }
}

/// What the caller demands beyond the rules.
#[derive(Debug, Clone, Copy, Default)]
pub struct Demands {
    /// Undecidable unless an anchor vouches for the history.
    pub anchor: bool,
    /// Exit 4 for findings at least this severe, although the history holds.
    pub fail_on: Option<Severity>,
}

/// The verdict, and the exit code of `audit verify` for it: 5 before 1 before 3 before 4 before 0.
/// Exit 2, for usage, never comes this far.
pub(crate) fn judge(
    findings: &[Finding],
    undecided: bool,
    anchored: &Anchored,
    demands: Demands,
) -> (Verdict, u8) {
    let severest = findings.iter().map(|finding| finding.check.severity).max();
    let anchor_missing = match anchored {
        Anchored::Unknown { .. } => true,
        Anchored::No => demands.anchor,
        Anchored::By { .. } | Anchored::Contradicted { .. } => false,
    };
    let verdict = if severest == Some(Severity::Error) {
        Verdict::Broken
    } else if undecided || anchor_missing {
        Verdict::Undecidable
    } else {
        Verdict::Holds
    };
    let by_policy = findings.iter().any(|finding| finding.check.is_policy());
    let failing = by_policy || demands.fail_on.is_some_and(|least| severest >= Some(least));
    let code = match (anchored, verdict) {
        (Anchored::Contradicted { .. }, _) => 5,
        (_, Verdict::Broken) => 1,
        (_, Verdict::Undecidable) => 3,
        (_, Verdict::Holds) if failing => 4,
        (_, Verdict::Holds) => 0,
    };
    (verdict, code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::catalog::{AUM_HASH, FORK_TIE, POLICY_KEY, ROOT_SEVERAL};

    #[test]
    fn the_order_of_exit_codes() {
        let error = vec![Finding::new(&AUM_HASH, ""), Finding::new(&FORK_TIE, "")];
        let warning = vec![Finding::new(&ROOT_SEVERAL, "")];
        let (kind, value) = ("genesis", String::new());
        let other = Anchored::Contradicted { kind, value, found: String::new() };
        let by = Anchored::By { kind, value: String::new() };
        let unknown = Anchored::Unknown { kind, value: String::new() };
        let no = Demands::default();
        let strict = Demands { anchor: true, fail_on: Some(Severity::Warning) };
        assert_eq!(judge(&error, true, &other, strict), (Verdict::Broken, 5));
        assert_eq!(judge(&error, true, &Anchored::No, strict), (Verdict::Broken, 1));
        assert_eq!(judge(&warning, true, &by, strict), (Verdict::Undecidable, 3));
        assert_eq!(judge(&[], false, &Anchored::No, strict), (Verdict::Undecidable, 3));
        assert_eq!(judge(&[], false, &unknown, no), (Verdict::Undecidable, 3));
        assert_eq!(judge(&warning, false, &by, strict), (Verdict::Holds, 4));
        assert_eq!(judge(&warning, false, &by, no), (Verdict::Holds, 0));
        assert_eq!(judge(&[], false, &Anchored::No, no), (Verdict::Holds, 0));
        let policy = vec![Finding::new(&POLICY_KEY, "")];
        assert_eq!(judge(&policy, false, &by, no), (Verdict::Holds, 4));
    }
}
