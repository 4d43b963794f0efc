//! `cluster status`.

use replica::local_api::bodies::Health;

use crate::args::GroupStatus;
use crate::commands::Session;
use crate::exit::{Code, Failure};
use crate::print;

pub(super) fn run(args: &GroupStatus, session: &Session) -> Result<(), Failure> {
    let group = session.wait(session.reading(args.read).group())?;
    print::stdout(&if args.json { print::json(&group)? } else { print::group::text(&group) })?;
    let code = match group.health {
        Health::Healthy => return Ok(()),
        Health::Degraded => Code::Failed,
        Health::Alarm | Health::NoQuorum => Code::Alarm,
    };
    // What is wrong stands in what was printed.
    Err(Failure { code, ..Failure::new("") })
}
