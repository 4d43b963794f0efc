use std::collections::BTreeMap;

use ledger::history::members::{self, Standing};
use ledger::history::{InvitationKey, Joined, ReplicaId};
use ledger::rows::Rows;

use super::{Broken, broken, faulty};

/// An invitation lets in one member, until it expires; nobody joins without one.
///
/// Reason: whoever finds a used or old token must not get in. Source: issue 6 "single-use,
/// expiring". `made` has the expiry of each invitation, and whether it was used.
pub fn an_invitation_lets_in_one(
    made: &mut BTreeMap<InvitationKey, (u64, bool)>,
    joined: &Joined,
    time_ms: u64,
) -> Result<(), Broken> {
    const NAME: &str = "an_invitation_lets_in_one";
    let Some((expires, used)) = made.get_mut(&joined.invitation) else {
        return Err(broken(NAME, "somebody joined by no invitation"));
    };
    if *used || time_ms > *expires {
        let how = if *used { "was used" } else { "had expired" };
        return Err(broken(
            NAME,
            format!("an invitation that {how} let {} in", joined.details.name),
        ));
    }
    *used = true;
    Ok(())
}

/// Nobody is linked to as a member who waits for approval.
///
/// Reason: data and votes are for members whom somebody has approved. Source: issue 6 "data and vote
/// wait for it unless the invite named the joiner's key".
pub fn who_waits_takes_no_part<'a>(
    rows: &dyn Rows,
    linked: impl IntoIterator<Item = &'a ReplicaId>,
) -> Result<(), Broken> {
    const NAME: &str = "who_waits_takes_no_part";
    for id in linked {
        let member = members::member(rows, *id).map_err(faulty(NAME))?;
        if member.is_some_and(|member| member.standing == Standing::Pending) {
            return Err(broken(NAME, format!("replica {id} waits, and is linked to as a member")));
        }
    }
    Ok(())
}
