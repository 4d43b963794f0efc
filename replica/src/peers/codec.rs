//! Messages as canonical CBOR: one array a message, and nothing behind it.
//!
//! | kind of frame | body |
//! | --- | --- |
//! | Raft | see `raft_codec` |
//! | Propose | [request, term, proposal] |
//! | Proposed | [request, 1, leader or null], [request, 2] busy, [request, 3] displaced, [request, 4] clock apart, [request, 5] not a proposal |
//! | HandOver | [member or null] |
//! | Head | [record index, record hash, fold hash, writes, signature] |
//! | RecordsWanted | [request, from, upto] |
//! | Records | [request, first, [record...]] |
//! | RecordsEnd | [request, next] |
//! | Yields | [term, member] |
//! | Members | [record, [[member, key, address or null]...]], ascending |

use std::collections::BTreeMap;

use ledger::cbor::{Malformed, Reader, Writer};
use ledger::history::{FoldHash, MemberKey, RecordHash, ReplicaId};
use ledger::limits::{ADDRESS_BYTES, MEMBERS_AT_ONCE, PROPOSAL_BYTES, RECORD_BYTES};

use super::frame::Kind;
use super::membership::Peer;
use super::message::{Answer, Head, Message, leader_of};
use super::raft_codec::{self, Unsendable};
use crate::core::Rejection;

/// Records of one message.
const RECORDS: usize = 4096;

pub(super) fn encode(message: &Message) -> Result<(Kind, Vec<u8>), Unsendable> {
    let mut out = Writer::with_capacity(message.size());
    let kind = match message {
        Message::Raft(message) => {
            raft_codec::write(message, &mut out)?;
            Kind::Raft
        }
        Message::Propose { request, term, proposal } => {
            out.array(3).uint(*request).uint(*term).bytes(proposal);
            Kind::Propose
        }
        Message::Proposed { request, answer } => {
            write_answer(*request, *answer, &mut out);
            Kind::Proposed
        }
        Message::HandOver(to) => {
            out.array(1);
            match to {
                Some(to) => out.uint(to.0),
                None => out.null(),
            };
            Kind::HandOver
        }
        Message::Head(head) => {
            head.write(&mut out);
            Kind::Head
        }
        Message::RecordsWanted { request, from, upto } => {
            out.array(3).uint(*request).uint(*from).uint(*upto);
            Kind::RecordsWanted
        }
        Message::Records { request, first, records } => {
            if records.len() > RECORDS {
                return Err(Unsendable("too many records"));
            }
            out.array(3).uint(*request).uint(*first).array(records.len());
            for record in records {
                out.bytes(record);
            }
            Kind::Records
        }
        Message::RecordsEnd { request, next } => {
            out.array(2).uint(*request).uint(*next);
            Kind::RecordsEnd
        }
        Message::Yields { term, to } => {
            out.array(2).uint(*term).uint(to.0);
            Kind::Yields
        }
        Message::Members { record, members } => {
            out.array(2).uint(*record).array(members.len());
            for (id, peer) in members {
                out.array(3).uint(id.0).bytes(&peer.key.0);
                match &peer.address {
                    Some(address) => out.text(address),
                    None => out.null(),
                };
            }
            Kind::Members
        }
    };
    let body = out.into_bytes();
    if body.len() > kind.most() {
        return Err(Unsendable("a message that is too long"));
    }
    Ok((kind, body))
}

/// The message of such a frame; `None` if the kind is none of messages.
pub(super) fn decode(
    kind: Kind,
    body: &[u8],
    from: ReplicaId,
    to: ReplicaId,
) -> Option<Result<Message, Malformed>> {
    let read: fn(&mut Reader<'_>, ReplicaId, ReplicaId) -> Result<Message, Malformed> = match kind {
        Kind::Raft => |reader, from, to| raft_codec::read(reader, from, to).map(Message::Raft),
        Kind::Propose => |reader, _, _| read_propose(reader),
        Kind::Proposed => |reader, _, _| read_answer(reader),
        Kind::HandOver => |reader, _, _| read_hand_over(reader),
        Kind::Head => |reader, _, _| Head::read(reader).map(Message::Head),
        Kind::RecordsWanted => |reader, _, _| read_wanted(reader),
        Kind::Records => |reader, _, _| read_records(reader),
        Kind::RecordsEnd => |reader, _, _| read_end(reader),
        Kind::Members => |reader, _, _| read_members(reader),
        Kind::Yields => |reader, _, _| read_yields(reader),
        Kind::Hello | Kind::Goodbye | Kind::Still | Kind::Join => return None,
    };
    let mut reader = Reader::new(body);
    let message = read(&mut reader, from, to);
    Some(message.and_then(|message| reader.finish().map(|()| message)))
}

fn read_hand_over(reader: &mut Reader<'_>) -> Result<Message, Malformed> {
    reader.array_of(1)?;
    let to = if reader.null() { None } else { Some(ReplicaId(reader.uint()?)) };
    reader.close();
    Ok(Message::HandOver(to))
}

fn write_answer(request: u64, answer: Answer, out: &mut Writer) {
    match answer {
        Answer::Rejected(rejection @ Rejection::NotLeader(_)) => {
            out.array(3).uint(request).uint(1);
            match leader_of(rejection) {
                Some(leader) => out.uint(leader.0),
                None => out.null(),
            };
        }
        Answer::Rejected(Rejection::Busy) => {
            out.array(2).uint(request).uint(2);
        }
        Answer::Rejected(Rejection::Displaced) => {
            out.array(2).uint(request).uint(3);
        }
        Answer::ClockApart => {
            out.array(2).uint(request).uint(4);
        }
        Answer::NotAProposal => {
            out.array(2).uint(request).uint(5);
        }
    }
}

fn read_answer(reader: &mut Reader<'_>) -> Result<Message, Malformed> {
    let at = reader.clone();
    let len = reader.array()?;
    if len < 2 {
        return Err(at.malformed("an array with the wrong number of elements"));
    }
    let request = reader.uint()?;
    let at = reader.clone();
    let answer = match (reader.uint()?, len) {
        (1, 3) => {
            let leader = if reader.null() { None } else { Some(ReplicaId(reader.uint()?)) };
            Answer::Rejected(Rejection::NotLeader(leader))
        }
        (2, 2) => Answer::Rejected(Rejection::Busy),
        (3, 2) => Answer::Rejected(Rejection::Displaced),
        (4, 2) => Answer::ClockApart,
        (5, 2) => Answer::NotAProposal,
        _ => return Err(at.malformed("an unknown answer")),
    };
    reader.close();
    Ok(Message::Proposed { request, answer })
}

fn read_propose(reader: &mut Reader<'_>) -> Result<Message, Malformed> {
    reader.array_of(3)?;
    let request = reader.uint()?;
    let term = reader.uint()?;
    let proposal = read_bytes(reader, PROPOSAL_BYTES)?;
    reader.close();
    Ok(Message::Propose { request, term, proposal })
}

impl Head {
    pub(super) fn write(&self, out: &mut Writer) {
        out.array(5).uint(self.record).bytes(&self.hash.0).bytes(&self.fold.0);
        out.uint(self.writes).bytes(&self.signature);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Head, Malformed> {
        reader.array_of(5)?;
        let head = Head {
            record: reader.uint()?,
            hash: RecordHash(reader.fixed()?),
            fold: FoldHash(reader.fixed()?),
            writes: reader.uint()?,
            signature: reader.fixed()?,
        };
        reader.close();
        Ok(head)
    }

    /// As on the wire, by itself.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new();
        self.write(&mut out);
        out.into_bytes()
    }

    /// From bytes as on the wire.
    pub fn from_bytes(bytes: &[u8]) -> Result<Head, Malformed> {
        let mut reader = Reader::new(bytes);
        let head = Head::read(&mut reader)?;
        reader.finish()?;
        Ok(head)
    }
}

fn read_wanted(reader: &mut Reader<'_>) -> Result<Message, Malformed> {
    reader.array_of(3)?;
    let (request, from) = (reader.uint()?, reader.uint()?);
    let at = reader.clone();
    let upto = reader.uint()?;
    if upto < from {
        return Err(at.malformed("a range that ends before it begins"));
    }
    reader.close();
    Ok(Message::RecordsWanted { request, from, upto })
}

fn read_records(reader: &mut Reader<'_>) -> Result<Message, Malformed> {
    reader.array_of(3)?;
    let (request, first) = (reader.uint()?, reader.uint()?);
    let count = reader.array_up_to(RECORDS)?;
    let mut records = Vec::with_capacity(count);
    for _ in 0..count {
        records.push(read_bytes(reader, RECORD_BYTES)?);
    }
    reader.close();
    reader.close();
    Ok(Message::Records { request, first, records })
}

fn read_end(reader: &mut Reader<'_>) -> Result<Message, Malformed> {
    reader.array_of(2)?;
    let end = Message::RecordsEnd { request: reader.uint()?, next: reader.uint()? };
    reader.close();
    Ok(end)
}

fn read_yields(reader: &mut Reader<'_>) -> Result<Message, Malformed> {
    reader.array_of(2)?;
    let yields = Message::Yields { term: reader.uint()?, to: ReplicaId(reader.uint()?) };
    reader.close();
    Ok(yields)
}

fn read_members(reader: &mut Reader<'_>) -> Result<Message, Malformed> {
    reader.array_of(2)?;
    let record = reader.uint()?;
    let mut members = BTreeMap::new();
    for _ in 0..reader.array_up_to(MEMBERS_AT_ONCE)? {
        reader.array_of(3)?;
        let at = reader.clone();
        let id = ReplicaId(reader.uint()?);
        if members.last_key_value().is_some_and(|(last, _)| *last >= id) {
            return Err(at.malformed("members that are not in their order"));
        }
        let key = MemberKey(reader.fixed()?);
        let at = reader.clone();
        let address = if reader.null() { None } else { Some(reader.text()?.to_owned()) };
        if address.as_ref().is_some_and(|address| address.len() > ADDRESS_BYTES) {
            return Err(at.malformed("an address that is too long"));
        }
        reader.close();
        members.insert(id, Peer { key, address });
    }
    reader.close();
    reader.close();
    Ok(Message::Members { record, members })
}

fn read_bytes(reader: &mut Reader<'_>, most: usize) -> Result<Vec<u8>, Malformed> {
    let at = reader.clone();
    let bytes = reader.bytes()?;
    if bytes.len() > most {
        return Err(at.malformed("a byte string that is too long"));
    }
    Ok(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use raft::eraftpb::{ConfState, Entry, EntryType, Message as RaftMessage, MessageType};

    use super::*;
    use crate::core::{PeerMessage, RecordPointer};

    const FROM: ReplicaId = ReplicaId(3);
    const TO: ReplicaId = ReplicaId(9);

    fn back(kind: Kind, body: &[u8]) -> Result<Message, Malformed> {
        decode(kind, body, FROM, TO).unwrap()
    }

    fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..most)
    }

    fn entry() -> impl Strategy<Value = Entry> {
        (any::<bool>(), any::<u64>(), any::<u64>(), bytes(40), bytes(5)).prop_map(
            |(change, term, index, data, context)| {
                let mut entry = Entry { term, index, context: context.into(), ..Entry::default() };
                if change {
                    entry.set_entry_type(EntryType::EntryConfChangeV2);
                    // Two changes and, after them, the bytes as context.
                    let mut change = vec![0x12, 2, 0x10, 7, 0x12, 4, 0x08, 1, 0x10, 8];
                    if !data.is_empty() {
                        change.extend([0x1a, data.len() as u8]);
                        change.extend(data);
                    }
                    entry.data = change.into();
                } else {
                    entry.data = data.into();
                }
                entry
            },
        )
    }

    fn members() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec(any::<u64>(), 0..4)
    }

    fn raft() -> impl Strategy<Value = Message> {
        let kinds = raft_codec::KINDS.map(|(kind, _)| kind);
        let numbers = prop::array::uniform7(any::<u64>());
        let rest = (any::<bool>(), any::<i64>(), bytes(64), prop::collection::vec(entry(), 0..4));
        let group = (members(), members(), members(), members(), any::<bool>());
        (prop::sample::select(kinds.to_vec()), numbers, rest, group).prop_map(
            |(kind, n, (reject, priority, context, entries), group)| {
                let mut m = RaftMessage { from: FROM.0, to: TO.0, ..RaftMessage::default() };
                m.set_msg_type(kind);
                (m.term, m.log_term, m.index, m.commit) = (n[0], n[1], n[2], n[3]);
                (m.commit_term, m.reject_hint, m.reject) = (n[4], n[5], reject);
                m.priority = priority;
                m.deprecated_priority = if priority > 0 { priority as u64 } else { 0 };
                m.context = context.into();
                m.set_entries(entries.into());
                if kind == MessageType::MsgSnapshot {
                    let pointer = RecordPointer { record: n[6], hash: [1; 32], fold: [2; 32] };
                    let mut state = ConfState::default();
                    (state.voters, state.learners) = (group.0, group.1);
                    (state.voters_outgoing, state.learners_next) = (group.2, group.3);
                    state.auto_leave = group.4;
                    let snapshot = m.mut_snapshot();
                    snapshot.data = pointer.to_bytes().into();
                    snapshot.mut_metadata().set_conf_state(state);
                    (snapshot.mut_metadata().index, snapshot.mut_metadata().term) = (n[6], n[0]);
                }
                Message::Raft(PeerMessage(m))
            },
        )
    }

    fn answer() -> impl Strategy<Value = Answer> {
        prop_oneof![
            prop::option::of(any::<u64>())
                .prop_map(|id| Answer::Rejected(Rejection::NotLeader(id.map(ReplicaId)))),
            Just(Answer::Rejected(Rejection::Busy)),
            Just(Answer::Rejected(Rejection::Displaced)),
            Just(Answer::ClockApart),
            Just(Answer::NotAProposal),
        ]
    }

    fn message() -> impl Strategy<Value = Message> {
        let hash = || prop::array::uniform32(any::<u8>());
        prop_oneof![
            4 => raft(),
            1 => (any::<u64>(), any::<u64>(), bytes(60)).prop_map(
                |(request, term, proposal)| Message::Propose { request, term, proposal }),
            1 => (any::<u64>(), prop::collection::btree_map(
                any::<u64>().prop_map(ReplicaId),
                (hash(), prop::option::of("[a-z.]{1,20}:[0-9]{1,5}"))
                    .prop_map(|(key, address)| Peer { key: MemberKey(key), address }),
                0..4,
            ))
                .prop_map(|(record, members)| Message::Members { record, members }),
            1 => (any::<u64>(), any::<u64>())
                .prop_map(|(term, to)| Message::Yields { term, to: ReplicaId(to) }),
            1 => (any::<u64>(), answer())
                .prop_map(|(request, answer)| Message::Proposed { request, answer }),
            1 => (any::<u64>(), hash(), hash(), any::<u64>(), any::<u8>()).prop_map(
                |(record, hash, fold, writes, byte)| Message::Head(Head {
                    record,
                    hash: RecordHash(hash),
                    fold: FoldHash(fold),
                    writes,
                    signature: [byte; 64],
                })
            ),
            1 => (any::<u64>(), any::<u64>(), any::<u64>()).prop_map(
                |(request, a, b)| Message::RecordsWanted { request, from: a.min(b), upto: a.max(b) }
            ),
            1 => (any::<u64>(), any::<u64>(), prop::collection::vec(bytes(30), 0..5))
                .prop_map(|(request, first, records)| Message::Records { request, first, records }),
            1 => (any::<u64>(), any::<u64>())
                .prop_map(|(request, next)| Message::RecordsEnd { request, next }),
            1 => prop::option::of(any::<u64>())
                .prop_map(|to| Message::HandOver(to.map(ReplicaId))),
        ]
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(message in message()) {
            let (kind, body) = encode(&message).unwrap();
            prop_assert_eq!(back(kind, &body), Ok(message.clone()));
            prop_assert!(body.len() <= message.size() + 512, "{} {}", body.len(), message.size());
        }

        #[test]
        fn a_changed_byte_fails_or_is_another_message(
            message in message(),
            at in any::<prop::sample::Index>(),
            change in 1u8..,
        ) {
            let (kind, mut body) = encode(&message).unwrap();
            let at = at.index(body.len());
            body[at] ^= change;
            if let Ok(other) = back(kind, &body) {
                prop_assert_eq!(encode(&other).unwrap(), (kind, body));
                prop_assert_ne!(other, message);
            }
        }

        #[test]
        fn a_message_that_is_cut_or_followed_fails(
            message in message(),
            at in any::<prop::sample::Index>(),
        ) {
            let (kind, mut body) = encode(&message).unwrap();
            prop_assert!(back(kind, &body[..at.index(body.len())]).is_err());
            body.push(0);
            prop_assert!(back(kind, &body).is_err());
        }

        #[test]
        fn noise_does_no_harm(body in bytes(200)) {
            for kind in Kind::ALL {
                if let Some(Ok(message)) = decode(kind, &body, FROM, TO) {
                    prop_assert_eq!(encode(&message).unwrap(), (kind, body.clone()));
                }
            }
        }
    }

    #[test]
    fn what_members_do_not_send_cannot_be_said() {
        let of = |kind| {
            let mut m = RaftMessage::default();
            m.set_msg_type(kind);
            m
        };
        let refused = |m| encode(&Message::Raft(PeerMessage(m))).unwrap_err();
        for kind in [MessageType::MsgPropose, MessageType::MsgHup, MessageType::MsgTransferLeader] {
            refused(of(kind));
        }
        let append = of(MessageType::MsgAppend);
        refused(RaftMessage { request_snapshot: 5, ..append.clone() });
        refused(RaftMessage { deprecated_priority: 5, ..append.clone() });
        refused(RaftMessage { context: vec![0; 65].into(), ..append.clone() });
        refused(of(MessageType::MsgSnapshot));
        let mut odd = append.clone();
        odd.mut_snapshot().data = vec![1].into();
        refused(odd);
        let mut odd = append.clone();
        let mut old = Entry::default();
        old.set_entry_type(EntryType::EntryConfChange);
        odd.set_entries(vec![old].into());
        refused(odd);
        let long = vec![0; Kind::Propose.most()];
        encode(&Message::Propose { request: 1, term: 1, proposal: long }).unwrap_err();
        // The number of MsgPropose where a kind stands.
        let (kind, mut body) = encode(&Message::Raft(PeerMessage(append))).unwrap();
        body[1] = 2;
        assert!(back(kind, &body).is_err());
    }

    #[test]
    fn announced_counts_reserve_nothing() {
        // An array of four thousand records, of which there is none.
        let mut out = Writer::new();
        out.array(3).uint(1).uint(2).array(RECORDS);
        assert!(back(Kind::Records, &out.into_bytes()).is_err());
        let mut out = Writer::new();
        out.array(3).uint(1).uint(2).array(RECORDS + 1);
        for _ in 0..=RECORDS {
            out.bytes(b"");
        }
        assert!(back(Kind::Records, &out.into_bytes()).is_err());
    }
}
