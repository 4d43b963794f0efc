use std::collections::BTreeMap;

use ledger::history::{InvitationKey, Joined};

use super::{Broken, broken};

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
