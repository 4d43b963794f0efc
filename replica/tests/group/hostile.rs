//! One of three members is hostile: it has a valid key and says whatever it likes. The other two
//! stay up, keep what they acknowledged and go on, use no more memory than they may, and say who it
//! is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ledger::history::{FoldHash, MemberKey, RecordHash, ReplicaId};
use ledger::lock::signatures::Signer;
use ledger::testing::key;
use raft::eraftpb::{ConfState, Entry, EntryType, Message as RaftMessage, MessageType, Snapshot};
use replica::core::{PeerMessage, RecordPointer};
use replica::node::Supported;
use replica::peers::testing::{Shows, Wire};
use replica::peers::{Head, Identity, Kind, Local, Message};

use super::harness::{Replica, group, leader, node_added, same_everywhere, soon};

/// What raft-rs puts into a vote that a leader has asked for.
const TRANSFER: &[u8] = b"CampaignTransfer";
/// MiB that the two honest members and the hostile one may use more than before, all in this one
/// process: a few queues and logs full, each of which has its bound.
const MOST_MIB: u64 = 400;
/// Messages of a flood.
const FLOOD: u64 = 20_000;

/// Two honest members, and the key of a third.
struct Siege {
    honest: [Replica; 2],
    hostile: u8,
    recorded: u64,
    last: u64,
}

impl Siege {
    async fn begin() -> Siege {
        let mut all = group(3).await;
        let lead = leader(&*all[0].sees(|now| now.raft.leader.is_some()).await).unwrap();
        // A follower turns: the others need no election then.
        let at = all.iter().position(|replica| replica.number() != lead.0 as u8).unwrap();
        all[at].stop().await;
        let hostile = all.remove(at).number();
        let honest = all.try_into().unwrap_or_else(|_| panic!("two are left"));
        let mut siege = Siege { honest, hostile, recorded: 0, last: 0 };
        siege.goes_on().await;
        siege
    }

    fn id(&self) -> ReplicaId {
        ReplicaId(self.hostile.into())
    }

    fn local(&self) -> Local {
        let handle = self.honest[0].handle();
        Local {
            cluster: handle.cluster(),
            incarnation: handle.incarnation(),
            replica: self.id(),
            address: None,
            program: Supported::THIS_VERSION.program(),
        }
    }

    /// A connection on which the hostile member speaks to one of the others.
    async fn wire(&self, to: &Replica) -> Wire {
        let identity = Identity::new(Arc::new(key(self.hostile)));
        let pin = MemberKey(key(to.number()).public().0);
        let to_id = ReplicaId(to.number().into());
        let local = self.local();
        loop {
            let dialled = Wire::member(&identity, &local, to_id, to.address(), pin);
            match soon(dialled).await {
                Ok(wire) => return wire,
                // What it did before costs its places a while.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    fn term(&self) -> u64 {
        self.honest.iter().map(|replica| replica.handle().group().raft.term).max().unwrap()
    }

    fn committed(&self) -> u64 {
        self.honest.iter().map(|replica| replica.handle().group().raft.committed).max().unwrap()
    }

    /// Says all of this to both, as often as told, while they are asked to record.
    async fn says(
        &mut self,
        times: usize,
        messages: impl Fn(u64, u64, ReplicaId) -> Vec<RaftMessage>,
    ) {
        for _ in 0..times {
            for replica in &self.honest {
                let to = ReplicaId(replica.number().into());
                let mut wire = self.wire(replica).await;
                for mut message in messages(self.term(), self.committed(), to) {
                    (message.from, message.to) = (self.id().0, to.0);
                    // What cannot even be written is refused before anybody hears it.
                    if wire.message(&Message::Raft(PeerMessage(message))).await.is_err() {
                        break;
                    }
                }
            }
            self.goes_on().await;
        }
    }

    /// Both still record, wherever they are asked, and everything that was recorded is there.
    async fn goes_on(&mut self) {
        for at in 0..2 {
            self.recorded += 1;
            let (number, request) = (self.recorded, format!("honest-{}", self.recorded));
            self.last = self.honest[at].record(&request, node_added(number)).await;
        }
        same_everywhere(&self.honest.iter().collect::<Vec<_>>(), self.last + 1).await;
        for replica in &self.honest {
            let view = replica.handle().view();
            for number in 1..=self.recorded {
                let name = format!("node-{number}");
                let node = ledger::history::roster::by_name(view.rows(), &name).unwrap();
                assert!(node.is_some(), "{name} was acknowledged and is lost");
            }
        }
    }

    /// Whether every honest member has written down that.
    fn is_named_for(&self, what: &str) {
        let who = format!("\"replica {}\"", self.hostile);
        for replica in &self.honest {
            let log = replica.security_log();
            let named = log.lines().any(|line| line.contains(&who) && line.contains(what));
            assert!(named, "{what:?} is not in the log of replica {}:\n{log}", replica.number());
        }
    }

    async fn end(mut self) {
        self.goes_on().await;
        for replica in &mut self.honest {
            replica.stop().await;
        }
    }
}

fn message(kind: MessageType, term: u64) -> RaftMessage {
    let mut message = RaftMessage { term, ..RaftMessage::default() };
    message.set_msg_type(kind);
    message
}

fn entry(index: u64, term: u64) -> Entry {
    Entry { index, term, data: b"not a proposal".to_vec().into(), ..Entry::default() }
}

/// Where somebody floods a member.
struct Flood {
    identity: Identity,
    local: Local,
    to: ReplicaId,
    address: String,
    pin: MemberKey,
}

impl Flood {
    /// Says these over and over, as fast as they are taken, on one connection after the other.
    async fn run(self, kinds: Vec<Message>, sent: Arc<AtomicU64>) {
        loop {
            let Flood { identity, local, to, address, pin } = &self;
            let Ok(mut wire) = Wire::member(identity, local, *to, address, *pin).await else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            for message in kinds.iter().cycle() {
                if wire.message(message).await.is_err() {
                    break;
                }
                sent.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() >> 10
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_leadership_and_commits_are_dropped_and_named() {
    let mut siege = Siege::begin().await;
    // High commits, in this term and in others.
    siege
        .says(3, |term, _, _| {
            [term, term + 1, term + 1000]
                .map(|term| {
                    let commit = u64::MAX - 1;
                    RaftMessage { commit, ..message(MessageType::MsgHeartbeat, term) }
                })
                .into()
        })
        .await;
    // Entries in the place of those that are committed, or not committed yet; without an order; of
    // kinds that nobody proposes; a change that makes it the only voter.
    siege
        .says(3, |term, committed, _| {
            let append = |index, log_term, entries: Vec<Entry>| RaftMessage {
                index,
                log_term,
                commit: committed + 100,
                entries: entries.into(),
                ..message(MessageType::MsgAppend, term)
            };
            let mut change = entry(committed + 1, term);
            change.set_entry_type(EntryType::EntryConfChangeV2);
            change.data = vec![0x12, 4, 0x08, 1, 0x10, 1].into();
            vec![
                append(committed - 1, term, vec![entry(committed, term)]),
                append(committed - 1, 1, vec![entry(committed, 1)]),
                append(committed, term, vec![entry(committed + 1, term)]),
                append(committed, term, vec![entry(committed + 7, term)]),
                append(0, 0, vec![entry(1, 1)]),
                append(u64::MAX, term, vec![entry(0, term)]),
                append(committed, term, vec![change]),
            ]
        })
        .await;
    siege.is_named_for("in a term that another member leads");
    // A snapshot of another history, without any of the others.
    siege
        .says(2, |term, committed, _| {
            let pointer = RecordPointer { record: 1 << 40, hash: [7; 32], fold: [8; 32] };
            [term, term + 1]
                .map(|term| {
                    let mut snapshot = Snapshot::default();
                    snapshot.mut_metadata().index = committed + 1000;
                    snapshot.mut_metadata().term = term;
                    let group = ConfState { voters: vec![9], ..ConfState::default() };
                    snapshot.mut_metadata().set_conf_state(group);
                    snapshot.data = pointer.to_bytes().into();
                    let mut message = message(MessageType::MsgSnapshot, term);
                    message.set_snapshot(snapshot);
                    message
                })
                .into()
        })
        .await;
    siege.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_there_is_not_deposed_at_pleasure() {
    let mut siege = Siege::begin().await;
    let before = siege.term();
    // Each of these would have ended the leadership once, had it been believed.
    const ROUNDS: usize = 60;
    siege
        .says(ROUNDS, |term, committed, _| {
            let higher = term + 5;
            let vote = |context: &[u8]| RaftMessage {
                index: committed + 1_000_000,
                log_term: higher - 1,
                context: context.to_vec().into(),
                ..message(MessageType::MsgRequestVote, higher)
            };
            let rejects = |kind| RaftMessage { reject: true, ..message(kind, higher) };
            vec![
                message(MessageType::MsgTimeoutNow, term),
                message(MessageType::MsgTimeoutNow, higher),
                message(MessageType::MsgHeartbeat, higher),
                message(MessageType::MsgAppend, higher),
                vote(b""),
                message(MessageType::MsgRequestPreVote, higher),
                message(MessageType::MsgRequestVoteResponse, term),
                message(MessageType::MsgHeartbeatResponse, higher),
                message(MessageType::MsgAppendResponse, higher),
                rejects(MessageType::MsgRequestPreVoteResponse),
                rejects(MessageType::MsgAppendResponse),
            ]
        })
        .await;
    let elections = siege.term() - before;
    println!("the term rose by {elections} in {ROUNDS} rounds");
    // Now and then somebody is believed: a member that was cut off would not get in otherwise.
    assert!(elections < 5 * ROUNDS as u64, "every one of them was believed: {elections}");
    // Votes out of turn, as a leader would ask for that hands over.
    siege
        .says(5, |term, _, _| {
            let context = TRANSFER.to_vec().into();
            vec![RaftMessage { context, ..message(MessageType::MsgRequestVote, term + 1) }]
        })
        .await;
    siege.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_ends_a_connection_and_is_named() {
    let mut siege = Siege::begin().await;
    for replica in &siege.honest {
        let to = ReplicaId(replica.number().into());
        // A length without an end, kinds that there are not, no CBOR, proposals under another name.
        for (kind, body) in [
            (Kind::Raft as u8, vec![0xff; 1000]),
            (Kind::Raft as u8, vec![0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            (Kind::Hello as u8, vec![1]),
            (200, vec![]),
        ] {
            let mut wire = siege.wire(replica).await;
            let _ = wire.frame(kind, &body).await;
            soon(wire.closed()).await;
        }
        let mut wire = siege.wire(replica).await;
        let _ = wire.raw(&[0xff, 0xff, 0xff, 0xff, Kind::Raft as u8, 0]).await;
        soon(wire.closed()).await;
        // MsgPropose has no number on the wire; one in its place is garbage.
        let mut beat = message(MessageType::MsgHeartbeat, 1);
        (beat.from, beat.to) = (siege.id().0, to.0);
        let (kind, mut body) =
            replica::peers::testing::body_of(&Message::Raft(PeerMessage(beat))).unwrap();
        body[1] = 2;
        let mut wire = siege.wire(replica).await;
        let _ = wire.frame(kind as u8, &body).await;
        soon(wire.closed()).await;
        // Under another member's name.
        let identity = Identity::new(Arc::new(key(siege.hostile)));
        let pin = MemberKey(key(replica.number()).public().0);
        let other = siege.honest.iter().find(|other| other.number() != replica.number()).unwrap();
        let claims = Local { replica: ReplicaId(other.number().into()), ..siege.local() };
        let mut wire =
            soon(Wire::dial(&identity, Shows::Key, replica.address(), pin)).await.unwrap();
        let _ = wire.hello(&claims, to).await;
        soon(wire.closed()).await;
    }
    siege.is_named_for("peer-misbehaved");
    // A head that it has not signed; somebody else's proposal; answers that nobody waits for.
    for replica in &siege.honest {
        let mut wire = siege.wire(replica).await;
        let head = Head {
            record: 1,
            hash: RecordHash([1; 32]),
            fold: FoldHash([2; 32]),
            writes: 1 << 50,
            signature: [3; 64],
        };
        let foreign = ledger::history::records::record(replica.handle().view().rows(), siege.last)
            .unwrap()
            .unwrap();
        let proposal = foreign.proposal().bytes().to_vec();
        for message in [
            Message::Head(head),
            Message::Propose { request: 1, term: siege.term(), proposal },
            Message::Propose { request: 2, term: 1, proposal: vec![0xa0; 5000] },
            Message::Records { request: 1, first: 0, records: vec![vec![0; 1000]; 100] },
            Message::RecordsEnd { request: 7, next: u64::MAX },
            Message::RecordsWanted { request: 1, from: u64::MAX - 1, upto: u64::MAX },
            Message::HandOver(Some(ReplicaId(77))),
        ] {
            wire.message(&message).await.unwrap();
        }
    }
    siege.goes_on().await;
    siege.is_named_for("a head that it has not signed");
    siege.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_and_slow_bytes_cost_the_others_nothing_that_grows() {
    let mut siege = Siege::begin().await;
    let before = resident_mib();
    let mut floods = tokio::task::JoinSet::new();
    let sent = Arc::new(AtomicU64::new(0));
    for replica in &siege.honest {
        let (to, term) = (ReplicaId(replica.number().into()), siege.term());
        let mut beat = message(MessageType::MsgHeartbeat, term + 9);
        (beat.from, beat.to) = (siege.id().0, to.0);
        let head = Head {
            record: 1 << 50,
            hash: RecordHash([1; 32]),
            fold: FoldHash([2; 32]),
            writes: 1 << 50,
            signature: [3; 64],
        };
        let kinds = vec![
            Message::Raft(PeerMessage(beat)),
            Message::Head(head),
            Message::Propose { request: 5, term, proposal: vec![0xa0; 50_000] },
            Message::RecordsWanted { request: 9, from: 0, upto: 1 << 40 },
            Message::Records { request: 3, first: 1, records: vec![vec![1; 10_000]; 8] },
        ];
        let flood = Flood {
            identity: Identity::new(Arc::new(key(siege.hostile))),
            local: siege.local(),
            to,
            address: replica.address().to_owned(),
            pin: MemberKey(key(replica.number()).public().0),
        };
        floods.spawn(flood.run(kinds, sent.clone()));
    }
    let counted = || sent.load(Ordering::Relaxed);
    while counted() < FLOOD {
        siege.goes_on().await;
    }
    let grown = resident_mib().saturating_sub(before);
    println!("{grown} MiB more under a flood of {} messages", counted());
    assert!(grown < MOST_MIB, "{grown} MiB more under a flood");
    floods.abort_all();
    while floods.join_next().await.is_some() {}

    // Half a frame on every connection that it may have, and more that say nothing at all.
    let mut slow = Vec::new();
    for replica in &siege.honest {
        for _ in 0..3 {
            let mut wire = siege.wire(replica).await;
            wire.raw(&[0, 0, 0x80, 0, Kind::Raft as u8, 0x8c]).await.unwrap();
            slow.push(wire);
        }
        for _ in 0..100 {
            let _ = tokio::net::TcpStream::connect(replica.address()).await.unwrap();
        }
    }
    siege.goes_on().await;
    siege.end().await;
}
