//! The files in which Tailscale keeps AUMs: `tka-profiles/<profile>/` (spec 7.2). Paths and bytes;
//! the caller does the reading and writing.
//!
//! An AUM lies in `<first 2 characters of its hash>/<hash>`, wrapped in a record that says when it
//! was stored and whether it was purged since. `last_active_ancestor` holds the raw hash of the
//! AUM that the active chain began at.

use std::collections::BTreeMap;

use data_encoding::{BASE32_NOPAD, DecodeKind};

use crate::cbor::{Malformed, Reader, Writer};
use crate::ids::AumHash;
use crate::lock::Sealed;
use crate::lock::forks::{NotOpened, Opened, open};

/// The file that names the AUM at which the active chain began: its 32 raw bytes.
pub const LAST_ACTIVE_ANCESTOR: &str = "last_active_ancestor";

/// The path of an AUM's file, relative to the store.
pub fn path(hash: &AumHash) -> String {
    let name = hash.to_string();
    format!("{}/{name}", &name[..2])
}

/// What a file says about an AUM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRecord {
    /// The AUM; absent in the records of old versions that only knew of its children.
    pub aum: Option<Sealed>,
    /// When it was stored, in Unix seconds; if absent, the file's modification time counts.
    pub created: Option<i64>,
    /// When it was purged, in Unix seconds. Only a positive time means purged.
    pub purged: Option<i64>,
}

impl FileRecord {
    /// Reads a file. What follows the record is ignored, as are fields that we do not know, such
    /// as the children that old versions listed. The AUM itself must be canonical.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut record = FileRecord { aum: None, created: None, purged: None };
        let mut seen: Vec<&[u8]> = Vec::new();
        for _ in 0..reader.map()? {
            let at = reader.offset();
            let known = reader.peek_key();
            reader.skip()?;
            let key = &bytes[at..reader.offset()];
            if seen.contains(&key) {
                return Err(Malformed { offset: at, what: "a field for the second time" });
            }
            seen.push(key);
            match known {
                Some(2) => record.aum = read_aum(&mut reader, bytes)?,
                Some(3) => record.created = Some(reader.int()?).filter(|at| *at != 0),
                Some(4) => record.purged = Some(reader.int()?).filter(|at| *at != 0),
                _ => reader.skip()?,
            }
        }
        Ok(record)
    }

    /// The file's bytes, as the original writes them.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        let times = [(3, self.created), (4, self.purged)];
        let set = times.iter().filter(|(_, at)| at.is_some_and(|at| at != 0));
        out.map(1 + set.clone().count()).uint(2);
        match &self.aum {
            Some(aum) => out.raw(aum.bytes()),
            None => out.null(),
        };
        for (field, at) in set {
            out.uint(*field).int(at.unwrap_or_default());
        }
        out.into_bytes()
    }

    /// Whether the AUM counts as deleted.
    pub fn is_purged(&self) -> bool {
        self.purged.is_some_and(|at| at > 0)
    }
}

fn read_aum(reader: &mut Reader<'_>, bytes: &[u8]) -> Result<Option<Sealed>, Malformed> {
    if reader.null() {
        return Ok(None);
    }
    let at = reader.offset();
    reader.skip()?;
    let within = |e: Malformed| Malformed { offset: at + e.offset, what: e.what };
    Sealed::decode(&bytes[at..reader.offset()]).map(Some).map_err(within)
}

/// What is wrong with a file of a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {what}")]
pub struct DamagedFile {
    /// The file, relative to the store.
    pub path: String,
    /// What is wrong.
    pub what: FileDamage,
}

/// See [`DamagedFile`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileDamage {
    /// Not a record.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The file's name is not the hash of its AUM.
    #[error("AUM does not match file name: its hash is {0}")]
    OtherHash(AumHash),
    /// The file is not where its name belongs, and nothing is there.
    #[error("the file belongs in another directory")]
    Misplaced,
    /// A directory where a file should be.
    #[error("is a directory")]
    Directory,
    /// The hint is not a hash.
    #[error("stored hash is of wrong length: {0} != 32")]
    HintLength(usize),
}

/// Why a store has no authority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// One damaged file is enough for the original to open nothing.
    #[error(transparent)]
    Damaged(#[from] DamagedFile),
    /// The AUMs make no chain.
    #[error(transparent)]
    NotOpened(#[from] NotOpened),
}

/// The contents of a store. Nothing in it has been verified but that each AUM is canonical and
/// has the hash that its file is named after.
#[derive(Debug, Clone, Default)]
pub struct Store {
    /// The AUMs that are not purged.
    pub aums: BTreeMap<AumHash, Sealed>,
    /// When each was stored, in Unix seconds, where its file says so.
    pub created: BTreeMap<AumHash, i64>,
    /// Files that should hold an AUM and do not, by path.
    pub damaged: Vec<DamagedFile>,
    /// The AUM at which the active chain began.
    pub last_active: Option<AumHash>,
    /// What is wrong with the file that should name it.
    pub damaged_hint: Option<DamagedFile>,
}

impl Store {
    /// Reads the files of a store: paths relative to it, with `/` (an empty directory's ends in
    /// one), and their bytes. Files that are not named after an AUM are ignored, as are those not
    /// in a directory of the store.
    pub fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let files: BTreeMap<&str, &[u8]> = files.into_iter().collect();
        let mut store = Store::default();
        for (at, bytes) in &files {
            if *at == LAST_ACTIVE_ANCESTOR {
                match <[u8; 32]>::try_from(*bytes) {
                    Ok(hash) => store.last_active = Some(AumHash(hash)),
                    Err(_) => {
                        let what = FileDamage::HintLength(bytes.len());
                        store.damaged_hint = Some(DamagedFile { path: (*at).to_owned(), what });
                    }
                }
                continue;
            }
            let mut parts = at.split('/');
            let (Some(_), Some(name)) = (parts.next(), parts.next()) else { continue };
            let Some(hash) = loosely_named(name) else { continue };
            let read = match parts.next() {
                Some(_) => Err(FileDamage::Directory),
                // The original finds the name in any directory and then reads where it belongs.
                None => files
                    .get(path(&hash).as_str())
                    .ok_or(FileDamage::Misplaced)
                    .and_then(|bytes| read_file(&hash, bytes)),
            };
            match read {
                Ok(FileRecord { aum: Some(aum), created, purged })
                    if purged.is_none_or(|p| p <= 0) =>
                {
                    store.created.extend(created.map(|at| (hash, at)));
                    store.aums.insert(hash, aum);
                }
                Ok(_) => {}
                Err(what) => store.damaged.push(DamagedFile { path: (*at).to_owned(), what }),
            }
        }
        store
    }

    /// Every AUM, by hash, unless a file is damaged: then the original lists nothing.
    pub fn all(&self) -> Result<&BTreeMap<AumHash, Sealed>, &DamagedFile> {
        self.damaged.first().map_or(Ok(&self.aums), Err)
    }

    /// What the original opens this store to (spec 5.4). It verifies no signature then, nor do
    /// we: whoever wants to know informs an authority of the AUMs.
    pub fn open(&self) -> Result<Opened, StoreError> {
        if let Some(damaged) = self.damaged_hint.as_ref().or(self.damaged.first()) {
            return Err(damaged.clone().into());
        }
        Ok(open(&self.aums, self.last_active)?)
    }
}

fn read_file(hash: &AumHash, bytes: &[u8]) -> Result<FileRecord, FileDamage> {
    let record = FileRecord::decode(bytes)?;
    match &record.aum {
        Some(aum) if aum.hash() != *hash => Err(FileDamage::OtherHash(aum.hash())),
        _ => Ok(record),
    }
}

/// The hash that a file name stands for, in any of the 16 spellings that the original takes: a
/// file that it would stumble over must not pass unseen here.
fn loosely_named(name: &str) -> Option<AumHash> {
    if name.len() != 52 || !name.is_ascii() {
        return None;
    }
    let decode = |name: &str| BASE32_NOPAD.decode(name.as_bytes());
    let bytes = match decode(name) {
        Err(e) if e.kind == DecodeKind::Trailing => {
            // The last character carries one bit and four spare ones: A to P, or Q to 7.
            let last = if matches!(name.as_bytes()[51], b'A'..=b'P') { 'A' } else { 'Q' };
            decode(&format!("{}{last}", &name[..51])).ok()?
        }
        other => other.ok()?,
    };
    bytes.try_into().ok().map(AumHash)
}
