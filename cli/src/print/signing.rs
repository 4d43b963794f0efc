//! What somebody is about to sign on a machine that knows nothing of the lock.
//!
//! Everything but the names of nodes is read from what will be signed itself.

use std::fmt::Write as _;

use data_encoding::HEXLOWER;
use ledger::ids::LockKey;
use ledger::lock::node_keys::{NodeKeySignature, SigKind};
use replica::local_api::bodies::SigningRequest;
use replica::operations::outside::Draft;

use super::line;
use super::log::change;

/// The whole list, numbered.
pub(crate) fn text(request: &SigningRequest, draft: &Draft) -> String {
    let mut out = format!(
        "To be signed by {}.\nAs the file says, for the lock with state ID {}, in ledger {}.\n\n",
        draft.signer(),
        line(&request.state_id),
        line(&request.cluster_id)
    );
    if let Some(revocation) = &request.asked.revoke {
        let keys: Vec<String> = revocation.keys.iter().map(|key| line(key)).collect();
        let _ = writeln!(out, "As the file says, to revoke {}.\n", keys.join(", "));
    } else if request.asked.cosign.is_some() {
        out.push_str("As the file says, a revocation that others have begun.\n\n");
    }
    let mut place = 0_usize;
    for aum in draft.aums() {
        place += 1;
        let parent = match place {
            1 => HEXLOWER.encode(aum.parent.as_deref().unwrap_or_default()),
            _ => format!("number {}", place - 1),
        };
        let _ = writeln!(out, "{place}. update ({}) on top of {parent}", aum.kind);
        let mut content = String::new();
        change(&mut content, aum);
        for text in content.lines() {
            let _ = writeln!(out, "   {text}");
        }
    }
    for (signature, item) in draft.signatures().iter().zip(&request.signatures) {
        place += 1;
        node(&mut out, place, signature, &item.node);
    }
    out.push('\n');
    out
}

fn node(out: &mut String, place: usize, signature: &NodeKeySignature, name: &str) {
    let key = signature.node_key().map(|key| key.to_string()).unwrap_or_default();
    let _ = writeln!(out, "{place}. let in {key}");
    if !name.is_empty() {
        let _ = writeln!(out, "   Node: {} (as the file says)", line(name));
    }
    match (signature.kind, &signature.nested) {
        (SigKind::ROTATION, Some(nested)) => {
            let former = nested.node_key().map(|key| key.to_string()).unwrap_or_default();
            let _ = writeln!(out, "   In place of: {former}");
            if let Ok(signer) = nested.authorizing_key() {
                let _ = writeln!(out, "   Which rests on: {signer}");
            }
        }
        _ => {
            let rotator = signature.wrapping_key().and_then(|key| key.try_into().ok());
            let _ = match rotator.map(LockKey) {
                Some(key) => writeln!(out, "   May be rotated by: {key}"),
                None => writeln!(out, "   May be rotated by: nobody"),
            };
        }
    }
}
