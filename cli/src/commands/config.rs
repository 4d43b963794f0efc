//! `config ...`: the daemon's settings.

use ledger::history::is_name;
use replica::daemon::config::{Config, Given, Surroundings};
use serde_json::{Map, Value};

use super::given;
use crate::args::{ConfigCheck, ConfigCommand, Global};
use crate::exit::Failure;
use crate::print;

/// Runs a subcommand.
pub(super) fn run(command: &ConfigCommand, global: Global) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check(args) => check(args, global),
    }
}

fn check(args: &ConfigCheck, global: Global) -> Result<(), Failure> {
    let surroundings = Surroundings::of_process();
    let config = Config::resolve(given(global), Given::in_environment(), &surroundings)
        .map_err(|error| Failure::usage(error.to_string()))?;
    if let Some(name) = config.name.as_ref().filter(|name| !is_name(name)) {
        return Err(Failure::usage(format!(
            "name: {name:?}: a name is 1 to 63 lower-case letters, digits and inner hyphens"
        )));
    }
    let settings = config.in_force();
    if args.json {
        let settings: Map<_, _> = settings
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.map_or(Value::Null, Value::String)))
            .collect();
        return print::stdout(&print::json(&settings)?);
    }
    let mut text = String::new();
    for (name, value) in settings {
        let value = value.as_deref().map_or_else(|| "(none)".to_owned(), print::line);
        text.push_str(&format!("{name:<16} {value}\n"));
    }
    print::stdout(&text)
}
