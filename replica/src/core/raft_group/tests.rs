//! A core whose peers say what they might.

use ledger::rows::raft::{Ahead, EntryKind, Group, HardState, Position, RecordPointer};
use raft::eraftpb::{Entry, Message, MessageType};

use super::*;
use crate::core::{LogEntry, WantedRole};

/// Feeds a member, whose disk and applier are quick; what it sends comes back.
fn fed(core: &mut Core, input: Input) -> Vec<Message> {
    let mut sent = Vec::new();
    let mut inputs = vec![input];
    while !inputs.is_empty() {
        let mut out = Vec::new();
        core.step(std::mem::take(&mut inputs), &mut out);
        for output in out {
            match output {
                Output::Send(_, PeerMessage(message)) => sent.push(message),
                Output::Persist(ticket, _) => inputs.push(Input::Persisted(ticket)),
                Output::Apply(entries) => {
                    let last = entries.last().unwrap().entry.position.index;
                    inputs.push(Input::Applied(last, None));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    sent
}

fn answer(to: &Message, kind: MessageType) -> Input {
    let mut message = Message { from: to.to, to: to.from, term: to.term, ..Message::default() };
    message.set_msg_type(kind);
    message.index = to.entries.last().map_or(to.index, |entry| entry.index);
    Input::FromPeer(ReplicaId(to.to), PeerMessage(message))
}

fn of_kind(sent: &[Message], kind: MessageType) -> Message {
    sent.iter().rfind(|message| message.get_msg_type() == kind).unwrap().clone()
}

/// Whoever led before had proposed to take this member out, and was gone before that was
/// committed. So it was this member that committed it, and stopped with a panic at the next
/// answer of a peer.
#[test]
fn a_leader_that_is_taken_out_leads_no_more() {
    let removes_2 = vec![0x12, 4, 0x08, 1, 0x10, 2];
    let position = Position { index: 2, term: 2 };
    let saved = Saved {
        entries: vec![LogEntry { position, kind: EntryKind::Group, data: removes_2 }],
        hard: HardState { term: 2, vote: 0, commit: 1 },
        group: Group { voters: vec![1, 2], ..Group::default() },
        ..Saved::founded(ReplicaId(2))
    };
    let mut core = Core::new(ReplicaId(2), saved, 7).unwrap();
    let mut sent = Vec::new();
    while sent.is_empty() {
        sent = fed(&mut core, Input::Tick);
    }
    let asks = of_kind(&sent, MessageType::MsgRequestPreVote);
    let sent = fed(&mut core, answer(&asks, MessageType::MsgRequestPreVoteResponse));
    let asks = of_kind(&sent, MessageType::MsgRequestVote);
    let sent = fed(&mut core, answer(&asks, MessageType::MsgRequestVoteResponse));
    assert_eq!(core.status().role, Role::Leader);
    let appends = of_kind(&sent, MessageType::MsgAppend);
    let taken = answer(&appends, MessageType::MsgAppendResponse);
    let Input::FromPeer(_, again) = &taken else { unreachable!() };
    let again = Input::FromPeer(ReplicaId(1), again.clone());
    fed(&mut core, taken);
    assert_eq!(core.status().group.voters, [1]);
    assert_eq!(core.status().role, Role::Follower);
    fed(&mut core, again);
}

/// Everything that comes of an input, with a quick disk and applier.
fn outputs(core: &mut Core, input: Input) -> Vec<Output> {
    let (mut all, mut inputs) = (Vec::new(), vec![input]);
    while !inputs.is_empty() {
        let mut out = Vec::new();
        core.step(std::mem::take(&mut inputs), &mut out);
        for output in &out {
            match output {
                Output::Persist(ticket, _) => inputs.push(Input::Persisted(*ticket)),
                Output::Apply(entries) => {
                    let last = entries.last().unwrap().entry.position.index;
                    inputs.push(Input::Applied(last, None));
                }
                _ => {}
            }
        }
        all.extend(out);
    }
    all
}

/// A replica whose damaged records were mended up to record 3, and lacks those up to 9, which its
/// log, applied to the end, has led to.
fn mended(id: u64) -> Core {
    let at = |record| RecordPointer { record, hash: [1; 32], fold: [1; 32] };
    let saved = Saved {
        group: Group { voters: vec![1, 2, 3], ..Group::default() },
        record: Some(at(3)),
        ahead: Some(Ahead { index: 1, record: 9, hash: [1; 32] }),
        ..Saved::founded(ReplicaId(1))
    };
    Core::new(ReplicaId(id), saved, 7).unwrap()
}

fn from_leader(kind: MessageType, index: u64) -> Message {
    let mut message = Message { from: 1, to: 2, term: 1, index, ..Message::default() };
    message.set_msg_type(kind);
    message
}

fn fed_from_leader(core: &mut Core, message: Message) -> Vec<Output> {
    outputs(core, Input::FromPeer(ReplicaId(1), PeerMessage(message)))
}

/// Its log was applied to the end, so reads were let through: they saw the records up to 3, as if
/// those were the newest.
#[test]
fn nothing_is_read_before_mended_records_are_complete() {
    let mut core = mended(2);
    fed_from_leader(&mut core, from_leader(MessageType::MsgHeartbeat, 0));
    let asked = outputs(&mut core, Input::Read(ReadId(5)));
    let asked = asked.into_iter().find_map(|output| match output {
        Output::Send(_, PeerMessage(message)) => Some(message),
        _ => None,
    });
    let asked = asked.unwrap();
    assert_eq!(asked.get_msg_type(), MessageType::MsgReadIndex);
    let answer =
        Message { entries: asked.entries.clone(), ..from_leader(MessageType::MsgReadIndexResp, 1) };
    let readable = |outputs: &[Output]| {
        outputs.iter().any(|output| matches!(output, Output::Readable(ReadId(5))))
    };
    assert!(!readable(&fed_from_leader(&mut core, answer)));
    assert!(!readable(&outputs(&mut core, Input::Tick)));
    let last = Target { record: 9, hash: [1; 32], fold: None };
    assert!(readable(&outputs(&mut core, Input::CaughtUp(last))));
}

/// By the records that it had left, the others had not joined yet.
#[test]
fn records_that_are_not_complete_take_nobody_out_of_the_group() {
    let mut core = mended(1);
    let wanted = || Wanted::from([(ReplicaId(1), WantedRole::Voter)]);
    let mut all = outputs(&mut core, Input::Members(wanted()));
    for _ in 0..64 {
        let sent: Vec<Message> = all
            .iter()
            .filter_map(|output| match output {
                Output::Send(to, PeerMessage(message)) if to.0 == 2 => Some(message.clone()),
                _ => None,
            })
            .collect();
        let mut now = outputs(&mut core, Input::Tick);
        for message in sent {
            let kind = match message.get_msg_type() {
                MessageType::MsgRequestPreVote => MessageType::MsgRequestPreVoteResponse,
                MessageType::MsgRequestVote => MessageType::MsgRequestVoteResponse,
                MessageType::MsgAppend => MessageType::MsgAppendResponse,
                MessageType::MsgHeartbeat => MessageType::MsgHeartbeatResponse,
                _ => continue,
            };
            now.extend(outputs(&mut core, answer(&message, kind)));
        }
        for output in &now {
            if let Output::Persist(_, write) = output {
                assert!(write.entries.iter().all(|entry| entry.kind != EntryKind::Group));
            }
        }
        all = now;
    }
    assert_eq!(core.status().role, Role::Leader);
    assert_eq!(core.status().group.voters, [1, 2, 3]);
}

/// raft-rs says that the log has term 0 behind its end, and stopped with a panic when it then
/// committed what was not there.
#[test]
fn entries_behind_the_end_of_the_log_do_not_stop_it() {
    for entries in [Vec::new(), vec![Entry { index: 7, term: 1, ..Entry::default() }]] {
        let group = Group { voters: vec![1, 2, 3], ..Group::default() };
        let saved = Saved { group, ..Saved::founded(ReplicaId(1)) };
        let mut core = Core::new(ReplicaId(2), saved, 7).unwrap();
        let append = Message {
            commit: 6,
            entries: entries.into(),
            ..from_leader(MessageType::MsgAppend, 6)
        };
        let out = fed_from_leader(&mut core, append);
        let refused = |output: &Output| {
            matches!(output, Output::Misbehaved(ReplicaId(1), Misbehaviour::Entries))
        };
        assert!(out.iter().any(refused), "{out:?}");
    }
}

/// A member that did not lead offered to go on from a record that is another one, at an index that
/// the log will never have. Afterwards entries were counted and not applied, up to that index, and
/// reads answered from the past, whoever led.
#[test]
fn a_forged_snapshot_changes_nothing() {
    let group = Group { voters: vec![1, 2, 3], ..Group::default() };
    let saved = Saved { group, ..Saved::founded(ReplicaId(1)) };
    let mut core = Core::new(ReplicaId(2), saved, 7).unwrap();
    for far in [9, 1 << 60] {
        let target = RecordPointer { record: far, hash: [1; 32], fold: [1; 32] };
        let mut forged = Message { from: 3, to: 2, term: 1, ..Message::default() };
        forged.set_msg_type(MessageType::MsgSnapshot);
        let snapshot = forged.mut_snapshot();
        snapshot.data = target.to_bytes().into();
        let meta = snapshot.mut_metadata();
        (meta.index, meta.term) = (1 << 60, 1);
        meta.mut_conf_state().voters = vec![1, 2, 3];
        let offered = outputs(&mut core, Input::FromPeer(ReplicaId(3), PeerMessage(forged)));
        let target = Target::from(target);
        let asks = |output: &Output| matches!(output, Output::CatchUp(Some(ReplicaId(3)), at) if *at == target);
        assert!(offered.iter().any(asks), "{offered:?}");
        assert_eq!(core.awaited(), Some(target));
        if far == 9 {
            // Those that it has got are other ones.
            outputs(&mut core, Input::CatchUpFailed(target));
            assert_eq!(core.awaited(), None);
        }
    }
    let entry = Entry { index: 2, term: 1, data: b"next".as_slice().into(), ..Entry::default() };
    let append = Message {
        log_term: 1,
        commit: 2,
        entries: vec![entry].into(),
        ..from_leader(MessageType::MsgAppend, 1)
    };
    let out = fed_from_leader(&mut core, append);
    assert_eq!(core.awaited(), None, "the leader is another member");
    assert!(out.iter().any(|output| matches!(output, Output::Apply(_))), "{out:?}");
    assert_eq!(core.status().committed, 2);
}

/// Nothing was checked of a snapshot at just the index that is committed: the log began anew behind
/// it, whatever record it named.
#[test]
fn a_snapshot_does_not_replace_what_is_committed() {
    let group = Group { voters: vec![1, 2, 3], ..Group::default() };
    let saved = Saved { group, ..Saved::founded(ReplicaId(1)) };
    let mut core = Core::new(ReplicaId(2), saved, 7).unwrap();
    let mut forged = Message { from: 3, to: 2, term: 5, ..Message::default() };
    forged.set_msg_type(MessageType::MsgSnapshot);
    let snapshot = forged.mut_snapshot();
    snapshot.data =
        RecordPointer { record: 1 << 60, hash: [1; 32], fold: [1; 32] }.to_bytes().into();
    let meta = snapshot.mut_metadata();
    (meta.index, meta.term) = (1, 5);
    meta.mut_conf_state().voters = vec![2, 3];
    let out = outputs(&mut core, Input::FromPeer(ReplicaId(3), PeerMessage(forged)));
    let refused = |output: &Output| {
        matches!(output, Output::Misbehaved(ReplicaId(3), Misbehaviour::Contradiction))
    };
    assert!(out.iter().any(refused), "{out:?}");
    assert_eq!(core.status().group.voters, [1, 2, 3]);
}
