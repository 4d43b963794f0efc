//! `cluster inspect`: what a data directory holds.

use replica::offline::Offline;

use crate::args::Inspect;
use crate::exit::Failure;
use crate::print;

pub(super) fn run(args: &Inspect) -> Result<(), Failure> {
    if !args.dir.is_dir() {
        return Err(Failure::new(format!("{} is not a data directory", args.dir.display()))
            .remedy("Name the directory that 'lockstep serve --data-dir' was given."));
    }
    let fault = |fault: ledger::Fault| {
        Failure::new(fault.to_string()).remedy(
            "If a daemon runs there, stop it or ask again; 'lockstep audit verify' says more.",
        )
    };
    let facts = Offline::open(&args.dir).map_err(fault)?.facts().map_err(fault)?;
    let shown = print::inspected::Inspected::from(&facts);
    print::stdout(&if args.json { print::json(&shown)? } else { shown.text() })
}
