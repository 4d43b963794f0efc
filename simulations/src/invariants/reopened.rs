use ledger::lock::client::Client;
use ledger::rows::Rows;

use super::{Broken, broken, faulty};

/// What a node reads from its disk is what it had in memory.
///
/// Reason: a node that wakes up as somebody else has lost what it agreed to.
/// Source: spec 14.1 law 5.
pub fn a_node_wakes_as_it_was(name: &str, client: &Client, rows: &dyn Rows) -> Result<(), Broken> {
    const NAME: &str = "a_node_wakes_as_it_was";
    let opened = Client::open(rows).map_err(faulty(NAME))?;
    let differs = |what: &str| Err(broken(NAME, format!("{name} would wake with another {what}")));
    if opened.head() != client.head() {
        return differs("head");
    }
    if opened.disabled_here() != client.disabled_here() {
        return differs("local-disable");
    }
    if let (Some(one), Some(other)) = (opened.authority(), client.authority())
        && (one.state() != other.state() || one.oldest() != other.oldest())
    {
        return differs("state");
    }
    Ok(())
}
