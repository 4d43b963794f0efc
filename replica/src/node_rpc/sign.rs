//! `sign`, `affected-sigs` and `disable`.

use ledger::history::{Disablement, Event, NodeSignature, roster};
use ledger::ids::LockKey;
use ledger::lock::node_keys::{NodeKeySignature, authorize};
use ledger::lock::signatures::{Unverified, verify_one};
use ledger::{Fault, Refusal};

use super::bodies::{
    DisableRequest, SignaturesUsingKeyAnswer, SignaturesUsingKeyRequest, SubmitSignatureRequest,
};
use super::{NotAnswered, caller};
use crate::go_json::Base64;
use crate::operations::{Ground, NotPlanned};

/// Checks a signature for a node of the roster, and plans to keep it; none if the node has it.
pub fn sign(
    ground: Ground<'_>,
    request: &SubmitSignatureRequest,
) -> Result<Option<Event>, NotAnswered> {
    caller(ground, request.node_key)?;
    let state = ground.authority()?.state();
    let bad = |why: Refusal| NotAnswered::malformed("the signature", why);
    let signature =
        NodeKeySignature::decode(&request.signature.0).map_err(|why| bad(why.into()))?;
    let node_key = signature
        .node_key()
        .ok_or_else(|| bad(ledger::lock::node_keys::NotAuthorized::OtherNodeKey.into()))?;
    let node = roster::by_node_key(ground.rows, node_key)?;
    let node = node.ok_or(NotPlanned::UnknownNodeKey(node_key))?;
    let verified = verify_one(Unverified::new(signature)).map_err(bad)?;
    authorize(&verified, node_key, state).map_err(bad)?;
    let signature = verified.into_inner();
    if node.signature.as_ref() == Some(&signature) && node.standing.is_in() {
        return Ok(None);
    }
    Ok(Some(Event::NodeKeysSigned(vec![NodeSignature { node: node.id, signature }])))
}

/// The signatures of current node keys that rest on a key and hold. Any bytes may be asked for.
pub fn affected_signatures(
    ground: Ground<'_>,
    request: &SignaturesUsingKeyRequest,
) -> Result<SignaturesUsingKeyAnswer, NotAnswered> {
    caller(ground, request.node_key)?;
    ground.authority()?;
    let asked = request.key_id.as_ref().map_or(&[][..], |id| &id.0);
    let mut signatures = Vec::new();
    if let Ok(key) = asked.try_into().map(LockKey) {
        for id in roster::signed_by(ground.rows, key)? {
            let node = roster::node(ground.rows, id)?;
            let node = node.ok_or_else(|| Fault::new(format!("node {id} is missing")))?;
            if let Some(signature) = node.signature.filter(|_| node.standing.is_in()) {
                signatures.push(Base64(signature.to_cbor()));
            }
        }
    }
    Ok(SignaturesUsingKeyAnswer {
        signatures: Some(signatures).filter(|signatures| !signatures.is_empty()),
    })
}

/// Checks a disablement secret, and plans to end the lock. Runs the KDF once, so whoever serves
/// this limits how often.
pub fn disable(ground: Ground<'_>, request: &DisableRequest) -> Result<Event, NotAnswered> {
    caller(ground, request.node_key)?;
    let authority = ground.authority()?;
    // A node that speaks of another lock, or of a head that has lost, must hear of this one first.
    if !authority.chain(ground.rows).is_ancestor(&request.head, &authority.head())? {
        return Err(NotAnswered::Conflict("the head has changed, try again".into()));
    }
    let secret = request.disablement_secret.0.clone();
    let value = authority.state().disablement_value_of(&secret);
    let value = value.ok_or(NotPlanned::WrongSecret)?;
    Ok(Event::LockDisabled(Disablement { secret, value }))
}
