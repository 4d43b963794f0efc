//! `audit forks`: where chains forked, both branches, their weights, and why one won.

use ledger::lock::AumKind;
use serde_json::{Value, json};

use super::{Answer, NoAnswer, chronicle, fields};
use crate::chronicle::{AumStory, ChainStory, Chronicle, change, short};
use crate::foreign::plain;
use crate::report::Report;
use crate::report::lines::{some, wrapped};

/// Every fork between verified AUMs.
pub fn forks(report: &Report) -> Result<Answer, NoAnswer> {
    let told = chronicle(report)?;
    let (mut text, mut all) = (String::new(), Vec::new());
    for chain in &told.chains {
        for (at, children) in chain.forks() {
            let why = why(&chain.aums[children[0]], &chain.aums[children[1]]);
            text += &fields([
                ("fork at", chain.aums[at].aum.hash().to_string()),
                ("epoch", chain.epoch.to_string()),
                ("won by", why.to_owned()),
            ]);
            let mut branches = Vec::new();
            for (place, child) in children.iter().enumerate() {
                write_branch(&mut text, told, chain, *child, place == 0);
                branches.push(branch(told, chain, *child, place == 0));
            }
            text.push('\n');
            all.push(json!({
                "at": chain.aums[at].aum.hash().to_string(),
                "epoch": chain.epoch,
                "why": why,
                "branches": branches,
            }));
        }
    }
    if all.is_empty() {
        text.push_str("No chain of this source forks.\n");
    }
    Ok(Answer::new(text, [("forks", Value::Array(all))]))
}

/// Why the first of two siblings won (spec 5.2).
pub(crate) fn why(winner: &AumStory, next: &AumStory) -> &'static str {
    let removes = |story: &AumStory| story.aum.kind == AumKind::REMOVE_KEY;
    if winner.weight != next.weight {
        "more votes"
    } else if removes(winner) && !removes(next) {
        "as many votes, and it removes a key"
    } else {
        "as many votes, and the lower hash"
    }
}

fn write_branch(out: &mut String, told: &Chronicle, chain: &ChainStory, at: usize, won: bool) {
    let story = &chain.aums[at];
    let entry = &told.entries[story.entry];
    let signers: Vec<String> = Chronicle::signers(&story.aum).map(|key| short(&key)).collect();
    let outcome = if won { "won" } else { "lost" };
    let size = some(chain.branch_size(at) as u64, "AUM");
    let what = format!(
        "weight {}, number {}, {size}: {}; signed by {}; {}",
        story.weight,
        entry.number,
        plain(&change(&story.aum)),
        signers.join(", "),
        story.aum.hash(),
    );
    wrapped(out, &format!("  {outcome}: "), 4, &what);
}

fn branch(told: &Chronicle, chain: &ChainStory, at: usize, won: bool) -> Value {
    let story = &chain.aums[at];
    json!({
        "aum": story.aum.hash().to_string(),
        "won": won,
        "weight": story.weight,
        "number": told.entries[story.entry].number,
        "aums": chain.branch_size(at),
        "kind": story.aum.kind.to_string(),
        "does": change(&story.aum),
        "signers": Chronicle::signers(&story.aum).map(|key| key.to_tlpub()).collect::<Vec<_>>(),
    })
}
