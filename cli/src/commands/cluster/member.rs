//! `cluster approve|promote|demote|remove|transfer-leader`.

use replica::local_api::bodies::{ApproveRequest, MemberChangeBody, MemberRequest};
use replica::local_api::client::{Changed, ClientError};
use serde::Serialize;
use serde_json::{Map, Value};

use super::invite::fingerprint;
use crate::args::{Approve, MemberChange};
use crate::commands::Session;
use crate::commands::change::{Done, Request};
use crate::exit::Failure;
use crate::print;

pub(super) fn approve(args: &Approve, session: &Session) -> Result<(), Failure> {
    let request = Request::new(&args.change)?;
    let result = fingerprint(&args.fingerprint).and_then(|fingerprint| {
        let body = ApproveRequest { fingerprint: fingerprint.to_string(), force: args.force };
        let changed = session.wait(session.client.group_approve(&body, &request.asked()));
        changed.map_err(|error| request.failed(error))
    });
    conclude(&request, result, session)
}

pub(super) fn promote(args: &MemberChange, session: &Session) -> Result<(), Failure> {
    let request = Request::new(&args.change)?;
    let result = wanted(args).and_then(|body| {
        let changed = session.wait(session.client.group_promote(&body, &request.asked()));
        changed.map_err(|error| request.failed(error))
    });
    conclude(&request, result, session)
}

pub(super) fn demote(args: &MemberChange, session: &Session) -> Result<(), Failure> {
    let request = Request::new(&args.change)?;
    let result = wanted(args).and_then(|body| {
        let changed = session.wait(session.client.group_demote(&body, &request.asked()));
        changed.map_err(|error| request.failed(error))
    });
    conclude(&request, result, session)
}

pub(super) fn remove(args: &MemberChange, session: &Session) -> Result<(), Failure> {
    let request = Request::new(&args.change)?;
    let result = wanted(args).and_then(|body| {
        let changed = session.wait(session.client.group_remove(&body, &request.asked()));
        changed.map_err(|error| request.failed(error))
    });
    conclude(&request, result, session)
}

pub(super) fn lead(args: &MemberChange, session: &Session) -> Result<(), Failure> {
    let request = Request::new(&args.change)?;
    let mut leader = None;
    let result = wanted(args).and_then(|body| {
        let changed = session.wait(session.client.group_leader(&body, &request.asked()));
        let Changed { value, receipt } = changed.map_err(|error| match error {
            // Nothing is recorded: it can be asked for again.
            ClientError::Transport { .. } => Failure::from(error),
            error => request.failed(error),
        })?;
        leader = Some(value);
        Ok(Done { receipt, node: None })
    });
    let more = fields(leader.as_ref());
    request.conclude_with(result, &more)?;
    match leader {
        Some(body) if !request.json => print::stdout(&print::group::leads(&body)),
        _ => Ok(()),
    }
}

fn wanted(args: &MemberChange) -> Result<MemberRequest, Failure> {
    let number = args.replica.parse::<u64>().ok().filter(|id| *id > 0).ok_or_else(|| {
        Failure::usage(format!("{:?} is no replica's number", args.replica))
            .remedy("'lockstep cluster status' shows them in its column ID.")
    })?;
    Ok(MemberRequest { replica_id: number.to_string(), force: args.force })
}

/// Tells the outcome, and what has become of the member.
fn conclude(
    request: &Request,
    result: Result<Changed<Option<MemberChangeBody>>, Failure>,
    session: &Session,
) -> Result<(), Failure> {
    let (result, body) = match result {
        Ok(Changed { value, receipt }) => (Ok(Done { receipt, node: None }), value),
        Err(failure) => (Err(failure), None),
    };
    request.conclude_with(result, &fields(body.as_ref()))?;
    let Some(body) = body else { return Ok(()) };
    if !request.json {
        print::stdout(&print::group::changed(&body))?;
    }
    if let Some(key) = body.trusted_lock_key.as_ref().filter(|_| body.role == "removed") {
        print::note(&print::group::still_trusted(key, &session.socket_words()));
    }
    Ok(())
}

/// A body's fields, beside those of the outcome.
fn fields<T: Serialize>(body: Option<&T>) -> Map<String, Value> {
    match body.map(serde_json::to_value) {
        Some(Ok(Value::Object(fields))) => fields,
        _ => Map::new(),
    }
}
