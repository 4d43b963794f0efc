//! The invited machine's side of the conversation.

use std::collections::BTreeSet;
use std::time::Duration;

use ledger::history::{Joined, MemberDetails, MemberFingerprint, MemberKey};
use ledger::lock::signatures::Signer;
use tokio::time::sleep;

use super::Token;
use super::words::{Answer, Ask, Introduction, Renewal, bound_message, renewal_message};
use crate::peers::{FrameError, HelloError, Identity, Limits, NotReached, Program, Reason, dial};

/// How long a host may be silent. It keeps whoever waits for approval for less.
const ANSWER: Duration = Duration::from_secs(60);
/// The pause before everybody is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// What happens while somebody wants to join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A member cannot be reached, or breaks off.
    NotReached {
        /// Its address.
        address: String,
        /// Why.
        why: String,
    },
    /// Somebody has to approve this fingerprint.
    Waits(MemberFingerprint),
}

/// Why somebody cannot join. Asking again would not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotLetIn {
    /// A member has turned it away.
    #[error("the member at {address} does not let this replica in: {reason}")]
    TurnedAway {
        /// The member's address.
        address: String,
        /// Its reason; untrusted text.
        reason: String,
    },
    /// The invitation names nobody.
    #[error("the invitation names no member to ask")]
    Nobody,
}

/// Who wants to join.
pub struct Guest<'a> {
    /// Its member key.
    pub member: &'a (dyn Signer + Send + Sync),
    /// The same, for connections.
    pub identity: &'a Identity,
    /// What it says of itself.
    pub details: &'a MemberDetails,
    /// What its program can do.
    pub program: &'a Program,
    /// The member key that it had, if it is to take its own place.
    pub former: Option<&'a (dyn Signer + Send + Sync)>,
}

/// Asks the members that the invitation names, one after the other, until one lets this replica in
/// or turns it away. Waits for as long as none of them does either.
pub async fn join(
    guest: &Guest<'_>,
    token: &Token,
    mut progress: impl FnMut(Progress),
) -> Result<Introduction, NotLetIn> {
    if token.members.is_empty() {
        return Err(NotLetIn::Nobody);
    }
    let mut last = None;
    loop {
        for (key, address) in &token.members {
            let told = |now: Progress| {
                if last.as_ref() != Some(&now) {
                    progress(now.clone());
                    last = Some(now);
                }
            };
            match ask(guest, token, *key, address, told).await {
                Ok(Some(introduction)) => return Ok(introduction),
                Ok(None) => {}
                Err(Broken::TurnedAway(reason)) => {
                    return Err(NotLetIn::TurnedAway { address: address.clone(), reason });
                }
                Err(Broken::NotReached(why)) => {
                    let now = Progress::NotReached { address: address.clone(), why };
                    if last.as_ref() != Some(&now) {
                        progress(now.clone());
                        last = Some(now);
                    }
                }
            }
        }
        sleep(PAUSE).await;
    }
}

enum Broken {
    NotReached(String),
    TurnedAway(String),
}

impl From<FrameError> for Broken {
    fn from(error: FrameError) -> Self {
        Broken::NotReached(error.to_string())
    }
}

impl From<NotReached> for Broken {
    fn from(error: NotReached) -> Self {
        let NotReached::Hello(hello) = &error else {
            return Broken::NotReached(error.to_string());
        };
        let final_word = match hello {
            HelloError::Cluster(_) | HelloError::Wire { .. } | HelloError::Rules { .. } => true,
            HelloError::Refused(reason) => matches!(
                reason,
                Reason::Cluster
                    | Reason::Incarnation
                    | Reason::Wire
                    | Reason::Rules
                    | Reason::Removed
            ),
            _ => false,
        };
        if final_word {
            Broken::TurnedAway(error.to_string())
        } else {
            Broken::NotReached(error.to_string())
        }
    }
}

/// Asks one member. `None`: it has kept this replica waiting, which is to ask again.
async fn ask(
    guest: &Guest<'_>,
    token: &Token,
    key: MemberKey,
    address: &str,
    mut progress: impl FnMut(Progress),
) -> Result<Option<Introduction>, Broken> {
    let (pins, limits) = (BTreeSet::from([key]), Limits::default());
    let mut stream =
        dial(guest.identity, token.cluster, guest.program, address, pins, &limits).await?;
    let member_key = guest.identity.key();
    let (invitation, details) = (token.key(), guest.details.clone());
    let claim = Joined::claim(token.cluster, token.incarnation, invitation, member_key, &details);
    let joined = Joined {
        invitation,
        member_key,
        details,
        proof: token.secret.sign(&claim),
        consent: guest.member.sign(&claim),
    };
    let renewal = guest.former.map(|former| Renewal {
        former: MemberKey(former.public().0),
        signature: former.sign(&renewal_message(stream.binding(), &joined)),
    });
    let bound = token.secret.sign(&bound_message(stream.binding(), member_key));
    let ask = Ask { joined, bound, renewal };
    stream.send(&ask.to_bytes()).await?;
    let mut waits = false;
    loop {
        let answer = match stream.receive(ANSWER).await {
            Ok(answer) => answer,
            // Whoever waits is let go from time to time.
            Err(_) if waits => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let answer = Answer::from_bytes(&answer).map_err(|e| Broken::NotReached(e.to_string()))?;
        match answer {
            Answer::LetIn(introduction) => return Ok(Some(introduction)),
            Answer::TurnedAway(reason) => return Err(Broken::TurnedAway(reason)),
            Answer::NotNow(reason) => return Err(Broken::NotReached(reason)),
            Answer::Waits(fingerprint) => {
                waits = true;
                // Its own, whatever the host says.
                if fingerprint == member_key.fingerprint() {
                    progress(Progress::Waits(fingerprint));
                }
            }
        }
    }
}
