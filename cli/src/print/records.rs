//! `cluster records` as text. (Its JSON is a [`RecordLine`] a line.)

use replica::local_api::bodies::{ActorBody, DisablementBody, RecordLine};

use super::line;

/// One record: index, time, who, what, request, and its hash on a line of its own.
pub(crate) fn text(record: &RecordLine) -> String {
    let mut out = format!(
        "record {} {} ({})\n  By: {}\n  Request: {}\n  Hash: {}\n",
        record.index,
        line(&record.time),
        line(&record.kind),
        actor(&record.actor),
        line(&record.request_id),
        line(&record.hash),
    );
    for disablement in &record.disablements {
        out.push_str(&disablement_line(disablement));
    }
    out.push('\n');
    out
}

/// A disablement value, and where its secret is.
fn disablement_line(body: &DisablementBody) -> String {
    let holder = match &body.holder {
        Some(holder) => format!(", for {}", line(holder)),
        None => String::new(),
    };
    format!("  {}: by {}, {}{holder}\n", line(&body.value), line(&body.maker), line(&body.made))
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
