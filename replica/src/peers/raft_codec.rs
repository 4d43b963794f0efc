//! Raft messages as canonical CBOR.
//!
//! ```text
//! message  [kind, term, log term, index, commit, commit term, reject, reject hint, priority,
//!           context, [entry...], snapshot or null]
//! entry    [0, term, index, data, context] or [2, term, index, configuration change, context]
//! snapshot [index, term, [voters], [learners], [outgoing voters], [next learners],
//!           leaves by itself, record index, record hash, fold hash]
//! ```
//!
//! Kinds are raft-rs's numbers. Sender and receiver are not sent.

use ledger::cbor::{Malformed, Reader, Writer};
use ledger::history::ReplicaId;
use raft::eraftpb::{ConfState, Entry, EntryType, Message, MessageType, Snapshot};

use crate::core::{ConfChange, PeerMessage, RecordPointer};

/// Entries of one message: more than its bytes allow, unless they are empty.
const ENTRIES: usize = 1 << 16;
/// Members of a group in one role.
const GROUP_MEMBERS: usize = 4096;
/// Bytes of a message's context: the name of a read, or of the kind of an election.
const CONTEXT_BYTES: usize = 64;

/// What members send each other, and its number.
pub(super) const KINDS: [(MessageType, u64); 12] = [
    (MessageType::MsgAppend, 3),
    (MessageType::MsgAppendResponse, 4),
    (MessageType::MsgRequestVote, 5),
    (MessageType::MsgRequestVoteResponse, 6),
    (MessageType::MsgSnapshot, 7),
    (MessageType::MsgHeartbeat, 8),
    (MessageType::MsgHeartbeatResponse, 9),
    (MessageType::MsgTimeoutNow, 14),
    (MessageType::MsgReadIndex, 15),
    (MessageType::MsgReadIndexResp, 16),
    (MessageType::MsgRequestPreVote, 17),
    (MessageType::MsgRequestPreVoteResponse, 18),
];

/// A message that the codec has no words for: this member's own mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot send {0}")]
pub struct Unsendable(pub(super) &'static str);

pub(super) fn write(PeerMessage(m): &PeerMessage, out: &mut Writer) -> Result<(), Unsendable> {
    let kind = m.get_msg_type();
    let Some((_, number)) = KINDS.iter().find(|(known, _)| *known == kind) else {
        return Err(Unsendable("a kind of Raft message that members do not send"));
    };
    if m.request_snapshot != 0 || m.deprecated_priority != deprecated(m.priority) {
        return Err(Unsendable("a field that members do not send"));
    }
    if m.context.len() > CONTEXT_BYTES {
        return Err(Unsendable("a context that is too long"));
    }
    if m.entries.len() > ENTRIES {
        return Err(Unsendable("too many entries"));
    }
    out.array(12).uint(*number).uint(m.term).uint(m.log_term).uint(m.index);
    out.uint(m.commit).uint(m.commit_term).bool(m.reject).uint(m.reject_hint);
    out.int(m.priority).bytes(&m.context).array(m.entries.len());
    for entry in &m.entries {
        write_entry(entry, out)?;
    }
    match (kind, m.snapshot.as_ref()) {
        (MessageType::MsgSnapshot, Some(snapshot)) => write_snapshot(snapshot, out),
        (MessageType::MsgSnapshot, None) => Err(Unsendable("a snapshot message without one")),
        (_, None) => {
            out.null();
            Ok(())
        }
        (_, Some(_)) => Err(Unsendable("a snapshot in another kind of message")),
    }
}

pub(super) fn read(
    reader: &mut Reader<'_>,
    from: ReplicaId,
    to: ReplicaId,
) -> Result<PeerMessage, Malformed> {
    let mut m = Message { from: from.0, to: to.0, ..Message::default() };
    reader.array_of(12)?;
    let at = reader.clone();
    let number = reader.uint()?;
    let Some((kind, _)) = KINDS.iter().find(|(_, known)| *known == number) else {
        return Err(at.malformed("a kind of Raft message that members do not send"));
    };
    m.set_msg_type(*kind);
    m.term = reader.uint()?;
    m.log_term = reader.uint()?;
    m.index = reader.uint()?;
    m.commit = reader.uint()?;
    m.commit_term = reader.uint()?;
    m.reject = reader.bool()?;
    m.reject_hint = reader.uint()?;
    m.priority = reader.int()?;
    m.deprecated_priority = deprecated(m.priority);
    let at = reader.clone();
    let context = reader.bytes()?;
    if context.len() > CONTEXT_BYTES {
        return Err(at.malformed("a context that is too long"));
    }
    m.context = context.to_vec().into();
    let count = reader.array_up_to(ENTRIES)?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        entries.push(read_entry(reader)?);
    }
    reader.close();
    m.set_entries(entries.into());
    if *kind == MessageType::MsgSnapshot {
        m.set_snapshot(read_snapshot(reader)?);
    } else if !reader.null() {
        return Err(reader.malformed("a snapshot in another kind of message"));
    }
    reader.close();
    Ok(PeerMessage(m))
}

/// raft-rs sets the old field beside the new one.
fn deprecated(priority: i64) -> u64 {
    u64::try_from(priority).unwrap_or(0)
}

fn write_entry(entry: &Entry, out: &mut Writer) -> Result<(), Unsendable> {
    if entry.sync_log {
        return Err(Unsendable("a field that members do not send"));
    }
    out.array(5);
    match entry.get_entry_type() {
        EntryType::EntryNormal => {
            out.uint(0).uint(entry.term).uint(entry.index).bytes(&entry.data);
        }
        EntryType::EntryConfChangeV2 => {
            let change = ConfChange::from_protobuf(&entry.data)
                .ok_or(Unsendable("a configuration change that Raft did not write"))?;
            out.uint(2).uint(entry.term).uint(entry.index);
            change.write(out);
        }
        EntryType::EntryConfChange => {
            return Err(Unsendable("an entry of a kind that nobody proposes"));
        }
    }
    out.bytes(&entry.context);
    Ok(())
}

fn read_entry(reader: &mut Reader<'_>) -> Result<Entry, Malformed> {
    let mut entry = Entry::default();
    reader.array_of(5)?;
    let at = reader.clone();
    let kind = reader.uint()?;
    entry.term = reader.uint()?;
    entry.index = reader.uint()?;
    match kind {
        0 => entry.data = reader.bytes()?.to_vec().into(),
        2 => {
            entry.set_entry_type(EntryType::EntryConfChangeV2);
            entry.data = ConfChange::read(reader)?.to_protobuf().into();
        }
        _ => return Err(at.malformed("an entry of a kind that nobody proposes")),
    }
    entry.context = reader.bytes()?.to_vec().into();
    reader.close();
    Ok(entry)
}

fn write_snapshot(snapshot: &Snapshot, out: &mut Writer) -> Result<(), Unsendable> {
    let pointer = RecordPointer::from_bytes(&snapshot.data)
        .map_err(|_| Unsendable("a snapshot that is no pointer to a record"))?;
    let meta = snapshot.get_metadata();
    let group = meta.get_conf_state();
    out.array(10).uint(meta.index).uint(meta.term);
    for role in [&group.voters, &group.learners, &group.voters_outgoing, &group.learners_next] {
        if role.len() > GROUP_MEMBERS {
            return Err(Unsendable("too many members"));
        }
        out.array(role.len());
        for member in role {
            out.uint(*member);
        }
    }
    out.bool(group.auto_leave).uint(pointer.record);
    out.bytes(&pointer.hash).bytes(&pointer.fold);
    Ok(())
}

fn read_snapshot(reader: &mut Reader<'_>) -> Result<Snapshot, Malformed> {
    let mut snapshot = Snapshot::default();
    reader.array_of(10)?;
    snapshot.mut_metadata().index = reader.uint()?;
    snapshot.mut_metadata().term = reader.uint()?;
    let group = ConfState {
        voters: read_role(reader)?,
        learners: read_role(reader)?,
        voters_outgoing: read_role(reader)?,
        learners_next: read_role(reader)?,
        auto_leave: reader.bool()?,
        ..ConfState::default()
    };
    snapshot.mut_metadata().set_conf_state(group);
    let pointer =
        RecordPointer { record: reader.uint()?, hash: reader.fixed()?, fold: reader.fixed()? };
    reader.close();
    snapshot.data = pointer.to_bytes().into();
    Ok(snapshot)
}

fn read_role(reader: &mut Reader<'_>) -> Result<Vec<u64>, Malformed> {
    let count = reader.array_up_to(GROUP_MEMBERS)?;
    let mut members = Vec::with_capacity(count);
    for _ in 0..count {
        members.push(reader.uint()?);
    }
    reader.close();
    Ok(members)
}
