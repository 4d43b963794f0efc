//! Revocations as the bodies show them.

use ledger::Fault;
use ledger::history::cosigning::{self, Pending, Standing, Weighed};
use ledger::history::lifecycle::Lifecycle;
use ledger::history::{NodeId, RevocationOpened, roster};
use ledger::ids::{AumHash, LockKey};
use ledger::lock::revocation::NotRevoked;
use ledger::lock::{Aum, Chain, Key, Sealed};

use super::bodies::{
    Base64, DoorVotes, RevocationBody, RevocationEffect, RevocationSignature, RevocationVotes,
    UndoneAum,
};
use crate::operations::Ground;

/// Undone AUMs that are listed, at most.
const UNDONE_LISTED: usize = 100;

/// A revocation that waits.
pub(super) fn pending(ground: Ground<'_>, pending: &Pending) -> Result<RevocationBody, Fault> {
    let standing = cosigning::standing(ground.rows, ground.fold, pending)?;
    let RevocationOpened { aum, keys, reason, note } = &pending.opened;
    let mut body = body(ground, aum, standing)?;
    body.pending = true;
    body.keys = keys.iter().map(LockKey::to_tlpub).collect();
    body.reason = reason.map(|reason| reason.name().to_owned());
    body.note.clone_from(note);
    body.opened_record = Some(pending.since);
    for (signature, record) in body.signatures.iter_mut().zip(&pending.signed) {
        signature.record = Some(*record);
    }
    Ok(body)
}

/// A revocation, whether it waits or was brought along. Of one that waits it shows the signatures
/// that it was brought with.
pub(super) fn revocation(ground: Ground<'_>, aum: &Sealed) -> Result<RevocationBody, Fault> {
    if let Some(pending) = cosigning::pending(ground.rows, aum.sig_hash())? {
        let signed = pending.opened.aum.hash() == aum.hash();
        let mut whole = self::pending(ground, &pending)?;
        if signed {
            return Ok(whole);
        }
        let known = std::mem::take(&mut whole.signatures);
        let mut shown = brought(ground, aum)?;
        for signature in &mut shown.signatures {
            let same = known.iter().find(|known| known.key == signature.key);
            signature.record = same.and_then(|known| known.record);
        }
        let RevocationBody { keys, reason, note, opened_record, .. } = whole;
        return Ok(RevocationBody { pending: true, keys, reason, note, opened_record, ..shown });
    }
    brought(ground, aum)
}

fn brought(ground: Ground<'_>, aum: &Sealed) -> Result<RevocationBody, Fault> {
    let standing = match (ground.fold.lifecycle(), ground.fold.authority()) {
        (Lifecycle::On(_), Some(authority)) => {
            match cosigning::weigh(ground.rows, ground.fold.rules(), authority, aum) {
                Ok(weighed) => Standing::Open(Box::new(weighed)),
                Err(ledger::Failure::Refused(refusal)) => Standing::Void(refusal),
                Err(ledger::Failure::Fault(fault)) => return Err(fault),
            }
        }
        _ => Standing::EpochOver,
    };
    body(ground, aum, standing)
}

fn body(ground: Ground<'_>, aum: &Sealed, standing: Standing) -> Result<RevocationBody, Fault> {
    let mut body = RevocationBody {
        id: aum.sig_hash().to_string(),
        aum: Base64(aum.bytes().to_vec()),
        fork_point: aum.parent_hash().map(|hash| hash.to_string()).unwrap_or_default(),
        signatures: signers(aum)
            .map(|key| RevocationSignature { key: key.to_tlpub(), votes: None, record: None })
            .collect(),
        ..RevocationBody::default()
    };
    body.state = match standing {
        Standing::EpochOver => "over",
        Standing::Void(ledger::Refusal::NotRevoked(NotRevoked::InForce)) => "in-force",
        Standing::Void(refusal) => {
            body.problem = Some(refusal.to_string());
            "void"
        }
        Standing::Open(weighed) => {
            let state = match (weighed.passes(), weighed.can_pass) {
                (true, _) => "ready",
                (false, true) => "waiting",
                (false, false) => "outvoted",
            };
            weigh_in(ground, &mut body, &weighed)?;
            state
        }
    }
    .to_owned();
    Ok(body)
}

/// Adds what the revocation would change, and its votes.
fn weigh_in(ground: Ground<'_>, body: &mut RevocationBody, weighed: &Weighed) -> Result<(), Fault> {
    let Weighed { examined, votes, door, .. } = weighed;
    for signature in &mut body.signatures {
        let signer = votes.signers.iter().find(|(key, _)| key.to_tlpub() == signature.key);
        signature.votes = signer.map(|(_, votes)| *votes);
    }
    let mut undone = Vec::new();
    if let Some(authority) = ground.fold.authority() {
        let chain = authority.chain(ground.rows);
        for hash in examined.undone.iter().take(UNDONE_LISTED) {
            undone.push(undone_aum(chain, hash)?);
        }
    }
    body.effect = Some(RevocationEffect {
        removed: texts(&examined.removed),
        restored: texts(&examined.restored),
        reset: texts(&examined.reset),
        planted: texts(&examined.planted),
        disablement: examined.disablement,
        undone,
        undone_count: examined.undone.len() as u64,
        locked_out: locked_out(ground, &examined.removed)?,
    });
    let others = votes.others.iter().map(|(key, votes)| RevocationSignature {
        key: key.to_tlpub(),
        votes: Some(*votes),
        record: None,
    });
    body.votes = Some(RevocationVotes {
        present: votes.present,
        against: votes.against,
        missing: weighed.missing(),
        missing_to_be_safe: weighed.missing_to_be_safe(),
        door: door.filter(|door| door.passes().is_err()).map(|door| DoorVotes {
            at: door.weakest.at.to_string(),
            present: door.weakest.present,
            taken: door.weakest.taken,
            undoes: door.weakest.undoes.map(|aum| aum.to_string()),
            final_needs: door.finality.map(|it| it.needed),
            final_has: door.finality.map(|it| it.votes),
        }),
        others: others.collect(),
    });
    Ok(())
}

fn undone_aum(chain: Chain<'_>, hash: &AumHash) -> Result<UndoneAum, Fault> {
    let aum = chain.aum(hash)?;
    let aum = aum.ok_or_else(|| Fault::new(format!("AUM {hash} is missing")))?;
    Ok(UndoneAum {
        hash: hash.to_string(),
        change: aum.kind.to_string(),
        signers: signers(&aum).map(|key| key.to_tlpub()).collect(),
    })
}

/// The nodes that are let in by these keys alone: all that rest on them.
fn locked_out(ground: Ground<'_>, keys: &[Key]) -> Result<Vec<String>, Fault> {
    let mut nodes: Vec<NodeId> = Vec::new();
    for key in keys.iter().filter_map(Key::lock_key) {
        nodes.extend(roster::signed_by(ground.rows, key)?);
    }
    nodes.sort();
    let mut names = Vec::new();
    for id in nodes {
        let node = roster::node(ground.rows, id)?;
        names.extend(node.filter(|node| node.standing.is_in()).map(|node| node.name));
    }
    Ok(names)
}

fn signers(aum: &Aum) -> impl Iterator<Item = LockKey> + '_ {
    aum.signatures.iter().filter_map(|signature| {
        signature.key_id.as_deref().and_then(|id| id.try_into().ok()).map(LockKey)
    })
}

fn texts(keys: &[Key]) -> Vec<String> {
    keys.iter().filter_map(Key::lock_key).map(|key| key.to_tlpub()).collect()
}
