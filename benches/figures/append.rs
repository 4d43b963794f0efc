//! Appending: from the event to the answer that it is recorded and synced, by one client and by
//! many, at the replica's handle and over the daemon's socket.
#![allow(clippy::unwrap_used, reason = "without its data a bench has nothing to measure")]

use std::fs::{File, OpenOptions};
use std::path::Path;

use benches::floors::append_and_sync;
use benches::replicas::{Changes, add_node, runtime, scratch, start, wal_bytes};
use benches::rivals::Rival;
use benches::{Figure, Work, measure, timed};
use criterion::{Criterion, criterion_group, criterion_main};
use ledger::rows::tables;
use replica::daemon::config::{Config, Given, Surroundings};
use replica::disk::rocks::Rocks;
use replica::disk::{Batch, Disk, Durable};
use replica::local_api::bodies::{NodeAddRequest, NodeRotateRequest};
use replica::local_api::client::{Asked, Client};
use replica::node::{Handle, Node, Supported};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// Appends of one client in a sample.
const ONE: usize = 32;
/// Clients at once.
const CLIENTS: usize = 64;
/// Appends of each of them in a sample.
const EACH: usize = 8;

/// A file to which so many bytes at a time are appended and synced.
struct Floor {
    file: File,
    bytes: Vec<u8>,
}

impl Floor {
    fn new(dir: &Path, bytes: u64) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(dir.join("floor")).unwrap();
        Floor { file, bytes: vec![0x5a; bytes as usize] }
    }

    fn run(&mut self, times: usize) {
        for _ in 0..times {
            append_and_sync(&mut self.file, &self.bytes);
        }
    }
}

/// RocksDB by itself, with one row an append.
struct Database {
    rocks: Rocks,
    changes: Changes,
    bytes: Vec<u8>,
}

impl Database {
    fn new(dir: &Path, bytes: u64) -> Self {
        let rocks = Rocks::open(&dir.join("rival")).unwrap();
        Database { rocks, changes: Changes::default(), bytes: vec![0x5a; bytes as usize] }
    }

    fn append(&self) {
        let mut batch = Batch::new();
        batch.put(tables::RECORDS, self.changes.next().to_be_bytes(), self.bytes.as_slice());
        self.rocks.commit(batch, Durable::Now).unwrap();
    }
}

/// A replica with a node whose key changes, and the bytes that each change adds to its log.
fn replica(runtime: &Runtime, dir: &Path) -> (Node, Changes, u64) {
    let node = runtime.block_on(start(dir));
    let changes = Changes::default();
    let before = wal_bytes(dir);
    runtime.block_on(async {
        add_node(node.handle()).await;
        for _ in 0..ONE {
            changes.submit(node.handle()).await;
        }
    });
    (node, changes, (wal_bytes(dir) - before).div_ceil(ONE as u64 + 1))
}

fn one_client(criterion: &mut Criterion) {
    let (dir, runtime) = (scratch(env!("CARGO_TARGET_TMPDIR")), runtime());
    let (node, changes, bytes) = replica(&runtime, dir.path());
    let handle = node.handle().clone();
    one_by_one(criterion, "append", dir.path(), bytes, || {
        runtime.block_on(async {
            for _ in 0..ONE {
                changes.submit(&handle).await;
            }
        });
    });
    drop(handle);
    runtime.block_on(node.stop()).unwrap();
}

/// Measures appends of one client beside syncs of as many bytes.
fn one_by_one(
    criterion: &mut Criterion,
    name: &'static str,
    dir: &Path,
    bytes: u64,
    ours: impl Fn(),
) {
    let mut floor = Floor::new(dir, bytes);
    let database = Database::new(dir, bytes);
    let figure = Figure {
        name,
        unit: "append",
        units: ONE,
        ours: Box::new(|| timed(&ours)),
        floor: (
            "the same bytes appended to a file and synced",
            Box::new(|| timed(|| floor.run(ONE))),
        ),
        rival: Rival::Here(
            "RocksDB by itself, one synced row of as many bytes",
            Box::new(|| timed(|| (0..ONE).for_each(|_| database.append()))),
        ),
    };
    measure(criterion, figure);
}

fn many_clients(criterion: &mut Criterion) {
    let (dir, runtime) = (scratch(env!("CARGO_TARGET_TMPDIR")), runtime());
    let (node, changes, bytes) = replica(&runtime, dir.path());
    let handle = node.handle().clone();
    let mut floor = Floor::new(dir.path(), bytes * CLIENTS as u64);
    let database = Database::new(dir.path(), bytes);
    let database = &database;
    let rival: Work<'_> = Box::new(|| {
        timed(|| {
            std::thread::scope(|scope| {
                for _ in 0..CLIENTS {
                    scope.spawn(|| (0..EACH).for_each(|_| database.append()));
                }
            });
        })
    });
    let figure = Figure {
        name: "append-64-clients",
        unit: "append",
        units: CLIENTS * EACH,
        ours: Box::new(|| timed(|| runtime.block_on(at_once(&changes, &handle)))),
        floor: ("the same bytes, one sync for all clients", Box::new(|| timed(|| floor.run(EACH)))),
        rival: Rival::Here("RocksDB by itself, one synced row an append, 64 threads", rival),
    };
    measure(criterion, figure);
    drop(handle);
    runtime.block_on(node.stop()).unwrap();
}

/// Every client appends as soon as it is answered.
async fn at_once(changes: &Changes, handle: &Handle) {
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (changes, handle) = (changes.clone(), handle.clone());
            tokio::spawn(async move {
                for _ in 0..EACH {
                    changes.submit(&handle).await;
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
}

fn over_the_socket(criterion: &mut Criterion) {
    let (dir, runtime) = (scratch(env!("CARGO_TARGET_TMPDIR")), runtime());
    let data = dir.path().join("data");
    let given = Given {
        data_dir: Some(data.clone()),
        socket: Some(dir.path().join("s")),
        name: Some("first".into()),
        ..Given::default()
    };
    let config = Config::resolve(given, Given::default(), &Surroundings::default()).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let (tell_ready, ready) = oneshot::channel();
    let daemon = runtime.spawn(async move {
        let stop = async {
            let _ = stopped.await;
            "the bench is over"
        };
        replica::daemon::run(config, Supported::THIS_VERSION, stop, |ready| {
            let _ = tell_ready.send(ready.socket.clone());
        })
        .await
    });
    let client = Client::new(runtime.block_on(ready).unwrap());
    let changes = Changes::default();
    let rotate = async |changes: &Changes| {
        let number = changes.next();
        let request = NodeRotateRequest {
            node: "changing".into(),
            node_key: Some(Changes::key(number).to_string()),
            signature: None,
        };
        client.node_rotate(&request, &Asked::default()).await.unwrap();
    };
    let node_key = Changes::key(u64::MAX).to_string();
    let add = NodeAddRequest {
        name: "changing".into(),
        node_key,
        lock_key: None,
        auth_key: None,
        signature: None,
    };
    runtime.block_on(client.node_add(&add, &Asked::default())).unwrap();
    let before = wal_bytes(&data);
    let some = || {
        runtime.block_on(async {
            for _ in 0..ONE {
                rotate(&changes).await;
            }
        });
    };
    some();
    let bytes = (wal_bytes(&data) - before).div_ceil(ONE as u64);
    one_by_one(criterion, "append-socket", dir.path(), bytes, some);
    stop.send(()).unwrap();
    runtime.block_on(daemon).unwrap().unwrap();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(50);
    targets = one_client, many_clients, over_the_socket
}
criterion_main!(benches);
