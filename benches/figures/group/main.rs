//! A group of three on loopback with real syncs, over its socket, beside etcd.
//!
//! An operation is one node-key signature for a distinct node: planned, signed with the lock key,
//! proposed, synced by a majority, applied, answered. etcd's is one put of as many bytes as the
//! record has. Both are asked at their leader. Ours, etcd and the floor (two syncs one after the
//! other, which a leader and a follower at least take) take turns on the same disk. Every ratio is
//! of times: below 1 is faster.
#![allow(clippy::unwrap_used, reason = "without its data a bench has nothing to measure")]

mod etcd;

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use benches::floors::append_and_sync;
use benches::group::{Group, add_node, serve_if_told, sign_node};
use benches::replicas::{runtime, scratch};
use etcd::{Etcd, EtcdClient};
use replica::local_api::bodies::MemberRequest;
use replica::local_api::client::{Asked, Client};
use tokio::runtime::Runtime;

/// Clients at once, and how many operations they do together in a round.
const LEVELS: [(usize, usize); 3] = [(1, 300), (16, 1200), (64, 2400)];
/// Rounds; each figure is the median over them.
const ROUNDS: usize = 3;

/// Hand-overs that are measured, and changes that are made during each.
const HAND_OVERS: usize = 15;
const CHANGES: u64 = 40;

/// What a round of operations took.
#[derive(Clone, Copy)]
struct Round {
    /// Operations in a second.
    rate: f64,
    p50: Duration,
    p99: Duration,
}

impl Round {
    fn of(mut each: Vec<Duration>, all: Duration) -> Round {
        each.sort_unstable();
        let at = |part: usize| each[(each.len() * part / 100).min(each.len() - 1)];
        Round { rate: each.len() as f64 / all.as_secs_f64(), p50: at(50), p99: at(99) }
    }

    fn median(rounds: &[Round]) -> Round {
        let middle = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let time = |of: fn(&Round) -> Duration| {
            let seconds = rounds.iter().map(|round| of(round).as_secs_f64()).collect();
            Duration::from_secs_f64(middle(seconds))
        };
        Round {
            rate: middle(rounds.iter().map(|round| round.rate).collect()),
            p50: time(|round| round.p50),
            p99: time(|round| round.p99),
        }
    }

    fn say(&self, who: &str) {
        println!(
            "    {who:10} {:8.0} per s   p50 {:8.3} ms   p99 {:8.3} ms",
            self.rate,
            self.p50.as_secs_f64() * 1e3,
            self.p99.as_secs_f64() * 1e3
        );
    }
}

/// So many clients do operations, each as soon as it is answered.
async fn at_once<C, F>(clients: Vec<C>, each: usize, operation: F) -> Round
where
    C: Send + 'static,
    F: AsyncOperation<C>,
{
    let since = Instant::now();
    let mut tasks = Vec::new();
    for (number, mut client) in clients.into_iter().enumerate() {
        let operation = operation.clone();
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::with_capacity(each);
            for step in 0..each {
                let began = Instant::now();
                operation.run(&mut client, (number * each + step) as u64).await;
                times.push(began.elapsed());
            }
            times
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    Round::of(times, since.elapsed())
}

/// What each client does over and over.
trait AsyncOperation<C>: Clone + Send + 'static {
    fn run(&self, client: &mut C, number: u64) -> impl Future<Output = ()> + Send;
}

/// Lets nodes in, from a first number on.
#[derive(Clone)]
struct Sign {
    first: u64,
}

impl AsyncOperation<Client> for Sign {
    async fn run(&self, client: &mut Client, number: u64) {
        sign_node(client, self.first + number).await;
    }
}

/// Adds nodes, from a first number on.
#[derive(Clone)]
struct Add {
    first: u64,
}

impl AsyncOperation<Client> for Add {
    async fn run(&self, client: &mut Client, number: u64) {
        add_node(client, self.first + number).await;
    }
}

/// Puts a value under distinct keys.
#[derive(Clone)]
struct Put {
    first: u64,
    value: Vec<u8>,
}

impl AsyncOperation<EtcdClient> for Put {
    async fn run(&self, client: &mut EtcdClient, number: u64) {
        let key = format!("nodes/{:016x}", self.first + number);
        client.put(key.as_bytes(), &self.value).await;
    }
}

/// Two appends to two files, each synced before the next.
fn floor(dir: &Path, bytes: usize, count: usize) -> Round {
    let open = |name| -> File {
        OpenOptions::new().create(true).append(true).open(dir.join(name)).unwrap()
    };
    let (mut one, mut other) = (open("floor1"), open("floor2"));
    let bytes = vec![0x5a; bytes];
    let since = Instant::now();
    let each = (0..count).map(|_| {
        let began = Instant::now();
        append_and_sync(&mut one, &bytes);
        append_and_sync(&mut other, &bytes);
        began.elapsed()
    });
    Round::of(each.collect(), since.elapsed())
}

/// How long the slowest change takes of those that are made, one after the other, while the leader hands
/// over, and how long without that.
fn hand_overs(runtime: &Runtime, group: &Group, first: u64) {
    let (mut next, mut handing, mut calm) = (first, Vec::new(), Vec::new());
    for hand_over in [false, true].repeat(HAND_OVERS) {
        let leader = group.whole(runtime);
        let to = (leader + 1) % group.members.len();
        // Asked at one that neither leads nor will.
        let asked = group.members[(leader + 2) % group.members.len()].client.clone();
        let old = group.members[leader].client.clone();
        let slowest = runtime.block_on(async {
            let changing = tokio::spawn(async move {
                let mut slowest = Duration::ZERO;
                for step in 0..CHANGES {
                    let began = Instant::now();
                    add_node(&asked, next + step).await;
                    slowest = slowest.max(began.elapsed());
                }
                slowest
            });
            if hand_over {
                let request = MemberRequest { replica_id: (to + 1).to_string(), force: false };
                old.group_leader(&request, &Asked::default()).await.unwrap();
            }
            changing.await.unwrap()
        });
        if hand_over { &mut handing } else { &mut calm }.push(slowest);
        next += CHANGES;
    }
    for slowest in [&mut handing, &mut calm] {
        slowest.sort_unstable();
    }
    let ms = |of: &[Duration], at: usize| of[at].as_secs_f64() * 1e3;
    let (middle, last) = (HAND_OVERS / 2, HAND_OVERS - 1);
    println!(
        "hand-over: the slowest of {CHANGES} changes meanwhile takes {:.1} ms (median of {HAND_OVERS}; at \
         most {:.1}), without one {:.1} ms",
        ms(&handing, middle),
        ms(&handing, last),
        ms(&calm, middle),
    );
}

/// The levels: those that `LOCKSTEP_GROUP_LEVELS` names, such as `1x3000`, for profiling, or [`LEVELS`].
fn levels() -> Vec<(usize, usize)> {
    let Ok(named) = std::env::var("LOCKSTEP_GROUP_LEVELS") else { return LEVELS.to_vec() };
    let level = |level: &str| {
        let (clients, operations) = level.split_once('x').unwrap();
        (clients.parse().unwrap(), operations.parse().unwrap())
    };
    named.split(',').map(level).collect()
}

/// Bytes of the record that one operation leaves.
fn record_bytes(runtime: &Runtime, client: &Client) -> usize {
    runtime.block_on(async {
        let index = client.group().await.unwrap();
        let own = index.members.iter().find(|member| member.own).unwrap();
        let last = own.record_index.unwrap();
        client.records(last, 1).await.unwrap()[0].raw.0.len()
    })
}

fn main() -> ExitCode {
    if let Some(code) = serve_if_told() {
        return code;
    }
    // Figures can be chosen by a part of their name.
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if filter.is_some_and(|filter| !"group".contains(&filter)) {
        return ExitCode::SUCCESS;
    }
    let (dir, runtime) = (scratch(env!("CARGO_TARGET_TMPDIR")), runtime());
    let group = Group::start(&runtime, dir.path());
    let etcd = Etcd::start(dir.path());
    if etcd.is_none() {
        println!("etcd is not installed (Debian: etcd-server): no rival");
    }
    let mut next = 1;
    // The record of a first operation says how long etcd's values are to be.
    let leader = group.members[group.whole(&runtime)].client.clone();
    runtime.block_on(async {
        add_node(&leader, 0).await;
        sign_node(&leader, 0).await;
    });
    let bytes = record_bytes(&runtime, &leader);
    println!("three members on loopback; a record has {bytes} bytes, and so has etcd's value");
    for (clients, operations) in levels() {
        let each = operations / clients;
        let (mut ours, mut theirs, mut floors) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let leader = group.members[group.whole(&runtime)].client.clone();
            runtime.block_on(at_once(
                vec![leader.clone(); 16],
                operations / 16 + 1,
                Add { first: next },
            ));
            floors.push(floor(dir.path(), bytes, 200));
            let signing = at_once(vec![leader; clients], each, Sign { first: next });
            ours.push(runtime.block_on(signing));
            if let Some(etcd) = &etcd {
                theirs.push(runtime.block_on(async {
                    let port = etcd.leader().await;
                    let mut all = Vec::new();
                    for _ in 0..clients {
                        all.push(EtcdClient::to(port).await.unwrap());
                    }
                    at_once(all, each, Put { first: next, value: vec![0x5a; bytes] }).await
                }));
            }
            next += (operations / 16 + 1) as u64 * 16;
        }
        let (ours, floor) = (Round::median(&ours), Round::median(&floors));
        println!("{clients} clients:");
        ours.say("ours");
        let mut rival = String::from("none");
        if !theirs.is_empty() {
            let theirs = Round::median(&theirs);
            theirs.say("etcd");
            rival = format!("{:.3}", theirs.rate / ours.rate);
        }
        floor.say("two syncs");
        let over_floor = ours.p50.as_secs_f64() / floor.p50.as_secs_f64();
        println!("ratio group-{clients}-clients floor={over_floor:.2} rival={rival}");
    }
    hand_overs(&runtime, &group, next);
    ExitCode::SUCCESS
}
