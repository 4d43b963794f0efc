//! A command on a terminal of its own: what it asks, and what becomes of the answer.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, OptionalActions, OutputModes, tcgetattr, tcsetattr};

/// Runs a command on a terminal, types, and reads what appears. Returns its exit code, too.
pub fn terminal(command: &mut Command, input: &str) -> (i32, String) {
    // What is typed is not seen, so that the text is the command's alone.
    let (mut child, mut ours) = start(command, false);
    ours.write_all(input.as_bytes()).unwrap();
    let mut output = Vec::new();
    let _ = ours.read_to_end(&mut output);
    let exit = child.wait().unwrap().code().unwrap_or(-1);
    (exit, String::from_utf8(output).unwrap())
}

/// Runs a command on a terminal that shows what is typed, unless the command switches that off.
/// Each answer is typed once its question has appeared.
#[allow(dead_code, reason = "the recordings' test has this file too, for the function above")]
pub fn conversation(command: &mut Command, steps: &[(&str, &str)]) -> (i32, String) {
    let (mut child, mut ours) = start(command, true);
    let mut output = Vec::new();
    for (question, answer) in steps {
        while !output.ends_with(question.as_bytes()) {
            let mut byte = [0];
            let read = ours.read(&mut byte);
            let text = String::from_utf8_lossy(&output);
            assert!(matches!(read, Ok(1)), "{question:?} was not asked: {text}");
            output.push(byte[0]);
        }
        ours.write_all(answer.as_bytes()).unwrap();
    }
    let _ = ours.read_to_end(&mut output);
    let exit = child.wait().unwrap().code().unwrap_or(-1);
    (exit, String::from_utf8(output).unwrap())
}

/// Starts a command on a terminal, of which the returned file is the other side.
fn start(command: &mut Command, echo: bool) -> (Child, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    // No translated line ends.
    let mut modes = tcgetattr(&theirs).unwrap();
    modes.local_modes.set(LocalModes::ECHO, echo);
    modes.output_modes -= OutputModes::OPOST;
    tcsetattr(&theirs, OptionalActions::Now, &modes).unwrap();
    let end = || Stdio::from(theirs.try_clone().unwrap());
    command.env("NO_COLOR", "1").stdin(end()).stdout(end()).stderr(end());
    let child = command.spawn().unwrap();
    // Only the child has the terminal now: reading ends when it does.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    (child, File::from(ours))
}
