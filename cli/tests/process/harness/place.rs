//! A directory with a daemon's data and socket, and commands that talk to it.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::{Daemon, LOCKSTEP};

/// The directory of one test. Whatever runs in it must end before it is dropped.
pub struct Place {
    dir: TempDir,
}

/// A command that has ended.
pub struct Ran {
    line: String,
    /// The exit code; 128 and the signal's number if a signal ended it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Place {
    pub fn new() -> Self {
        Place { dir: tempfile::tempdir().unwrap() }
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// A file in the directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    pub fn data(&self) -> PathBuf {
        self.file("data")
    }

    pub fn socket(&self) -> PathBuf {
        self.file("s.sock")
    }

    /// Writes a file.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.file(name), content).unwrap();
        self.file(name)
    }

    /// Starts the daemon, and returns when it is ready.
    pub fn start(&self) -> Daemon {
        Daemon::start(self, self.serve())
    }

    /// The command that runs the daemon, to be changed before it is started.
    pub fn serve(&self) -> Command {
        let mut command = self.command();
        command.arg("serve").arg("--data-dir").arg(self.data());
        command.arg("--socket").arg(self.socket()).args(["--name", "signer"]);
        command
    }

    /// `lockstep` with these words, split at white space, run to its end. It finds this place's
    /// daemon by the environment.
    pub fn run(&self, words: &str) -> Ran {
        self.run_words(words.split_whitespace())
    }

    /// As [`run`](Self::run), for words with white space in them.
    pub fn run_words<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Ran {
        Ran::of(self.command().args(words))
    }

    /// As [`run`](Self::run), with something to read on stdin.
    pub fn run_with(&self, stdin: &str, words: &str) -> Ran {
        let mut command = self.command();
        command.args(words.split_whitespace());
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read is none of our business here.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        Ran::new(&command, child.wait_with_output().unwrap())
    }

    /// Puts a shell script where [`shell`](Self::shell) finds it as a program.
    pub fn program(&self, name: &str, script: &str) {
        let directory = self.file("bin");
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A line as a person pastes it into a shell, with this program as its `lockstep`.
    pub fn shell(&self, line: &str) -> Ran {
        let directory = Path::new(LOCKSTEP).parent().unwrap().to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let own = [self.file("bin"), directory];
        let path = own.into_iter().chain(std::env::split_paths(&path));
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(self.root()).env_clear();
        shell.env("PATH", std::env::join_paths(path).unwrap()).env("HOME", self.root());
        shell.env("LOCKSTEP_SOCKET", self.socket()).stdin(Stdio::null());
        // Not the machine's own data directory, which root's default would be.
        shell.env("LOCKSTEP_DATA_DIR", self.data());
        Ran::of(&mut shell)
    }

    /// Runs a command that must succeed, and returns its stdout.
    pub fn ok(&self, words: &str) -> String {
        self.run(words).ok()
    }

    /// `lockstep` in this place and in no other: the surroundings of the test run do not count.
    pub fn command(&self) -> Command {
        let mut command = Command::new(LOCKSTEP);
        command
            .current_dir(self.root())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.root())
            .env("LOCKSTEP_SOCKET", self.socket())
            .env("LOCKSTEP_DATA_DIR", self.data())
            .stdin(Stdio::null());
        command
    }

    /// This machine's tailnet-lock key, as `lock status` shows it.
    pub fn own_key(&self) -> String {
        let status = self.json("lock status --json");
        status["PublicKey"].as_str().unwrap().to_owned()
    }

    /// Initializes the lock with this machine's key and these words more. Returns the first
    /// disablement secret.
    pub fn init(&self, more: &str) -> String {
        let text = self.ok(&format!("lock init --confirm {} {more}", self.own_key()));
        let secret = text.lines().find_map(|line| line.strip_prefix('\t')).unwrap();
        secret.to_owned()
    }

    /// The JSON document that a command prints.
    pub fn json(&self, words: &str) -> serde_json::Value {
        serde_json::from_str(&self.ok(words)).unwrap()
    }

    /// The records, as `cluster records --json` has them, with the arguments after it.
    pub fn records(&self, arguments: &str) -> Vec<serde_json::Value> {
        let text = self.ok(&format!("cluster records --json {arguments}"));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl std::fmt::Debug for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Ran { line, code, stdout, stderr } = self;
        write!(f, "$ {line}\n{stdout}--- stderr ---\n{stderr}--- exit code {code}")
    }
}

impl Ran {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Ran {
        let output = command.output().unwrap();
        Ran::new(command, output)
    }

    pub fn new(command: &Command, output: Output) -> Ran {
        use std::os::unix::process::ExitStatusExt;
        let words = command.get_args().map(|word| word.to_string_lossy());
        let status = output.status;
        let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
        let ran = Ran {
            line: format!("lockstep {}", words.collect::<Vec<_>>().join(" ")),
            code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap()),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        assert!(!ran.stderr.contains("panicked at"), "{ran:?}");
        ran
    }

    /// stdout of a command that has succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout
    }

    /// stderr of a command that has failed with this code, and that printed nothing else.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        self.stderr
    }
}
