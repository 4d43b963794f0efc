//! Strict reading of canonical CBOR.

use ciborium_ll::{Decoder, Header, simple};

use crate::limits::{CBOR_ARRAY_ELEMENTS, CBOR_DEPTH, CBOR_MAP_PAIRS};

/// Why bytes are not the canonical encoding of what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not canonical CBOR at byte {offset}: {what}")]
pub struct Malformed {
    /// Byte offset, from the start of the document, of the item that is wrong.
    pub offset: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// Reads one document from front to back, item by item.
///
/// Every length is checked against the bytes that are left before anything is allocated, so
/// memory is bounded by the size of the input.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    depth: u32,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `input`.
    pub fn new(input: &'a [u8]) -> Self {
        Reader { input, at: 0, depth: 0 }
    }

    /// The offset of the next item, in bytes.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// An error about the next item.
    pub fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { offset: self.at, what }
    }

    /// Fails unless every byte has been read.
    pub fn finish(self) -> Result<(), Malformed> {
        if self.at == self.input.len() {
            Ok(())
        } else {
            Err(self.malformed("bytes after the end of the item"))
        }
    }

    #[inline]
    fn header(&mut self) -> Result<Header, Malformed> {
        if let Some((header, read)) = short(&self.input[self.at..]) {
            self.at += read;
            return Ok(header);
        }
        self.long_header()
    }

    #[cold]
    fn long_header(&mut self) -> Result<Header, Malformed> {
        let rest = &self.input[self.at..];
        let mut decoder = Decoder::from(rest);
        let header = decoder.pull().map_err(|_| {
            self.malformed(if rest.len() < 9 { "cut off" } else { "reserved or truncated head" })
        })?;
        let read = decoder.offset();
        if read != shortest(header) {
            return Err(self.malformed("a head that is not in its shortest form"));
        }
        self.at += read;
        Ok(header)
    }

    #[cold]
    fn refuse<T>(&mut self, at: usize, what: &'static str) -> Result<T, Malformed> {
        self.at = at;
        Err(Malformed { offset: at, what })
    }

    /// An unsigned integer.
    pub fn uint(&mut self) -> Result<u64, Malformed> {
        let at = self.at;
        match self.header()? {
            Header::Positive(n) => Ok(n),
            _ => self.refuse(at, "expected an unsigned integer"),
        }
    }

    /// A signed integer that fits 64 bits.
    pub fn int(&mut self) -> Result<i64, Malformed> {
        let at = self.at;
        let n = match self.header()? {
            Header::Positive(n) => i64::try_from(n).ok(),
            Header::Negative(n) => i64::try_from(n).ok().map(|n| !n),
            _ => return self.refuse(at, "expected an integer"),
        };
        match n {
            Some(n) => Ok(n),
            None => self.refuse(at, "an integer out of range"),
        }
    }

    /// An unsigned integer of one byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        let at = self.at;
        match u8::try_from(self.uint()?) {
            Ok(n) => Ok(n),
            Err(_) => self.refuse(at, "a number above 255"),
        }
    }

    /// `true` or `false`.
    pub fn bool(&mut self) -> Result<bool, Malformed> {
        let at = self.at;
        match self.header()? {
            Header::Simple(simple::TRUE) => Ok(true),
            Header::Simple(simple::FALSE) => Ok(false),
            _ => self.refuse(at, "expected true or false"),
        }
    }

    /// Takes the next item if it is null; says whether it was.
    pub fn null(&mut self) -> bool {
        let null = self.input.get(self.at) == Some(&0xf6);
        if null {
            self.at += 1;
        }
        null
    }

    fn slice(&mut self, at: usize, len: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.input.len());
        match end {
            Some(end) => {
                let bytes = &self.input[self.at..end];
                self.at = end;
                Ok(bytes)
            }
            None => self.refuse(at, "cut off"),
        }
    }

    /// A byte string.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let at = self.at;
        match self.header()? {
            Header::Bytes(Some(len)) => self.slice(at, len),
            _ => self.refuse(at, "expected a byte string"),
        }
    }

    /// A byte string or null.
    pub fn nullable_bytes(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        if self.null() { Ok(None) } else { self.bytes().map(Some) }
    }

    /// A byte string of exactly `N` bytes.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let at = self.at;
        match <[u8; N]>::try_from(self.bytes()?) {
            Ok(bytes) => Ok(bytes),
            Err(_) => self.refuse(at, "a byte string of the wrong length"),
        }
    }

    /// A text string.
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        let at = self.at;
        let len = match self.header()? {
            Header::Text(Some(len)) => len,
            _ => return self.refuse(at, "expected a text string"),
        };
        match std::str::from_utf8(self.slice(at, len)?) {
            Ok(text) => Ok(text),
            Err(_) => self.refuse(at, "text that is not UTF-8"),
        }
    }

    /// The start of an array: its number of elements. Every `array` and [`map`](Self::map) needs
    /// its [`close`](Self::close).
    pub fn array(&mut self) -> Result<usize, Malformed> {
        self.array_up_to(CBOR_ARRAY_ELEMENTS)
    }

    /// As [`array`](Self::array), for our own formats whose bound is another than the original's.
    pub fn array_up_to(&mut self, max: usize) -> Result<usize, Malformed> {
        let at = self.at;
        let len = match self.header()? {
            Header::Array(Some(len)) => len,
            _ => return self.refuse(at, "expected an array"),
        };
        if len > max {
            return self.refuse(at, "an array with too many elements");
        }
        self.open(at, len, 1)
    }

    /// The start of an array of exactly `len` elements.
    pub fn array_of(&mut self, len: usize) -> Result<(), Malformed> {
        let at = self.at;
        if self.array()? == len {
            Ok(())
        } else {
            self.refuse(at, "an array with the wrong number of elements")
        }
    }

    /// The start of a map: its number of pairs.
    pub fn map(&mut self) -> Result<usize, Malformed> {
        let at = self.at;
        let len = match self.header()? {
            Header::Map(Some(len)) => len,
            _ => return self.refuse(at, "expected a map"),
        };
        if len > CBOR_MAP_PAIRS {
            return self.refuse(at, "a map with too many pairs");
        }
        self.open(at, len, 2)
    }

    fn open(&mut self, at: usize, len: usize, width: usize) -> Result<usize, Malformed> {
        self.depth += 1;
        if self.depth > CBOR_DEPTH {
            return self.refuse(at, "nested too deeply");
        }
        // Every element takes at least a byte, so this bounds what a caller may reserve.
        if len.saturating_mul(width) > self.input.len() - self.at {
            return self.refuse(at, "cut off");
        }
        Ok(len)
    }

    /// Takes one item, whatever it is, without tags and floats.
    pub fn skip(&mut self) -> Result<(), Malformed> {
        let at = self.at;
        match self.header()? {
            Header::Positive(_) | Header::Negative(_) | Header::Simple(_) => {}
            Header::Bytes(Some(len)) | Header::Text(Some(len)) => {
                self.slice(at, len)?;
            }
            Header::Array(Some(len)) if len <= CBOR_ARRAY_ELEMENTS => {
                self.skip_all(at, len, 1)?;
            }
            Header::Map(Some(len)) if len <= CBOR_MAP_PAIRS => self.skip_all(at, len, 2)?,
            _ => return self.refuse(at, "an item that is not allowed, or too large"),
        }
        Ok(())
    }

    fn skip_all(&mut self, at: usize, len: usize, width: usize) -> Result<(), Malformed> {
        self.open(at, len, width)?;
        for _ in 0..len * width {
            self.skip()?;
        }
        self.close();
        Ok(())
    }

    /// The end of the array or map that was opened last.
    pub fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// The next small unsigned map key, without taking it; `None` if the next item is not one.
    pub fn peek_key(&self) -> Option<u64> {
        match self.input.get(self.at) {
            // The head is the number itself.
            Some(small @ 0..24) => Some((*small).into()),
            _ => self.clone().uint().ok(),
        }
    }
}

/// A head of one or two bytes in its shortest form, and how many it has. Nearly all are such;
/// what this does not take is for the decoder, which knows the rest and says what is wrong.
#[inline]
fn short(rest: &[u8]) -> Option<(Header, usize)> {
    let first = *rest.first()?;
    let (number, read) = match first & 0x1f {
        small @ 0..24 => (small, 1),
        24 => (*rest.get(1).filter(|number| **number >= 24)?, 2),
        _ => return None,
    };
    let header = match first >> 5 {
        0 => Header::Positive(number.into()),
        1 => Header::Negative(number.into()),
        2 => Header::Bytes(Some(number.into())),
        3 => Header::Text(Some(number.into())),
        4 => Header::Array(Some(number.into())),
        5 => Header::Map(Some(number.into())),
        _ => return None,
    };
    Some((header, read))
}

/// Bytes of the head in its shortest form, the only canonical one; 0 where there is none, as for
/// floats, which nothing of ours has.
fn shortest(header: Header) -> usize {
    let number = |n: u64| match n {
        0..24 => 1,
        24..0x100 => 2,
        0x100..0x1_0000 => 3,
        0x1_0000..0x1_0000_0000 => 5,
        _ => 9,
    };
    match header {
        Header::Positive(n) | Header::Negative(n) | Header::Tag(n) => number(n),
        Header::Simple(n) => number(n.into()),
        Header::Bytes(Some(n))
        | Header::Text(Some(n))
        | Header::Array(Some(n))
        | Header::Map(Some(n)) => number(n as u64),
        // Indefinite lengths and their end: a head of one byte, which no caller expects.
        Header::Bytes(None) | Header::Text(None) | Header::Array(None) | Header::Map(None) => 1,
        Header::Break => 1,
        Header::Float(_) => 0,
    }
}

/// Reads the fields of a map whose keys are small unsigned integers in ascending order.
///
/// Optional fields are taken with [`has`](Fields::has) in ascending order; a key that nobody asks
/// for, a repeated or a misplaced one is left over and refused by [`end`](Fields::end).
#[derive(Debug)]
pub struct Fields {
    left: usize,
}

impl<'a> Reader<'a> {
    /// Opens a map for reading field by field.
    pub fn fields(&mut self) -> Result<Fields, Malformed> {
        Ok(Fields { left: self.map()? })
    }
}

impl Fields {
    /// Takes the key if the next field is `key`.
    pub fn has(&mut self, reader: &mut Reader<'_>, key: u64) -> Result<bool, Malformed> {
        if self.left == 0 || reader.peek_key() != Some(key) {
            return Ok(false);
        }
        reader.uint()?;
        self.left -= 1;
        Ok(true)
    }

    /// Takes the key, which must be there.
    pub fn needs(&mut self, reader: &mut Reader<'_>, key: u64) -> Result<(), Malformed> {
        if self.has(reader, key)? {
            Ok(())
        } else {
            Err(reader.malformed("a required field is missing, or fields are out of order"))
        }
    }

    /// Closes the map; refuses fields that were not asked for.
    pub fn end(self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        if self.left != 0 {
            return Err(reader.malformed("an unknown, repeated, empty or misplaced field"));
        }
        reader.close();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shortest_head_is_read() {
        for (n, head) in [
            (0u64, vec![0x00]),
            (23, vec![0x17]),
            (24, vec![0x18, 24]),
            (255, vec![0x18, 255]),
            (256, vec![0x19, 1, 0]),
            (65_535, vec![0x19, 255, 255]),
            (65_536, vec![0x1a, 0, 1, 0, 0]),
            (u64::from(u32::MAX), vec![0x1a, 255, 255, 255, 255]),
            (1 << 32, vec![0x1b, 0, 0, 0, 1, 0, 0, 0, 0]),
        ] {
            assert_eq!(Reader::new(&head).uint(), Ok(n));
            assert_eq!(Reader::new(&head).peek_key(), Some(n));
            for (marker, width) in [(0x18, 1), (0x19, 2), (0x1a, 4), (0x1b, 8)] {
                let longer = [&[marker], &n.to_be_bytes()[8 - width..]].concat();
                if longer.len() > head.len() {
                    assert!(Reader::new(&longer).uint().is_err(), "{longer:02x?}");
                    assert_eq!(Reader::new(&longer).peek_key(), None);
                }
            }
        }
    }

    #[test]
    fn short_heads_are_read_as_the_decoder_reads_them() {
        for head in 0..=u16::MAX {
            let head = head.to_be_bytes();
            if let Some((header, read)) = short(&head) {
                let mut decoder = Decoder::from(&head[..]);
                assert_eq!(decoder.pull().unwrap(), header, "{head:02x?}");
                assert_eq!((decoder.offset(), shortest(header)), (read, read), "{head:02x?}");
            }
        }
        assert_eq!(short(&[]), None);
        assert_eq!(short(&[0x18]), None);
    }

    #[test]
    fn indefinite_lengths_floats_and_tags_are_not_read() {
        for bytes in [&[0x5f, 0xff][..], &[0x7f, 0xff], &[0x9f, 0xff], &[0xbf, 0xff], &[0xff]] {
            assert!(Reader::new(bytes).bytes().is_err());
            assert!(Reader::new(bytes).text().is_err());
            assert!(Reader::new(bytes).array().is_err());
            assert!(Reader::new(bytes).map().is_err());
        }
        for bytes in [&[0xf9, 0, 0][..], &[0xfa, 0, 0, 0, 0], &[0xc0, 0], &[0xf8, 20]] {
            assert!(Reader::new(bytes).uint().is_err());
            assert!(Reader::new(bytes).bool().is_err());
        }
    }
}
