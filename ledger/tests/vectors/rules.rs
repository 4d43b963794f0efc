//! Where ours differs from the reference on purpose. A rule is a predicate over the case: a case
//! passes by it only if the predicate holds. docs/differences.md gives the reasons.

use data_encoding::{BASE32_NOPAD, BASE64_NOPAD, DecodeError, DecodeKind, HEXLOWER_PERMISSIVE};
use ed25519_dalek::SigningKey;
use ledger::lock::node_keys::{NodeKeySignature, SigKind};

use crate::canonical;
use crate::case::hex;

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
    text.len() == 52
        && (has_line_break(text) || BASE32_NOPAD.decode(text.as_bytes()).is_err_and(is_trailing))
}

/// `text-strict` for wrapped auth keys: line breaks within the base64, or spare bits in it.
pub fn respelled_auth_key(text: &str) -> bool {
    let Some((signature, private)) = auth_key_parts(text) else { return false };
    [signature, private].into_iter().any(|base64| {
        has_line_break(base64) || BASE64_NOPAD.decode(base64.as_bytes()).is_err_and(is_trailing)
    })
}

/// `noncanonical` for the signature in a wrapped auth key.
pub fn noncanonical_auth_key(text: &str) -> bool {
    auth_key_parts(text)
        .and_then(|(signature, _)| BASE64_NOPAD.decode(signature.as_bytes()).ok())
        .is_some_and(|signature| noncanonical_signature(&signature))
}

fn auth_key_parts(text: &str) -> Option<(&str, &str)> {
    text.split_once("--TL").and_then(|(_, rest)| rest.split_once('-'))
}

fn has_line_break(text: &str) -> bool {
    text.contains(['\r', '\n'])
}

fn is_trailing(error: DecodeError) -> bool {
    error.kind == DecodeKind::Trailing
}

/// `mismatched-halves` for `nlpriv:` texts.
pub fn mismatched_halves(text: &str) -> bool {
    text.strip_prefix("nlpriv:")
        .and_then(|hex| HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok())
        .is_some_and(|pair| mismatched_pair(&pair))
}

/// `mismatched-halves` for 64 bytes.
pub fn mismatched_pair(pair: &[u8]) -> bool {
    pair.split_first_chunk::<32>().is_some_and(|(seed, public)| {
        public.len() == 32 && SigningKey::from_bytes(seed).verifying_key().as_bytes() != public
    })
}

/// `wrapping-weak`: zero or another point of order 1, 2, 4 or 8, in any of its encodings.
pub fn weak_wrapping(key: &[u8]) -> bool {
    // The y coordinates, as little-endian numbers with the sign bit cleared: 1, 0, p-1, p, p+1 and
    // the two of order 8.
    const ORDER_8: [&str; 2] = [
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ];
    let mut y = key.to_vec();
    match y.last_mut() {
        Some(last) if key.len() == 32 => *last &= 0x7f,
        _ => return false,
    }
    let (low, high) = (y[0], &y[1..]);
    let small = low <= 1 && high.iter().all(|byte| *byte == 0);
    let near_p = (0xec..=0xee).contains(&low)
        && high[..30].iter().all(|byte| *byte == 0xff)
        && high[30] == 0x7f;
    small || near_p || ORDER_8.contains(&hex(&y).as_str())
}

/// `credential-trim`: a full chain on a credential, of which the reference makes one that nobody
/// can decode.
pub fn credential_trim(old: &NodeKeySignature, reference: &[u8]) -> bool {
    old.levels().last().is_some_and(|initial| initial.kind == SigKind::CREDENTIAL)
        && old.depth() == 16
        && NodeKeySignature::decode(reference).is_err()
}
