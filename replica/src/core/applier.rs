//! From committed entries to the rows that they change.

use ledger::history::{Fold, SignedProposal, Verdict};
use ledger::lock::signatures::Verified;
use ledger::rows::{Changes, Draft, Rows};
use ledger::{Fault, Refusal};

use super::{Committed, ProposalId};

/// What the signatures of an entry were found to be: `None` for an entry without a proposal.
pub type Checked = Option<Result<Verified<SignedProposal>, Refusal>>;

/// What a run of committed entries comes to.
#[derive(Debug)]
pub struct Applied {
    /// The log index of the last entry.
    pub index: u64,
    /// The rows of the ledger that change.
    pub changes: Changes,
    /// What became of the proposals that this run of the program made.
    pub verdicts: Vec<(ProposalId, Verdict)>,
}

/// Folds committed entries, one after the other.
#[derive(Debug)]
pub struct Applier {
    fold: Fold,
}

impl Applier {
    /// Goes on from a fold.
    pub fn new(fold: Fold) -> Self {
        Applier { fold }
    }

    /// The fold after everything that was applied.
    pub fn fold(&self) -> &Fold {
        &self.fold
    }

    /// Applies entries to `rows`, which must be the rows that the fold stands for. After a fault
    /// the applier must not be used again.
    pub fn apply(
        &mut self,
        rows: &dyn Rows,
        entries: Vec<(Committed, Checked)>,
    ) -> Result<Applied, Fault> {
        let mut draft = Draft::on(rows);
        let mut verdicts = Vec::new();
        let mut index = 0;
        for (committed, checked) in entries {
            index = committed.entry.position.index;
            let verdict = match checked {
                None => continue,
                Some(Ok(proposal)) => self.fold.admit(&mut draft, &proposal)?,
                Some(Err(refusal)) => Verdict::Refused(refusal),
            };
            if let Some(proposal) = committed.proposal {
                verdicts.push((proposal, verdict));
            }
        }
        Ok(Applied { index, changes: draft.finish(), verdicts })
    }
}
