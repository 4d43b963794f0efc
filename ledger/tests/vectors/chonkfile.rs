//! chonkfile.json: the original's store of AUMs, as files.

use std::collections::BTreeMap;

use ledger::formats::chonk_file::{self, FileRecord, LAST_ACTIVE_ANCESTOR, Store};
use ledger::ids::AumHash;
use ledger::lock::Sealed;
use serde_json::Value;

use crate::case::{Case, bytes, bytes_list, fails, hash, hex, list, member, text};
use crate::forms;
use crate::node::{Node, Pool, pool};
use crate::report::{self, Pass, Verdict, same};
use crate::rules::{Rule, marks_lost, noncanonical_aum, noncanonical_record};

#[test]
fn chonkfile() {
    let checks: &[(&str, report::Check)] =
        &[("chonkdir", chonkdir), ("reopen", reopen), ("written_form", written_form)];
    report::run("chonkfile.json", checks);
}

fn files(value: &Value) -> BTreeMap<String, Vec<u8>> {
    value.as_object().unwrap().iter().map(|(path, hex)| (path.clone(), bytes(hex))).collect()
}

fn read(files: &BTreeMap<String, Vec<u8>>) -> Store {
    Store::read(files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())))
}

fn chonkdir(case: &Case<'_>) -> Verdict {
    let files = files(case.input("files_hex"));
    let store = read(&files);
    let error = case.expect("all_error");
    match (store.all(), fails(error)) {
        (Ok(all), false) => {
            let ours: Vec<AumHash> = all.keys().copied().collect();
            let wanted = list(case.expect("all_aums_b32")).iter().map(hash).collect();
            same("all", ours, wanted)?;
        }
        (Err(_), true) => {}
        (Err(damaged), false)
            if files.get(&damaged.path).is_some_and(|b| noncanonical_record(b)) =>
        {
            return Ok(Pass::ByRule(Rule::NonCanonical));
        }
        (ours, _) => return Err(format!("all: ours {ours:?}, the reference's {error}")),
    }
    let error = case.expect("open_error");
    let opened = match (store.open(), fails(error)) {
        (Ok(opened), false) => opened,
        (Err(_), true) => return Ok(Pass::Same),
        (Ok(_), true) if marks_lost(&store.aums, store.last_active, error) => {
            return Ok(Pass::ByRule(Rule::MarksCombined));
        }
        (ours, _) => return Err(format!("open: ours {ours:?}, the reference's {error}")),
    };
    same("head", opened.head(), hash(case.expect("head_b32")))?;
    same("state", &forms::state_json(&opened.state), case.expect("state"))?;
    Ok(Pass::Same)
}

fn reopen(case: &Case<'_>) -> Verdict {
    let first = Sealed::decode(&bytes(case.input("bootstrap_hex"))).map_err(|e| e.to_string())?;
    let mut node = Node::bootstrap(first.clone()).map_err(|e| e.to_string())?;
    let batches = list(case.input("informs_hex"));
    for (batch, error) in batches.iter().zip(list(case.expect("inform_errors"))) {
        let refused = match pool(batch)? {
            Pool::Aums(aums) => node.hear(&aums).err(),
            Pool::NonCanonical if !fails(error) => return Ok(Pass::ByRule(Rule::NonCanonical)),
            Pool::NonCanonical => continue,
        };
        if refused.is_some() != fails(error) {
            return Err(format!("ours {refused:?}, the reference's {error}"));
        }
    }
    let check = |what: &str, head: AumHash, state, expected| {
        same(what, head, hash(member(expected, "head_b32")))?;
        same(what, &forms::state_json(state), member(expected, "state"))
    };
    check("before", node.head(), node.authority.state(), case.expect("before"))?;
    let again = node.reopened()?;
    check("after", again.head(), again.state(), case.expect("after"))?;
    // The same through the original's files.
    let mut written = BTreeMap::from([(LAST_ACTIVE_ANCESTOR.to_owned(), first.hash().0.to_vec())]);
    for aum in node.stored() {
        let aum = node.chain().aum(&aum).unwrap();
        let hash = aum.as_ref().unwrap().hash();
        let record = FileRecord { aum, created: Some(1), purged: None };
        written.insert(chonk_file::path(&hash), record.encode());
    }
    let opened = read(&written).open();
    let opened = opened.map_err(|e| e.to_string());
    if fails(case.expect("reopen_error")) {
        return Err(format!("the reference fails to reopen, ours {opened:?}"));
    }
    let opened = opened?;
    check("from files", opened.head(), &opened.state, case.expect("after"))?;
    Ok(Pass::Same)
}

/// Two AUMs stored at 1700000000, the second purged at 1800000000 (the case's description).
fn written_form(case: &Case<'_>) -> Verdict {
    let aums = bytes_list(case.input("aums_hex"));
    let mut written = BTreeMap::new();
    for (i, bytes) in aums.iter().enumerate() {
        let aum = match Sealed::decode(bytes) {
            Ok(aum) => aum,
            Err(_) if noncanonical_aum(bytes) => return Ok(Pass::ByRule(Rule::NonCanonical)),
            Err(e) => return Err(e.to_string()),
        };
        if i == 0 {
            written.insert(LAST_ACTIVE_ANCESTOR.to_owned(), hex(&aum.hash().0));
        }
        let path = chonk_file::path(&aum.hash());
        let purged = (i == 1).then_some(1_800_000_000);
        let record = FileRecord { aum: Some(aum), created: Some(1_700_000_000), purged };
        same("read back", FileRecord::decode(&record.encode()).as_ref(), Ok(&record))?;
        written.insert(path, hex(&record.encode()));
    }
    let wanted = case.expect("files_hex").as_object().unwrap();
    let wanted = wanted.iter().map(|(path, hex)| (path.clone(), text(hex).to_owned()));
    same("files", written, wanted.collect())?;
    Ok(Pass::Same)
}
