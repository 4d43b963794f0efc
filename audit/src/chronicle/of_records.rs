//! The chronicle of records, collected while they are replayed.

use std::collections::{BTreeMap, BTreeSet};

use ledger::Fault;
use ledger::history::Epoch;
use ledger::history::{Event, Fold, Record, ReplicaId, lifecycle, members, roster};
use ledger::ids::{AumHash, LockKey, NodeKey};
use ledger::lock::node_keys::NodeKeySignature;
use ledger::lock::{Chain, ChainId, Sealed};
use ledger::rows::Rows;

use super::describe::{self, short};
use super::{ActorSeen, AumStanding, AumStory, ChainStory, Chronicle, Entry, NodeStory};
use crate::checks::standing_of;
use crate::observations::{Observations, epoch_of, given_up};

/// What has been collected so far.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    entries: Vec<Entry>,
    /// The AUMs of each epoch and the entries that brought them, in the order of the records.
    aums: BTreeMap<u32, Vec<(AumHash, usize)>>,
    /// Names of the nodes that are locked out, by number.
    out: BTreeMap<u64, String>,
    /// Names of members.
    members: BTreeMap<ReplicaId, String>,
    /// Whose lock key is whose.
    holders: BTreeMap<LockKey, String>,
    /// Names of nodes, by number, those that have left included.
    names: BTreeMap<u64, String>,
    /// Node keys of nodes, by number, in the order in which they had them.
    node_keys: BTreeMap<u64, Vec<NodeKey>>,
    /// The head and the trusted keys after the last record, while the lock is on.
    lock: Option<(AumHash, BTreeSet<LockKey>)>,
}

impl Collector {
    /// A record was admitted; `rows` and `fold` are as it left them.
    pub(crate) fn record(
        &mut self,
        rows: &dyn Rows,
        fold: &Fold,
        record: &Record,
    ) -> Result<(), Fault> {
        let proposal = record.proposal().proposal();
        let event = &proposal.event;
        if let Event::GroupCreated(_)
        | Event::MemberChanged(_)
        | Event::MemberJoined(_)
        | Event::IncarnationBegun(_) = event
        {
            let list = members::list(rows)?.into_iter();
            self.members = list.map(|member| (member.id, member.details.name)).collect();
        }
        self.holder(event, rows)?;
        let actor = &proposal.actor;
        let mut entry = Entry {
            number: record.index(),
            hash: Some(record.hash()),
            time_ms: Some(proposal.time_ms),
            actor: Some(ActorSeen {
                member: self.members.get(&actor.member).cloned().unwrap_or_default(),
                who: actor.who,
                name: actor.name.clone(),
            }),
            kind: event.kind_name().to_owned(),
            what: self.sentence(event, rows, fold)?,
            aums: event.aums().iter().map(Sealed::hash).collect(),
            keys: event.aums().iter().flat_map(keys_of).collect(),
            nodes: nodes_of(event, rows)?,
            let_in: Vec::new(),
            locked_out: Vec::new(),
        };
        for signature in event.signatures() {
            entry.keys.extend(signature.authorizing_key().ok());
        }
        match event {
            Event::RevocationOpened(opened) => {
                entry.keys.extend(&opened.keys);
                entry.keys.extend(Chronicle::signers(&opened.aum));
            }
            Event::RevocationSigned(signed) => {
                entry.keys.extend(signed.signatures.iter().map(|(key, _)| *key));
            }
            _ => {}
        }
        entry.keys.sort_unstable();
        entry.keys.dedup();
        self.standings(rows, event, &mut entry)?;
        if let Event::AdoptionEnded = event {
            self.aums.remove(&given_up(fold));
        }
        if !entry.aums.is_empty()
            && let Some(epoch) = epoch_of(rows, fold)?
        {
            let at = self.entries.len();
            let aums = entry.aums.iter().map(|aum| (*aum, at));
            self.aums.entry(epoch).or_default().extend(aums);
        }
        self.entries.push(entry);
        Ok(())
    }

    /// What an event was, with what only those know who know what was before.
    fn sentence(&mut self, event: &Event, rows: &dyn Rows, fold: &Fold) -> Result<String, Fault> {
        if let Event::NodeAdded(node) = event
            && let Some(added) = roster::by_name(rows, &node.name)?
        {
            self.node_keys.insert(added.id.0, vec![added.node_key]);
            self.names.insert(added.id.0, added.name);
        }
        if let Event::NodeChanged(changed) = event {
            let keys = self.node_keys.entry(changed.node.0).or_default();
            if keys.last() != Some(&changed.node_key) {
                keys.push(changed.node_key);
            }
        }
        let mut what = match event {
            Event::NodeRemoved(node) => {
                let unknown = || format!("number {node}");
                let name = self.names.get(&node.0).cloned().unwrap_or_else(unknown);
                format!("Node {name} left the roster.")
            }
            event => describe::event(event, rows),
        };
        let now = fold.authority().map(|authority| {
            let keys = authority.state().keys().iter().filter_map(|key| key.lock_key());
            (authority.head(), keys.collect::<BTreeSet<_>>())
        });
        if let (Event::AumsAdded(added), Some(before), Some(after)) = (event, &self.lock, &now)
            && added.fork
            && let Some(authority) = fold.authority()
        {
            let chain = authority.chain(rows);
            let fork = added.aums.first().and_then(|aum| aum.parent_hash());
            let height = |hash: Option<AumHash>| match hash {
                Some(hash) => Ok::<_, Fault>(chain.node(&hash)?.map(|node| node.height)),
                None => Ok(None),
            };
            let undone = match (height(Some(before.0))?, height(fork)?) {
                (Some(head), Some(fork)) if before.0 != after.0 => head.saturating_sub(fork),
                _ => 0,
            };
            let lost: Vec<String> = before.1.difference(&after.1).map(short).collect();
            what += &describe::undoing(&lost, undone);
        }
        self.lock = now;
        Ok(what)
    }

    /// Whose lock key an event names.
    fn holder(&mut self, event: &Event, rows: &dyn Rows) -> Result<(), Fault> {
        let member = match event {
            Event::GroupCreated(founder) => Some(&founder.details),
            Event::IncarnationBegun(begun) => Some(&begun.founder.details),
            Event::MemberJoined(joined) => Some(&joined.details),
            Event::MemberChanged(details) => Some(details),
            _ => None,
        };
        if let Some(details) = member
            && let Some(key) = details.lock_key
        {
            let name = format!("the signing node {}", details.name);
            self.holders.entry(key).or_insert(name);
        }
        let named = match event {
            Event::NodeAdded(node) => node.lock_key.map(|key| (key, format!("node {}", node.name))),
            Event::NodeChanged(changed) => {
                match (changed.lock_key, roster::node(rows, changed.node)?) {
                    (Some(key), Some(node)) => Some((key, format!("node {}", node.name))),
                    _ => None,
                }
            }
            _ => None,
        };
        if let Some((key, holder)) = named {
            self.holders.entry(key).or_insert(holder);
        }
        Ok(())
    }

    /// Who was let in and who locked out by an event.
    fn standings(
        &mut self,
        rows: &dyn Rows,
        event: &Event,
        entry: &mut Entry,
    ) -> Result<(), Fault> {
        let before = self.out.clone();
        let one = |out: &mut BTreeMap<u64, String>, node: Option<roster::Node>| {
            if let Some(node) = node {
                if node.standing.is_in() {
                    out.remove(&node.id.0);
                } else {
                    out.insert(node.id.0, node.name);
                }
            }
        };
        match event {
            Event::NodeAdded(new) => one(&mut self.out, roster::by_name(rows, &new.name)?),
            Event::NodeChanged(changed) => one(&mut self.out, roster::node(rows, changed.node)?),
            Event::NodeRemoved(node) => {
                self.out.remove(&node.0);
                return Ok(());
            }
            Event::NodeKeysSigned(list) => {
                for item in list {
                    one(&mut self.out, roster::node(rows, item.node)?);
                }
            }
            Event::LockInitialized(_)
            | Event::AumsAdded(_)
            | Event::AumsAdopted(_)
            | Event::AdoptionBegun(_)
            | Event::AdoptionEnded
            | Event::LockDisabled(_) => {
                self.out.clear();
                for node in roster::nodes(rows)? {
                    one(&mut self.out, Some(node?));
                }
            }
            _ => return Ok(()),
        }
        let missing = |from: &BTreeMap<u64, String>, other: &BTreeMap<u64, String>| {
            let gone = from.iter().filter(|(id, _)| !other.contains_key(*id));
            gone.map(|(_, name)| name.clone()).collect::<Vec<_>>()
        };
        entry.let_in = missing(&before, &self.out);
        entry.locked_out = missing(&self.out, &before);
        Ok(())
    }
}

/// The keys that an AUM is about: signers, and those that it names.
pub(super) fn keys_of(aum: &Sealed) -> Vec<LockKey> {
    let key = |bytes: &[u8]| bytes.try_into().ok().map(LockKey);
    let mut keys: BTreeSet<LockKey> = Chronicle::signers(aum).collect();
    keys.extend(aum.key.as_ref().and_then(|key| key.lock_key()));
    keys.extend(aum.key_id.as_deref().and_then(key));
    if aum.parent_hash().is_none() {
        let state = aum.state.iter().flat_map(|state| state.keys());
        keys.extend(state.filter_map(|key| key.lock_key()));
    }
    keys.into_iter().collect()
}

fn nodes_of(event: &Event, rows: &dyn Rows) -> Result<Vec<NodeKey>, Fault> {
    let mut keys: Vec<NodeKey> =
        event.signatures().into_iter().filter_map(NodeKeySignature::node_key).collect();
    match event {
        Event::NodeAdded(node) => keys.push(node.node_key),
        Event::NodeChanged(node) => keys.push(node.node_key),
        Event::NodeAcknowledged(said) => {
            keys.extend(roster::node(rows, said.node)?.map(|node| node.node_key));
        }
        _ => {}
    }
    keys.sort_unstable();
    keys.dedup();
    Ok(keys)
}

/// The chronicle, once all records have been replayed onto `rows`.
pub(crate) fn finish(
    mut collector: Collector,
    rows: &dyn Rows,
    seen: &Observations,
) -> Result<Chronicle, Fault> {
    let mut chronicle = Chronicle {
        entries: std::mem::take(&mut collector.entries),
        holders: std::mem::take(&mut collector.holders),
        has_records: true,
        ..Chronicle::default()
    };
    for (epoch, hashes) in &collector.aums {
        let epoch = *epoch;
        let chain = Chain::new(rows, ChainId(epoch));
        let mut aums = Vec::new();
        for (hash, entry) in hashes {
            let (hash, entry) = (*hash, *entry);
            // A lock whose adoption was given up leaves no AUMs.
            let (Some(aum), Some(node)) = (chain.aum(&hash)?, chain.node(&hash)?) else { continue };
            let departs = seen.epochs.get(&epoch).and_then(|seen| seen.departs.get(&hash));
            aums.push(AumStory {
                aum,
                entry,
                standing: AumStanding::Verified,
                weight: node.weight,
                parent: None,
                children: Vec::new(),
                active: false,
                departs: departs.map(|(departs, _)| *departs),
            });
        }
        let Some(first) = aums.first() else { continue };
        let assumed = first.aum.parent_hash().is_some();
        let mut story = ChainStory::new(epoch, assumed, aums);
        let place = |record: u64| usize::try_from(record).ok();
        let life = lifecycle::epoch(rows, Epoch(epoch))?;
        story.began = life.as_ref().and_then(|life| place(life.began));
        story.ended = life.and_then(|life| life.ended).and_then(place);
        chronicle.chains.push(story);
    }
    for node in roster::nodes(rows)? {
        let node = node?;
        chronicle.nodes.push(NodeStory {
            why: standing_of(&node),
            admitted: node.standing.is_in(),
            since: Some(node.standing.since_record),
            levels: node.signature.iter().flat_map(levels).collect(),
            rests_on: node.signature.as_ref().and_then(|sig| sig.authorizing_key().ok()),
            former: {
                let keys = collector.node_keys.get(&node.id.0).into_iter().flatten();
                keys.filter(|key| **key != node.node_key).copied().collect()
            },
            node_key: node.node_key,
            name: node.name,
        });
    }
    Ok(chronicle)
}

/// A signature's levels in words, outermost first.
pub(crate) fn levels(signature: &NodeKeySignature) -> Vec<String> {
    let levels = signature.levels().map(|level| {
        let node = level.node_key().map_or(String::new(), |key| format!(" of {key}"));
        let by = <[u8; 32]>::try_from(level.key_id.as_slice()).ok().map(LockKey);
        let by = by.map_or(String::new(), |key| format!(", by {}", short(&key)));
        format!("{} signature{node}{by}", level.kind)
    });
    levels.collect()
}
