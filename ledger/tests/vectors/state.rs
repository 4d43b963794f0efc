//! state.json: applying AUMs to states.

use ledger::lock::{Sealed, State};

use crate::case::{Case, bytes_list, fails, hash, list, member, text};
use crate::forms;
use crate::report::{self, Pass, Verdict, same};
use crate::rules::{Rule, noncanonical_aum};

#[test]
fn state() {
    report::run("state.json", &[("apply", apply)]);
}

fn apply(case: &Case<'_>) -> Verdict {
    let steps = list(case.expect("steps"));
    let aums = bytes_list(case.input("aums_hex"));
    same("steps", aums.len(), steps.len())?;
    let from_genesis = match text(case.input("start")) {
        "genesis" => true,
        "empty" => false,
        other => return Err(format!("unknown start {other:?}")),
    };
    let mut state = State::default();
    for (i, (bytes, step)) in aums.iter().zip(steps).enumerate() {
        let aum = match Sealed::decode(bytes) {
            Ok(aum) => aum,
            Err(_) if noncanonical_aum(bytes) => return Ok(Pass::ByRule(Rule::NonCanonical)),
            Err(e) => return Err(format!("AUM {i}: {e}")),
        };
        same("hash", aum.hash(), hash(member(step, "aum_hash_b32")))?;
        let before = state.clone();
        let refused = if i == 0 && from_genesis {
            match State::at_checkpoint(&aum) {
                Some(genesis) => {
                    state = genesis;
                    None
                }
                None => Some("no state".to_owned()),
            }
        } else {
            state.apply(&aum).err().map(|refusal| refusal.to_string())
        };
        let error = member(step, "error");
        if refused.is_some() != fails(error) {
            return Err(format!("AUM {i}: ours {refused:?}, the reference's {error}"));
        }
        if refused.is_some() {
            same("state after a refusal", &state, &before)?;
        } else {
            same("state", &forms::state_json(&state), member(step, "state"))?;
        }
    }
    Ok(Pass::Same)
}
