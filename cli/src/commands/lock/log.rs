//! `lock log`.

use ledger::formats::log_json;
use ledger::lock::Sealed;

use super::{Off, Session, json_version, set_aside, wants_json};
use crate::args::Log;
use crate::exit::Failure;
use crate::print;

pub(super) fn run(args: Log, session: &Session) -> Result<(), Failure> {
    let json = json_version(args.json.as_deref())?;
    if !args.extra.is_empty() {
        // As in the original, they do not count.
        print::note("lockstep lock log: arguments are ignored");
    }
    let client = session.reading(args.read);
    let entries = match args.epoch {
        Some(epoch) => session.wait(client.epoch_log(epoch, args.limit))?,
        None => {
            let status = session.wait(client.lock_status())?;
            if !status.enabled {
                return Err(no_log(session)?);
            }
            session.wait(client.log(args.limit))?
        }
    };
    let mut aums = Vec::with_capacity(entries.len());
    for entry in entries {
        let aum = Sealed::decode(&entry.raw.0)
            .map_err(|error| Failure::new(format!("reading change {}: {error}", entry.hash)))?;
        if aum.hash() != entry.hash {
            return Err(Failure::new(format!(
                "incorrect AUM hash: got {}, want {}",
                entry.hash,
                aum.hash()
            )));
        }
        aums.push(aum);
    }
    print::stdout(&if wants_json(json)? {
        log_json::write(&aums)
    } else {
        print::log::text(&aums, print::colour())
    })
}

/// What to say while the lock is off.
fn no_log(session: &Session) -> Result<Failure, Failure> {
    let off = Failure::new("Tailnet Lock is not enabled");
    Ok(match Off::here(session)? {
        Off::Ended(last) => {
            let line = format!("lockstep lock log --epoch {last}{}", session.socket_words());
            off.remedy(format!("A past lock can be read with --epoch: '{line}'."))
        }
        Off::SetAside => set_aside(session),
        Off::Never | Off::Untold => {
            let line = format!("lockstep lock init{}", session.socket_words());
            off.remedy(format!("Run '{line}' to turn it on."))
        }
    })
}
