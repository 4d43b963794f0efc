//! Joining a group on the first start.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use ledger::history::MemberDetails;
use ledger::lock::signatures::Signer;
use ledger::rows::raft::{Identity, Neighbour};
use zeroize::Zeroizing;

use super::config::JoinFrom;
use super::error::ServeError;
use crate::joining::guest::{Guest, NotLetIn, Progress, join};
use crate::joining::{Introduction, TOKEN_BYTES, Token};
use crate::peers::{self, Program};

/// Reads the invitation.
pub(super) fn read(from: &JoinFrom) -> Result<Token, ServeError> {
    let (place, text) = match from {
        JoinFrom::Stdin => ("on standard input".to_owned(), bounded(io::stdin().lock())),
        JoinFrom::File(path) => {
            (format!("in {}", path.display()), File::open(path).and_then(bounded))
        }
    };
    let wrong = |what: String| ServeError::Invitation { place: place.clone(), what };
    let text = text.map_err(|error| wrong(error.to_string()))?;
    Token::from_text(&text).map_err(|error| wrong(error.to_string()))
}

fn bounded(from: impl Read) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    from.take(TOKEN_BYTES as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// Asks until the group lets this replica in, and says who it then is. `former` is the member key that
/// it had, if it is to take its own place.
pub(super) async fn follow(
    token: &Token,
    details: &MemberDetails,
    member: Arc<dyn Signer + Send + Sync>,
    program: &Program,
    former: Option<&(dyn Signer + Send + Sync)>,
) -> Result<(Identity, Vec<Neighbour>), NotLetIn> {
    let identity = peers::Identity::new(member.clone());
    let guest = Guest { member: &*member, identity: &identity, details, program, former };
    let fingerprint = identity.key().fingerprint();
    tracing::info!(%fingerprint, cluster = %token.cluster, "asking to be let in");
    let introduction = join(&guest, token, |progress| match progress {
        Progress::NotReached { address, why } => tracing::warn!(address, why, "cannot be asked"),
        Progress::Waits(fingerprint) => tracing::warn!(
            "waiting for approval; on a member run: lockstep cluster approve {fingerprint}"
        ),
    })
    .await?;
    let Introduction { replica, incarnation, peers } = introduction;
    tracing::info!(%replica, "the group has let this replica in");
    let identity = Identity { cluster: token.cluster.0, replica: replica.0, incarnation };
    let neighbours = peers.into_iter().map(|(id, peer)| Neighbour {
        replica: id.0,
        key: peer.key.0,
        address: peer.address,
    });
    Ok((identity, neighbours.collect()))
}
