//! `lock status`.

use super::{Session, wants_json};
use crate::args::Status;
use crate::exit::Failure;
use crate::print;

pub(super) fn run(args: Status, session: &Session) -> Result<(), Failure> {
    if !args.extra.is_empty() {
        return Err(Failure::new("lockstep lock status: unexpected argument"));
    }
    let status = session.wait(session.client.lock_status())?;
    print::stdout(&if wants_json(args.json.as_deref())? {
        print::json(&print::status::document(&status))?
    } else {
        print::status::text(&status)
    })
}
