//! Signing node keys: `NODEKEY [TLPUB] [NODEKEY [TLPUB]]...`.

use ledger::ids::{LockKey, NodeKey};
use replica::local_api::bodies::{AskedBody, Base64, SignBody, SignRequest};
use replica::local_api::client::{Asked, ClientError};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::Session;
use crate::args::SignWith;
use crate::commands::change::{Done, Request};
use crate::commands::outside::{self, With};
use crate::commands::words::{node_key, pieces, rotation_key};
use crate::exit::{Code, Failure};
use crate::print;

/// A node key to sign, and the key that may rotate it later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) node_key: NodeKey,
    pub(super) rotation: Option<LockKey>,
}

/// What became of one of several.
struct Signed {
    pair: Pair,
    result: Result<Done, Failure>,
}

pub(super) fn run(
    words: Result<Vec<Zeroizing<String>>, Failure>,
    with: &SignWith,
    request: &Request,
    session: &Session,
) -> Result<(), Failure> {
    match words.and_then(|words| Ok((pairs(&words)?, with.chosen()?))) {
        Ok((pairs, with)) => sign_all(&pairs, with.as_ref(), request, session),
        Err(failure) => request.conclude(Err(failure)).map(drop),
    }
}

/// Signs them, one after the other; another key than the daemon's signs all of them or none.
pub(super) fn sign_all(
    pairs: &[Pair],
    with: Option<&With>,
    request: &Request,
    session: &Session,
) -> Result<(), Failure> {
    if let Some(with) = with {
        let items = pairs.iter().map(|pair| SignBody {
            node_key: pair.node_key.to_string(),
            rotation_key: pair.rotation.as_ref().map(LockKey::to_tlpub),
        });
        let asked = AskedBody { sign: Some(items.collect()), ..AskedBody::default() };
        return outside::conclude(request, outside::change(asked, with, request, session));
    }
    if let [pair] = pairs {
        let result = sign(*pair, request, &request.asked(), session);
        return request.conclude(result).map(drop);
    }
    let digest = digest(pairs);
    let mut all = Vec::with_capacity(pairs.len());
    for (part, pair) in (0..).zip(pairs) {
        let asked = Asked { digest: Some(digest), part, ..request.asked() };
        let result = sign(*pair, request, &asked, session);
        let hopeless = result.as_ref().err().is_some_and(|failure| failure.code == Code::Unknown);
        all.push(Signed { pair: *pair, result });
        if hopeless {
            break;
        }
    }
    report(pairs, &all, request, session)
}

/// Stands for all of them.
fn digest(pairs: &[Pair]) -> [u8; 32] {
    let mut text = "lock sign\n".to_owned();
    for pair in pairs {
        text.push_str(&format!("{}{}\n", pair.node_key, rotation_word(pair)));
    }
    Sha256::digest(text).into()
}

fn rotation_word(pair: &Pair) -> String {
    pair.rotation.map(|key| format!(" {key}")).unwrap_or_default()
}

fn sign(pair: Pair, request: &Request, asked: &Asked, session: &Session) -> Result<Done, Failure> {
    let body = SignRequest {
        node_key: pair.node_key,
        rotation_public: pair.rotation.map(|key| Base64(key.0.to_vec())),
    };
    match session.wait(session.client.sign(&body, asked)) {
        Ok(changed) => Ok(Done { receipt: changed.receipt, ..Done::default() }),
        Err(error) => {
            if let ClientError::Status { text, .. } = &error
                && text.contains("this node is not trusted by")
                && asked.part == 0
            {
                print::note(
                    "Error: Signing is not available on this device because it does not have a \
                     trusted tailnet lock key.\n\nTry again on a signing device instead. \
                     'lockstep lock status' lists the trusted keys.\n",
                );
            }
            Err(request.failed(error))
        }
    }
}

/// Says of each what became of it, unless all were signed: that is silent, as for a single one.
fn report(
    pairs: &[Pair],
    all: &[Signed],
    request: &Request,
    session: &Session,
) -> Result<(), Failure> {
    let done: Vec<_> = all.iter().filter_map(|one| one.result.as_ref().ok()).collect();
    let mut more = Map::new();
    more.insert("nodes".into(), all.iter().map(json_of).collect());
    let last = done.last().map(|done| done.receipt.clone());
    if let (true, Some(receipt)) = (done.len() == pairs.len(), last) {
        let receipt = replica::local_api::client::Receipt {
            // Only if nothing at all was new.
            repeated: done.iter().all(|done| done.receipt.repeated),
            ..receipt
        };
        let done = Done { receipt, ..Done::default() };
        return request.conclude_with(Ok(done), &more).map(drop);
    }
    let mut code = Code::Failed;
    let mut again = format!("lockstep lock sign --request-id {}", request.id);
    for one in all {
        match &one.result {
            Ok(_) => print::note(&format!("signed: {}", one.pair.node_key)),
            Err(failure) => {
                if failure.code == Code::Unknown {
                    code = Code::Unknown;
                }
                print::note(&format!("not signed: {}: {}", one.pair.node_key, failure.what));
            }
        }
    }
    for pair in &pairs[all.len()..] {
        print::note(&format!("not tried: {}", pair.node_key));
    }
    for pair in pairs {
        again.push_str(&format!(" {}{}", pair.node_key, rotation_word(pair)));
    }
    again.push_str(&session.socket_words());
    let what = format!("{} of {} node keys were signed", done.len(), pairs.len());
    let failure = Failure { code, what, remedy: None }.remedy(format!(
        "The same command signs the others; what is signed is not signed twice:\n\t{again}"
    ));
    request.conclude_with(Err(failure), &more).map(drop)
}

fn json_of(one: &Signed) -> Value {
    let (outcome, error) = match &one.result {
        Ok(_) => ("applied", None),
        Err(Failure { code: Code::Unknown, what, .. }) => ("unknown", Some(what)),
        Err(failure) => ("refused", Some(&failure.what)),
    };
    let mut value = json!({ "node_key": one.pair.node_key.to_string(), "outcome": outcome });
    if let Ok(done) = &one.result {
        value["record_index"] = json!(done.receipt.record_index);
        value["record_hash"] = json!(done.receipt.record_hash);
    }
    if let Some(error) = error {
        value["error"] = json!(error);
    }
    value
}

/// Reads the words: a node key, then its rotation key or the next node key.
fn pairs(words: &[Zeroizing<String>]) -> Result<Vec<Pair>, Failure> {
    let mut all: Vec<&str> = Vec::new();
    for word in words {
        let before = all.len();
        all.extend(pieces(word));
        if all.len() == before {
            // An empty file is no key either.
            all.push(word);
        }
    }
    let words = all;
    if words.is_empty() {
        return Err(Failure::new(
            "usage: lockstep lock sign <node-key> [<rotation-key>] [<node-key> \
             [<rotation-key>]]...",
        )
        .remedy("'lockstep lock status' shows which node keys are locked out."));
    }
    // With more than one, the error says which.
    let place = |what: &str, place: usize| match place {
        1 => what.to_owned(),
        place => format!("{what} {place}"),
    };
    let mut pairs: Vec<Pair> = Vec::new();
    let mut open = false;
    for word in words {
        let count = pairs.len();
        if let Some(pair) = pairs.last_mut().filter(|_| open && !word.starts_with("nodekey:")) {
            pair.rotation = Some(rotation_key(&place("rotation-key", count), word)?);
            open = false;
            continue;
        }
        let node_key = node_key(&place("node-key", count + 1), word)?;
        if let Some(first) = pairs.iter().position(|pair| pair.node_key == node_key) {
            return Err(Failure::new(format!(
                "node key {} is the same as node key {}: {node_key}",
                count + 1,
                first + 1
            ))
            .remedy("A rotation key (tlpub:...) belongs to the node key before it."));
        }
        pairs.push(Pair { node_key, rotation: None });
        open = true;
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Vec<Pair>, Failure> {
        let words: Vec<_> = words.iter().map(|word| Zeroizing::new((*word).to_owned())).collect();
        pairs(&words)
    }

    #[test]
    fn rotation_keys_follow_their_node_keys() {
        let (one, two) = (NodeKey([1; 32]), NodeKey([2; 32]));
        let rotation = LockKey([3; 32]);
        let (a, b, r) = (one.to_string(), two.to_string(), rotation.to_tlpub());
        let pair = |node_key, rotation| Pair { node_key, rotation };
        assert_eq!(parsed(&[&a]).unwrap(), [pair(one, None)]);
        assert_eq!(parsed(&[&a, &r, &b]).unwrap(), [pair(one, Some(rotation)), pair(two, None)]);
        let both = [pair(one, None), pair(two, Some(rotation))];
        assert_eq!(parsed(&[&a, &b, &r]).unwrap(), both);
        assert_eq!(parsed(&[&format!("{a},{b} "), &r]).unwrap(), both);
        assert_eq!(parsed(&[&format!(" {a}, {b} {r},")]).unwrap(), both);
    }

    #[test]
    fn what_is_wrong_is_found_before_anything_is_signed() {
        let (a, b) = (NodeKey([1; 32]).to_string(), NodeKey([2; 32]).to_string());
        let (r, zeros) = (LockKey([3; 32]).to_tlpub(), "0".repeat(64));
        let zero = format!("tlpub:{zeros}");
        for (words, what) in [
            (vec![], "usage: "),
            (vec![","], "decoding node-key: "),
            (vec![r.as_str()], "decoding node-key: "),
            (vec![&a, "x"], "decoding rotation-key: "),
            (vec![&a, &r, &r], "decoding node-key 2: "),
            (vec![&a, &b, "x"], "decoding rotation-key 2: "),
            (vec![&a, &a], "node key 2 is the same as node key 1: "),
            (vec![&a, &zero], "decoding rotation-key: anybody could sign with this key"),
        ] {
            let failure = parsed(&words).unwrap_err();
            assert!(failure.what.starts_with(what), "{words:?}: {}", failure.what);
        }
    }

    #[test]
    fn the_digest_tells_which_key_is_whose() {
        let pair = |byte, rotation: Option<u8>| Pair {
            node_key: NodeKey([byte; 32]),
            rotation: rotation.map(|byte| LockKey([byte; 32])),
        };
        let all = [
            digest(&[pair(1, None), pair(2, None)]),
            digest(&[pair(1, Some(3)), pair(2, None)]),
            digest(&[pair(1, None), pair(2, Some(3))]),
            digest(&[pair(2, None), pair(1, None)]),
        ];
        for (i, one) in all.iter().enumerate() {
            assert!(!all[i + 1..].contains(one));
        }
    }
}
