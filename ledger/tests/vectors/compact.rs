//! compact.json: what compaction keeps.

use std::collections::BTreeMap;

use ledger::ids::AumHash;
use ledger::lock::compaction::{Options, compact};
use ledger::rows::Draft;

use crate::case::{Case, fails, hash, list, number};
use crate::node::{Node, Pool, index, indexes, pool, same_hashes, verdict};
use crate::report::{self, Pass, Verdict, same};
use crate::rules::{Rule, young_root};

#[test]
fn compaction() {
    report::run("compact.json", &[("compact", compact_case)]);
}

fn compact_case(case: &Case<'_>) -> Verdict {
    let Pool::Aums(aums) = pool(case.input("aums_hex"))? else {
        return Ok(Pass::ByRule(Rule::NonCanonical));
    };
    same_hashes(&aums, case)?;
    let first = index(case.input("bootstrap_index"));
    let mut node = Node::bootstrap(aums[first].clone()).map_err(|e| e.to_string())?;
    for aum in aums.iter().skip(first + 1) {
        node.hear(std::slice::from_ref(aum)).map_err(|e| e.to_string())?;
    }
    same("head", node.head(), hash(case.expect("head_b32")))?;
    let ages: BTreeMap<AumHash, u64> = aums
        .iter()
        .map(|aum| aum.hash())
        .zip(list(case.input("age_seconds")).iter().map(number))
        .collect();
    let options = Options {
        min_chain: index(case.input("min_chain")),
        min_age: number(case.input("min_age_seconds")),
    };
    let mut draft = Draft::on(&node.rows);
    let done = verdict(compact(&mut node.authority, &mut draft, options, &|hash| ages[hash]));
    let changes = draft.finish();
    node.rows.apply(changes);
    let mut kept = indexes(&aums, &node.stored());
    kept.sort_unstable();
    let wanted: Vec<usize> = list(case.expect("kept_indices")).iter().map(index).collect();
    let error = case.expect("error");
    let pass = match (&done, fails(error)) {
        (Ok(done), false) => {
            same("oldest", done.oldest, hash(case.expect("new_ancestor_b32")))?;
            same("kept", &kept, &wanted)?;
            Pass::Same
        }
        (Err(_), true) => {
            same("kept", &kept, &wanted)?;
            Pass::Same
        }
        (Ok(done), true) if young_root(&aums[first], &ages, options) => {
            same("oldest", done.oldest, aums[first].hash())?;
            Pass::ByRule(Rule::CompactionKeeps)
        }
        _ => return Err(format!("ours {done:?}, the reference's {error}")),
    };
    same("head", node.head(), hash(case.expect("reopen_head_b32")))?;
    node.reopened()?;
    // Again at once: nothing more to delete.
    if done.is_ok() {
        let mut draft = Draft::on(&node.rows);
        let again = verdict(compact(&mut node.authority, &mut draft, options, &|hash| ages[hash]));
        let again = again.map_err(|e| e.to_string())?;
        if pass == Pass::Same {
            same("deleted the second time", again.deleted, Vec::new())?;
        }
    }
    Ok(pass)
}
