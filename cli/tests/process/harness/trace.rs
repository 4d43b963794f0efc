//! The system calls of a daemon, by strace: to see them in their order, or to make them fail.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{LOCKSTEP, Place};

/// The calls by which bytes leave the process or reach the disk.
const CALLS: &str = "write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,fdatasync,fsync,prctl";

/// One call, between two lines of strace's output.
#[derive(Debug)]
pub struct Call {
    pub name: String,
    /// The arguments as strace prints them: descriptors with their paths, whole buffers.
    pub arguments: String,
    /// What it returned; negative if it failed.
    pub result: i64,
    /// Where in the output it began and ended.
    pub began: usize,
    pub ended: usize,
}

impl Call {
    /// What the descriptor stands for: a path, or `socket:...`.
    pub fn target(&self) -> &str {
        let inside = self.arguments.split_once('<').map_or("", |(_, rest)| rest);
        inside.split_once('>').map_or("", |(target, _)| target)
    }
}

/// The daemon's command under strace. The process's switch against being traced is kept from
/// working, so that this needs no root.
pub fn traced(place: &Place, more: &[&str]) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-qq", "--seccomp-bpf", "-s", "10000000", "-o"]);
    command.arg(output(place)).args(["-e", "signal=none", "-e", &format!("trace={CALLS}")]);
    command.args(["-e", "inject=prctl:retval=0"]).args(more).arg("sh");
    through_shell(place, command, "")
}

/// The daemon's command with files that cannot become longer than so many KiB: a write goes as far
/// as it can, and the next one fails.
pub fn limited(place: &Place, kib: usize) -> Command {
    // POSIX counts blocks of 512 bytes. The signal would end the process.
    let script = format!("trap '' XFSZ && ulimit -f {} && ", 2 * kib);
    through_shell(place, Command::new("sh"), &script)
}

/// Has a shell write its process ID to a file, do what the script says, and become the daemon: a
/// tracer passes no signals on, so the daemon's own ID is needed.
fn through_shell(place: &Place, mut command: Command, script: &str) -> Command {
    let serve = place.serve();
    let script = format!("echo $$ >traced.pid && {script}exec \"$0\" \"$@\"");
    command.args(["-c", &script, LOCKSTEP]).args(serve.get_args()).current_dir(place.root());
    for (name, value) in serve.get_envs() {
        command.env(name, value.map(OsString::from).unwrap_or_default());
    }
    command.stdin(std::process::Stdio::null());
    command
}

fn output(place: &Place) -> PathBuf {
    place.file("strace.out")
}

/// The calls of a traced daemon that has ended, in the order in which they ended.
pub fn calls(place: &Place) -> Vec<Call> {
    let bytes = fs::read(output(place)).unwrap();
    let text = String::from_utf8(bytes).expect("strace escapes what is no text");
    let mut begun: HashMap<(&str, &str), (usize, &str)> = HashMap::new();
    let mut calls = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let (thread, rest) = line.split_once(' ').unwrap();
        let rest = rest.trim_start();
        if let Some(rest) = rest.strip_prefix("<... ") {
            let (name, rest) = rest.split_once(" resumed>").unwrap();
            let Some((began, arguments)) = begun.remove(&(thread, name)) else { continue };
            let Some((more, result)) = ended(rest) else { continue };
            calls.push(call(name, &format!("{arguments}{more}"), result, began, at));
        } else if let Some(whole) = rest.strip_suffix(" <unfinished ...>") {
            let (name, arguments) = whole.split_once('(').unwrap();
            begun.insert((thread, name), (at, arguments));
        } else if let Some((whole, result)) = ended(rest) {
            let (name, arguments) = whole.split_once('(').unwrap();
            calls.push(call(name, arguments, result, at, at));
        }
    }
    assert!(!calls.is_empty(), "strace saw nothing");
    calls
}

/// What stands before the closing parenthesis, and behind the equals sign, which strace aligns.
fn ended(line: &str) -> Option<(&str, &str)> {
    let (whole, result) = line.rsplit_once(" = ")?;
    Some((whole.trim_end().strip_suffix(')')?, result))
}

fn call(name: &str, arguments: &str, result: &str, began: usize, ended: usize) -> Call {
    let number = result.split(' ').next().unwrap();
    let result = number.parse().unwrap_or(-1);
    Call { name: name.to_owned(), arguments: arguments.to_owned(), result, began, ended }
}
