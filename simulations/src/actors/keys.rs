//! Holders of keys and secrets. All of them are made from numbers, so everybody here could know
//! them; who uses which is the worlds' business.

use std::sync::LazyLock;

use ledger::ids::{AumHash, LockKey, NodeKey};
use ledger::lock::disablement::image;
use ledger::lock::signatures::{PrivateKey, Signer};
use ledger::lock::{Aum, AumKind, AumSignature, Key, Sealed, State};

/// Lock keys that a world may use.
pub const LOCK_KEYS: usize = 48;
/// Disablement secrets that a world may use.
pub const SECRETS: usize = 6;

/// The private lock keys; made once, since each costs a multiplication on the curve.
static KEYS: LazyLock<Vec<(PrivateKey, LockKey)>> = LazyLock::new(|| {
    let keys = (0..LOCK_KEYS).map(|n| PrivateKey::from_seed(&[n as u8 + 1; 32]));
    keys.map(|key| {
        let public = key.public();
        (key, public)
    })
    .collect()
});

/// Secrets with their values; made once, since the KDF is slow on purpose.
static VALUES: LazyLock<Vec<[u8; 32]>> =
    LazyLock::new(|| (0..SECRETS).map(|n| image(&secret(n))).collect());

/// The private key of holder `n`.
pub fn private(n: usize) -> &'static PrivateKey {
    &KEYS[n % LOCK_KEYS].0
}

/// The public key of holder `n`.
pub fn public(n: usize) -> LockKey {
    KEYS[n % LOCK_KEYS].1
}

/// The key ID of holder `n`.
pub fn id(n: usize) -> Vec<u8> {
    public(n).0.to_vec()
}

/// The holder of a key.
pub fn holder(id: &[u8]) -> Option<usize> {
    KEYS.iter().position(|(_, public)| public.0 == id)
}

/// Disablement secret `n`.
pub fn secret(n: usize) -> [u8; 32] {
    [0xd0 + (n % SECRETS) as u8; 32]
}

/// The value of disablement secret `n`.
pub fn value(n: usize) -> [u8; 32] {
    VALUES[n % SECRETS]
}

/// A secret that nobody has: one of a few, since each costs a run of the KDF.
pub fn invented(n: u8) -> [u8; 32] {
    [0xb0 + n % 16; 32]
}

/// The node key of node `node` in its `turn`-th life.
pub fn node_key(node: usize, turn: u64) -> NodeKey {
    let mut key = [0x40 + node as u8; 32];
    key[1..9].copy_from_slice(&turn.to_be_bytes());
    // Not of small order, whatever the number.
    key[31] = 0x17;
    NodeKey(key)
}

/// A state with these holders' keys and votes and that secret's value.
pub fn state(lock: u64, keys: &[(usize, u64)], secret: usize) -> State {
    State {
        last_aum: None,
        disablement_values: Some(vec![Some(value(secret).to_vec())]),
        keys: Some(keys.iter().map(|(n, votes)| Key::ed25519(public(*n), *votes)).collect()),
        state_id1: lock,
        state_id2: 7,
    }
}

/// An AUM of that kind on top of another, filled in and signed by these holders.
pub fn aum(
    kind: AumKind,
    parent: AumHash,
    signers: &[usize],
    fill: impl FnOnce(&mut Aum),
) -> Sealed {
    let mut aum = Aum::new(kind, Some(parent));
    fill(&mut aum);
    signed(aum, signers)
}

/// An AUM with the signatures of these holders after those that it has.
pub fn signed(mut aum: Aum, signers: &[usize]) -> Sealed {
    for n in signers {
        let signature = private(*n).sign(&aum.sig_hash().0).to_vec();
        aum.signatures.push(AumSignature { key_id: Some(id(*n)), signature: Some(signature) });
    }
    Sealed::new(aum)
}
