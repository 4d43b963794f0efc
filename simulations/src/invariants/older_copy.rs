use super::{Broken, broken};
use crate::world::ProcessId;

/// A replica on an older copy of its data directory votes for nobody, and acknowledges nothing, who
/// remembers that it has promised more.
///
/// Reason: it may have voted in that term already, and may lack entries that were committed with its
/// word. Source: issue 6 "losing any minority loses nothing acknowledged", SECURITY.md "older copies".
pub fn an_older_copy_promises_nothing(who: ProcessId, to: ProcessId) -> Broken {
    let what = format!("machine {who} promises something to machine {to}, which knows better");
    broken("an_older_copy_promises_nothing", what)
}
