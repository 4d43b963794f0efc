//! `audit show`: an AUM or a record, with all that is known of it.

use ledger::history::RecordHash;
use serde_json::{Value, json};

use super::{Answer, At, NoAnswer, chronicle, entry_json, fields, write_entry};
use crate::chronicle::{AumStanding, Chronicle, change, short};
use crate::foreign::plain;
use crate::report::Report;

/// What is known of an AUM or a record.
pub fn show(report: &Report, what: At) -> Result<Answer, NoAnswer> {
    let told = chronicle(report)?;
    let entry = match what {
        At::Hash(hash) => {
            if let Some((chain, at)) = told.find(&hash) {
                return Ok(aum(told, chain, at));
            }
            told.entries.iter().find(|entry| entry.hash == Some(RecordHash(hash.0)))
        }
        At::Index(index) => told.entries.iter().find(|entry| entry.number == index),
        At::Time(_) => None,
    };
    let named = match what {
        At::Hash(hash) => format!("AUM or record {hash}"),
        At::Index(index) => format!("record {index}"),
        At::Time(_) => return Err(NoAnswer::Unknown("name it by hash or index".to_owned())),
    };
    let entry = entry.ok_or(NoAnswer::NotThere(named))?;
    let mut text = String::new();
    write_entry(&mut text, told, entry);
    if let Some(hash) = entry.hash {
        text += &fields([("hash", hash.to_string())]);
    }
    Ok(Answer::new(text, [("record", entry_json(entry))]))
}

/// The standing of an AUM in words.
fn standing(standing: &AumStanding) -> String {
    match standing {
        AumStanding::Verified => "verified".to_owned(),
        AumStanding::Rejected(why) => format!("rejected: {}", plain(why)),
        AumStanding::OnRejected => "built on an AUM that was rejected".to_owned(),
        AumStanding::Unrooted => "before any known state: nobody can judge it".to_owned(),
    }
}

fn aum(told: &Chronicle, chain: usize, at: usize) -> Answer {
    let chain = &told.chains[chain];
    let story = &chain.aums[at];
    let aum = &story.aum;
    let entry = &told.entries[story.entry];
    let hash = |at: &usize| chain.aums[*at].aum.hash().to_string();
    let signers: Vec<_> = Chronicle::signers(aum).collect();
    let branch = match (story.active, &story.standing) {
        (true, _) => "on the active branch",
        (false, AumStanding::Verified) => "on a branch that lost, so it is undone",
        (false, _) => "not in force",
    };
    let mut text = fields([
        ("AUM", aum.hash().to_string()),
        ("kind", aum.kind.to_string()),
        ("does", plain(&change(aum))),
        ("standing", format!("{}, {branch}", standing(&story.standing))),
        ("epoch", format!("{} (state ID {}:{})", chain.epoch, chain.state_id.0, chain.state_id.1)),
        ("parent", aum.parent_hash().map_or("none".to_owned(), |parent| parent.to_string())),
        ("weight", story.weight.to_string()),
        ("signers", signers.iter().map(short).collect::<Vec<_>>().join(", ")),
    ]);
    for child in &story.children {
        text += &fields([("then", hash(child))]);
    }
    text.push('\n');
    write_entry(&mut text, told, entry);
    let json: Value = json!({
        "hash": aum.hash().to_string(),
        "kind": aum.kind.to_string(),
        "does": change(aum),
        "standing": standing(&story.standing),
        "verified": story.standing == AumStanding::Verified,
        "active": story.active,
        "epoch": chain.epoch,
        "state_id": format!("{}:{}", chain.state_id.0, chain.state_id.1),
        "parent": aum.parent_hash().map(|parent| parent.to_string()),
        "children": story.children.iter().map(hash).collect::<Vec<_>>(),
        "weight": story.weight,
        "signers": signers.iter().map(|key| key.to_tlpub()).collect::<Vec<_>>(),
        "raw": data_encoding::BASE64.encode(aum.bytes()),
    });
    Answer::new(text, [("aum", json), ("record", entry_json(entry))])
}
