//! A command on a terminal of its own: what it asks, and what becomes of the answer.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, OptionalActions, OutputModes, tcgetattr, tcsetattr};

/// Runs a command on a terminal, types, and reads what appears. Returns its exit code, too.
pub fn terminal(command: &mut Command, input: &str) -> (i32, String) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    // Neither echo nor translated line ends.
    let mut modes = tcgetattr(&theirs).unwrap();
    modes.local_modes -= LocalModes::ECHO;
    modes.output_modes -= OutputModes::OPOST;
    tcsetattr(&theirs, OptionalActions::Now, &modes).unwrap();
    let end = || Stdio::from(theirs.try_clone().unwrap());
    command.env("NO_COLOR", "1").stdin(end()).stdout(end()).stderr(end());
    let mut child = command.spawn().unwrap();
    // Only the child has the terminal now: reading ends when it does.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    drop(theirs);
    let mut ours = File::from(ours);
    ours.write_all(input.as_bytes()).unwrap();
    let mut output = Vec::new();
    let _ = ours.read_to_end(&mut output);
    let exit = child.wait().unwrap().code().unwrap_or(-1);
    (exit, String::from_utf8(output).unwrap())
}
