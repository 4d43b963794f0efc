//! `lock status`.

use super::{Session, json_version, wants_json};
use crate::args::Status;
use crate::exit::Failure;
use crate::print;

pub(super) fn run(args: Status, session: &Session) -> Result<(), Failure> {
    let json = json_version(args.json.as_deref())?;
    if !args.extra.is_empty() {
        return Err(Failure::new("lockstep lock status: unexpected argument"));
    }
    let status = session.wait(session.client.lock_status())?;
    print::stdout(&if wants_json(json)? {
        print::json(&print::status::document(&status))?
    } else {
        print::status::text(&status)
    })
}
