//! A request: what it must be before it is looked at, and what endpoints see of it.

use std::sync::Arc;

use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode};

use super::headers;
use super::http::{self, BadBody};
use super::permissions::{Access, Occupancy, Place};
use super::problem::Problem;
use super::routes::Endpoint;

/// One request of one user.
pub(super) struct Call {
    pub(super) endpoint: Endpoint,
    pub(super) uid: u32,
    pub(super) query: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) digest: Option<String>,
    pub(super) part: Option<String>,
    pub(super) body: Bytes,
    pub(super) occupancy: Arc<Occupancy>,
}

impl Call {
    /// Everything that is checked before an endpoint sees the request. The order is the original's
    /// (spec 15.3, 15.5): no browser, then the path, the permission, the method, and only then the
    /// body.
    pub(super) async fn admit(
        request: Request<Incoming>,
        uid: u32,
        access: Access,
        occupancy: &Arc<Occupancy>,
    ) -> Result<Self, Problem> {
        let fields = request.headers();
        let host = fields.get(header::HOST).map_or(&b""[..], HeaderValue::as_bytes);
        let from_page =
            [header::ORIGIN, header::REFERER].iter().any(|name| fields.contains_key(name));
        if from_page || !(host.is_empty() || host == headers::HOST.as_bytes()) {
            return Err(Problem::new(StatusCode::FORBIDDEN, "invalid localapi request"));
        }
        // In absolute form the target names a host of its own.
        if request.uri().authority().is_some() {
            return Err(Problem::new(StatusCode::FORBIDDEN, "invalid localapi request"));
        }
        let endpoint = Endpoint::of(request.uri().path())
            .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "404 page not found"))?;
        let demands = endpoint.demands();
        if access.of(uid) < demands.permission {
            return Err(Problem::new(StatusCode::FORBIDDEN, demands.denial));
        }
        if request.method() != demands.method {
            let text = if demands.method == Method::GET { "use GET" } else { "use POST" };
            return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, text));
        }
        let text = |name| {
            let Some(value) = fields.get(name) else { return Ok(None) };
            match value.to_str() {
                Ok(text) => Ok(Some(text.to_owned())),
                Err(_) => {
                    let what = format!("the header field {name} is not plain text");
                    Err(Problem::new(StatusCode::BAD_REQUEST, what))
                }
            }
        };
        let request_id = text(headers::REQUEST_ID)?;
        let digest = text(headers::REQUEST_DIGEST)?;
        let part = text(headers::REQUEST_PART)?;
        let query = request.uri().query().map(str::to_owned);
        let (parts, body) = request.into_parts();
        let body =
            http::read_body(&parts.headers, body, demands.max_body).await.map_err(|error| {
                let (status, text) = match error {
                    BadBody::TooLarge => {
                        (StatusCode::PAYLOAD_TOO_LARGE, "the request's body is too large")
                    }
                    BadBody::Slow => {
                        (StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive")
                    }
                    BadBody::Broken => (StatusCode::BAD_REQUEST, "the request's body broke off"),
                };
                Problem::new(status, text)
            })?;
        let occupancy = occupancy.clone();
        Ok(Call { endpoint, uid, query, request_id, digest, part, body, occupancy })
    }

    /// A place for one run of the disablement KDF.
    pub(super) fn derivation(&self) -> Result<Place, Problem> {
        self.occupancy.derivation(self.uid).ok_or_else(|| {
            let text = "another secret of yours is being checked";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, text)
        })
    }
}
