use ledger::history::{RecordHash, RequestId};

use super::{Broken, broken};

/// A request is recorded once at most, however often and wherever it is asked.
///
/// Reason: whoever hears nothing asks again. Source: issue 6 "retries deduplicated by request ID
/// for ever", "unknown outcomes once or never".
pub fn requests_are_recorded_once(
    request: &RequestId,
    earlier: Option<u64>,
    now: u64,
) -> Result<(), Broken> {
    let Some(earlier) = earlier else { return Ok(()) };
    let what = format!("request {request} is in records {earlier} and {now}");
    Err(broken("requests_are_recorded_once", what))
}

/// What a client was told of a request.
#[derive(Debug, Clone, Copy)]
pub struct Acknowledged<'a> {
    /// The request.
    pub request: &'a RequestId,
    /// The record that it was told of.
    pub told: (u64, RecordHash),
    /// The record that has it.
    pub recorded: Option<(u64, RecordHash)>,
    /// The records that somebody knew of when it was asked first.
    pub before: u64,
}

/// What a client was told is recorded: it is in the record that it was told of, exactly once, and
/// behind everything that was known before it was asked.
///
/// Reason: that is what a user relies on. Source: issue 6 "acknowledged operations survive and
/// appear exactly once in real-time order".
pub fn acknowledged_operations_are_recorded(told: Acknowledged<'_>) -> Result<(), Broken> {
    const NAME: &str = "acknowledged_operations_are_recorded";
    let Acknowledged { request, told: (index, hash), recorded, before } = told;
    if recorded != Some((index, hash)) {
        let found = recorded.map(|(index, _)| index);
        let what = format!("request {request}: told of record {index}, found in {found:?}");
        return Err(broken(NAME, what));
    }
    if index < before {
        let what =
            format!("request {request} is in record {index}, but {before} were known before");
        return Err(broken(NAME, what));
    }
    Ok(())
}

/// What somebody was told is refused is not recorded later. Unless it was `in_doubt` what had become
/// of an earlier try, asked elsewhere perhaps, when a later one was refused: a refusal speaks of the
/// try that it answers.
///
/// Reason: whoever is refused asks for something else instead. Source: issue 6 "unknown outcomes once
/// or never", and no more than those.
pub fn what_was_refused_is_not_recorded(request: &RequestId, in_doubt: bool) -> Result<(), Broken> {
    if in_doubt {
        return Ok(());
    }
    let what = format!("{request} is recorded, though it was refused");
    Err(broken("what_was_refused_is_not_recorded", what))
}
