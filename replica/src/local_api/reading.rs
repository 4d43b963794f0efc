//! Which state a request is answered from.
//!
//! A read is linearizable unless it says `read=local`: it sees all that was acknowledged, anywhere,
//! before it was asked. Without a quorum nobody can say so; then, after a while, it is answered from
//! what this replica has, and the answer says that it may be stale. A change is never planned on
//! such a state; a signature for a node, of which the fold judges everything, is planned on what
//! the leader has without asking the others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
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
use crate::node::{Handle, Impaired, Stopped, View};

/// How long a read waits for a majority before it turns local.
const READ: Duration = Duration::from_secs(2);
/// How long a change waits for a majority before it is refused: longer than an election.
const CHANGE: Duration = Duration::from_secs(10);

/// What a request asks of the state that it is answered from, and what it has got.
#[derive(Debug)]
pub(super) struct Reading {
    kind: Kind,
    /// Set once the answer may be stale, to why no majority could be asked, if that is this replica's
    /// own trouble.
    stale: OnceLock<Option<Impaired>>,
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
        Ok(Arc::new(Reading { kind, stale: OnceLock::new(), recorded: AtomicBool::default() }))
    }

    /// Answers a request under this reading, and marks an answer that may be stale.
    pub(super) async fn answer<E, B>(
        self: Arc<Self>,
        answer: impl Future<Output = Result<Response<B>, E>>,
    ) -> Result<Response<B>, E> {
        let mut response = READING.scope(self.clone(), answer).await?;
        if let Some(why) = self.stale.get() {
            mark(response.headers_mut(), *why);
        }
        Ok(response)
    }
}

fn mark(headers: &mut HeaderMap, why: Option<Impaired>) {
    headers.insert(HeaderName::from_static(headers::STALE), HeaderValue::from_static("true"));
    if let Some(why) = why {
        let name = HeaderName::from_static(headers::STALE_BECAUSE);
        headers.insert(name, HeaderValue::from_static(headers::because(why)));
    }
}

/// Whether this request has been given what may be stale.
pub(super) fn is_stale() -> bool {
    READING.try_with(|reading| reading.stale.get().is_some()).unwrap_or(false)
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
            if let Some(reading) = reading.filter(|_| stale) {
                // Whoever comes second in the same request says the same.
                let _ = reading.stale.set(node.group().impaired());
            }
            Ok(view)
        }
        Kind::Change if reading.is_some_and(|r| r.recorded.load(Ordering::Relaxed)) => {
            Ok(node.read_within(READ).await.map_err(stopped)?.0)
        }
        Kind::Change => match node.read_within(CHANGE).await.map_err(stopped)? {
            (view, false) => Ok(view),
            (_, true) => Err(unrecorded(node.group().impaired())),
        },
    }
}

/// Why a change was refused before anything was recorded.
fn unrecorded(why: Option<Impaired>) -> Problem {
    let (why, remedy) = match why {
        Some(Impaired::DiskFull) => (
            "the disk of this replica is full",
            "make room for its data directory, or ask another replica",
        ),
        Some(Impaired::Damaged) => (
            "the database of this replica is damaged and being mended",
            "wait until it is, or ask another replica",
        ),
        None => (
            "the group has no quorum, too few of its voters can be reached",
            "see who is missing (lockstep cluster status), and ask again",
        ),
    };
    let what = format!("nothing was recorded: {why}");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, what).with_remedy(remedy)
}
