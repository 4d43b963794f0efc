//! What the commands do: parse their words, call the daemon, print. A file each.

mod adopt;
mod audit;
mod auth_key;
mod change;
mod cluster;
mod config;
mod duration;
mod generate;
mod key;
mod lock;
mod node;
mod outside;
mod pull;
mod serve;
mod status_file;
mod stored_key;
mod theirs;
mod words;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use replica::daemon::config::{Given, Surroundings, resolve_client_socket};
use replica::local_api::client::Client;
use replica::node::{Impaired, Supported};
use serde::Serialize;

use crate::args::{Cli, Command, Global, Read, ReadFrom};
use crate::exit::Failure;
use crate::print;

/// Runs a command to its end. `supported` is what a daemon can do.
pub(crate) fn run(cli: Cli, supported: Supported) -> ExitCode {
    let Cli { global, command } = cli;
    if let Some(socket) = &global.socket {
        print::commands_repeat(socket_words(socket));
    }
    let done = match command {
        Command::Audit { command } => return audit::run(command),
        Command::Key { command } => key::run(command),
        Command::Serve(args) => serve::run(args, global, supported),
        Command::Config { command } => config::run(&command, global),
        Command::Lock { command } => asking(global, |s| lock::run(command, s)),
        Command::AuthKey { command } => asking(global, |s| auth_key::run(command, s)),
        Command::Node { command } => asking(global, |s| node::run(command, s)),
        Command::Adopt(args) => asking(global, |s| adopt::run(&args, s)),
        Command::Cluster { command } => cluster::run(command, global),
        Command::Completions(args) => generate::completions(&args),
        Command::Man(args) => generate::man(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Runs a command that asks the daemon, and says if an answer may be stale.
fn asking(
    global: Global,
    run: impl FnOnce(&Session) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let session = Session::new(global)?;
    let done = run(&session);
    if session.client.was_stale() {
        let why = stale_because(&session.client);
        print::note(&format!("Stale: {why}; this is what this daemon has itself."));
    }
    done
}

/// Why a daemon's answers may be stale.
fn stale_because(client: &Client) -> &'static str {
    match client.impaired() {
        Some(Impaired::DiskFull) => "the daemon's disk is full",
        Some(Impaired::Damaged) => "the daemon's database is damaged and being mended",
        None => "the group has no quorum",
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

    /// The client, for a command that only looks.
    fn reading(&self, read: Read) -> Client {
        self.client.reading_locally(read.read == ReadFrom::Local)
    }

    /// JSON of what was read, which says so if it may be stale.
    fn json<T: Serialize>(&self, value: &T) -> Result<String, Failure> {
        if self.client.was_stale() { print::stale_json(value) } else { print::json(value) }
    }

    /// Waits for a call of the client.
    fn wait<F: Future>(&self, call: F) -> F::Output {
        self.runtime.block_on(call)
    }

    /// What a printed command that is meant for this machine ends with.
    fn socket_words(&self) -> String {
        match &self.socket_flag {
            Some(socket) => socket_words(socket),
            None => String::new(),
        }
    }
}

fn socket_words(socket: &Path) -> String {
    format!(" --socket {}", words::quoted(&socket.to_string_lossy()))
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
