//! What the commands do: parse their words, call the daemon, print. A file each.

mod adopt;
mod audit;
mod auth_key;
mod change;
mod cluster;
mod duration;
mod key;
mod lock;
mod node;
mod outside;
mod pull;
mod serve;
mod status_file;
mod theirs;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use replica::daemon::config::{Given, Surroundings, resolve_client_socket};
use replica::local_api::client::Client;

use crate::args::{Cli, Command, Global};
use crate::exit::Failure;

/// Runs a command to its end.
pub(crate) fn run(cli: Cli) -> ExitCode {
    let Cli { global, command } = cli;
    let done = match command {
        Command::Audit { command } => return audit::run(command),
        Command::Key { command } => key::run(command),
        Command::Serve(args) => serve::run(args, global),
        Command::Lock { command } => Session::new(global).and_then(|s| lock::run(command, &s)),
        Command::AuthKey { command } => {
            Session::new(global).and_then(|s| auth_key::run(command, &s))
        }
        Command::Node { command } => Session::new(global).and_then(|s| node::run(command, &s)),
        Command::Adopt(args) => Session::new(global).and_then(|s| adopt::run(&args, &s)),
        Command::Cluster { command } => cluster::run(command, global),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// A daemon to ask, and what to ask it with.
struct Session {
    /// The socket, if the command line named it: printed commands repeat it.
    socket_flag: Option<PathBuf>,
    /// The global flags.
    given: Given,
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Session {
    fn new(global: Global) -> Result<Self, Failure> {
        let socket_flag = global.socket.clone();
        let given = given(global);
        let surroundings = Surroundings::of_process();
        let socket = resolve_client_socket(&given, &Given::in_environment(), &surroundings)
            .map_err(|error| Failure::usage(error.to_string()))?;
        Ok(Session { socket_flag, given, client: Client::new(socket), runtime: runtime()? })
    }

    /// Waits for a call of the client.
    fn wait<F: Future>(&self, call: F) -> F::Output {
        self.runtime.block_on(call)
    }

    /// What a printed command that is meant for this machine ends with.
    fn socket_words(&self) -> String {
        match &self.socket_flag {
            Some(socket) => format!(" --socket {}", words::quoted(&socket.to_string_lossy())),
            None => String::new(),
        }
    }
}

/// What waits for a daemon's answers.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("starting: {error}")))
}

/// The global flags as the daemon's settings take them.
fn given(global: Global) -> Given {
    let Global { socket, config, data_dir } = global;
    Given { socket, config, data_dir, ..Given::default() }
}
