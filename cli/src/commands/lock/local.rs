//! `lock local-disable` and `lock local-enable`.

use super::Session;
use crate::args::Local;
use crate::commands::change::{Done, Request};
use crate::exit::Failure;

pub(super) fn disable(args: Local, session: &Session) -> Result<(), Failure> {
    let request = Request::new(&args.change)?;
    let result = match unexpected(&args, "local-disable") {
        Ok(()) => session.wait(session.client.local_disable()).map_err(|e| request.failed(e)),
        Err(failure) => Err(failure),
    };
    request.conclude(result.map(|()| Done::default())).map(drop)
}

pub(super) fn enable(args: Local, session: &Session) -> Result<(), Failure> {
    let request = Request::new(&args.change)?;
    let result = match unexpected(&args, "local-enable") {
        Ok(()) => session.wait(session.client.local_enable()).map_err(|e| request.failed(e)),
        Err(failure) => Err(failure),
    };
    request.conclude(result.map(|()| Done::default())).map(drop)
}

fn unexpected(args: &Local, name: &str) -> Result<(), Failure> {
    match args.extra.first() {
        Some(_) => Err(Failure::new(format!("lockstep lock {name}: unexpected argument"))),
        None => Ok(()),
    }
}
