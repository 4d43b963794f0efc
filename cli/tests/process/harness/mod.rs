//! A place of its own for each test, the processes in it, and what they said.
//!
//! Nothing here waits for time to pass: a start ends with the ready line, a command with its exit.

mod daemon;
mod dice;
mod place;
mod proxy;
mod small;
mod tailscaled;
mod terminal;
mod trace;
mod transcript;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ledger::lock::signatures::Signer;

pub use daemon::Daemon;
pub use dice::Dice;
pub use place::{Place, Ran};
pub use proxy::{Exchange, Proxy};
pub use small::Small;
pub use tailscaled::{Tailscaled, recorded, vector};
pub use terminal::{conversation, terminal};
pub use trace::{Call, calls, limited, traced};
pub use transcript::Transcript;

/// The program under test.
pub const LOCKSTEP: &str = env!("CARGO_BIN_EXE_lockstep");
/// The same, as the version after it.
pub const NEXT: &str = env!("CARGO_BIN_EXE_lockstep-next");

/// The public lock key of a seed, as text.
pub fn tlpub(seed: u8) -> String {
    ledger::testing::key(seed).public().to_tlpub()
}

/// A node key, as text.
pub fn node_key(byte: u8) -> String {
    ledger::testing::node_key(byte).to_string()
}

/// Makes a file readable by this user alone.
pub fn private(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Whether a command failed because the daemon was gone before it was asked to change anything.
pub fn nobody_listens(ran: &Ran) -> bool {
    ["cannot connect to the daemon at ", "talking to the daemon at ", "the replica has stopped"]
        .iter()
        .any(|start| ran.stderr.starts_with(start))
}
