//! `completions` and `man`: made from the definitions of the command line, so that they say what
//! the program takes.

use std::fs;

use clap::CommandFactory;

use crate::args::{Cli, Completions, Man, Shell};
use crate::exit::Failure;
use crate::print;

/// The program's name.
const NAME: &str = "lockstep";

/// Prints the completions of a shell.
pub(super) fn completions(args: &Completions) -> Result<(), Failure> {
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Fish => clap_complete::Shell::Fish,
        Shell::Zsh => clap_complete::Shell::Zsh,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut shown(Cli::command()), NAME, &mut script);
    print::stdout(&String::from_utf8_lossy(&script))
}

/// Writes a man page for each command.
pub(super) fn man(args: &Man) -> Result<(), Failure> {
    let dir = &args.dir;
    let failed = |error: std::io::Error| {
        Failure::new(format!("writing the man pages to {}: {error}", dir.display()))
            .remedy("Choose a directory that you may write to.")
    };
    fs::create_dir_all(dir).map_err(failed)?;
    let mut definitions = Cli::command();
    definitions.build();
    pages(&definitions, NAME, &mut |name, page| fs::write(dir.join(format!("{name}.1")), page))
        .map_err(failed)
}

/// Gives the page of a command and of all shown ones below it.
fn pages(
    command: &clap::Command,
    name: &str,
    write: &mut impl FnMut(&str, &[u8]) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut page = Vec::new();
    let titled = command.clone().display_name(name.to_owned());
    clap_mangen::Man::new(titled).title(name).section("1").render(&mut page)?;
    write(name, &page)?;
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        pages(below, &format!("{name}-{}", below.get_name()), write)?;
    }
    Ok(())
}

/// The definitions without the commands that only packagers need.
fn shown(definitions: clap::Command) -> clap::Command {
    let mut out = clap::Command::new(NAME).disable_help_subcommand(true);
    out = out.args(definitions.get_arguments().cloned());
    let below = definitions.get_subcommands();
    let below = below.filter(|below| !below.is_hide_set());
    out.subcommands(below.cloned())
}
