//! A file of AUMs in CBOR, one after the other, in any order.

use std::ops::Range;

use ledger::cbor::{Malformed, Reader};
use ledger::lock::Sealed;
use ledger::lock::signatures::each_share;
use sha2::{Digest, Sha256};

use super::{Aums, Found, Kind, Place};
use crate::cores::AllCores;

/// Reads a file of AUMs. What follows an AUM that cannot be read is unread.
pub(super) fn read(bytes: &[u8]) -> Aums {
    let mut found = Vec::new();
    let mut unread = None;
    let items = items(bytes);
    let inputs: Vec<&[u8]> = items.iter().map(|item| &bytes[item.clone()]).collect();
    let decoded = each_share(&inputs, Sealed::decode_many, &AllCores);
    for (item, decoded) in items.iter().zip(decoded) {
        let place = Place { offset: Some(item.start as u64), ..Place::default() };
        match decoded {
            Ok(aum) => found.push(Found { aum: Ok(aum), place }),
            Err(Malformed { offset, what }) => {
                let error = Malformed { offset: item.start + offset, what };
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
        beside: None,
    }
}

/// Where each item begins and ends. One that is not even an item, and so no AUM, is the last.
fn items(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut items = Vec::new();
    let mut reader = Reader::new(bytes);
    while reader.offset() < bytes.len() {
        let start = reader.offset();
        if reader.skip().is_err() {
            items.push(start..bytes.len());
            break;
        }
        items.push(start..reader.offset());
    }
    items
}
