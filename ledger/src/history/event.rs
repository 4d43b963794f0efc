//! Events: everything that can change a later verdict.

use std::fmt;

use super::member_event::{Begun, Founder, Invited, Joined, MemberDetails, RoleChange};
use super::{AuthKeyHash, AuthKeyId, Epoch, NodeId, ReplicaId};
use crate::ids::{AumHash, LockKey, NodeKey, SigHash};
use crate::lock::node_keys::NodeKeySignature;
use crate::lock::{AumSignature, Sealed};

/// What happened, or is to happen. Encoded as an array of its kind and a map
/// (docs/ledger-format.md 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The group was created: record 0 and no other. Enrols the member that signs it.
    GroupCreated(Founder),
    /// The lock was initialized: an epoch begins.
    LockInitialized(Box<Initialization>),
    /// AUMs were added to the authority of the current epoch.
    AumsAdded(AumsAdded),
    /// Nodes of the roster were signed.
    NodeKeysSigned(Vec<NodeSignature>),
    /// The lock was disabled with a secret, which is spent by this: the epoch ends.
    LockDisabled(Disablement),
    /// A node joined the roster.
    NodeAdded(NewNode),
    /// A node of the roster changed its keys or brought a signature.
    NodeChanged(ChangedNode),
    /// A node left the roster.
    NodeRemoved(NodeId),
    /// The proposing member changed its name, log key, lock key, address or the rules that it
    /// supports.
    MemberChanged(MemberDetails),
    /// The rules of that number apply to all later records.
    RulesActivated(u32),
    /// A revocation was signed by one key or more, and waits for others.
    RevocationOpened(Box<RevocationOpened>),
    /// A revocation that waits got further signatures.
    RevocationSigned(RevocationSigned),
    /// A revocation that waited was given up.
    RevocationWithdrawn(RevocationWithdrawn),
    /// An auth key was issued.
    AuthKeyCreated(NewAuthKey),
    /// An auth key lets nobody in any more.
    AuthKeyRevoked(AuthKeyId),
    /// A node of the roster said which head it has applied, or that it has ended a lock.
    NodeAcknowledged(Acknowledged),
    /// A node of the roster brought a genesis, which waits for the nodes' signatures.
    GenesisBrought(Box<BroughtGenesis>),
    /// The history of a lock that exists elsewhere began to be brought in.
    AdoptionBegun(Box<AdoptionBegun>),
    /// AUMs of a lock that exists elsewhere were brought in, each after its parent.
    AumsAdopted(Vec<Sealed>),
    /// An adoption was given up before it was complete, or a followed lock is followed no longer.
    AdoptionEnded,
    /// Its server showed a followed lock like this.
    LockObserved(Observed),
    /// Somebody who has an invitation's secret may join as a member.
    MemberInvited(Invited),
    /// A member joined by an invitation.
    MemberJoined(Box<Joined>),
    /// A member that joined by an invitation for anybody may take part.
    MemberApproved(ReplicaId),
    /// A member is to vote, or not to vote.
    MemberRoleChanged(RoleChange),
    /// A member left, or was put out.
    MemberRemoved(ReplicaId),
    /// The group began anew with one member, from records that survived.
    IncarnationBegun(Box<Begun>),
}

impl Event {
    /// The number that stands for the kind in the encoding.
    pub fn kind(&self) -> u64 {
        match self {
            Event::GroupCreated(_) => 1,
            Event::LockInitialized(_) => 2,
            Event::AumsAdded(_) => 3,
            Event::NodeKeysSigned(_) => 4,
            Event::LockDisabled(_) => 5,
            Event::NodeAdded(_) => 6,
            Event::NodeChanged(_) => 7,
            Event::NodeRemoved(_) => 8,
            Event::MemberChanged(_) => 9,
            Event::RulesActivated(_) => 10,
            Event::RevocationOpened(_) => 11,
            Event::RevocationSigned(_) => 12,
            Event::RevocationWithdrawn(_) => 13,
            Event::AuthKeyCreated(_) => 14,
            Event::AuthKeyRevoked(_) => 15,
            Event::NodeAcknowledged(_) => 16,
            Event::GenesisBrought(_) => 17,
            Event::AdoptionBegun(_) => 18,
            Event::AumsAdopted(_) => 19,
            Event::AdoptionEnded => 20,
            Event::LockObserved(_) => 21,
            Event::MemberInvited(_) => 22,
            Event::MemberJoined(_) => 23,
            Event::MemberApproved(_) => 24,
            Event::MemberRoleChanged(_) => 25,
            Event::MemberRemoved(_) => 26,
            Event::IncarnationBegun(_) => 27,
        }
    }

    /// The kind's name, as `cluster records` prints it.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Event::GroupCreated(_) => "group-created",
            Event::LockInitialized(_) => "lock-initialized",
            Event::AumsAdded(_) => "aums-added",
            Event::NodeKeysSigned(_) => "node-keys-signed",
            Event::LockDisabled(_) => "lock-disabled",
            Event::NodeAdded(_) => "node-added",
            Event::NodeChanged(_) => "node-changed",
            Event::NodeRemoved(_) => "node-removed",
            Event::MemberChanged(_) => "member-changed",
            Event::RulesActivated(_) => "rules-activated",
            Event::RevocationOpened(_) => "revocation-opened",
            Event::RevocationSigned(_) => "revocation-signed",
            Event::RevocationWithdrawn(_) => "revocation-withdrawn",
            Event::AuthKeyCreated(_) => "auth-key-created",
            Event::AuthKeyRevoked(_) => "auth-key-revoked",
            Event::NodeAcknowledged(_) => "node-acknowledged",
            Event::GenesisBrought(_) => "genesis-brought",
            Event::AdoptionBegun(_) => "adoption-begun",
            Event::AumsAdopted(_) => "aums-adopted",
            Event::AdoptionEnded => "adoption-ended",
            Event::LockObserved(_) => "lock-observed",
            Event::MemberInvited(_) => "member-invited",
            Event::MemberJoined(_) => "member-joined",
            Event::MemberApproved(_) => "member-approved",
            Event::MemberRoleChanged(_) => "member-role-changed",
            Event::MemberRemoved(_) => "member-removed",
            Event::IncarnationBegun(_) => "incarnation-begun",
        }
    }

    /// The rules under which this kind was first admitted.
    pub fn since_rules(&self) -> u32 {
        match self {
            Event::MemberInvited(_)
            | Event::MemberJoined(_)
            | Event::MemberApproved(_)
            | Event::MemberRoleChanged(_)
            | Event::MemberRemoved(_)
            | Event::IncarnationBegun(_) => 2,
            _ => 1,
        }
    }

    /// The AUMs that the event adds to the chain, in its order.
    pub fn aums(&self) -> &[Sealed] {
        match self {
            Event::LockInitialized(init) => std::slice::from_ref(&init.genesis),
            Event::AumsAdded(added) => &added.aums,
            Event::AdoptionBegun(begun) => std::slice::from_ref(&begun.root),
            Event::AumsAdopted(aums) => aums,
            _ => &[],
        }
    }

    /// The node-key signatures in the event, in its order.
    pub fn signatures(&self) -> Vec<&NodeKeySignature> {
        let list = match self {
            Event::LockInitialized(init) => &init.signatures,
            Event::AumsAdded(added) => &added.signatures,
            Event::NodeKeysSigned(signatures) => signatures,
            Event::NodeAdded(node) => return node.signature.iter().collect(),
            Event::NodeChanged(node) => return node.signature.iter().collect(),
            _ => return Vec::new(),
        };
        list.iter().map(|item| &item.signature).collect()
    }
}

/// A genesis with a signature for every node of the roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initialization {
    /// The first AUM: a checkpoint without a parent.
    pub genesis: Sealed,
    /// A signature for each node of the roster and its current key, ascending by node.
    pub signatures: Vec<NodeSignature>,
    /// Where the secrets of the genesis's disablement values are, in its order; none if nobody
    /// said. No verdict depends on them.
    pub labels: Vec<SecretLabel>,
    /// The node that brought the genesis earlier ([`Event::GenesisBrought`]); none if the proposing
    /// member made it.
    pub brought_by: Option<NodeId>,
}

/// A genesis that a node of the roster made, and that is to wait until it has signed all nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BroughtGenesis {
    /// The node.
    pub node: NodeId,
    /// Its tailnet-lock key, which the genesis must trust.
    pub key: LockKey,
    /// The first AUM: a checkpoint without a parent.
    pub genesis: Sealed,
}

/// The beginning of a lock that exists elsewhere, and what is to follow until it is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptionBegun {
    /// The oldest AUM of its history: a genesis, or a checkpoint whose parent nobody has.
    pub root: Sealed,
    /// The head that the rules choose once all AUMs are there.
    pub head: AumHash,
    /// How many AUMs there are in all, the root and those of losing branches included.
    pub aums: u64,
    /// Whether somebody else's server goes on deciding it: then nothing is signed through us.
    pub followed: bool,
}

/// How the server of a followed lock showed it. The member vouches that it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// There is no lock.
    Off,
    /// Its head is this AUM, which is on record.
    Head(AumHash),
    /// It showed what cannot be part of the lock.
    Foreign(Foreign),
}

/// What a server showed that cannot be part of the lock that is followed.
#[derive(Clone, PartialEq, Eq)]
pub struct Foreign {
    /// The head that it showed.
    pub head: AumHash,
    /// Why its AUMs were not taken in.
    pub why: ForeignReason,
    /// The AUM that shows it, as it came, decodable or not: its first
    /// [`OBSERVED_BYTES`](crate::limits::OBSERVED_BYTES) at most.
    pub evidence: Vec<u8>,
}

/// Without the evidence, which may be long.
impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.evidence.len();
        write!(f, "Foreign({}, {:?}, {bytes} bytes)", self.head, self.why)
    }
}

/// Why what a server showed is not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ForeignReason {
    /// It belongs to another lock: it has another root or another state ID.
    OtherLock,
    /// Its parent is neither shown nor on record.
    Unconnected,
    /// It breaks the rules of tailnet lock.
    BreaksRules,
}

impl ForeignReason {
    /// Every reason; a reason's place here plus 1 is its number in the encoding.
    pub const ALL: [ForeignReason; 3] =
        [ForeignReason::OtherLock, ForeignReason::Unconnected, ForeignReason::BreaksRules];
}

/// What a node has applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// The node.
    pub node: NodeId,
    /// The lock that it speaks of.
    pub epoch: Epoch,
    /// What it has applied of it.
    pub applied: Applied,
}

/// How far a node has come with a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// This is its head.
    Head(AumHash),
    /// It has verified the secret and ended the lock.
    Disabled,
}

impl Applied {
    /// The head, if it is one.
    pub fn head(&self) -> Option<AumHash> {
        match self {
            Applied::Head(head) => Some(*head),
            Applied::Disabled => None,
        }
    }
}

/// Who made a disablement secret, when, and for whom, so that people find the secret again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretLabel {
    /// Who made it, or brought its value; 1 to 256 bytes.
    pub maker: String,
    /// When: milliseconds since 1970, by the proposing member's clock.
    pub made_ms: u64,
    /// Who has it, as the person who asked put it; 1 to 256 bytes.
    pub holder: Option<String>,
}

/// A node-key signature and the node that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSignature {
    /// The node.
    pub node: NodeId,
    /// A signature that lets in the node's current key.
    pub signature: NodeKeySignature,
}

/// AUMs, and what they are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AumsAdded {
    /// The AUMs, each after its parent; all of them new.
    pub aums: Vec<Sealed>,
    /// Whether the AUMs may begin elsewhere than at the head (a revocation does). If not, they
    /// must form one chain from the head.
    pub fork: bool,
    /// New signatures for nodes, judged under the state after the AUMs; ascending by node.
    pub signatures: Vec<NodeSignature>,
    /// Why, as the person who asked put it.
    pub reason: Option<ChangeReason>,
    /// A note by the person who asked; at most 1,024 bytes.
    pub note: Option<String>,
}

/// Why a key was removed or revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeReason {
    /// Somebody else had the key.
    Compromised,
    /// Another key took its place.
    Rotated,
    /// Its holder left.
    Left,
    /// Something else.
    Other,
}

impl ChangeReason {
    /// Every reason; a reason's place here plus 1 is its number in the encoding.
    pub const ALL: [ChangeReason; 4] =
        [ChangeReason::Compromised, ChangeReason::Rotated, ChangeReason::Left, ChangeReason::Other];

    /// The word for it on the command line.
    pub fn name(self) -> &'static str {
        match self {
            ChangeReason::Compromised => "compromised",
            ChangeReason::Rotated => "rotated",
            ChangeReason::Left => "left",
            ChangeReason::Other => "other",
        }
    }
}

/// A revocation that is to be signed by more keys before it takes effect (spec 10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationOpened {
    /// A checkpoint on top of the fork point, with the signatures that it has so far: at least one.
    pub aum: Sealed,
    /// The keys that it is to revoke, as the person who began it named them, ascending; the
    /// checkpoint does not trust them. Empty if somebody brought it without saying so.
    pub keys: Vec<LockKey>,
    /// Why, as the person who asked put it.
    pub reason: Option<ChangeReason>,
    /// A note by the person who asked; at most 1,024 bytes.
    pub note: Option<String>,
}

/// Further signatures for a revocation that waits for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationSigned {
    /// What is signed, by which the revocation is known.
    pub revocation: SigHash,
    /// Signers and their signatures, ascending by signer; at least one.
    pub signatures: Vec<(LockKey, [u8; 64])>,
}

impl RevocationSigned {
    /// The checkpoint with these signatures after those that it has.
    pub fn onto(&self, aum: Sealed) -> Sealed {
        let mut aum = aum.into_aum();
        aum.signatures.extend(self.signatures.iter().map(|(key, signature)| AumSignature {
            key_id: Some(key.0.to_vec()),
            signature: Some(signature.to_vec()),
        }));
        Sealed::new(aum)
    }
}

/// The end of a revocation that waited for signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationWithdrawn {
    /// What was to be signed.
    pub revocation: SigHash,
    /// A note by the person who asked; at most 1,024 bytes.
    pub note: Option<String>,
}

/// A disablement secret, revealed and thereby spent.
#[derive(Clone, PartialEq, Eq)]
pub struct Disablement {
    /// The secret; 1 to 1,024 bytes.
    pub secret: Vec<u8>,
    /// The value in the authority's state whose secret it is.
    pub value: [u8; 32],
}

/// Without the secret: until the event is recorded it turns the lock off.
impl fmt::Debug for Disablement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Disablement({} bytes)", self.secret.len())
    }
}

/// A node that joins the roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNode {
    /// One DNS label of lower-case letters, digits and inner hyphens; no other node's.
    pub name: String,
    /// Its node key; not of small order, no other node's.
    pub node_key: NodeKey,
    /// Its tailnet-lock key, if it has one.
    pub lock_key: Option<LockKey>,
    /// Whether this is the proposing member's own machine.
    pub own: bool,
    /// A signature that lets it in at once; only while the lock is on.
    pub signature: Option<NodeKeySignature>,
    /// The auth key that was shown for it, which a single-use key is spent by.
    pub auth_key: Option<AuthKeyUse>,
}

/// New values of a node's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedNode {
    /// The node.
    pub node: NodeId,
    /// Its node key from now on. When it is another than before, the old signature is gone.
    pub node_key: NodeKey,
    /// Its tailnet-lock key from now on.
    pub lock_key: Option<LockKey>,
    /// A signature that lets in `node_key`; only while the lock is on.
    pub signature: Option<NodeKeySignature>,
}

/// An auth key that is issued. Its text is with whoever asked for it, and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAuthKey {
    /// Its ID; no other auth key ever had it.
    pub id: AuthKeyId,
    /// The hash of its text.
    pub hash: AuthKeyHash,
    /// Whether more than one node may join by it.
    pub reusable: bool,
    /// When it ends, in milliseconds since 1970 by the clocks of those who propose nodes; never
    /// if there is none.
    pub expires_ms: Option<u64>,
}

/// What a node showed in order to join. The proposing member vouches that it saw the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthKeyUse {
    /// The auth key.
    pub id: AuthKeyId,
    /// The hash of the text that was shown.
    pub hash: AuthKeyHash,
}
