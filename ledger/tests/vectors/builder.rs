//! builder.json: rounds of updates on one authority.

use ledger::lock::builder::{Change, UpdateBuilder};
use ledger::lock::signatures::{PrivateKey, Signer};
use ledger::lock::{AumKind, Meta, Sealed, State};
use serde_json::Value;

use crate::case::{
    Case, bytes, bytes_list, fails, hash, hex, list, member, nullable_bytes, number, text,
};
use crate::forms;
use crate::node::Node;
use crate::report::{self, Pass, Verdict, same};
use crate::rules::{Rule, checkpoint_deferred, empty_meta, noncanonical_aum};

#[test]
fn builder() {
    report::run("builder.json", &[("builder", rounds)]);
}

fn change(op: &Value) -> Change {
    // A nil key ID is left out.
    let id = || op.get("key_id_hex").and_then(nullable_bytes).unwrap_or_default();
    match text(member(op, "op")) {
        "add_key" => Change::Add(forms::key(member(op, "key"))),
        "remove_key" => Change::Remove(id()),
        "set_key_vote" => Change::Votes(id(), number(member(op, "votes"))),
        "set_key_meta" => {
            let meta = member(op, "meta").as_object().into_iter().flatten();
            let meta = meta.map(|(key, value)| (key.clone(), text(value).to_owned()));
            Change::Meta(id(), Meta(meta.collect()))
        }
        other => panic!("unknown operation {other:?}"),
    }
}

fn rounds(case: &Case<'_>) -> Verdict {
    let first = bytes(case.input("bootstrap_hex"));
    let first = match Sealed::decode(&first) {
        Ok(first) => first,
        Err(_) if noncanonical_aum(&first) => return Ok(Pass::ByRule(Rule::NonCanonical)),
        Err(e) => return Err(e.to_string()),
    };
    let mut node = Node::bootstrap(first).map_err(|e| e.to_string())?;
    let signer = match case.input("signer_private_ed25519_hex") {
        Value::Null => None,
        hex if text(hex).is_empty() => None,
        pair => Some(PrivateKey::from_pair(bytes(pair).as_slice().try_into().unwrap()).unwrap()),
    };
    let (rounds, expected) = (list(case.input("rounds")), list(case.expect("rounds")));
    same("rounds", rounds.len(), expected.len())?;
    for (i, (ops, expected)) in rounds.iter().zip(expected).enumerate() {
        let signer = signer.as_ref().map(|signer| signer as &dyn Signer);
        let before = node.authority.state().clone();
        let mut builder = UpdateBuilder::new(&node.rows, &node.authority, signer).unwrap();
        let errors = list(member(expected, "op_errors"));
        same("operations", list(ops).len(), errors.len())?;
        for (op, error) in list(ops).iter().zip(errors) {
            let change = change(op);
            let excused = empty_meta(&change) && !fails(error);
            let refused = builder.change(change).err();
            if excused && refused.is_some() {
                // Without an update that nobody would take, this round goes another way.
                let error = [informed(expected), member(expected, "finalize_error")];
                same("the reference's update refused", error.into_iter().any(fails), true)?;
                return Ok(Pass::ByRule(Rule::EmptyMeta));
            }
            if refused.is_some() != fails(error) {
                return Err(format!("round {i}: ours {refused:?}, the reference's {error}"));
            }
        }
        let finished = builder.finish();
        let wanted = bytes_list(member(expected, "aums_hex"));
        let finalize_error = member(expected, "finalize_error");
        if let Ok(aums) = &finished
            && deferred(&before, aums, &wanted, finalize_error, informed(expected), signer)
        {
            node.hear(aums).map_err(|e| format!("round {i}: without checkpoint: {e}"))?;
            return Ok(Pass::ByRule(Rule::CheckpointDeferred));
        }
        let aums = match (finished, fails(finalize_error)) {
            (Ok(aums), false) => aums,
            (Err(_), true) => continue,
            (done, _) => return Err(format!("round {i}: ours {done:?}, {finalize_error}")),
        };
        let ours: Vec<String> = aums.iter().map(|aum| hex(aum.bytes())).collect();
        same("AUMs", ours, wanted.iter().map(|aum| hex(aum)).collect())?;
        let kinds: Vec<String> = aums.iter().map(|aum| aum.kind.to_string()).collect();
        let wanted: Vec<String> =
            list(member(expected, "kinds")).iter().map(|kind| text(kind).to_owned()).collect();
        same("kinds", kinds, wanted)?;
        if !aums.is_empty() {
            let refused = node.hear(&aums).err();
            if refused.is_some() != fails(informed(expected)) {
                return Err(format!("round {i}: ours {refused:?}, {}", informed(expected)));
            }
        }
        same("head", node.head(), hash(member(expected, "head_b32")))?;
        node.reopened()?;
    }
    Ok(Pass::Same)
}

fn informed(expected: &Value) -> &Value {
    expected.get("inform_error").unwrap_or(&Value::Null)
}

/// Whether ours left out a checkpoint by rule `checkpoint-deferred`.
fn deferred(
    before: &State,
    ours: &[Sealed],
    reference: &[Vec<u8>],
    finalize_error: &Value,
    inform_error: &Value,
    signer: Option<&dyn Signer>,
) -> bool {
    let mut after = before.clone();
    let applies = ours.iter().all(|aum| after.apply(aum).is_ok());
    let without = if fails(finalize_error) {
        // The reference could not write the checkpoint.
        reference.is_empty()
    } else {
        // It wrote one that nobody takes, after the same updates.
        let last = reference.last().and_then(|aum| Sealed::decode(aum).ok());
        fails(inform_error)
            && last.is_some_and(|aum| aum.kind == AumKind::CHECKPOINT)
            && reference.len() == ours.len() + 1
            && ours.iter().zip(reference).all(|(ours, theirs)| ours.bytes() == theirs.as_slice())
    };
    let signer = signer.map(|signer| signer.public());
    applies && without && checkpoint_deferred(before, &after, signer)
}
