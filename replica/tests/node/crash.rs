//! A process that is killed in a storm of writes, again and again.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::*;

const STORM_DIR: &str = "LOCKSTEP_TEST_STORM_DIR";
const STORM_FROM: &str = "LOCKSTEP_TEST_STORM_FROM";

/// Runs in a process of its own when the test below asks for it, and prints every acknowledged
/// number; by itself it is a short storm without a crash.
#[tokio::test(flavor = "multi_thread")]
async fn storm() {
    let own = tempfile::tempdir().unwrap();
    let asked = std::env::var_os(STORM_DIR).map(PathBuf::from);
    let from: u64 = std::env::var(STORM_FROM).map_or(1, |from| from.parse().unwrap());
    let last = if asked.is_some() { u64::MAX } else { 200 };
    let node = start(&asked.unwrap_or(own.path().to_owned())).await.unwrap();
    println!("storm ready");
    let next = Arc::new(std::sync::atomic::AtomicU64::new(from));
    let mut writers = Vec::new();
    for _ in 0..16 {
        let (handle, next) = (node.handle().clone(), next.clone());
        writers.push(tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if number > last {
                    break;
                }
                applied(handle.submit(joins(number)).await);
                let mut out = std::io::stdout().lock();
                writeln!(out, "acknowledged {number}").unwrap();
                out.flush().unwrap();
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    node.stop().await.unwrap();
}

fn spawn(dir: &Path, from: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::storm", "--nocapture", "--test-threads=1"])
        .env(STORM_DIR, dir)
        .env(STORM_FROM, from.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn everything_acknowledged_survives_kills_exactly_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<u64> = Vec::new();
    let mut from = 1;
    // When each round is killed: after so many answers and then so many microseconds.
    for (answers, pause) in [(0, 0), (1, 300), (40, 0), (700, 150), (7, 2000), (2500, 90)] {
        let mut child = spawn(dir.path(), from);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        let mut take = |line: String| {
            let number = line.split("acknowledged ").nth(1).and_then(|n| n.trim().parse().ok());
            if let Some(number) = number {
                acknowledged.push(number);
                seen += 1;
            }
            seen
        };
        for line in lines.by_ref() {
            let line = line.unwrap();
            let ready = line.contains("storm ready");
            if take(line) >= answers && (ready || answers > 0) {
                break;
            }
        }
        std::thread::sleep(Duration::from_micros(pause));
        child.kill().unwrap();
        child.wait().unwrap();
        // What was printed before the kill was acknowledged before the kill.
        for line in lines.map_while(Result::ok) {
            take(line);
        }
        from += 1_000_000;

        let node = start(dir.path()).await.unwrap();
        let requests = requests(node.handle().view().rows());
        let mut sorted = requests.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), requests.len(), "nothing is recorded twice");
        for number in &acknowledged {
            let request = format!("join-{number}");
            assert!(sorted.binary_search(&request).is_ok(), "{request} was lost");
        }
        let roster = ledger::history::roster::list(node.handle().view().rows()).unwrap();
        assert_eq!(roster.len() + 1, requests.len(), "every record is applied once, and whole");
        node.stop().await.unwrap();
    }
    assert!(acknowledged.len() > 3000);
}
