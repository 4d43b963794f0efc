//! Every bound of the lock's formats and rules, with its unit and its source.
//!
//! "spec" is the description of the original implementation that docs/differences.md cites.

/// Votes of one key, at most (spec 3.1). At least 1.
pub const MAX_VOTES: u64 = 4096;
/// Bytes of all metadata keys and values of one trusted key, together (spec 3.1).
pub const MAX_KEY_META_BYTES: usize = 512;
/// Trusted keys in a checkpoint (spec 3.3). `AddKey` alone could pass it; our builder does not.
pub const MAX_KEYS: usize = 512;
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
