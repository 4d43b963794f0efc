//! bench/: what is measured gives the right answers, too.
//!
//! `*.hex` are chains, an AUM a line, oldest first; `*.params` asks for a revocation's fork point on
//! the chain of that name; `*.txt` are node keys and their signatures, judged by `state.json`.

use data_encoding::HEXLOWER;
use ledger::ids::{AumHash, LockKey, NodeKey};
use ledger::lock::node_keys::authorize_all;
use ledger::lock::revocation::fork_point;
use ledger::lock::signatures::{OneCore, Unverified, Verified, verify_all};
use ledger::lock::{Sealed, State};
use serde_json::Value;

use crate::case::{bytes, hash, hex, list, member, number, text};
use crate::files;
use crate::node::{Node, verdict};
use crate::report::{Pass, Report, Verdict, guarded, run_folder, same};

#[test]
fn bench() {
    run_folder("bench", |name, report| match name.rsplit_once('.') {
        Some((_, "hex")) => chain(&format!("bench/{name}"), report),
        Some((_, "txt")) => node_keys(&format!("bench/{name}"), report),
        Some((stem, "params")) => report.note(name, guarded(|| revocation(stem))),
        _ if name == "state.json" => report.note(name, guarded(whole_state)),
        _ => report.note(name, Err("no test reads it".to_owned())),
    });
}

fn read(path: &str) -> String {
    let bytes = files::read(path).unwrap_or_else(|| panic!("{path} is missing"));
    String::from_utf8(bytes).unwrap()
}

fn aums(path: &str) -> Vec<Verified<Sealed>> {
    let text = read(path);
    let aums = text.lines().map(|line| {
        Unverified::new(Sealed::decode(&HEXLOWER.decode(line.as_bytes()).unwrap()).unwrap())
    });
    verify_all(aums.collect(), &OneCore).into_iter().map(Result::unwrap).collect()
}

fn informed(aums: &[Verified<Sealed>]) -> Result<Node, String> {
    let mut node = Node::bootstrap(aums[0].get().clone()).map_err(|e| e.to_string())?;
    let informed = node.inform(&aums[1..]).map_err(|e| e.to_string())?;
    same("stored", informed.stored.len(), aums.len() - 1)?;
    same("head", node.head(), aums.last().unwrap().get().hash())?;
    node.reopened()?;
    Ok(node)
}

/// Every AUM is taken where it stands, and all of them at once.
fn chain(path: &str, report: &mut Report) {
    let aums = aums(path);
    let mut node = Node::bootstrap(aums[0].get().clone());
    report.note("line 1", node.as_ref().map(|_| Pass::Same).map_err(|e| e.to_string()));
    for (i, aum) in aums.iter().enumerate().skip(1) {
        let taken = guarded(|| {
            let node = node.as_mut().map_err(|e| e.to_string())?;
            node.inform(std::slice::from_ref(aum)).map_err(|e| e.to_string())?;
            same("head", node.head(), aum.get().hash()).map(|()| Pass::Same)
        });
        report.note(&format!("line {}", i + 1), taken);
    }
    if let Err(what) = guarded(|| informed(&aums).map(|_| Pass::Same)) {
        report.note("all lines at once", Err(what));
    }
}

fn revocation(stem: &str) -> Verdict {
    let params = read(&format!("bench/{stem}.params"));
    let param = |key: &str| {
        let line = params.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_else(|| panic!("no {key}")).trim().to_owned()
    };
    let key = |name: &str| HEXLOWER.decode(param(name).as_bytes()).unwrap();
    let node = informed(&aums(&format!("bench/{stem}.hex")))?;
    let our = LockKey(key("our_key_id_hex").try_into().unwrap());
    let keys = [key("remove_key_id_hex")];
    let found = verdict(fork_point(&node.rows, &node.authority, &keys, &our));
    let expected: AumHash = param("expected_fork_parent_b32").parse().unwrap();
    same("fork point", found.map_err(|e| e.to_string())?, expected)?;
    Ok(Pass::Same)
}

fn state() -> (Value, State) {
    let state: Value = serde_json::from_str(&read("bench/state.json")).unwrap();
    let genesis = Sealed::decode(&bytes(member(&state, "bootstrap_aum_hex"))).unwrap();
    let authority = State::at_checkpoint(&genesis).unwrap();
    (state, authority)
}

/// Each signature lets in the node key before it, and not the one of the next line.
fn node_keys(path: &str, report: &mut Report) {
    let (_, state) = state();
    let text = read(path);
    let pairs: Vec<(NodeKey, Vec<u8>)> = text
        .lines()
        .map(|line| {
            let (key, signature) = line.split_once(' ').unwrap();
            let decode = |hex: &str| HEXLOWER.decode(hex.as_bytes()).unwrap();
            (NodeKey(decode(key).try_into().unwrap()), decode(signature))
        })
        .collect();
    let next = pairs.iter().cycle().skip(1).map(|(key, _)| *key);
    let others: Vec<_> = next.zip(&pairs).map(|(key, (_, bytes))| (key, bytes)).collect();
    let refused = authorize_all(&others, &state, &OneCore);
    for (i, verdict) in authorize_all(&pairs, &state, &OneCore).into_iter().enumerate() {
        assert!(others[i].0 == pairs[i].0 || refused[i].is_err());
        let verdict = verdict.map(|_| Pass::Same).map_err(|e| e.to_string());
        report.note(&format!("line {}", i + 1), verdict);
    }
}

/// The state that the reference shows is the one of its checkpoint, and that at a chain's head.
fn whole_state() -> Verdict {
    let (shown, state) = state();
    let keys = list(member(&shown, "keys"));
    same("keys", keys.len(), state.keys().len())?;
    for (shown, key) in keys.iter().zip(state.keys()) {
        same("kind", u64::from(key.kind.0), number(member(shown, "kind")))?;
        same("votes", key.votes, number(member(shown, "votes")))?;
        let public = key.public.as_deref().map(hex);
        same("public", public.as_deref(), member(shown, "public_hex").as_str())?;
    }
    let values: Vec<String> = state.disablement_values().map(hex).collect();
    let wanted = list(member(&shown, "disablement_values_hex"));
    same("values", values, wanted.iter().map(|value| text(value).to_owned()).collect())?;
    let id = (number(member(&shown, "state_id1")), number(member(&shown, "state_id2")));
    same("state ID", state.state_id(), id)?;
    let head = hash(member(&shown, "head_b32"));
    let chains = files::list("bench").into_iter().filter(|name| name.ends_with(".hex"));
    for name in chains {
        let aums = aums(&format!("bench/{name}"));
        if aums.last().is_some_and(|aum| aum.get().hash() == head) {
            let node = informed(&aums)?;
            let at_head = node.authority.state();
            same("keys at the head", at_head.keys(), state.keys())?;
            same("state ID at the head", at_head.state_id(), id)?;
        }
    }
    Ok(Pass::Same)
}
