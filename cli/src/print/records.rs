//! `cluster records` as text. (Its JSON is a [`RecordLine`] a line.)

use replica::local_api::bodies::{ActorBody, RecordLine};

use super::line;

/// One record: index, time, who, what, request, and its hash on a line of its own.
pub(crate) fn text(record: &RecordLine) -> String {
    format!(
        "record {} {} ({})\n  By: {}\n  Request: {}\n  Hash: {}\n\n",
        record.index,
        line(&record.time),
        line(&record.kind),
        actor(&record.actor),
        line(&record.request_id),
        line(&record.hash),
    )
}

fn actor(actor: &ActorBody) -> String {
    let mut out = match (actor.kind.as_str(), actor.uid) {
        (_, Some(uid)) => format!("uid {uid}"),
        (kind, None) => line(kind),
    };
    if !actor.name.is_empty() {
        out.push_str(&format!(" ({})", line(&actor.name)));
    }
    out.push_str(&format!(" at member {}", line(&actor.member)));
    out
}
