//! `lock revoke-keys`: trust is taken back retroactively, in several steps by several keys.
//!
//! A revocation begins with [`generate`], gathers signatures by [`cosign`] and takes effect by
//! [`finish`]; [`withdraw`] gives it up. Between the steps it waits on record, and travels as a
//! blob besides, so that signing nodes without this ledger can take part.

pub mod cosign;
pub mod finish;
pub mod generate;
pub mod withdraw;

use ledger::Refusal;
use ledger::history::cosigning::{self, Pending};
use ledger::history::{ChangeReason, Event, RevocationOpened, RevocationSigned};
use ledger::ids::{AumHash, LockKey, SigHash};
use ledger::lock::revocation::examine;
use ledger::lock::signatures::{Unverified, verify_one};
use ledger::lock::{AumSignature, Invalid, Sealed};

use super::{Ground, NotPlanned};

/// Characters of a revocation's name that are enough to find it by, if no other begins so.
pub const PREFIX: usize = 6;

/// Why a step of a revocation is not taken, apart from the lock's own rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotRevoke {
    /// The fork point that was asked for is not on the active chain.
    #[error("no fork from {0}: this AUM is not on the active chain")]
    UnknownForkPoint(AumHash),
    /// A signature of the key would make the revocation void.
    #[error(
        "this node does not have a trusted tailnet lock key at the fork point: {key} was not \
         trusted at AUM {at}"
    )]
    SignerNotTrusted {
        /// The key that was to sign.
        key: LockKey,
        /// The fork point.
        at: AumHash,
    },
    /// No revocation that waits is named so.
    #[error("no revocation that waits for signatures begins with {0:?}")]
    Unknown(String),
    /// It waits already, and what was said of it when it began stays.
    #[error("revocation {0} waits already, and is on record with another reason or note, or none")]
    SaidOtherwise(SigHash),
    /// Several are.
    #[error("{1} revocations that wait for signatures begin with {0:?}")]
    Several(String, usize),
    /// Too little of a name.
    #[error("{0:?} is too short for the name of a revocation: give {PREFIX} characters or more")]
    Short(String),
    /// The lock that it was for is off.
    #[error("revocation {0} was for a lock that has been disabled since")]
    EpochOver(SigHash),
    /// It was recorded, and something heavier came first.
    #[error("AUM {0} is on record, but lost to a branch with more votes")]
    Overtaken(AumHash),
    /// Fork resolution would not prefer it.
    #[error(
        "the revocation would lose: votes for it {present}, for the branch that it would replace \
         {against}, missing {missing}"
    )]
    Loses {
        /// Votes of its signers at the fork point.
        present: u64,
        /// Votes of what follows the fork point now.
        against: u64,
        /// Votes with which it wins for certain.
        missing: u64,
    },
}

impl CannotRevoke {
    /// What the person who asked can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            CannotRevoke::UnknownForkPoint(_) => {
                "'lockstep lock log' lists the AUMs of the active chain"
            }
            CannotRevoke::SignerNotTrusted { .. } => {
                "ask on a signing node that was trusted then, or choose a later fork point \
                 (--fork-from)"
            }
            CannotRevoke::Unknown(_) | CannotRevoke::Short(_) => {
                "'lockstep lock revoke-keys --cosign' lists those that wait"
            }
            CannotRevoke::SaidOtherwise(_) => {
                "give them with --finish, or leave them out; or withdraw it (lockstep lock \
                 revoke-keys --withdraw) and begin anew"
            }
            CannotRevoke::Several(..) => "give more of its name",
            CannotRevoke::EpochOver(_) => {
                "withdraw it (lockstep lock revoke-keys --withdraw); its keys are trusted no longer"
            }
            CannotRevoke::Overtaken(_) | CannotRevoke::Loses { .. } => {
                "let more nodes sign it (lockstep lock revoke-keys --cosign); if most keys are \
                 compromised, disable the lock and initialize it anew"
            }
        }
    }
}

/// How somebody says which revocation is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// By how its name begins, in base32 or hex.
    Name(String),
    /// By the checkpoint itself, with the signatures that it has so far.
    Blob(Box<Sealed>),
}

/// A step and what it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The event to record; none if that has been recorded before.
    pub event: Option<Event>,
    /// The checkpoint with all signatures that are on record then.
    pub aum: Sealed,
}

/// The revocation of that name that waits.
pub fn find(ground: Ground<'_>, name: &str) -> Result<Pending, NotPlanned> {
    let named = |error: fn(String) -> CannotRevoke| NotPlanned::from(error(name.to_owned()));
    if name.chars().count() < PREFIX {
        return Err(named(CannotRevoke::Short));
    }
    let (base32, hex) = (name.to_ascii_uppercase(), name.to_ascii_lowercase());
    let begins = |pending: &Pending| {
        let id = pending.id();
        id.to_string().starts_with(&base32) || id.to_hex().starts_with(&hex)
    };
    let mut found: Vec<_> = cosigning::list(ground.rows)?.into_iter().filter(begins).collect();
    match (found.pop(), found.len()) {
        (Some(pending), 0) => Ok(pending),
        (None, _) => Err(named(CannotRevoke::Unknown)),
        (Some(_), others) => Err(CannotRevoke::Several(name.to_owned(), others + 1).into()),
    }
}

/// The revocation that is meant, with the signatures that it is meant with.
fn meant(ground: Ground<'_>, which: &Which) -> Result<Sealed, NotPlanned> {
    match which {
        Which::Blob(aum) => Ok((**aum).clone()),
        Which::Name(name) => {
            let pending = find(ground, name)?;
            let now = ground.fold.lifecycle().is_on().then(|| ground.fold.epoch()).flatten();
            if now == Some(pending.epoch) {
                Ok(pending.opened.aum)
            } else {
                Err(CannotRevoke::EpochOver(pending.id()).into())
            }
        }
    }
}

/// Whether the signatures on a blob from elsewhere are those of the keys that they name.
fn genuine(aum: Sealed) -> Result<Sealed, NotPlanned> {
    Ok(verify_one(Unverified::new(aum))?.into_inner())
}

/// Whether the key has a say where the revocation forks off. The fork point is known.
fn has_a_say(ground: Ground<'_>, key: LockKey, at: AumHash) -> Result<(), NotPlanned> {
    let state = ground.authority()?.chain(ground.rows).state_at(&at)?;
    match state.is_some_and(|state| state.key(&key.0).is_some()) {
        true => Ok(()),
        false => Err(CannotRevoke::SignerNotTrusted { key, at }.into()),
    }
}

/// The checkpoint of the revocation that an event is about, if it is about one.
pub(super) fn checkpoint(ground: Ground<'_>, event: &Event) -> Result<Option<Sealed>, NotPlanned> {
    Ok(match event {
        Event::RevocationOpened(opened) => Some(opened.aum.clone()),
        Event::RevocationSigned(signed) => {
            let pending = cosigning::pending(ground.rows, signed.revocation)?;
            pending.map(|pending| pending.opened.aum)
        }
        _ => None,
    })
}

/// What is said of a revocation when it begins to wait.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// The keys that it is to revoke.
    pub keys: Vec<LockKey>,
    /// Why, for the record.
    pub reason: Option<ChangeReason>,
    /// Free text for the record.
    pub note: Option<String>,
}

/// Has a revocation with genuine signatures wait, or adds them to the one that waits.
fn record(ground: Ground<'_>, aum: Sealed, about: &About) -> Result<Step, NotPlanned> {
    examine(ground.rows, ground.authority()?, &aum)?;
    let Some(pending) = cosigning::pending(ground.rows, aum.sig_hash())? else {
        let mut keys = about.keys.clone();
        keys.sort();
        keys.dedup();
        let About { reason, note, .. } = about.clone();
        let opened = RevocationOpened { aum: aum.clone(), keys, reason, note };
        return Ok(Step { event: Some(Event::RevocationOpened(Box::new(opened))), aum });
    };
    let opened = &pending.opened;
    let other_reason = about.reason.is_some() && about.reason != opened.reason;
    if other_reason || (about.note.is_some() && about.note != opened.note) {
        return Err(CannotRevoke::SaidOtherwise(pending.id()).into());
    }
    let whole = pending.opened.aum;
    let signer = |signature: &AumSignature| signature.key_id.clone();
    let mut signatures = Vec::new();
    for (index, signature) in aum.signatures.iter().enumerate() {
        if whole.signatures.iter().any(|other| signer(other) == signer(signature)) {
            continue;
        }
        let shape = || Refusal::from(Invalid::SignatureShape(index));
        let key = signature.key_id.as_deref().and_then(|id| id.try_into().ok());
        let bytes = signature.signature.as_deref().and_then(|bytes| bytes.try_into().ok());
        signatures.push((LockKey(key.ok_or_else(shape)?), bytes.ok_or_else(shape)?));
    }
    signatures.sort_by_key(|(key, _)| *key);
    let added = RevocationSigned { revocation: aum.sig_hash(), signatures };
    let aum = added.onto(whole);
    let event = (!added.signatures.is_empty()).then_some(Event::RevocationSigned(added));
    Ok(Step { event, aum })
}

#[cfg(test)]
mod tests;
