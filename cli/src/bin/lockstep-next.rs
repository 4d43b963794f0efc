//! The program as the version after this one, for tests of rolling upgrades: its daemon supports
//! one more version of the rules and of the wire protocol, which mean nothing new. It is built for
//! the tests alone (the feature `next-version`), beside the program and from the same library.

use std::process::ExitCode;

use replica::peers::Versions;

/// Versions of the wire protocol that the daemon speaks instead, as `LEAST..MOST`.
const WIRE: &str = "LOCKSTEP_NEXT_WIRE";

fn main() -> ExitCode {
    let mut supported = cli::Supported::NEXT_VERSION;
    if let Ok(text) = std::env::var(WIRE) {
        let parts = text.split_once("..");
        let range = parts.and_then(|(least, most)| Some((least.parse().ok()?, most.parse().ok()?)));
        let Some((least, most)) = range else {
            eprintln!("{WIRE}: {text:?} is not LEAST..MOST");
            return ExitCode::from(2);
        };
        supported = supported.speaking(Versions { least, most });
    }
    cli::main(supported)
}
