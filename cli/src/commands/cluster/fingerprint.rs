//! `cluster fingerprint`.

use replica::daemon::config::{Given, Surroundings, resolve_data_dir};
use serde::Serialize;

use crate::args::{Fingerprint, Global};
use crate::commands::given;
use crate::exit::Failure;
use crate::print;

#[derive(Serialize)]
struct Shown {
    fingerprint: String,
    data_dir: String,
}

pub(super) fn run(args: &Fingerprint, global: Global) -> Result<(), Failure> {
    let dir =
        resolve_data_dir(&given(global), &Given::in_environment(), &Surroundings::of_process())
            .map_err(|error| Failure::usage(error.to_string()))?;
    let fingerprint = replica::daemon::fingerprint(&dir).map_err(|error| {
        let failure = Failure::new(error.to_string());
        match error.remedy() {
            Some(remedy) => failure.remedy(remedy),
            None => failure,
        }
    })?;
    let fingerprint = fingerprint.to_string();
    if args.json {
        let data_dir = dir.to_string_lossy().into_owned();
        return print::stdout(&print::json(&Shown { fingerprint, data_dir })?);
    }
    print::stdout(&format!("{fingerprint}\n"))
}
