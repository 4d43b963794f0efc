//! The reference's test vectors: verdicts, bytes, hashes and states must be the reference's.
//!
//! Prints `FILE: N cases, N passed (M by RULE, ...)` per file. `LOCKSTEP_VECTORS=DIR` replaces the
//! project's own (compressed) copy by a directory of plain files. Error texts are informative
//! only. A case that fails, panics or is of an unknown type fails the test by name; nothing is
//! skipped, neither a case nor a file. Where ours differs on purpose a case passes by rule: see
//! [`rules`].
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
mod log_json;
mod revoke;
mod sigs;
mod state;
mod stores;
mod sync;
mod verify;

/// The files of cases: each has a module here. The folders `bench` and `log_json` have one each.
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

/// A file that nobody reads would be a skipped one, and so would one that is said to be there and
/// is not.
#[test]
fn every_file_is_read() {
    let names = files::names();
    for name in &names {
        assert!(FILES.contains(&name.as_str()), "no test reads {name}");
    }
    let cases = names.len() + files::list("bench").len() + files::list("log_json").len();
    assert!(cases > 0, "no vectors at all");
    for path in files::promised(FILES) {
        assert!(files::read(&path).is_some(), "{path} is missing");
    }
}
