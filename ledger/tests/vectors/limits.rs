//! limits.json: where the reference gives up because a walk is too long (rule `walk-limit`).

use ledger::ids::AumHash;
use ledger::lock::revocation::{cosign, generate};
use ledger::lock::signatures::{
    OneCore, PrivateKey, Signer, Unverified, Verified, verify_all, verify_one,
};
use ledger::lock::sync::{missing_aums, offer};
use ledger::lock::{Aum, AumKind, Sealed};
use serde_json::Value;

use crate::case::{Case, bytes, fails, flag, hash, list, member, number};
use crate::node::{Node, index, verdict};
use crate::report::{self, Pass, Verdict, same};
use crate::rules::{Rule, walk_limit, walk_limit_head};

#[test]
fn limits() {
    report::run("limits.json", &[("linear_chain", linear_chain), ("linear_pair", linear_pair)]);
}

struct Recipe {
    genesis: Sealed,
    key: PrivateKey,
}

impl Recipe {
    fn of(case: &Case<'_>) -> Self {
        Recipe {
            genesis: Sealed::decode(&bytes(case.input("genesis_hex"))).unwrap(),
            key: PrivateKey::from_pair(
                bytes(case.input("private_ed25519_hex")).as_slice().try_into().unwrap(),
            )
            .unwrap(),
        }
    }

    fn signed(&self, aum: Aum) -> Sealed {
        cosign(Sealed::new(aum), &self.key).unwrap()
    }

    fn fork(&self, parent: AumHash, key_id: u8) -> Sealed {
        let mut aum = Aum::new(AumKind::NO_OP, Some(parent));
        aum.key_id = Some(vec![key_id]);
        self.signed(aum)
    }

    /// `total` AUMs, the genesis first, with checkpoints where asked.
    fn chain(&self, total: usize, checkpoint: impl Fn(usize) -> bool) -> Vec<Verified<Sealed>> {
        let mut aums = vec![self.genesis.clone()];
        for i in 1..total {
            let parent = Some(aums[i - 1].hash());
            aums.push(self.signed(if checkpoint(i) {
                let mut aum = Aum::new(AumKind::CHECKPOINT, parent);
                aum.state = self.genesis.state.clone();
                aum
            } else {
                Aum::new(AumKind::NO_OP, parent)
            }));
        }
        let aums = aums.into_iter().map(Unverified::new).collect();
        verify_all(aums, &OneCore).into_iter().map(Result::unwrap).collect()
    }

    fn node(&self, chain: &[Verified<Sealed>]) -> Result<Node, String> {
        let mut node = Node::bootstrap(self.genesis.clone()).map_err(|e| e.to_string())?;
        if chain.len() > 1 {
            node.inform(&chain[1..]).map_err(|e| e.to_string())?;
        }
        Ok(node)
    }
}

/// Ours succeeded: so did the reference, or it gave up.
fn ours_succeeds(what: &str, error: &Value, pass: &mut Pass) -> Result<(), String> {
    if walk_limit(error) {
        *pass = Pass::ByRule(Rule::WalkLimit);
    } else if fails(error) {
        return Err(format!("{what}: ours succeeds, the reference's {error}"));
    }
    Ok(())
}

fn linear_chain(case: &Case<'_>) -> Verdict {
    let recipe = Recipe::of(case);
    let total = index(case.input("total_aums"));
    let every = index(case.input("checkpoint_every"));
    let chain = recipe.chain(total, |i| every > 0 && i % every == 0);
    let mut pass = Pass::Same;
    let node = recipe.node(&chain)?;
    ours_succeeds("inform all", case.expect("inform_all_error"), &mut pass)?;
    same("head", node.head(), hash(case.expect("head_b32")))?;
    let last = chain.last().unwrap().get().hash();
    same("head is last", node.head() == last, flag(case.expect("head_is_last")))?;
    let state = node.chain().state_at(&node.head()).unwrap();
    same("state at head", state.as_ref(), Some(node.authority.state()))?;
    ours_succeeds("state", case.expect("compute_state_at_head_error"), &mut pass)?;
    node.reopened()?;
    ours_succeeds("open", case.expect("open_error"), &mut pass)?;

    let ends = [
        ("inform_known_again_error", recipe.genesis.clone()),
        ("inform_fork_at_head_parent_error", recipe.fork(chain[total - 2].get().hash(), 2)),
        ("inform_next_on_head_error", recipe.fork(chain[total - 1].get().hash(), 1)),
    ];
    for (what, aum) in ends {
        let aum = verify_one(Unverified::new(aum)).map_err(|e| e.to_string())?;
        let mut node = node.clone();
        node.inform(&[aum]).map_err(|e| e.to_string())?;
        ours_succeeds(what, case.expect(what), &mut pass)?;
        node.reopened()?;
    }

    let client = Node::bootstrap(recipe.genesis.clone()).map_err(|e| e.to_string())?;
    let asked = offer(&client.rows, &client.authority).unwrap();
    let missing = verdict(missing_aums(&node.rows, &node.authority, &asked)).unwrap();
    let error = case.expect("missing_for_genesis_only_client_error");
    ours_succeeds("missing", error, &mut pass)?;
    let wanted = case.expect("missing_for_genesis_only_client_count");
    let wanted = if fails(error) { total as u64 - 1 } else { number(wanted) };
    same("missing", missing.len() as u64, wanted)?;
    let offered = offer(&node.rows, &node.authority).unwrap().ancestors.len();
    same("offered", offered as u64, number(case.expect("offer_ancestors")))?;

    let (keys, our) = (vec![recipe.key.public().0.to_vec()], recipe.key.public());
    let revoked = verdict(generate(&node.rows, &node.authority, &keys, &our, None));
    let error = case.expect("revoke_only_key_error");
    if walk_limit(error) {
        pass = Pass::ByRule(Rule::WalkLimit);
    }
    same("revoking the only key fails", revoked.is_err(), fails(error))?;
    Ok(pass)
}

fn linear_pair(case: &Case<'_>) -> Verdict {
    let recipe = Recipe::of(case);
    let (a, b) = (index(case.input("a_total_aums")), index(case.input("b_total_aums")));
    let at: Vec<usize> = list(case.input("checkpoint_at")).iter().map(index).collect();
    let chain = recipe.chain(a.max(b), |i| at.contains(&i));
    let hashes: Vec<AumHash> = chain.iter().map(|aum| aum.get().hash()).collect();
    let place = |hash: &AumHash| hashes.iter().position(|other| other == hash).unwrap();
    let a_node = recipe.node(&chain[..a])?;
    let b_node = recipe.node(&chain[..b])?;
    same("a's head", a_node.head(), hash(case.expect("a_head_b32")))?;
    let mut pass = Pass::Same;
    for (side, other, node, remote) in [("a", "b", &a_node, &b_node), ("b", "a", &b_node, &a_node)]
    {
        let ours = offer(&node.rows, &node.authority).unwrap();
        let ours: Vec<usize> = ours.ancestors.iter().map(place).collect();
        let wanted = list(case.expect(&format!("{side}_offer_ancestor_indices")));
        same("offer", ours, wanted.iter().map(index).collect())?;
        let asked = offer(&remote.rows, &remote.authority).unwrap();
        let sent = verdict(missing_aums(&node.rows, &node.authority, &asked));
        let error = case.expect(&format!("{side}_missing_for_{other}_error"));
        let expected = case.expect(&format!("{side}_missing_for_{other}"));
        let sent: Vec<usize> = match sent {
            Ok(sent) => sent.iter().map(|aum| place(&aum.hash())).collect(),
            Err(_) if fails(error) => continue,
            Err(e) => return Err(format!("{side}: ours {e}")),
        };
        let (count, first) = (sent.len() as u64, sent.first());
        let wanted_first = expected.get("first_index").map(index);
        let agrees = !fails(error)
            && count == number(member(expected, "count"))
            && first.copied() == wanted_first
            && sent.last().copied() == expected.get("last_index").map(index);
        if !agrees {
            // Ours met the other's head where the reference no longer looked.
            let (ours, theirs) = (place(&node.head()), place(&remote.head()));
            same("beyond the limit", walk_limit_head(ours, theirs), true)?;
            let lacking: Vec<usize> = (theirs + 1..=ours).collect();
            same("what the other lacks", sent, lacking)?;
            pass = Pass::ByRule(Rule::WalkLimit);
        }
    }
    Ok(pass)
}
