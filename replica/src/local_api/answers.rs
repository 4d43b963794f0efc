//! What the ledger knows, as the bodies show it.

use ledger::Fault;
use ledger::history::auth_keys::AuthKeyEntry;
use ledger::history::roster::{self, Node, Reason};
use ledger::ids::{AumHash, LockKey};
use ledger::lock::node_keys::NodeKeySignature;
use ledger::lock::{Chain, Key, KeyKind, Meta, Sealed};

use super::bodies::{
    AuthKeyBody, Base64, KeyBody, LockStatus, LogEntry, MachinePeer, MachineStatus, NodeBody, Peer,
    Signature, TrustedKey,
};
use crate::operations::Ground;
use crate::rfc3339::rfc3339;

/// What this machine says while it has no lock.
pub(super) fn lock_off(own: Option<&Node>, lock_key: Option<LockKey>) -> LockStatus {
    LockStatus {
        public_key: lock_key.unwrap_or(LockKey([0; 32])),
        node_key: own.map(|node| node.node_key),
        ..LockStatus::default()
    }
}

/// The lock as this machine sees it.
pub(super) fn lock_status(
    ground: Ground<'_>,
    own: Option<&Node>,
    lock_key: Option<LockKey>,
) -> Result<LockStatus, Fault> {
    let mut status = lock_off(own, lock_key);
    let Some(authority) = ground.fold.authority() else { return Ok(status) };
    let (mut visible, mut filtered) = (Vec::new(), Vec::new());
    for node in roster::list(ground.rows)? {
        if own.is_some_and(|own| own.id == node.id) {
            continue;
        }
        let list = if node.standing.is_in() { &mut visible } else { &mut filtered };
        list.push(peer(&node));
    }
    status.enabled = true;
    status.head = Some(authority.head());
    status.node_key_signed = own.is_some_and(|node| node.standing.is_in());
    // The one that it has, whether it holds or not; of kind 0 if there is none.
    status.node_key_signature =
        own.map(|node| node.signature.as_ref().map(signature).unwrap_or_default());
    status.trusted_keys = Some(authority.state().keys().iter().map(trusted_key).collect());
    status.visible_peers = Some(visible);
    status.filtered_peers = Some(filtered);
    status.state_id = authority.state().state_id1;
    Ok(status)
}

fn trusted_key(key: &Key) -> TrustedKey {
    TrustedKey {
        kind: key.kind.to_string(),
        key: key.lock_key().unwrap_or(LockKey([0; 32])),
        metadata: key.meta.as_ref().map(|meta| meta.0.clone()),
        votes: key.votes,
    }
}

fn peer(node: &Node) -> Peer {
    Peer {
        name: node.name.clone(),
        id: i64::try_from(node.id.0).unwrap_or(i64::MAX),
        stable_id: node.stable_id(),
        addresses: Some(addresses(node)),
        node_key: node.node_key,
        node_key_signature: node.signature.as_ref().map(signature).unwrap_or_default(),
    }
}

fn addresses(node: &Node) -> Vec<String> {
    node.addresses().iter().map(ToString::to_string).collect()
}

fn signature(signature: &NodeKeySignature) -> Signature {
    let bytes = |bytes: &[u8]| (!bytes.is_empty()).then(|| Base64(bytes.to_vec()));
    Signature {
        sig_kind: signature.kind.0,
        pubkey: bytes(&signature.pubkey),
        key_id: bytes(&signature.key_id),
        signature: bytes(&signature.signature),
        // The decoder bounds the depth at 16 levels.
        nested: signature.nested.as_deref().map(|nested| Box::new(self::signature(nested))),
        wrapping_pubkey: bytes(&signature.wrapping),
    }
}

/// The key that a request means; what is wrong with it is judged by the plan.
pub(super) fn key(body: KeyBody) -> Key {
    Key {
        kind: KeyKind(body.kind),
        votes: body.votes,
        public: body.public.map(|bytes| bytes.0),
        meta: body.meta.filter(|meta| !meta.is_empty()).map(Meta),
    }
}

/// The AUMs of a chain from `head` backwards, at most `limit`, ending at a missing parent.
pub(super) fn log<'a>(
    chain: Chain<'a>,
    head: AumHash,
    limit: u64,
) -> impl Iterator<Item = Result<LogEntry, Fault>> + 'a {
    let (mut next, mut left) = (Some(head), limit);
    std::iter::from_fn(move || {
        let hash = next.take().filter(|_| left > 0)?;
        left -= 1;
        match chain.aum(&hash) {
            Ok(Some(aum)) => {
                next = aum.parent_hash();
                Some(Ok(log_entry(&aum)))
            }
            Ok(None) => None,
            Err(fault) => Some(Err(fault)),
        }
    })
}

fn log_entry(aum: &Sealed) -> LogEntry {
    LogEntry { hash: aum.hash(), change: aum.kind.to_string(), raw: Base64(aum.bytes().to_vec()) }
}

/// The machine, as far as programs for tailnet lock ask.
pub(super) fn machine_status(
    ground: Ground<'_>,
    own: Option<&Node>,
    peers: bool,
) -> Result<MachineStatus, Fault> {
    let nodes = if peers { roster::list(ground.rows)? } else { Vec::new() };
    let others = nodes.iter().filter(|node| own.is_none_or(|own| own.id != node.id));
    let health = own.filter(|node| !node.standing.is_in()).map(|_| {
        "this node is locked out; it will not have connectivity until it is signed".to_owned()
    });
    Ok(MachineStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        tun: false,
        backend_state: "Running".to_owned(),
        have_node_key: own.is_some(),
        auth_url: String::new(),
        addresses: own.map(addresses),
        own: own.map(machine_peer),
        health: Some(health.into_iter().collect()),
        magic_dns_suffix: String::new(),
        peer: peers
            .then(|| others.map(|node| (node.node_key.to_string(), machine_peer(node))).collect()),
        user: None,
    })
}

fn machine_peer(node: &Node) -> MachinePeer {
    MachinePeer {
        stable_id: node.stable_id(),
        public_key: node.node_key,
        host_name: node.name.clone(),
        dns_name: format!("{}.", node.name),
        os: String::new(),
        addresses: Some(addresses(node)),
        online: false,
        in_network_map: node.standing.is_in(),
    }
}

/// A roster entry.
pub(super) fn node(node: &Node) -> NodeBody {
    NodeBody {
        id: node.id.0,
        stable_id: node.stable_id(),
        name: node.name.clone(),
        addresses: addresses(node),
        node_key: node.node_key.to_string(),
        lock_key: node.lock_key.map(|key| key.to_tlpub()),
        signature: node.signature.as_ref().map(|signature| Base64(signature.to_cbor())),
        signed: matches!(node.standing.reason, Reason::Signed { .. }),
        reason: reason(node),
        since_record: node.standing.since_record,
    }
}

/// An auth key, and whether a node could join by it at that time.
pub(super) fn auth_key(entry: &AuthKeyEntry, now_ms: u64) -> AuthKeyBody {
    let state = match entry {
        AuthKeyEntry { revoked: Some(_), .. } => "revoked",
        entry if entry.is_spent() => "used",
        entry if entry.is_expired(now_ms) => "expired",
        _ => "valid",
    };
    AuthKeyBody {
        id: entry.id.to_string(),
        state: state.to_owned(),
        reusable: entry.reusable,
        expires: entry.expires_ms.map(rfc3339),
        created_record: entry.created,
        uses: entry.uses,
        last_use_record: entry.last_use,
        revoked_record: entry.revoked,
    }
}

/// Why a node is in or out, for people.
pub(crate) fn reason(node: &Node) -> String {
    match node.standing.reason {
        Reason::LockOff => "tailnet lock is off".to_owned(),
        Reason::Signed { key } => format!("signed by {key}"),
        Reason::NeverSigned => "locked out: nobody has signed it".to_owned(),
        Reason::NodeKeyChanged { former } => {
            format!("locked out: its node key took the place of {former} without a signature")
        }
        Reason::SignerNotTrusted { key, aum } => {
            format!("locked out: its signer {key} is no longer trusted since AUM {aum}")
        }
    }
}
