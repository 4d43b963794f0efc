use ledger::ids::AumHash;

use super::{Broken, broken};

/// Where a node stands once nothing goes wrong any more.
#[derive(Debug)]
pub struct Settled<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its head, if it has a lock.
    pub head: Option<AumHash>,
    /// It can never follow: its chain begins at an AUM that is not on the ledger's active branch,
    /// since it was compacted or begun on a side that lost; or its lock has ended while it stood on
    /// a side where the disablement values had been replaced, so that it cannot be told. The cure
    /// is to begin anew.
    pub stranded: bool,
}

/// When nothing goes wrong any more, all nodes come to stand where the ledger stands, except
/// those that a fork has cut off.
///
/// Reason: safety alone would be satisfied by nodes that never learn anything. Source: spec 14.1
/// law 6; issue "name the others and their cure".
pub fn all_agree_when_calm<'a>(
    ledger: Option<AumHash>,
    nodes: impl IntoIterator<Item = Settled<'a>>,
) -> Result<(), Broken> {
    for node in nodes {
        if node.head != ledger && !node.stranded {
            let show = |head: Option<AumHash>| head.map_or("no lock".into(), |h| h.to_string());
            let (theirs, ours) = (show(node.head), show(ledger));
            let what = format!("{} stays at {theirs}, the ledger is at {ours}", node.name);
            return Err(broken("all_agree_when_calm", what));
        }
    }
    Ok(())
}
