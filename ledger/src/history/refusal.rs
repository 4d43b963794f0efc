//! Why a proposal is not recorded, or a record not accepted.

use super::auth_keys::AuthKeyRefusal;
use super::invitations::InvitationRefusal;
use super::{
    AuthKeyId, BadAuthKeyId, BadRequestId, Epoch, InvitationKey, NodeId, ReplicaId, RequestId,
};
use crate::Refusal;
use crate::ids::{AumHash, LockKey, SigHash};
use crate::limits::{
    INVITATIONS_OPEN, KEY_AUMS, MEMBERS_AT_ONCE, PROPOSAL_BYTES, REVOCATIONS_OF_ACTOR,
    REVOCATIONS_OF_KEY, REVOCATIONS_PENDING, ROSTER_AT_ONCE, ROSTER_NODES,
};
use crate::lock::revocation::Stand;

/// What is wrong with an event in its place, apart from the lock's own rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventRefusal {
    /// A rule that the event breaks by itself.
    #[error("{0}")]
    Shape(&'static str),
    /// A kind of event that this version does not know. The active rules cannot define it.
    #[error("unknown kind of event: {0}")]
    UnknownKind(u64),
    /// A kind of event that the active rules do not define.
    #[error("events of kind {kind} need rules {since}; rules {active} are active")]
    KindNotActive {
        /// The kind.
        kind: u64,
        /// The rules that define it first.
        since: u32,
        /// The rules that are active.
        active: u32,
    },
    /// A field that the active rules do not define.
    #[error("the field '{field}' needs rules {since}; rules {active} are active")]
    FieldNotActive {
        /// What the field is for.
        field: &'static str,
        /// The rules that define it first.
        since: u32,
        /// The rules that are active.
        active: u32,
    },
    /// A proposal or record beyond the limit.
    #[error("{bytes} bytes are more than a proposal may have ({PROPOSAL_BYTES})")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not a request ID.
    #[error(transparent)]
    RequestId(#[from] BadRequestId),
    /// Not an auth key's ID.
    #[error(transparent)]
    AuthKeyId(#[from] BadAuthKeyId),
    /// A name that is no DNS label.
    #[error("a name is 1 to 63 lower-case letters, digits and inner hyphens")]
    Name,
    /// A key of small order, zero among them: it is anybody's.
    #[error("the {0} is zero or of small order: anybody could use it")]
    WeakKey(&'static str),
    /// One key of a member for two purposes.
    #[error("the {0} and the {1} are the same key; each purpose needs a key of its own")]
    SameKey(&'static str, &'static str),

    /// Record 0 has not been written.
    #[error("the ledger has no group yet")]
    NoGroup,
    /// A group exists already.
    #[error("the group has been created already")]
    GroupExists,
    /// It is for another ledger.
    #[error("the proposal is for another cluster")]
    OtherCluster,
    /// It was made before a restore or recovery, or for one to come.
    #[error("the proposal is for incarnation {got}; this is {want}")]
    OtherIncarnation {
        /// What it says.
        got: u64,
        /// The group's.
        want: u64,
    },
    /// It came too late.
    #[error("the proposal was void after record {last_index}; the next record is {next}")]
    Expired {
        /// The last record that it could have become.
        last_index: u64,
        /// The next record.
        next: u64,
    },
    /// No record enrolled that member.
    #[error("replica {0} is not a member")]
    UnknownMember(ReplicaId),
    /// The member waits for approval.
    #[error("replica {0} waits for approval and takes no part yet")]
    PendingMember(ReplicaId),
    /// The member was removed.
    #[error("replica {member} was removed in record {record}")]
    RemovedMember {
        /// The member.
        member: ReplicaId,
        /// The record that removed it.
        record: u64,
    },
    /// It was signed with another key than the member's.
    #[error("the proposal is not signed with the key of replica {0}")]
    OtherMemberKey(ReplicaId),
    /// The request ID was used for something else.
    #[error("request {request} was used for something else in record {index}")]
    RequestReused {
        /// The request ID.
        request: RequestId,
        /// A record of the other request.
        index: u64,
    },

    /// A member has or had that key.
    #[error(
        "the {key} is or was a key of replica {member}; a key is one member's, for one purpose"
    )]
    KeyOfMember {
        /// What it was to be.
        key: &'static str,
        /// The member.
        member: ReplicaId,
    },
    /// An invitation lets nobody in, or is not made.
    #[error("{key} {why}")]
    Invitation {
        /// The invitation.
        key: InvitationKey,
        /// The reason.
        why: InvitationRefusal,
    },
    /// There is no room for another invitation.
    #[error("{INVITATIONS_OPEN} invitations are open, as many as may be")]
    TooManyInvitations,
    /// There is no room for another member.
    #[error("the group has {MEMBERS_AT_ONCE} members, as many as it may have")]
    TooManyMembers,
    /// The member takes part already.
    #[error("replica {0} is approved already")]
    AlreadyApproved(ReplicaId),
    /// The member has that role already.
    #[error("replica {member} is a {role} already")]
    AlreadyInRole {
        /// The member.
        member: ReplicaId,
        /// The role.
        role: &'static str,
    },
    /// Without that member nobody would vote.
    #[error("replica {0} is the last voter: without it nothing could be recorded any more")]
    LastVoter(ReplicaId),
    /// A running group was to begin an incarnation.
    #[error("a running group begins no incarnation")]
    GroupRuns,
    /// Something else than the beginning of an incarnation where only that is admitted.
    #[error("only the beginning of an incarnation is admitted here")]
    NotABeginning,
    /// An incarnation was to begin with another number for its member.
    #[error("an incarnation begins with replica {want}, not {got}")]
    NotNextReplica {
        /// The number that it has.
        got: ReplicaId,
        /// The next number.
        want: ReplicaId,
    },
    /// An incarnation was to follow another record than the last one.
    #[error("the incarnation was to follow another record {index} than the last one")]
    OtherHistory {
        /// The index of the record that it names.
        index: u64,
    },

    /// The lock is off.
    #[error("the lock is not on")]
    LockOff,
    /// The lock is on.
    #[error("the lock is on already (epoch {0})")]
    LockOn(Epoch),
    /// The genesis has the state ID of an earlier epoch, so nodes would confuse the two.
    #[error("the genesis has the state ID of epoch {0}")]
    StateIdUsed(Epoch),
    /// A genesis with a parent.
    #[error("the genesis has a parent")]
    GenesisParent,
    /// A lock is being adopted as the next epoch.
    #[error("a lock that exists elsewhere is being adopted as epoch {0}")]
    AdoptionUnderWay(Epoch),
    /// No lock is being adopted or followed.
    #[error("no lock that exists elsewhere is being adopted or followed")]
    NoAdoption,
    /// What was brought in is not what the beginning of the adoption announced.
    #[error("what was brought in is not what was announced: {0}")]
    NotAsAnnounced(&'static str),
    /// Another server decides the lock.
    #[error("the lock of epoch {0} is followed: its own coordination server decides it")]
    Followed(Epoch),
    /// The same was observed last.
    #[error("record {0} has observed that already")]
    AlreadyObserved(u64),
    /// The proposing member has no lock key on record.
    #[error("replica {0} has no tailnet-lock key on record")]
    NoLockKey(ReplicaId),
    /// The genesis would lock out the node that makes it.
    #[error("the genesis does not trust {key}, the key of the node that initializes the lock")]
    InitializerNotTrusted {
        /// The proposing member's lock key.
        key: LockKey,
    },
    /// An AUM would make somebody trusted who cannot be.
    #[error(
        "key tlpub:{} cannot be trusted: it is not 32 bytes long, or of small order, so that \
         nobody or anybody could sign with it",
        data_encoding::HEXLOWER.encode(.key)
    )]
    CannotTrust {
        /// The key's ID, whatever its length.
        key: Vec<u8>,
    },
    /// The roster is not what the genesis was made for.
    #[error("the roster has changed: node {node} joined, left or has another key")]
    RosterChanged {
        /// The first node that differs.
        node: NodeId,
    },
    /// A signature for a node does not let it in.
    #[error("node {node}: {why}")]
    NodeNotAuthorized {
        /// The node.
        node: NodeId,
        /// The reason.
        why: Box<Refusal>,
    },
    /// An auth key's credential signed for a node that did not join by that auth key.
    #[error(
        "node {node}: the signature comes from the credential of an auth key, which lets a node in \
         only when it joins and shows the auth key itself"
    )]
    CredentialAlone {
        /// The node.
        node: NodeId,
    },
    /// No genesis waits, or another one, or another node's.
    #[error("node {node} has brought no such genesis, or another one has come since")]
    NoSuchGenesis {
        /// The node that would initialize the lock.
        node: NodeId,
    },
    /// No lock has had that number.
    #[error("there has been no epoch {0}")]
    UnknownEpoch(Epoch),
    /// The lock has no such AUM.
    #[error("the lock of epoch {epoch} has no AUM {aum}")]
    UnknownAum {
        /// The epoch.
        epoch: Epoch,
        /// The AUM.
        aum: AumHash,
    },
    /// The node has said the same before.
    #[error("record {0} says that already")]
    AlreadyAcknowledged(u64),
    /// The AUMs were made for an earlier head.
    #[error("the AUMs follow {parent}, but the head is {head}")]
    StaleParent {
        /// The first one's parent.
        parent: AumHash,
        /// The head.
        head: AumHash,
    },
    /// An AUM that does not follow the one before it, in an event that is no fork.
    #[error("AUM {0} of the event does not follow the one before it")]
    NotOneChain(usize),
    /// An AUM that is on record already.
    #[error("the AUMs have been applied already")]
    AlreadyApplied,
    /// A revocation that waits was to be added, and fork resolution prefers another branch.
    #[error(
        "AUM {aum} would lose: votes for it {votes}, for the branch that it would replace {against}"
    )]
    ForkLoses {
        /// The AUM.
        aum: AumHash,
        /// Its weight.
        votes: u64,
        /// The weight of the sibling that is preferred.
        against: u64,
    },
    /// An AUM beside the line that is no revocation.
    #[error(
        "the AUM follows {}, but the head is {head}: only a revocation forks off the line",
        .parent.map_or_else(|| "no AUM".to_owned(), |parent| parent.to_string())
    )]
    ForkWithoutRevocation {
        /// Its parent.
        parent: Option<AumHash>,
        /// The head.
        head: AumHash,
    },
    /// A revocation whose signers do not outvote those whom it revokes.
    #[error(
        "the revocation has too few votes: at AUM {} its signers have {}, the keys that it takes \
         away {}",
        .0.at, .0.present, .0.taken
    )]
    Outvoted(Stand),
    /// A revocation from before the final AUM without most votes.
    #[error(
        "the revocation forks off before AUM {at}, which is final: at that AUM its signers have \
         {votes} votes, and {needed} are needed"
    )]
    Final {
        /// The final AUM.
        at: AumHash,
        /// Votes of the signers there.
        votes: u64,
        /// More than half of all votes there.
        needed: u64,
    },
    /// A key has signed as many AUMs as it may.
    #[error(
        "key {key} has signed {KEY_AUMS} AUMs since record {since}, as many as it may while others \
         do not go on from them"
    )]
    KeyQuota {
        /// The key.
        key: LockKey,
        /// The record at which the count began.
        since: u64,
    },
    /// A key has opened as many revocations as it may.
    #[error("{REVOCATIONS_OF_KEY} revocations that {0} opened wait for signatures, as many as may")]
    RevocationsOfKey(LockKey),
    /// An actor has opened as many revocations as it may.
    #[error(
        "{REVOCATIONS_OF_ACTOR} revocations that this user of replica {0} opened wait for \
         signatures, as many as may"
    )]
    RevocationsOfActor(ReplicaId),
    /// No such revocation waits for signatures.
    #[error("no revocation {0} waits for signatures")]
    UnknownRevocation(SigHash),
    /// The revocation waits for signatures already.
    #[error("revocation {0} waits for signatures already")]
    RevocationPending(SigHash),
    /// There is no room for another.
    #[error("{REVOCATIONS_PENDING} revocations wait for signatures, as many as may")]
    TooManyRevocations,
    /// The value is not in the authority's state.
    #[error("no disablement value of the lock belongs to this secret")]
    OtherDisablementValue,

    /// The roster has no such node.
    #[error("the roster has no node {0}")]
    UnknownNode(NodeId),
    /// Another node has the name.
    #[error("node {0} has that name")]
    NameTaken(NodeId),
    /// Another node has the node key.
    #[error("node {0} has that node key")]
    NodeKeyTaken(NodeId),
    /// The member's own machine is in the roster already.
    #[error("the member's own machine is node {0} already")]
    OwnNodeExists(NodeId),
    /// All numbers and addresses have been given away.
    #[error("the roster has numbered {ROSTER_NODES} nodes, as many as there are addresses")]
    RosterFull,
    /// One event could not sign all of its nodes.
    #[error("the roster has {ROSTER_AT_ONCE} nodes, as many as one initialization can sign")]
    RosterTooLarge,

    /// An auth key lets nobody in, or is not issued or revoked.
    #[error("auth key {id} {why}")]
    AuthKey {
        /// The auth key.
        id: AuthKeyId,
        /// The reason.
        why: AuthKeyRefusal,
    },

    /// The rules asked for are not the next ones.
    #[error("rules {asked} cannot follow rules {active}")]
    RulesNotNext {
        /// What was asked for.
        asked: u32,
        /// The active rules.
        active: u32,
    },
    /// A member cannot execute the rules.
    #[error("replica {member} supports rules up to {supported}, not {needed}")]
    RulesNotSupported {
        /// The member.
        member: ReplicaId,
        /// What it supports.
        supported: u32,
        /// What it would have to.
        needed: u32,
    },

    /// A record that is not the next one.
    #[error("record {got} where record {want} belongs")]
    RecordIndex {
        /// The index in the record.
        got: u64,
        /// The next index.
        want: u64,
    },
    /// A record that is not linked to the one before.
    #[error("record {index} does not follow the record before it: the link is another hash")]
    RecordLink {
        /// The record.
        index: u64,
    },
    /// A record whose proposal the rules refuse in that place.
    #[error("record {index}: {why}")]
    Record {
        /// The record.
        index: u64,
        /// The reason.
        why: Box<Refusal>,
    },
    /// A record of a request part that has been recorded.
    #[error("record {index} repeats the request of record {first}")]
    RecordRepeats {
        /// The record.
        index: u64,
        /// The first record of the same request and part.
        first: u64,
    },
}

impl EventRefusal {
    /// What the person who asked can do about it, where there is something.
    pub fn remedy(&self) -> Option<&'static str> {
        use EventRefusal as E;
        Some(match self {
            E::TooLarge { .. } => "split the request into several",
            E::RequestReused { .. } => "choose another request ID",
            E::Expired { .. } => "ask again; with the same request ID nothing happens twice",
            E::LockOff => "initialize the lock first (lockstep lock init)",
            E::LockOn(_) => "disable the lock first, or change its keys instead",
            E::AdoptionUnderWay(_) => {
                "run the same 'lockstep adopt' again to complete it, or 'lockstep adopt --end' to \
                 give it up"
            }
            E::NoAdoption => "begin with 'lockstep adopt'",
            E::NotAsAnnounced(_) => {
                "give the adoption up (lockstep adopt --end) and begin it again"
            }
            E::Followed(_) => {
                "make the change there; 'lockstep adopt --follow' brings it here. 'lockstep adopt \
                 --end' ends the following"
            }
            E::PendingMember(_) => "approve it first (lockstep cluster approve)",
            E::RemovedMember { .. } => {
                "join again under new keys, with an invitation (lockstep cluster invite on a member)"
            }
            E::Invitation { why, .. } => return why.remedy(),
            E::TooManyInvitations => "wait until some of them are used or expire",
            E::TooManyMembers => "remove members that are gone (lockstep cluster remove)",
            E::LastVoter(_) => "let another member vote first (lockstep cluster promote)",
            E::GroupRuns => "restore or recover with the daemon stopped",
            E::StateIdUsed(_) => "make a new genesis; its state ID is chosen at random",
            E::WeakKey(_) | E::SameKey(..) | E::KeyOfMember { .. } | E::CannotTrust { .. } => {
                "generate a new key"
            }
            E::NoLockKey(_) => "give the node a tailnet-lock key first",
            E::InitializerNotTrusted { .. } => "make a genesis that trusts the node's own key",
            E::RosterChanged { .. } => "make the genesis again for the roster as it is now",
            E::NodeNotAuthorized { why, .. } => return why.remedy(),
            E::CredentialAlone { .. } => {
                "let the node join by the auth key (lockstep node add --auth-key), after removing it \
                 if it is in the roster"
            }
            E::StaleParent { .. } | E::NotOneChain(_) => "make the AUMs again on the head",
            E::ForkLoses { .. } => "let more keys sign it (lockstep lock revoke-keys --cosign)",
            E::ForkWithoutRevocation { .. } => "make the AUMs again on the head",
            E::Outvoted(_) => {
                "let more keys sign it that were trusted then (lockstep lock revoke-keys --cosign), \
                 or begin it at a later fork point at which more of them were trusted (--fork-from)"
            }
            E::Final { .. } => {
                "let keys with more than half of the votes sign it, or begin it at the final AUM or \
                 after it (--fork-from)"
            }
            E::KeyQuota { .. } => {
                "let another trusted key sign changes as well; removing keys and revoking them \
                 always works. It may go on after as many records as docs/door.md says"
            }
            E::RevocationsOfKey(_) | E::RevocationsOfActor(_) => {
                "withdraw those that are no longer wanted (lockstep lock revoke-keys --withdraw)"
            }
            E::UnknownRevocation(_) => "list them (lockstep lock revoke-keys --cosign)",
            E::TooManyRevocations => {
                "withdraw those that are no longer wanted (lockstep lock revoke-keys --withdraw)"
            }
            E::OtherDisablementValue => {
                "use a secret that was printed when the lock was initialized"
            }
            E::NoSuchGenesis { .. } => "begin the initialization again",
            E::UnknownNode(_) => "list the nodes (lockstep node list)",
            E::NameTaken(_) => "choose another name",
            E::RosterTooLarge => "remove nodes that are no longer used (lockstep node remove)",
            E::AuthKey { why, .. } => return why.remedy(),
            E::RulesNotSupported { .. } => "upgrade that member first",
            E::Record { .. }
            | E::RecordLink { .. }
            | E::RecordIndex { .. }
            | E::RecordRepeats { .. } => "compare with another replica's records or a backup",
            _ => return None,
        })
    }
}
