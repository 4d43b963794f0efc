//! Where ours differs from the reference on purpose. A rule is a predicate over the case: a case
//! passes by it only if the predicate holds. docs/differences.md gives the reasons.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::{BASE32_NOPAD, BASE64_NOPAD, DecodeError, DecodeKind, HEXLOWER_PERMISSIVE};
use ed25519_dalek::{SigningKey, VerifyingKey};
use ledger::ids::{AumHash, LockKey};
use ledger::lock::builder::Change;
use ledger::lock::compaction::Options;
use ledger::lock::node_keys::{NodeKeySignature, SigKind};
use ledger::lock::{Sealed, State};
use serde_json::Value;

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
    /// An update to no metadata is refused when it is built.
    EmptyMeta,
    /// A checkpoint that nobody would take is left for a later update.
    CheckpointDeferred,
    /// Where the reference finds no place to compact to, everything is kept.
    CompactionKeeps,
    /// The marks of all heads of a chain are combined.
    MarksCombined,
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
            Rule::EmptyMeta => "empty-meta",
            Rule::CheckpointDeferred => "checkpoint-deferred",
            Rule::CompactionKeeps => "compaction-keeps",
            Rule::MarksCombined => "marks-combined",
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
    key.try_into().is_ok_and(|key| VerifyingKey::from_bytes(key).is_ok_and(|key| key.is_weak()))
}

/// `credential-trim`: a full chain on a credential, of which the reference makes one that nobody
/// can decode.
pub fn credential_trim(old: &NodeKeySignature, reference: &[u8]) -> bool {
    old.levels().last().is_some_and(|initial| initial.kind == SigKind::CREDENTIAL)
        && old.depth() == 16
        && NodeKeySignature::decode(reference).is_err()
}

/// `noncanonical`, for files of the original's store.
pub fn noncanonical_record(bytes: &[u8]) -> bool {
    !canonical::begins_canonical(bytes, canonical::RECORD)
}

/// `walk-limit`: the reference says that it counted too far.
pub fn walk_limit(error: &Value) -> bool {
    error.as_str().is_some_and(|text| text.contains("iteration limit exceeded"))
}

/// `walk-limit`: the other's head lies 1,000 or more AUMs below ours, where the reference no longer
/// looks for it (spec 6.2).
pub fn walk_limit_head(ours: usize, theirs: usize) -> bool {
    ours >= theirs + 1000
}

/// `empty-meta`: metadata that cannot be written down.
pub fn empty_meta(change: &Change) -> bool {
    matches!(change, Change::Meta(_, meta) if meta.0.is_empty())
}

/// `checkpoint-deferred`: after the update the signer, who was trusted, no longer is, or there are
/// more keys than a checkpoint holds.
pub fn checkpoint_deferred(before: &State, after: &State, signer: Option<LockKey>) -> bool {
    let trusts = |state: &State, key: &LockKey| state.key(&key.0).is_some();
    let removed = signer.is_some_and(|key| trusts(before, &key) && !trusts(after, &key));
    removed || after.keys().len() > 512
}

/// `compaction-keeps`: the oldest AUM is young and has nothing below it.
pub fn young_root(first: &Sealed, ages: &BTreeMap<AumHash, u64>, options: Options) -> bool {
    ages[&first.hash()] < options.min_age
}

/// `marks-combined`: the hint has descendants, and another head of the same chain does not run
/// through it, so that the reference's mark depends on which it saw last.
pub fn marks_lost(aums: &BTreeMap<AumHash, Sealed>, hint: Option<AumHash>, error: &Value) -> bool {
    let below = |hash: &AumHash| {
        let mut line = Vec::new();
        let mut at = aums.get(hash).and_then(|aum| aum.parent_hash());
        while let Some(aum) = at.and_then(|hash| aums.get(&hash)) {
            line.push(aum.hash());
            at = aum.parent_hash();
        }
        line
    };
    let parents: BTreeSet<AumHash> = aums.values().filter_map(|aum| aum.parent_hash()).collect();
    let lines: Vec<_> = aums.keys().filter(|hash| !parents.contains(hash)).map(below).collect();
    let Some(hint) = hint else { return false };
    let through = lines.iter().find(|line| line.contains(&hint));
    error.as_str().is_some_and(|text| text.contains("multiple distinct chains"))
        && through.is_some_and(|through| {
            lines.iter().any(|line| line.last() == through.last() && !line.contains(&hint))
        })
}
