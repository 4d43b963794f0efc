//! Whatever members say, and in whichever order things happen, a core neither stops with a panic nor
//! halts: what raft-rs takes for granted is checked before it sees it.

use ledger::history::ReplicaId;
use ledger::rows::raft::{Ahead, EntryKind, Group, HardState, Position, RecordPointer};
use proptest::prelude::*;
use raft::CAMPAIGN_TRANSFER;
use raft::eraftpb::{ConfState, Entry, EntryType, Message, MessageType};

use super::{
    Core, Input, LogEntry, Output, PeerMessage, ProposalId, ReadId, Saved, Target, Wanted,
    WantedRole, WindowLimits,
};

const SELF: u64 = 2;

/// What happens next to a core.
#[derive(Debug, Clone)]
enum Action {
    Ticks(u8),
    /// Members say this, one after the other, and all of it is taken before anything is written.
    Says(Vec<Message>),
    /// A message that answers the last one which went to that peer.
    Answers(u64, bool),
    Proposes,
    Reads,
    /// What is to be fetched is there, or is not what it should be.
    Fetches(bool),
    HandsOver(Option<u64>),
    Yields(u64, u64),
    Wants(Vec<(u64, bool)>),
    Unreachable(u64),
}

fn kind() -> impl Strategy<Value = MessageType> {
    prop::sample::select(vec![
        MessageType::MsgAppend,
        MessageType::MsgAppend,
        MessageType::MsgAppend,
        MessageType::MsgAppendResponse,
        MessageType::MsgRequestVote,
        MessageType::MsgRequestVoteResponse,
        MessageType::MsgSnapshot,
        MessageType::MsgHeartbeat,
        MessageType::MsgHeartbeatResponse,
        MessageType::MsgTimeoutNow,
        MessageType::MsgReadIndex,
        MessageType::MsgReadIndexResp,
        MessageType::MsgRequestPreVote,
        MessageType::MsgRequestPreVoteResponse,
    ])
}

/// Small numbers, and now and then one of the largest.
fn number(most: u64) -> impl Strategy<Value = u64> {
    prop_oneof![20 => 0..=most, 1 => Just(u64::MAX), 1 => Just(1_u64 << 40)]
}

fn peer() -> impl Strategy<Value = u64> {
    prop_oneof![6 => Just(1_u64), 6 => Just(3_u64), 1 => Just(4_u64)]
}

fn message() -> impl Strategy<Value = Message> {
    let numbers = (number(6), number(4), number(12), number(14), number(12), number(4));
    let entries = prop::collection::vec((0..3_u64, 0..4_u8, any::<bool>()), 0..4);
    let group = (1..4_u64, prop::option::of(3..5_u64), any::<bool>());
    (kind(), peer(), numbers, any::<bool>(), any::<bool>(), entries, group).prop_map(
        |(
            kind,
            from,
            (term, log_term, index, commit, hint, record),
            reject,
            odd,
            entries,
            group,
        )| {
            let mut m =
                Message { from, to: SELF, term, log_term, index, commit, ..Message::default() };
            m.set_msg_type(kind);
            (m.reject, m.reject_hint) = (reject, hint);
            if odd {
                m.context = CAMPAIGN_TRANSFER.to_vec().into();
            }
            let (mut at, mut of) = (index, log_term);
            for (later, what, gap) in entries {
                at = at.saturating_add(if gap && odd { 2 } else { 1 });
                of = of.saturating_add(later);
                let mut entry = Entry { index: at, term: of, ..Entry::default() };
                match what {
                    0 => {}
                    1 => entry.data = b"a proposal".to_vec().into(),
                    // Takes member 3 out.
                    2 => {
                        entry.set_entry_type(EntryType::EntryConfChangeV2);
                        entry.data = vec![0x12, 4, 0x08, 1, 0x10, 3].into();
                    }
                    _ => entry.set_entry_type(EntryType::EntryConfChange),
                }
                m.mut_entries().push(entry);
            }
            if matches!(kind, MessageType::MsgReadIndex | MessageType::MsgReadIndexResp) {
                m.set_entries(vec![Entry { data: vec![7; 16].into(), ..Entry::default() }].into());
                if kind == MessageType::MsgReadIndex && !reject {
                    m.term = 0;
                }
            }
            if kind == MessageType::MsgSnapshot {
                let mut state =
                    ConfState { voters: (1..=group.0).collect(), ..ConfState::default() };
                state.learners = group.1.filter(|learner| *learner > group.0).into_iter().collect();
                state.auto_leave = group.2;
                let pointer = RecordPointer { record, hash: [1; 32], fold: [1; 32] };
                let snapshot = m.mut_snapshot();
                snapshot.data = pointer.to_bytes().into();
                let meta = snapshot.mut_metadata();
                meta.set_conf_state(state);
                (meta.index, meta.term) = (index, log_term);
            }
            m
        },
    )
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (1..20_u8).prop_map(Action::Ticks),
        12 => prop::collection::vec(message(), 1..5).prop_map(Action::Says),
        8 => (peer(), any::<bool>()).prop_map(|(from, reject)| Action::Answers(from, reject)),
        2 => Just(Action::Proposes),
        1 => Just(Action::Reads),
        2 => any::<bool>().prop_map(Action::Fetches),
        1 => prop::option::of(1..5_u64).prop_map(Action::HandsOver),
        1 => (1..4_u64, 1..4_u64).prop_map(|(from, to)| Action::Yields(from, to)),
        1 => prop::collection::vec((1..5_u64, any::<bool>()), 0..4).prop_map(Action::Wants),
        1 => peer().prop_map(Action::Unreachable),
    ]
}

/// How a disk may remember the member.
fn saved() -> impl Strategy<Value = Saved> {
    let group = prop::sample::select(vec![
        (vec![1, 2, 3], vec![]),
        (vec![2], vec![]),
        (vec![2], vec![1, 3]),
        (vec![1, 3], vec![2]),
        (vec![1, 2], vec![3]),
    ]);
    (group, 0..5_u64, 0..5_u64, 0..5_u64, 0..4_u8).prop_map(
        |(group, entries, commit, applied, how)| {
            if how == 0 {
                return Saved::joined();
            }
            let entry = |n| LogEntry {
                position: Position { index: 2 + n, term: 1 },
                kind: EntryKind::Proposal,
                data: b"before".to_vec(),
            };
            let commit = 1 + commit.min(entries);
            let applied = (1 + applied).min(commit);
            let at = |record| RecordPointer { record, hash: [1; 32], fold: [1; 32] };
            Saved {
                entries: (0..entries).map(entry).collect(),
                hard: HardState { term: 1, vote: 0, commit },
                applied,
                group: Group { voters: group.0, learners: group.1, ..Group::default() },
                record: Some(at(1)),
                ahead: (how < 3).then_some(Ahead {
                    index: applied,
                    record: how.into(),
                    hash: [1; 32],
                }),
                ..Saved::founded(ReplicaId(SELF))
            }
        },
    )
}

/// A shell around a core, which does what it says, in its order, as the daemon's loop does.
struct Shell {
    core: Core,
    fetching: Option<Target>,
    sent: Vec<Message>,
    next: u64,
}

impl Shell {
    fn feed(&mut self, input: Input) {
        self.feed_all(vec![input]);
    }

    fn feed_all(&mut self, mut inputs: Vec<Input>) {
        while !inputs.is_empty() {
            let mut out = Vec::new();
            self.core.step(std::mem::take(&mut inputs), &mut out);
            for output in out {
                match output {
                    Output::Persist(ticket, _) => inputs.push(Input::Persisted(ticket)),
                    Output::Apply(entries) => {
                        let last = entries.last().unwrap().entry.position.index;
                        let record = RecordPointer { record: last, hash: [1; 32], fold: [1; 32] };
                        inputs.push(Input::Applied(last, Some(record)));
                    }
                    Output::CatchUp(_, target) => self.fetching = Some(target),
                    Output::Send(_, PeerMessage(message)) => self.sent.push(message),
                    Output::Halt(fault) => panic!("halted: {fault}"),
                    _ => {}
                }
            }
        }
    }

    fn answer(&mut self, from: u64, reject: bool) {
        let Some(place) = self.sent.iter().rposition(|message| message.to == from) else { return };
        let asked = self.sent.swap_remove(place);
        let kind = match asked.get_msg_type() {
            MessageType::MsgRequestPreVote => MessageType::MsgRequestPreVoteResponse,
            MessageType::MsgRequestVote => MessageType::MsgRequestVoteResponse,
            MessageType::MsgAppend | MessageType::MsgSnapshot => MessageType::MsgAppendResponse,
            MessageType::MsgHeartbeat => MessageType::MsgHeartbeatResponse,
            MessageType::MsgReadIndex => MessageType::MsgReadIndexResp,
            _ => return,
        };
        let mut message =
            Message { from, to: SELF, term: asked.term, reject, ..Message::default() };
        message.set_msg_type(kind);
        message.index = asked.entries.last().map_or(asked.index, |entry| entry.index);
        message.commit = asked.commit;
        if kind == MessageType::MsgReadIndexResp {
            message.set_entries(asked.entries.clone());
            message.term = self.core.leads().0;
        }
        self.feed(Input::FromPeer(ReplicaId(from), PeerMessage(message)));
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Ticks(ticks) => (0..ticks).for_each(|_| self.feed(Input::Tick)),
            Action::Says(messages) => {
                let says = |m: Message| Input::FromPeer(ReplicaId(m.from), PeerMessage(m));
                self.feed_all(messages.into_iter().map(says).collect());
            }
            Action::Answers(from, reject) => self.answer(from, reject),
            Action::Proposes => {
                self.next += 1;
                let proposal = (ProposalId(self.next), b"ours".to_vec());
                self.feed(Input::Propose(self.core.leads().0, vec![proposal]));
            }
            Action::Reads => {
                self.next += 1;
                self.feed(Input::Read(ReadId(self.next)));
            }
            Action::Fetches(agrees) => {
                if let Some(target) = self.fetching.take() {
                    // Whoever finds another record in the place of a lost one goes no further.
                    self.feed(match agrees || target.fold.is_none() {
                        true => Input::CaughtUp(target),
                        false => Input::CatchUpFailed(target),
                    });
                }
            }
            Action::HandsOver(to) => self.feed(Input::HandOver(to.map(ReplicaId))),
            Action::Yields(from, to) => {
                self.feed(Input::Yields(ReplicaId(from), self.core.leads().0, ReplicaId(to)));
            }
            Action::Wants(members) => {
                let role = |votes| if votes { WantedRole::Voter } else { WantedRole::Learner };
                let members = members.into_iter().map(|(id, votes)| (ReplicaId(id), role(votes)));
                self.feed(Input::Members(Wanted::from_iter(members)));
            }
            Action::Unreachable(peer) => self.feed(Input::Unreachable(ReplicaId(peer))),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn nothing_stops_a_core(
        saved in saved(),
        seed in any::<u64>(),
        actions in prop::collection::vec(action(), 1..80),
    ) {
        let limits = WindowLimits { keep_entries: 1, cut_entries: 2, cut_bytes: 64 };
        let core = Core::with_window(ReplicaId(SELF), saved, seed, limits).unwrap();
        let mut shell = Shell { core, fetching: None, sent: Vec::new(), next: 0 };
        for action in actions {
            shell.act(action);
        }
    }
}
