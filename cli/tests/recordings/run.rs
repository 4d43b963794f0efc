//! Running one command and holding it against the recording.

use std::fmt;
use std::fs;
use std::process::{Command, Stdio};

use super::daemon::{Daemon, Request};
use super::{Call, Recorded, pages};

/// What our command did.
pub(crate) struct Ours {
    pub(crate) exit: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) requests: Vec<Request>,
}

/// Where the two differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Difference {
    Calls { recorded: Vec<String>, ours: Vec<String> },
    Body { call: usize, recorded: String, ours: String },
    Exit { recorded: i32, ours: i32 },
    Stdout { wanted: String, ours: String },
    Stderr { wanted: String, ours: String },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Calls { recorded, ours } => {
                writeln!(f, "  calls: {recorded:?}\n   ours: {ours:?}")
            }
            Difference::Body { call, recorded, ours } => {
                writeln!(f, "  body of call {call}: {recorded}\n   ours: {ours}")
            }
            Difference::Exit { recorded, ours } => writeln!(f, "  exit: {recorded}, ours {ours}"),
            Difference::Stdout { wanted, ours } => {
                writeln!(f, "  stdout: {wanted:?}\n    ours: {ours:?}")
            }
            Difference::Stderr { wanted, ours } => {
                writeln!(f, "  stderr: {wanted:?}\n    ours: {ours:?}")
            }
        }
    }
}

/// Types the command at ours.
pub(crate) fn run(case: &Recorded) -> Ours {
    let dir = tempfile::tempdir().unwrap();
    let name = case.argv.iter().find_map(|word| word.strip_prefix("--socket=$DIR/")).unwrap();
    fs::create_dir(dir.path().join("files")).unwrap();
    for (file, content) in files(case) {
        fs::write(dir.path().join("files").join(file), content).unwrap();
    }
    let daemon =
        (name != "absent.sock").then(|| Daemon::start(&dir.path().join(name), &case.calls));
    let place = dir.path().to_str().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    command.args(case.argv.iter().map(|word| word.replace("$DIR", place)));
    command.env_clear();
    let (exit, stdout, stderr) = if case.tty {
        let (exit, output) = super::terminal::terminal(&mut command, &case.tty_input);
        (exit, output, String::new())
    } else {
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    };
    Ours {
        exit,
        stdout: stdout.replace(place, "$DIR"),
        stderr: stderr.replace(place, "$DIR"),
        requests: daemon.map(|daemon| daemon.requests()).unwrap_or_default(),
    }
}

/// The files that a command reads: they were not recorded, but what was sent tells.
fn files(case: &Recorded) -> Vec<(&'static str, String)> {
    match case.step.as_str() {
        "165-sign-file" => {
            let sent: serde_json::Value = serde_json::from_slice(&case.calls[0].body()).unwrap();
            let rotation: String = sent["RotationPublic"].as_str().unwrap().to_owned();
            let rotation = data_encoding::BASE64.decode(rotation.as_bytes()).unwrap();
            let rotation = data_encoding::HEXLOWER.encode(&rotation);
            vec![
                ("node4.nodekey", format!("{}\n", sent["NodeKey"].as_str().unwrap())),
                ("node4.tlpub", format!("tlpub:{rotation}\n")),
            ]
        }
        "178-sign-authkey-file" => {
            let wrap = case.calls.iter().find(|call| call.target.ends_with("wrap-preauth-key"));
            let sent: serde_json::Value = serde_json::from_slice(&wrap.unwrap().body()).unwrap();
            vec![("authkey", format!("{}\n", sent["TSKey"].as_str().unwrap()))]
        }
        _ => Vec::new(),
    }
}

/// Everything in which ours differs from the recording.
pub(crate) fn compare(case: &Recorded, ours: &Ours) -> Vec<Difference> {
    let mut differences = Vec::new();
    let recorded: Vec<String> = case.calls.iter().map(Call::line).collect();
    let made: Vec<String> =
        ours.requests.iter().map(|r| format!("{} {}", r.method, r.target)).collect();
    if recorded != made {
        differences.push(Difference::Calls { recorded, ours: made });
    } else {
        for (call, (recorded, ours)) in case.calls.iter().zip(&ours.requests).enumerate() {
            if !pages::same_body(call, case, recorded, ours) {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let (recorded, ours) = (text(&recorded.body()), text(&ours.body));
                differences.push(Difference::Body { call, recorded, ours });
            }
        }
    }
    if case.exit != ours.exit {
        differences.push(Difference::Exit { recorded: case.exit, ours: ours.exit });
    }
    let recorded = if case.tty { &case.tty_output } else { &case.stdout };
    let wanted = pages::stdout(case, recorded);
    if wanted != pages::masked(case, &ours.stdout) {
        differences.push(Difference::Stdout { wanted, ours: ours.stdout.clone() });
    }
    let wanted = pages::stderr(&case.stderr);
    if wanted != ours.stderr {
        differences.push(Difference::Stderr { wanted, ours: ours.stderr.clone() });
    }
    differences
}

impl Call {
    fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}
