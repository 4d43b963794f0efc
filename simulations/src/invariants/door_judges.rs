use ledger::Refusal;
use ledger::history::EventRefusal;

use super::truth::Shut;
use super::{Broken, broken};

/// The door lets through what its rules let through, and nothing else.
///
/// Reason: what it lets through too much is an attack that wins, what it refuses too much is an
/// honest revocation that cannot be made. Source: docs/door.md; docs/ledger-format.md, section 8.
pub fn the_door_judges_by_its_rules(
    expected: Result<(), Shut>,
    outcome: Result<u64, &Refusal>,
) -> Result<(), Broken> {
    const NAME: &str = "the_door_judges_by_its_rules";
    match (expected, outcome) {
        (Ok(()), Ok(_)) | (Err(_), Err(_)) => Ok(()),
        (Err(why), Ok(record)) => {
            Err(broken(NAME, format!("record {record} should have been refused: {why:?}")))
        }
        (Ok(()), Err(why)) if is_about_something_else(why) => Ok(()),
        (Ok(()), Err(why)) => Err(broken(NAME, format!("refused: {why}"))),
    }
}

/// Whether it is refused for what is no business of the door's.
fn is_about_something_else(why: &Refusal) -> bool {
    use EventRefusal as E;
    let other = |why: &EventRefusal| {
        matches!(
            why,
            E::AlreadyApplied
                | E::CannotTrust { .. }
                | E::UnknownNode(_)
                | E::NodeNotAuthorized { .. }
                | E::CredentialAlone { .. }
        )
    };
    matches!(why, Refusal::Event(why) if other(why))
}
