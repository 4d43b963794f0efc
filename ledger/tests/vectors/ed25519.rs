//! ed25519.json: both acceptance rules, one by one and in batches.

use ledger::Refusal;
use ledger::lock::signatures::{Claim, OneCore, Signed, Unverified, verify_all, verify_one};
use serde_json::Value;

use crate::case::{Case, bytes, flag};
use crate::files;
use crate::report::{self, Pass, Verdict, same};

#[test]
fn ed25519() {
    report::run("ed25519.json", &[("ed25519", both_rules)]);
}

/// A list of claims as an item of its own.
#[derive(Clone)]
struct Claims(Vec<Claim>);

impl Signed for Claims {
    fn claims(&self, out: &mut Vec<Claim>) -> Result<(), Refusal> {
        out.extend(self.0.iter().cloned());
        Ok(())
    }
}

/// The case's claims under ZIP-215 and standard rules; `None` if key or signature do not have
/// their length, which nothing accepts.
fn claims(case: &Case<'_>) -> Option<[Claims; 2]> {
    let key = bytes(case.input("public_hex")).try_into().ok()?;
    let signature = bytes(case.input("signature_hex")).try_into().ok()?;
    let message = bytes(case.input("message_hex"));
    Some([
        Claims(vec![Claim::Zip215 { key, message: message.clone(), signature }]),
        Claims(vec![Claim::Standard { key, message, signature }]),
    ])
}

fn accepted(case: &Case<'_>) -> [bool; 2] {
    ["zip215_ed25519consensus", "go_crypto_ed25519"].map(|rule| flag(case.expect(rule)))
}

fn both_rules(case: &Case<'_>) -> Verdict {
    let ours = match claims(case) {
        Some(claims) => claims.map(|claims| verify_one(Unverified::new(claims)).is_ok()),
        None => [false, false],
    };
    same("accepted [ZIP-215, standard]", ours, accepted(case))?;
    Ok(Pass::Same)
}

/// One batch of all cases names exactly the bad ones, in every mixture.
#[test]
fn batches_agree_with_single_signatures() {
    let Some(file) = files::read("ed25519.json") else { return };
    let cases: Vec<Value> = serde_json::from_slice(&file).unwrap();
    let mut items = Vec::new();
    let mut expected = Vec::new();
    for case in &cases {
        let case = Case::new(case);
        if let Some(claims) = claims(&case) {
            items.extend(claims);
            expected.extend(accepted(&case));
        }
    }
    let verify = |items: &[Claims]| -> Vec<bool> {
        let items = items.iter().cloned().map(Unverified::new).collect();
        verify_all(items, &OneCore).iter().map(Result::is_ok).collect()
    };
    assert_eq!(verify(&items), expected);
    // Only the good ones: this time the batch itself says so.
    let good: Vec<Claims> = items
        .iter()
        .zip(&expected)
        .filter(|(_, good)| **good)
        .map(|(item, _)| item.clone())
        .collect();
    assert!(verify(&good).into_iter().all(|ok| ok));
}
