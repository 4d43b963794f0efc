//! forks.json: which branch is active, in whatever order the AUMs come.

use serde_json::Value;

use crate::case::{Case, fails, hash, list, member, number};
use crate::forms;
use crate::node::{Node, Pool, index, picked, pool, same_hashes};
use crate::report::{self, Pass, Verdict, same};
use crate::rules::Rule;

#[test]
fn forks() {
    report::run("forks.json", &[("forks", forks_case)]);
}

fn forks_case(case: &Case<'_>) -> Verdict {
    let Pool::Aums(aums) = pool(case.input("aums_hex"))? else {
        return Ok(Pass::ByRule(Rule::NonCanonical));
    };
    same_hashes(&aums, case)?;
    let first = &aums[index(case.input("bootstrap_index"))];
    let (orders, expected) = (list(case.input("orders")), list(case.expect("orders")));
    same("orders", orders.len(), expected.len())?;
    for (order, expected) in orders.iter().zip(expected) {
        let mut node = Node::bootstrap(first.clone()).map_err(|e| e.to_string())?;
        let batches = list(member(order, "informs"));
        let steps = list(member(expected, "informs"));
        same("batches", batches.len(), steps.len())?;
        for (batch, step) in batches.iter().zip(steps) {
            let refused = node.hear(&picked(&aums, batch)).err();
            let error = member(step, "error");
            if refused.is_some() != fails(error) {
                return Err(format!("ours {refused:?}, the reference's {error}"));
            }
            same("head", node.head(), hash(member(step, "head_b32")))?;
        }
        same("final head", node.head(), hash(member(expected, "final_head_b32")))?;
        let state = forms::state_json(node.authority.state());
        same("state", &state, case.expect("final_state"))?;
        node.reopened()?;
        let weights = list(case.expect("weights_at_parent"));
        same("weights", weights.len(), aums.len())?;
        for (aum, weight) in aums.iter().zip(weights) {
            let stored = node.chain().node(&aum.hash()).unwrap();
            let ours = stored.map(|stored| stored.weight).filter(|_| aum.hash() != first.hash());
            let reference = if *weight == Value::Null { None } else { Some(number(weight)) };
            same("weight", ours, reference)?;
        }
    }
    Ok(Pass::Same)
}
