//! Three members of etcd on loopback, each a process with its default settings, and a client that
//! puts over gRPC: one HTTP/2 connection for each client, as its own client has.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes_of::put_request;
use h2::client::SendRequest;
use tokio::net::TcpStream;

/// After this a group that does not answer never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// The three processes. Killed when dropped.
pub(crate) struct Etcd {
    children: Vec<Child>,
    ports: Vec<u16>,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Ports that nobody has at the moment.
fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

impl Etcd {
    /// A new group below this directory. `None` where etcd is not installed.
    pub(crate) fn start(dir: &Path) -> Option<Etcd> {
        let ports = free_ports(6);
        let (clients, peers) = ports.split_at(3);
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let cluster: Vec<_> =
            (0..3).map(|member| format!("m{member}={}", url(peers[member]))).collect();
        let mut etcd = Etcd { children: Vec::new(), ports: clients.to_vec() };
        for member in 0..3 {
            let log = File::create(dir.join(format!("etcd{member}.log"))).unwrap();
            let child = Command::new("etcd")
                .args(["--name", &format!("m{member}"), "--data-dir"])
                .arg(dir.join(format!("etcd{member}")))
                .args(["--listen-client-urls", &url(clients[member])])
                .args(["--advertise-client-urls", &url(clients[member])])
                .args(["--listen-peer-urls", &url(peers[member])])
                .args(["--initial-advertise-peer-urls", &url(peers[member])])
                .args(["--initial-cluster", &cluster.join(","), "--log-level", "error"])
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .spawn();
            match child {
                Ok(child) => etcd.children.push(child),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
                Err(error) => panic!("etcd: {error}"),
            }
        }
        Some(etcd)
    }

    /// A connection to the member that leads, or to any while none says so.
    pub(crate) async fn leader(&self) -> u16 {
        let since = Instant::now();
        loop {
            for port in &self.ports {
                let Ok(mut client) = EtcdClient::to(*port).await else { continue };
                if client.is_leader().await == Some(true) {
                    return *port;
                }
            }
            assert!(since.elapsed() < PATIENCE, "etcd elects nobody");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// One client.
pub(crate) struct EtcdClient {
    port: u16,
    sender: SendRequest<bytes::Bytes>,
}

impl EtcdClient {
    pub(crate) async fn to(port: u16) -> Result<Self, Box<dyn std::error::Error>> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = h2::client::handshake(stream).await?;
        tokio::spawn(async move {
            // It ends when the process does, or this client.
            let _ = connection.await;
        });
        Ok(EtcdClient { port, sender })
    }

    /// Puts a value.
    pub(crate) async fn put(&mut self, key: &[u8], value: &[u8]) {
        self.call("KV/Put", put_request(key, value)).await.unwrap();
    }

    /// Whether the member at the other end leads: its ID is the leader's.
    async fn is_leader(&mut self) -> Option<bool> {
        let status = self.call("Maintenance/Status", Vec::new()).await.ok()?;
        let (header, leader) = (bytes_of::field(&status, 1)?, bytes_of::number(&status, 4)?);
        Some(bytes_of::number(header, 2)? == leader)
    }

    /// One unary call; the message that answers.
    async fn call(
        &mut self,
        method: &str,
        message: Vec<u8>,
    ) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        let uri = format!("http://127.0.0.1:{}/etcdserverpb.{method}", self.port);
        let request = http::Request::post(uri)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        std::future::poll_fn(|context| self.sender.poll_ready(context)).await?;
        let (answer, mut body) = self.sender.send_request(request, false)?;
        let length = u32::try_from(message.len())?.to_be_bytes();
        body.send_data([&[0], &length[..], &message].concat().into(), true)?;
        let mut body = answer.await?.into_body();
        let mut bytes = Vec::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            body.flow_control().release_capacity(chunk.len())?;
            bytes.extend_from_slice(&chunk);
        }
        let trailers = body.trailers().await?;
        let status = trailers.as_ref().and_then(|trailers| trailers.get("grpc-status"));
        match status.map(|status| status.as_bytes()) {
            Some(b"0") => Ok(bytes.split_off(5.min(bytes.len()))),
            _ => Err(format!("{method}: {trailers:?}").into()),
        }
    }
}

/// As much of protocol buffers as this needs.
mod bytes_of {
    fn varint(mut number: u64, out: &mut Vec<u8>) {
        while number >= 0x80 {
            out.push(number as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
    }

    /// `PutRequest`: the key is field 1, the value field 2.
    pub(super) fn put_request(key: &[u8], value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for (tag, bytes) in [(0x0a, key), (0x12, value)] {
            out.push(tag);
            varint(bytes.len() as u64, &mut out);
            out.extend_from_slice(bytes);
        }
        out
    }

    enum Value<'a> {
        Number(u64),
        Bytes(&'a [u8]),
    }

    fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = bytes.split_first()?;
            *bytes = rest;
            number |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn find(mut bytes: &[u8], wanted: u64) -> Option<Value<'_>> {
        while !bytes.is_empty() {
            let tag = read_varint(&mut bytes)?;
            let value = match tag & 7 {
                0 => Value::Number(read_varint(&mut bytes)?),
                2 => {
                    let length = usize::try_from(read_varint(&mut bytes)?).ok()?;
                    let (value, rest) = bytes.split_at_checked(length)?;
                    bytes = rest;
                    Value::Bytes(value)
                }
                _ => return None,
            };
            if tag >> 3 == wanted {
                return Some(value);
            }
        }
        None
    }

    pub(super) fn number(bytes: &[u8], field: u64) -> Option<u64> {
        match find(bytes, field)? {
            Value::Number(number) => Some(number),
            Value::Bytes(_) => None,
        }
    }

    pub(super) fn field(bytes: &[u8], field: u64) -> Option<&[u8]> {
        match find(bytes, field)? {
            Value::Bytes(bytes) => Some(bytes),
            Value::Number(_) => None,
        }
    }
}
