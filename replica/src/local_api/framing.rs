//! What a request's head may look like, before any HTTP library sees it.
//!
//! Two parsers that disagree on where a request ends are how requests are smuggled. Whatever could
//! be read in two ways is refused here: two lengths, a length beside chunks, folded lines, bare
//! line feeds, white space before a colon. A connection serves one request, so nothing after it
//! is ever taken for another.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// Bytes of a request line and its header fields together, at most.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Header fields, at most.
const MAX_FIELDS: usize = 64;

/// Why a request is not even looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadHead {
    /// The other side hung up before its head was complete.
    #[error("the connection was closed")]
    Closed,
    /// More bytes or fields than allowed.
    #[error("the request's header fields are too large")]
    TooLarge,
    /// It can be read in more than one way, or in none.
    #[error("malformed request: {0}")]
    Malformed(&'static str),
}

/// Reads up to the end of the head, after `bytes`, which is empty. Everything that is read is there,
/// which may include body bytes, or only a part of a head that is refused.
pub(super) async fn read_head(
    stream: &mut (impl AsyncRead + Unpin),
    bytes: &mut Vec<u8>,
) -> Result<(), BadHead> {
    bytes.reserve(1024);
    let mut searched = 0;
    loop {
        if let Some(at) = find(&bytes[searched..], b"\r\n\r\n") {
            return check(&bytes[..searched + at]);
        }
        searched = bytes.len().saturating_sub(3);
        if bytes.len() >= MAX_HEAD_BYTES {
            return Err(BadHead::TooLarge);
        }
        let room = MAX_HEAD_BYTES - bytes.len();
        match (&mut *stream).take(room as u64).read_buf(bytes).await {
            Ok(0) | Err(_) => return Err(BadHead::Closed),
            Ok(_) => {}
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Checks a head without its final empty line.
fn check(head: &[u8]) -> Result<(), BadHead> {
    let mut lines = Vec::new();
    let mut rest = head;
    loop {
        let end = find(rest, b"\r\n").unwrap_or(rest.len());
        if rest[..end].iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return Err(BadHead::Malformed("a bare line ending or a zero byte"));
        }
        lines.push(&rest[..end]);
        if end == rest.len() {
            break;
        }
        rest = &rest[end + 2..];
    }
    let (request_line, fields) = lines.split_first().ok_or(BadHead::Malformed("nothing"))?;
    if fields.len() > MAX_FIELDS {
        return Err(BadHead::TooLarge);
    }
    let old = match request_line.rsplit(|byte| *byte == b' ').next() {
        Some(b"HTTP/1.1") => false,
        Some(b"HTTP/1.0") => true,
        _ => return Err(BadHead::Malformed("not HTTP/1.1")),
    };
    check_fields(fields, old)
}

fn check_fields(fields: &[&[u8]], old: bool) -> Result<(), BadHead> {
    let (mut lengths, mut codings, mut hosts) = (0, 0, 0);
    for field in fields {
        if matches!(field.first(), Some(b' ' | b'\t')) {
            return Err(BadHead::Malformed("a folded header field"));
        }
        let colon = field.iter().position(|byte| *byte == b':');
        let (name, value) =
            field.split_at(colon.ok_or(BadHead::Malformed("a header field without a colon"))?);
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return Err(BadHead::Malformed("a header field's name"));
        }
        let value = value[1..].trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            lengths += 1;
            if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
                return Err(BadHead::Malformed("Content-Length is not a number"));
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            codings += 1;
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(BadHead::Malformed("a Transfer-Encoding other than chunked"));
            }
        } else if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
        }
    }
    if lengths > 1 || codings > 1 || lengths + codings > 1 {
        return Err(BadHead::Malformed("more than one statement of the body's length"));
    }
    if codings == 1 && old {
        return Err(BadHead::Malformed("Transfer-Encoding in HTTP/1.0"));
    }
    if hosts > 1 || (hosts == 0 && !old) {
        return Err(BadHead::Malformed("not exactly one Host"));
    }
    Ok(())
}

/// RFC 9110 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A stream whose first bytes were read already.
pub(super) struct Replayed<S> {
    head: Vec<u8>,
    given: usize,
    stream: S,
}

impl<S> Replayed<S> {
    pub(super) fn new(head: Vec<u8>, stream: S) -> Self {
        Replayed { head, given: 0, stream }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Replayed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.given < self.head.len() {
            let end = self.head.len().min(self.given + out.remaining());
            out.put_slice(&self.head[self.given..end]);
            self.given = end;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, out)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Replayed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(head: &str) -> Result<(), BadHead> {
        check(head.as_bytes())
    }

    #[test]
    fn what_tailscales_clients_send_passes() {
        for head in [
            "GET /localapi/v0/tka/status HTTP/1.1\r\nHost: local-tailscaled.sock\r\nTailscale-Cap: 133",
            "POST / HTTP/1.1\r\nHost:\r\nTransfer-Encoding: chunked",
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length:  12 ",
            "GET / HTTP/1.0",
        ] {
            assert_eq!(verdict(head), Ok(()), "{head}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for field in [
            "Content-Length: 1\r\nContent-Length: 1",
            "Content-Length: 1\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\ncontent-length: 1",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: xchunked",
            "Content-Length: +1",
            "Content-Length: 1, 1",
            "Content-Length: 0x10",
            "Content-Length:",
            "Content-Length: 99999999999999999999",
            "A: b\r\n folded: c",
            "A : b",
            ": b",
            "A",
            "A: b\nContent-Length: 3",
            "A: b\rc",
            "A: \0",
            "Host: y",
        ] {
            let head = format!("POST / HTTP/1.1\r\nHost: x\r\n{field}");
            assert!(matches!(verdict(&head), Err(BadHead::Malformed(_))), "{field}");
        }
        for head in [
            "GET / HTTP/1.1",
            "GET /",
            "GET / HTTP/2.0\r\nHost: x",
            "",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked",
        ] {
            assert!(verdict(head).is_err(), "{head}");
        }
    }

    #[tokio::test]
    async fn heads_are_bounded_and_found_in_pieces() {
        let request = b"GET / HTTP/1.0\r\nA: b\r\n\r\nbody";
        let (mut near, mut far) = tokio::io::duplex(3);
        let writer = tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            far.write_all(request).await
        });
        let mut head = Vec::new();
        read_head(&mut near, &mut head).await.unwrap();
        near.read_to_end(&mut head).await.unwrap();
        writer.await.unwrap().unwrap();
        assert_eq!(head, request);

        let endless = vec![b'a'; 2 * MAX_HEAD_BYTES];
        let many = format!("GET / HTTP/1.0\r\n{}\r\n", "A: b\r\n".repeat(MAX_FIELDS + 1));
        for (mut bytes, why) in [
            (endless.as_slice(), BadHead::TooLarge),
            (many.as_bytes(), BadHead::TooLarge),
            (b"GET / HT", BadHead::Closed),
        ] {
            assert_eq!(read_head(&mut bytes, &mut Vec::new()).await, Err(why));
        }
    }
}
