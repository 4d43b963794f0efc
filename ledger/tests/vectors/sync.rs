//! sync.json: offers, where two chains meet, and what is sent.

use ledger::lock::Sealed;
use ledger::lock::sync::{Intersection, Offer, intersection, missing_aums, offer};
use serde_json::Value;

use crate::case::{Case, fails, hash, list, member, text};
use crate::node::{Node, Pool, index, indexes, pool, same_hashes, verdict};
use crate::report::{self, Pass, Verdict, same};
use crate::rules::Rule;

#[test]
fn sync() {
    report::run("sync.json", &[("pair", pair), ("offer", one_offer)]);
}

fn offer_of(value: &Value) -> Offer {
    Offer {
        head: hash(member(value, "head_b32")),
        ancestors: list(member(value, "ancestors_b32")).iter().map(hash).collect(),
    }
}

/// Compares what `node` would send with what the reference's would.
fn missing(
    aums: &[Sealed],
    node: &Node,
    remote: &Offer,
    expected: &Value,
) -> Result<Vec<Sealed>, String> {
    let ours = verdict(intersection(&node.rows, &node.authority, remote));
    let sent = verdict(missing_aums(&node.rows, &node.authority, remote));
    let error = member(expected, "error");
    if ours.is_err() != fails(error) || sent.is_err() != fails(error) {
        return Err(format!("ours {ours:?}, the reference's {error}"));
    }
    let (Ok(ours), Ok(sent)) = (ours, sent) else { return Ok(Vec::new()) };
    let (kind, at) = match ours {
        Intersection::UpToDate => ("up_to_date", node.head()),
        Intersection::Head(at) => ("head", at),
        Intersection::Tail(at) => ("tail", at),
    };
    same("intersection", kind, text(member(expected, "intersection")))?;
    same("met at", at, hash(member(expected, "intersection_hash_b32")))?;
    let hashes: Vec<_> = sent.iter().map(Sealed::hash).collect();
    let wanted: Vec<_> = list(member(expected, "missing_indices")).iter().map(index).collect();
    same("missing", indexes(aums, &hashes), wanted)?;
    Ok(sent)
}

fn pair(case: &Case<'_>) -> Verdict {
    let Pool::Aums(aums) = pool(case.input("aums_hex"))? else {
        return Ok(Pass::ByRule(Rule::NonCanonical));
    };
    same_hashes(&aums, case)?;
    let mut a = Node::from_side(&aums, case.input("a"))?;
    let mut b = Node::from_side(&aums, case.input("b"))?;
    let a_offer = offer(&a.rows, &a.authority).unwrap();
    let b_offer = offer(&b.rows, &b.authority).unwrap();
    same("a's offer", &a_offer, &offer_of(case.expect("a_offer")))?;
    same("b's offer", &b_offer, &offer_of(case.expect("b_offer")))?;
    let for_b = missing(&aums, &a, &b_offer, case.expect("a_missing_for_b"))?;
    let for_a = missing(&aums, &b, &a_offer, case.expect("b_missing_for_a"))?;
    let after = case.expect("after_exchange");
    for (node, sent, side) in [(&mut b, for_b, "b"), (&mut a, for_a, "a")] {
        if !sent.is_empty() {
            let refused = node.hear(&sent).err();
            let error = after.get(format!("{side}_inform_error")).unwrap_or(&Value::Null);
            if refused.is_some() != fails(error) {
                return Err(format!("{side}: ours {refused:?}, the reference's {error}"));
            }
        }
        same(side, node.head(), hash(member(after, &format!("{side}_head_b32"))))?;
        node.reopened()?;
    }
    Ok(Pass::Same)
}

fn one_offer(case: &Case<'_>) -> Verdict {
    let Pool::Aums(aums) = pool(case.input("aums_hex"))? else {
        return Ok(Pass::ByRule(Rule::NonCanonical));
    };
    same_hashes(&aums, case)?;
    let a = Node::from_side(&aums, case.input("a"))?;
    let remote = offer_of(case.input("remote_offer"));
    missing(&aums, &a, &remote, case.expect("a_missing_for_remote"))?;
    Ok(Pass::Same)
}
