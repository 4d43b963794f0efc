//! What is read of a file, hashed on the way.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// A reader that hashes all that comes from another one.
pub(crate) struct Hashed<R> {
    from: R,
    hash: Sha256,
}

impl<R: Read> Hashed<R> {
    pub(crate) fn new(from: R) -> Self {
        Hashed { from, hash: Sha256::new() }
    }

    /// Reads the rest; SHA-256 of everything, if it could be read to its end.
    pub(crate) fn finish(&mut self) -> Option<[u8; 32]> {
        io::copy(self, &mut io::sink()).ok()?;
        Some(self.hash.clone().finalize().into())
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(out)?;
        self.hash.update(&out[..read]);
        Ok(read)
    }
}
