//! What is odd about locks that came from elsewhere.

use ledger::history::adoption::Alarm;
use ledger::ids::AumHash;

use super::Finding;
use super::catalog::{FOLLOW_ALARM, ROOT_ASSUMED};

/// A chain of the ledger that begins with a checkpoint on top of something that is not on record.
pub(crate) fn assumed_root(root: AumHash, epoch: u32) -> Finding {
    let message = format!(
        "the lock of epoch {epoch} was adopted from a checkpoint on; what came before it is taken \
         for granted"
    );
    Finding::new(&ROOT_ASSUMED, message).aum(root)
}

/// An AUM of a followed lock that the ledger's own door would have refused (docs/door.md).
pub(crate) fn objection(record: u64, aum: AumHash) -> Finding {
    let message = "the followed lock took an AUM that a ledger of its own would have refused: a \
                   fork or checkpoint without the votes for it";
    Finding::new(&FOLLOW_ALARM, message).record(record).aum(aum)
}

/// A record in which the server of a followed lock showed something that should not be.
pub(crate) fn alarm(record: u64, alarm: Alarm) -> Finding {
    let what = match alarm {
        Alarm::Off => "no lock, without anybody having seen the secret that would end it",
        Alarm::Behind => "an older head than before",
        Alarm::LosingBranch => "a head on a branch that loses to one that it had shown",
        Alarm::OtherLock => "another lock",
        Alarm::Unconnected => "AUMs without those that come before them",
        Alarm::BreaksRules => "an AUM that breaks the rules",
    };
    let message = format!("the server of the followed lock showed {what}");
    Finding::new(&FOLLOW_ALARM, message).record(record)
}
