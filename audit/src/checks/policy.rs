//! Where a history falls short of an auditor's policy.

use ledger::ids::LockKey;
use ledger::lock::node_keys::is_pre_auth;
use ledger::lock::{AumKind, State};

use super::catalog::{
    POLICY_CAPACITY, POLICY_CHECKPOINT, POLICY_KEY, POLICY_KEY_AGE, POLICY_METADATA, POLICY_NODES,
    POLICY_TWO_PERSONS,
};
use super::{Check, Finding};
use crate::chronicle::{AumStanding, AumStory, ChainStory, Chronicle};
use crate::policy::Policy;

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// Findings about everything that the policy demands, and what of it cannot be checked here.
pub(crate) fn policy(
    policy: &Policy,
    chronicle: &Chronicle,
    now_ms: u64,
    findings: &mut Vec<Finding>,
) -> Vec<String> {
    for story in &chronicle.chains {
        for at in 0..story.aums.len() {
            if story.aums[at].standing == AumStanding::Verified {
                aum(policy, story, at, findings);
            }
        }
    }
    let current = chronicle.chains.last().filter(|story| story.ended.is_none());
    if let Some((chain, story)) = current.map(|story| (chronicle.chains.len() - 1, story)) {
        if let Some(state) = story.state_at(story.head) {
            standing(policy, &state, story, findings);
        }
        ages(policy, chronicle, chain, now_ms, findings);
    }
    nodes(policy, chronicle, findings);
    let mut unchecked = Vec::new();
    let aged = policy.keys.max_age_days.or(policy.keys.preauth_max_age_days).is_some();
    if aged && !chronicle.has_records {
        unchecked.push("the policy limits the age of keys, and AUMs carry no time".to_owned());
    }
    let about_nodes =
        policy.thresholds.locked_out.is_some() || policy.thresholds.signature_levels.is_some();
    if about_nodes && chronicle.nodes.is_empty() {
        unchecked.push("the policy is about nodes, and the source names none".to_owned());
    }
    unchecked
}

fn about(check: &'static Check, rule: &str, message: String) -> Finding {
    Finding::new(check, message).subject(rule)
}

fn aum(policy: &Policy, story: &ChainStory, at: usize, findings: &mut Vec<Finding>) {
    let AumStory { aum, .. } = &story.aums[at];
    let signers = Chronicle::signers(aum).count();
    let genesis = aum.parent_hash().is_none();
    let mut add = |check, rule, message| findings.push(about(check, rule, message).aum(aum.hash()));
    if let (AumKind::CHECKPOINT, Some(state)) = (aum.kind, &aum.state) {
        if let Some(want) = policy.checkpoints.signatures
            && !genesis
            && signers < want.get()
        {
            let message =
                format!("a checkpoint is signed by {signers} keys; the policy wants {want}");
            add(&POLICY_CHECKPOINT, "signatures", message);
        }
        let values = state.disablement_values().count();
        if let Some(want) = policy.checkpoints.disablement_values.filter(|want| values < *want) {
            let message =
                format!("a checkpoint has {values} disablement values; the policy wants {want}");
            add(&POLICY_CHECKPOINT, "disablement-values", message);
        }
    }
    let changes = matches!(aum.kind, AumKind::ADD_KEY | AumKind::REMOVE_KEY | AumKind::UPDATE_KEY)
        || story.aums[at].departs.is_some();
    if policy.changes.two_persons && changes && signers < 2 {
        let message =
            format!("a change of the trusted keys is signed by {signers} keys; the policy wants 2");
        add(&POLICY_TWO_PERSONS, "two-persons", message);
    }
}

fn standing(policy: &Policy, state: &State, story: &ChainStory, findings: &mut Vec<Finding>) {
    let head = story.aums[story.head].aum.hash();
    let keys = state.keys().len();
    let mut add = |check, rule, message| findings.push(about(check, rule, message).aum(head));
    if let Some(most) = policy.thresholds.trusted_keys.filter(|most| keys > *most) {
        add(
            &POLICY_CAPACITY,
            "trusted-keys",
            format!("{keys} keys are trusted; the policy allows {most}"),
        );
    }
    if let Some(least) = policy.keys.min_trusted.filter(|least| keys < *least) {
        add(
            &POLICY_KEY,
            "min-trusted",
            format!("{keys} keys are trusted; the policy wants {least}"),
        );
    }
    let length = story.path(story.head).len() as u64;
    if let Some(most) = policy.thresholds.chain_aums.filter(|most| length > *most) {
        add(
            &POLICY_CAPACITY,
            "chain-aums",
            format!("the chain has {length} AUMs; the policy allows {most}"),
        );
    }
    for key in state.keys() {
        let Some(id) = key.lock_key() else { continue };
        if let Some(most) = policy.keys.max_votes.filter(|most| key.votes > *most) {
            let message = format!("a key has {} votes; the policy allows {most}", key.votes);
            findings.push(about(&POLICY_KEY, "max-votes", message).key(id));
        }
        let has = |name: &String| key.meta.as_ref().is_some_and(|meta| meta.0.contains_key(name));
        for name in policy.metadata.forbidden.iter().filter(|name| has(name)) {
            let message = format!("a key's metadata has {name:?}, which the policy forbids");
            findings.push(about(&POLICY_METADATA, name, message).key(id));
        }
        for name in policy.metadata.required.iter().filter(|name| !has(name)) {
            let message = format!("a key's metadata lacks {name:?}, which the policy requires");
            findings.push(about(&POLICY_METADATA, name, message).key(id));
        }
    }
}

/// Keys that are trusted for too long, by the clocks of those who proposed them.
fn ages(
    policy: &Policy,
    chronicle: &Chronicle,
    chain: usize,
    now_ms: u64,
    findings: &mut Vec<Finding>,
) {
    let story = &chronicle.chains[chain];
    for life in story.lives(chain).into_iter().filter(|life| life.until.is_none()) {
        let since =
            chronicle.entries.get(story.aums[life.from].entry).and_then(|entry| entry.time_ms);
        let Some(days) = since.map(|since| now_ms.saturating_sub(since) / DAY_MS) else { continue };
        let meta = life.meta.iter().cloned().collect();
        let limits = [
            ("max-age-days", policy.keys.max_age_days),
            (
                "preauth-max-age-days",
                policy.keys.preauth_max_age_days.filter(|_| is_pre_auth(&meta)),
            ),
        ];
        for (rule, most) in limits {
            if let Some(most) = most.filter(|most| days > *most) {
                findings.push(old(rule, life.key, days, most));
            }
        }
    }
}

fn old(rule: &str, key: LockKey, days: u64, most: u64) -> Finding {
    let message = format!("a key has been trusted for {days} days; the policy allows {most}");
    about(&POLICY_KEY_AGE, rule, message).key(key)
}

fn nodes(policy: &Policy, chronicle: &Chronicle, findings: &mut Vec<Finding>) {
    let out = chronicle.nodes.iter().filter(|node| !node.admitted).count() as u64;
    if let Some(most) = policy.thresholds.locked_out.filter(|most| out > *most) {
        let message = format!("{out} nodes are locked out; the policy allows {most}");
        findings.push(about(&POLICY_NODES, "locked-out", message));
    }
    let Some(most) = policy.thresholds.signature_levels else { return };
    for node in chronicle.nodes.iter().filter(|node| node.levels.len() > most) {
        let message = format!(
            "the signature of {} has {} levels; the policy allows {most}",
            node.name,
            node.levels.len()
        );
        findings.push(about(&POLICY_NODES, "signature-levels", message).node(node.node_key));
    }
}
