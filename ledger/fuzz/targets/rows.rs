//! Stored rows, damaged in any way: whoever reads them gets an error or something sound, and nobody
//! panics. What decodes is written back as the same row.
//!
//! Input: a table, a history, whether a row is replaced or put; the key; the value.
#![no_main]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::LazyLock;

use ledger::history::{
    AuthKeyId, Epoch, Event, Fold, InvitationKey, MemberKey, NodeId, ReplicaId, SignedProposal,
    acknowledgements, adoption, auth_keys, cosigning, invitations, lifecycle, members, merkle,
    records, requests, roster,
};
use ledger::ids::{AumHash, LockKey};
use ledger::lock::client::{Client, all_set_aside};
use ledger::lock::compaction::{Options, compact};
use ledger::lock::signatures::{Unverified, Verified, verify_one};
use ledger::lock::sync::{missing_aums, offer};
use ledger::lock::{Authority, Chain, ChainId, Sealed};
use ledger::rows::log_files;
use ledger::rows::raft::{self, Ahead, Group, HardState, Identity, Neighbour, PeerHead, Position};
use ledger::rows::watermark::{FILE_BYTES, SLOT_BYTES, Watermark, slot_offset};
use ledger::rows::{Draft, Memory, Rows, Table, tables};
use ledger::testing::{genesis, key, node_key};
use ledger_fuzz::{Choices, History, histories, public};
use libfuzzer_sys::fuzz_target;

/// An event that could come next, by the name of the history.
static REMOVAL: LazyLock<BTreeMap<&str, Verified<SignedProposal>>> = LazyLock::new(|| {
    let removal = |history: &'static History| {
        let mut group = history.group();
        let mut proposal = group.proposal(Event::NodeRemoved(NodeId(1)));
        proposal.request = "fuzzed".parse().expect("an ID");
        let signed = SignedProposal::sign(&proposal, &group.member).expect("a proposal");
        (history.name, verify_one(Unverified::new(signed)).expect("a signature"))
    };
    histories().iter().map(removal).collect()
});

/// The lock of a client node.
static ROOT: LazyLock<Sealed> = LazyLock::new(|| genesis(1, &[(&key(1), 1)]));

fuzz_target!(init: { histories(); }, |input: &[u8]| {
    let mut choices = Choices::new(input);
    let which = choices.below(tables::ALL.len() + 2);
    match tables::ALL.get(which) {
        Some(table) => {
            let history = choices.one(histories());
            damaged(history, *table, &mut choices);
        }
        None if which == tables::ALL.len() => own_rows(choices.rest()),
        None => client_rows(&mut choices),
    }
});

/// The rows that are a replica's alone, and the watermark.
fn own_rows(bytes: &[u8]) {
    if let Ok(position) = Position::from_row(bytes) {
        assert_eq!(position.to_row(), bytes);
    }
    if let Ok(hard) = HardState::from_row(bytes) {
        assert_eq!(hard.to_row(), bytes);
    }
    if let Ok(group) = Group::from_row(bytes) {
        assert_eq!(group.to_row(), bytes);
    }
    if let Ok(identity) = Identity::from_row(bytes) {
        assert_eq!(identity.to_row(), bytes);
    }
    if let Ok(ahead) = Ahead::from_row(bytes) {
        assert_eq!(ahead.to_row(), bytes);
    }
    if let Ok(neighbours) = Neighbour::from_row(bytes) {
        assert_eq!(Neighbour::to_row(&neighbours), bytes);
    }
    if let Ok(heads) = PeerHead::from_row(bytes) {
        assert_eq!(PeerHead::to_row(&heads), bytes);
    }
    if let Ok((term, kind, data)) = raft::entry_from_row(bytes) {
        assert_eq!(raft::entry_row(term, kind, &data), bytes);
    }
    if let Ok(index) = raft::applied_from_row(bytes) {
        assert_eq!(raft::applied_row(index), bytes);
    }
    if let Some(index) = raft::log_index(bytes) {
        assert_eq!(raft::log_key(index), bytes);
    }
    if let Some((sequence, mark)) = Watermark::from_file(bytes) {
        let at = slot_offset(sequence) as usize;
        assert_eq!(bytes[at..at + SLOT_BYTES], mark.to_slot(sequence));
        assert!(mark.kept_by(&mark));
    }
    // A sound slot beside damage still counts.
    let mut file = vec![0; FILE_BYTES];
    let length = bytes.len().min(FILE_BYTES / 2);
    file[..length].copy_from_slice(&bytes[..length]);
    let mark = Watermark { term: 3, vote: 1, last_term: 3, last_index: 40 };
    let at = slot_offset(u64::MAX) as usize;
    file[at..at + SLOT_BYTES].copy_from_slice(&mark.to_slot(u64::MAX));
    assert_eq!(Watermark::from_file(&file), Some((u64::MAX, mark)));
    // What is found does not depend on how the bytes arrive; behind a whole record they begin one.
    let whole = [&WHOLE[..], bytes].concat();
    for file in [bytes, &whole] {
        let found = endless(file, usize::MAX);
        assert_eq!(endless(file, 1000), found);
        assert!(found.is_none_or(|at| is_reused(&file[at as usize..])));
    }
    assert_eq!(endless(&whole, 500) == Some(WHOLE.len() as u64), is_reused(bytes));
}

/// A record without data in a log of RocksDB.
const WHOLE: [u8; 7] = [5, 43, 40, 67, 0, 0, 1];

/// Where RocksDB would stay in a log that arrives in pieces of such a size.
fn endless(mut file: &[u8], piece: usize) -> Option<u64> {
    let found = log_files::endless_record::<Infallible>(|to| {
        let (now, later) = file.split_at(file.len().min(piece).min(to.len()));
        to[..now.len()].copy_from_slice(now);
        file = later;
        Ok(now.len())
    });
    let Ok(found) = found;
    found
}

/// Whether a record that begins here is one of a reused log.
fn is_reused(record: &[u8]) -> bool {
    record.get(6).is_some_and(|kind| matches!(kind, 5..=8 | 11 | 131))
}

/// A row of a history becomes another one, or one that was not there.
fn damaged(history: &History, table: Table, choices: &mut Choices<'_>) {
    let rows = &history.rows;
    let keys: Vec<Vec<u8>> = match rows.scan(table, &[][..]..&[][..]) {
        Ok(found) => found.filter_map(|row| Some(row.ok()?.0)).collect(),
        Err(_) => Vec::new(),
    };
    let how = choices.byte();
    let at = if how & 1 == 0 && !keys.is_empty() {
        choices.one(&keys).clone()
    } else {
        let length = choices.below(80);
        choices.bytes(length).to_vec()
    };
    let was = rows.get(table, &at).ok().flatten().unwrap_or_default();
    let value = match how >> 1 & 3 {
        // A byte of it.
        0 if !was.is_empty() => {
            let mut value = was;
            let place =
                (usize::from(choices.byte()) << 8 | usize::from(choices.byte())) % value.len();
            value[place] ^= choices.byte();
            Some(value)
        }
        1 => None,
        // Its beginning.
        2 if !was.is_empty() => {
            let length =
                (usize::from(choices.byte()) << 8 | usize::from(choices.byte())) % was.len();
            Some(was[..length].to_vec())
        }
        _ => Some(choices.rest().to_vec()),
    };
    let mut draft = Draft::on(rows);
    match value {
        Some(value) => draft.put(table, at, value),
        None => draft.delete(table, at),
    }
    let changes = draft.finish();
    let mut rows = rows.clone();
    rows.apply(changes);
    read_all(&rows, history);
}

/// Reads everything that anybody reads.
fn read_all(rows: &Memory, history: &History) {
    let fold = Fold::open(rows);
    let _ = records::from(rows, 0).map(|found| found.filter(Result::is_ok).count());
    let _ = roster::list(rows);
    let nodes = roster::nodes(rows).map(|found| found.filter(Result::is_ok).count());
    assert!(nodes.unwrap_or(0) < 100);
    let _ = roster::by_name(rows, "laptop");
    let _ = roster::by_node_key(rows, node_key(11));
    let _ = roster::signed_by(rows, public(1));
    let _ = auth_keys::list(rows);
    let id: AuthKeyId = "kFUZZ1CNTRL".parse().expect("an ID");
    let _ = auth_keys::auth_key(rows, &id);
    let _ = members::list(rows);
    let _ = members::member(rows, ReplicaId(1));
    let _ = members::active(rows);
    let _ = members::by_member_key(rows, MemberKey(public(1).0));
    let _ = invitations::list(rows);
    let _ = invitations::invitation(rows, InvitationKey(public(1).0));
    let _ = requests::parts(rows, &"request-1".parse().expect("an ID"));
    let _ = lifecycle::waiting(rows);
    let _ = lifecycle::by_state_id(rows, (7, 0));
    let waiting = cosigning::list(rows);
    for number in 0..4 {
        let epoch = Epoch(number);
        let _ = lifecycle::epoch(rows, epoch);
        let _ = adoption::of(rows, epoch);
        for node in 0..5 {
            let _ = acknowledgements::of(rows, NodeId(node), epoch);
        }
        chain_of(rows, ChainId(number), history);
    }
    for node in 0..5 {
        let _ = acknowledgements::by_node(rows, NodeId(node));
        let _ = roster::node(rows, NodeId(node));
    }
    let size = history.fold.next_index();
    let _ = merkle::root_at(rows, size);
    for index in 0..size {
        let _ = merkle::inclusion_proof(rows, index, size);
        let _ = merkle::consistency_proof(rows, index, size);
        let _ = records::record(rows, index);
    }
    let Ok(fold) = fold else { return };
    let _ = adoption::current(rows, fold.lifecycle());
    for pending in waiting.unwrap_or_default() {
        let _ = cosigning::standing(rows, &fold, &pending);
    }
    // The next event is judged, or it is said that the rows are damaged.
    let _ = fold.clone().admit(&mut Draft::on(rows), &REMOVAL[history.name]);
}

fn chain_of(rows: &Memory, id: ChainId, history: &History) {
    let chain = Chain::new(rows, id);
    let mut known: Vec<AumHash> = Vec::new();
    let Ok(nodes) = chain.nodes() else { return };
    known.extend(nodes.filter_map(|node| Some(node.ok()?.0)).take(20));
    known.push(AumHash([9; 32]));
    for hash in &known {
        let _ = chain.aum(hash);
        let _ = chain.node(hash);
        let _ = chain.children(hash);
        let _ = chain.best_child(hash);
        let _ = chain.state_at(hash);
        for height in [0, 1, 2, u64::MAX] {
            let _ = chain.ancestor_at(hash, height);
        }
        let _ = chain.is_ancestor(&known[0], hash);
        assert!(chain.back_from(*hash).take(1000).count() < 1000, "{}", history.name);
    }
    let LockKey(key_id) = public(4);
    let _ = chain.key_changes(&key_id, u64::MAX).map(|changes| changes.take(100).count());
    let Ok(Some(mut authority)) = Authority::open(rows, id) else { return };
    if let Ok(ours) = offer(rows, &authority) {
        let _ = missing_aums(rows, &authority, &ours);
    }
    let options = Options { min_chain: 1, min_age: 1 };
    let _ = compact(&mut authority, &mut Draft::on(rows), options, &|_| 2);
}

/// The rows of a client node.
fn client_rows(choices: &mut Choices<'_>) {
    let mut rows = Memory::new();
    let mut draft = Draft::on(&rows);
    let mut client = Client::open(&rows).expect("no rows");
    client.bootstrap(&mut draft, &ROOT).expect("a lock");
    client.local_disable(&mut draft).expect("a lock");
    let at = choices.piece().to_vec();
    draft.put(tables::CLIENT, at, choices.rest());
    let changes = draft.finish();
    rows.apply(changes);
    let opened = Client::open(&rows).expect("its own rows are sound");
    assert_eq!(opened.head(), Some(ROOT.hash()));
    assert!(opened.disabled_here());
    let _ = all_set_aside(&rows);
}
