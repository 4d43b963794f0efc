//! verify.json: bootstrapping and informing, with their verdicts.

use ledger::lock::Sealed;

use crate::case::{Case, bytes, bytes_list, fails, hash, list, member, number};
use crate::forms;
use crate::node::Node;
use crate::report::{self, Pass, Verdict, same};
use crate::rules::{Rule, noncanonical_aum};

#[test]
fn verify() {
    report::run("verify.json", &[("inform", inform)]);
}

fn inform(case: &Case<'_>) -> Verdict {
    let mut pass = Pass::Same;
    let first = bytes(case.input("bootstrap_hex"));
    let error = case.expect("bootstrap_error");
    let node = match Sealed::decode(&first) {
        Ok(aum) => Node::bootstrap(aum).map_err(|e| e.to_string()),
        Err(_) if !fails(error) && noncanonical_aum(&first) => {
            return Ok(Pass::ByRule(Rule::NonCanonical));
        }
        Err(e) => Err(e.to_string()),
    };
    let mut node = match (node, fails(error)) {
        (Ok(node), false) => node,
        (Err(_), true) => return Ok(Pass::Same),
        (node, _) => return Err(format!("bootstrap: ours {node:?}, the reference's {error}")),
    };
    same("bootstrap head", node.head(), hash(case.expect("bootstrap_head_b32")))?;
    let batches = list(case.input("informs_hex"));
    let steps = list(case.expect("informs"));
    same("batches", batches.len(), steps.len())?;
    for (i, (batch, step)) in batches.iter().zip(steps).enumerate() {
        let batch = bytes_list(batch);
        let error = member(step, "error");
        let decoded: Result<Vec<Sealed>, _> = batch.iter().map(|b| Sealed::decode(b)).collect();
        let refused = match decoded {
            Ok(aums) => node.hear(&aums).err().map(|e| e.to_string()),
            // From here on the reference knows an AUM that ours does not.
            Err(_) if !fails(error) && batch.iter().any(|b| noncanonical_aum(b)) => {
                return Ok(Pass::ByRule(Rule::NonCanonical));
            }
            Err(e) => {
                if batch.iter().any(|b| noncanonical_aum(b)) && !text_of_decoding(error) {
                    pass = Pass::ByRule(Rule::NonCanonical);
                }
                Some(e.to_string())
            }
        };
        if refused.is_some() != fails(error) {
            return Err(format!("batch {i}: ours {refused:?}, the reference's {error}"));
        }
        same("head", node.head(), hash(member(step, "head_b32")))?;
        same("stored", node.stored().len() as u64, number(member(step, "stored_aums")))?;
    }
    let state = forms::state_json(node.authority.state());
    same("state", &state, case.expect("final_state"))?;
    node.reopened()?;
    Ok(pass)
}

/// Whether the reference, too, refused the bytes and not the AUM.
fn text_of_decoding(error: &serde_json::Value) -> bool {
    error.as_str().is_some_and(|text| text.starts_with("unserialize"))
}
