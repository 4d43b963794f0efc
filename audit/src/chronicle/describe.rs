//! Events and AUMs in words. Foreign text is left as it is: whoever prints it escapes it.

use ledger::history::{Disablement, Event, Invited, Joined, Observed, RoleChange, roster};
use ledger::ids::LockKey;
use ledger::lock::{AumKind, Key, Sealed, State};
use ledger::rows::Rows;

use super::Chronicle;

/// The beginning of a key, enough for people to tell keys of one history apart.
pub fn short(key: &LockKey) -> String {
    let hex = key.to_hex();
    format!("tlpub:{}", &hex[..12])
}

fn key_of(bytes: Option<&[u8]>) -> String {
    match bytes.and_then(|bytes| bytes.try_into().ok()) {
        Some(key) => short(&LockKey(key)),
        None => "a malformed key".to_owned(),
    }
}

fn added(key: &Key) -> String {
    let votes = if key.votes == 1 { "1 vote".to_owned() } else { format!("{} votes", key.votes) };
    format!("{} with {votes}", key_of(key.id()))
}

fn some(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn was(count: usize) -> &'static str {
    if count == 1 { "was" } else { "were" }
}

/// What an AUM does, as half a sentence.
pub fn change(aum: &Sealed) -> String {
    match (aum.kind, &aum.state) {
        (AumKind::ADD_KEY, _) => {
            let key = aum.key.as_ref().map_or("nothing".to_owned(), added);
            format!("trust in a key was added: {key}")
        }
        (AumKind::REMOVE_KEY, _) => {
            format!("the trust in {} was withdrawn", key_of(aum.key_id.as_deref()))
        }
        (AumKind::UPDATE_KEY, _) => {
            let key = key_of(aum.key_id.as_deref());
            match aum.votes {
                Some(votes) => format!("{key} has {} from now on", some(votes as usize, "vote")),
                None => format!("the metadata of {key} changed"),
            }
        }
        (AumKind::CHECKPOINT, Some(state)) if aum.parent_hash().is_none() => {
            let keys: Vec<String> = state.keys().iter().take(8).map(added).collect();
            let more = state.keys().len().saturating_sub(keys.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("a lock began that trusts {}{more}", keys.join(", "))
        }
        (AumKind::CHECKPOINT, Some(state)) => {
            format!("a checkpoint wrote down {}", some(state.keys().len(), "trusted key"))
        }
        (kind, _) => format!("an AUM of kind {kind} changed nothing"),
    }
}

/// Who signed an AUM, as half a sentence.
pub(super) fn signed_by(aum: &Sealed) -> String {
    let signers: Vec<String> = Chronicle::signers(aum).map(|key| short(&key)).collect();
    if signers.is_empty() {
        "signed by nobody".to_owned()
    } else {
        format!("signed by {}", signers.join(", "))
    }
}

fn quoted(text: &str) -> String {
    format!("\u{201c}{text}\u{201d}")
}

/// What an event was, in sentences. `rows` are as it left them.
pub(super) fn event(event: &Event, rows: &dyn Rows) -> String {
    let name = |id| match roster::node(rows, id) {
        Ok(Some(node)) => node.name,
        _ => format!("number {id}"),
    };
    match event {
        Event::GroupCreated(founder) => {
            format!("The ledger began, with {} as its first member.", founder.details.name)
        }
        Event::LockInitialized(init) => {
            let nodes = some(init.signatures.len(), "node");
            format!(
                "The lock was switched on: {}. {nodes} of the roster {} signed.",
                change(&init.genesis),
                was(init.signatures.len())
            )
        }
        Event::AumsAdded(added) => {
            let mut text = match (added.fork, added.aums.first()) {
                (true, Some(aum)) => format!(
                    "A revocation went back in the chain to change what follows from there: {}, {}.",
                    revoked(aum),
                    signed_by(aum)
                ),
                _ => {
                    let changes = added.aums.iter().take(4);
                    let changes: Vec<String> =
                        changes.map(|aum| format!("{}, {}", change(aum), signed_by(aum))).collect();
                    let more = added.aums.len().saturating_sub(changes.len());
                    let more =
                        if more > 0 { format!("; and {more} AUMs more") } else { String::new() };
                    format!("{}{more}.", upper(&changes.join("; ")))
                }
            };
            if !added.signatures.is_empty() {
                let nodes = added.signatures.len();
                text += &format!(" {} {} signed again.", some(nodes, "node"), was(nodes));
            }
            if let Some(reason) = added.reason {
                text += &format!(" Reason given: {}.", reason.name());
            }
            if let Some(note) = &added.note {
                text += &format!(" Note: {}.", quoted(note));
            }
            text
        }
        Event::NodeKeysSigned(list) => {
            let names: Vec<String> = list.iter().take(8).map(|item| name(item.node)).collect();
            let more = list.len().saturating_sub(names.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let by = list.first().and_then(|item| item.signature.authorizing_key().ok());
            let by = by.map_or(String::new(), |key| format!(" by {}", short(&key)));
            let what = if list.len() == 1 { "Node" } else { "Nodes" };
            let was = if list.len() == 1 { "was" } else { "were" };
            format!("{what} {}{more} {was} signed{by}.", names.join(", "))
        }
        Event::LockDisabled(Disablement { .. }) => {
            "The lock was switched off with one of its disablement secrets, which is spent by that."
                .to_owned()
        }
        Event::NodeAdded(node) => {
            let signed = match &node.signature {
                Some(_) => "signed",
                None => "not signed",
            };
            format!("Node {} joined, {signed}.", node.name)
        }
        Event::NodeChanged(node) => {
            let signed = match &node.signature {
                Some(signature) if signature.depth() > 1 => "with a rotation signature",
                Some(_) => "with a new signature",
                None => "without a signature",
            };
            format!("Node {} changed its keys, {signed}.", name(node.node))
        }
        Event::NodeRemoved(node) => format!("Node number {node} left the roster."),
        Event::MemberChanged(details) => {
            format!("Member {} changed what it says of itself.", details.name)
        }
        Event::MemberInvited(Invited { named, .. }) => match named {
            Some(fingerprint) => format!("The member key {fingerprint} was invited to the group."),
            None => "Somebody was invited to the group, to be approved on joining.".to_owned(),
        },
        Event::MemberJoined(joined) => {
            let Joined { member_key, details, .. } = &**joined;
            let fingerprint = member_key.fingerprint();
            format!(
                "{} joined the group by an invitation, with the member key {fingerprint}.",
                upper(&details.name)
            )
        }
        Event::MemberApproved(member) => format!("Replica {member} was approved as a member."),
        Event::MemberRoleChanged(RoleChange { member, role }) => {
            format!("Replica {member} was made a {}.", role.name())
        }
        Event::MemberRemoved(member) => format!("Replica {member} was removed from the group."),
        Event::IncarnationBegun(begun) => format!(
            "The group was {}: it went on from record {}, with {} as its only member. Nobody \
             vouches for that but whoever had the records.",
            begun.cause.name(),
            begun.last.0,
            begun.founder.details.name
        ),
        Event::RulesActivated(rules) => format!("Rules {rules} took effect."),
        Event::RevocationOpened(opened) => {
            let keys: Vec<String> = opened.keys.iter().take(8).map(short).collect();
            let of = match (keys.as_slice(), opened.keys.len()) {
                ([], _) => "keys that nobody named".to_owned(),
                (keys, all) if all > keys.len() => format!("{all} keys"),
                (keys, _) => keys.join(" and "),
            };
            let mut text = format!(
                "A revocation of {of} was begun, {}; it waits for further signatures.",
                signed_by(&opened.aum)
            );
            if let Some(reason) = opened.reason {
                text += &format!(" Reason given: {}.", reason.name());
            }
            if let Some(note) = &opened.note {
                text += &format!(" Note: {}.", quoted(note));
            }
            text
        }
        Event::RevocationSigned(signed) => {
            let signers: Vec<String> =
                signed.signatures.iter().map(|(key, _)| short(key)).collect();
            format!("A revocation that waits was signed by {}.", signers.join(", "))
        }
        Event::RevocationWithdrawn(withdrawn) => {
            let note = withdrawn.note.as_deref().map(quoted);
            let note = note.map_or(String::new(), |note| format!(" Note: {note}."));
            format!("A revocation that waited was given up.{note}")
        }
        Event::AuthKeyCreated(new) => format!("Auth key {} was issued.", new.id.as_str()),
        Event::AuthKeyRevoked(id) => format!("Auth key {} was revoked.", id.as_str()),
        Event::NodeAcknowledged(said) => match said.applied.head() {
            Some(head) => format!("Node {} said that it has applied {head}.", name(said.node)),
            None => format!("Node {} said that it has ended the lock.", name(said.node)),
        },
        Event::GenesisBrought(brought) => format!(
            "Node {} brought a lock that waits for the nodes' signatures: {}.",
            name(brought.node),
            change(&brought.genesis)
        ),
        Event::AdoptionBegun(begun) => format!(
            "A lock from elsewhere began to be brought in, {}: {}.",
            some(begun.aums as usize, "AUM"),
            change(&begun.root)
        ),
        Event::AumsAdopted(aums) => {
            format!("{} of a lock from elsewhere were brought in.", some(aums.len(), "AUM"))
        }
        Event::AdoptionEnded => "The adoption of a lock from elsewhere ended.".to_owned(),
        Event::LockObserved(observed) => match observed {
            Observed::Off => "The server of the followed lock showed no lock.".to_owned(),
            Observed::Head(head) => format!("The server of the followed lock showed head {head}."),
            Observed::Foreign(foreign) => {
                format!(
                    "The server of the followed lock showed head {}, which cannot be part of it.",
                    foreign.head
                )
            }
        },
    }
}

/// What a revocation took away.
pub(super) fn undoing(lost: &[String], undone: u64) -> String {
    let lost = match lost {
        [] => String::new(),
        [one] => format!(" The trust in {one} is taken back."),
        several => format!(" The trust in {} is taken back.", several.join(" and in ")),
    };
    let undone = match undone {
        0 => String::new(),
        1 => " One AUM that came after that point is undone.".to_owned(),
        more => format!(" {more} AUMs that came after that point are undone."),
    };
    lost + &undone
}

/// What a revocation's checkpoint leaves.
fn revoked(aum: &Sealed) -> String {
    match &aum.state {
        Some(state) => format!("{} are trusted after it", keys_of(state)),
        None => change(aum),
    }
}

fn keys_of(state: &State) -> String {
    let keys: Vec<String> = state.keys().iter().take(8).map(|key| key_of(key.id())).collect();
    let more = state.keys().len().saturating_sub(keys.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", keys.join(", "))
}

/// The text with its first letter in upper case.
pub(super) fn upper(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}
