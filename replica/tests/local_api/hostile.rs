//! HTTP that no honest client sends.

use std::os::unix::fs::PermissionsExt;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::Daemon;

/// Sends bytes as they are and returns all that comes back.
pub(super) async fn send(daemon: &Daemon, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(&daemon.ready.socket).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // Whoever closes on unread bytes resets the connection after its answer.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

fn get(fields: &str) -> Vec<u8> {
    format!("GET /localapi/v0/tka/status HTTP/1.1\r\n{fields}\r\n\r\n").into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_clients_of_the_local_api_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    const HOST: &str = "Host: local-tailscaled.sock";
    for (fields, status) in [
        (HOST.to_owned(), 200),
        ("Host:".to_owned(), 200),
        ("Host: localhost".to_owned(), 403),
        ("Host: LOCAL-TAILSCALED.SOCK".to_owned(), 403),
        ("Host: local-tailscaled.sock:80".to_owned(), 403),
        (format!("{HOST}\r\nOrigin: http://evil.example"), 403),
        (format!("{HOST}\r\nReferer: http://evil.example"), 403),
        (format!("{HOST}\r\nSec-Fetch-Site: cross-site"), 200),
        ("X: y".to_owned(), 400),
        (format!("{HOST}\r\n{HOST}"), 400),
        (format!("{HOST}\r\nContent-Length: 0\r\nContent-Length: 0"), 400),
        (format!("{HOST}\r\nContent-Length: 0\r\nTransfer-Encoding: chunked"), 400),
        (format!("{HOST}\r\nTransfer-Encoding: identity"), 400),
        (format!("{HOST}\r\nA: b\r\n c: d"), 400),
        (format!("{HOST}\r\nA : b"), 400),
        (format!("{HOST}\r\n{}", "A: b\r\n".repeat(100) + "A: b"), 431),
        (format!("{HOST}\r\nA: {}", "b".repeat(20_000)), 431),
    ] {
        let answer = send(&daemon, &get(&fields)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{fields:.80}: {answer:.200}");
        if status != 200 {
            assert!(answer.contains("\"Error\": \""), "{answer}");
        }
    }
    let absolute = b"GET http://evil.example/localapi/v0/tka/status HTTP/1.1\r\nHost:\r\n\r\n";
    assert!(send(&daemon, absolute).await.starts_with("HTTP/1.1 403"));
    let old = b"GET /localapi/v0/tka/status HTTP/1.0\r\n\r\n";
    assert!(send(&daemon, old).await.starts_with("HTTP/1.0 200"));
    for garbage in [&b"\r\n\r\n"[..], b"\0\0\0\0\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\r\n\r\n"]
    {
        assert!(send(&daemon, garbage).await.starts_with("HTTP/1.1 400"));
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_paths_and_bodies() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    let cases: [(&str, &str, usize, &str, u16); 11] = [
        ("POST", "tka/status", 0, "", 405),
        ("HEAD", "tka/status", 0, "", 405),
        ("GET", "tka/init", 0, "", 405),
        ("GET", "tka/status/", 0, "", 404),
        ("GET", "tka/nope", 0, "", 404),
        ("GET", "lockstep/nope", 0, "", 404),
        ("GET", "tka/log?limit=abc", 0, "", 400),
        ("POST", "tka/init", 1, "{", 400),
        ("POST", "tka/sign", 22, "{\"NodeKey\":\"nodekey:1\"}", 400),
        // The length alone is enough: no byte of the body is waited for.
        ("POST", "tka/sign", 1 << 30, "", 413),
        ("POST", "tka/affected-sigs", 2049, "", 413),
    ];
    for (method, path, length, body, status) in cases {
        let request = format!(
            "{method} /localapi/v0/{path} HTTP/1.1\r\nHost:\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let answer = send(&daemon, request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{method} {path}: {answer}");
    }
    // Chunks count as they come.
    let chunk = format!("{:x}\r\n{}\r\n", 1500, "a".repeat(1500));
    let request = format!(
        "POST /localapi/v0/tka/affected-sigs HTTP/1.1\r\nHost:\r\nTransfer-Encoding: chunked\r\n\r\n\
         {chunk}{chunk}0\r\n\r\n"
    );
    assert!(send(&daemon, request.as_bytes()).await.starts_with("HTTP/1.1 413"));
    // A second request on the connection is never taken for one.
    let twice = [get("Host:"), get("Host:")].concat();
    assert_eq!(send(&daemon, &twice).await.matches("HTTP/1.1 ").count(), 1);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_the_owners_and_only_a_dead_one_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s.sock");
    // A dead one, as a kill leaves it.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let daemon = Daemon::start(dir.path()).await;
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let error = replica::local_api::bind(&socket, None, None).unwrap_err();
    assert!(error.to_string().contains("another daemon serves"), "{error}");
    daemon.stop().await;
    std::fs::write(&socket, "").unwrap();
    let error = replica::local_api::bind(&socket, None, None).unwrap_err();
    assert!(error.to_string().contains("not a socket"), "{error}");
}
