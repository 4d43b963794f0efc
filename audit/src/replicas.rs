//! Several replicas at once: the first record where they differ, and which of them follow the rules.

use ledger::Fault;

use crate::audit::{Audited, Options};
use crate::checks::Finding;
use crate::checks::catalog::{REPLICA_DIVERGED, SOURCE_UNREADABLE};
use crate::report::Report;
use crate::verdict::judge;

/// Compares a replica with others of its group, and adds to its report what differs.
pub fn compare_replicas(
    audited: &mut Audited,
    others: &[Audited],
    options: &Options<'_>,
) -> Result<(), Fault> {
    let mut findings = Vec::new();
    let mut undecided = Vec::new();
    for other in others {
        let name = &other.report.source;
        let (Some(ours), Some(theirs)) = (&audited.evidence, &other.evidence) else {
            let reason = format!("{name} cannot be compared: it or the source has no records");
            findings.push(Finding::new(&SOURCE_UNREADABLE, reason.as_str()));
            undecided.push(reason);
            continue;
        };
        if let Some(index) = ours.first_difference(theirs)? {
            let follows = |size: u64| if size > index { "follows" } else { "breaks" };
            let message = format!(
                "record {index} is another in {name}; this one {} the rules there, the other one \
                 {} them",
                follows(ours.size()),
                follows(theirs.size())
            );
            let finding = Finding::new(&REPLICA_DIVERGED, message);
            findings.push(finding.record(index).subject(name.as_str()));
        }
        // What breaks in another replica does not break this one; its report says it.
        if other.report.exit_code == 1 && theirs.size() < theirs.present() {
            let at = theirs.size();
            let message = format!("the records of {name} hold up to record {at} only");
            findings
                .push(Finding::new(&REPLICA_DIVERGED, message).record(at).subject(name.as_str()));
        }
    }
    let Report { findings: all, undecided: reasons, anchored, .. } = &mut audited.report;
    all.extend(findings);
    reasons.extend(undecided);
    let (verdict, code) = judge(all, !reasons.is_empty(), anchored, options.demands);
    (audited.report.verdict, audited.report.exit_code) = (verdict, code);
    Ok(())
}
