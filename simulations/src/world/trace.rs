//! What happened, as text, and its hash: the same seed gives the same, byte for byte.

use std::fmt::{self, Write as _};

use blake2s_simd::State;
use data_encoding::HEXLOWER;

use super::clock::{DAY, Ms};

/// What happened in one seed.
pub struct Trace {
    hash: State,
    lines: Option<Vec<String>>,
    line: String,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").finish_non_exhaustive()
    }
}

impl Trace {
    /// Nothing yet. The lines are kept only if somebody is to read them.
    pub fn new(keep: bool) -> Self {
        let lines = keep.then(Vec::new);
        Trace { hash: State::new(), lines, line: String::new() }
    }

    /// One thing happened.
    pub fn say(&mut self, now: Ms, what: fmt::Arguments<'_>) {
        self.line.clear();
        let (days, rest) = (now / DAY, now % DAY);
        // Writing into a String cannot fail.
        let _ = write!(self.line, "day {days} {:>5}.{:03}  {what}", rest / 1000, rest % 1000);
        self.hash.update(self.line.as_bytes());
        self.hash.update(b"\n");
        if let Some(lines) = &mut self.lines {
            lines.push(self.line.clone());
        }
    }

    /// The lines since this was last asked, if they are kept.
    pub fn take(&mut self) -> Vec<String> {
        self.lines.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The lines, if they were kept, and the hash over them.
    pub fn finish(self) -> (Vec<String>, TraceHash) {
        (self.lines.unwrap_or_default(), TraceHash(*self.hash.finalize().as_array()))
    }
}

/// The hash over what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceHash(pub [u8; 32]);

impl TraceHash {
    /// One hash over those of several seeds, in their order.
    pub fn over<'a>(hashes: impl IntoIterator<Item = &'a TraceHash>) -> Self {
        let mut all = State::new();
        for hash in hashes {
            all.update(&hash.0);
        }
        TraceHash(*all.finalize().as_array())
    }
}

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&HEXLOWER.encode(&self.0))
    }
}
