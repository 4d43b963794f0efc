//! `cluster ...`.

mod backup;
mod begin;
mod fingerprint;
mod inspect;
mod invite;
mod member;
mod records;
mod recover;
mod restore;
mod status;

use super::asking;
use crate::args::{ClusterCommand, Global};
use crate::exit::Failure;

/// Runs a subcommand.
pub(super) fn run(command: ClusterCommand, global: Global) -> Result<(), Failure> {
    use ClusterCommand as C;
    match command {
        C::Status(args) => asking(global, |session| status::run(&args, session)),
        C::Invite(args) => asking(global, |session| invite::run(&args, session)),
        C::Approve(args) => asking(global, |session| member::approve(&args, session)),
        C::Promote(args) => asking(global, |session| member::promote(&args, session)),
        C::Demote(args) => asking(global, |session| member::demote(&args, session)),
        C::Remove(args) => asking(global, |session| member::remove(&args, session)),
        C::TransferLeader(args) => asking(global, |session| member::lead(&args, session)),
        C::Fingerprint(args) => fingerprint::run(&args, global),
        C::Records(args) => records::run(&args, global),
        C::Backup(args) => asking(global, |session| backup::run(&args, session)),
        C::Restore(args) => restore::run(&args, global),
        C::Recover(args) => recover::run(&args, global),
        C::Inspect(args) => inspect::run(&args),
    }
}
