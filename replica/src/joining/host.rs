//! The member's side of the conversation with somebody who was invited.

use std::time::Duration;

use ledger::Fault;
use ledger::history::members::{self, Standing};
use ledger::history::{Event, Invited, Joined, MemberKey, RequestId, Who, invitations, requests};
use ledger::lock::signatures::{Unverified, verify_one};
use tokio::time::{Instant, timeout_at};

use super::letter::Visit;
use super::visitor;
use super::words::{Answer, Ask, Introduction, OnConnection};
use crate::node::{Clock, Handle, Outcome, Submission, SystemClock, introduced};
use crate::peers::{FrameError, JoinStream};
use crate::security_log::Denial;

/// How long a guest may take to say what it wants.
const ASK: Duration = Duration::from_secs(10);
/// How long a guest that waits for approval is kept before it has to ask again.
const KEPT: Duration = Duration::from_secs(30);

/// How long a replica that renews itself has until it must have joined.
const RENEWAL_MS: u64 = 30 * 24 * 3_600_000;

/// Talks with somebody who wants to join, to the end.
pub async fn receive(handle: Handle, mut stream: JoinStream) {
    match talk(&handle, &mut stream).await {
        Ok(()) => stream.close().await,
        Err(error) => tracing::debug!(%error, "a conversation with a joiner broke off"),
    }
}

async fn talk(handle: &Handle, stream: &mut JoinStream) -> Result<(), FrameError> {
    let ask = stream.receive(ASK).await?;
    if let Ok(visit) = Visit::from_bytes(&ask) {
        return visitor::visited(handle, stream, visit).await;
    }
    let until = Instant::now() + KEPT;
    let ask = match checked(stream, &ask) {
        Ok(ask) => ask,
        Err(reason) => {
            return stream.send(&turned_away(handle, reason).to_bytes()).await;
        }
    };
    let mut views = handle.watch();
    let mut told = None;
    loop {
        let answer = match standing(handle, &ask.joined) {
            Ok(Some(answer)) => answer,
            Ok(None) => match let_in(handle, &ask).await {
                Err(answer) => answer,
                Ok(()) => continue,
            },
            Err(fault) => {
                tracing::error!(%fault, "cannot say whether somebody may join");
                Answer::NotNow("this member cannot read its records".into())
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
        let what = if ask.renewal.is_some() { "or the former member key was" } else { "was" };
        return Err(format!("the invitation's secret {what} not shown on this connection"));
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
        // It has run, and promised what an empty disk does not hold: its machine is in the roster, or
        // it has signed how far it had come.
        Standing::Learner | Standing::Voter
            if member.node.is_some() || handle.has_run(member.id) =>
        {
            Answer::TurnedAway(format!(
                "replica {} has run already, and cannot begin anew under the same key: join with an \
                 empty data directory",
                member.id
            ))
        }
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

/// Has it recorded that it has joined, and before, if it takes its own place, what that takes.
async fn let_in(handle: &Handle, ask: &Ask) -> Result<(), Answer> {
    let joined = &ask.joined;
    let fingerprint = joined.member_key.fingerprint();
    if let Some(renewal) = &ask.renewal {
        renew(handle, joined, renewal.former).await?;
    }
    let digest = requests::digest("join", joined.member_key.0.as_slice());
    let wanted = Wanted { request: format!("join-{fingerprint}"), digest, joined };
    let index = wanted.record(handle, 0, Event::MemberJoined(Box::new(joined.clone()))).await?;
    tracing::info!(index, %fingerprint, "somebody has joined by an invitation");
    Ok(())
}

/// A member has lost what it had promised, and asks with its former key to be let in as another:
/// invites that one, and takes the former one and its machine out.
async fn renew(handle: &Handle, joined: &Joined, former: MemberKey) -> Result<(), Answer> {
    let (fingerprint, view) = (joined.member_key.fingerprint(), handle.view());
    let unreadable = |fault: Fault| {
        tracing::error!(%fault, "cannot say whether a member may come back");
        Answer::NotNow("this member cannot read its records".into())
    };
    let known = members::by_member_key(view.rows(), former).map_err(unreadable)?;
    let invited = invitations::invitation(view.rows(), joined.invitation).map_err(unreadable)?;
    let Some(member) = known else {
        // Perhaps it has joined since the last record here.
        return Err(Answer::NotNow("this member knows no member with the former key".into()));
    };
    match member.standing {
        Standing::Learner | Standing::Voter => {}
        // By the same request, of which a part is left to do.
        Standing::Removed(_) if invited.is_some_and(|to| to.named == Some(fingerprint)) => {
            return Ok(());
        }
        Standing::Removed(_) | Standing::Pending => {
            let what = format!("replica {} is no member that could come back", member.id);
            return Err(turned_away(handle, what));
        }
    }
    let request = format!("renew-{fingerprint}");
    let digest = requests::digest("renew", &[former.0, joined.member_key.0].concat());
    let wanted = Wanted { request, digest, joined };
    let expires_ms = SystemClock.wall_ms().saturating_add(RENEWAL_MS);
    let invited = Invited { key: joined.invitation, expires_ms, named: Some(fingerprint) };
    wanted.record(handle, 0, Event::MemberInvited(invited)).await?;
    // Its machine gets a new entry, under the same name.
    if let Some(node) = member.node {
        wanted.record(handle, 1, Event::NodeRemoved(node)).await?;
    }
    let index = wanted.record(handle, 2, Event::MemberRemoved(member.id)).await?;
    tracing::warn!(
        index, replica = %member.id, %fingerprint,
        "a replica has lost what it had promised: it comes back under a new identity"
    );
    Ok(())
}

/// What somebody wants recorded who is no member.
struct Wanted<'a> {
    /// Asked again, on whichever member, it is the same request.
    request: String,
    digest: [u8; 32],
    joined: &'a Joined,
}

impl Wanted<'_> {
    /// Has an event recorded as a part of the request; the record's index.
    async fn record(&self, handle: &Handle, part: u32, event: Event) -> Result<u64, Answer> {
        let Ok(request) = self.request.parse::<RequestId>() else {
            return Err(Answer::TurnedAway("it cannot be recorded".into()));
        };
        let (digest, name) = (self.digest, self.joined.details.name.clone());
        let submission = Submission { request, digest, part, who: Who::Member, name, event };
        match handle.submit(submission).await {
            Outcome::Applied { index, .. } | Outcome::Repeated { index, .. } => Ok(index),
            Outcome::Refused(refusal) => {
                let fingerprint = self.joined.member_key.fingerprint();
                Err(turned_away(handle, format!("{fingerprint}: {refusal}")))
            }
            Outcome::ClockApart => {
                Err(Answer::NotNow("this member's clock is far from the leader's".into()))
            }
            Outcome::Unknown => {
                let text = "the group does not answer at the moment: too few members are up";
                Err(Answer::NotNow(text.into()))
            }
        }
    }
}

/// Writes down that somebody is turned away.
fn turned_away(handle: &Handle, reason: String) -> Answer {
    // Anybody who reaches the port can come as often as it likes: a journal must not be filled by it.
    if handle.security().denied(Denial::Joiner, "a joiner", &reason) {
        tracing::warn!(reason, "turned somebody away who wants to join");
    }
    Answer::TurnedAway(reason)
}
