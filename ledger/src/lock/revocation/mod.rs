//! Taking trust back retroactively: a checkpoint without the compromised keys, on a fork from
//! before they could do harm (spec 10).

mod examine;
mod outvoting;
mod votes;

use std::collections::BTreeSet;

pub use self::examine::{Examined, examine};
pub use self::outvoting::{Stand, weakest_stand};
pub use self::votes::{Votes, votes};
use super::builder::sign;
use super::signatures::Signer;
use super::{Aum, AumKind, Authority, Key, Sealed, State};
use crate::ids::{AumHash, LockKey};
use crate::rows::Rows;
use crate::{Failure, Fault, Refusal};

/// Why a revocation is not made or not cosigned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRevoked {
    /// None of the keys is trusted.
    #[error("no provided key is currently trusted")]
    NotTrusted,
    /// Nobody would be left.
    #[error("cannot revoke all trusted keys")]
    AllKeys,
    /// Keys would be left, but none with which anybody can sign.
    #[error(
        "cannot revoke the last keys that anyone can sign with: {left} would be left, made for \
         auth keys or malformed"
    )]
    NobodyCanSign {
        /// How many.
        left: usize,
    },
    /// The checkpoint breaks the static rules.
    #[error("generated revocation was invalid: {0}")]
    Invalid(#[source] Box<Refusal>),
    /// The key has signed already.
    #[error("this node has already signed this recovery AUM")]
    AlreadySigned,
    /// Only revocations are cosigned.
    #[error("not a revocation: {0}")]
    NotARevocation(&'static str),
    /// It takes no trust away, so nothing is a reason to undo what came since.
    #[error("the revocation takes away no key that has been trusted since its fork point")]
    TakesNothing,
    /// It would undo what others than the keys that it takes away have decided.
    #[error(
        "the revocation would undo AUM {by}, which a key that it leaves trusted has signed, for a \
         key that it leaves trusted"
    )]
    Contradicts {
        /// The AUM.
        by: AumHash,
    },
    /// It is part of the active chain already, with these signatures or others.
    #[error("the revocation is in force already")]
    InForce,
    /// It has this key's signature twice.
    #[error("the revocation has two signatures of {0}")]
    SignedTwice(LockKey),
    /// It has a signature by a key without a say, which makes it void as a whole.
    #[error("{key} has signed the revocation but is not trusted at its fork point {at}")]
    UntrustedSigner {
        /// The key.
        key: LockKey,
        /// The fork point.
        at: AumHash,
    },
}

impl NotRevoked {
    /// What the person who asked can do about it, where there is something.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            NotRevoked::NotTrusted => "'lockstep lock status' lists the trusted keys",
            NotRevoked::AllKeys | NotRevoked::NobodyCanSign { .. } => {
                "add another signing key first, or use 'lockstep lock disable' to disable tailnet \
                 lock and initialize it anew"
            }
            NotRevoked::AlreadySigned => {
                "let another node sign it, or finish it (lockstep lock revoke-keys --finish)"
            }
            NotRevoked::NotARevocation(_) => {
                "sign nothing of the kind; ask whoever sent it, or begin a revocation of your own"
            }
            NotRevoked::TakesNothing => "name a key that is to be revoked",
            NotRevoked::Contradicts { .. } => {
                "begin the revocation anew, so that it leaves the keys as they are now; \
                 'lockstep lock log' shows the AUM"
            }
            NotRevoked::SignedTwice(_) | NotRevoked::UntrustedSigner { .. } => {
                "take the revocation as it was before that signature"
            }
            NotRevoked::InForce => {
                "nothing is left to do: 'lockstep lock status' lists the keys that are trusted now"
            }
            NotRevoked::Invalid(reason) => return reason.remedy(),
        })
    }
}

/// The revocation of `keys` (IDs), not signed yet: a checkpoint of the current state without
/// them (spec 10). Keys that are not trusted are passed over.
///
/// Its parent is `fork_from` as given, known or not; without it the [`fork_point`] for the signer
/// `our`. Costs what the fork point costs.
pub fn generate(
    rows: &dyn Rows,
    authority: &Authority,
    keys: &[Vec<u8>],
    our: &LockKey,
    fork_from: Option<AumHash>,
) -> Result<Aum, Failure> {
    let parent = match fork_from {
        Some(parent) => parent,
        None => fork_point(rows, authority, keys, our)?,
    };
    let mut state = authority.state().clone();
    state.last_aum = None;
    if let Some(trusted) = &mut state.keys {
        let listed =
            if planted!(RevokeAllButOne) { keys.get(1..).unwrap_or_default() } else { keys };
        trusted.retain(|key| !listed.iter().any(|id| key.id() == Some(id.as_slice())));
    }
    somebody_can_sign(&state)?;
    let mut aum = Aum::new(AumKind::CHECKPOINT, Some(parent));
    aum.state = Some(state);
    aum.check().map_err(|e| NotRevoked::Invalid(Box::new(e.into())))?;
    Ok(aum)
}

/// Whether a revocation that leaves this state leaves anybody who can sign.
fn somebody_can_sign(state: &State) -> Result<(), NotRevoked> {
    match state.keys() {
        [] => Err(NotRevoked::AllKeys),
        keys if keys.iter().any(Key::can_sign) => Ok(()),
        keys => Err(NotRevoked::NobodyCanSign { left: keys.len() }),
    }
}

/// Where a revocation of `keys` should fork off: going back from the head, the first AUM at which
/// none of them is trusted and our own key is; failing that, the oldest AUM (spec 10).
///
/// For each change of one of these keys' trust, a logarithm of the height; the length of the
/// chain does not matter.
pub fn fork_point(
    rows: &dyn Rows,
    authority: &Authority,
    keys: &[Vec<u8>],
    our: &LockKey,
) -> Result<AumHash, Failure> {
    if !keys.iter().any(|id| authority.state().key(id).is_some()) {
        return Err(NotRevoked::NotTrusted.into());
    }
    let chain = authority.chain(rows);
    let (oldest, head) = (authority.oldest(), authority.head());
    let wanted: BTreeSet<(&[u8], bool)> =
        keys.iter().map(|id| (id.as_slice(), false)).chain([(our.0.as_slice(), true)]).collect();
    let mut height = authority.head_place().height;
    loop {
        // The lowest height at which some key began to stand against us and still does.
        let mut lowest: Option<u64> = None;
        for (id, want) in &wanted {
            let since = match chain.trust_below(id, height, &head)? {
                Some(change) if change.trusted != *want => change.at.height,
                // Never trusted at all down here.
                None if *want => return Ok(oldest.hash),
                _ => continue,
            };
            lowest = Some(lowest.map_or(since, |lowest| lowest.min(since)));
        }
        height = match lowest {
            None => break,
            Some(since) if since > oldest.height => since - 1,
            Some(_) => return Ok(oldest.hash),
        };
    }
    let found = chain.ancestor_at(&head, height)?;
    Ok(found.ok_or_else(|| Fault::new("an ancestor of the head is missing"))?)
}

/// A revocation with one more signature, by whichever key; nobody signs twice (spec 10).
///
/// Whether it may be signed is another question: see [`examine`].
pub fn cosign(revocation: Sealed, signer: &dyn Signer) -> Result<Sealed, Refusal> {
    let ours = signer.public().0;
    if revocation.signatures.iter().any(|s| s.key_id.as_deref() == Some(&ours)) {
        return Err(NotRevoked::AlreadySigned.into());
    }
    let mut aum = revocation.into_aum();
    let signature = sign(&aum, signer);
    aum.signatures.push(signature);
    Ok(Sealed::new(aum))
}
