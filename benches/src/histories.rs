//! Long histories in the directory of a replica, to be audited.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use audit::AllCores;
use ledger::formats::record_stream::{End, Head, RecordStream, frame};
use ledger::history::{
    Actor, ChangedNode, ClusterId, Event, Fold, Initialization, NewNode, NodeId, Proposal, Record,
    ReplicaId, SignedProposal, Verdict, Who, records,
};
use ledger::ids::NodeKey;
use ledger::lock::builder::{Change, UpdateBuilder};
use ledger::lock::node_keys::{NodeKeySignature, resign, sign_direct};
use ledger::lock::signatures::{PrivateKey, Signer, Unverified, each, verify_all};
use ledger::rows::Draft;
use ledger::testing::{genesis, key};
use replica::disk::recovery::{Fresh, recover};
use replica::disk::{Batch, Disk, Durable};

use crate::floors::Checks;
use crate::replicas::{runtime, start_with};

/// Nodes of the roster.
const NODES: u64 = 1000;
/// Of so many events of a node one is a rotation.
const ROTATION: u64 = 8;
/// Events that are made and written at a time. After each there is an AUM.
const TOGETHER: u64 = 4096;
/// Records whose signatures the floor checks at a time.
const FLOOR_RECORDS: usize = 1 << 16;

/// A history in which nodes change their keys, signed by one trusted key after the other.
struct Tale {
    signers: Vec<PrivateKey>,
    cluster: ClusterId,
    incarnation: u64,
    member: ReplicaId,
}

/// The trusted key of a number.
fn signer(number: usize) -> PrivateKey {
    let mut seed = [0x51; 32];
    seed[..8].copy_from_slice(&(number as u64).to_be_bytes());
    PrivateKey::from_seed(&seed)
}

impl Tale {
    fn new(signers: usize, cluster: ClusterId, incarnation: u64, member: ReplicaId) -> Self {
        Tale { signers: (0..signers).map(signer).collect(), cluster, incarnation, member }
    }

    fn node_key(number: u64) -> NodeKey {
        let mut key = [0x5a; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        NodeKey(key)
    }

    /// The key with which a node rotates.
    fn own(node: u64) -> PrivateKey {
        let mut seed = [0x77; 32];
        seed[..8].copy_from_slice(&node.to_be_bytes());
        PrivateKey::from_seed(&seed)
    }

    fn direct(&self, number: u64, own: &PrivateKey) -> NodeKeySignature {
        let signer = &self.signers[(number % self.signers.len() as u64) as usize];
        sign_direct(signer, Self::node_key(number), Some(own.public())).unwrap()
    }

    /// The event of that number: the first ones add the nodes, later ones change their keys.
    fn event(&self, number: u64) -> Event {
        let (node, round) = (number % NODES, number / NODES);
        let own = Self::own(node);
        let node_key = Self::node_key(number);
        if round == 0 {
            return Event::NodeAdded(NewNode {
                name: format!("node-{node}"),
                node_key,
                lock_key: Some(own.public()),
                own: false,
                signature: Some(self.direct(number, &own)),
                auth_key: None,
            });
        }
        // The one before it in the same node's life is a direct one.
        let signature = if round % ROTATION == ROTATION - 1 {
            resign(&own, node_key, &self.direct(number - NODES, &own)).unwrap()
        } else {
            self.direct(number, &own)
        };
        Event::NodeChanged(ChangedNode {
            node: NodeId(node + 1),
            node_key,
            lock_key: Some(own.public()),
            signature: Some(signature),
        })
    }

    fn signed(&self, request: String, last_index: u64, event: Event) -> Unverified<SignedProposal> {
        let proposal = Proposal {
            cluster: self.cluster,
            incarnation: self.incarnation,
            last_index,
            request: request.parse().unwrap(),
            digest: [7; 32],
            part: 0,
            actor: Actor { member: self.member, who: Who::Uid(0), name: "root".into() },
            time_ms: 1_700_000_000_000 + last_index,
            event,
        };
        Unverified::new(SignedProposal::sign(&proposal, &key(1)).unwrap())
    }
}

/// Founds a group in a directory, and grows its ledger until it has so many records: signed by that many trusted keys in turn, every eighth
/// change of a node a rotation, and an AUM every few thousand events.
pub fn tell(dir: &Path, events: u64, signers: usize) {
    let runtime = runtime();
    let founder = Some(signer(0).public());
    runtime.block_on(async { start_with(dir, founder).await.stop().await.unwrap() });
    let recovered = recover(dir, Fresh::Refused).unwrap();
    let disk = recovered.disk;
    let (cluster, member) = replica::disk::log::names(&recovered.identity);
    let tale = Tale::new(signers, cluster, recovered.identity.incarnation, member);
    let mut fold = Fold::open(&disk.view()).unwrap();
    let mut number = 0;
    let trusted: Vec<_> = tale.signers.iter().map(|key| (key, 1)).collect();
    let initialization = Event::LockInitialized(Box::new(Initialization {
        genesis: genesis(1, &trusted),
        signatures: Vec::new(),
        labels: Vec::new(),
        brought_by: None,
    }));
    let mut extra = vec![("init".to_owned(), initialization)];
    while fold.next_index() < events {
        let last = fold.next_index() + 2 * TOGETHER;
        let left = (events - fold.next_index()).saturating_sub(extra.len() as u64);
        let numbers: Vec<u64> = (number..number + left.min(TOGETHER)).collect();
        number += numbers.len() as u64;
        let mut proposals: Vec<_> = std::mem::take(&mut extra)
            .into_iter()
            .map(|(request, event)| tale.signed(request, last, event))
            .collect();
        let made = |number: &u64| tale.signed(format!("e-{number}"), last, tale.event(*number));
        proposals.extend(each(&numbers, made, &AllCores));
        let view = disk.view();
        let mut draft = Draft::on(&view);
        for proposal in verify_all(proposals, &AllCores) {
            let verdict = fold.admit(&mut draft, &proposal.unwrap()).unwrap();
            assert!(matches!(verdict, Verdict::Sealed(_)), "{verdict:?}");
        }
        let authority = fold.authority().unwrap();
        let signer = &tale.signers[0];
        let mut builder = UpdateBuilder::new(&draft, authority, Some(signer)).unwrap();
        builder.change(Change::Votes(signer.public().0.to_vec(), 2 + number % 2)).unwrap();
        let aums = builder.finish().unwrap();
        extra.push((format!("aum-{number}"), ledger::testing::Group::added(aums)));
        let mut batch = Batch::new();
        batch.absorb(draft.finish());
        disk.commit(batch, Durable::Later).unwrap();
    }
    disk.commit(Batch::new(), Durable::Now).unwrap();
    // The records alone: what a ledger of that length leaves behind in its log is not to be measured.
    let (view, path) = (disk.view(), dir.join(BACKUP));
    let head = Head { cluster, incarnation: recovered.identity.incarnation, records: events };
    let mut out = BufWriter::new(File::create(path).unwrap());
    out.write_all(&head.to_bytes()).unwrap();
    for record in records::from(&view, 0).unwrap() {
        out.write_all(&frame(record.unwrap().bytes())).unwrap();
    }
    let end = End { hash: fold.last_hash().unwrap(), fold: fold.fold_hash() };
    out.write_all(&end.to_bytes()).unwrap();
    out.flush().unwrap();
}

/// The records of a history that was told in a directory.
pub const BACKUP: &str = "backup";

/// What checking nothing but the signatures of the first records takes: batches of 1,024, rotations
/// one by one, on all cores. Reading and decoding does not count.
pub fn floor(dir: &Path) -> Duration {
    let mut from = BufReader::new(File::open(dir.join(BACKUP)).unwrap());
    let mut read = move |count: usize| {
        let mut bytes = Vec::new();
        from.by_ref().take(count as u64).read_to_end(&mut bytes).map(|_| bytes)
    };
    let mut stream = RecordStream::open(&mut read).unwrap();
    let mut left = std::iter::from_fn(|| stream.next(&mut read).unwrap()).peekable();
    let mut total = Duration::ZERO;
    while left.peek().is_some() {
        let part: Vec<Record> = left.by_ref().take(FLOOR_RECORDS).collect();
        let checks = Checks::of(&part);
        let began = Instant::now();
        checks.run_in(1024);
        total += began.elapsed();
    }
    total
}
