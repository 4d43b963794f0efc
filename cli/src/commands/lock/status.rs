//! `lock status`.

use super::{Session, json_version, wants_json};
use crate::args::Status;
use crate::exit::Failure;
use crate::print;
use crate::print::everyone::Everyone;

pub(super) fn run(args: Status, session: &Session) -> Result<(), Failure> {
    let json = json_version(args.json.as_deref())?;
    if !args.extra.is_empty() {
        return Err(Failure::new("lockstep lock status: unexpected argument"));
    }
    let client = session.reading(args.read);
    let (status, warning) = session.wait(client.lock_status_and_warning())?;
    let json = wants_json(json)?;
    if let Some(warning) = warning {
        print::note(&warning);
    }
    let document = print::status::document(&status);
    if !args.all {
        let text = if json { session.json(&document)? } else { print::status::text(&status) };
        return print::stdout(&text);
    }
    let (nodes, epochs, said, identity, adoption) = session.wait(async {
        Ok::<_, Failure>((
            client.nodes().await?,
            client.epochs().await?,
            client.acknowledgements().await?,
            client.identity().await?,
            client.adoption().await?,
        ))
    })?;
    let own = identity.node_id;
    let everyone =
        Everyone { nodes: &nodes, own, epochs: &epochs, said: &said, adoption: adoption.as_ref() };
    print::stdout(&if json {
        session.json(&print::status::with_everyone(document, &everyone))?
    } else {
        print::status::text(&status) + &everyone.text()
    })
}
