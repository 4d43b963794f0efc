//! A daemon that has learnt its answers by heart.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use super::Call;

/// A request that reached the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) body: Vec<u8>,
}

/// Serves recorded answers in their order, whatever is asked, and remembers what was asked.
pub(crate) struct Daemon {
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Daemon {
    pub(crate) fn start(socket: &Path, calls: &[Call]) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, calls) = (requests.clone(), calls.to_vec());
        // Ends with the process of the tests.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { break };
                let (seen, calls) = (seen.clone(), calls.clone());
                thread::spawn(move || serve(stream, &seen, &calls));
            }
        });
        Daemon { requests }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(stream: UnixStream, seen: &Mutex<Vec<Request>>, calls: &[Call]) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let request = read_request(&mut reader)?;
        let place = {
            let mut seen = seen.lock().unwrap();
            seen.push(request);
            seen.len() - 1
        };
        let (status, kind, body) = match calls.get(place) {
            Some(call) => (call.status.as_str(), call.content_type.as_deref(), call.answer()),
            // One more than the official command asked.
            None => (
                "404 Not Found",
                Some("text/plain; charset=utf-8"),
                b"404 page not found\n".to_vec(),
            ),
        };
        let mut head = format!("HTTP/1.1 {status}\r\nTailscale-Version: 1.96.5\r\n");
        if let Some(kind) = kind {
            head.push_str(&format!("Content-Type: {kind}\r\n"));
        }
        if !status.starts_with("204") {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        writer.write_all(head.as_bytes()).ok()?;
        writer.write_all(&body).ok()?;
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let first = line(reader)?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut length, mut chunked) = (0, false);
    loop {
        let header = line(reader)?;
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':')?;
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "transfer-encoding" => chunked = value.trim() == "chunked",
            _ => {}
        }
    }
    let mut body = Vec::new();
    if chunked {
        loop {
            let size = usize::from_str_radix(line(reader)?.trim(), 16).ok()?;
            reader.take(size as u64).read_to_end(&mut body).ok()?;
            line(reader)?;
            if size == 0 {
                break;
            }
        }
    } else {
        reader.take(length).read_to_end(&mut body).ok()?;
    }
    Some(Request { method, target, body })
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut text = String::new();
    if reader.read_line(&mut text).ok()? == 0 {
        return None;
    }
    Some(text.trim_end_matches(['\r', '\n']).to_owned())
}
