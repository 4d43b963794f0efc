//! One HTTP exchange on one connection, whatever the stream.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::bodies::{ErrorBody, to_json};
use super::framing::{BadHead, Replayed, read_head};

/// How long a head may take to arrive.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);
/// How long the whole exchange may take: a reader that does not read gives its place back.
const EXCHANGE_TIME: Duration = Duration::from_secs(300);

/// The body of an answer.
pub(crate) type Body = BoxBody<Bytes, Infallible>;

/// Serves one request and closes the connection.
pub(crate) async fn serve_one<S, F, A>(mut stream: S, answer: F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Response<Body>>,
{
    let mut head = Vec::new();
    match timeout(HEAD_TIME, read_head(&mut stream, &mut head)).await {
        Ok(Ok(())) => {}
        Ok(Err(BadHead::Closed)) => return,
        Ok(Err(error)) => return refuse(stream, &head, &error).await,
        Err(_) => return refuse_late(stream, &head).await,
    }
    let service = service_fn(|request| {
        let answer = answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .half_close(true)
        .serve_connection(TokioIo::new(Replayed::new(head, stream)), service);
    match timeout(EXCHANGE_TIME, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an exchange broke off"),
        Err(_) => tracing::debug!("an exchange took too long"),
    }
}

async fn refuse(stream: impl AsyncWrite + Unpin, head: &[u8], error: &BadHead) {
    let status = match error {
        BadHead::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        _ => StatusCode::BAD_REQUEST,
    };
    write_refusal(stream, head, status, &error.to_string()).await;
}

async fn refuse_late(stream: impl AsyncWrite + Unpin, head: &[u8]) {
    let text = "the request took too long to arrive";
    write_refusal(stream, head, StatusCode::REQUEST_TIMEOUT, text).await;
}

/// Answers without the HTTP library, which has seen nothing of the request. `head` is what was read
/// of it: whoever asks for a head alone gets no content (RFC 9110 9.3.2).
pub(crate) async fn write_refusal(
    mut stream: impl AsyncWrite + Unpin,
    head: &[u8],
    status: StatusCode,
    text: &str,
) {
    let without_content = head.starts_with(b"HEAD ");
    let body = to_json(&ErrorBody { error: text.to_owned() });
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    // Whoever does not take the answer in time does without.
    let answer = async {
        stream.write_all(head.as_bytes()).await?;
        if !without_content {
            stream.write_all(&body).await?;
        }
        stream.shutdown().await
    };
    let _ = timeout(HEAD_TIME, answer).await;
}

/// A body that is made while it is sent, piece by piece. The sender is held back by a reader that
/// does not keep up, and finds the channel closed when the reader has gone.
struct Pieces(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// An answer in pieces.
pub(super) fn in_pieces(
    content_type: &'static str,
    pieces: mpsc::Receiver<Bytes>,
) -> Response<Body> {
    let mut response = Response::new(Pieces(pieces).boxed());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadBody {
    TooLarge,
    Slow,
    Broken,
}

/// Reads a body of at most `max` bytes; a larger announced length is refused before a byte is read.
pub(super) async fn read_body(
    headers: &HeaderMap,
    body: Incoming,
    max: usize,
) -> Result<Bytes, BadBody> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let announced = announced.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    if announced > max as u64 {
        return Err(BadBody::TooLarge);
    }
    match timeout(BODY_TIME, Limited::new(body, max).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BadBody::TooLarge),
        Ok(Err(_)) => Err(BadBody::Broken),
        Err(_) => Err(BadBody::Slow),
    }
}

/// A complete answer.
pub(crate) fn whole(
    status: StatusCode,
    content_type: &'static str,
    body: Vec<u8>,
) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(body)).boxed());
    *response.status_mut() = status;
    if status != StatusCode::NO_CONTENT {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    response
}

/// Serves one exchange that is answered with the request's own body, of at most `max` bytes: what a
/// test or a fuzz target sees of framing, limits and times from outside.
#[cfg(any(test, feature = "testing"))]
pub async fn echo<S>(stream: S, max: usize)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let refused = |status| whole(status, "text/plain", Vec::new());
    serve_one(stream, |request: Request<Incoming>| async move {
        let (parts, body) = request.into_parts();
        match read_body(&parts.headers, body, max).await {
            Ok(body) => whole(StatusCode::OK, "application/octet-stream", body.to_vec()),
            Err(BadBody::TooLarge) => refused(StatusCode::PAYLOAD_TOO_LARGE),
            Err(BadBody::Slow) => refused(StatusCode::REQUEST_TIMEOUT),
            Err(BadBody::Broken) => refused(StatusCode::BAD_REQUEST),
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, DuplexStream};

    use super::*;

    /// Sends bytes and then nothing more, keeping the connection open. Time passes by itself
    /// while everybody waits.
    async fn after(bytes: &[u8]) -> String {
        let (mut near, far): (DuplexStream, DuplexStream) = tokio::io::duplex(1 << 16);
        near.write_all(bytes).await.unwrap();
        let serve = echo(far, 1000);
        let mut answer = String::new();
        let (_, read) = tokio::join!(serve, near.read_to_string(&mut answer));
        read.unwrap();
        answer
    }

    /// Found by the fuzz target `http`.
    #[tokio::test(start_paused = true)]
    async fn whoever_asks_for_a_head_gets_no_content() {
        for (rest, status) in [
            ("/ HTTP/1.1\r\n\nHost: x\r\n\r\n", "400"),
            ("/ HTTP/1.1\r\nHost: x\r\n", "408"),
            ("/ HTTP/1.1\r\nHost: x\r\n\r\n", "200"),
        ] {
            let answer = after(format!("HEAD {rest}").as_bytes()).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            assert_eq!(answer.find("\r\n\r\n"), Some(answer.len() - 4), "{answer}");
            let answer = after(format!("GET {rest}").as_bytes()).await;
            assert!(status == "200" || answer.ends_with('}'), "{answer}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn slow_heads_and_bodies_are_given_up() {
        let answer = after(b"GET / HTTP/1.1\r\nHost: x\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        let answer = after(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc").await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        let answer = after(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}
