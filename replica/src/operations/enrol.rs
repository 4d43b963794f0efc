//! What a daemon records of itself: its membership, and its own machine in the roster.

use ledger::Fault;
use ledger::history::members::{self, Member};
use ledger::history::roster::{self, Node};
use ledger::history::{ChangedNode, Event, KnownRules, LogKey, MemberDetails, NewNode, ReplicaId};
use ledger::ids::{LockKey, NodeKey};
use ledger::lock::node_keys::NodeKeySignature;
use ledger::lock::signatures::Signer;
use ledger::lock::{Authority, State};

use super::{Ground, NotPlanned, nodes};

/// The daemon's keys as the ledger sees them.
#[derive(Clone, Copy)]
pub struct Own<'a> {
    /// Signs Merkle heads.
    pub log_key: LogKey,
    /// The lock key, if there is one.
    pub lock: Option<&'a dyn Signer>,
    /// The machine's node key.
    pub node_key: NodeKey,
}

impl Own<'_> {
    fn lock_key(&self) -> Option<LockKey> {
        self.lock.map(|lock| lock.public())
    }
}

/// What the member says of itself.
pub fn details(
    name: &str,
    own: Own<'_>,
    address: Option<&str>,
    known: KnownRules,
) -> MemberDetails {
    MemberDetails {
        name: name.to_owned(),
        log_key: own.log_key,
        lock_key: own.lock_key(),
        rules: known.newest(),
        address: address.map(str::to_owned),
    }
}

/// The next thing that the ledger does not yet know of this daemon, if there is any: to be asked
/// again until there is none. `name` is for a machine that is not in the roster yet; `address` is
/// where peers reach this daemon.
///
/// A key file may have been replaced since the last start, as by a logout and login; what the
/// ledger has must be what the machine holds, or an `init` would sign for keys that are gone.
pub fn next(
    ground: Ground<'_>,
    id: ReplicaId,
    name: &str,
    own: Own<'_>,
    address: Option<&str>,
) -> Result<Option<Event>, NotPlanned> {
    let Some(member) = members::member(ground.rows, id)? else { return Ok(None) };
    if let Some(event) = changed_member(&member, own, address, ground.fold.known()) {
        return Ok(Some(event));
    }
    if let Some(event) = next_rules(ground)? {
        return Ok(Some(event));
    }
    let state = ground.fold.authority().map(Authority::state);
    match own_node(ground, id)? {
        None => Ok(Some(Event::NodeAdded(NewNode {
            name: free_name(ground, name)?,
            node_key: own.node_key,
            lock_key: own.lock_key(),
            own: true,
            signature: own_signature(None, own, state),
            auth_key: None,
        }))),
        Some(node) => Ok(changed_node(&node, own, state)),
    }
}

/// The rules that come after the active ones, once every member can execute them.
pub fn next_rules(ground: Ground<'_>) -> Result<Option<Event>, Fault> {
    let known = ground.fold.known().newest();
    let next = ground.fold.rules().checked_add(1).filter(|next| *next <= known);
    let Some(next) = next else { return Ok(None) };
    let members = members::active(ground.rows)?;
    let all = members.iter().all(|member| member.details.rules >= next);
    Ok(all.then_some(Event::RulesActivated(next)))
}

/// The change of the machine's node key, if the ledger does not know it yet.
pub fn rotate_own(
    ground: Ground<'_>,
    id: ReplicaId,
    own: Own<'_>,
) -> Result<Option<Event>, NotPlanned> {
    let state = ground.fold.authority().map(Authority::state);
    Ok(own_node(ground, id)?.and_then(|node| changed_node(&node, own, state)))
}

/// The roster entry of a member's own machine.
pub fn own_node(ground: Ground<'_>, id: ReplicaId) -> Result<Option<Node>, Fault> {
    match members::member(ground.rows, id)?.and_then(|member| member.node) {
        Some(node) => roster::node(ground.rows, node),
        None => Ok(None),
    }
}

fn changed_member(
    member: &Member,
    own: Own<'_>,
    address: Option<&str>,
    known: KnownRules,
) -> Option<Event> {
    let now = details(&member.details.name, own, address, known);
    (now != member.details).then_some(Event::MemberChanged(now))
}

fn changed_node(node: &Node, own: Own<'_>, state: Option<&State>) -> Option<Event> {
    if node.node_key == own.node_key && node.lock_key == own.lock_key() {
        return None;
    }
    // Under the same node key the old signature goes on counting.
    let signature = (node.node_key != own.node_key)
        .then(|| own_signature(node.signature.as_ref(), own, state))
        .flatten();
    Some(Event::NodeChanged(ChangedNode {
        node: node.id,
        node_key: own.node_key,
        lock_key: own.lock_key(),
        signature,
    }))
}

/// A signature that lets the machine's node key in, if the key at hand can make one.
fn own_signature(
    former: Option<&NodeKeySignature>,
    own: Own<'_>,
    state: Option<&State>,
) -> Option<NodeKeySignature> {
    nodes::next_signature(former, own.node_key, own.lock_key(), own.lock?, state?)
}

/// The name, or the name and a number if another node has it.
fn free_name(ground: Ground<'_>, name: &str) -> Result<String, NotPlanned> {
    let mut free = name.to_owned();
    let mut number = 1_u32;
    while roster::by_name(ground.rows, &free)?.is_some() {
        number = number.saturating_add(1);
        let suffix = format!("-{number}");
        let kept = name.get(..name.len().min(63 - suffix.len())).unwrap_or("node");
        free = format!("{}{suffix}", kept.trim_end_matches('-'));
    }
    Ok(free)
}

/// What may stand in the roster of a host's name: its first label, in lower case, with hyphens
/// for other characters; `node` if nothing is left.
pub fn name_from_host(host: &str) -> String {
    let label = host.split('.').next().unwrap_or_default();
    let plain: String = label
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(63)
        .collect();
    match plain.trim_matches('-') {
        "" => "node".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_become_labels() {
        for (host, name) in [
            ("Web-1.example.test", "web-1"),
            ("a_b", "a-b"),
            ("", "node"),
            ("---", "node"),
            ("büro", "b-ro"),
        ] {
            assert_eq!(name_from_host(host), name);
        }
        assert_eq!(name_from_host(&"x".repeat(200)).len(), 63);
    }
}
