//! Signing with keys that the daemon does not hold: what the local API says, and what lies in the
//! files that go to an offline machine and back.

use ledger::history::ChangeReason;
use ledger::ids::{AumHash, LockKey, NodeKey, TextError};
use ledger::lock::node_keys::NodeKeySignature;
use ledger::lock::signatures::Signer;
use ledger::lock::{Key, Sealed};
use serde::{Deserialize, Serialize};

use super::{BadWhich, Base64, WhichRevocation};
use crate::operations::modify;
use crate::operations::outside::{Asked, BadDraft, Draft, Presigned};
use crate::operations::revoke::About;

/// Bytes of a request to sign or of its answer, at most.
pub const MAX_BYTES: usize = 8 << 20;

/// What a [`SigningRequest`] says it is.
pub const REQUEST_SCHEMA: &str = "lockstep.signing-request/1";
/// What a [`SignedRequest`] says it is.
pub const SIGNED_SCHEMA: &str = "lockstep.signed-request/1";

/// What is asked for, whoever signs it. One of the fields is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskedBody {
    /// `lock add`, `lock remove`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub modify: Option<ModifyBody>,
    /// `lock sign`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sign: Option<Vec<SignBody>>,
    /// `node rotate`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rotate: Option<RotateBody>,
    /// `lock revoke-keys` with keys.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoke: Option<RevokeBody>,
    /// `lock revoke-keys --cosign`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cosign: Option<WhichRevocation>,
}

/// Other trusted keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModifyBody {
    /// Keys to add.
    pub add: Vec<VoterBody>,
    /// Keys to remove, `tlpub:`.
    pub remove: Vec<String>,
    /// Whether to sign again the nodes that only removed keys let in.
    pub resign: bool,
    /// `compromised`, `rotated`, `left` or `other`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Free text for the record.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

/// A key to trust.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoterBody {
    /// `tlpub:`.
    pub key: String,
    /// 1 to 4096.
    pub votes: u64,
}

/// A node key to let in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignBody {
    /// `nodekey:`.
    pub node_key: String,
    /// The key that may rotate it, `tlpub:`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rotation_key: Option<String>,
}

/// Another node key for a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateBody {
    /// Name, ID or present node key.
    pub node: String,
    /// The new node key.
    pub node_key: String,
}

/// A revocation to begin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeBody {
    /// The keys to revoke, `tlpub:`.
    pub keys: Vec<String>,
    /// The AUM to fork from, base32 or hex; by default the one that suits the keys.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fork_from: Option<String>,
    /// `compromised`, `rotated`, `left` or `other`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Free text for the record.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

impl AskedBody {
    /// What it asks for.
    pub fn asked(&self) -> Result<Asked, BadSigning> {
        let text = |what| move |error: TextError| BadSigning::Text(what, error);
        let AskedBody { modify, sign, rotate, revoke, cosign } = self;
        match (modify, sign, rotate, revoke, cosign) {
            (Some(order), None, None, None, None) => Ok(Asked::Modify(order.order()?)),
            (None, Some(keys), None, None, None) => {
                let mut all = Vec::with_capacity(keys.len());
                for item in keys {
                    let node_key: NodeKey = item.node_key.parse().map_err(text("node_key"))?;
                    let rotation = item.rotation_key.as_deref();
                    let rotation = rotation.map(str::parse).transpose();
                    all.push((node_key, rotation.map_err(text("rotation_key"))?));
                }
                Ok(Asked::Sign(all))
            }
            (None, None, Some(rotation), None, None) => Ok(Asked::Rotate(
                rotation.node.clone(),
                rotation.node_key.parse().map_err(text("node_key"))?,
            )),
            (None, None, None, Some(revocation), None) => {
                let (about, fork_from) = revocation.order()?;
                Ok(Asked::Revoke(about, fork_from))
            }
            (None, None, None, None, Some(which)) => Ok(Asked::Cosign(which.which()?)),
            _ => Err(BadSigning::NotOne),
        }
    }
}

impl ModifyBody {
    fn order(&self) -> Result<modify::Order, BadSigning> {
        let add: Result<_, BadSigning> =
            self.add.iter().map(|item| Ok(Key::ed25519(key(&item.key)?, item.votes))).collect();
        let remove: Result<_, BadSigning> = self.remove.iter().map(|item| key(item)).collect();
        Ok(modify::Order {
            add: add?,
            remove: remove?,
            resign: self.resign,
            reason: reason(self.reason.as_deref())?,
            note: self.note.clone(),
        })
    }
}

impl RevokeBody {
    fn order(&self) -> Result<(About, Option<AumHash>), BadSigning> {
        let keys: Result<_, BadSigning> = self.keys.iter().map(|item| key(item)).collect();
        let fork_from = self.fork_from.as_deref().map(AumHash::from_any).transpose();
        let about =
            About { keys: keys?, reason: reason(self.reason.as_deref())?, note: self.note.clone() };
        Ok((about, fork_from.map_err(|error| BadSigning::Text("fork_from", error))?))
    }
}

fn key(text: &str) -> Result<LockKey, BadSigning> {
    text.parse().map_err(|error| BadSigning::Text("a lock key", error))
}

fn reason(name: Option<&str>) -> Result<Option<ChangeReason>, BadSigning> {
    let Some(name) = name else { return Ok(None) };
    let found = ChangeReason::ALL.into_iter().find(|reason| reason.name() == name);
    found.map(Some).ok_or(BadSigning::Reason)
}

/// Request of `POST lockstep/unsigned`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnsignedRequest {
    /// The key that is to sign, `tlpub:`.
    pub signer: String,
    /// What is asked for.
    pub asked: AskedBody,
    /// The head when this was first asked, if it was asked before and then lost a race.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub head: Option<String>,
}

/// What one key is to sign: answer of `POST lockstep/unsigned`, and the file of `--export`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigningRequest {
    /// `lockstep.signing-request/1`.
    pub schema: String,
    /// The ledger that asks.
    pub cluster_id: String,
    /// State ID of the lock, `a:b` in decimal.
    pub state_id: String,
    /// The head when this was first asked.
    pub head: String,
    /// The key that is to sign, `tlpub:`.
    pub signer: String,
    /// What was asked for.
    pub asked: AskedBody,
    /// The AUMs without signatures. Each names as its parent the one before as it stands here; the
    /// signer puts in the hash of that one with its signature.
    pub aums: Vec<Base64>,
    /// The node-key signatures, without what is to be signed.
    pub signatures: Vec<UnsignedSignature>,
}

/// A node-key signature to make.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnsignedSignature {
    /// The node's name, as the daemon says. The signature does not cover it.
    pub node: String,
    /// The signature without what is to be signed.
    pub unsigned: Base64,
}

/// A signing request with its signatures: request of `POST lockstep/signed`, and the file that
/// `key sign` makes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedRequest {
    /// `lockstep.signed-request/1`.
    pub schema: String,
    /// What was to be signed.
    pub request: SigningRequest,
    /// The signatures: AUMs first, then node-key signatures, each from its innermost level.
    pub signed: Vec<Base64>,
}

/// What is wrong with a signing request or its answer.
#[derive(Debug, thiserror::Error)]
pub enum BadSigning {
    /// Another kind or version of document.
    #[error("it is no {0}")]
    Schema(&'static str),
    /// Not exactly one thing is asked for.
    #[error("it asks for none or several of modify, sign, rotate, revoke and cosign")]
    NotOne,
    /// A key or hash that does not parse.
    #[error("{0}: {1}")]
    Text(&'static str, TextError),
    /// Not one revocation, or no checkpoint.
    #[error(transparent)]
    Which(#[from] BadWhich),
    /// An unknown reason.
    #[error("the reason is none of compromised, rotated, left, other")]
    Reason,
    /// Bytes that are no AUM or signature.
    #[error("{0} {1}: {2}")]
    Bytes(&'static str, usize, ledger::cbor::Malformed),
    /// Signature `0`, counted from 1, is not 64 bytes.
    #[error("signature {0} has {1} bytes, expected 64")]
    Length(usize, usize),
    /// What is to be signed is not what a daemon asks for.
    #[error(transparent)]
    Draft(#[from] BadDraft),
}

impl SigningRequest {
    /// The key that is to sign.
    pub fn signer(&self) -> Result<LockKey, BadSigning> {
        self.signer.parse().map_err(|error| BadSigning::Text("signer", error))
    }

    /// The head when this was first asked.
    pub fn head(&self) -> Result<AumHash, BadSigning> {
        self.head.parse().map_err(|error| BadSigning::Text("head", error))
    }

    /// What is to be signed, decoded and checked.
    pub fn draft(&self) -> Result<Draft, BadSigning> {
        if self.schema != REQUEST_SCHEMA {
            return Err(BadSigning::Schema(REQUEST_SCHEMA));
        }
        let mut aums = Vec::with_capacity(self.aums.len());
        for (place, bytes) in (1..).zip(&self.aums) {
            let aum = Sealed::decode(&bytes.0);
            aums.push(aum.map_err(|error| BadSigning::Bytes("AUM", place, error))?);
        }
        let mut signatures = Vec::with_capacity(self.signatures.len());
        for (place, item) in (1..).zip(&self.signatures) {
            let signature = NodeKeySignature::decode(&item.unsigned.0);
            signatures
                .push(signature.map_err(|e| BadSigning::Bytes("node-key signature", place, e))?);
        }
        Ok(Draft::new(self.signer()?, aums, signatures)?)
    }

    /// The request with the signatures of its key.
    pub fn sign(self, signer: &dyn Signer) -> Result<SignedRequest, BadSigning> {
        let signed = self.draft()?.sign(signer)?;
        let signed = signed.into_iter().map(|signature| Base64(signature.to_vec())).collect();
        Ok(SignedRequest { schema: SIGNED_SCHEMA.to_owned(), request: self, signed })
    }
}

impl SignedRequest {
    /// The signatures, if all of them hold.
    pub fn presigned(&self) -> Result<Presigned, BadSigning> {
        if self.schema != SIGNED_SCHEMA {
            return Err(BadSigning::Schema(SIGNED_SCHEMA));
        }
        let mut made = Vec::with_capacity(self.signed.len());
        for (place, bytes) in (1..).zip(&self.signed) {
            let signature = <[u8; 64]>::try_from(bytes.0.as_slice());
            made.push(signature.map_err(|_| BadSigning::Length(place, bytes.0.len()))?);
        }
        Ok(self.request.draft()?.signed(&made)?)
    }
}

#[cfg(test)]
mod tests {
    use ledger::ids::AumHash;
    use ledger::lock::node_keys::{resign, sign_direct};
    use ledger::lock::{Aum, AumKind, State};
    use ledger::testing::{genesis_state, key, node_key};
    use proptest::prelude::*;

    use super::*;

    /// A request with one of everything: a removal, a checkpoint, a direct signature, a rotation.
    fn request() -> SigningRequest {
        let mut remove = Aum::new(AumKind::REMOVE_KEY, Some(AumHash([1; 32])));
        remove.key_id = Some(vec![7; 32]);
        let remove = Sealed::new(remove);
        let mut checkpoint = Aum::new(AumKind::CHECKPOINT, Some(remove.hash()));
        let state = genesis_state(1, &[(&key(2), 1), (&key(3), 2)]);
        checkpoint.state = Some(State { last_aum: None, ..state });
        let direct = sign_direct(&key(2), node_key(1), Some(key(2).public())).unwrap();
        let mut rotation = resign(&key(2), node_key(2), &direct).unwrap();
        rotation.signature.clear();
        let bare = NodeKeySignature { signature: Vec::new(), ..direct };
        let unsigned = |signature: &NodeKeySignature| UnsignedSignature {
            node: "laptop".into(),
            unsigned: Base64(signature.to_cbor()),
        };
        SigningRequest {
            schema: REQUEST_SCHEMA.into(),
            signer: key(2).public().to_tlpub(),
            aums: [remove, Sealed::new(checkpoint)].map(|aum| Base64(aum.bytes().to_vec())).into(),
            signatures: vec![unsigned(&bare), unsigned(&rotation)],
            ..SigningRequest::default()
        }
    }

    #[test]
    fn a_file_survives_the_way_there_and_back() {
        let text = serde_json::to_vec(&request()).unwrap();
        let there: SigningRequest = serde_json::from_slice(&text).unwrap();
        assert_eq!(there, request());
        let signed = there.sign(&key(2)).unwrap();
        assert_eq!(signed.signed.len(), 4);
        let text = serde_json::to_vec(&signed).unwrap();
        let back: SignedRequest = serde_json::from_slice(&text).unwrap();
        assert!(back.presigned().is_ok());
        assert!(request().sign(&key(3)).is_err());
    }

    #[test]
    fn one_thing_is_asked_for() {
        let sign = Some(vec![SignBody { node_key: node_key(1).to_string(), rotation_key: None }]);
        let one = AskedBody { sign, ..AskedBody::default() };
        assert!(one.asked().is_ok());
        let two = AskedBody { modify: Some(ModifyBody::default()), ..one.clone() };
        assert!(matches!(two.asked(), Err(BadSigning::NotOne)));
        assert!(matches!(AskedBody::default().asked(), Err(BadSigning::NotOne)));
        let reason = Some("boredom".to_owned());
        let modify = Some(ModifyBody { reason, ..ModifyBody::default() });
        let odd = AskedBody { modify, ..AskedBody::default() };
        assert!(matches!(odd.asked(), Err(BadSigning::Reason)));
        let more = serde_json::from_str::<AskedBody>(r#"{"sign": [], "force": true}"#);
        assert!(more.is_err());
    }

    proptest! {
        /// Whatever somebody has done to a file, it is refused or shows what it would sign; and
        /// what was signed is never good for anything but the very same.
        #[test]
        fn a_changed_file_does_no_harm(
            places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            part in 0..4_usize,
        ) {
            let mut changed = request();
            {
                let bytes = match part {
                    0 | 1 => &mut changed.aums[part].0,
                    _ => &mut changed.signatures[part - 2].unsigned.0,
                };
                for (place, byte) in &places {
                    let place = place.index(bytes.len());
                    bytes[place] = *byte;
                }
            }
            let signed = request().sign(&key(2)).unwrap();
            let same = changed == request();
            if let Ok(draft) = changed.draft() {
                prop_assert!(draft.sign(&key(2)).is_ok());
            }
            let forged = SignedRequest { request: changed, ..signed };
            prop_assert_eq!(forged.presigned().is_ok(), same);
        }

        #[test]
        fn hostile_text_is_no_file(
            cut in any::<prop::sample::Index>(),
            place in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut text = serde_json::to_vec(&request()).unwrap();
            let place = place.index(text.len());
            text[place] = byte;
            text.truncate(cut.index(text.len()) + 1);
            if let Ok(request) = serde_json::from_slice::<SigningRequest>(&text) {
                let _ = request.draft();
            }
        }
    }
}
