//! The reference's test vectors: verdicts, bytes, hashes and states must be the reference's.
//!
//! Prints `FILE: N cases, N passed (M by RULE, ...)` per file. `LOCKSTEP_VECTORS=DIR` replaces the
//! project's own (compressed) copy by a directory of plain files. Error texts are informative
//! only. A case that fails, panics or is of an unknown type fails the test by name; nothing is
//! skipped. Where ours differs on purpose a case passes by rule: see [`rules`].
#![allow(clippy::unwrap_used, unreachable_pub)]

mod canonical;
mod case;
mod files;
mod forms;
mod node;
mod report;
mod rules;

mod aum;
mod bench;
mod builder;
mod chonkfile;
mod compact;
mod decode;
mod disablement;
mod ed25519;
mod forks;
mod keys;
mod limits;
mod revoke;
mod sigs;
mod state;
mod stores;
mod sync;
mod verify;

/// The files that have a module here, or are read by one.
const FILES: &[&str] = &[
    "aum.json",
    "builder.json",
    "chonkfile.json",
    "compact.json",
    "decode.json",
    "disablement.json",
    "ed25519.json",
    "forks.json",
    "keys.json",
    "limits.json",
    "revoke.json",
    "sigs.json",
    "state.json",
    "sync.json",
    "verify.json",
];

/// A file that nobody reads would be a skipped one.
#[test]
fn every_file_is_read() {
    for name in files::names() {
        assert!(FILES.contains(&name.as_str()), "no test reads {name}");
    }
}
