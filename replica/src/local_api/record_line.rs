//! Records as `cluster records` prints them, live and from a data directory.

use ledger::history::{Event, Record, SecretLabel, Who};
use ledger::lock::State;
use ledger::lock::disablement::value_to_text;

use super::bodies::{ActorBody, Base64, DisablementBody, RecordLine};
use crate::rfc3339::rfc3339;

impl From<&Record> for RecordLine {
    fn from(record: &Record) -> Self {
        let proposal = record.proposal().proposal();
        let (kind, uid) = match proposal.actor.who {
            Who::Member => ("member", None),
            Who::Uid(uid) => ("uid", Some(uid)),
        };
        RecordLine {
            index: record.index(),
            hash: record.hash().to_string(),
            prev: record.prev().map(|hash| hash.to_string()),
            time: rfc3339(proposal.time_ms),
            actor: ActorBody {
                member: proposal.actor.member.to_string(),
                kind: kind.to_owned(),
                uid,
                name: proposal.actor.name.clone(),
            },
            request_id: proposal.request.to_string(),
            kind: proposal.event.kind_name().to_owned(),
            raw: Base64(record.bytes().to_vec()),
            disablements: disablements(record),
        }
    }
}

/// Where the secrets of a new lock's disablement values are, as far as its record says.
pub(super) fn disablements(record: &Record) -> Vec<DisablementBody> {
    let Event::LockInitialized(init) = &record.proposal().proposal().event else {
        return Vec::new();
    };
    let values = init.genesis.state.iter().flat_map(State::disablement_values);
    let body = |(value, label): (&[u8], &SecretLabel)| DisablementBody {
        value: value_to_text(value),
        maker: label.maker.clone(),
        made: rfc3339(label.made_ms),
        holder: label.holder.clone(),
    };
    values.zip(&init.labels).map(body).collect()
}
