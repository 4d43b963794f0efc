//! A tailscaled, as far as a follower asks one: what it shows can be changed while it runs.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use ledger::lock::{Key, Sealed, State};
use serde_json::{Value, json};

/// What it answers.
#[derive(Clone)]
struct Shown {
    log: Value,
    status: Value,
}

/// A socket that answers as a tailscaled, for as long as the test runs.
pub struct Tailscaled {
    pub socket: PathBuf,
    shown: Arc<Mutex<Shown>>,
}

/// A body that a real one (v1.96.5) answered.
pub fn recorded(name: &str) -> Vec<u8> {
    unpacked(&format!("../audit/tests/data/recorded/{name}.json.gz"))
}

/// A file of the vectors.
pub fn vector(name: &str) -> Vec<u8> {
    unpacked(&format!("../ledger/tests/data/vectors/{name}.gz"))
}

fn unpacked(path: &str) -> Vec<u8> {
    let packed = fs::File::open(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    bytes
}

impl Tailscaled {
    /// Listens at `socket`; the lock is off.
    pub fn start(socket: PathBuf) -> Self {
        let off = Shown { log: Value::Null, status: json!({ "Enabled": false }) };
        let shown = Arc::new(Mutex::new(off));
        let listener = UnixListener::bind(&socket).unwrap();
        let now = shown.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, now) = (stream.unwrap(), now.clone());
                thread::spawn(move || serve(stream, &now));
            }
        });
        Tailscaled { socket, shown }
    }

    /// Shows what was recorded under this name from now on.
    pub fn show(&self, name: &str) {
        let [log, status] = ["log", "status"]
            .map(|what| serde_json::from_slice(&recorded(&format!("{name}.{what}"))).unwrap());
        *self.shown.lock().unwrap() = Shown { log, status };
    }

    /// Shows these AUMs, newest first, and no nodes.
    pub fn show_aums(&self, aums: &[&Sealed]) {
        let entry = |aum: &&Sealed| {
            let raw = data_encoding::BASE64.encode(aum.bytes());
            json!({ "Hash": aum.hash().0, "Change": aum.kind.to_string(), "Raw": raw })
        };
        let log = aums.iter().map(entry).collect();
        let mut state = State::at_checkpoint(aums[aums.len() - 1]).unwrap_or_default();
        // What cannot be applied is shown all the same.
        aums.iter().rev().skip(1).for_each(|aum| drop(state.apply(aum)));
        let key = |key: &Key| json!({ "Kind": "25519", "Key": key.lock_key().unwrap().to_nlpub(), "Votes": key.votes });
        let keys: Vec<Value> = state.keys().iter().map(key).collect();
        let status = json!({ "Enabled": true, "Head": aums[0].hash().0, "TrustedKeys": keys });
        *self.shown.lock().unwrap() = Shown { log, status };
    }

    /// Changes what it shows.
    pub fn tamper(&self, change: impl FnOnce(&mut Value, &mut Value)) {
        let mut shown = self.shown.lock().unwrap();
        let Shown { log, status } = &mut *shown;
        change(log, status);
    }

    /// Nobody reaches it until it is back.
    pub fn away(&self) {
        fs::rename(&self.socket, self.socket.with_extension("away")).unwrap();
    }

    pub fn back(&self) {
        fs::rename(self.socket.with_extension("away"), &self.socket).unwrap();
    }
}

fn serve(mut stream: UnixStream, shown: &Mutex<Shown>) {
    let mut request = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).is_ok_and(|n| n == 1) {
        request.push(byte[0]);
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        let Shown { log, status } = shown.lock().unwrap().clone();
        let text = String::from_utf8_lossy(&request).into_owned();
        let path = text.split(' ').nth(1).unwrap_or_default();
        let (line, body) = if path == "/localapi/v0/tka/status" {
            ("200 OK", status.to_string())
        } else if let Some(limit) = path.strip_prefix("/localapi/v0/tka/log?limit=") {
            let entries = log.as_array().map(Vec::as_slice).unwrap_or_default();
            let limit = limit.parse::<usize>().unwrap().min(entries.len());
            ("200 OK", Value::from(&entries[..limit]).to_string())
        } else if path.starts_with("/localapi/v0/status") {
            let own = json!({
                "PublicKey": status["NodeKey"].as_str().unwrap_or_default(),
                "HostName": "Watcher",
                "DNSName": "",
            });
            let own = if status["NodeKey"].is_string() { own } else { Value::Null };
            ("200 OK", json!({ "BackendState": "Running", "Self": own }).to_string())
        } else {
            ("404 Not Found", "404 page not found\n".to_owned())
        };
        let head = format!(
            "HTTP/1.1 {line}\r\nTailscale-Version: 1.96.5\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let sent = stream.write_all(head.as_bytes());
        if sent.and_then(|()| stream.write_all(body.as_bytes())).is_err() {
            return;
        }
        request.clear();
    }
}
