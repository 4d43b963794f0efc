//! Failures on their way out: HTTP status codes are given here and nowhere else.

use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use ledger::{Fault, Refusal};

use super::bodies::{ErrorBody, to_json};
use super::headers;
use super::http::{self, Body};
use crate::operations::NotPlanned;
use crate::operations::members::CannotChange;
use crate::operations::revoke::CannotRevoke;

/// What went wrong with a request.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    text: String,
    remedy: Option<String>,
    outcome: Option<&'static str>,
    request_id: Option<String>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Problem { status, text: text.into(), remedy: None, outcome: None, request_id: None }
    }

    pub(super) fn bad(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    pub(super) fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Puts what was being done before what went wrong, as the original does.
    pub(super) fn during(mut self, prefix: &str) -> Self {
        self.text.insert_str(0, prefix);
        self
    }

    /// As a bad request, whatever it is.
    pub(super) fn into_bad(mut self) -> Self {
        self.status = StatusCode::BAD_REQUEST;
        self
    }

    /// A change that was not made.
    pub(super) fn refused(mut self, request_id: &str) -> Self {
        self.outcome.get_or_insert("refused");
        self.request_id = Some(request_id.to_owned());
        self
    }

    /// A change that may or may not be made yet.
    pub(super) fn unknown() -> Self {
        let mut problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "whether the change was recorded is not known",
        )
        .with_remedy("ask again with the same request ID: nothing happens twice");
        problem.outcome = Some("unknown");
        problem
    }

    pub(super) fn refusal(refusal: &Refusal) -> Self {
        let problem = Self::new(StatusCode::CONFLICT, refusal.to_string());
        match refusal.remedy() {
            Some(remedy) => problem.with_remedy(remedy),
            None => problem,
        }
    }

    /// Whether the change may be made yet.
    pub(super) fn is_unknown(&self) -> bool {
        self.outcome == Some("unknown")
    }

    /// First what went wrong, then, on a line of its own, what to do.
    pub(super) fn response(self) -> Response<Body> {
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            tracing::warn!(text = self.text, "a request failed");
        }
        let error = match &self.remedy {
            Some(remedy) => format!("{}\n{remedy}", self.text),
            None => self.text,
        };
        let body = to_json(&ErrorBody { error });
        let mut response = http::whole(self.status, "application/json", body);
        let mut set = |name, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        };
        if let Some(outcome) = self.outcome {
            set(headers::OUTCOME, outcome);
        }
        if let Some(id) = &self.request_id {
            set(headers::REQUEST_ID, id);
        }
        response
    }
}

impl From<NotPlanned> for Problem {
    fn from(error: NotPlanned) -> Self {
        use NotPlanned as N;
        let status = match &error {
            N::LockOff
            | N::DisabledHere
            | N::NotDisabledHere
            | N::NotTaken(_)
            | N::LockOn
            | N::Followed(_)
            | N::NoLockKey
            | N::SignerNotTrusted
            | N::UpdaterNotTrusted
            | N::KeyNotTrusted(_)
            | N::LastKey
            | N::LastSigner { .. }
            | N::OwnKeyWhileResigning
            | N::OwnNode(_)
            | N::OwnNodeKey(_)
            | N::Refused(_) => StatusCode::CONFLICT,
            N::AmbiguousNode { .. }
            | N::SameNodeKey(_)
            | N::MayNotRotate { .. }
            | N::SignedForAnotherLock => StatusCode::CONFLICT,
            // Whoever has the key at hand signs again.
            N::SignedForAnotherState => StatusCode::PRECONDITION_FAILED,
            N::OwnKeyMissing(_)
            | N::BadKey(_)
            | N::BadAuthKey(_)
            | N::BadDraft(_)
            | N::WrongSecret => StatusCode::BAD_REQUEST,
            N::Group(CannotChange::Unknown(_) | CannotChange::NobodyWaits(_)) => {
                StatusCode::NOT_FOUND
            }
            N::Group(_) => StatusCode::CONFLICT,
            N::UnknownNodeKey(_) | N::UnknownNode(_) | N::Revoke(CannotRevoke::Unknown(_)) => {
                StatusCode::NOT_FOUND
            }
            N::Revoke(CannotRevoke::Short(_)) => StatusCode::BAD_REQUEST,
            N::Revoke(_) => StatusCode::CONFLICT,
            N::Fault(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let problem = Self::new(status, error.to_string());
        match error.remedy() {
            Some(remedy) => problem.with_remedy(remedy),
            None => problem,
        }
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, fault.to_string())
            .with_remedy("the daemon's log says more; its disk may need attention")
    }
}
