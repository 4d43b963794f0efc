//! Which state a request is answered from.
//!
//! A read is linearizable unless it says `read=local`: it sees all that was acknowledged, anywhere,
//! before it was asked. Without a quorum nobody can say so; then, after a while, it is answered from
//! what this replica has, and the answer says that it may be stale. A change is never planned on
//! such a state; a signature for a node, of which the fold judges everything, is planned on what
//! the leader has without asking the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, header::HeaderMap};
use tokio::task_local;

use super::Permission;
use super::call::Call;
use super::headers;
use super::problem::Problem;
use super::routes::query;
use crate::node::{Handle, Stopped, View};

/// How long a read waits for a majority before it turns local.
const READ: Duration = Duration::from_secs(2);
/// How long a change waits for a majority before it is refused: longer than an election.
const CHANGE: Duration = Duration::from_secs(10);

/// What a request asks of the state that it is answered from, and what it has got.
#[derive(Debug)]
pub(super) struct Reading {
    kind: Kind,
    stale: AtomicBool,
    /// It is so because this replica's disk is full.
    full: AtomicBool,
    /// The change that was asked for is on record: what is read now only describes it.
    recorded: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Everything that was acknowledged before, or else what is here.
    Linearizable,
    /// What is here.
    Local,
    /// Everything that was acknowledged before, or nothing at all.
    Change,
}

task_local! {
    static READING: Arc<Reading>;
}

impl Reading {
    pub(super) fn of(call: &Call) -> Result<Arc<Self>, Problem> {
        let asked = query(call.query.as_deref(), "read");
        let kind = match (call.endpoint.demands().permission, asked.as_deref()) {
            (Permission::Write, _) => Kind::Change,
            (Permission::Read, None | Some("" | "linearizable")) => Kind::Linearizable,
            (Permission::Read, Some("local")) => Kind::Local,
            (Permission::Read, Some(_)) => {
                let text = "the parameter read is neither linearizable nor local";
                return Err(Problem::bad(text));
            }
        };
        Ok(Arc::new(Reading {
            kind,
            stale: AtomicBool::default(),
            full: AtomicBool::default(),
            recorded: AtomicBool::default(),
        }))
    }

    /// Answers a request under this reading, and marks an answer that may be stale.
    pub(super) async fn answer<E, B>(
        self: Arc<Self>,
        answer: impl Future<Output = Result<Response<B>, E>>,
    ) -> Result<Response<B>, E> {
        let mut response = READING.scope(self.clone(), answer).await?;
        if self.stale.load(Ordering::Relaxed) {
            mark(response.headers_mut(), self.full.load(Ordering::Relaxed));
        }
        Ok(response)
    }
}

fn mark(headers: &mut HeaderMap, full: bool) {
    headers.insert(HeaderName::from_static(headers::STALE), HeaderValue::from_static("true"));
    if full {
        let name = HeaderName::from_static(headers::STALE_BECAUSE);
        headers.insert(name, HeaderValue::from_static(headers::DISK_FULL));
    }
}

/// Whether this request has been given what may be stale.
pub(super) fn is_stale() -> bool {
    READING.try_with(|reading| reading.stale.load(Ordering::Relaxed)).unwrap_or(false)
}

/// Whether this request is answered from what is here, without asking anybody.
pub(super) fn is_local() -> bool {
    READING.try_with(|reading| reading.kind == Kind::Local).unwrap_or(false)
}

/// Says that the change which this request asked for is on record.
pub(super) fn is_recorded() {
    let _ = READING.try_with(|reading| reading.recorded.store(true, Ordering::Relaxed));
}

/// The state for the request that is being answered.
pub(super) async fn read(node: &Handle) -> Result<Arc<View>, Problem> {
    let stopped =
        |stopped: Stopped| Problem::new(StatusCode::SERVICE_UNAVAILABLE, stopped.to_string());
    let reading = READING.try_with(Arc::clone).ok();
    match reading.as_ref().map_or(Kind::Change, |reading| reading.kind) {
        Kind::Local => Ok(node.view()),
        // One majority that does not answer need not be waited for twice.
        Kind::Linearizable if is_stale() => Ok(node.view()),
        Kind::Linearizable => {
            let (view, stale) = node.read_within(READ).await.map_err(stopped)?;
            if let Some(reading) = reading {
                reading.stale.store(stale, Ordering::Relaxed);
                reading.full.store(node.group().full.is_some(), Ordering::Relaxed);
            }
            Ok(view)
        }
        Kind::Change if reading.is_some_and(|r| r.recorded.load(Ordering::Relaxed)) => {
            Ok(node.read_within(READ).await.map_err(stopped)?.0)
        }
        Kind::Change => match node.read_within(CHANGE).await.map_err(stopped)? {
            (view, false) => Ok(view),
            (_, true) if node.group().full.is_some() => Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "nothing was recorded: the disk of this replica is full",
            )
            .with_remedy("make room for its data directory, or ask another replica")),
            (_, true) if node.group().mending.is_some() => Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "nothing was recorded: the database of this replica is damaged and being mended",
            )
            .with_remedy("wait until it is, or ask another replica")),
            (_, true) => Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "nothing was recorded: the group has no quorum, too few of its voters can be reached",
            )
            .with_remedy("see who is missing (lockstep cluster status), and ask again")),
        },
    }
}
