use ledger::ids::AumHash;
use ledger::lock::Sealed;

use super::truth::Truth;
use super::{Broken, broken};

/// No node ever stores an AUM that the rules refuse where it stands.
///
/// Reason: whoever is stored can become the head, and a key that it adds is trusted for good.
/// Source: spec 3.4 and 4; issue "no node ever accepts an AUM that the rules refuse".
pub fn only_what_the_rules_admit(
    truth: &mut Truth,
    name: &str,
    new: &[Sealed],
) -> Result<(), Broken> {
    let refused = |hash: AumHash, why: &str| {
        broken("only_what_the_rules_admit", format!("{name} has stored {hash}: {why}"))
    };
    for aum in new {
        if let Err(why) = &truth.judge(aum).after {
            return Err(refused(aum.hash(), why));
        }
    }
    Ok(())
}
