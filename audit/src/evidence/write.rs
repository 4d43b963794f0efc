//! Writing evidence: as a bundle, and as a directory that any web server can serve.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use ledger::formats::tlog::{Tile, TileKind, entry_bundle, tiles_of};
use ledger::history::Record;

use super::numbers::as_text;
use super::ustar::Archive;
use super::{AUMS, CHECKPOINT, Evidence, NoEvidence, RECORD, VKEYS};

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The records in it.
    pub size: u64,
    /// The records that its checkpoint covers, if it has one.
    pub checkpoint: Option<u64>,
}

impl Evidence {
    /// Writes a bundle of the first `size` records. Its bytes, but for the file `checkpoint`, are
    /// the same from every replica.
    pub fn write_bundle(&self, size: u64, out: impl Write) -> Result<Written, NoEvidence> {
        let mut archive = Archive::new(out);
        let written = self.write(size, |name, content| archive.add(name, content))?;
        archive.finish()?;
        Ok(written)
    }

    /// Writes the same files below a directory, which must be empty or not there yet.
    pub fn write_tiles(&self, size: u64, dir: &Path) -> Result<Written, NoEvidence> {
        fs::create_dir_all(dir)?;
        if fs::read_dir(dir)?.next().is_some() {
            return Err(io::Error::other("the directory is not empty").into());
        }
        self.write(size, |name, content| {
            let path = dir.join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(path, content)
        })
    }

    fn write(
        &self,
        size: u64,
        mut file: impl FnMut(&str, &[u8]) -> io::Result<()>,
    ) -> Result<Written, NoEvidence> {
        self.has(size)?;
        // Hash and record of every AUM; the AUMs themselves are read again, one by one.
        let mut aums: BTreeMap<String, u64> = BTreeMap::new();
        for index in 0..size {
            for aum in all_aums(&self.decoded(index)?) {
                // As text, since names are sorted as text.
                aums.entry(aum.hash().to_string()).or_insert(index);
            }
        }
        for (hash, index) in aums {
            let record = self.decoded(index)?;
            if let Some(aum) = all_aums(&record).find(|aum| aum.hash().to_string() == hash) {
                file(&format!("{AUMS}{hash}"), aum.bytes())?;
            }
        }
        let checkpoint = self.checkpoint_for(size);
        if let Some((_, note)) = checkpoint {
            file(CHECKPOINT, note.to_string().as_bytes())?;
        }
        for index in as_text(size) {
            file(&format!("{RECORD}{index}"), &self.record(index)?)?;
        }
        for tile in tiles_of(size) {
            file(&tile.to_string(), &self.tile(&tile)?)?;
        }
        file(VKEYS, self.vkeys_text(size).as_bytes())?;
        let checkpoint = checkpoint.map(|(checkpoint, _)| checkpoint.size);
        Ok(Written { size, checkpoint })
    }

    /// The content of a tile.
    pub(super) fn tile(&self, tile: &Tile) -> Result<Vec<u8>, NoEvidence> {
        if let TileKind::Hashes(_) = tile.kind {
            return Ok(tile.hashes(&*self.rows)?);
        }
        let mut hashes = Vec::new();
        for index in tile.items() {
            hashes.push(Record::hash_of(&self.record(index)?));
        }
        Ok(entry_bundle(hashes))
    }

    /// A verifier key a line.
    pub(super) fn vkeys_text(&self, size: u64) -> String {
        self.vkeys(size).iter().map(|key| format!("{key}\n")).collect()
    }
}

/// The AUMs that a record brings, those that wait for signatures included.
pub(super) fn all_aums(record: &Record) -> impl Iterator<Item = &ledger::lock::Sealed> {
    use ledger::history::Event;
    let event = &record.proposal().proposal().event;
    let waiting = match event {
        Event::RevocationOpened(opened) => Some(&opened.aum),
        Event::GenesisBrought(brought) => Some(&brought.genesis),
        _ => None,
    };
    event.aums().iter().chain(waiting)
}
