//! Where ours differs from the reference on purpose. A rule is a predicate over the case: a case
//! passes by it only if the predicate holds. docs/differences.md gives the reasons.

use data_encoding::BASE32_NOPAD;
use ledger::ids::LockKey;
use ledger::lock::signatures::is_weak;

use crate::canonical;

/// A deliberate difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Bytes that are not their own canonical re-encoding are refused.
    NonCanonical,
    /// One spelling per value in text forms.
    TextStrict,
    /// A private key whose halves do not belong together is refused.
    MismatchedHalves,
    /// Rotations by a zero or small-order key are refused.
    WrappingWeak,
    /// A chain on a credential is trimmed before it can no longer be decoded.
    CredentialTrim,
    /// What the reference gives up on because of a walk limit succeeds.
    WalkLimit,
}

impl Rule {
    /// The id in reports and in docs/differences.md.
    pub fn id(self) -> &'static str {
        match self {
            Rule::NonCanonical => "noncanonical",
            Rule::TextStrict => "text-strict",
            Rule::MismatchedHalves => "mismatched-halves",
            Rule::WrappingWeak => "wrapping-weak",
            Rule::CredentialTrim => "credential-trim",
            Rule::WalkLimit => "walk-limit",
        }
    }
}

/// `noncanonical`: well-formed CBOR that is not the canonical spelling of an AUM.
pub fn noncanonical_aum(bytes: &[u8]) -> bool {
    !canonical::is_canonical(bytes, canonical::AUM)
}

/// `noncanonical`, for node-key signatures.
pub fn noncanonical_signature(bytes: &[u8]) -> bool {
    !canonical::is_canonical(bytes, canonical::SIGNATURE)
}

/// `text-strict` for AUM hashes: 52 characters of which some are line breaks, or whose last one
/// has spare bits.
pub fn respelled_hash(text: &str) -> bool {
    let kept: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    kept != text || BASE32_NOPAD.decode(text.as_bytes()).is_err()
}

/// `wrapping-weak`.
pub fn weak_wrapping(key: &[u8]) -> bool {
    key.try_into().is_ok_and(|key| is_weak(&LockKey(key)))
}
