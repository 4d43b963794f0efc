//! The socket of a tailscaled, played from what a real one answered (v1.96.5).

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::Value;

use super::{Files, code, found, report, verify};

/// A recorded body.
fn recorded(name: &str) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../audit/tests/data/recorded");
    let packed = std::fs::File::open(dir.join(format!("{name}.json.gz"))).unwrap();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Answers as a tailscaled with this log and status, for as long as the test runs.
fn play(files: &Files, log: Vec<u8>, status: Vec<u8>) -> PathBuf {
    let socket = files.path().join("tailscaled.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let (log, status) = (log.clone(), status.clone());
            thread::spawn(move || serve(stream, &log, &status));
        }
    });
    socket
}

fn serve(mut stream: UnixStream, log: &[u8], status: &[u8]) {
    let mut request = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).is_ok_and(|n| n == 1) {
        request.push(byte[0]);
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8_lossy(&request).into_owned();
        let (line, body) = match text.split(' ').nth(1).unwrap_or_default() {
            "/localapi/v0/tka/status" => ("200 OK", status),
            path if path.starts_with("/localapi/v0/tka/log?") => ("200 OK", log),
            _ => ("404 Not Found", b"404 page not found\n".as_slice()),
        };
        let head = format!("HTTP/1.1 {line}\r\nContent-Length: {}\r\n\r\n", body.len());
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).is_err() {
            return;
        }
        request.clear();
    }
}

fn hash(numbers: &Value) -> String {
    let bytes: Vec<u8> = serde_json::from_value(numbers.clone()).unwrap();
    data_encoding::BASE32_NOPAD.encode(&bytes)
}

/// What the original says of its own lock, and whether the report agrees.
fn agrees(report: &Value, status: &Value) {
    assert_eq!(report["head"], hash(&status["Head"]), "{report:#}");
    let theirs: Vec<(String, u64)> = status["TrustedKeys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| {
            let text = key["Key"].as_str().unwrap().replace("nlpub:", "tlpub:");
            (text, key["Votes"].as_u64().unwrap())
        })
        .collect();
    let ours: Vec<(String, u64)> = report["trusted_keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| (key["key"].as_str().unwrap().to_owned(), key["votes"].as_u64().unwrap()))
        .collect();
    assert_eq!(ours, theirs);
}

const NAMES: [&str; 4] = ["added", "revoked", "revoked-twice", "checkpointed"];

#[test]
fn recorded_exports_give_the_originals_head_and_keys() {
    let files = Files::new();
    for name in NAMES {
        let export = files.write(name, &recorded(&format!("{name}.export")));
        let status = serde_json::from_slice(&recorded(&format!("{name}.status"))).unwrap();
        let report = report(&export);
        assert_eq!(report["verdict"], "holds", "{name}: {report:#}");
        assert!(!found(&report).contains(&"export.respelled"), "{name}");
        agrees(&report, &status);
    }
}

#[test]
fn a_running_tailscaled_is_asked_for_its_log_and_its_nodes() {
    for name in NAMES {
        let files = Files::new();
        let status = recorded(&format!("{name}.status"));
        let socket = play(&files, recorded(&format!("{name}.log")), status.clone());
        let report = report(&socket);
        assert_eq!(report["source"]["kind"], "tailscaled");
        assert_eq!(report["verdict"], "holds", "{name}: {report:#}");
        agrees(&report, &serde_json::from_slice(&status).unwrap());
        assert!(!report["unchecked"].to_string().contains("\"nodes\""), "{name}");
        let locked_out = found(&report).iter().filter(|id| **id == "node.locked-out").count();
        let shown: Value = serde_json::from_slice(&status).unwrap();
        let filtered = shown["FilteredPeers"].as_array().map_or(0, Vec::len);
        let own = usize::from(shown["NodeKeySigned"] == false);
        assert_eq!(locked_out, filtered + own, "{name}");
    }
}

#[test]
fn a_tailscaled_that_shows_something_else_is_caught() {
    let run = |log: &dyn Fn(&mut Value), status: &dyn Fn(&mut Value)| {
        let files = Files::new();
        let mut bodies: [Value; 2] = ["log", "status"]
            .map(|what| serde_json::from_slice(&recorded(&format!("revoked.{what}"))).unwrap());
        log(&mut bodies[0]);
        status(&mut bodies[1]);
        let [log, status] = bodies.map(|body| serde_json::to_vec(&body).unwrap());
        report(&play(&files, log, status))
    };
    let same = |_: &mut Value| {};
    assert_eq!(run(&same, &same)["exit_code"], 0);
    let votes = run(&same, &|status| status["TrustedKeys"][0]["Votes"] = 2.into());
    assert!(votes["exit_code"] == 1 && found(&votes).contains(&"cache.differs"));
    let hash = run(&|log| log[0]["Hash"][0] = 0.into(), &same);
    assert!(hash["exit_code"] == 1 && found(&hash).contains(&"aum.hash"), "{hash:#}");
    let newest = run(&|log| drop(log.as_array_mut().unwrap().remove(0)), &same);
    assert!(newest["exit_code"] == 1 && found(&newest).contains(&"cache.differs"));
    // A node that is locked out is shown among those that are let in.
    let smuggled = run(&same, &|status| {
        let out = status["FilteredPeers"].as_array_mut().unwrap().remove(0);
        status["VisiblePeers"].as_array_mut().unwrap().push(out);
    });
    let expected = ["node.signature", "node.unsigned"];
    assert!(found(&smuggled).iter().any(|id| expected.contains(id)), "{smuggled:#}");
}

#[test]
fn a_tailscaled_without_a_lock_has_no_history() {
    let files = Files::new();
    let socket = play(&files, b"null".to_vec(), br#"{"Enabled": false}"#.to_vec());
    let report = report(&socket);
    assert_eq!(
        (&report["exit_code"], &report["source"]["kind"]),
        (&3.into(), &"tailscaled".into())
    );
    // A socket that nobody listens on.
    let socket = files.path().join("dead.sock");
    drop(UnixListener::bind(&socket).unwrap());
    assert_eq!(code(&verify([&socket])), 3);
}
