//! sigs.json: node-key signatures: authorizing, re-signing, wrapped auth keys.

use ledger::Refusal;
use ledger::ids::{AumHash, NodeKey};
use ledger::lock::node_keys::{AuthKey, NodeKeySignature, Rotation, authorize, resign};
use ledger::lock::signatures::{PrivateKey, Unverified, verify_one};
use ledger::lock::{Sealed, State};
use serde_json::{Value, json};

use crate::case::{Case, bytes, bytes_list, fails, flag, hex, list, member, nullable_bytes, text};
use crate::forms;
use crate::report::{self, Pass, Verdict, same};
use crate::rules::{self, Rule};

#[test]
fn sigs() {
    report::run(
        "sigs.json",
        &[
            ("authorize", authorizes),
            ("resign", resigns),
            ("resign_chain", resigns_chain),
            ("authkey", auth_key),
        ],
    );
}

fn state(case: &Case<'_>) -> State {
    let genesis = Sealed::decode(&bytes(case.input("bootstrap_hex"))).unwrap();
    State::at_checkpoint(&genesis).unwrap()
}

fn node_key(case: &Case<'_>) -> NodeKey {
    text(case.input("node_key")).parse().unwrap()
}

fn authorizes(case: &Case<'_>) -> Verdict {
    let input = bytes(case.input("signature_hex"));
    authorization(&input, node_key(case), &state(case), case.expect_whole())
}

fn rotation_json(rotation: &Rotation) -> Value {
    let previous: Vec<String> = rotation.previous.iter().map(NodeKey::to_string).collect();
    json!({
        "prev_node_keys": if previous.is_empty() { Value::Null } else { json!(previous) },
        "initial_sig": forms::signature_json(&rotation.initial),
    })
}

/// Compares everything that the reference says of a signature and its authorization.
fn authorization(input: &[u8], node_key: NodeKey, state: &State, expect: &Value) -> Verdict {
    let authorized = flag(member(expect, "authorized"));
    same("an error or not", fails(member(expect, "error")), !authorized)?;
    let decoded = expect.get("sig_hash_hex");
    let signature = match NodeKeySignature::decode(input) {
        Ok(signature) => signature,
        Err(_) if decoded.is_none() => {
            same("authorized", false, authorized)?;
            return Ok(Pass::Same);
        }
        Err(_) if rules::noncanonical_signature(input) => {
            return Ok(Pass::ByRule(Rule::NonCanonical));
        }
        Err(e) => return Err(format!("refused: {e}")),
    };
    let Some(sig_hash) = decoded else {
        return Err("decoded; the reference refuses the bytes".to_owned());
    };
    same("signature hash", hex(&signature.sig_hash().0).as_str(), text(sig_hash))?;
    let rendered = member(expect, "sig_string");
    if text(rendered).contains("<error: ") {
        // Error texts are informative.
        same("lines", signature.to_string().lines().count(), text(rendered).lines().count())?;
    } else {
        same("text", signature.to_string().as_str(), text(rendered))?;
    }
    let wrapping = nullable_bytes(member(expect, "wrapping_public_hex"));
    same("wrapping key", signature.wrapping_key().map(<[u8]>::to_vec), wrapping)?;
    let authorizing = expect.get("authorizing_key_id_hex").map(bytes);
    let ours = signature.authorizing_key_id().ok().map(<[u8]>::to_vec);
    same("authorizing key", ours, authorizing)?;

    let weak = signature
        .levels()
        .skip(1)
        .filter_map(NodeKeySignature::wrapping_key)
        .any(rules::weak_wrapping);
    let ours = verify_one(Unverified::new(signature))
        .and_then(|verified| authorize(&verified, node_key, state));
    match ours {
        Ok(authorization) if authorized => {
            let rotation = authorization.rotation.as_ref().map_or(Value::Null, rotation_json);
            same("rotation", &rotation, member(expect, "rotation_details"))?;
            Ok(Pass::Same)
        }
        Err(_) if !authorized => Ok(Pass::Same),
        Err(_) if weak => Ok(Pass::ByRule(Rule::WrappingWeak)),
        Ok(_) => Err(format!("authorized; the reference: {}", member(expect, "error"))),
        Err(e) => Err(format!("refused: {e}")),
    }
}

/// A private key in the 64-byte form, hex.
fn private_key(value: &Value) -> PrivateKey {
    PrivateKey::from_pair(&bytes(value).try_into().unwrap()).unwrap()
}

fn resigns(case: &Case<'_>) -> Verdict {
    let input = bytes(case.input("old_signature_hex"));
    let refused = fails(case.expect("error"));
    let old = match NodeKeySignature::decode(&input) {
        Ok(old) => old,
        Err(_) if refused => return Ok(Pass::Same),
        Err(_) if rules::noncanonical_signature(&input) => {
            return Ok(Pass::ByRule(Rule::NonCanonical));
        }
        Err(e) => return Err(format!("refused: {e}")),
    };
    let signer = private_key(case.input("private_ed25519_hex"));
    let new = match resign(&signer, node_key(case), &old) {
        Ok(new) if !refused => new,
        Err(_) if refused => return Ok(Pass::Same),
        Ok(_) => return Err(format!("signed; the reference: {}", case.expect("error"))),
        Err(e) => return Err(format!("refused: {e}")),
    };
    let new_bytes = new.to_cbor();
    let reference = bytes(case.expect("signature_hex"));
    if rules::credential_trim(&old, &reference) {
        // The reference's cannot be decoded; ours must be, and must be a rotation of the same.
        let decoded = NodeKeySignature::decode(&new_bytes).map_err(|e| e.to_string())?;
        same("initial signature", decoded.levels().last(), old.levels().last())?;
        let verified = verify_one(Unverified::new(decoded)).map_err(|e| e.to_string())?;
        authorize(&verified, node_key(case), &state(case)).map_err(|e| e.to_string())?;
        return Ok(Pass::ByRule(Rule::CredentialTrim));
    }
    same("bytes", hex(&new_bytes), hex(&reference))?;
    same("same as before", new_bytes == input, flag(case.expect("same_as_old")))?;
    authorization(&new_bytes, node_key(case), &state(case), case.expect("authorize"))
}

fn resigns_chain(case: &Case<'_>) -> Verdict {
    let signer = private_key(case.input("private_ed25519_hex"));
    let mut signature = NodeKeySignature::decode(&bytes(case.input("first_signature_hex")))
        .map_err(|e| e.to_string())?;
    let keys = list(case.input("node_keys"));
    let hashes = bytes_list(case.expect("result_blake2s_hex"));
    same("results", keys.len(), hashes.len())?;
    for (i, (key, hash)) in keys.iter().zip(hashes).enumerate() {
        let key: NodeKey = text(key).parse().unwrap();
        signature = resign(&signer, key, &signature).map_err(|e| e.to_string())?;
        let ours = AumHash::of(&signature.to_cbor()).0.to_vec();
        same(&format!("result {i}"), ours, hash)?;
    }
    same("last", hex(&signature.to_cbor()).as_str(), text(case.expect("last_signature_hex")))?;
    Ok(Pass::Same)
}

fn auth_key(case: &Case<'_>) -> Verdict {
    let input = text(case.input("wrapped_auth_key"));
    let reference_wraps = flag(case.expect("is_wrapped"));
    let wrapped = match AuthKey::parse(input) {
        AuthKey::Wrapped(wrapped) => wrapped,
        AuthKey::Plain(_) if reference_wraps && rules::respelled_auth_key(input) => {
            return Ok(Pass::ByRule(Rule::TextStrict));
        }
        AuthKey::Plain(_) if reference_wraps && rules::noncanonical_auth_key(input) => {
            return Ok(Pass::ByRule(Rule::NonCanonical));
        }
        AuthKey::Plain(whole) => {
            same("wrapped", false, reference_wraps)?;
            // What the reference logs of a text that only looks wrapped is informative.
            case.may_expect("log");
            same("auth key", whole.as_str(), text(case.expect("auth_key")))?;
            return Ok(Pass::Same);
        }
    };
    same("wrapped", true, reference_wraps)?;
    same("logged", case.may_expect("log").is_some_and(fails), false)?;
    same("auth key", wrapped.auth_key.as_str(), text(case.expect("auth_key")))?;
    let private = nullable_bytes(case.expect("private_hex"));
    same("private key", Some(wrapped.private.to_vec()), private)?;
    same("signature", &forms::signature_json(&wrapped.signature), case.expect("sig"))?;

    let node_key = node_key(case);
    let refused = fails(case.expect("sign_by_credential_error"));
    let signature = match wrapped.join(node_key) {
        Ok(signature) if !refused => signature.to_cbor(),
        Err(_) if refused => return Ok(Pass::Same),
        Err(Refusal::Text(_)) if rules::mismatched_pair(&wrapped.private) => {
            return Ok(Pass::ByRule(Rule::MismatchedHalves));
        }
        Ok(_) => return Err(format!("signed: {}", case.expect("sign_by_credential_error"))),
        Err(e) => return Err(format!("refused: {e}")),
    };
    same("rotation", hex(&signature).as_str(), text(case.expect("sign_by_credential_hex")))?;
    authorization(&signature, node_key, &state(case), case.expect("authorize"))
}
