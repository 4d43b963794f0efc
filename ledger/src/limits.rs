//! Every bound of the lock's formats and rules, with its unit and its source.
//!
//! "spec" is the description of the original implementation that docs/differences.md cites.

/// Votes of one key, at most (spec 3.1). At least 1.
pub const MAX_VOTES: u64 = 4096;
/// Bytes of all metadata keys and values of one trusted key, together (spec 3.1).
pub const MAX_KEY_META_BYTES: usize = 512;
/// Trusted keys in a checkpoint (spec 3.3). `AddKey` alone could pass it; our builder does not.
pub const MAX_KEYS: usize = 512;
/// Trusted keys from which on we warn that no more will fit: 80 % of [`MAX_KEYS`], rounded up.
pub const KEYS_WARNING: usize = (MAX_KEYS * 4).div_ceil(5);
/// Disablement values in a state (spec 3.3). At least 1.
pub const MAX_DISABLEMENT_VALUES: usize = 32;
/// Bytes of a disablement value (spec 9).
pub const DISABLEMENT_VALUE_BYTES: usize = 32;
/// Non-checkpoint AUMs after which the update builder appends a checkpoint (spec 11).
pub const CHECKPOINT_EVERY: usize = 50;

/// Nesting of arrays and maps; the outermost is level 1 (spec 1.3).
pub const CBOR_DEPTH: u32 = 16;
/// Elements of one array (spec 1.3).
pub const CBOR_ARRAY_ELEMENTS: usize = 4096;
/// Pairs of one map (spec 1.3).
pub const CBOR_MAP_PAIRS: usize = 1024;

/// AUMs, head included, that a sync offer looks back over for checkpoints (spec 6.1).
pub const OFFER_WALK: u64 = 1000;

/// Node keys that a re-signed rotation keeps, besides the new one (spec 8.3).
pub const ROTATION_KEYS_KEPT: usize = 15;

/// Active AUMs that compaction keeps at least (spec 7.3), besides the checkpoint below them.
pub const COMPACTION_MIN_CHAIN: usize = 24;
/// Age in seconds below which compaction deletes no AUM (spec 7.3): 14 days.
pub const COMPACTION_MIN_AGE_SECS: u64 = 14 * 24 * 3600;

/// Bytes of an encoded proposal (docs/ledger-format.md): enough to initialize a lock with the most
/// trusted keys for the largest roster. One Raft entry holds it with ease.
pub const PROPOSAL_BYTES: usize = 4 << 20;
/// Bytes of an encoded record: a proposal and what surrounds it.
pub const RECORD_BYTES: usize = PROPOSAL_BYTES + 256;
/// Characters of a request ID.
pub const REQUEST_ID_BYTES: usize = 64;
/// Events of one request: its parts are numbered from 0.
pub const REQUEST_PARTS: u32 = 65_536;
/// Bytes of an actor's name.
pub const ACTOR_NAME_BYTES: usize = 256;
/// Characters of a node's or a member's name: one DNS label.
pub const NAME_BYTES: usize = 63;
/// Bytes of a member's address.
pub const ADDRESS_BYTES: usize = 255;
/// Members at one time, those that wait for approval included.
pub const MEMBERS_AT_ONCE: usize = 32;
/// Invitations on record that nobody has used; those that have expired make room for new ones.
pub const INVITATIONS_OPEN: usize = 64;
/// Bytes of the note on a change of the lock.
pub const NOTE_BYTES: usize = 1024;
/// Bytes of each text in the label of a disablement value.
pub const LABEL_BYTES: usize = 256;
/// Revocations that wait for signatures at one time, stale ones included.
pub const REVOCATIONS_PENDING: usize = 32;
/// Revocations that wait for signatures at one time and were opened with the signature of one key,
/// from rules 2 on.
pub const REVOCATIONS_OF_KEY: usize = 4;
/// Revocations that wait for signatures at one time and were opened by one actor, from rules 2 on.
pub const REVOCATIONS_OF_ACTOR: usize = 8;
/// AUMs that a key has to sign above another AUM to have gone on from it (docs/door.md).
pub const FINAL_AFTER: usize = 8;
/// AUMs that one key may sign until most votes have gone on, or [`KEY_AUMS_RECORDS`] records have
/// passed: as many as bring in `MAX_KEYS` keys, with the checkpoints that belong to them, and some.
pub const KEY_AUMS: u64 = 640;
/// Records after which a key may sign [`KEY_AUMS`] AUMs more.
pub const KEY_AUMS_RECORDS: u64 = 8192;
/// AUMs of one event.
pub const EVENT_AUMS: usize = 1024;
/// Bytes of what a server showed that is kept as evidence.
pub const OBSERVED_BYTES: usize = 1 << 20;
/// Node-key signatures of one event; the bytes of a proposal end sooner for long ones.
pub const EVENT_SIGNATURES: usize = 16_384;
/// Bytes of a disablement secret in a record. Generated ones have 32.
pub const DISABLEMENT_SECRET_BYTES: usize = 1024;
/// Nodes in the roster at one time: as many as one initialization can sign.
pub const ROSTER_AT_ONCE: u64 = EVENT_SIGNATURES as u64;
/// Characters of an auth key's ID.
pub const AUTH_KEY_ID_BYTES: usize = 32;
/// Nodes that the roster ever numbers: as many as there are addresses for.
pub const ROSTER_NODES: u64 = (1 << 22) - 2 - 256 - 512;
