//! keys.json: text forms of keys and hashes, and signing deeplinks.

use ledger::formats::deeplink::Deeplink;
use ledger::ids::{AumHash, LockKey, NodeKey, TextError};
use ledger::lock::signatures::{PrivateKey, Signer};
use ledger::lock::{Sealed, State};

use crate::case::{Case, bytes, fails, flag, hex, list, member, number, text};
use crate::report::{self, Pass, Verdict, same};
use crate::rules::{self, Rule};

#[test]
fn keys() {
    report::run(
        "keys.json",
        &[
            ("nlpub", lock_key),
            ("nlpriv", private_key),
            ("nodekey", node_key),
            ("nodekey_binary", binary_node_key),
            ("aumhash", aum_hash),
            ("syncoffer", sync_offer),
            ("deeplink_new", new_deeplink),
            ("deeplink_validate", valid_deeplink),
        ],
    );
}

/// Whether ours parses what the reference parses; if both do, the value.
fn both<T, E>(case: &Case<'_>, ours: Result<T, E>) -> Result<Option<T>, String>
where
    E: std::fmt::Display,
{
    let refused = fails(case.expect("error"));
    match ours {
        Ok(value) if !refused => Ok(Some(value)),
        Err(_) if refused => Ok(None),
        Ok(_) => Err(format!("accepted; the reference: {}", case.expect("error"))),
        Err(e) => Err(format!("refused: {e}")),
    }
}

fn lock_key(case: &Case<'_>) -> Verdict {
    if let Some(key) = both(case, text(case.input("text")).parse::<LockKey>())? {
        same("key", hex(&key.0).as_str(), text(case.expect("public_hex")))?;
        same("API form", key.to_nlpub().as_str(), text(case.expect("text")))?;
        same("command line form", key.to_tlpub().as_str(), text(case.expect("cli")))?;
    }
    Ok(Pass::Same)
}

fn private_key(case: &Case<'_>) -> Verdict {
    let input = text(case.input("text"));
    let parsed = PrivateKey::from_nlpriv(input);
    if let (Err(TextError::MismatchedHalves), false) = (&parsed, fails(case.expect("error"))) {
        return if rules::mismatched_halves(input) {
            Ok(Pass::ByRule(Rule::MismatchedHalves))
        } else {
            Err("refused for its halves, which belong together".to_owned())
        };
    }
    if let Some(key) = both(case, parsed)? {
        same("text", key.to_nlpriv().as_str(), text(case.expect("text")))?;
        same("public", key.public().to_nlpub().as_str(), text(case.expect("public_text")))?;
        let signature = key.sign(b"0123456789abcdef0123456789abcdef");
        let reference = text(case.expect("sign_nks_of_0123456789abcdef_x2_hex"));
        same("signature", hex(&signature).as_str(), reference)?;
    }
    Ok(Pass::Same)
}

fn node_key(case: &Case<'_>) -> Verdict {
    if let Some(key) = both(case, text(case.input("text")).parse::<NodeKey>())? {
        same("key", hex(&key.0).as_str(), text(case.expect("public_hex")))?;
        same("text", key.to_string().as_str(), text(case.expect("text")))?;
        same("short", key.to_short().as_str(), text(case.expect("short")))?;
        same("binary", hex(&key.to_binary()).as_str(), text(case.expect("binary_hex")))?;
    }
    Ok(Pass::Same)
}

fn binary_node_key(case: &Case<'_>) -> Verdict {
    if let Some(key) = both(case, NodeKey::from_binary(&bytes(case.input("binary_hex"))))? {
        same("text", key.to_string().as_str(), text(case.expect("text")))?;
    }
    Ok(Pass::Same)
}

fn aum_hash(case: &Case<'_>) -> Verdict {
    let input = text(case.input("text"));
    let parsed = input.parse::<AumHash>();
    if parsed.is_err() && !fails(case.expect("error")) && rules::respelled_hash(input) {
        same("spelling, by the reference", flag(case.expect("same_text")), false)?;
        return Ok(Pass::ByRule(Rule::TextStrict));
    }
    if let Some(hash) = both(case, parsed)? {
        same("hash", hash.to_hex().as_str(), text(case.expect("hash_hex")))?;
        same("text", hash.to_string().as_str(), text(case.expect("text")))?;
        same("spelling", hash.to_string() == input, flag(case.expect("same_text")))?;
    }
    Ok(Pass::Same)
}

/// An offer is nothing but hashes.
fn sync_offer(case: &Case<'_>) -> Verdict {
    let head = text(case.input("head")).parse::<AumHash>();
    let ancestors: Result<Vec<AumHash>, TextError> =
        list(case.input("ancestors")).iter().map(|hash| text(hash).parse()).collect();
    let offer = head.and_then(|head| Ok((head, ancestors?)));
    if let Some((head, ancestors)) = both(case, offer)? {
        same("head", head.to_string().as_str(), text(case.expect("head_b32")))?;
        let reference: Vec<&str> = list(case.expect("ancestors_b32")).iter().map(text).collect();
        let ours: Vec<String> = ancestors.iter().map(AumHash::to_string).collect();
        same("ancestors", ours.iter().map(String::as_str).collect(), reference)?;
    }
    Ok(Pass::Same)
}

/// The state of the authority that a case of deeplinks begins with.
fn state(case: &Case<'_>) -> State {
    let genesis = Sealed::decode(&bytes(case.input("bootstrap_hex"))).unwrap();
    State::at_checkpoint(&genesis).unwrap()
}

fn new_deeplink(case: &Case<'_>) -> Verdict {
    let field = |name| text(member(case.input("params"), name)).to_owned();
    let link = Deeplink {
        node_key: field("node_key"),
        lock_key: field("tl_pub"),
        device_name: field("device_name"),
        os_name: field("os_name"),
        login_name: field("login_name"),
    };
    if let Some(url) = both(case, link.to_url(state(case).state_id1))? {
        same("url", url.as_str(), text(case.expect("url")))?;
    }
    Ok(Pass::Same)
}

fn valid_deeplink(case: &Case<'_>) -> Verdict {
    let parsed = Deeplink::validate(text(case.input("url")), state(case).state_id1);
    same("valid", parsed.is_ok(), flag(case.expect("is_valid")))?;
    same("version", 0, number(case.expect("version")))?;
    // Of a link that is not valid the reference shows no field.
    let link = both(case, parsed)?;
    let ours = link.as_ref().map_or([""; 5], |link| {
        [&link.node_key, &link.lock_key, &link.device_name, &link.os_name, &link.login_name]
            .map(String::as_str)
    });
    let reference = ["node_key", "tl_pub", "device_name", "os_name", "email_address"]
        .map(|field| text(case.expect(field)));
    same("fields", ours, reference)?;
    Ok(Pass::Same)
}
