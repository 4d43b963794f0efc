//! The roster: the nodes that the tailnet knows, and whether each is let in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::effects::Step;
use super::event::{ChangedNode, NewNode, NodeSignature};
use super::lifecycle::Lifecycle;
use super::members::{self, Member};
use super::{
    EventRefusal, NodeId, ReplicaId, SignedProposal, acknowledgements, adoption, lifecycle, row,
};
use crate::cbor::{Malformed, Reader, Writer};
use crate::ids::{AumHash, LockKey, NodeKey};
use crate::limits::ROSTER_NODES;
use crate::lock::State;
use crate::lock::node_keys::{NodeKeySignature, authorize, is_pre_auth};
use crate::lock::signatures::Verified;
use crate::rows::{Rows, Table, prefix_end, tables};
use crate::{Failure, Fault};

/// A node of the roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its number.
    pub id: NodeId,
    /// Its name: one DNS label.
    pub name: String,
    /// Its node key.
    pub node_key: NodeKey,
    /// Its tailnet-lock key, if it has one.
    pub lock_key: Option<LockKey>,
    /// The member whose own machine it is, if it is one's.
    pub member: Option<ReplicaId>,
    /// The signature that was last accepted for this node key, even if its signer is no longer
    /// trusted.
    pub signature: Option<NodeKeySignature>,
    /// Whether it is let in, since when and why.
    pub standing: Standing,
    /// The record that added it.
    pub added: u64,
}

/// Whether a node is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The record since which it has been in, or out, or since which there is no lock.
    pub since_record: u64,
    /// Why.
    pub reason: Reason,
    /// The record that gave this reason; `since_record` or later.
    pub reason_record: u64,
}

impl Standing {
    /// Whether the node is let in: there is no lock, or its signature holds.
    pub fn is_in(&self) -> bool {
        matches!(self.reason, Reason::LockOff | Reason::Signed { .. })
    }
}

/// Why a node is in or out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// In: there is no lock.
    LockOff,
    /// In: its signature rests on this trusted key.
    Signed {
        /// The key.
        key: LockKey,
    },
    /// Out: nobody has signed it in this epoch.
    NeverSigned,
    /// Out: its node key was replaced without a signature for the new one.
    NodeKeyChanged {
        /// The key before.
        former: NodeKey,
    },
    /// Out: the key on which its signature rests is no longer trusted.
    SignerNotTrusted {
        /// The key.
        key: LockKey,
        /// The AUM since which it is not: the one that removed it or, where a fork undid its
        /// coming, the first AUM of the branch that won.
        aum: AumHash,
    },
}

impl Node {
    /// The ID that coordination protocols show: `n<number>CNTRL`.
    pub fn stable_id(&self) -> String {
        format!("n{}CNTRL", self.id)
    }

    /// Its addresses, which follow from its number: IPv4 in 100.64.0.0/10, then IPv6 in
    /// fd7a:115c:a1e0::/48.
    pub fn addresses(&self) -> [IpAddr; 2] {
        addresses(self.id)
    }

    fn set_reason(&mut self, reason: Reason, record: u64) {
        let phase = |reason: &Reason| match reason {
            Reason::LockOff => 0,
            Reason::Signed { .. } => 1,
            _ => 2,
        };
        if phase(&reason) != phase(&self.standing.reason) {
            self.standing.since_record = record;
        }
        if reason != self.standing.reason {
            self.standing.reason = reason;
            self.standing.reason_record = record;
        }
    }

    /// The key on which its signature rests, trusted or not.
    fn authorizing_key(&self) -> Option<LockKey> {
        self.signature.as_ref().and_then(|signature| signature.authorizing_key().ok())
    }
}

/// The addresses of a node, counted from 100.64.0.0 past the blocks in which Tailscale's clients
/// expect something else: 100.100.100.0/24 (DNS) and 100.115.92.0/23 (ChromeOS). The IPv6 address
/// ends in the IPv4 address.
fn addresses(id: NodeId) -> [IpAddr; 2] {
    const NET: u64 = 0x6440_0000;
    let mut v4 = NET.saturating_add(id.0);
    for (block, len) in [(0x6464_6400, 0x100), (0x6473_5c00, 0x200)] {
        if v4 >= block {
            v4 = v4.saturating_add(len);
        }
    }
    let v4 = Ipv4Addr::from((v4 & 0xffff_ffff) as u32);
    let [a, b, c, d] = v4.octets();
    let groups = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
    let v6 = Ipv6Addr::new(0xfd7a, 0x115c, 0xa1e0, 0, 0, 0, groups[0], groups[1]);
    [v4.into(), v6.into()]
}

/// The node with that number.
pub fn node(rows: &dyn Rows, id: NodeId) -> Result<Option<Node>, Fault> {
    let key = id.0.to_be_bytes();
    let Some(value) = rows.get(tables::ROSTER, &key)? else { return Ok(None) };
    row::decode(tables::ROSTER, &key, &value, |reader| Node::read(id, reader)).map(Some)
}

/// The node of that name.
pub fn by_name(rows: &dyn Rows, name: &str) -> Result<Option<Node>, Fault> {
    by_index(rows, tables::ROSTER_NAMES, name.as_bytes())
}

/// The node whose current node key this is.
pub fn by_node_key(rows: &dyn Rows, key: NodeKey) -> Result<Option<Node>, Fault> {
    by_index(rows, tables::ROSTER_NODE_KEYS, &key.0)
}

fn by_index(rows: &dyn Rows, table: Table, key: &[u8]) -> Result<Option<Node>, Fault> {
    let Some(value) = rows.get(table, key)? else { return Ok(None) };
    let id = NodeId(row::number(table, &value)?);
    node(rows, id)?.ok_or_else(|| row::missing(tables::ROSTER, id)).map(Some)
}

/// All nodes, ascending by number.
pub fn list(rows: &dyn Rows) -> Result<Vec<Node>, Fault> {
    if planted!(SkipDamaged) {
        return Ok(nodes(rows)?.filter_map(Result::ok).collect());
    }
    nodes(rows)?.collect()
}

/// All nodes, ascending by number, one after the other.
pub fn nodes(rows: &dyn Rows) -> Result<impl Iterator<Item = Result<Node, Fault>> + '_, Fault> {
    Ok(rows.scan(tables::ROSTER, &[][..]..&[][..])?.map(|item| {
        let (key, value) = item?;
        let id = NodeId(row::number(tables::ROSTER, &key)?);
        row::decode(tables::ROSTER, &key, &value, |reader| Node::read(id, reader))
    }))
}

/// The nodes whose signatures rest on that key, trusted or not, ascending by number.
pub fn signed_by(rows: &dyn Rows, key: LockKey) -> Result<Vec<NodeId>, Fault> {
    let end = prefix_end(&key.0);
    rows.scan(tables::SIGNERS, &key.0[..]..&end)?
        .map(|item| {
            let (row, _) = item?;
            Ok(NodeId(row::number(tables::SIGNERS, row.get(32..).unwrap_or_default())?))
        })
        .collect()
}

impl Node {
    fn write(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(320);
        out.array(9).text(&self.name).bytes(&self.node_key.0);
        out.nullable_bytes(self.lock_key.as_ref().map(|key| key.0.as_slice()));
        match self.member {
            Some(member) => out.uint(member.0),
            None => out.null(),
        };
        out.nullable_bytes(self.signature.as_ref().map(|sig| sig.to_cbor()).as_deref());
        out.uint(self.added).uint(self.standing.since_record).uint(self.standing.reason_record);
        match &self.standing.reason {
            Reason::LockOff => out.array(1).uint(0),
            Reason::Signed { key } => out.array(2).uint(1).bytes(&key.0),
            Reason::NeverSigned => out.array(1).uint(2),
            Reason::NodeKeyChanged { former } => out.array(2).uint(3).bytes(&former.0),
            Reason::SignerNotTrusted { key, aum } => {
                out.array(3).uint(4).bytes(&key.0).bytes(&aum.0)
            }
        };
        out.into_bytes()
    }

    fn read(id: NodeId, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.array_of(9)?;
        let name = reader.text()?.to_owned();
        let node_key = NodeKey(reader.fixed()?);
        let lock_key = if reader.null() { None } else { Some(LockKey(reader.fixed()?)) };
        let member = if reader.null() { None } else { Some(ReplicaId(reader.uint()?)) };
        let signature = reader.nullable_bytes()?.map(NodeKeySignature::decode).transpose()?;
        let added = reader.uint()?;
        let since_record = reader.uint()?;
        let reason_record = reader.uint()?;
        let at = reader.clone();
        let len = reader.array()?;
        let kind = reader.uint()?;
        let reason = match (len, kind) {
            (1, 0) => Reason::LockOff,
            (2, 1) => Reason::Signed { key: LockKey(reader.fixed()?) },
            (1, 2) => Reason::NeverSigned,
            (2, 3) => Reason::NodeKeyChanged { former: NodeKey(reader.fixed()?) },
            (3, 4) => Reason::SignerNotTrusted {
                key: LockKey(reader.fixed()?),
                aum: AumHash(reader.fixed()?),
            },
            _ => return Err(at.malformed("an unknown reason")),
        };
        reader.close();
        reader.close();
        let standing = Standing { since_record, reason, reason_record };
        Ok(Node { id, name, node_key, lock_key, member, signature, standing, added })
    }
}

/// Sets a node's rows in place of what was there before, and names the effect.
fn put(step: &mut Step<'_>, before: Option<&Node>, node: &Node) {
    let id = node.id.0.to_be_bytes();
    step.rows.put(tables::ROSTER, id, node.write());
    // Those that stay as they are need not be written again.
    if before.is_none_or(|before| before.name != node.name) {
        before.inspect(|before| step.rows.delete(tables::ROSTER_NAMES, before.name.as_bytes()));
        step.rows.put(tables::ROSTER_NAMES, node.name.as_bytes(), id);
    }
    if before.is_none_or(|before| before.node_key != node.node_key) {
        before.inspect(|before| step.rows.delete(tables::ROSTER_NODE_KEYS, before.node_key.0));
        step.rows.put(tables::ROSTER_NODE_KEYS, node.node_key.0, id);
    }
    let (former, key) = (before.and_then(Node::authorizing_key), node.authorizing_key());
    if former != key {
        former.inspect(|key| step.rows.delete(tables::SIGNERS, signer_key(*key, node.id)));
        key.inspect(|key| step.rows.put(tables::SIGNERS, signer_key(*key, node.id), []));
    }
    step.node(node);
}

fn remove_index_rows(step: &mut Step<'_>, node: &Node) {
    step.rows.delete(tables::ROSTER_NAMES, node.name.as_bytes());
    step.rows.delete(tables::ROSTER_NODE_KEYS, node.node_key.0);
    if let Some(key) = node.authorizing_key() {
        step.rows.delete(tables::SIGNERS, signer_key(key, node.id));
    }
}

fn signer_key(key: LockKey, node: NodeId) -> Vec<u8> {
    [&key.0[..], &node.0.to_be_bytes()].concat()
}

fn needed(rows: &dyn Rows, id: NodeId) -> Result<Node, Failure> {
    Ok(node(rows, id)?.ok_or(EventRefusal::UnknownNode(id))?)
}

/// The rules since which a credential's signature needs the auth key.
pub(super) const AUTH_KEYS_SINCE_RULES: u32 = 2;

/// By what signatures for nodes are judged.
#[derive(Clone, Copy)]
pub(super) struct Judge<'a> {
    /// The lock, while it is on.
    pub(super) state: Option<&'a State>,
    /// Whether the lock is on here, unless the signature of an auth key's credential lets a node in
    /// without the auth key: what is used, expired or revoked is the auth key, of which the signature
    /// says nothing. The nodes of a lock that exists elsewhere have joined there.
    pub(super) asks_for_auth_keys: Option<Lifecycle>,
}

impl Judge<'_> {
    /// The trusted key on which a signature lets in a node key. `entitled` says of whom a credential's
    /// is taken.
    fn accept(
        self,
        rows: &dyn Rows,
        (node, node_key): (NodeId, NodeKey),
        signature: &Verified<NodeKeySignature>,
        entitled: impl Fn(LockKey) -> bool,
    ) -> Result<LockKey, Failure> {
        let state = self.state.ok_or(EventRefusal::LockOff)?;
        let key = authorize(signature, node_key, state)
            .map(|authorization| authorization.key)
            .map_err(|why| EventRefusal::NodeNotAuthorized { node, why: Box::new(why) })?;
        let meta = state.key(&key.0).and_then(|trusted| trusted.meta.as_ref());
        let is_credential = meta.is_some_and(|meta| is_pre_auth(&meta.0));
        if is_credential
            && let Some(lifecycle) = self.asks_for_auth_keys
            && !entitled(key)
            && !adoption::is_adopted(rows, lifecycle)?
        {
            return Err(EventRefusal::CredentialAlone { node }.into());
        }
        Ok(key)
    }
}

/// A node joins as number `id`.
pub(super) fn add(
    step: &mut Step<'_>,
    judge: Judge<'_>,
    id: NodeId,
    new: &NewNode,
    member: &Member,
    signature: Option<&Verified<NodeKeySignature>>,
) -> Result<(), Failure> {
    if id.0 > ROSTER_NODES {
        return Err(EventRefusal::RosterFull.into());
    }
    if let Some(other) = by_name(&step.rows, &new.name)? {
        return Err(EventRefusal::NameTaken(other.id).into());
    }
    if let Some(other) = by_node_key(&step.rows, new.node_key)? {
        return Err(EventRefusal::NodeKeyTaken(other.id).into());
    }
    if let (true, Some(other)) = (new.own, member.node) {
        return Err(EventRefusal::OwnNodeExists(other).into());
    }
    let reason = match (signature, judge.state) {
        (Some(signature), _) => {
            let shown = |_| new.auth_key.is_some();
            Reason::Signed { key: judge.accept(&step.rows, (id, new.node_key), signature, shown)? }
        }
        (None, Some(_)) => Reason::NeverSigned,
        (None, None) => Reason::LockOff,
    };
    let index = step.index;
    let node = Node {
        id,
        name: new.name.clone(),
        node_key: new.node_key,
        lock_key: new.lock_key,
        member: new.own.then_some(member.id),
        signature: new.signature.clone(),
        standing: Standing { since_record: index, reason, reason_record: index },
        added: index,
    };
    put(step, None, &node);
    if new.own {
        members::put(step, &Member { node: Some(id), ..member.clone() });
    }
    Ok(())
}

/// A node's keys and signature change.
pub(super) fn change(
    step: &mut Step<'_>,
    judge: Judge<'_>,
    changed: &ChangedNode,
    signature: Option<Verified<NodeKeySignature>>,
) -> Result<(), Failure> {
    let before = needed(&step.rows, changed.node)?;
    let mut node = Node {
        name: before.name.clone(),
        node_key: changed.node_key,
        lock_key: changed.lock_key,
        signature: None,
        ..before
    };
    if changed.node_key != before.node_key {
        if let Some(other) = by_node_key(&step.rows, changed.node_key)? {
            return Err(EventRefusal::NodeKeyTaken(other.id).into());
        }
    } else if signature.is_none() {
        node.signature = before.signature.clone();
    }
    if let Some(signature) = signature {
        let rotates = |key| before.authorizing_key() == Some(key);
        let key = judge.accept(&step.rows, (node.id, node.node_key), &signature, rotates)?;
        node.signature = Some(signature.into_inner());
        node.set_reason(Reason::Signed { key }, step.index);
    } else if judge.state.is_some() && node.node_key != before.node_key {
        node.set_reason(Reason::NodeKeyChanged { former: before.node_key }, step.index);
    }
    put(step, Some(&before), &node);
    Ok(())
}

/// A node leaves.
pub(super) fn remove(step: &mut Step<'_>, id: NodeId) -> Result<(), Failure> {
    let node = needed(&step.rows, id)?;
    remove_index_rows(step, &node);
    step.rows.delete(tables::ROSTER, id.0.to_be_bytes());
    step.node_gone(id);
    acknowledgements::forget(step, id)?;
    lifecycle::forget(&mut step.rows, id)?;
    if let Some(member) = node.member {
        let own = members::member(&step.rows, member)?;
        let own = own.ok_or_else(|| row::missing(tables::MEMBERS, member))?;
        members::put(step, &Member { node: None, ..own });
    }
    Ok(())
}

/// A member's own machine becomes a node like others: the member is one no more.
pub(super) fn disown(step: &mut Step<'_>, id: NodeId) -> Result<(), Failure> {
    let before = node(&step.rows, id)?.ok_or_else(|| row::missing(tables::ROSTER, id))?;
    let node = Node { member: None, ..before.clone() };
    put(step, Some(&before), &node);
    Ok(())
}

/// Nodes get signatures that let in their current keys.
pub(super) fn sign(
    step: &mut Step<'_>,
    judge: Judge<'_>,
    signatures: &[NodeSignature],
    whole: &Verified<&SignedProposal>,
) -> Result<(), Failure> {
    for item in signatures {
        let before = needed(&step.rows, item.node)?;
        let signature = whole.part(item.signature.clone());
        let renews = |key| before.authorizing_key() == Some(key);
        let key = judge.accept(&step.rows, (item.node, before.node_key), &signature, renews)?;
        let mut node = before.clone();
        node.signature = Some(item.signature.clone());
        node.set_reason(Reason::Signed { key }, step.index);
        put(step, Some(&before), &node);
    }
    Ok(())
}

/// The nodes whose signatures rest on `key` are in or out from now on: `removed_by` names the AUM
/// since which it is not trusted; none says that it is trusted again.
///
/// Every signature in the roster was accepted for its node's current key, so that the trust in the
/// key is all that can change about it.
pub(super) fn trust_changed(
    step: &mut Step<'_>,
    key: LockKey,
    removed_by: Option<AumHash>,
) -> Result<(), Failure> {
    for id in signed_by(&step.rows, key)? {
        let found = node(&step.rows, id)?;
        let before = found.ok_or_else(|| row::missing(tables::ROSTER, id))?;
        let mut node = before.clone();
        let reason = match removed_by {
            Some(aum) => Reason::SignerNotTrusted { key, aum },
            None => Reason::Signed { key },
        };
        node.set_reason(reason, step.index);
        put(step, Some(&before), &node);
    }
    Ok(())
}

/// A lock begins that nobody here was signed for: everybody is out.
pub(super) fn lock(step: &mut Step<'_>) -> Result<(), Failure> {
    for before in list(&step.rows)? {
        let mut node = before.clone();
        node.set_reason(Reason::NeverSigned, step.index);
        put(step, Some(&before), &node);
    }
    Ok(())
}

/// The lock is off: everybody is in, and no signature means anything any more.
pub(super) fn unlock(step: &mut Step<'_>) -> Result<(), Failure> {
    for before in list(&step.rows)? {
        let mut node = before.clone();
        node.signature = None;
        node.set_reason(Reason::LockOff, step.index);
        put(step, Some(&before), &node);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_follow_from_the_number_and_avoid_reserved_blocks() {
        let text = |id| addresses(NodeId(id)).map(|address| address.to_string());
        assert_eq!(text(1), ["100.64.0.1", "fd7a:115c:a1e0::6440:1"]);
        let dns = u64::from(u32::from(Ipv4Addr::new(100, 100, 100, 0)) - 0x6440_0000);
        assert_eq!(text(dns - 1)[0], "100.100.99.255");
        assert_eq!(text(dns)[0], "100.100.101.0");
        let chrome_os = u64::from(u32::from(Ipv4Addr::new(100, 115, 92, 0)) - 0x6440_0000) - 256;
        assert_eq!(text(chrome_os - 1)[0], "100.115.91.255");
        assert_eq!(text(chrome_os)[0], "100.115.94.0");
        assert_eq!(text(ROSTER_NODES)[0], "100.127.255.254");
    }
}
