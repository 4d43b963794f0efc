//! A daemon as a child process.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{Place, Ran};

/// After this a daemon that is silent is taken for hung, and the test for failed.
const PATIENCE: Duration = Duration::from_secs(180);

/// A running daemon. Killed when dropped.
pub struct Daemon {
    child: Child,
    /// The daemon itself, where the child is what traces it.
    traced: Option<Pid>,
    log: std::path::PathBuf,
    /// The ready line.
    pub ready: Value,
}

impl Daemon {
    /// Starts a daemon with this command, and returns when it is ready.
    #[track_caller]
    pub fn start(place: &Place, command: Command) -> Daemon {
        match Daemon::try_start(place, command) {
            Ok(daemon) => daemon,
            Err(ran) => panic!("the daemon did not start: {ran:?}"),
        }
    }

    /// As [`start`](Self::start), with another place for its log.
    #[track_caller]
    pub fn start_logging_to(place: &Place, command: Command, log: File) -> Daemon {
        match Daemon::launch(place, command, log) {
            Ok(daemon) => daemon,
            Err(ran) => panic!("the daemon did not start: {ran:?}"),
        }
    }

    /// Starts a daemon; what it said if it ended before it was ready.
    pub fn try_start(place: &Place, command: Command) -> Result<Daemon, Ran> {
        Daemon::launch(place, command, File::create(place.file("serve.log")).unwrap())
    }

    /// As [`try_start`](Self::try_start), for a daemon that may wait before it is ready: once it has
    /// logged this text it is told to stop, and has to.
    pub fn try_start_unless(
        place: &Place,
        mut command: Command,
        waits: &str,
    ) -> Result<Daemon, Ran> {
        let log = place.file("serve.log");
        let pid_file = place.file("traced.pid");
        let _ = std::fs::remove_file(&pid_file);
        command.stdout(Stdio::piped()).stderr(File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
        let lines = lines(child.stdout.take().unwrap());
        let since = Instant::now();
        let traced = || {
            let text = std::fs::read_to_string(&pid_file).ok()?;
            Pid::from_raw(text.trim().parse().ok()?)
        };
        let mut stopped = false;
        loop {
            match lines.recv_timeout(Duration::from_millis(20)) {
                Ok(Some(line)) => {
                    let ready = serde_json::from_str(&line).expect("a ready line of JSON");
                    return Ok(Daemon { child, traced: traced(), log, ready });
                }
                Ok(None) => break,
                Err(_) => {}
            }
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            if !stopped && said.contains(waits) {
                kill_process(traced().unwrap(), Signal::TERM).unwrap();
                stopped = true;
            }
            assert!(since.elapsed() < PATIENCE, "neither ready nor waiting: {said}");
        }
        let status = child.wait().unwrap();
        let stderr = std::fs::read(&log).unwrap_or_default();
        let output = std::process::Output { status, stdout: Vec::new(), stderr };
        Err(Ran::new(&command, output))
    }

    fn launch(place: &Place, mut command: Command, stderr: File) -> Result<Daemon, Ran> {
        let log = place.file("serve.log");
        command.stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().unwrap();
        let lines = lines(child.stdout.take().unwrap());
        let first = lines.recv_timeout(PATIENCE).expect("a daemon that is ready or ends");
        match first {
            Some(line) => {
                let ready = serde_json::from_str(&line).expect("a ready line of JSON");
                let tracer = ["sh", "strace"].iter().any(|name| command.get_program() == *name);
                let traced = tracer.then(|| {
                    let text = std::fs::read_to_string(place.file("traced.pid")).unwrap();
                    Pid::from_raw(text.trim().parse().unwrap()).unwrap()
                });
                Ok(Daemon { child, traced, log, ready })
            }
            None => {
                let status = child.wait().unwrap();
                let stderr = std::fs::read(&log).unwrap_or_default();
                let output = std::process::Output { status, stdout: Vec::new(), stderr };
                Err(Ran::new(&command, output))
            }
        }
    }

    /// Starts a daemon, and kills it so much later, ready or not.
    pub fn kill_early(place: &Place, moment: Duration) {
        let mut command = place.serve();
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = lines(child.stdout.take().unwrap());
        let _ = lines.recv_timeout(moment);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub fn pid(&self) -> Pid {
        self.traced.unwrap_or_else(|| Pid::from_child(&self.child))
    }

    /// SIGKILL, at once.
    pub fn kill(self) {
        kill_process(self.pid(), Signal::KILL).unwrap();
        self.wait();
    }

    /// SIGTERM; waits for the end, to which it may have come by itself.
    pub fn terminate(self) -> ExitStatus {
        match kill_process(self.pid(), Signal::TERM) {
            Ok(()) | Err(Errno::SRCH) => self.wait(),
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits until it ends by itself.
    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Waits until it ends by itself. Returns its exit code and what it has logged.
    pub fn ends(self) -> (i32, String) {
        let log = self.log.clone();
        let status = self.wait();
        let log = std::fs::read_to_string(log).unwrap();
        (status.code().unwrap_or_else(|| panic!("{status}: {log}")), log)
    }

    /// Status line and body of a GET at the health listener.
    pub fn health(&self, path: &str) -> (String, String) {
        let address = self.ready["health_addr"].as_str().unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process(self.pid(), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// The first line of a stream, or `None` at its end. Keeps reading, so that the writer never
/// blocks.
fn lines(stream: impl Read + Send + 'static) -> Receiver<Option<String>> {
    let (send, receive) = channel();
    thread::spawn(move || {
        let mut lines = BufReader::new(stream).lines();
        let _ = send.send(lines.next().map(Result::unwrap));
        lines.for_each(drop);
    });
    receive
}
