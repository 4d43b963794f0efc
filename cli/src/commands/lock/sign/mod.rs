//! `lock sign`: node keys, or an auth key.

mod auth_key;
mod locked_out;
mod node_keys;

use super::Session;
use crate::args::{Sign, TskeyWrap};
use crate::commands::change::Request;
use crate::commands::words::or_file;
use crate::exit::Failure;

pub(super) fn run(args: Sign, session: &Session) -> Result<(), Failure> {
    let request = Request::new(&args.change)?;
    if args.locked_out {
        return locked_out::run(&args, &request, session);
    }
    if args.confirm {
        return Err(Failure::usage("--confirm: without --locked-out nothing is asked"));
    }
    // A file may hold an auth key as well.
    let words = args.keys.iter().map(|word| or_file(word)).collect::<Result<Vec<_>, _>>();
    match words {
        Ok(words) if words.first().is_some_and(|word| word.starts_with("tskey-")) => {
            if args.with.key.is_some() || args.with.export.is_some() {
                return Err(Failure::usage(
                    "--key: an auth key is signed by a key of its own, which \
                     the daemon's key makes trusted",
                ));
            }
            auth_key::run(&words, &request, session)
        }
        words => node_keys::run(words, &args.with, &request, session),
    }
}

/// `lock tskey-wrap`: what signing an auth key was called once.
pub(super) fn wrap(args: &TskeyWrap, session: &Session) -> Result<(), Failure> {
    let request = Request::new(&args.change)?;
    let words = args.keys.iter().map(|word| or_file(word)).collect::<Result<Vec<_>, _>>();
    match words {
        Ok(words) => auth_key::run(&words, &request, session),
        Err(failure) => request.conclude(Err(failure)).map(drop),
    }
}
