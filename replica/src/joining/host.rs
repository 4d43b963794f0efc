//! The member's side of the conversation with somebody who was invited.

use std::time::Duration;

use ledger::Fault;
use ledger::history::members::{self, Standing};
use ledger::history::{Event, Joined, RequestId, Who, requests};
use ledger::lock::signatures::{Unverified, verify_one};
use tokio::time::{Instant, timeout_at};

use super::words::{Answer, Ask, Introduction, OnConnection};
use crate::node::{Handle, Outcome, Submission, introduced};
use crate::peers::{FrameError, JoinStream};
use crate::security_log::Denial;

/// How long a guest may take to say what it wants.
const ASK: Duration = Duration::from_secs(10);
/// How long a guest that waits for approval is kept before it has to ask again.
const KEPT: Duration = Duration::from_secs(30);

/// Talks with somebody who wants to join, to the end.
pub async fn receive(handle: Handle, mut stream: JoinStream) {
    match talk(&handle, &mut stream).await {
        Ok(()) => stream.close().await,
        Err(error) => tracing::debug!(%error, "a conversation with a joiner broke off"),
    }
}

async fn talk(handle: &Handle, stream: &mut JoinStream) -> Result<(), FrameError> {
    let ask = stream.receive(ASK).await?;
    let until = Instant::now() + KEPT;
    let ask = match checked(stream, &ask) {
        Ok(ask) => ask,
        Err(reason) => {
            tracing::warn!(reason, "turned somebody away who wants to join");
            handle.security().denied(Denial::Joiner, "somebody", &reason);
            return stream.send(&Answer::TurnedAway(reason).to_bytes()).await;
        }
    };
    let mut views = handle.watch();
    let mut told = None;
    loop {
        let answer = match standing(handle, &ask.joined) {
            Ok(Some(answer)) => answer,
            Ok(None) => match record(handle, &ask.joined).await {
                Some(reason) => Answer::TurnedAway(reason),
                None => continue,
            },
            Err(fault) => {
                tracing::error!(%fault, "cannot say whether somebody may join");
                Answer::TurnedAway("this member cannot read its records".into())
            }
        };
        if told.as_ref() != Some(&answer) {
            stream.send(&answer.to_bytes()).await?;
        }
        if !matches!(answer, Answer::Waits(_)) {
            return Ok(());
        }
        told = Some(answer);
        // Until somebody approves it, or for as long as it is kept.
        match timeout_at(until, views.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Ok(()),
        }
    }
}

/// The ask, if it is one and is its sender's own.
fn checked(stream: &JoinStream, bytes: &[u8]) -> Result<Ask, String> {
    let ask =
        Ask::from_bytes(bytes).map_err(|e| format!("this member does not understand: {e}"))?;
    if ask.joined.member_key != stream.key() {
        return Err("the member key is not the one of this connection".into());
    }
    let bound = OnConnection { ask: &ask, binding: stream.binding() };
    if verify_one(Unverified::new(bound)).is_err() {
        return Err("the invitation's secret was not shown on this connection".into());
    }
    Ok(ask)
}

/// The answer to somebody whom the records know.
fn standing(handle: &Handle, joined: &Joined) -> Result<Option<Answer>, Fault> {
    let view = handle.view();
    let Some(member) = members::by_member_key(view.rows(), joined.member_key)? else {
        return Ok(None);
    };
    Ok(Some(match member.standing {
        Standing::Pending => Answer::Waits(joined.member_key.fingerprint()),
        Standing::Learner | Standing::Voter => Answer::LetIn(Introduction {
            replica: member.id,
            incarnation: handle.incarnation(),
            peers: introduced(view.rows())?,
        }),
        Standing::Removed(_) => Answer::TurnedAway(format!(
            "replica {} was removed from the group, and its member key cannot come back: join with \
             an empty data directory",
            member.id
        )),
    }))
}

/// Records that it has joined. Says why not, if not.
async fn record(handle: &Handle, joined: &Joined) -> Option<String> {
    let fingerprint = joined.member_key.fingerprint();
    // Asked again, on whichever member, it is the same request.
    let request = format!("join-{fingerprint}");
    let Ok(request) = request.parse::<RequestId>() else {
        return Some("it cannot be recorded".into());
    };
    let name = joined.details.name.clone();
    let digest = requests::digest("join", joined.member_key.0.as_slice());
    let event = Event::MemberJoined(Box::new(joined.clone()));
    let submission = Submission { request, digest, part: 0, who: Who::Member, name, event };
    match handle.submit(submission).await {
        Outcome::Applied { index, .. } | Outcome::Repeated { index, .. } => {
            tracing::info!(index, %fingerprint, "somebody has joined by an invitation");
            None
        }
        Outcome::Refused(refusal) => {
            tracing::warn!(%refusal, %fingerprint, "turned somebody away who wants to join");
            let what = format!("{fingerprint}: {refusal}");
            handle.security().denied(Denial::Joiner, "a joiner", &what);
            Some(refusal.to_string())
        }
        Outcome::ClockApart => Some("this member's clock is far from the leader's".into()),
        Outcome::Unknown => {
            Some("the group does not answer at the moment: too few members are up".into())
        }
    }
}
