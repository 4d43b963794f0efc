//! log_json/*.tar: whole stores of the original, opened from their files and informed anew.

use std::collections::BTreeMap;

use ledger::formats::chonk_file::Store;
use ledger::ids::AumHash;
use ledger::lock::Sealed;

use crate::case::{hash, list, member, number};
use crate::log_json::expected;
use crate::node::Node;
use crate::report::{Pass, Verdict, same};
use crate::{files, forms};

pub fn store(stem: &str) -> Verdict {
    let expected = expected(stem);
    let packed = files::read(&format!("log_json/{stem}.tar")).unwrap();
    let unpacked = untar(&packed);
    let below = format!("{stem}/");
    let store = Store::read(
        unpacked
            .iter()
            .filter_map(|(path, bytes)| path.strip_prefix(&below).map(|path| (path, *bytes))),
    );
    let opened = store.open().map_err(|e| e.to_string())?;
    same("stored", store.aums.len() as u64, number(member(&expected, "aums_stored")))?;
    let head = hash(member(&expected, "head_b32"));
    same("head", opened.head(), head)?;
    same("oldest", opened.oldest, hash(member(&expected, "oldest_ancestor_b32")))?;
    same("state", &forms::state_json(&opened.state), member(&expected, "state"))?;
    let log: Vec<AumHash> = opened.active.iter().rev().copied().collect();
    let log_hashes = list(member(&expected, "log_hashes_head_first_b32"));
    same("log", log, log_hashes.iter().map(hash).collect())?;
    for (i, hash) in store.aums.keys().enumerate() {
        same("created", store.created[hash], 1_700_000_000 + 3600 * i64::try_from(i).unwrap())?;
    }

    // The same AUMs, verified one by one in an order in which they can be taken.
    let mut node =
        Node::bootstrap(store.aums[&opened.oldest].clone()).map_err(|e| e.to_string())?;
    let mut left: Vec<&Sealed> =
        store.aums.values().filter(|aum| aum.hash() != opened.oldest).collect();
    while !left.is_empty() {
        let before = left.len();
        left.retain(|aum| node.hear(&[(*aum).clone()]).is_err());
        same("refused for good", left.len() < before, true)?;
    }
    same("head again", node.head(), head)?;
    same("state again", node.authority.state(), &opened.state)?;
    node.reopened()?;
    Ok(Pass::Same)
}

/// The plain files of a tar archive (ustar).
fn untar(mut tar: &[u8]) -> BTreeMap<String, &[u8]> {
    let text = |field: &[u8]| {
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        String::from_utf8(field[..end].to_vec()).unwrap()
    };
    let mut found = BTreeMap::new();
    while let Some((header, rest)) = tar.split_at_checked(512) {
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        let size = text(&header[124..136]);
        let size = usize::from_str_radix(size.trim(), 8).unwrap();
        let mut path = text(&header[..100]);
        let prefix = text(&header[345..500]);
        if !prefix.is_empty() {
            path = format!("{prefix}/{path}");
        }
        if header[156] == b'0' {
            found.insert(path, &rest[..size]);
        }
        tar = &rest[size.next_multiple_of(512)..];
    }
    found
}
