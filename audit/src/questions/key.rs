//! `audit key`: the whole life of a trusted key.

use ledger::ids::LockKey;
use serde_json::json;

use super::{Answer, NoAnswer, chronicle, entry_json, fields, write_entry};
use crate::chronicle::{AumStanding, Chronicle, Entry, KeyLife};
use crate::dates::date_time;
use crate::foreign::plain;
use crate::report::Report;
use crate::report::lines::{some, wrapped};

/// When a key was trusted, by whom, with which votes, until when and why, and what it signed.
pub fn key(report: &Report, key: LockKey) -> Result<Answer, NoAnswer> {
    let told = chronicle(report)?;
    let lives: Vec<KeyLife> = told.lives().into_iter().filter(|life| life.key == key).collect();
    let about: Vec<&Entry> =
        told.entries.iter().filter(|entry| entry.keys.contains(&key)).collect();
    if lives.is_empty() && about.is_empty() {
        return Err(NoAnswer::NotThere(format!("key {key}")));
    }
    let signed = signed(told, key);
    let nodes: Vec<_> = told.nodes.iter().filter(|node| node.rests_on == Some(key)).collect();
    let trusted = lives.iter().any(|life| life.until.is_none() && is_current(told, life));
    let mut text = fields([
        ("key", key.to_tlpub()),
        ("trusted", if trusted { "yes" } else { "no" }.to_owned()),
    ]);
    for life in &lives {
        wrapped(&mut text, "    life: ", 10, &told_life(told, life));
    }
    let numbers = |entry: usize| told.entries.get(entry).map_or(entry as u64, |e| e.number);
    let undone_lives: Vec<_> = told
        .chains
        .iter()
        .flat_map(|chain| chain.undone_keys().into_iter().map(|times| (chain.epoch, times)))
        .filter(|(_, (undone, ..))| *undone == key)
        .map(|(epoch, (_, from, until))| (epoch, numbers(from), numbers(until)))
        .collect();
    for (epoch, from, until) in &undone_lives {
        let what = format!(
            "in epoch {epoch}, from number {from} to number {until}, when the branch that trusted \
             it lost"
        );
        wrapped(&mut text, "    life: ", 10, &what);
    }
    if lives.is_empty() && undone_lives.is_empty() {
        text += &fields([("life", "never trusted".to_owned())]);
    }
    let undone = signed.iter().filter(|(_, active)| !active).count();
    text += &fields([
        ("signed", format!("{}, {undone} of them undone", some(signed.len() as u64, "AUM"))),
        (
            "nodes",
            match nodes.len() {
                0 => "none rest on it".to_owned(),
                _ => nodes.iter().map(|node| plain(&node.name)).collect::<Vec<_>>().join(", "),
            },
        ),
    ]);
    text.push('\n');
    for entry in &about {
        write_entry(&mut text, told, entry);
        text.push('\n');
    }
    let life = |life: &KeyLife| {
        let chain = &told.chains[life.chain];
        let aum = |at: usize| chain.aums[at].aum.hash().to_string();
        json!({
            "epoch": chain.epoch,
            "from_aum": aum(life.from),
            "from_number": told.entries[chain.aums[life.from].entry].number,
            "until_aum": life.until.map(aum),
            "until_number": life.until.map(|at| told.entries[chain.aums[at].entry].number),
            "ended": chain.ended.is_some(),
            "votes": life.votes,
            "meta": life.meta.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        })
    };
    let signed: Vec<_> =
        signed.iter().map(|(aum, active)| json!({"aum": aum, "active": active})).collect();
    Ok(Answer::new(
        text,
        [
            ("key", json!(key.to_tlpub())),
            ("trusted", json!(trusted)),
            ("lives", lives.iter().map(life).collect()),
            (
                "undone_lives",
                undone_lives
                    .iter()
                    .map(|(epoch, from, until)| {
                        json!({"epoch": epoch, "from_number": from, "until_number": until})
                    })
                    .collect(),
            ),
            ("signed", json!(signed)),
            ("nodes", json!(nodes.iter().map(|node| &node.name).collect::<Vec<_>>())),
            ("entries", about.iter().map(|entry| entry_json(entry)).collect()),
        ],
    ))
}

fn is_current(told: &Chronicle, life: &KeyLife) -> bool {
    life.chain + 1 == told.chains.len() && told.chains[life.chain].ended.is_none()
}

/// The AUMs that a key has signed, and whether each is in force.
fn signed(told: &Chronicle, key: LockKey) -> Vec<(String, bool)> {
    let aums = told.chains.iter().flat_map(|chain| &chain.aums);
    let by = aums.filter(|story| {
        story.standing == AumStanding::Verified
            && Chronicle::signers(&story.aum).any(|signer| signer == key)
    });
    by.map(|story| (story.aum.hash().to_string(), story.active)).collect()
}

/// One life of a key in words.
fn told_life(told: &Chronicle, life: &KeyLife) -> String {
    let chain = &told.chains[life.chain];
    let when = |at: usize| {
        let story = &chain.aums[at];
        let entry = &told.entries[story.entry];
        let time = entry.time_ms.map_or(String::new(), |ms| format!(" ({})", date_time(ms)));
        format!("number {}{time}, AUM {}", entry.number, story.aum.hash())
    };
    let votes = some(life.votes, "vote");
    let end = match (life.until, chain.ended) {
        (Some(at), _) => format!("until {}", when(at)),
        (None, Some(entry)) => {
            let number = told.entries.get(entry).map_or(entry as u64, |entry| entry.number);
            format!("until the lock was switched off with number {number}")
        }
        (None, None) => "to the end".to_owned(),
    };
    format!("in epoch {}, from {}, {end}; {votes} at last", chain.epoch, when(life.from))
}
