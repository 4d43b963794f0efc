//! What is said between the two processes: frames of a length and so many bytes.

use std::io::{self, Read, Write};

/// Bytes of one frame, at most: a row of the largest size, and what surrounds it.
pub(super) const FRAME_BYTES: usize = 64 << 20;
/// Bytes of rows after which a page ends.
pub(super) const PAGE_BYTES: usize = 1 << 20;
/// Parts of one frame, at most: a page ends with the row that reaches it.
pub(super) const PARTS: usize = 1 << 16;

/// Asks for the value at a key: table, key.
pub(super) const GET: u8 = b'G';
/// Asks for a page of rows: table, first key, end.
pub(super) const SCAN: u8 = b'S';
/// The database is open; nothing follows.
pub(super) const OPEN: u8 = b'O';
/// A value follows.
pub(super) const VALUE: u8 = b'V';
/// There is no such row.
pub(super) const NONE: u8 = b'N';
/// Rows follow: key, value, key, value. More may come after them.
pub(super) const MORE: u8 = b'M';
/// As [`MORE`], and nothing comes after them.
pub(super) const LAST: u8 = b'L';
/// What went wrong follows, in words. With [`MORE`]'s rows before it that were sound.
pub(super) const FAULT: u8 = b'F';

/// Writes a frame.
pub(super) fn send(to: &mut impl Write, kind: u8, parts: &[&[u8]]) -> io::Result<()> {
    let long = parts.iter().map(|part| part.len() + 4).sum::<usize>() + 1;
    if long > FRAME_BYTES {
        return Err(io::Error::other("a row is larger than any row of ours"));
    }
    let mut frame = Vec::with_capacity(long + 4);
    frame.extend((long as u32).to_be_bytes());
    frame.push(kind);
    for part in parts {
        frame.extend((part.len() as u32).to_be_bytes());
        frame.extend(*part);
    }
    to.write_all(&frame)?;
    to.flush()
}

/// Reads a frame; none at the end of the stream.
pub(super) fn receive(from: &mut impl Read) -> io::Result<Option<(u8, Vec<Vec<u8>>)>> {
    let mut long = [0; 4];
    match from.read_exact(&mut long) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let long = u32::from_be_bytes(long) as usize;
    let wrong = || io::Error::other("a frame is malformed");
    if long == 0 || long > FRAME_BYTES {
        return Err(wrong());
    }
    let mut frame = vec![0; long];
    from.read_exact(&mut frame)?;
    let (kind, mut rest) = frame.split_first().ok_or_else(wrong)?;
    let mut parts = Vec::new();
    while let Some((size, after)) = rest.split_first_chunk::<4>() {
        let size = u32::from_be_bytes(*size) as usize;
        let (part, after) = after.split_at_checked(size).ok_or_else(wrong)?;
        if parts.len() == PARTS {
            return Err(wrong());
        }
        parts.push(part.to_vec());
        rest = after;
    }
    if !rest.is_empty() {
        return Err(wrong());
    }
    Ok(Some((*kind, parts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_read_back_and_nothing_else_is_one() {
        let mut bytes = Vec::new();
        send(&mut bytes, GET, &[b"table", b"", b"\x00key"]).unwrap();
        send(&mut bytes, OPEN, &[]).unwrap();
        let mut from = bytes.as_slice();
        let parts = vec![b"table".to_vec(), Vec::new(), b"\x00key".to_vec()];
        assert_eq!(receive(&mut from).unwrap(), Some((GET, parts)));
        assert_eq!(receive(&mut from).unwrap(), Some((OPEN, Vec::new())));
        assert_eq!(receive(&mut from).unwrap(), None);
        for cut in 5..bytes.len() - 5 {
            let (whole, _) = bytes.split_at(cut);
            assert!(!matches!(receive(&mut &*whole), Ok(Some(_))) || cut >= 25, "cut at {cut}");
        }
        for wrong in [&[0, 0, 0, 0][..], &[0xff; 8], &[0, 0, 0, 3, b'G', 0, 0]] {
            assert!(receive(&mut &*wrong).is_err(), "{wrong:?}");
        }
        let big = vec![0; FRAME_BYTES];
        assert!(send(&mut Vec::new(), VALUE, &[&big]).is_err());
        for (parts, read) in [(PARTS, true), (PARTS + 1, false)] {
            let mut many = Vec::new();
            send(&mut many, LAST, &vec![&b""[..]; parts]).unwrap();
            assert_eq!(receive(&mut many.as_slice()).is_ok(), read, "{parts}");
        }
    }
}
