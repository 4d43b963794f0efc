//! The `lockstep` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main(cli::Supported::THIS_VERSION)
}
