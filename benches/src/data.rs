//! The inputs: the project's copy of the reference's bench files, or those in `LOCKSTEP_VECTORS`.

use std::io::Read;
use std::path::PathBuf;

use data_encoding::HEXLOWER;
use ledger::ids::{AumHash, LockKey, NodeKey};
use ledger::lock::{Sealed, State};

/// The text of `bench/NAME`.
pub fn text(name: &str) -> String {
    if let Some(dir) = std::env::var_os("LOCKSTEP_VECTORS") {
        return std::fs::read_to_string(PathBuf::from(dir).join("bench").join(name)).unwrap();
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../ledger/tests/data/vectors/bench")
        .join(format!("{name}.gz"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    text
}

/// The AUMs of a file with one in hex a line, oldest first, as bytes.
pub fn aums(name: &str) -> Vec<Vec<u8>> {
    text(name).lines().map(|line| HEXLOWER.decode(line.as_bytes()).unwrap()).collect()
}

/// The node keys and signatures of a file with one pair a line.
pub fn node_keys(name: &str) -> Vec<(NodeKey, Vec<u8>)> {
    text(name)
        .lines()
        .map(|line| {
            let (key, signature) = line.split_once(' ').unwrap();
            let key = HEXLOWER.decode(key.as_bytes()).unwrap().try_into().unwrap();
            (NodeKey(key), HEXLOWER.decode(signature.as_bytes()).unwrap())
        })
        .collect()
}

/// The state against which the node keys' signatures are checked.
pub fn state() -> State {
    let json: serde_json::Value = serde_json::from_str(&text("state.json")).unwrap();
    let genesis = HEXLOWER.decode(json["bootstrap_aum_hex"].as_str().unwrap().as_bytes()).unwrap();
    State::at_checkpoint(&Sealed::decode(&genesis).unwrap()).unwrap()
}

/// A revocation whose fork point is asked for.
pub struct Revocation {
    /// The chain, oldest first.
    pub chain: Vec<Vec<u8>>,
    /// The key to revoke.
    pub revoked: LockKey,
    /// The key that will sign.
    pub own: LockKey,
    /// The fork point that the original finds.
    pub expected: AumHash,
}

/// The revocation of a key that was added at that place of a chain of 1,000.
pub fn revocation(added_at: usize) -> Revocation {
    let params = text(&format!("revoke1000-at{added_at}.params"));
    let value = |name: &str| {
        let line = params.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().to_owned()
    };
    let key =
        |name: &str| LockKey(HEXLOWER.decode(value(name).as_bytes()).unwrap().try_into().unwrap());
    Revocation {
        chain: aums(&format!("revoke1000-at{added_at}.hex")),
        revoked: key("remove_key_id_hex"),
        own: key("our_key_id_hex"),
        expected: value("expected_fork_parent_b32").parse().unwrap(),
    }
}
