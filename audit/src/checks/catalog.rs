//! Every finding that can be made: identifier, severity, remedy, and where it is explained.

use std::fmt;
use std::str::FromStr;

/// How much a finding matters. An error, and only an error, breaks the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Odd or risky, though the rules allow it.
    Warning,
    /// The history does not add up.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

impl FromStr for Severity {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "note" => Ok(Severity::Note),
            "warning" => Ok(Severity::Warning),
            "error" => Ok(Severity::Error),
            _ => Err("expected note, warning or error"),
        }
    }
}

/// One kind of finding.
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    /// Its stable identifier.
    pub id: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What to do about it.
    pub remedy: &'static str,
}

impl Check {
    /// Whether it says that a policy is not kept.
    pub fn is_policy(&self) -> bool {
        self.id.starts_with("policy.")
    }

    /// Where it is explained: a section of the audit manual, named by the identifier.
    pub fn doc(&self) -> String {
        format!("docs/audit.md#{}", self.id.replace('.', ""))
    }
}

macro_rules! catalog {
    ($($name:ident = $severity:ident $id:literal, $remedy:literal;)*) => {
        $(
            #[doc = concat!("`", $id, "`")]
            pub static $name: Check =
                Check { id: $id, severity: Severity::$severity, remedy: $remedy };
        )*
        /// All of them, in the order of the manual.
        pub static ALL: &[&Check] = &[$(&$name),*];
    };
}

catalog! {
    RECORD_MALFORMED = Error "record.malformed",
        "The record is damaged. Audit another replica, and replace this one from it.";
    RECORD_INDEX = Error "record.index",
        "Records are missing, repeated or out of place. Audit another replica of the group.";
    RECORD_LINK = Error "record.link",
        "History was rewritten or spliced here. Compare with another replica or a backup.";
    RECORD_PROPOSER_SIGNATURE = Error "record.proposer-signature",
        "Nobody vouches for this record. Find out who could write to this replica's disk.";
    RECORD_RULES = Error "record.rules",
        "A running group would have refused this record. Compare with another replica.";
    RECORD_TIME_BACKWARDS = Note "record.time-backwards",
        "Check the clock of the member that proposed it.";
    RECORD_INCARNATION = Warning "record.incarnation",
        "Find out who restored or recovered the group, and compare with what others kept of it.";
    RECORD_TRUNCATED = Error "record.truncated",
        "What was acknowledged is missing at the end. Replace this replica from another.";
    RECORD_MISSING = Error "record.missing",
        "A record was taken out. Compare with another replica or a backup.";
    RECORD_UNLOGGED = Error "record.unlogged",
        "A record was put in or moved. Compare with another replica or a backup.";
    LOG_DAMAGED = Error "log.damaged",
        "The replica cannot go on with this log. Replace it from another replica or a backup.";
    WATERMARK_MISSING = Warning "watermark.missing",
        "Copy the whole data directory; never delete its watermark.";
    REPLICA_IDENTITY = Warning "replica.identity",
        "Files of several replicas were mixed. Bring those of one together again.";
    AUM_HASH = Error "aum.hash",
        "A name or text was edited. Copy or export again from where you trust, and compare.";
    AUM_PARENT = Warning "aum.parent",
        "AUMs are missing before this one. Export again with a higher --limit.";
    AUM_NONCANONICAL = Error "aum.noncanonical",
        "No original program writes such bytes. Copy the data again from its source.";
    AUM_STATIC = Error "aum.static",
        "No node accepts this AUM. Find out how it came into the source.";
    AUM_UNSIGNED = Error "aum.unsigned",
        "Anybody could have written this AUM. Find out how it came into the source.";
    AUM_SIGNER = Error "aum.signer",
        "A key signed that was not trusted. Find out who holds it.";
    AUM_SIGNATURE = Error "aum.signature",
        "The AUM or its signature was altered, or forged. Compare with another source.";
    AUM_TRANSITION = Error "aum.transition",
        "No node accepts this AUM at its place. Compare with another source.";
    EXPORT_VIEW_DIFFERS = Error "export.view-differs",
        "The text shows something that was not signed. Do not rely on it; export again.";
    EXPORT_RESPELLED = Warning "export.respelled",
        "The text went through other hands than the original program's. Export again.";
    EXPORT_MALFORMED = Warning "export.malformed",
        "The file is damaged or cut off. Export again.";
    STORE_DAMAGED = Error "store.damaged",
        "The original opens no store with such a file. Copy the directory again, whole.";
    ROOT_ASSUMED = Warning "root.assumed",
        "Compare this checkpoint with one that you got another way, or export more of the chain.";
    ROOT_KIND = Error "root.kind",
        "Only a checkpoint begins a chain. Find out how this AUM came into the source.";
    ROOT_SEVERAL = Warning "root.several",
        "The source holds parts of several chains, or a gap. Audit a source that holds one.";
    CHECKPOINT_NOT_SUM = Warning "checkpoint.not-sum",
        "Ask the signer why: a checkpoint can replace all keys with one signature.";
    CHECKPOINT_DISABLEMENT = Warning "checkpoint.disablement",
        "Ask the signer why: holders of the old disablement secrets can no longer use them.";
    FORK_RESOLVED = Note "fork.resolved",
        "Read both branches: one of them was undone.";
    FORK_TIE = Note "fork.tie",
        "The branches weigh the same, so their hashes decided. Give keys different votes.";
    REVOCATION_WON = Note "revocation.won",
        "Check that the removed keys were compromised, and sign their nodes again.";
    REVOCATION_LOST = Warning "revocation.lost",
        "Somebody tried to revoke keys and failed. If it was right, cosign it with more votes.";
    NODE_SIGNATURE = Error "node.signature",
        "A node is let in by a signature that does not hold. Find out who vouches for it.";
    NODE_UNSIGNED = Note "node.unsigned",
        "Such peers reach only the node's own peer API. If it should do more, sign it.";
    NODE_LOCKED_OUT = Note "node.locked-out",
        "If the node belongs here, sign its key (lockstep lock sign).";
    NODE_DEPTH = Note "node.depth",
        "Sign the node afresh, before its chain of rotations is trimmed.";
    NODE_WRAPPING_WEAK = Warning "node.wrapping-weak",
        "Sign the node again with its own rotation key or none: clients accept forged rotations.";
    NODE_WRAPPING_SHARED = Warning "node.wrapping-shared",
        "Sign each node with its own rotation key: of several that rotate, clients drop some.";
    KEY_PREAUTH_UNUSED = Note "key.preauth-unused",
        "If its auth key is used up or expired, remove the key: whoever has it can sign.";
    KEY_OUTWEIGHS = Note "key.outweighs",
        "This key alone wins every fork. Consider votes that no single key can outweigh.";
    CAPACITY_KEYS = Warning "capacity.keys",
        "Remove keys that nobody uses: a checkpoint holds at most 512.";
    CAPACITY_WALK = Warning "capacity.walk",
        "The original client cannot open more than 2,000 AUMs. Let it compact, or begin anew.";
    CACHE_DIFFERS = Error "cache.differs",
        "A derived row was altered or damaged. Drop the derived tables and refold the records.";
    FOLLOW_ALARM = Warning "follow.alarm",
        "Read that record, and ask whoever runs the coordination server what happened.";
    HEAD_REWRITTEN = Warning "head.rewritten",
        "The AUM that you remember is on a branch that lost. Find out what undid it.";
    KEY_REVOKED_LATER = Note "key.revoked-later",
        "Read what it signed while it was trusted: nothing of that ended by itself.";
    KEY_PREAUTH_OLD = Note "key.preauth-old",
        "Remove it if its auth key has expired (lockstep lock remove --unused-preauth-keys).";
    DISABLEMENT_FEW = Note "disablement.few",
        "If the one secret is lost, nobody can switch the lock off. Keep two in two places.";
    HEAD_SIGNATURE = Error "head.signature",
        "Somebody has altered the checkpoint or forged its signature. Get it again.";
    HEAD_ROOT = Error "head.root",
        "A log key signed another history than this one. Keep both as evidence.";
    HEAD_STALE = Warning "head.stale",
        "The history ends before what was signed or remembered. Audit another replica.";
    HEAD_UNSIGNED = Note "head.unsigned",
        "Nothing but the hash chain fixes the end. Remember it and give it with --head.";
    BUNDLE_FORMAT = Error "bundle.format",
        "No bundle of ours has such bytes. Copy it again, or export it anew.";
    BUNDLE_DIFFERS = Error "bundle.differs",
        "A file of the bundle was altered. Export it anew from the records.";
    REPLICA_DIVERGED = Error "replica.diverged",
        "The replicas do not hold the same history. Keep both, and stop relying on either.";
    ACCEPT_ERROR = Warning "accept.error",
        "Errors cannot be accepted. Take it out of the file, and follow the finding's remedy.";
    ACCEPT_EXPIRED = Note "accept.expired",
        "Look at the finding again, then accept it anew or act on it.";
    ACCEPT_UNUSED = Note "accept.unused",
        "Take it out of the file.";
    POLICY_CAPACITY = Warning "policy.capacity",
        "The history is larger than the policy allows.";
    POLICY_CHECKPOINT = Warning "policy.checkpoint",
        "Ask the signers why the checkpoint falls short of the policy.";
    POLICY_KEY = Warning "policy.key",
        "Bring the trusted keys in line with the policy.";
    POLICY_KEY_AGE = Warning "policy.key-age",
        "Replace the key, or the limit in the policy.";
    POLICY_METADATA = Warning "policy.metadata",
        "Change the key's metadata, or remove and add the key.";
    POLICY_NODES = Warning "policy.nodes",
        "Sign the nodes afresh or remove them.";
    POLICY_TWO_PERSONS = Warning "policy.two-persons",
        "Find out who signed alone, and whether a second person agreed.";
    SOURCE_UNREADABLE = Warning "source.unreadable",
        "Name a source that is there and whole, readable for this user; or copy it again.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_manual_explains_every_finding_and_no_other() {
        let manual = include_str!("../../../docs/audit.md");
        let explained: BTreeMap<&str, &str> = manual
            .split("\n### ")
            .skip(1)
            .filter_map(|section| section.split_once("\n\n"))
            .filter(|(title, _)| !title.contains(' '))
            .collect();
        for check in ALL {
            let text = explained.get(check.id).unwrap_or_else(|| panic!("{}", check.id));
            let severity = text.split('.').next().unwrap_or_default().to_lowercase();
            assert_eq!(severity, check.severity.to_string(), "{}", check.id);
            assert_eq!(ALL.iter().filter(|other| other.id == check.id).count(), 1);
        }
        assert_eq!(explained.len(), ALL.len());
    }
}
