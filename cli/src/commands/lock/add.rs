//! `lock add`.

use replica::local_api::bodies::ModifyRequest;

use super::{Session, enabled};
use crate::args::Add;
use crate::commands::change::{Done, Request};
use crate::commands::words::{Voter, listed};
use crate::exit::Failure;

pub(super) fn run(args: Add, session: &Session) -> Result<(), Failure> {
    let request = Request::new(&args.change)?;
    let result = add(&args.keys, &request, session);
    request.conclude(result).map(drop)
}

fn add(keys: &[String], request: &Request, session: &Session) -> Result<Done, Failure> {
    enabled(session)?;
    let keys = Voter::parse_all((1..).zip(listed(keys)))?;
    if keys.is_empty() {
        return Err(missing_keys());
    }
    let body =
        ModifyRequest { add_keys: Some(keys.iter().map(Voter::body).collect()), remove_keys: None };
    let changed = session.wait(session.client.modify(&body, &request.asked()));
    let changed = changed.map_err(|error| request.failed(error))?;
    Ok(Done { receipt: changed.receipt, node: None })
}

/// What `add` and `remove` say when there is nothing to do.
pub(super) fn missing_keys() -> Failure {
    Failure::new("missing argument, expected one or more tailnet lock keys")
        .remedy("'lockstep lock' shows a node's key on that node.")
}
