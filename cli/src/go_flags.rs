//! Go-style flags: what users of `tailscale lock` type, spelled as clap expects it.
//!
//! `-flag` and `--flag` are the same; a value follows after `=` or as the next word, a boolean's
//! only after `=`; flags stand before and after arguments, `--` ends them, `-` is an argument. A
//! flag given twice is an error. The definitions in [`crate::args`] say which flags there are.

use std::any::TypeId;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};

use clap::{Arg, ArgAction, Command};

/// Why a command line cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misspelled {
    /// The command that was reached, such as `lockstep lock status`.
    pub(crate) command: String,
    /// What is wrong.
    pub(crate) what: Wrong,
}

/// What is wrong with a command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Wrong {
    /// No subcommand of that name.
    #[error("unknown subcommand: {0}")]
    Subcommand(String),
    /// No flag of that name.
    #[error("flag provided but not defined: -{0}")]
    Undefined(String),
    /// Dashes without a name.
    #[error("bad flag syntax: {0}")]
    Syntax(String),
    /// A flag without its value.
    #[error("flag needs an argument: -{0}")]
    NoValue(String),
    /// A flag that may be given once.
    #[error("invalid flag {0}: flag provided multiple times")]
    Twice(String),
    /// A boolean that is neither.
    #[error("invalid boolean value {value:?} for -{flag}: expected true or false")]
    Boolean {
        /// The flag.
        flag: String,
        /// What was given.
        value: String,
    },
}

/// Rewrites `words` (without the program's name): the subcommands, then each flag as
/// `--flag=value` or `--flag`, then `--` and the arguments.
pub(crate) fn respell(
    root: &Command,
    words: impl IntoIterator<Item = OsString>,
) -> Result<Vec<OsString>, Misspelled> {
    let mut root = root.clone();
    root.build();
    let mut command = &root;
    let mut path = vec![root.get_name().to_owned()];
    let mut flags = Vec::new();
    let mut arguments: Vec<OsString> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let wrong = |what| Misspelled { command: path.join(" "), what };
        if takes_the_rest(command) {
            arguments.push(word);
            continue;
        }
        if word == "--" {
            arguments.extend(words);
            break;
        }
        let Some(flag) = flag_of(&word) else {
            if !command.has_subcommands() {
                arguments.push(word);
                continue;
            }
            let text = word.to_string_lossy();
            command = command
                .find_subcommand(&word)
                .ok_or_else(|| wrong(Wrong::Subcommand(text.clone().into_owned())))?;
            path.push(command.get_name().to_owned());
            continue;
        };
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(OsString::from(value))),
            None => (flag, None),
        };
        if name.is_empty() || name.starts_with('-') {
            return Err(wrong(Wrong::Syntax(word.to_string_lossy().into_owned())));
        }
        if name == "h" || name == "help" {
            path.push("--help".into());
            return Ok(path.into_iter().map(OsString::from).collect());
        }
        let arg = command
            .get_arguments()
            .find(|arg| is_named(arg, name))
            .ok_or_else(|| wrong(Wrong::Undefined(name.to_owned())))?;
        let name = arg.get_long().unwrap_or(name);
        if !seen.insert(name.to_owned()) && !matches!(arg.get_action(), ArgAction::Append) {
            return Err(wrong(Wrong::Twice(name.to_owned())));
        }
        let value = if value.is_none() && needs_value(arg) {
            Some(words.next().ok_or_else(|| wrong(Wrong::NoValue(name.to_owned())))?)
        } else {
            value
        };
        match (is_boolean(arg), value) {
            (_, None) => flags.push(format!("--{name}").into()),
            (true, Some(value)) => {
                let text = value.to_string_lossy().into_owned();
                let value = boolean(&text).ok_or_else(|| {
                    wrong(Wrong::Boolean { flag: name.to_owned(), value: text.clone() })
                })?;
                if !matches!(arg.get_action(), ArgAction::SetTrue) {
                    flags.push(format!("--{name}={value}").into());
                } else if value {
                    flags.push(format!("--{name}").into());
                }
            }
            (false, Some(value)) => {
                let mut flag = OsString::from(format!("--{name}="));
                flag.push(value);
                flags.push(flag);
            }
        }
    }
    let mut out: Vec<OsString> = path.into_iter().map(OsString::from).collect();
    out.append(&mut flags);
    if !arguments.is_empty() {
        out.push("--".into());
        out.append(&mut arguments);
    }
    Ok(out)
}

/// The word behind its dashes, if it is a flag. A lone `-` is an argument.
fn flag_of(word: &OsStr) -> Option<&str> {
    let flag = word.to_str()?.strip_prefix('-')?;
    match flag.strip_prefix('-') {
        Some(flag) => Some(flag),
        None if flag.is_empty() => None,
        None => Some(flag),
    }
}

/// Whether a flag has that name, or that other name, or is that letter.
fn is_named(arg: &Arg, name: &str) -> bool {
    let letter = arg.get_short().is_some_and(|letter| name.chars().eq([letter]));
    let aliases = arg.get_all_aliases().unwrap_or_default();
    arg.get_long() == Some(name) || aliases.contains(&name) || letter
}

fn takes_the_rest(command: &Command) -> bool {
    command.get_positionals().any(Arg::is_trailing_var_arg_set)
}

fn needs_value(arg: &Arg) -> bool {
    arg.get_action().takes_values() && arg.get_num_args().is_none_or(|n| n.min_values() > 0)
}

fn is_boolean(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::Version)
        || arg.get_value_parser().type_id() == TypeId::of::<bool>()
}

/// What Go's strconv.ParseBool takes.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::args::Cli;

    fn words(line: &str) -> Result<String, String> {
        let words = line.split_whitespace().map(OsString::from);
        match respell(&Cli::command(), words) {
            Ok(words) => {
                let words: Vec<_> = words.iter().map(|w| w.to_str().unwrap()).collect();
                Ok(words[1..].join(" "))
            }
            Err(wrong) => Err(format!("{}: {}", wrong.command, wrong.what)),
        }
    }

    #[test]
    fn definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn one_dash_or_two_before_and_after() {
        for line in [
            "lock log --limit=5 --json",
            "lock log -limit 5 -json",
            "lock log --limit 5 -json=true",
            "lock log -json=true --limit=5",
        ] {
            let spelled = words(line).unwrap();
            assert!(spelled.contains("--limit=5") && spelled.contains("--json"), "{spelled}");
        }
        assert_eq!(words("--socket s lock").unwrap(), "lock --socket=s");
        assert_eq!(words("lock status -socket=s").unwrap(), "lock status --socket=s");
        assert_eq!(words("lock log --limit -1").unwrap(), "lock log --limit=-1");
        assert_eq!(
            words("lock add k1 -request-id x k2").unwrap(),
            "lock add --request-id=x -- k1 k2"
        );
    }

    #[test]
    fn booleans_take_no_separate_value() {
        assert_eq!(words("lock init -confirm false").unwrap(), "lock init --confirm -- false");
        assert_eq!(words("lock init -confirm=F k").unwrap(), "lock init -- k");
        assert_eq!(words("lock init --confirm=1 k").unwrap(), "lock init --confirm -- k");
        assert_eq!(words("lock remove -resign=0 k").unwrap(), "lock remove --resign=false -- k");
        assert_eq!(words("lock remove -re-sign k").unwrap(), "lock remove --re-sign -- k");
        assert_eq!(
            words("lock init -confirm=x"),
            Err("lockstep lock init: invalid boolean value \"x\" for -confirm: expected true or \
                 false"
                .into())
        );
    }

    #[test]
    fn a_flag_has_all_its_names() {
        assert_eq!(words("adopt f --yes").unwrap(), "adopt --confirm -- f");
        assert_eq!(words("adopt -yes=false f").unwrap(), "adopt -- f");
        let twice = words("adopt --yes --confirm f").unwrap_err();
        assert!(twice.ends_with("invalid flag confirm: flag provided multiple times"), "{twice}");
    }

    #[test]
    fn two_dashes_end_the_flags() {
        assert_eq!(words("lock add -- -k --json").unwrap(), "lock add -- -k --json");
        assert_eq!(words("lock disable -").unwrap(), "lock disable -- -");
        assert_eq!(words("lock -- status").unwrap(), "lock -- status");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, wrong) in [
            ("lock status --bogus", "flag provided but not defined: -bogus"),
            ("lock log --limit", "flag needs an argument: -limit"),
            ("lock log --json --json", "invalid flag json: flag provided multiple times"),
            ("lock log ---limit", "bad flag syntax: ---limit"),
            ("lock log --=3", "bad flag syntax: --=3"),
            ("lock bogus", "unknown subcommand: bogus"),
            ("bogus", "unknown subcommand: bogus"),
        ] {
            let error = words(line).unwrap_err();
            assert!(error.ends_with(wrong), "{error}");
        }
    }

    #[test]
    fn help_wins_wherever_it_stands() {
        for line in ["lock init -h", "lock init k --help", "lock init -help --limit"] {
            assert_eq!(words(line).unwrap(), "lock init --help");
        }
        assert_eq!(words("-h").unwrap(), "--help");
        assert_eq!(words("--version").unwrap(), "--version");
        assert_eq!(words("-V").unwrap(), "--version");
        assert_eq!(words("lock init -- -h").unwrap(), "lock init -- -h");
    }
}
