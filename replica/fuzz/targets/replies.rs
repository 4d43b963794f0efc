//! What a daemon, ours or a tailscaled or somebody else, answers the client: it ends with a value
//! or an error, and what was understood is written so that it is understood the same.
//!
//! Input: which question, whether the answer is framed for it, then the answer.
#![no_main]

use std::cell::RefCell;
use std::fmt::Debug;

use ledger_fuzz::Choices;
use libfuzzer_sys::fuzz_target;
use replica::local_api::bodies::*;
use replica::local_api::client::{Asked, Client, ClientError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::runtime::Runtime;

struct Place {
    runtime: Runtime,
    listener: UnixListener,
    client: Client,
    _directory: tempfile::TempDir,
}

thread_local! {
    static PLACE: RefCell<Place> = RefCell::new(place());
}

fn place() -> Place {
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let socket = directory.path().join("s");
    let listener = runtime.block_on(async { UnixListener::bind(&socket) }).expect("a socket");
    Place { runtime, listener, client: Client::new(socket), _directory: directory }
}

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices::new(input);
    let which = choices.byte();
    let framed = choices.byte();
    let body = choices.rest();
    understood(which, body);
    let answer = if framed & 1 == 1 {
        let status = [200, 200, 200, 204, 400, 403, 404, 412, 500][usize::from(framed >> 1) % 9];
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    } else {
        body.to_vec()
    };
    PLACE.with_borrow(|place| {
        // A tailscaled is remembered as one.
        let client = Client::new(place.client.socket());
        let (asked, ()) = place.runtime.block_on(async {
            tokio::join!(asked(which, &client), answered(&place.listener, &answer, which))
        });
        if let Err(error) = asked {
            let text = error.to_string();
            assert!(!text.is_empty() && text.len() < 1000 + 4 * answer.len(), "{text}");
            let _ = (error.outcome_unknown(), error.overtaken());
        }
    });
});

/// Answers one request, whatever it is.
async fn answered(listener: &UnixListener, answer: &[u8], which: u8) {
    let (mut stream, _) = listener.accept().await.expect("a client");
    let mut request = vec![0; 4096];
    let length = stream.read(&mut request).await.unwrap_or(0);
    let request = String::from_utf8_lossy(&request[..length]);
    assert!(request.starts_with("GET /localapi/v0/") || request.starts_with("POST /localapi/v0/"));
    assert!(request.contains("host: local-tailscaled.sock"), "{which}: {request}");
    let _ = stream.write_all(answer).await;
    let _ = stream.shutdown().await;
}

async fn asked(which: u8, client: &Client) -> Result<(), ClientError> {
    let asked = Asked::by("fuzzed");
    match which % 24 {
        0 => client.lock_status().await.map(drop),
        1 => client.log(50).await.map(drop),
        2 => client.machine_status(true).await.map(drop),
        3 => client.affected_signatures(&[7; 32]).await.map(drop),
        4 => client.verify_deeplink("tailscale://x").await.map(drop),
        5 => client.nodes().await.map(drop),
        6 => client.node("laptop").await.map(drop),
        7 => client.epochs().await.map(drop),
        8 => client.records(0, 100).await.map(drop),
        9 => client.revocations().await.map(drop),
        10 => client.adoption().await.map(drop),
        11 => client.acknowledgements().await.map(drop),
        12 => client.identity().await.map(drop),
        13 => client.request("fuzzed").await.map(drop),
        14 => client.auth_keys().await.map(drop),
        15 => client.disable(b"secret", &asked).await.map(drop),
        16 => client.modify(&ModifyRequest::default(), &asked).await.map(drop),
        17 => client.init(&InitRequest::default(), &asked).await.map(drop),
        18 => client.epoch_log(1, 50).await.map(drop),
        19 => client.revocation(&WhichRevocation::name("ABCDEFGH")).await.map(drop),
        20 => client.unsigned(&UnsignedRequest::default(), &asked).await.map(drop),
        21 => client.local_enable().await,
        22 => client.lock_status_and_warning().await.map(drop),
        _ => client.adoption_unknown(&AdoptionUnknownRequest::default()).await.map(drop),
    }
}

fn understood(which: u8, body: &[u8]) {
    match which % 24 {
        0 => same::<LockStatus>(body),
        1 => same::<Option<Vec<LogEntry>>>(body),
        2 => same::<MachineStatus>(body),
        3 => same::<Option<Vec<Base64>>>(body),
        4 => same::<DeeplinkAnswer>(body),
        5 => same::<Option<Vec<NodeBody>>>(body),
        6 => same::<NodeBody>(body),
        7 => same::<Option<Vec<EpochBody>>>(body),
        8 => same::<Option<Vec<RecordLine>>>(body),
        9 => same::<Option<Vec<RevocationBody>>>(body),
        10 => same::<Option<AdoptionBody>>(body),
        11 => same::<Option<Vec<AcknowledgementBody>>>(body),
        12 => same::<Identity>(body),
        13 => same::<RequestBody>(body),
        14 => same::<Option<Vec<AuthKeyBody>>>(body),
        15 => same::<ErrorBody>(body),
        16 => same::<AdoptionNodeAnswer>(body),
        17 => same::<Signature>(body),
        18 => same::<LogEntry>(body),
        19 => same::<RevocationBody>(body),
        20 => same::<SigningRequest>(body),
        21 => same::<TrustedKey>(body),
        22 => same::<Peer>(body),
        _ => same::<Option<Vec<String>>>(body),
    }
}

fn same<T: Serialize + DeserializeOwned + PartialEq + Debug>(body: &[u8]) {
    let Ok(value) = serde_json::from_slice::<T>(body) else { return };
    let written = to_json(&value);
    assert_eq!(serde_json::from_slice::<T>(&written).expect("our own JSON"), value);
}
