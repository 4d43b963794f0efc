//! `lock add`.

use replica::local_api::bodies::{AskedBody, ModifyBody, ModifyRequest, VoterBody};

use super::{Session, enabled};
use crate::args::Add;
use crate::commands::change::{Done, Request};
use crate::commands::outside;
use crate::commands::words::{Voter, listed};
use crate::exit::Failure;

pub(super) fn run(args: Add, session: &Session) -> Result<(), Failure> {
    let request = Request::new(&args.change)?;
    outside::conclude(&request, add(&args, &request, session))
}

fn add(args: &Add, request: &Request, session: &Session) -> Result<Option<Done>, Failure> {
    if !request.on_record(session)? {
        enabled(session)?;
    }
    let keys = Voter::parse_all((1..).zip(listed(&args.keys)))?;
    if keys.is_empty() {
        return Err(missing_keys());
    }
    if let Some(with) = args.with.chosen()? {
        let add =
            keys.iter().map(|voter| VoterBody { key: voter.key.to_tlpub(), votes: voter.votes });
        let modify = ModifyBody { add: add.collect(), ..ModifyBody::default() };
        let asked = AskedBody { modify: Some(modify), ..AskedBody::default() };
        return outside::change(asked, &with, request, session);
    }
    let body =
        ModifyRequest { add_keys: Some(keys.iter().map(Voter::body).collect()), remove_keys: None };
    let changed = session.wait(session.client.modify(&body, &request.asked()));
    let changed = changed.map_err(|error| request.failed(error))?;
    Ok(Some(Done { receipt: changed.receipt, node: None }))
}

/// What `add` and `remove` say when there is nothing to do.
pub(super) fn missing_keys() -> Failure {
    Failure::new("missing argument, expected one or more tailnet lock keys")
        .remedy("'lockstep lock' shows a node's key on that node.")
}
