//! decode.json: what the decoders accept and what they make of it.

use ledger::ids::AumHash;
use ledger::lock::Sealed;
use ledger::lock::node_keys::NodeKeySignature;
use serde_json::Value;

use crate::canonical::{self, Form, is_canonical};
use crate::case::{Case, bytes, fails, flag, hex, text};
use crate::forms;
use crate::report::{self, Pass, Verdict, same};
use crate::rules::Rule;

#[test]
fn decode() {
    report::run("decode.json", &[("aum", aum), ("nks", signature)]);
}

/// What ours made of accepted bytes.
struct Decoded {
    again: Vec<u8>,
    sig_hash: [u8; 32],
    invalid: Option<bool>,
    form: Value,
}

fn aum(case: &Case<'_>) -> Verdict {
    check(case, canonical::AUM, |input| {
        let sealed = Sealed::decode(input).ok()?;
        Some(Decoded {
            again: sealed.to_cbor(),
            sig_hash: sealed.sig_hash().0,
            invalid: Some(sealed.check().is_err()),
            form: forms::aum_json(&sealed),
        })
    })
}

fn signature(case: &Case<'_>) -> Verdict {
    check(case, canonical::SIGNATURE, |input| {
        let signature = NodeKeySignature::decode(input).ok()?;
        Some(Decoded {
            again: signature.to_cbor(),
            sig_hash: signature.sig_hash().0,
            invalid: None,
            form: forms::signature_json(&signature),
        })
    })
}

fn check(case: &Case<'_>, form: &Form, decode: fn(&[u8]) -> Option<Decoded>) -> Verdict {
    let input = bytes(case.input("cbor_hex"));
    let decoded = decode(&input);
    let accepted = flag(case.expect("accepted"));
    same("an error or not", fails(case.expect("error")), !accepted)?;
    if !accepted {
        return match decoded {
            None => Ok(Pass::Same),
            Some(_) => Err("accepted; the reference refuses it".to_owned()),
        };
    }
    let canonical = flag(case.expect("same_as_input"));
    same("canonical, by the tables", is_canonical(&input, form), canonical)?;
    let Some(decoded) = decoded else {
        return if canonical {
            Err("canonical bytes are refused".to_owned())
        } else {
            // Ours takes what the reference would have written.
            let respelled = bytes(case.expect("reserialized_hex"));
            match decode(&respelled) {
                Some(_) => Ok(Pass::ByRule(Rule::NonCanonical)),
                None => Err("the canonical spelling is refused as well".to_owned()),
            }
        };
    };
    same("bytes", hex(&decoded.again).as_str(), text(case.expect("reserialized_hex")))?;
    let hash = AumHash::of(&decoded.again);
    same("hash in hex", hash.to_hex().as_str(), text(case.expect("hash_hex")))?;
    if let Some(shown) = case.may_expect("hash_b32") {
        same("hash", hash.to_string().as_str(), text(shown))?;
    }
    same("signature hash", hex(&decoded.sig_hash).as_str(), text(case.expect("sig_hash_hex")))?;
    if let Some(invalid) = decoded.invalid {
        same("invalid", invalid, fails(case.expect("static_validate_error")))?;
    }
    if let Some(form) = case.may_expect("decoded") {
        same("decoded", &decoded.form, form)?;
    }
    Ok(Pass::Same)
}
