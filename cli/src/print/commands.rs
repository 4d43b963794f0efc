//! Commands within messages, wherever these were written: those meant for this machine name the
//! socket that this command was given, so that they can be run as they are printed.

use clap::Command;

/// Commands that ask the daemon which listens at the socket.
const ASK_A_DAEMON: [&str; 5] = ["lock", "node", "authkey", "adopt", "cluster"];
/// A line with one of these speaks of commands for another machine, itself or in the lines below it
/// that begin with a tab.
const ELSEWHERE: [&str; 5] =
    ["on that node", "on another member", "on another machine", "On a signing node", "on a member"];

/// The text, with `socket` (` --socket PATH`) behind each command that asks the daemon and does not
/// name a socket yet. A command is the program's name, the subcommands that there are, and flags.
pub(super) fn naming_the_socket(text: &str, definitions: &Command, socket: &str) -> String {
    let mut elsewhere = false;
    let mut line = |line: &str| {
        elsewhere = ELSEWHERE.iter().any(|words| line.contains(words))
            || (elsewhere && line.starts_with('\t'));
        if elsewhere { line.to_owned() } else { in_line(line, definitions, socket) }
    };
    text.split_inclusive('\n').map(&mut line).collect()
}

fn in_line(line: &str, definitions: &Command, socket: &str) -> String {
    if line.contains(" --socket") {
        return line.to_owned();
    }
    let program = format!("{} ", definitions.get_name());
    let (mut out, mut rest) = (String::new(), line);
    while let Some(at) = rest.find(&program) {
        let begins_a_word =
            !rest[..at].ends_with(|c: char| c.is_alphanumeric() || "/-_.".contains(c));
        let (before, command) = rest.split_at(at + program.len());
        out.push_str(before);
        rest = command;
        if begins_a_word && let Some(end) = end_of_command(command, definitions) {
            out.push_str(&command[..end]);
            out.push_str(socket);
            rest = &command[end..];
        }
    }
    out + rest
}

/// Where the command ends, in bytes, if it asks a daemon.
fn end_of_command(text: &str, definitions: &Command) -> Option<usize> {
    let word = |from: usize| {
        let plain = |c: char| c.is_ascii_lowercase() || c == '-';
        let rest = text.get(from..)?;
        let len = rest.find(|c| !plain(c)).unwrap_or(rest.len());
        (len > 0).then(|| &rest[..len])
    };
    let first = word(0)?;
    ASK_A_DAEMON.contains(&first).then_some(())?;
    let (mut end, mut command) = (first.len(), definitions.find_subcommand(first)?);
    while text[end..].starts_with(' ')
        && let Some(next) = word(end + 1)
    {
        match command.find_subcommand(next) {
            Some(found) => command = found,
            None if next.starts_with("--") && next.len() > 2 => {}
            None => break,
        }
        end += 1 + next.len();
    }
    // What stands for more words is no command to be run.
    (!text[end..].starts_with(" ...")).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn shown(text: &str) -> String {
        naming_the_socket(text, &crate::args::Cli::command(), " --socket 'a b'")
    }

    #[test]
    fn commands_that_ask_the_daemon_name_its_socket() {
        for (text, expected) in [
            ("initialize it first (lockstep lock init)", "(lockstep lock init --socket 'a b')"),
            ("'lockstep lock' shows it", "'lockstep lock --socket 'a b'' shows it"),
            ("(lockstep lock add, remove) or", "(lockstep lock add --socket 'a b', remove) or"),
            ("(lockstep lock status lists", "(lockstep lock status --socket 'a b' lists"),
            (
                "it (lockstep lock revoke-keys --cosign); if",
                "(lockstep lock revoke-keys --cosign --socket 'a b'); if",
            ),
            ("one\n'lockstep node list', and lockstep adopt --end.", "list --socket 'a b'', and"),
            ("one\n'lockstep node list', and lockstep adopt --end.", "adopt --end --socket 'a b'."),
        ] {
            assert!(shown(text).contains(expected), "{}", shown(text));
        }
    }

    #[test]
    fn what_is_for_another_machine_ends_with_its_lines() {
        let text = "Run this on another machine:\n\tlockstep lock status\nHere:\n\tlockstep lock";
        let expected = format!("{text} --socket 'a b'");
        assert_eq!(shown(text), expected);
    }

    #[test]
    fn other_words_stay_as_they_are() {
        for text in [
            "Start the daemon with 'lockstep serve', or name its socket with --socket.",
            "'lockstep key generate' makes one",
            "'lockstep lock' shows a node's key on that node.",
            "On a signing node its name is enough:\n\tlockstep lock revoke-keys --cosign MZXW6Y",
            "ask for a new invitation on a member: lockstep cluster invite",
            "Run 'lockstep lock init --socket s' to turn it on.",
            "Give the file that 'lockstep lock ... --export' wrote.",
            "lockstep is the program; /usr/bin/lockstep lock",
            "lockstep locked-out 1",
            "lockstep ",
            "",
        ] {
            assert_eq!(shown(text), text);
        }
    }
}
