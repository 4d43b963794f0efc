//! From entries to the rows that they change.

use ledger::history::{Fold, SignedProposal, Verdict};
use ledger::lock::signatures::Verified;
use ledger::rows::raft::{Position, RecordPointer};
use ledger::rows::{Changes, Draft, Rows};
use ledger::{Fault, Refusal};

/// What the signatures of an entry were found to be: `None` for an entry without a proposal.
pub type Checked = Option<Result<Verified<SignedProposal>, Refusal>>;

/// What a run of entries comes to.
#[derive(Debug)]
pub struct Applied {
    /// The fold after them.
    pub fold: Fold,
    /// The rows of the ledger that change.
    pub changes: Changes,
    /// What became of the proposals, each by its place in the log.
    pub verdicts: Vec<(Position, Verdict)>,
}

/// Where the records end after that fold; none before record 0.
pub fn pointer(fold: &Fold) -> Option<RecordPointer> {
    let record = fold.next_index().checked_sub(1)?;
    Some(RecordPointer { record, hash: fold.last_hash()?.0, fold: fold.fold_hash().0 })
}

/// Folds entries, one after the other, on top of a fold and the rows that it stands for. It
/// changes neither, so that entries can be folded before they are known to be committed.
pub fn apply<'e>(
    fold: &Fold,
    rows: &dyn Rows,
    entries: impl IntoIterator<Item = (Position, &'e Checked)>,
) -> Result<Applied, Fault> {
    let mut fold = fold.clone();
    let mut draft = Draft::on(rows);
    let mut verdicts = Vec::new();
    for (position, checked) in entries {
        let verdict = match checked {
            None => continue,
            Some(Ok(proposal)) => fold.admit(&mut draft, proposal)?,
            Some(Err(refusal)) => Verdict::Refused(refusal.clone()),
        };
        verdicts.push((position, verdict));
    }
    Ok(Applied { fold, changes: draft.finish(), verdicts })
}
