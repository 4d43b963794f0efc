//! A member that its host does not know, and the host that is visited.

use std::collections::BTreeSet;
use std::time::Duration;

use ledger::Fault;
use ledger::history::{MemberKey, ReplicaId};
use tokio::time::timeout;

use super::letter::{
    Members, Piece, Visit, after, believed as believed_word, is_believed, read_after,
};
use super::words::{Answer, Introduced};
use crate::node::{
    Handle, LETTER_BYTES, LETTER_RECORDS, Letter, View, introduced, letter, read_letter,
};
use crate::peers::{FrameError, Identity, JoinStream, Limits, NotReached, Peer, dial};
use crate::security_log::Denial;

/// How long either side may take for its next word.
const WORD: Duration = Duration::from_secs(30);
/// How long a visit may take as a whole, where it is made.
const VISIT: Duration = Duration::from_secs(60);

/// Why a member does not get known to another one.
#[derive(Debug, thiserror::Error)]
pub enum NotBelieved {
    /// It is not reached; mostly, since it does not let anybody in whom it does not know.
    #[error(transparent)]
    NotReached(#[from] NotReached),
    /// The conversation broke off.
    #[error(transparent)]
    Broken(#[from] FrameError),
    /// It does not want to hear it, or does not believe it. Untrusted text.
    #[error("it says: {0}")]
    TurnedAway(String),
    /// There is nothing to be shown.
    #[error(
        "more than {LETTER_RECORDS} changes of the members since it was away: it has to join anew"
    )]
    TooMuch,
    /// The records cannot be read.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Shows the member with that key, at that address, that this replica is one as well.
pub async fn visit(
    handle: &Handle,
    identity: &Identity,
    key: MemberKey,
    address: &str,
) -> Result<(), NotBelieved> {
    let (pins, limits) = (BTreeSet::from([key]), Limits::default());
    let program = handle.supported().program();
    let mut stream = dial(identity, handle.cluster(), &program, address, pins, &limits).await?;
    let visit = Visit { replica: handle.replica(), incarnation: handle.incarnation() };
    stream.send(&visit.to_bytes()).await?;
    let answer = stream.receive(WORD).await?;
    let last = read_after(&answer).map_err(|_| turned_away(&answer))?;
    let view = handle.view();
    let peers = introduced(view.rows())?;
    // It may have to look at all records.
    let letter = tokio::task::spawn_blocking(move || letter(view.rows(), last)).await;
    let letter = letter.map_err(|error| Fault::from_error("write a letter", error))??;
    for piece in Piece::of(letter.ok_or(NotBelieved::TooMuch)?) {
        stream.send(&piece.to_bytes()).await?;
    }
    stream.send(&Members { peers }.to_bytes()).await?;
    let answer = stream.receive(WORD).await?;
    if is_believed(&answer) { Ok(()) } else { Err(turned_away(&answer)) }
}

fn turned_away(answer: &[u8]) -> NotBelieved {
    NotBelieved::TurnedAway(match Answer::from_bytes(answer) {
        Ok(Answer::TurnedAway(reason) | Answer::NotNow(reason)) => reason,
        _ => "nothing that this version understands".into(),
    })
}

/// Somebody says that it is a member whom this replica does not know yet.
pub(super) async fn visited(
    handle: &Handle,
    stream: &mut JoinStream,
    visit: Visit,
) -> Result<(), FrameError> {
    let late = |_| FrameError::Slow;
    timeout(VISIT, listen(handle, stream, visit)).await.map_err(late)?
}

async fn listen(handle: &Handle, stream: &mut JoinStream, visit: Visit) -> Result<(), FrameError> {
    let view = handle.view();
    let last = view.fold().next_index().checked_sub(1);
    // One at a time: a letter takes time to check.
    let place = handle.visits().clone().try_acquire_owned();
    let not_now = |why: &str| Answer::NotNow(why.into());
    let answer = match (last, place) {
        _ if visit.incarnation != handle.incarnation() => {
            Answer::TurnedAway("this member lives in another incarnation of the cluster".into())
        }
        _ if !handle.group().lonely => not_now("this member goes by those whom it knows"),
        (None, _) => not_now("this member has no record yet"),
        (_, Err(_)) => not_now("somebody else is visiting this member"),
        (Some(last), Ok(_place)) => {
            stream.send(&after(last)).await?;
            let (key, read) = (stream.key(), read(stream).await?);
            let believed = match read {
                Err(reason) => Err(reason),
                Ok((letter, peers)) => {
                    let work = move || believe(&view, visit.replica, key, &letter, &peers);
                    let stopped = || "this member stops".to_owned();
                    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(stopped()))
                }
            };
            match believed {
                Ok((record, peers)) => {
                    tracing::info!(
                        replica = %visit.replica, record,
                        "a member that has joined while this one was away has shown that it is one"
                    );
                    handle.introduced(visit.replica, record, peers);
                    return stream.send(&believed_word()).await;
                }
                Err(reason) => {
                    tracing::warn!(reason, "somebody claims to be a member, and is not believed");
                    handle.security().denied(Denial::Joiner, "a visitor", &reason);
                    Answer::TurnedAway(reason)
                }
            }
        }
    };
    stream.send(&answer.to_bytes()).await
}

/// Hears a letter, and who the members are; or what is wrong with them.
async fn read(
    stream: &mut JoinStream,
) -> Result<Result<(Vec<Vec<u8>>, Introduced), String>, FrameError> {
    let (mut letter, mut bytes) = (Vec::new(), 0);
    loop {
        let piece = match Piece::from_bytes(&stream.receive(WORD).await?) {
            Ok(piece) => piece,
            Err(malformed) => return Ok(Err(format!("no letter: {malformed}"))),
        };
        bytes += piece.records.iter().map(Vec::len).sum::<usize>();
        let empty = piece.records.is_empty() && piece.more;
        letter.extend(piece.records);
        if empty || letter.len() > LETTER_RECORDS || bytes > LETTER_BYTES {
            return Ok(Err("a letter that is too long, or does not end".into()));
        }
        if !piece.more {
            break;
        }
    }
    let members = Members::from_bytes(&stream.receive(WORD).await?);
    Ok(members.map(|members| (letter, members.peers)).map_err(|e| format!("no members: {e}")))
}

/// Whether the letter says that whoever brings it, with that key, is the member `by`. Then who the members
/// are behind its last record, at the addresses that `peers` has.
fn believe(
    view: &View,
    by: ReplicaId,
    key: MemberKey,
    letter: &[Vec<u8>],
    peers: &Introduced,
) -> Result<(u64, Introduced), String> {
    let read = read_letter(view.fold(), view.rows(), letter).map_err(|fault| {
        tracing::error!(%fault, "cannot read a letter");
        "this member cannot read its records".to_owned()
    })?;
    let Letter { members, record } = read?;
    if members.get(&by) != Some(&key) {
        return Err(format!("the letter does not say that replica {by} is a member"));
    }
    let address = |id: ReplicaId| peers.get(&id).and_then(|peer| peer.address.clone());
    let members = members.into_iter().map(|(id, key)| (id, Peer { key, address: address(id) }));
    Ok((record, members.collect()))
}
