//! What a node of the tailnet asks about the lock: an answer that can be read, an event that is
//! recorded or refused as a whole, or a refusal that blames the caller.
//!
//! Input: which call, where, whether the caller is made one of the roster; then the JSON.
#![no_main]

use ledger::history::{Event, Verdict};
use ledger::testing::{Group, node_key};
use ledger_fuzz::{Choices, histories};
use libfuzzer_sys::fuzz_target;
use replica::node_rpc::bodies::*;
use replica::node_rpc::{self, NotAnswered};
use replica::operations::Ground;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fuzz_target!(init: { histories(); }, |input: &[u8]| {
    let mut choices = Choices::new(input);
    let path = choices.below(9);
    let mut server = Server { group: choices.one(histories()).group(), disables: 0 };
    let caller = choices.byte();
    let body = choices.rest();
    // The JSON as it is, and from a node of the roster.
    server.call(path, body);
    if caller & 1 == 1
        && let Ok(Value::Object(mut body)) = serde_json::from_slice(body)
    {
        body.insert("NodeKey".into(), node_key(11 + (caller >> 1) % 4).to_string().into());
        server.call(path, Value::Object(body).to_string().as_bytes());
    }
});

struct Server {
    group: Group,
    disables: usize,
}

impl Server {
    fn ground(&self) -> Ground<'_> {
        Ground { fold: &self.group.fold, rows: &self.group.rows }
    }

    fn call(&mut self, path: usize, body: &[u8]) {
        let before = self.group.rows.clone();
        match path {
            0 => {
                let Some(request) = read::<BootstrapRequest>(body) else { return };
                answer(node_rpc::bootstrap(self.ground(), &request));
            }
            1 => {
                let Some(request) = read::<SyncOfferRequest>(body) else { return };
                answer(node_rpc::offer(self.ground(), &request));
            }
            2 => {
                let Some(request) = read::<SyncSendRequest>(body) else { return };
                let event = answered(node_rpc::send(self.ground(), &request)).flatten();
                if self.records(event) {
                    answer(node_rpc::sent(self.ground()));
                    // What was sent is there now.
                    let again = answered(node_rpc::send(self.ground(), &request)).flatten();
                    assert!(again.is_none());
                }
            }
            3 => {
                let Some(request) = read::<SubmitSignatureRequest>(body) else { return };
                let event = answered(node_rpc::sign(self.ground(), &request)).flatten();
                if self.records(event) {
                    let again = answered(node_rpc::sign(self.ground(), &request)).flatten();
                    assert!(again.is_none());
                }
            }
            4 => {
                let Some(request) = read::<SignaturesUsingKeyRequest>(body) else { return };
                answer(node_rpc::affected_signatures(self.ground(), &request));
            }
            5 => {
                // The KDF is slow.
                self.disables += 1;
                let Some(request) = read::<DisableRequest>(body) else { return };
                if self.disables <= 1 {
                    let event = answered(node_rpc::disable(self.ground(), &request));
                    self.records(event);
                }
            }
            6 => {
                let Some(request) = read::<MapRequest>(body) else { return };
                for _ in 0..10 {
                    let event = node_rpc::acknowledgement(self.ground(), &request);
                    if !self.records(answered(event).flatten()) {
                        break;
                    }
                }
                answer(node_rpc::map(self.ground(), &request));
                let rest = answered(node_rpc::acknowledgement(self.ground(), &request)).flatten();
                assert!(rest.is_none() || self.group.rows == before);
            }
            7 => {
                let Some(request) = read::<InitBeginRequest>(body) else { return };
                let event = answered(node_rpc::begin(self.ground(), &request));
                if self.records(event) {
                    answer(node_rpc::begun(self.ground()).map_err(NotAnswered::from));
                }
            }
            _ => {
                let Some(request) = read::<InitFinishRequest>(body) else { return };
                let now = 1_700_000_100_000;
                let finish = node_rpc::finish(self.ground(), &request, now, true);
                self.records(answered(finish).and_then(|finish| finish.event));
            }
        }
    }

    /// Whether there was an event and it is on record. The group checks that a refusal leaves
    /// nothing.
    fn records(&mut self, event: Option<Event>) -> bool {
        let Some(event) = event else { return false };
        let index = self.group.fold.next_index();
        let mut proposal = self.group.proposal(event);
        proposal.request = format!("fuzzed-{index}").parse().expect("an ID");
        match self.group.admit(&proposal) {
            Verdict::Sealed(_) => true,
            Verdict::Refused(_) => false,
            Verdict::Repeated { .. } => panic!("every proposal here is a request of its own"),
        }
    }
}

/// What is read is written so that it reads the same.
fn read<T: Serialize + DeserializeOwned + PartialEq>(body: &[u8]) -> Option<T> {
    let request: T = serde_json::from_slice(body).ok()?;
    let written = serde_json::to_vec(&request).expect("JSON");
    assert!(serde_json::from_slice::<T>(&written).expect("our own JSON") == request);
    Some(request)
}

fn answered<T>(result: Result<T, NotAnswered>) -> Option<T> {
    match result {
        Ok(answer) => Some(answer),
        Err(why) => {
            let text = why.to_string();
            assert!(!text.is_empty() && !text.contains('\n'), "{text:?}");
            assert!((400..500).contains(&why.status()), "{text}");
            None
        }
    }
}

fn answer<T: Serialize + DeserializeOwned + PartialEq>(result: Result<T, NotAnswered>) {
    let Some(answer) = answered(result) else { return };
    let written = serde_json::to_vec(&answer).expect("JSON");
    assert!(serde_json::from_slice::<T>(&written).expect("our own JSON") == answer);
}
