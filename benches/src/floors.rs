//! Work that cannot be avoided, done as barely as it goes.

use std::fs::File;
use std::io::Write;

use ed25519_dalek::Verifier;
use ed25519_zebra::{VerificationKeyBytes, batch};
use ledger::lock::signatures::{Claim, Cores, Signed};
use rand_core::{TryCryptoRng, TryRng};

use crate::AllCores;

/// Checks that must all hold, listed beforehand: nothing is decoded or hashed into a message.
pub struct Checks {
    batched: Vec<([u8; 32], [u8; 64], Vec<u8>)>,
    single: Vec<([u8; 32], [u8; 64], Vec<u8>)>,
}

impl Checks {
    /// The signatures that `items` carry.
    pub fn of<T: Signed>(items: &[T]) -> Self {
        let mut claims = Vec::new();
        for item in items {
            item.claims(&mut claims).unwrap();
        }
        let mut checks = Checks { batched: Vec::new(), single: Vec::new() };
        for claim in claims {
            match claim {
                Claim::Zip215 { key, message, signature } => {
                    checks.batched.push((key, signature, message));
                }
                Claim::Standard { key, message, signature } => {
                    checks.single.push((key, signature, message));
                }
                Claim::Disablement { .. } => {}
            }
        }
        checks
    }

    /// Raw Ed25519 on all cores: ZIP-215 signatures in one batch a core, which costs least, the
    /// others, which have no sound batch, one by one.
    pub fn run(&self) {
        self.run_in(self.batched.len().div_ceil(AllCores.count()).max(1));
    }

    /// The same in batches of a size.
    pub fn run_in(&self, size: usize) {
        let cores = AllCores.count();
        let mut jobs: Vec<Box<dyn FnOnce() + Send + '_>> = Vec::new();
        for part in self.batched.chunks(size) {
            jobs.push(Box::new(move || {
                let mut verifier = batch::Verifier::new();
                for (key, signature, message) in part {
                    let key = VerificationKeyBytes::from(*key);
                    verifier.queue((key, (*signature).into(), message));
                }
                verifier.verify(Cheap(1)).unwrap();
            }));
        }
        for part in self.single.chunks(self.single.len().div_ceil(cores).max(1)) {
            jobs.push(Box::new(move || {
                for (key, signature, message) in part {
                    let key = ed25519_dalek::VerifyingKey::from_bytes(key).unwrap();
                    key.verify(message, &signature.into()).unwrap();
                }
            }));
        }
        AllCores.run(jobs);
    }
}

/// Numbers that cost nothing and are good for nothing but a floor.
struct Cheap(u64);

impl TryRng for Cheap {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(self.try_next_u64()? as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        Ok(self.0)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        for part in out.chunks_mut(8) {
            let bytes = self.try_next_u64()?.to_le_bytes();
            part.copy_from_slice(&bytes[..part.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Cheap {}

/// Appends `bytes` to a file and waits until the disk has them.
pub fn append_and_sync(file: &mut File, bytes: &[u8]) {
    file.write_all(bytes).unwrap();
    file.sync_data().unwrap();
}
