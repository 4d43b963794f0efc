//! How a change comes about: plan, submit, and plan again when the ground has moved.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use ledger::Fault;
use ledger::history::{Event, RecordHash, RequestId, Who, records, requests};
use ledger::limits::REQUEST_PARTS;
use ledger::lock::signatures::PrivateKey;
use ledger::rows::Rows;

use super::api::{Api, blocking};
use super::call::Call;
use super::headers;
use super::http::Body;
use super::problem::Problem;
use super::reading;
use crate::daemon::accounts;
use crate::node::{Outcome, Submission};
use crate::operations::{Ground, NotPlanned, was_stale};

/// How often a change is planned before it is given up. Each time a change by another machine has
/// come between, so in practice the first or second succeeds.
const ATTEMPTS: usize = 64;

/// What became of a change.
#[derive(Debug, Clone)]
pub(super) struct Done {
    request: RequestId,
    /// The record; none if there was nothing to change.
    record: Option<(u64, RecordHash)>,
    repeated: bool,
}

impl Done {
    /// Whether the record is there since this very call.
    pub(super) fn is_new(&self) -> bool {
        self.record.is_some() && !self.repeated
    }

    /// The ID by which the request can be repeated.
    pub(super) fn request(&self) -> &str {
        self.request.as_str()
    }

    /// The index of the record.
    pub(super) fn index(&self) -> Option<u64> {
        self.record.map(|(index, _)| index)
    }

    /// Says in the answer's header fields which record it was.
    pub(super) fn mark(&self, response: &mut Response<Body>) {
        let mut set = |name, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        };
        set(headers::REQUEST_ID, self.request.as_str());
        set(headers::OUTCOME, "applied");
        if let Some((index, hash)) = &self.record {
            set(headers::RECORD_INDEX, &index.to_string());
            set(headers::RECORD_HASH, &hash.to_string());
        }
        if self.repeated {
            set(headers::REPEATED, "1");
        }
    }
}

/// Makes an event of what a view shows; called again with a fresh view when the first is stale.
pub(super) type Plan =
    dyn Fn(Ground<'_>) -> Result<Option<Event>, NotPlanned> + Send + Sync + 'static;

/// On what a change is planned first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beginning {
    /// On a state that has all that was acknowledged, anywhere, before it was asked for.
    Newest,
    /// On what is here, while this replica leads.
    HereIfLed,
}

impl Api {
    /// A plan that signs with the machine's lock key.
    pub(super) fn signing(
        &self,
        plan: impl Fn(Ground<'_>, &PrivateKey) -> Result<Option<Event>, NotPlanned>
        + Send
        + Sync
        + 'static,
    ) -> Arc<Plan> {
        let keys = self.keys.clone();
        Arc::new(move |ground| plan(ground, keys.lock.as_deref().ok_or(NotPlanned::NoLockKey)?))
    }

    /// Has a change recorded. `arguments` are what was asked, in one spelling.
    pub(super) async fn change(
        &self,
        call: &Call,
        verb: &'static str,
        arguments: &[u8],
        plan: Arc<Plan>,
    ) -> Result<Done, Problem> {
        self.change_from(call, verb, arguments, plan, Beginning::Newest).await
    }

    /// The same, for a plan that may be made on what is known here while this replica leads: of which
    /// the fold itself judges all that makes it right or wrong, so that an older state can at
    /// worst have it planned again. That spares asking a majority what is the newest.
    pub(super) async fn change_where_led(
        &self,
        call: &Call,
        verb: &'static str,
        arguments: &[u8],
        plan: Arc<Plan>,
    ) -> Result<Done, Problem> {
        self.change_from(call, verb, arguments, plan, Beginning::HereIfLed).await
    }

    async fn change_from(
        &self,
        call: &Call,
        verb: &'static str,
        arguments: &[u8],
        plan: Arc<Plan>,
        from: Beginning,
    ) -> Result<Done, Problem> {
        let asked = ChangeName::of(call, verb, arguments)?;
        let outcome = self.record(call.uid, &asked, plan, from).await;
        if outcome.is_ok() {
            reading::is_recorded();
        }
        outcome.map_err(|problem| problem.refused(asked.request.as_str()))
    }

    /// Records by the way what a call says, under a request ID of its own; whether there was
    /// something to record.
    pub(super) async fn note(
        &self,
        call: &Call,
        verb: &'static str,
        plan: Arc<Plan>,
    ) -> Result<bool, Problem> {
        let request = random_request_id()?;
        let digest = requests::digest(verb, &call.body);
        let asked = ChangeName { request, digest, part: 0 };
        let done = self.record(call.uid, &asked, plan, Beginning::Newest).await?;
        Ok(done.record.is_some())
    }

    /// What became of the same request earlier, for verbs that do something before they plan.
    pub(super) async fn earlier(
        &self,
        call: &Call,
        verb: &'static str,
        arguments: &[u8],
    ) -> Result<Option<Done>, Problem> {
        if call.request_id.is_none() {
            return Ok(None);
        }
        let asked = ChangeName::of(call, verb, arguments)?;
        let record = recorded(self.read().await?.rows(), &asked);
        let record = record.map_err(|problem| problem.refused(asked.request.as_str()))?;
        Ok(record.map(|record| Done {
            request: asked.request,
            record: Some(record),
            repeated: true,
        }))
    }

    async fn record(
        &self,
        uid: u32,
        asked: &ChangeName,
        plan: Arc<Plan>,
        from: Beginning,
    ) -> Result<Done, Problem> {
        let request = &asked.request;
        // Whether the view has all that was acknowledged before.
        let mut newest = !(from == Beginning::HereIfLed && self.node().leads_a_majority());
        let mut view = if newest { self.read().await? } else { self.node().view() };
        if let Some(record) = recorded(view.rows(), asked)? {
            return Ok(Done { request: request.clone(), record: Some(record), repeated: true });
        }
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (plan, seen) = (plan.clone(), view.clone());
            let planned =
                blocking(move || plan(Ground { fold: seen.fold(), rows: seen.rows() })).await?;
            if !newest && !matches!(planned, Ok(Some(_))) {
                // It may be so no longer.
                view = self.read().await?;
                newest = true;
                continue;
            }
            let Some(event) = planned? else {
                return Ok(Done { request: request.clone(), record: None, repeated: false });
            };
            let submission = Submission {
                request: request.clone(),
                digest: asked.digest,
                part: asked.part,
                who: Who::Uid(uid),
                name: accounts::user_name(uid),
                event,
            };
            let done = |index, hash, repeated| Done {
                request: request.clone(),
                record: Some((index, hash)),
                repeated,
            };
            match self.node().submit(submission).await {
                Outcome::Applied { index, hash } => return Ok(done(index, hash, false)),
                Outcome::Repeated { index, hash } => return Ok(done(index, hash, true)),
                Outcome::Unknown => return Err(Problem::unknown()),
                Outcome::ClockApart => {
                    let text = "nothing was recorded: this machine's clock is more than 10 s off \
                                the leader's";
                    return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, text.to_owned())
                        .with_remedy("set this machine's clock, and ask again"));
                }
                Outcome::Refused(refusal) => {
                    let now = self.read().await?;
                    let moved = now.fold().next_index() != view.fold().next_index();
                    if newest && !(moved && was_stale(&refusal) && attempts < ATTEMPTS) {
                        return Err(Problem::refusal(&refusal));
                    }
                    tracing::debug!(%refusal, "planned again");
                    (view, newest) = (now, true);
                }
            }
        }
    }
}

/// How a change is named.
struct ChangeName {
    request: RequestId,
    digest: [u8; 32],
    part: u32,
}

impl ChangeName {
    fn of(call: &Call, verb: &str, arguments: &[u8]) -> Result<Self, Problem> {
        let part = match &call.part {
            None => 0,
            Some(text) => {
                text.parse().ok().filter(|part| *part < REQUEST_PARTS).ok_or_else(|| {
                    Problem::bad("Lockstep-Request-Part is not a number below 65536")
                })?
            }
        };
        let (request, digest) = (request_id(call)?, digest(call, verb, arguments)?);
        Ok(ChangeName { request, digest, part })
    }
}

/// The digest that was given, or one over what was asked.
fn digest(call: &Call, verb: &str, arguments: &[u8]) -> Result<[u8; 32], Problem> {
    match &call.digest {
        Some(text) => parse_digest(text),
        None => Ok(requests::digest(verb, arguments)),
    }
}

/// The record that this part of a request became, if it did; a part of another request under the
/// same ID is refused.
fn recorded(rows: &dyn Rows, asked: &ChangeName) -> Result<Option<(u64, RecordHash)>, Problem> {
    let request = &asked.request;
    let parts = requests::parts(rows, request)?;
    if let Some(other) = parts.iter().find(|part| part.digest != asked.digest) {
        let text =
            format!("request {request} was used for something else in record {}", other.index);
        return Err(
            Problem::new(StatusCode::CONFLICT, text).with_remedy("choose another request ID")
        );
    }
    let Some(found) = parts.iter().find(|part| part.part == asked.part) else { return Ok(None) };
    let record = records::record(rows, found.index)?
        .ok_or_else(|| Fault::new(format!("record {} is missing", found.index)))?;
    Ok(Some((found.index, record.hash())))
}

/// The request ID that was given, or a random one.
fn request_id(call: &Call) -> Result<RequestId, Problem> {
    if let Some(text) = &call.request_id {
        return text.parse().map_err(|error| Problem::bad(format!("Lockstep-Request-Id: {error}")));
    }
    random_request_id().map_err(Problem::from)
}

/// A request ID that nobody else has.
pub(crate) fn random_request_id() -> Result<RequestId, Fault> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| Fault::from_error("drawing a request ID", e))?;
    let text = HEXLOWER.encode(&bytes);
    text.parse().map_err(|e| Fault::from_error("naming a request", e))
}

fn parse_digest(text: &str) -> Result<[u8; 32], Problem> {
    let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| Problem::bad("Lockstep-Request-Digest is not 64 lower-case hex digits"))
}
