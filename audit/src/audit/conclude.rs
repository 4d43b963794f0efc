//! From everything that was found to the verdict: the policy, the acceptances, the exit code.

use super::Options;
use crate::accept::Accepted;
use crate::checks::{Finding, policy};
use crate::chronicle::Chronicle;
use crate::report::Unchecked;
use crate::trust_anchor::Anchored;
use crate::verdict::{Verdict, judge};

/// What an audit comes to.
pub(super) struct Conclusion {
    pub(super) findings: Vec<Finding>,
    pub(super) accepted: Vec<Accepted>,
    pub(super) verdict: Verdict,
    pub(super) exit_code: u8,
}

/// Judges. What a policy demands and the source cannot show is added to what was not checked.
pub(super) fn conclude(
    mut findings: Vec<Finding>,
    undecided: bool,
    anchored: &Anchored,
    chronicle: Option<&Chronicle>,
    unchecked: &mut Vec<Unchecked>,
    options: &Options<'_>,
) -> Conclusion {
    if let (Some(demands), Some(chronicle)) = (&options.policy, chronicle) {
        let reasons = policy(demands, chronicle, options.now_ms, &mut findings);
        unchecked.extend(reasons.into_iter().map(|reason| Unchecked { id: "policy", reason }));
    }
    let accepted = match &options.accept {
        Some(acceptances) => acceptances.apply(&mut findings, options.now_ms),
        None => Vec::new(),
    };
    let (verdict, exit_code) = judge(&findings, undecided, anchored, options.demands);
    Conclusion { findings, accepted, verdict, exit_code }
}
