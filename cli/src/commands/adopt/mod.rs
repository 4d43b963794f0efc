//! `lockstep adopt`.

mod bring;
mod follow;
mod members;
mod plan;

use replica::local_api::bodies::AdoptionBody;

use self::bring::bring;
use self::members::Members;
use self::plan::Plan;
use super::Session;
use super::change::{Done, Request};
use super::lock;
use super::words::{can_ask, confirmed, quoted};
use crate::args::Adopt;
use crate::exit::Failure;
use crate::print;

pub(super) fn run(args: &Adopt, session: &Session) -> Result<(), Failure> {
    let request = Request::new(&args.change)?;
    match (&args.follow, &args.source) {
        _ if args.end => end(&request, session),
        (Some(socket), _) => follow::run(args, socket, &request, session),
        (None, Some(_)) => adopt(args, &request, session),
        (None, None) => Err(Failure::usage("adopt: neither a SOURCE nor --follow nor --end")
            .remedy("Run 'lockstep adopt --help' for what there is.")),
    }
}

/// Takes a lock over.
fn adopt(args: &Adopt, request: &Request, session: &Session) -> Result<(), Failure> {
    let result = (|| {
        let members = Members::read(&args.status)?;
        let plan = Plan::of_source(args, false)?;
        if !asked(args, &plan, request, session)? {
            return Ok(None);
        }
        bring(&plan, &members, request, session).map(Some)
    })();
    match result {
        Ok(None) => Ok(()),
        Ok(Some(brought)) => {
            request.conclude_with(Ok(brought.done()), &brought.document())?;
            request.say(&brought.text(session)?)?;
            brought.whole()
        }
        Err(failure) => request.conclude(Err(failure)).map(drop),
    }
}

/// Shows what the history rests on, unless there is nothing left to ask for. Whether to go on.
fn asked(args: &Adopt, plan: &Plan, request: &Request, session: &Session) -> Result<bool, Failure> {
    match session.wait(session.client.adoption())? {
        // Run again, after it was cut short or complete.
        Some(current) if plan.is(&current) => return Ok(true),
        Some(AdoptionBody { adopted_record: None, head, .. }) => {
            return Err(Failure::new(format!(
                "another adoption is under way, of a lock with head {head}"
            ))
            .remedy(
                "Run that command again to complete it, or 'lockstep adopt --end' to give it up.",
            ));
        }
        _ => {}
    }
    if session.wait(session.client.lock_status())?.enabled {
        return Err(Failure::new("tailnet lock is already enabled here").remedy(
            "A signing node has one lock at a time: disable this one first, or adopt on another \
             signing node.",
        ));
    }
    lock::not_set_aside(session)?;
    request.say(&plan.text())?;
    if args.confirm {
        return Ok(true);
    }
    if can_ask() && !request.json {
        return confirmed("Adopt this lock? [y/N]", false);
    }
    request.say(&format!(
        "If this is correct, please re-run this command with the --confirm flag:\n\t{}\n",
        line(args, request, session)
    ))?;
    Ok(false)
}

/// The line that carries out what was shown.
fn line(args: &Adopt, request: &Request, session: &Session) -> String {
    let mut line = "lockstep adopt --confirm".to_owned();
    let mut word = |flag: &str, value: &str| {
        line.push_str(&format!(" {flag}{}", quoted(value)));
    };
    if let Some(path) = &args.source {
        word("", &path.to_string_lossy());
    }
    for path in &args.status {
        word("--status ", &path.to_string_lossy());
    }
    if let Some(path) = &args.follow {
        word("--follow ", &path.to_string_lossy());
    }
    if let Some(hash) = &args.genesis {
        word("--genesis ", hash);
    }
    if let Some(hash) = &args.head {
        word("--head ", hash);
    }
    if args.follow.is_some() && args.interval != 5 {
        word("--interval ", &args.interval.to_string());
    }
    if args.once {
        line.push_str(" --once");
    }
    if request.named {
        line.push_str(&format!(" --request-id {}", request.id));
    }
    if request.json {
        line.push_str(" --json");
    }
    line + &session.socket_words()
}

/// Gives an adoption up, or ends the following of a lock.
fn end(request: &Request, session: &Session) -> Result<(), Failure> {
    let before = session.wait(session.client.adoption())?;
    let answer = session.wait(session.client.adoption_end(&request.asked()));
    let ended = answer.map_err(|error| request.failed(error));
    request.conclude(ended.map(|changed| Done { receipt: changed.receipt, node: None }))?;
    match before {
        Some(AdoptionBody { adopted_record: Some(_), epoch, .. }) => {
            print::note(
                "This ledger shows no lock now. Tailnet lock itself is as it was: its server \
                 decides it.",
            );
            request.say(&format!("The lock of epoch {epoch} is followed no longer.\n"))
        }
        _ => request.say("The adoption was given up; nothing of it is left but its records.\n"),
    }
}
