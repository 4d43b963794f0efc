//! A file of AUMs in CBOR, one after the other, in any order.

use ledger::cbor::Malformed;
use ledger::lock::Sealed;
use sha2::{Digest, Sha256};

use super::{Aums, Found, Kind, Place};

/// Reads a file of AUMs. What follows an AUM that cannot be read is unread.
pub(super) fn read(bytes: &[u8]) -> Aums {
    let mut found = Vec::new();
    let mut unread = None;
    let mut at = 0;
    while at < bytes.len() {
        let place = Place { offset: Some(at as u64), ..Place::default() };
        match Sealed::decode_first(&bytes[at..]) {
            Ok((aum, len)) => {
                found.push(Found { aum: Ok(aum), place });
                at += len;
            }
            Err(Malformed { offset, what }) => {
                let error = Malformed { offset: at + offset, what };
                unread = Some(format!("what follows an AUM that cannot be read: {error}"));
                found.push(Found { aum: Err(error), place });
                break;
            }
        }
    }
    Aums {
        kind: Kind::Cbor,
        sha256: Some(Sha256::digest(bytes).into()),
        found,
        oldest: None,
        one_branch: false,
        findings: Vec::new(),
        unread,
        shown: None,
    }
}
