//! Replicas on a real disk, to be measured.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use audit::AllCores;
use ledger::history::{
    Actor, ChangedNode, Event, Fold, KNOWN_RULES, LogKey, MemberDetails, NewNode, NodeId, Proposal,
    SignedProposal, Verdict, Who,
};
use ledger::ids::{LockKey, NodeKey};
use ledger::lock::signatures::{Unverified, each, verify_all};
use ledger::rows::Draft;
use ledger::testing::key;
use replica::disk::recovery::{Fresh, recover};
use replica::disk::{Batch, Disk, Durable};
use replica::node::{Handle, Node, Options, Outcome, Submission};

/// A directory of its own in `CARGO_TARGET_TMPDIR`, on the disk of the build: the system's place
/// for temporary files may be memory, where a sync costs nothing.
pub fn scratch(target: &str) -> tempfile::TempDir {
    tempfile::tempdir_in(target).unwrap()
}

/// A runtime as the daemon has one.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

/// Starts a replica in `dir`, which becomes a new group if it is empty.
pub async fn start(dir: &Path) -> Node {
    start_with(dir, None).await
}

/// As [`start`], with a lock key for the founder of a new group.
pub async fn start_with(dir: &Path, lock_key: Option<LockKey>) -> Node {
    let founder = MemberDetails {
        name: "first".into(),
        log_key: LogKey([9; 32]),
        lock_key,
        rules: KNOWN_RULES,
        address: None,
    };
    Node::start(Options::alone(dir, Arc::new(key(1)), Some(founder))).await.unwrap()
}

/// Makes events of one size that are all different and all admitted: node 1 changes its key.
#[derive(Debug, Clone, Default)]
pub struct Changes(Arc<AtomicU64>);

impl Changes {
    /// The next number.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    /// A node key of that number.
    pub fn key(number: u64) -> NodeKey {
        let mut key = [0x5a; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        NodeKey(key)
    }

    /// The event of that number.
    pub fn event(number: u64) -> Event {
        Event::NodeChanged(ChangedNode {
            node: NodeId(1),
            node_key: Self::key(number),
            lock_key: None,
            signature: None,
        })
    }

    /// Submits the next event and waits until it is recorded.
    pub async fn submit(&self, handle: &Handle) {
        let number = self.next();
        submit(handle, format!("change-{number}"), Self::event(number)).await;
    }
}

/// Adds node 1.
pub async fn add_node(handle: &Handle) {
    let node = NewNode {
        name: "changing".into(),
        node_key: NodeKey([0x11; 32]),
        lock_key: None,
        own: false,
        signature: None,
        auth_key: None,
    };
    submit(handle, "add".to_owned(), Event::NodeAdded(node)).await;
}

async fn submit(handle: &Handle, request: String, event: Event) {
    let submission = Submission {
        request: request.parse().unwrap(),
        digest: [7; 32],
        part: 0,
        who: Who::Uid(0),
        name: "root".into(),
        event,
    };
    let outcome = handle.submit(submission).await;
    assert!(matches!(outcome, Outcome::Applied { .. }), "{outcome:?}");
}

/// Bytes of the write-ahead logs of the database of a replica.
pub fn wal_bytes(dir: &Path) -> u64 {
    let db: PathBuf = dir.join(replica::disk::ROWS_DIR);
    let files = std::fs::read_dir(db).unwrap().map(Result::unwrap);
    let logs = files.filter(|file| file.path().extension().is_some_and(|e| e == "log"));
    logs.map(|log| log.metadata().unwrap().len()).sum()
}

/// Records that are made and written at a time.
const GROWN_TOGETHER: u64 = 4096;

/// Adds records to the ledger in the directory of a stopped replica until it has so many: what
/// that many appends would have written, without a sync for each.
pub fn grow(dir: &Path, records: u64) {
    let recovered = recover(dir, Fresh::Refused).unwrap();
    let (disk, member) = (recovered.disk, key(1));
    let (cluster, replica) = replica::disk::log::names(&recovered.identity);
    let mut fold = Fold::open(&disk.view()).unwrap();
    while fold.next_index() < records {
        let from = fold.next_index();
        let numbers: Vec<u64> = (from..records.min(from + GROWN_TOGETHER)).collect();
        let proposal = |number: &u64| {
            let proposal = Proposal {
                cluster,
                incarnation: recovered.identity.incarnation,
                last_index: from + GROWN_TOGETHER,
                request: format!("grown-{number}").parse().unwrap(),
                digest: [7; 32],
                part: 0,
                actor: Actor { member: replica, who: Who::Uid(0), name: "root".into() },
                time_ms: 1_700_000_000_000 + number,
                event: Changes::event(u64::MAX - number),
            };
            Unverified::new(SignedProposal::sign(&proposal, &member).unwrap())
        };
        let proposals = verify_all(each(&numbers, proposal, &AllCores), &AllCores);
        let view = disk.view();
        let mut draft = Draft::on(&view);
        for proposal in proposals {
            let verdict = fold.admit(&mut draft, &proposal.unwrap()).unwrap();
            assert!(matches!(verdict, Verdict::Sealed(_)), "{verdict:?}");
        }
        let mut batch = Batch::new();
        batch.absorb(draft.finish());
        disk.commit(batch, Durable::Later).unwrap();
    }
    disk.commit(Batch::new(), Durable::Now).unwrap();
}
