//! One HTTP exchange: whatever is sent, there is at most one answer, of bounded size, and a body
//! that is taken is the one that the head announced, read in the only way there is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use replica::local_api::echo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Bytes of a body, at most.
const MAX: usize = 1000;

fuzz_target!(|bytes: &[u8]| {
    // Time passes as soon as nobody has anything to do.
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().expect("a runtime");
    let answer = runtime.block_on(async {
        let (near, far) = tokio::io::duplex(256);
        let (mut read, mut write) = tokio::io::split(near);
        let send = async {
            // The server may have gone.
            if write.write_all(bytes).await.is_ok() {
                let _ = write.shutdown().await;
            }
        };
        let mut answer = Vec::new();
        let receive = async { drop(read.read_to_end(&mut answer).await) };
        tokio::join!(echo(far, MAX), send, receive);
        answer
    });
    if answer.is_empty() {
        return;
    }
    // Who expects to be asked for the body is asked first.
    let answer = answer.strip_prefix(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(&answer);
    if answer.is_empty() {
        return;
    }
    let (head, body) = split(answer).expect("a whole head");
    let head = std::str::from_utf8(head).expect("text");
    let mut lines = head.split("\r\n");
    let line = lines.next().expect("a status line");
    let status = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "));
    let status: u16 = status.expect(line)[..3].parse().expect(line);
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
    });
    let without_body =
        bytes.starts_with(b"HEAD ") || (bytes.starts_with(b"CONNECT ") && status == 200);
    if without_body {
        assert!(body.is_empty(), "{head}");
    } else {
        assert_eq!(length, Some(body.len()), "{head}");
    }
    assert!(body.len() <= MAX);
    match status {
        200 if !without_body => assert_eq!(announced(bytes).as_deref(), Some(body)),
        200 | 400 | 405 | 408 | 413 | 414 | 417 | 431 | 501 | 505 => {}
        other => panic!("{other}: {head}"),
    }
});

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((&bytes[..end], &bytes[end + 4..]))
}

/// The body of a request, by the one statement of its length.
fn announced(request: &[u8]) -> Option<Vec<u8>> {
    let (head, rest) = split(request)?;
    let mut lengths = Vec::new();
    let mut chunked = false;
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let value = String::from_utf8_lossy(&line[colon + 1..]).trim().to_owned();
        match line[..colon].to_ascii_lowercase().as_slice() {
            b"content-length" => lengths.push(value.parse::<usize>().ok()?),
            b"transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
            _ => {}
        }
    }
    match (lengths.as_slice(), chunked) {
        ([], false) => Some(Vec::new()),
        ([length], false) => rest.get(..*length).map(<[u8]>::to_vec),
        ([], true) => unchunked(rest),
        _ => None,
    }
}

fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        let digits = line.split(';').next()?.trim();
        let size = usize::from_str_radix(digits, 16).ok()?;
        rest = &rest[end + 1..];
        if size == 0 {
            return Some(body);
        }
        body.extend(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}
