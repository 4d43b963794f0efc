//! A client node of ours that asks a hostile server: genuine answers, changed ones and bytes of any
//! kind. What it does not believe leaves no trace, and a visit ends.
//!
//! Input: the life that the server shows, then for each call what becomes of the answer.
#![no_main]

use ledger::Failure;
use ledger::lock::client::Client;
use ledger::lock::signatures::OneCore;
use ledger::rows::{Draft, Memory};
use ledger::testing::{SECRET, node_key};
use ledger_fuzz::{Choices, History, histories};
use libfuzzer_sys::fuzz_target;
use replica::go_json::Base64;
use replica::node_rpc::bodies::{BootstrapAnswer, MapAnswer};
use replica::node_rpc::{self, NotAnswered, NotVisited, Visit};
use replica::operations::Ground;
use serde::Serialize;
use serde_json::Value;

fuzz_target!(init: { histories(); }, |input: &[u8]| {
    let mut choices = Choices::new(input);
    let mut rows = Memory::new();
    let mut client = Client::open(&rows).expect("no rows");
    // The KDF is slow.
    let mut derivations = 0;
    for _ in 0..3 {
        if choices.is_over() {
            break;
        }
        let mut history = choices.one(histories());
        let mut visit = Visit::begin(node_key(11));
        let mut calls = 0;
        while let Some(call) = visit.call(&client) {
            calls += 1;
            if calls > 40 {
                // It goes on only as long as something new is shown.
                assert!(visit.seen().received + visit.seen().began + visit.seen().sent > 0);
                break;
            }
            let body: Value = serde_json::from_slice(&call.body).expect("our own JSON");
            assert_eq!(body["NodeKey"], node_key(11).to_string());
            if choices.below(8) == 7 {
                history = choices.one(histories());
            }
            let answer = answer(history, call.path, &call.body, &mut choices);
            let secret = secret_in(call.path, &answer);
            if secret.is_some() && client.head().is_some() {
                derivations += 1;
                if derivations > 2 {
                    return;
                }
            }
            let (had, set_aside) = (client.head(), client.disabled_here());
            let mut draft = Draft::on(&rows);
            let result = visit.answer(&mut client, &mut draft, &answer, &OneCore);
            let changes = draft.finish();
            match result {
                Ok(()) => rows.apply(changes),
                Err(NotVisited::Failed(Failure::Fault(fault))) => panic!("its own rows: {fault}"),
                Err(why) => {
                    assert!(!why.to_string().is_empty());
                    assert!(changes.is_empty());
                    assert_eq!((client.head(), client.disabled_here()), (had, set_aside));
                    assert!(visit.call(&client).is_none());
                }
            }
            if had.is_some() && client.head().is_none() {
                assert_eq!(secret.as_deref(), Some(SECRET));
            }
            let again = Client::open(&rows).expect("its own rows");
            assert_eq!((again.head(), again.state_id()), (client.head(), client.state_id()));
        }
    }
});

/// The genuine answer, or another.
fn answer(history: &History, path: &str, body: &[u8], choices: &mut Choices<'_>) -> Vec<u8> {
    let how = choices.byte();
    if how >= 0xe0 {
        return choices.piece().to_vec();
    }
    let ground = Ground { fold: &history.fold, rows: &history.rows };
    let mut answer = match path {
        "map" => json(node_rpc::map(ground, &read(body))),
        "bootstrap" => json(node_rpc::bootstrap(ground, &read(body))),
        "sync/offer" => json(node_rpc::offer(ground, &read(body))),
        "sync/send" => json(node_rpc::sent(ground)),
        other => panic!("no call {other}"),
    };
    if how >= 0xc0 && !answer.is_empty() {
        let at = (usize::from(choices.byte()) << 8 | usize::from(choices.byte())) % answer.len();
        answer[at] ^= choices.byte();
    }
    if how >= 0xb0
        && let Ok(mut map) = serde_json::from_slice::<MapAnswer>(&answer)
    {
        // The lock is said to be off, or on and nowhere.
        map.tka_info.disabled = how & 1 == 0;
        map.tka_info.head = None;
        answer = serde_json::to_vec(&map).expect("JSON");
    }
    if how >= 0xa0
        && path == "bootstrap"
        && let Ok(mut said) = serde_json::from_slice::<BootstrapAnswer>(&answer)
    {
        said.disablement_secret = Some(Base64([SECRET, b"another"][usize::from(how & 1)].to_vec()));
        answer = serde_json::to_vec(&said).expect("JSON");
    }
    answer
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> T {
    serde_json::from_slice(body).expect("our own JSON")
}

/// Whoever is refused is told so in words that are no answer.
fn json<T: Serialize>(answer: Result<T, NotAnswered>) -> Vec<u8> {
    match answer {
        Ok(answer) => serde_json::to_vec(&answer).expect("JSON"),
        Err(why) => why.to_string().into_bytes(),
    }
}

fn secret_in(path: &str, answer: &[u8]) -> Option<Vec<u8>> {
    let said: BootstrapAnswer =
        serde_json::from_slice(answer).ok().filter(|_| path == "bootstrap")?;
    said.disablement_secret.map(|secret| secret.0)
}
