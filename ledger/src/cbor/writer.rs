//! Canonical writing of CBOR.

use ciborium_ll::{Encoder, Header, simple};

/// Writes one canonical document into memory.
///
/// The caller gives map keys in canonical order and as many elements as it announced; the types'
/// own encoders are the only callers, and their round-trip tests hold them to it.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// An empty document.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty document with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Writer { out: Vec::with_capacity(bytes) }
    }

    /// A document that goes on after these bytes.
    pub fn after(bytes: Vec<u8>) -> Self {
        Writer { out: bytes }
    }

    /// The offset of the next item, in bytes.
    pub fn offset(&self) -> usize {
        self.out.len()
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    #[inline]
    fn header(&mut self, header: Header) {
        let (major, number) = match header {
            Header::Positive(n) => (0, n),
            Header::Negative(n) => (1, n),
            Header::Bytes(Some(len)) => (2, len as u64),
            Header::Text(Some(len)) => (3, len as u64),
            Header::Array(Some(len)) => (4, len as u64),
            Header::Map(Some(len)) => (5, len as u64),
            _ => return self.encode(header),
        };
        // Nearly all heads are of one or two bytes; the encoder knows the rest.
        match u8::try_from(number) {
            Ok(small @ 0..24) => self.out.push(major << 5 | small),
            Ok(byte) => self.out.extend_from_slice(&[major << 5 | 24, byte]),
            Err(_) => self.encode(header),
        }
    }

    fn encode(&mut self, header: Header) {
        // Writing into a Vec cannot fail, though with ciborium-io's feature `std`, which another
        // crate of the workspace may switch on, the type says otherwise.
        let written = Encoder::from(&mut self.out).push(header);
        debug_assert!(written.is_ok());
    }

    /// An unsigned integer.
    pub fn uint(&mut self, n: u64) -> &mut Self {
        self.header(Header::Positive(n));
        self
    }

    /// A signed integer.
    pub fn int(&mut self, n: i64) -> &mut Self {
        match u64::try_from(n) {
            Ok(n) => self.header(Header::Positive(n)),
            Err(_) => self.header(Header::Negative((!n).cast_unsigned())),
        }
        self
    }

    /// `true` or `false`.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.header(Header::Simple(if value { simple::TRUE } else { simple::FALSE }));
        self
    }

    /// Null.
    pub fn null(&mut self) -> &mut Self {
        self.header(Header::Simple(simple::NULL));
        self
    }

    /// A byte string.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.header(Header::Bytes(Some(bytes.len())));
        self.out.extend_from_slice(bytes);
        self
    }

    /// A byte string, or null.
    pub fn nullable_bytes(&mut self, bytes: Option<&[u8]>) -> &mut Self {
        match bytes {
            Some(bytes) => self.bytes(bytes),
            None => self.null(),
        }
    }

    /// One item that is canonical already.
    pub fn raw(&mut self, item: &[u8]) -> &mut Self {
        self.out.extend_from_slice(item);
        self
    }

    /// A text string.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.header(Header::Text(Some(text.len())));
        self.out.extend_from_slice(text.as_bytes());
        self
    }

    /// The start of an array of `len` elements, which follow.
    pub fn array(&mut self, len: usize) -> &mut Self {
        self.header(Header::Array(Some(len)));
        self
    }

    /// The start of a map of `len` pairs, which follow in ascending order of their encoded keys.
    pub fn map(&mut self, len: usize) -> &mut Self {
        self.header(Header::Map(Some(len)));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_heads_are_written_as_the_encoder_writes_them() {
        for n in (0..300).chain([65_535, 65_536, u32::MAX as usize, u32::MAX as usize + 1]) {
            for header in [
                Header::Positive(n as u64),
                Header::Negative(n as u64),
                Header::Bytes(Some(n)),
                Header::Text(Some(n)),
                Header::Array(Some(n)),
                Header::Map(Some(n)),
            ] {
                let (mut ours, mut encoded) = (Writer::new(), Writer::new());
                ours.header(header);
                encoded.encode(header);
                assert_eq!(ours.out, encoded.out, "{header:?}");
            }
        }
    }
}
