//! The images of disablement secrets, each made once in a process.
//!
//! The KDF is slow on purpose, and worlds ask for the same few secrets all the time: by it alone
//! they spent three quarters of their time. It depends on nothing but the secret, so that
//! remembering changes no answer and no trace.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use ledger::lock::signatures::{Cores, Job, OneCore};

/// Images that are remembered, at most. There are some dozens of secrets; a relay that changes
/// what it passes on makes others, which nobody asks for again.
const REMEMBERED: usize = 1024;

static IMAGES: Mutex<BTreeMap<Vec<u8>, [u8; 32]>> = Mutex::new(BTreeMap::new());

/// One core that remembers images: a seed runs on one thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct Remembering;

impl Cores for Remembering {
    fn count(&self) -> usize {
        OneCore.count()
    }

    fn run_beside<'a>(&self, own: &mut dyn FnMut(), jobs: Vec<Job<'a>>) {
        OneCore.run_beside(own, jobs);
    }

    fn image(&self, secret: &[u8]) -> Option<[u8; 32]> {
        let images = || IMAGES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(image) = images().get(secret) {
            return Some(*image);
        }
        // Without the lock, so that the seeds of other threads go on.
        let image = OneCore.image(secret)?;
        let mut images = images();
        if images.len() < REMEMBERED {
            images.insert(secret.to_vec(), image);
        }
        Some(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::lock::disablement::image;

    #[test]
    fn what_is_remembered_is_what_the_kdf_says() {
        for secret in [&b"one"[..], b"another", b"one", b""] {
            assert_eq!(Remembering.image(secret), Some(image(secret)));
        }
    }
}
