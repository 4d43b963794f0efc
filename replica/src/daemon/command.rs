//! Commands that the operator has configured: no shell, no inherited environment, an end in time.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// How long a command may take if nothing else is configured.
pub(crate) const USUAL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a command may take at most.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(3600);

/// A command with its arguments, as it is executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredCommand {
    argv: Vec<String>,
    timeout: Duration,
}

/// Why a command cannot be configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCommand {
    /// Nothing to execute.
    #[error("the command is empty")]
    Empty,
    /// A program whose place depends on where the daemon runs.
    #[error("the program {0:?} is not named by its absolute path")]
    Relative(String),
    /// A word that cannot be an argument.
    #[error("a word of the command has a zero byte in it")]
    Zero,
    /// No time, or too much.
    #[error("timeout_seconds is not from 1 to {}", .longest.as_secs())]
    Timeout {
        /// How long this one may take at most.
        longest: Duration,
    },
}

/// Why a command did not do what it was run for.
#[derive(Debug, thiserror::Error)]
pub enum CommandFailed {
    /// It was not started, or could not be waited for.
    #[error("{program}: {source}")]
    Io {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It closed its input before it had all of it.
    #[error("{program} did not read its input: {source}")]
    Input {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It failed.
    #[error("{program} ended with {status}")]
    Status {
        /// The program.
        program: String,
        /// Its exit status.
        status: ExitStatus,
    },
    /// It took too long, and was killed.
    #[error("{program} took longer than {seconds} s and was killed")]
    Timeout {
        /// The program.
        program: String,
        /// The limit.
        seconds: u64,
    },
}

impl ConfiguredCommand {
    /// A command of these words, the first of which is the program's absolute path, that may take
    /// an hour at most.
    pub fn new(argv: Vec<String>, timeout: Option<Duration>) -> Result<Self, BadCommand> {
        Self::within(LONGEST_TIMEOUT, argv, timeout)
    }

    /// The same of one that may take at most so long.
    pub(crate) fn within(
        longest: Duration,
        argv: Vec<String>,
        timeout: Option<Duration>,
    ) -> Result<Self, BadCommand> {
        let program = argv.first().ok_or(BadCommand::Empty)?;
        if argv.iter().any(|word| word.contains('\0')) {
            return Err(BadCommand::Zero);
        }
        if !Path::new(program).is_absolute() {
            return Err(BadCommand::Relative(program.clone()));
        }
        let timeout = timeout.unwrap_or(USUAL_TIMEOUT);
        if timeout < Duration::from_secs(1) || timeout > longest {
            return Err(BadCommand::Timeout { longest });
        }
        Ok(ConfiguredCommand { argv, timeout })
    }

    /// The program.
    pub fn program(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }

    /// Runs it to its end with nothing but `variables` in its environment. It reads `input`, if
    /// there is any; what it prints goes nowhere, since it may repeat the input.
    pub(crate) async fn run(
        &self,
        input: Option<&[u8]>,
        variables: &[(&str, String)],
    ) -> Result<(), CommandFailed> {
        let io = |source| CommandFailed::Io { program: self.program().to_owned(), source };
        let mut running = Running::start(self, input.is_some(), variables).map_err(io)?;
        let fed = input.map_or(Ok(()), |input| running.feed(input));
        let Ok(ended) = tokio::time::timeout(self.timeout, running.ended()).await else {
            return Err(CommandFailed::Timeout {
                program: self.program().to_owned(),
                seconds: self.timeout.as_secs(),
            });
        };
        let status = ended.map_err(io)?;
        let program = self.program().to_owned();
        // Whoever fails may well have stopped reading: its status says more.
        if !status.success() {
            return Err(CommandFailed::Status { program, status });
        }
        fed.map_err(|source| CommandFailed::Input { program, source })
    }
}

/// A running command, which does not outlive this value: it is the first of a process group of
/// its own, all of which is killed.
struct Running {
    child: Child,
    done: bool,
}

impl Running {
    fn start(
        command: &ConfiguredCommand,
        input: bool,
        variables: &[(&str, String)],
    ) -> io::Result<Self> {
        let mut process = Command::new(command.program());
        process
            .args(command.argv.iter().skip(1))
            .env_clear()
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(if input { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        Ok(Running { child: process.spawn()?, done: false })
    }

    /// Writes the whole input, which is small enough for the pipe to hold, and closes the pipe.
    fn feed(&mut self, input: &[u8]) -> io::Result<()> {
        match self.child.stdin.take() {
            Some(mut stdin) => stdin.write_all(input),
            None => Ok(()),
        }
    }

    async fn ended(&mut self) -> io::Result<ExitStatus> {
        let pid = self.pid()?;
        // Only looked at: until it is waited for below, its number is nobody else's, so that
        // killing it by its number is safe.
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        tokio::task::spawn_blocking(move || waitid(WaitId::Pid(pid), look))
            .await
            .map_err(io::Error::other)??;
        let status = self.child.wait()?;
        self.done = true;
        Ok(status)
    }

    fn pid(&self) -> io::Result<Pid> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        pid.ok_or_else(|| io::Error::other("a process without a number"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        if let Ok(pid) = self.pid() {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        // Killed, it ends at once; whoever is not waited for would stay as a zombie.
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Instant;

    use super::*;

    fn command(script: &str, timeout: u64) -> ConfiguredCommand {
        let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        ConfiguredCommand::new(argv, Some(Duration::from_secs(timeout))).unwrap()
    }

    #[test]
    fn a_program_is_named_by_its_absolute_path() {
        let new = |argv: &[&str], seconds| {
            let argv = argv.iter().map(|word| (*word).to_owned()).collect();
            ConfiguredCommand::new(argv, Some(Duration::from_secs(seconds))).map(|_| ())
        };
        assert_eq!(new(&["/bin/true"], 1), Ok(()));
        assert_eq!(new(&[], 1), Err(BadCommand::Empty));
        for relative in ["true", "./true", "bin/true", ""] {
            assert_eq!(new(&[relative], 1), Err(BadCommand::Relative(relative.into())));
        }
        assert_eq!(new(&["/bin/true", "a\0b"], 1), Err(BadCommand::Zero));
        for seconds in [0, 3601] {
            let longest = LONGEST_TIMEOUT;
            assert_eq!(new(&["/bin/true"], seconds), Err(BadCommand::Timeout { longest }));
        }
    }

    #[tokio::test]
    async fn it_gets_its_input_and_nothing_of_ours() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let script = "cat > \"$OUT\"; env >> \"$OUT\"; pwd >> \"$OUT\"; echo gone";
        let variables = [("OUT", out.display().to_string())];
        command(script, 60).run(Some(b"the secret\n"), &variables).await.unwrap();
        let text = fs::read_to_string(out).unwrap();
        assert!(text.starts_with("the secret\n") && text.ends_with("\n/\n"), "{text}");
        // A shell adds a few variables of its own.
        let ours = ["OUT=", "PWD=", "SHLVL=", "_=", "OLDPWD="];
        for line in text.lines().filter(|line| line.contains('=')) {
            assert!(ours.iter().any(|name| line.starts_with(name)), "{line}");
        }
    }

    #[tokio::test]
    async fn a_failure_is_told() {
        let failed = |script| async move { command(script, 60).run(None, &[]).await.unwrap_err() };
        let error = failed("exit 3").await.to_string();
        assert_eq!(error, "/bin/sh ended with exit status: 3");
        assert!(failed("kill -9 $$").await.to_string().contains("signal: 9"));
        let missing = ConfiguredCommand::new(vec!["/nonexistent".into()], None).unwrap();
        let error = missing.run(None, &[]).await.unwrap_err().to_string();
        assert_eq!(error, "/nonexistent: No such file or directory (os error 2)");
    }

    #[tokio::test]
    async fn whoever_closes_its_input_has_not_got_it() {
        // More than a pipe holds: it can only be read, or refused.
        let input = vec![b'x'; 1 << 20];
        let error = command("exec <&-; exit 0", 60).run(Some(&input), &[]).await.unwrap_err();
        assert!(matches!(error, CommandFailed::Input { .. }), "{error}");
        let error = command("exec <&-; exit 3", 60).run(Some(&input), &[]).await.unwrap_err();
        assert!(matches!(error, CommandFailed::Status { .. }), "{error}");
    }

    #[tokio::test]
    async fn whoever_takes_too_long_is_killed_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pids");
        let variables = [("OUT", path.display().to_string())];
        let script = "sleep 1000 & echo $! > \"$OUT\"; echo $$ >> \"$OUT\"; wait";
        let error = command(script, 3).run(None, &variables).await.unwrap_err();
        assert!(matches!(error, CommandFailed::Timeout { seconds: 3, .. }), "{error}");
        let pids = fs::read_to_string(path).unwrap();
        assert_eq!(pids.lines().count(), 2);
        for pid in pids.lines() {
            let state = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // The grandchild is waited for by whoever adopts it; it dies when it gets to run.
            let end = Instant::now() + Duration::from_secs(60);
            while !state().is_empty() && !state().contains(") Z ") {
                assert!(Instant::now() < end, "{}", state());
                tokio::task::yield_now().await;
            }
        }
    }
}
