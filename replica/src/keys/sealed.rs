//! A lock key sealed under a passphrase (docs/key-files.md).
//!
//! Argon2id makes 64 bytes of the passphrase and a salt that is drawn for this one sealing: half
//! of them cover the seed, the other half authenticate everything in the file. A salt is never
//! used twice, so neither are the covering bytes.

use std::fmt;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use ledger::cbor::{Malformed, Reader, Writer};
use ledger::formats::base64;
use ledger::ids::LockKey;
use ledger::lock::signatures::{PrivateKey, Signer};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use super::passphrase::Passphrase;

/// What the file begins with.
pub(super) const PREFIX: &str = "lockstep-sealed-key:";
/// The first field of the document: what it is, and which version of it.
const TAG: &str = "lockstep sealed lock key 1";

const SALT_BYTES: usize = 32;
const SEED_BYTES: usize = 32;

/// What deriving the covering bytes costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    /// What a new file costs: the second recommendation of RFC 9106.
    const USUAL: Cost = Cost { memory_kib: 64 << 10, passes: 3, lanes: 4 };
    /// KiB below which a file is not opened: nobody who wants to protect a key makes such.
    const LEAST_MEMORY: u32 = 16 << 10;
    /// KiB above which a file is not opened.
    const MOST_MEMORY: u32 = 256 << 10;
    /// KiB times passes above which a file is not opened: some two seconds.
    const MOST_WORK: u64 = 1 << 20;
    /// Lanes above which a file is not opened.
    const MOST_LANES: u32 = 16;

    fn check(self) -> Result<Self, &'static str> {
        if self.memory_kib < Self::LEAST_MEMORY || self.passes == 0 || self.lanes == 0 {
            return Err("it asks for a weaker protection than any that Lockstep makes");
        }
        let work = u64::from(self.memory_kib) * u64::from(self.passes);
        if self.memory_kib > Self::MOST_MEMORY
            || work > Self::MOST_WORK
            || self.lanes > Self::MOST_LANES
        {
            return Err("it asks for more memory or time than a key file may cost");
        }
        Ok(self)
    }
}

/// Why a sealed key does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotOpened {
    /// Another passphrase, or a damaged file: nobody can tell.
    Passphrase,
    /// The key inside is not the one that the file names.
    OtherKey,
    /// There is not enough memory.
    Memory,
}

/// A sealed key as it lies in a file. Its public half is readable, though only a key that has been
/// opened is sure to be it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct SealedKey {
    public: LockKey,
    cost: Cost,
    salt: [u8; SALT_BYTES],
    covered: [u8; SEED_BYTES],
    mac: [u8; 32],
}

impl fmt::Debug for SealedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// What the passphrase and the salt give.
struct Derived(Zeroizing<[u8; 64]>);

impl Derived {
    fn cover(&self) -> &[u8] {
        &self.0[..32]
    }

    fn mac(&self, message: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0[32..]).ok()?;
        mac.update(message);
        Some(mac)
    }
}

fn derive(passphrase: &Passphrase, salt: &[u8], cost: Cost) -> Option<Derived> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(64)).ok()?;
    let mut memory: Vec<Block> = Vec::new();
    memory.try_reserve_exact(params.block_count()).ok()?;
    memory.resize(params.block_count(), Block::default());
    let kdf = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut out = Zeroizing::new([0; 64]);
    let done = kdf.hash_password_into_with_memory(passphrase.bytes(), salt, &mut *out, &mut memory);
    memory.zeroize();
    done.ok().map(|()| Derived(out))
}

impl SealedKey {
    /// Seals a key. `salt` is random and used for nothing else.
    pub(super) fn seal(
        key: &PrivateKey,
        passphrase: &Passphrase,
        salt: [u8; SALT_BYTES],
    ) -> Result<Self, NotOpened> {
        let derived = derive(passphrase, &salt, Cost::USUAL).ok_or(NotOpened::Memory)?;
        let pair = key.to_pair();
        let mut covered = [0; SEED_BYTES];
        for (out, (seed, cover)) in covered.iter_mut().zip(pair.iter().zip(derived.cover())) {
            *out = seed ^ cover;
        }
        let mut sealed =
            SealedKey { public: key.public(), cost: Cost::USUAL, salt, covered, mac: [0; 32] };
        let mac = derived.mac(&sealed.encode(false)).ok_or(NotOpened::Memory)?;
        sealed.mac = mac.finalize().into_bytes().into();
        Ok(sealed)
    }

    /// The key, if the passphrase is the one.
    pub(super) fn open(&self, passphrase: &Passphrase) -> Result<PrivateKey, NotOpened> {
        let derived = derive(passphrase, &self.salt, self.cost).ok_or(NotOpened::Memory)?;
        let mac = derived.mac(&self.encode(false)).ok_or(NotOpened::Memory)?;
        mac.verify_slice(&self.mac).map_err(|_| NotOpened::Passphrase)?;
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        for (out, (covered, cover)) in seed.iter_mut().zip(self.covered.iter().zip(derived.cover()))
        {
            *out = covered ^ cover;
        }
        let key = PrivateKey::from_seed(&seed);
        if key.public() == self.public { Ok(key) } else { Err(NotOpened::OtherKey) }
    }

    /// The public half, as the file names it.
    pub(super) fn public(&self) -> LockKey {
        self.public
    }

    fn encode(&self, whole: bool) -> Vec<u8> {
        let mut out = Writer::new();
        out.map(5 + usize::from(whole));
        out.uint(1).text(TAG);
        out.uint(2).bytes(&self.public.0);
        out.uint(3).array(3);
        out.uint(self.cost.memory_kib.into());
        out.uint(self.cost.passes.into());
        out.uint(self.cost.lanes.into());
        out.uint(4).bytes(&self.salt);
        out.uint(5).bytes(&self.covered);
        if whole {
            out.uint(6).bytes(&self.mac);
        }
        out.into_bytes()
    }

    /// The text of the file, without a final newline.
    pub(super) fn to_text(&self) -> String {
        format!("{PREFIX}{}", BASE64.encode(&self.encode(true)))
    }

    /// Reads the text of a file. Says what is wrong with it.
    pub(super) fn from_text(text: &str) -> Result<Self, &'static str> {
        let text = text.strip_prefix(PREFIX).ok_or("it is no sealed key")?;
        let bytes = base64::decode(text).map_err(|_| "its base64 is damaged")?;
        let sealed = Self::decode(&bytes).map_err(|malformed| malformed.what)?;
        sealed.cost.check()?;
        Ok(sealed)
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let r = &mut reader;
        let mut fields = r.fields()?;
        fields.needs(r, 1)?;
        if r.text()? != TAG {
            return Err(r.malformed("it is a sealed key of another kind or version"));
        }
        fields.needs(r, 2)?;
        let public = LockKey(r.fixed()?);
        fields.needs(r, 3)?;
        r.array_of(3)?;
        let mut number = || {
            let at = r.clone();
            u32::try_from(r.uint()?).map_err(|_| at.malformed("a number of more than 32 bits"))
        };
        let cost = Cost { memory_kib: number()?, passes: number()?, lanes: number()? };
        r.close();
        fields.needs(r, 4)?;
        let salt = r.fixed()?;
        fields.needs(r, 5)?;
        let covered = r.fixed()?;
        fields.needs(r, 6)?;
        let mac = r.fixed()?;
        fields.end(r)?;
        reader.finish()?;
        Ok(SealedKey { public, cost, salt, covered, mac })
    }
}

#[cfg(test)]
mod tests {
    use ledger::testing::key;
    use proptest::prelude::*;

    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text.as_bytes().to_vec()).unwrap()
    }

    fn sealed() -> SealedKey {
        SealedKey::seal(&key(1), &passphrase("correct horse"), [7; 32]).unwrap()
    }

    #[test]
    fn a_key_comes_out_as_it_went_in_and_for_its_passphrase_only() {
        let sealed = SealedKey::from_text(&sealed().to_text()).unwrap();
        assert_eq!(sealed.public(), key(1).public());
        let opened = sealed.open(&passphrase("correct horse")).unwrap();
        assert_eq!(*opened.to_pair(), *key(1).to_pair());
        for wrong in ["correct horses", "Correct horse", "x"] {
            assert_eq!(sealed.open(&passphrase(wrong)).unwrap_err(), NotOpened::Passphrase);
        }
        // Nothing of the seed lies in the file.
        let bytes = sealed.encode(true);
        assert!(!bytes.windows(32).any(|window| window == &key(1).to_pair()[..32]));
    }

    /// This file was opened by a program of a few lines on Go's golang.org/x/crypto/argon2, crypto/hmac
    /// and crypto/ed25519, written from docs/keys.md.
    #[test]
    fn the_format_stays_what_another_program_could_open() {
        const FILE: &str = "lockstep-sealed-key:\
            pgF4GmxvY2tzdGVwIHNlYWxlZCBsb2NrIGtleSAxAlggiojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQP\
            b1wDgxoAAQAAAwQEWCAAAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHwVYIAD2SS92Fzgu7bxNvqKv\
            NfHFSReXbsff4mgm2g7rz94bBlggvhsRNMT5s3V3ja0hm+n3vf576+hYZnsnjbudBG+yR8w=";
        let open = passphrase("correct horse");
        let salt = std::array::from_fn(|i| i as u8);
        assert_eq!(SealedKey::seal(&key(1), &open, salt).unwrap().to_text(), FILE);
        let opened = SealedKey::from_text(FILE).unwrap().open(&open).unwrap();
        assert_eq!(*opened.to_pair(), *key(1).to_pair());
    }

    #[test]
    fn every_change_of_the_file_is_noticed() {
        let open = passphrase("correct horse");
        let whole = sealed();
        let flipped = |mut bytes: [u8; 32]| {
            bytes[31] ^= 1;
            bytes
        };
        for changed in [
            SealedKey { public: LockKey(flipped(whole.public.0)), ..whole.clone() },
            SealedKey { cost: Cost { passes: 2, ..whole.cost }, ..whole.clone() },
            SealedKey { salt: flipped(whole.salt), ..whole.clone() },
            SealedKey { covered: flipped(whole.covered), ..whole.clone() },
            SealedKey { mac: flipped(whole.mac), ..whole.clone() },
        ] {
            let changed = SealedKey::from_text(&changed.to_text()).unwrap();
            assert_eq!(changed.open(&open).unwrap_err(), NotOpened::Passphrase);
        }
        let bytes = whole.encode(true);
        for cut in 0..bytes.len() {
            assert!(SealedKey::decode(&bytes[..cut]).is_err(), "{cut}");
        }
        assert!(SealedKey::decode(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn hostile_costs_are_refused_before_anything_is_allocated() {
        let whole = sealed();
        let with = |memory_kib, passes, lanes| {
            let cost = Cost { memory_kib, passes, lanes };
            SealedKey::from_text(&SealedKey { cost, ..whole.clone() }.to_text()).map(|_| ())
        };
        assert_eq!(with(64 << 10, 3, 4), Ok(()));
        assert_eq!(with(256 << 10, 4, 16), Ok(()));
        for (memory, passes, lanes) in [
            (u32::MAX, 1, 1),
            ((256 << 10) + 1, 1, 1),
            (256 << 10, 5, 1),
            (64 << 10, u32::MAX, 1),
            (64 << 10, 3, 17),
            (64 << 10, 3, u32::MAX),
        ] {
            let error = with(memory, passes, lanes).unwrap_err();
            assert!(error.contains("more memory or time"), "{memory} {passes} {lanes}: {error}");
        }
        for (memory, passes, lanes) in [(8, 1, 1), (64 << 10, 0, 4), (64 << 10, 3, 0), (0, 0, 0)] {
            let error = with(memory, passes, lanes).unwrap_err();
            assert!(error.contains("weaker"), "{memory} {passes} {lanes}: {error}");
        }
    }

    #[test]
    fn a_file_that_names_another_key_does_not_open() {
        // Whoever knows the passphrase can make such a file; signing with it would be a surprise.
        let open = passphrase("correct horse");
        let mut other = SealedKey { public: key(2).public(), ..sealed() };
        let derived = derive(&open, &other.salt, other.cost).unwrap();
        let mac = derived.mac(&other.encode(false)).unwrap();
        other.mac = mac.finalize().into_bytes().into();
        assert_eq!(other.open(&open).unwrap_err(), NotOpened::OtherKey);
    }

    proptest! {
        #[test]
        fn hostile_text_is_refused_or_a_key_of_bounded_cost(
            places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let cost = Cost { memory_kib: 64 << 10, passes: 3, lanes: 4 };
            let public = key(1).public();
            let whole = SealedKey { public, cost, salt: [7; 32], covered: [8; 32], mac: [9; 32] };
            let mut bytes = whole.encode(true);
            for (place, byte) in &places {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            if let Ok(sealed) = SealedKey::from_text(&format!("{PREFIX}{}", BASE64.encode(&bytes))) {
                prop_assert!(sealed.cost.check().is_ok());
                prop_assert_eq!(sealed.encode(true), bytes);
            }
        }
    }

    #[test]
    fn garbage_is_no_key() {
        for text in ["", PREFIX, "nlpriv:00", "lockstep-sealed-key:AAAA", "lockstep-sealed-key:%"] {
            assert!(SealedKey::from_text(text).is_err(), "{text}");
        }
    }
}
