//! What the official programs sent and were answered: our types read it and write it again, byte
//! for byte where it is an answer of ours.

use std::io::Read;

use replica::local_api::bodies::{
    Base64, DeeplinkAnswer, DeeplinkRequest, InitRequest, LockStatus, LogEntry, MachineStatus,
    ModifyRequest, SignRequest, from_go_json, to_json,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

#[derive(serde::Deserialize)]
struct Recorded {
    step: String,
    kind: String,
    body: String,
}

fn recorded() -> Vec<Recorded> {
    let bytes = include_bytes!("../data/localapi.json.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn same<T: DeserializeOwned + Serialize>(case: &Recorded) {
    let value: T = serde_json::from_str(&case.body).unwrap();
    assert_eq!(String::from_utf8(to_json(&value)).unwrap(), case.body, "{}", case.step);
}

#[test]
fn recorded_answers_are_written_as_they_were() {
    let mut cases = 0;
    for case in recorded() {
        cases += 1;
        match case.kind.as_str() {
            "status" => same::<LockStatus>(&case),
            "log" => same::<Option<Vec<LogEntry>>>(&case),
            "affected-sigs" => same::<Option<Vec<Base64>>>(&case),
            "verify-deeplink" => same::<DeeplinkAnswer>(&case),
            "machine-status" => {
                let status: MachineStatus = serde_json::from_str(&case.body).unwrap();
                assert!(status.own.is_some(), "{}", case.step);
            }
            _ => cases -= 1,
        }
    }
    assert!(cases > 100, "{cases}");
}

#[test]
fn recorded_requests_are_understood() {
    for case in recorded() {
        let body = case.body.as_bytes();
        match case.kind.as_str() {
            "init-request" => {
                let request: InitRequest = from_go_json(body).unwrap();
                assert!(!request.keys.unwrap().is_empty(), "{}", case.step);
            }
            "modify-request" => {
                let request: ModifyRequest = from_go_json(body).unwrap();
                let keys = request.add_keys.or(request.remove_keys).unwrap_or_default();
                assert!(keys.iter().all(|key| key.public.is_some()), "{}", case.step);
            }
            "sign-request" => {
                let request: SignRequest = from_go_json(body).unwrap();
                assert_eq!(request.rotation_public.unwrap().0.len(), 32, "{}", case.step);
            }
            "verify-deeplink-request" if body.starts_with(b"{\"URL") => {
                from_go_json::<DeeplinkRequest>(body).unwrap();
            }
            _ => {}
        }
    }
}
