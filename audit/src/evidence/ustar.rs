//! Archives of the one kind that bundles are: POSIX ustar, files only, sorted by name, every field
//! but name and size fixed. So each bundle has one spelling, and any other is noticed.

use std::io::{self, Read, Write};

/// Bytes of a block: headers have one, contents are padded to full ones.
pub(super) const BLOCK: usize = 512;
/// Bytes of the longest name here.
const NAME_BYTES: usize = 100;
/// The largest file: eleven octal digits.
const MAX_SIZE: u64 = 0o77_777_777_777;

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    /// Where its content begins.
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// What is wrong with an archive, and where.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadArchive {
    #[error("reading it: {0}")]
    Io(#[from] io::Error),
    #[error("{what}")]
    Format { offset: u64, what: &'static str },
}

/// Writes an archive.
pub(super) struct Archive<W> {
    out: W,
    last: String,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W) -> Self {
        Archive { out, last: String::new() }
    }

    /// Adds a file. Names have to ascend.
    pub(super) fn add(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let header = header(name, content.len() as u64).filter(|_| *name > *self.last);
        let header = header.ok_or_else(|| io::Error::other(format!("{name} is out of order")))?;
        name.clone_into(&mut self.last);
        self.out.write_all(&header)?;
        self.out.write_all(content)?;
        let over = content.len() % BLOCK;
        if over > 0 {
            self.out.write_all(&[0; BLOCK][over..])?;
        }
        Ok(())
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()
    }
}

/// The header of a file; none if it has no place in such an archive.
fn header(name: &str, size: u64) -> Option<[u8; BLOCK]> {
    if name.is_empty() || name.len() > NAME_BYTES || size > MAX_SIZE {
        return None;
    }
    let mut header = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    put(329, b"0000000\0");
    put(337, b"0000000\0");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Some(header)
}

/// Whether bytes begin as an archive of this kind does.
pub(super) fn is_archive(start: &[u8]) -> bool {
    start.get(257..263) == Some(b"ustar\0")
}

/// Reads an archive to its end and calls `found` with each file, in order; not with its content.
pub(super) fn walk(
    mut from: impl Read,
    mut found: impl FnMut(Member) -> Result<(), BadArchive>,
) -> Result<(), BadArchive> {
    let mut offset = 0;
    let mut last = String::new();
    loop {
        let wrong = |what| BadArchive::Format { offset, what };
        let block = read_block(&mut from)?.ok_or_else(|| wrong("the archive is cut off"))?;
        if block == [0; BLOCK] {
            break;
        }
        let name = block.split(|byte| *byte == 0).next().unwrap_or_default();
        let name = std::str::from_utf8(&name[..name.len().min(NAME_BYTES)])
            .map_err(|_| wrong("a name is no text"))?;
        let size = std::str::from_utf8(&block[124..135]).ok();
        let size = size.and_then(|digits| u64::from_str_radix(digits, 8).ok());
        let size = size.ok_or_else(|| wrong("a size is no number"))?;
        if header(name, size) != Some(block) {
            return Err(wrong("a header is not as a bundle's are"));
        }
        if *name <= *last {
            return Err(wrong("files are out of order or repeated"));
        }
        name.clone_into(&mut last);
        offset += BLOCK as u64;
        found(Member { name: name.to_owned(), offset, size })?;
        let padded = size.next_multiple_of(BLOCK as u64);
        let end = offset + padded;
        let mut used = size;
        while offset < end {
            let wrong = |what| BadArchive::Format { offset, what };
            let block = read_block(&mut from)?.ok_or_else(|| wrong("the archive is cut off"))?;
            let filled = used.min(BLOCK as u64);
            if block[filled as usize..].iter().any(|byte| *byte != 0) {
                return Err(wrong("there is something behind the end of a file"));
            }
            used -= filled;
            offset += BLOCK as u64;
        }
    }
    let wrong = |what| BadArchive::Format { offset, what };
    if read_block(&mut from)? != Some([0; BLOCK]) {
        return Err(wrong("the archive does not end in two empty blocks"));
    }
    let mut more = [0];
    match from.read(&mut more)? {
        0 => Ok(()),
        _ => Err(wrong("something follows the end of the archive")),
    }
}

/// The next block; none if the input ends before it does.
fn read_block(from: &mut impl Read) -> io::Result<Option<[u8; BLOCK]>> {
    let mut block = [0; BLOCK];
    match from.read_exact(&mut block) {
        Ok(()) => Ok(Some(block)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.add("a/empty", b"").unwrap();
        archive.add("b", &[7; 512]).unwrap();
        archive.add("c", &[8; 700]).unwrap();
        assert!(archive.add("b/late", b"").is_err());
        archive.finish().unwrap();
        bytes
    }

    fn names(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, BadArchive> {
        let mut found = Vec::new();
        walk(bytes, |member| {
            let from = member.offset as usize;
            let content = bytes.get(from..from + member.size as usize).unwrap_or_default();
            found.push((member.name, content.to_vec()));
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn other_programs_read_it_and_so_do_we() {
        let bytes = sample();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut theirs = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            assert_eq!(entry.header().mtime().unwrap(), 0);
            theirs.push((entry.path().unwrap().to_str().unwrap().to_owned(), content));
        }
        assert_eq!(names(&bytes).unwrap(), theirs);
        assert_eq!(theirs.len(), 3);
    }

    /// Contents are checked by those who know what they are; everything around them is here.
    #[test]
    fn no_bit_outside_of_contents_can_change() {
        let bytes = sample();
        let whole = names(&bytes).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(names(&flipped).map_or(true, |found| found != whole), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(names(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert!(names(&[bytes.as_slice(), &[0]].concat()).is_err());
    }
}
