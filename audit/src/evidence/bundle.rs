//! A bundle as a source: what lies in it, without judging it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::os::unix::fs::FileExt;

use crate::hashed::Hashed;
use ledger::Fault;
use ledger::formats::tlog::Tile;
use ledger::ids::AumHash;
use ledger::limits::RECORD_BYTES;

use super::ustar::{self, BadArchive, Member};
use super::{AUMS, CHECKPOINT, RECORD, VKEYS};
use crate::records::Stored;

/// Bytes of a file that is neither a record nor an AUM, at most.
const SMALL_FILE_BYTES: u64 = 1 << 20;

/// Where the bytes are.
#[derive(Debug)]
enum Bytes {
    File(File),
    Memory(Vec<u8>),
}

/// An evidence bundle, indexed.
#[derive(Debug)]
pub struct Bundle {
    bytes: Bytes,
    /// Where each record is, by index; none where one is missing.
    records: Vec<Option<(u64, u64)>>,
    pub(super) aums: BTreeMap<AumHash, Member>,
    pub(super) tiles: BTreeMap<Tile, Member>,
    pub(super) checkpoint: Option<Member>,
    pub(super) vkeys: Option<Member>,
    sha256: Option<[u8; 32]>,
    /// What is wrong with it as an archive, and where.
    pub(super) malformed: Option<(u64, String)>,
}

/// Whether bytes begin as a bundle does.
pub(crate) fn is_bundle(start: &[u8]) -> bool {
    ustar::is_archive(start)
}

impl Bundle {
    /// A bundle in a file.
    pub(crate) fn of_file(file: File) -> Result<Self, std::io::Error> {
        let reader = BufReader::with_capacity(1 << 16, file.try_clone()?);
        let mut bundle = Bundle::empty(Bytes::File(file));
        bundle.index(reader);
        Ok(bundle)
    }

    /// A bundle that was read.
    pub(crate) fn of_bytes(bytes: Vec<u8>) -> Self {
        let mut bundle = Bundle::empty(Bytes::Memory(Vec::new()));
        bundle.index(Cursor::new(&bytes));
        bundle.bytes = Bytes::Memory(bytes);
        bundle
    }

    fn empty(bytes: Bytes) -> Self {
        Bundle {
            bytes,
            records: Vec::new(),
            aums: BTreeMap::new(),
            tiles: BTreeMap::new(),
            checkpoint: None,
            vkeys: None,
            sha256: None,
            malformed: None,
        }
    }

    fn index(&mut self, from: impl Read) {
        let mut hashed = Hashed::new(from);
        let walked = ustar::walk(&mut hashed, |member| {
            let offset = member.offset;
            self.file(member).map_err(|what| BadArchive::Format { offset, what })
        });
        // Also what is none of ours.
        self.sha256 = hashed.finish();
        match walked {
            Ok(()) => {}
            Err(BadArchive::Format { offset, what }) => {
                self.malformed = Some((offset, what.to_owned()));
            }
            Err(error) => self.malformed = Some((0, error.to_string())),
        }
    }

    /// SHA-256 of the whole file, if it could be read to its end.
    pub(crate) fn sha256(&self) -> Option<[u8; 32]> {
        self.sha256
    }

    /// Takes a file into the index.
    fn file(&mut self, member: Member) -> Result<(), &'static str> {
        const STRANGE: &str = "a file has no place in a bundle";
        let most = match member.name.as_str() {
            name if name.starts_with(RECORD) || name.starts_with(AUMS) => RECORD_BYTES as u64,
            _ => SMALL_FILE_BYTES,
        };
        if member.size > most {
            return Err("a file is larger than any of its kind");
        }
        if member.name == CHECKPOINT {
            self.checkpoint = Some(member);
        } else if member.name == VKEYS {
            self.vkeys = Some(member);
        } else if let Some(index) = member.name.strip_prefix(RECORD) {
            let number: usize = index.parse().map_err(|_| STRANGE)?;
            // Names ascend as text: what is missing so far may come. More records than headers
            // that have been read cannot be.
            if number.to_string() != index || number as u64 > u64::from(u32::MAX) {
                return Err(STRANGE);
            }
            if self.records.len() <= number {
                let most = (member.offset / ustar::BLOCK as u64).saturating_mul(100) as usize + 100;
                if number > most {
                    return Err("a record's index is far beyond the records that there are");
                }
                self.records.resize(number + 1, None);
            }
            self.records[number] = Some((member.offset, member.size));
        } else if let Some(hash) = member.name.strip_prefix(AUMS) {
            let hash: AumHash = hash.parse().map_err(|_| STRANGE)?;
            self.aums.insert(hash, member);
        } else {
            let tile: Tile = member.name.parse().map_err(|_| STRANGE)?;
            self.tiles.insert(tile, member);
        }
        Ok(())
    }

    /// The content of a file.
    pub(super) fn content(&self, member: &Member) -> Result<Vec<u8>, Fault> {
        self.read(member.offset, member.size)
    }

    fn read(&self, offset: u64, size: u64) -> Result<Vec<u8>, Fault> {
        let cut = || Fault::new("the bundle is cut off");
        match &self.bytes {
            Bytes::Memory(bytes) => {
                let from = usize::try_from(offset).map_err(|_| cut())?;
                let to = usize::try_from(offset + size).map_err(|_| cut())?;
                bytes.get(from..to).map(<[u8]>::to_vec).ok_or_else(cut)
            }
            Bytes::File(file) => {
                let mut content = vec![0; size as usize];
                let read = file.read_exact_at(&mut content, offset);
                read.map_err(|error| Fault::from_error("read the bundle", error))?;
                Ok(content)
            }
        }
    }

    /// Its records that are there, ascending.
    pub(crate) fn records(&self) -> impl Iterator<Item = Result<Stored, Fault>> + Send + '_ {
        let present = (0u64..).zip(&self.records).filter_map(|(index, at)| Some((index, (*at)?)));
        present.map(|(index, (offset, size))| {
            let bytes = self.read(offset, size)?;
            Ok(Stored { index: Some(index), bytes, shown: None })
        })
    }
}
