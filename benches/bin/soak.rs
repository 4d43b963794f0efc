//! A group of three under a steady mixed load, one of which is away for most of the time: what the
//! others use stays bounded.
//!
//!     cargo run --release -p benches --bin soak -- [--minutes N]    (3 by default)
//!
//! Looks at each daemon's resident memory, threads, descriptors, and its data directory less the
//! records in it, prints a line every few seconds, and fails when one of them has grown beyond what
//! it was after a warm-up.
#![allow(clippy::unwrap_used, reason = "a soak that cannot look has failed")]

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use benches::group::{Group, Member, add_node, node_key, serve_if_told};
use benches::replicas::{runtime, scratch};
use replica::local_api::bodies::{NodeRotateRequest, SignRequest};
use replica::local_api::client::{Asked, Client};

/// Clients.
const CLIENTS: u64 = 8;
/// Nodes whose keys they change.
const NODES: u64 = 64;
/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);
/// Part of the time that counts as warming up.
const WARM: f64 = 0.3;

/// What a process uses.
#[derive(Clone, Copy, Default)]
struct Usage {
    resident_mib: u64,
    threads: u64,
    descriptors: u64,
    /// Bytes of the data directory.
    disk_mib: u64,
}

impl Usage {
    fn of(member: &Member) -> Option<Usage> {
        let pid = member.pid()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let number = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        Some(Usage {
            resident_mib: number("VmRSS:")? >> 10,
            threads: number("Threads:")?,
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64,
            disk_mib: bytes_below(&member.data) >> 20,
        })
    }

    fn most(self, other: Usage) -> Usage {
        Usage {
            resident_mib: self.resident_mib.max(other.resident_mib),
            threads: self.threads.max(other.threads),
            descriptors: self.descriptors.max(other.descriptors),
            disk_mib: self.disk_mib.max(other.disk_mib),
        }
    }
}

fn bytes_below(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Rotates and signs the nodes' keys, and looks at them, over and over.
async fn load(client: Client, number: u64, done: Arc<AtomicU64>, over: Arc<AtomicBool>) {
    let mut step = 0;
    while !over.load(Ordering::Relaxed) {
        step += 1;
        let node = (number + step * CLIENTS) % NODES;
        let key = node_key((1 << 40) + number * (1 << 32) + step);
        let rotate = NodeRotateRequest {
            node: format!("n{node}"),
            node_key: Some(key.to_string()),
            signature: None,
        };
        let rotated = client.node_rotate(&rotate, &Asked::default()).await;
        // An election is going on, or somebody else has changed the same node.
        if rotated.is_err() {
            continue;
        }
        done.fetch_add(1, Ordering::Relaxed);
        let sign = SignRequest { node_key: key, rotation_public: None };
        if client.sign(&sign, &Asked::default()).await.is_ok() {
            done.fetch_add(1, Ordering::Relaxed);
        }
        let _ = client.node(&format!("n{node}")).await;
    }
}

fn minutes() -> Option<f64> {
    let mut words = std::env::args().skip(1);
    match (words.next().as_deref(), words.next(), words.next()) {
        (None, ..) => Some(3.0),
        (Some("--minutes"), Some(text), None) => text.parse().ok().filter(|minutes| *minutes > 0.0),
        _ => None,
    }
}

fn main() -> ExitCode {
    if let Some(code) = serve_if_told() {
        return code;
    }
    let Some(minutes) = minutes() else {
        eprintln!("usage: soak [--minutes N]");
        return ExitCode::from(2);
    };
    let length = Duration::from_secs_f64(minutes * 60.0);
    // On the disk of the build; the system's place for temporary files may be memory.
    let program = std::env::current_exe().unwrap();
    let dir = scratch(&program.parent().unwrap().display().to_string());
    let runtime = runtime();
    let mut group = Group::start(&runtime, dir.path());
    let leader = group.whole(&runtime);
    runtime.block_on(async {
        for node in 0..NODES {
            add_node(&group.members[leader].client, node).await;
        }
    });
    let (done, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    // Whoever is away is nobody's first choice, but is asked, too, while it is there.
    let absent = (leader + 1) % 3;
    let present: Vec<usize> = (0..3).filter(|member| *member != absent).collect();
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let member = &group.members[present[number as usize % present.len()]];
            runtime.spawn(load(member.client.clone(), number, done.clone(), over.clone()))
        })
        .collect();

    let since = Instant::now();
    let (mut warm, mut later) = ([Usage::default(); 3], [Usage::default(); 3]);
    println!("   time  changes  for each member: MiB, threads, descriptors, MiB on disk");
    while since.elapsed() < length {
        std::thread::sleep(LOOK.min(length));
        let part = since.elapsed().as_secs_f64() / length.as_secs_f64();
        // Away from the middle of the warm-up on, and back near the end.
        let away = (WARM / 2.0..0.8).contains(&part);
        match (away, group.members[absent].pid()) {
            (true, Some(_)) => group.members[absent].kill(),
            (false, None) => group.members[absent].start(None),
            _ => {}
        }
        let mut line =
            format!("{:7.0} {:8}", since.elapsed().as_secs(), done.load(Ordering::Relaxed));
        for (number, member) in group.members.iter().enumerate() {
            let Some(now) = Usage::of(member) else {
                line.push_str("  [away]");
                continue;
            };
            let Usage { resident_mib, threads, descriptors, disk_mib } = now;
            line.push_str(&format!("  [{resident_mib} {threads} {descriptors} {disk_mib}]"));
            let seen = if part < WARM { &mut warm } else { &mut later };
            seen[number] = seen[number].most(now);
        }
        println!("{line}");
    }
    over.store(true, Ordering::Relaxed);
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    // The one that was away comes back to the same records, whatever it lacked.
    group.whole(&runtime);
    let records = runtime.block_on(caught_up(&group, absent));
    println!("{records} records; the one that was away has all of them");
    verdict(&warm, &later, records)
}

/// Waits until that member has all records; how many there are.
async fn caught_up(group: &Group, absent: usize) -> u64 {
    let since = Instant::now();
    loop {
        let mut ends = Vec::new();
        for member in &group.members {
            let body = member.client.reading_locally(true).group().await.unwrap();
            let own = body.members.into_iter().find(|member| member.own).unwrap();
            ends.push(own.record_index.unwrap_or(0));
        }
        let most = ends.iter().copied().max().unwrap_or(0);
        if ends[absent] == most {
            return most + 1;
        }
        assert!(since.elapsed() < Duration::from_secs(120), "it has not caught up: {ends:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Whether what was used after the warm-up is what was used in it, and a little.
fn verdict(warm: &[Usage; 3], later: &[Usage; 3], records: u64) -> ExitCode {
    // Rows and records of one change, generously; logs and tables that are still to be compacted.
    let disk = 300 + (records * 4096 >> 20);
    let mut bad = Vec::new();
    for (number, (warm, later)) in warm.iter().zip(later).enumerate() {
        for (what, before, after, room) in [
            ("MiB of memory", warm.resident_mib, later.resident_mib, warm.resident_mib / 2 + 64),
            ("threads", warm.threads, later.threads, 8),
            ("descriptors", warm.descriptors, later.descriptors, 300),
            ("MiB on disk", warm.disk_mib, later.disk_mib, disk),
        ] {
            if after > before + room {
                bad.push(format!("member {}: {after} {what}, {before} before", number + 1));
            }
        }
    }
    bad.iter().for_each(|line| println!("GROWN {line}"));
    if bad.is_empty() {
        println!("bounded");
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
