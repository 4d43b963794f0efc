//! `serve`.

use std::net::SocketAddr;

use replica::daemon::config::{Config, Given, Surroundings};
use replica::node::Supported;

use crate::args::{Global, Serve};
use crate::exit::Failure;

/// Runs the daemon until it is told to stop.
pub(super) fn run(args: Serve, global: Global, supported: Supported) -> Result<(), Failure> {
    let flags = Given {
        socket_group: args.socket_group,
        operator: args.operator,
        name: args.name,
        lock_key: args.lock_key,
        passphrase_from: args.passphrase_from,
        peer_address: args.peer_address,
        join: args.join,
        peer_listen: address("--peer-listen", args.peer_listen.as_deref())?,
        health_listen: address("--health-listen", args.health_listen.as_deref())?,
        ..super::given(global)
    };
    let config = Config::resolve(flags, Given::in_environment(), &Surroundings::of_process())
        .map_err(|error| Failure::usage(error.to_string()))?;
    replica::daemon::serve(config, supported).map_err(|error| {
        let failure = Failure::new(error.to_string());
        match error.remedy() {
            Some(remedy) => failure.remedy(remedy),
            None => failure,
        }
    })
}

fn address(flag: &str, text: Option<&str>) -> Result<Option<SocketAddr>, Failure> {
    let wrong = |_| {
        Failure::usage(format!("{flag}: it is not an address and a port"))
            .remedy("Give, for instance, 127.0.0.1:0 or [::1]:7171.")
    };
    text.map(str::parse).transpose().map_err(wrong)
}
