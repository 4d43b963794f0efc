//! What is wrong with records: their bytes, places, links, signatures, and what the fold says.

use ledger::Refusal;
use ledger::history::{Cause, EventRefusal, Record, RecordHash};
use ledger::lock::NotInformed;
use ledger::lock::signatures::{BadClaim, Claim, Signed};

use super::catalog::{
    AUM_SIGNATURE, CACHE_DIFFERS, NODE_SIGNATURE, RECORD_INCARNATION, RECORD_INDEX, RECORD_LINK,
    RECORD_MALFORMED, RECORD_PROPOSER_SIGNATURE, RECORD_RULES, RECORD_TIME_BACKWARDS,
};
use super::{Finding, chain};

/// A row of the records' table under a key that is no index.
pub(crate) fn no_index() -> Finding {
    Finding::new(&RECORD_INDEX, "a record is stored under a key that is no index")
}

/// A record where another one belongs.
pub(crate) fn out_of_place(index: u64, want: u64) -> Finding {
    let message = if index < want {
        format!("record {index} comes after record {}", want.saturating_sub(1))
    } else if index == want.saturating_add(1) {
        format!("record {want} is missing")
    } else {
        format!("records {want} to {} are missing", index.saturating_sub(1))
    };
    Finding::new(&RECORD_INDEX, message).record(index)
}

/// A record that bears another index than its place.
pub(crate) fn says_other_index(index: u64, says: u64) -> Finding {
    let message = format!("in the place of record {index} stands one that says it is {says}");
    Finding::new(&RECORD_INDEX, message).record(index)
}

/// A record that does not follow the one before.
pub(crate) fn link(index: u64, says: Option<RecordHash>, want: Option<RecordHash>) -> Finding {
    let text = |hash: Option<RecordHash>| hash.map_or("none".to_owned(), |hash| hash.to_string());
    let message = format!(
        "record {index} names {} as the record before it; that one's hash is {}",
        text(says),
        text(want)
    );
    Finding::new(&RECORD_LINK, message).record(index)
}

/// A record whose time is before that of the record before it.
pub(crate) fn time_backwards(index: u64, before_ms: u64, time_ms: u64) -> Finding {
    let back = before_ms - time_ms;
    let message = format!(
        "the clock of the member that proposed record {index} stood {}.{:03} s before that of the \
         record before it",
        back / 1000,
        back % 1000
    );
    Finding::new(&RECORD_TIME_BACKWARDS, message).record(index)
}

/// A record with which the group began anew.
pub(crate) fn incarnation(index: u64, cause: Cause, last: u64) -> Finding {
    let why = match cause {
        Cause::Restored => "restored from a backup",
        Cause::Recovered => "recovered after most of its members were lost",
    };
    let message = format!(
        "the group was {why}, and goes on from record {last}; nobody but its new member vouches \
         for that"
    );
    Finding::new(&RECORD_INCARNATION, message).record(index)
}

/// A record that is shown with another hash than it has.
pub(crate) fn shown_otherwise(index: u64, shown: RecordHash, is: RecordHash) -> Finding {
    let message = format!("record {index} is shown with hash {shown}; its hash is {is}");
    Finding::new(&CACHE_DIFFERS, message).record(index)
}

/// A record that does not decode, or in which a signature does not hold.
pub(crate) fn undecodable_or_forged(index: u64, bytes: &[u8], refusal: &Refusal) -> Finding {
    match Record::decode(bytes) {
        Err(error) => Finding::new(&RECORD_MALFORMED, error.to_string()).record(index),
        Ok(record) => forged(&record, refusal).record(index),
    }
}

/// Whose signature it is that does not hold: the member's, an AUM's or a node key's.
fn forged(record: &Record, refusal: &Refusal) -> Finding {
    let Refusal::BadClaim(BadClaim::Signature(place)) = refusal else {
        return Finding::new(&RECORD_RULES, refusal.to_string());
    };
    let proposal = record.proposal();
    // The order in which a proposal lists its claims; the first is the member's.
    let mut left = match place.checked_sub(1) {
        Some(left) => left,
        None => {
            let message = format!(
                "the signature of member {} does not hold",
                proposal.proposal().actor.member
            );
            return Finding::new(&RECORD_PROPOSER_SIGNATURE, message);
        }
    };
    for aum in proposal.proposal().event.aums() {
        match left.checked_sub(aum.signatures.len()) {
            Some(rest) => left = rest,
            None => {
                let message = format!("signature {left} of the AUM does not hold");
                return Finding::new(&AUM_SIGNATURE, message).aum(aum.hash());
            }
        }
    }
    for signature in proposal.proposal().event.signatures() {
        let mut claims: Vec<Claim> = Vec::new();
        // One that cannot be listed was refused for that.
        let _ = signature.claims(&mut claims);
        match left.checked_sub(claims.len()) {
            Some(rest) => left = rest,
            None => {
                let message = format!("signature {left} for a node key does not hold");
                let finding = Finding::new(&NODE_SIGNATURE, message);
                return match signature.node_key() {
                    Some(key) => finding.node(key),
                    None => finding,
                };
            }
        }
    }
    Finding::new(&RECORD_RULES, refusal.to_string())
}

/// A record that the fold does not admit.
pub(crate) fn refused(index: u64, record: &Record, refusal: &Refusal) -> Finding {
    let why = match refusal {
        Refusal::Event(EventRefusal::Record { why, .. }) => why,
        other => other,
    };
    let message = why.to_string();
    let finding = match why {
        Refusal::Event(EventRefusal::OtherMemberKey(_) | EventRefusal::UnknownMember(_)) => {
            Finding::new(&RECORD_PROPOSER_SIGNATURE, message)
        }
        Refusal::Event(
            EventRefusal::NodeNotAuthorized { node, .. } | EventRefusal::CredentialAlone { node },
        ) => {
            let key = signed_key(record, *node);
            let finding = Finding::new(&NODE_SIGNATURE, message);
            key.map_or(finding.clone(), |key| finding.node(key))
        }
        Refusal::NotInformed(NotInformed::Update { index, reason }) => {
            match record.proposal().proposal().event.aums().get(*index) {
                Some(aum) => {
                    let (check, _) = chain::rejection(reason, aum);
                    Finding::new(check, message).aum(aum.hash())
                }
                None => Finding::new(&RECORD_RULES, message),
            }
        }
        _ => Finding::new(&RECORD_RULES, message),
    };
    finding.record(index)
}

/// The node key that a record's signature for that node names.
fn signed_key(record: &Record, node: ledger::history::NodeId) -> Option<ledger::ids::NodeKey> {
    use ledger::history::Event as E;
    let list = match &record.proposal().proposal().event {
        E::LockInitialized(init) => &init.signatures,
        E::AumsAdded(added) => &added.signatures,
        E::NodeKeysSigned(list) => list,
        E::NodeAdded(new) => return new.signature.as_ref()?.node_key(),
        E::NodeChanged(changed) => return changed.signature.as_ref()?.node_key(),
        _ => return None,
    };
    list.iter().find(|item| item.node == node)?.signature.node_key()
}
