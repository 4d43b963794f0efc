//! revoke.json: retroactive revocations, from the fork point to the last cosignature.

use ledger::ids::LockKey;
use ledger::lock::Sealed;
use ledger::lock::revocation::{cosign, generate};
use ledger::lock::signatures::{PrivateKey, Signer};

use crate::case::{Case, bytes, bytes_list, fails, flag, hash, hex, list, member, text};
use crate::node::{Node, Pool, pool, same_hashes, verdict};
use crate::report::{self, Pass, Verdict, same};
use crate::rules::Rule;

#[test]
fn revoke() {
    report::run("revoke.json", &[("revoke", revocation)]);
}

fn private(value: &[u8]) -> PrivateKey {
    PrivateKey::from_pair(value.try_into().unwrap()).unwrap()
}

fn revocation(case: &Case<'_>) -> Verdict {
    let Pool::Aums(aums) = pool(case.input("aums_hex"))? else {
        return Ok(Pass::ByRule(Rule::NonCanonical));
    };
    same_hashes(&aums, case)?;
    let first = case.input("bootstrap_index");
    let node = Node::from_parts(&aums, first, case.input("informs"))?;
    same("head", node.head(), hash(case.expect("head_before_b32")))?;
    let ours = private(&bytes(case.input("our_private_ed25519_hex")));
    let our_id = LockKey(bytes(case.input("our_key_id_hex")).try_into().unwrap());
    same("our key", ours.public(), our_id)?;
    let fork_from = case.input("fork_from_b32");
    let fork_from = if fork_from.is_null() { None } else { Some(hash(fork_from)) };
    let keys = bytes_list(case.input("remove_key_ids_hex"));
    let made = verdict(generate(&node.rows, &node.authority, &keys, &our_id, fork_from));
    let error = case.expect("error");
    let unsigned = match (made, fails(error)) {
        (Ok(unsigned), false) => Sealed::new(unsigned),
        (Err(_), true) => return Ok(Pass::Same),
        (made, _) => return Err(format!("ours {made:?}, the reference's {error}")),
    };
    same("fork point", unsigned.parent_hash(), Some(hash(case.expect("fork_parent_b32"))))?;
    same("unsigned", hex(unsigned.bytes()).as_str(), text(case.expect("unsigned_aum_hex")))?;
    same("sig hash", hex(&unsigned.sig_hash().0).as_str(), text(case.expect("sig_hash_hex")))?;
    let mut signers = vec![ours];
    let cosigners = bytes_list(case.input("cosigner_private_ed25519_hex"));
    signers.extend(cosigners.iter().map(|pair| private(pair)));
    let stages = bytes_list(case.expect("signed_stages_hex"));
    let informs = list(case.expect("inform_each_stage"));
    same("stages", signers.len(), stages.len())?;
    same("stages informed", informs.len(), stages.len())?;
    let mut aum = unsigned;
    for ((signer, stage), expected) in signers.iter().zip(&stages).zip(informs) {
        aum = cosign(aum, signer).map_err(|e| e.to_string())?;
        same("signed", hex(aum.bytes()), hex(stage))?;
        let mut node = node.clone();
        let refused = node.hear(std::slice::from_ref(&aum)).err();
        let error = member(expected, "error");
        if refused.is_some() != fails(error) {
            return Err(format!("ours {refused:?}, the reference's {error}"));
        }
        same("head", node.head(), hash(member(expected, "head_b32")))?;
        let won = flag(member(expected, "revocation_is_head"));
        same("won", node.head() == aum.hash(), won)?;
        let trusted: Vec<String> =
            node.authority.state().keys().iter().map(|key| hex(key.id().unwrap())).collect();
        let wanted = list(member(expected, "trusted_keys_hex"));
        same("trusted", trusted, wanted.iter().map(|key| text(key).to_owned()).collect())?;
        node.reopened()?;
    }
    Ok(Pass::Same)
}
