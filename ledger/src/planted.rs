//! Bugs on purpose, of which one at a time can be switched on, for the simulations to find: those of the ledger,
//! and those of the replica above it.
//!
//! Only in builds with the feature `planted`, which no program may be built with: the package `cli`
//! refuses to compile beside it.

#[cfg(feature = "planted")]
use std::sync::atomic::{AtomicUsize, Ordering};

/// Whether that bug is switched on: never, in builds without the feature.
#[cfg(feature = "planted")]
macro_rules! planted {
    ($plant:ident) => {
        $crate::planted::has($crate::planted::Plant::$plant)
    };
}
#[cfg(not(feature = "planted"))]
macro_rules! planted {
    ($plant:ident) => {
        false
    };
}

#[cfg(feature = "planted")]
/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// Only the first signature of an AUM counts for its weight.
    ForgetSignature,
    /// Every key has one vote.
    IgnoreVotes,
    /// Among equals the higher hash is preferred.
    HighestHash,
    /// A RemoveKey is preferred to nothing.
    NoRemovePreference,
    /// An AUM is weighed with the state after it.
    WeighAfter,
    /// The head never moves through a fork.
    NeverFork,
    /// Only the first signer of an AUM must be trusted.
    TrustFirstSigner,
    /// The last key can be removed.
    RemoveLastKey,
    /// A checkpoint of another lock is taken.
    OtherLocksCheckpoint,
    /// A lock may begin with a state ID that was used.
    SpentStateId,
    /// Any secret ends the lock on a node.
    AnySecret,
    /// Local-disable is forgotten at the next start.
    ForgetLocalDisable,
    /// Nodes whose signer is removed stay in, as far as the roster knows.
    KeepRemovedSigners,
    /// Node keys that a rotation has replaced are let in.
    LetReplacedIn,
    /// A request that is repeated is applied once more.
    RepeatRequests,
    /// A revocation keeps the first of the listed keys.
    RevokeAllButOne,
    /// The door lets every AUM through.
    SkipDoor,
    /// A revocation must outvote what it takes away at its fork point alone.
    WeighAtFork,
    /// One signature moves the final AUM.
    FinalAtOnce,
    /// What most votes have undone counts as gone on.
    CountUndone,
    /// A majority is weighed at the head rather than at the final AUM.
    MajorityAtHead,
    /// A revocation may bring back whatever was so at some time.
    RestoreAnything,
    /// A record need not follow the one before.
    IgnoreLinks,
    /// Nodes whose rows cannot be read are left out of the list.
    SkipDamaged,
    /// Whoever has lost what was acknowledged does not notice.
    IgnoreWatermark,
    /// A replica answers before its log is synced.
    AcknowledgeBeforeSync,
    /// Term and vote are not written to the log.
    DropHardState,
    /// How far the log is applied is not written, so that it is applied again after a crash.
    ApplyTwice,
    /// A read is answered from what is here.
    StaleRead,
    /// Catching up ends one record early.
    SkipRecord,
    /// A snapshot is stepped before its records are there.
    SnapshotEarly,
    /// An invitation that was used or has expired lets somebody in.
    StaleInvitation,
    /// A member of another incarnation is let in.
    ForgetIncarnation,
    /// That records are ahead of the log is not written down.
    ForgetAhead,
    /// A vote is forgotten at the next start.
    VoteTwice,
    /// The group is written as it was before the change.
    ConfFromElsewhere,
    /// A request that is asked again gets an ID of its own.
    ResubmitAnew,
    /// What stood in the log stays there when it begins anew behind records.
    KeepOldLog,
    /// An old identity goes on on a fresh disk.
    FreshDisk,
    /// Whoever waits for approval is linked to as a member.
    PendingTakePart,
    /// A removed member stays in the Raft group.
    KeepRemoved,
    /// Whoever catches up takes another record for the last one.
    RecordsUnchecked,
    /// A replica that is shown to have had more goes on with less.
    TrustOldCopy,
}

#[cfg(feature = "planted")]
impl Plant {
    /// Every bug.
    pub const ALL: [Plant; 43] = [
        Plant::ForgetSignature,
        Plant::IgnoreVotes,
        Plant::HighestHash,
        Plant::NoRemovePreference,
        Plant::WeighAfter,
        Plant::NeverFork,
        Plant::TrustFirstSigner,
        Plant::RemoveLastKey,
        Plant::OtherLocksCheckpoint,
        Plant::SpentStateId,
        Plant::AnySecret,
        Plant::ForgetLocalDisable,
        Plant::KeepRemovedSigners,
        Plant::LetReplacedIn,
        Plant::RepeatRequests,
        Plant::RevokeAllButOne,
        Plant::SkipDoor,
        Plant::WeighAtFork,
        Plant::FinalAtOnce,
        Plant::CountUndone,
        Plant::MajorityAtHead,
        Plant::RestoreAnything,
        Plant::IgnoreLinks,
        Plant::SkipDamaged,
        Plant::IgnoreWatermark,
        Plant::AcknowledgeBeforeSync,
        Plant::DropHardState,
        Plant::ApplyTwice,
        Plant::StaleRead,
        Plant::SkipRecord,
        Plant::SnapshotEarly,
        Plant::StaleInvitation,
        Plant::ForgetIncarnation,
        Plant::ForgetAhead,
        Plant::VoteTwice,
        Plant::ConfFromElsewhere,
        Plant::ResubmitAnew,
        Plant::KeepOldLog,
        Plant::FreshDisk,
        Plant::PendingTakePart,
        Plant::KeepRemoved,
        Plant::RecordsUnchecked,
        Plant::TrustOldCopy,
    ];

    /// Its name on the command line of the simulations.
    pub fn name(self) -> &'static str {
        match self {
            Plant::ForgetSignature => "forget-signature",
            Plant::IgnoreVotes => "ignore-votes",
            Plant::HighestHash => "highest-hash",
            Plant::NoRemovePreference => "no-remove-preference",
            Plant::WeighAfter => "weigh-after",
            Plant::NeverFork => "never-fork",
            Plant::TrustFirstSigner => "trust-first-signer",
            Plant::RemoveLastKey => "remove-last-key",
            Plant::OtherLocksCheckpoint => "other-locks-checkpoint",
            Plant::SpentStateId => "spent-state-id",
            Plant::AnySecret => "any-secret",
            Plant::ForgetLocalDisable => "forget-local-disable",
            Plant::KeepRemovedSigners => "keep-removed-signers",
            Plant::LetReplacedIn => "let-replaced-in",
            Plant::RepeatRequests => "repeat-requests",
            Plant::RevokeAllButOne => "revoke-all-but-one",
            Plant::SkipDoor => "skip-door",
            Plant::WeighAtFork => "weigh-at-fork",
            Plant::FinalAtOnce => "final-at-once",
            Plant::CountUndone => "count-undone",
            Plant::MajorityAtHead => "majority-at-head",
            Plant::RestoreAnything => "restore-anything",
            Plant::IgnoreLinks => "ignore-links",
            Plant::SkipDamaged => "skip-damaged",
            Plant::IgnoreWatermark => "ignore-watermark",
            Plant::AcknowledgeBeforeSync => "acknowledge-before-sync",
            Plant::DropHardState => "drop-hard-state",
            Plant::ApplyTwice => "apply-twice",
            Plant::StaleRead => "stale-read",
            Plant::SkipRecord => "skip-record",
            Plant::SnapshotEarly => "snapshot-early",
            Plant::StaleInvitation => "stale-invitation",
            Plant::ForgetIncarnation => "forget-incarnation",
            Plant::ForgetAhead => "forget-ahead",
            Plant::VoteTwice => "vote-twice",
            Plant::ConfFromElsewhere => "conf-from-elsewhere",
            Plant::ResubmitAnew => "resubmit-anew",
            Plant::KeepOldLog => "keep-old-log",
            Plant::FreshDisk => "fresh-disk",
            Plant::PendingTakePart => "pending-take-part",
            Plant::KeepRemoved => "keep-removed",
            Plant::RecordsUnchecked => "records-unchecked",
            Plant::TrustOldCopy => "trust-old-copy",
        }
    }
}

#[cfg(feature = "planted")]
/// The place of the bug that is switched on, plus 1; 0 if none is.
static ON: AtomicUsize = AtomicUsize::new(0);

#[cfg(feature = "planted")]
/// Switches one bug on and the others off, in the whole process.
pub fn plant(plant: Option<Plant>) {
    ON.store(plant.map_or(0, |plant| plant as usize + 1), Ordering::Relaxed);
}

#[cfg(feature = "planted")]
/// Whether that bug is switched on.
pub fn has(plant: Plant) -> bool {
    ON.load(Ordering::Relaxed) == plant as usize + 1
}
