//! Keys and states that are the same in every run.

use std::sync::LazyLock;

use crate::ids::NodeKey;
use crate::lock::signatures::{PrivateKey, Signer};
use crate::lock::{Authority, Key, Sealed, State, disablement};

/// The private key with 32 times `seed` as its seed.
pub fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed(&[seed; 32])
}

/// A node key of 32 times `byte`.
pub fn node_key(byte: u8) -> NodeKey {
    NodeKey([byte; 32])
}

/// The disablement secret of every genesis here.
pub const SECRET: &[u8] = &[0xa5; 32];

/// The value of [`SECRET`]. Computed once: the KDF is slow on purpose.
pub fn secret_value() -> [u8; 32] {
    static VALUE: LazyLock<[u8; 32]> = LazyLock::new(|| disablement::image(SECRET));
    *VALUE
}

/// A state that trusts these keys with these votes; its state ID is (`id`, 0).
pub fn genesis_state(id: u64, keys: &[(&PrivateKey, u64)]) -> State {
    let keys = keys.iter().map(|(key, votes)| Key::ed25519(key.public(), *votes)).collect();
    State {
        last_aum: None,
        disablement_values: Some(vec![Some(secret_value().to_vec())]),
        keys: Some(keys),
        state_id1: id,
        state_id2: 0,
    }
}

/// A genesis of that state, signed with the first of the keys.
pub fn genesis(id: u64, keys: &[(&PrivateKey, u64)]) -> Sealed {
    let signer = keys.first().expect("a genesis needs a key").0;
    Authority::genesis(genesis_state(id, keys), signer).expect("a valid genesis")
}
