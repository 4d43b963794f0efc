//! A socket between a command and its daemon, which sees each request and decides its fate.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

/// A request on its way.
pub struct Exchange {
    /// Its head, such as `POST /localapi/v0/tka/init HTTP/1.1`, and its body.
    pub request: Vec<u8>,
    client: UnixStream,
    daemon: PathBuf,
}

/// Listens at a socket of its own, as long as the test runs.
pub struct Proxy;

impl Proxy {
    /// Hands every request at `socket` to `decide`, one after the other. A request that is
    /// dropped there is one whose connection broke.
    pub fn start(socket: &Path, daemon: &Path, mut decide: impl FnMut(Exchange) + Send + 'static) {
        let listener = UnixListener::bind(socket).unwrap();
        let daemon = daemon.to_owned();
        thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                let request = read_request(&mut client);
                decide(Exchange { request, client, daemon: daemon.clone() });
            }
        });
    }
}

impl Exchange {
    /// Whether it is a POST to this endpoint, such as `tka/init`.
    pub fn posts(&self, endpoint: &str) -> bool {
        self.request.starts_with(format!("POST /localapi/v0/{endpoint} ").as_bytes())
    }

    /// Has the daemon answer, and returns the answer. The client does not get it.
    pub fn answer(&self) -> Vec<u8> {
        let mut daemon = UnixStream::connect(&self.daemon).unwrap();
        daemon.write_all(&self.request).unwrap();
        let mut answer = Vec::new();
        daemon.read_to_end(&mut answer).unwrap();
        answer
    }

    /// Passes request and answer on.
    pub fn pass(mut self) {
        let answer = self.answer();
        self.client.write_all(&answer).unwrap();
    }
}

/// One request with its whole body.
fn read_request(stream: &mut UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        if let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if bytes.len() >= head + 4 + length {
                return bytes;
            }
        }
        match stream.read(&mut piece).unwrap() {
            0 => return bytes,
            n => bytes.extend_from_slice(&piece[..n]),
        }
    }
}
