//! What members, joiners and visitors say to each other: whatever is understood is said in one way, and
//! a letter is believed only if those who are members have signed it.
//!
//! Input: what is said; the bytes. Of a letter: which history, then for each record of the genuine
//! one whether it is left out, changed, or there.
#![no_main]

use std::collections::BTreeMap;

use ledger::history::{ClusterId, Fold, ReplicaId, members};
use ledger::lock::signatures::{Unverified, verify_one};
use ledger::rows::{Draft, Memory};
use ledger_fuzz::{Choices, histories};
use libfuzzer_sys::fuzz_target;
use replica::joining::Token;
use replica::joining::testing::said_again;
use replica::node::{letter, read_letter};
use replica::peers::testing::{body_of, greeted, hello_again, message_of};
use replica::peers::{Kind, Local, Program, Versions};

fuzz_target!(init: { histories(); }, |input: &[u8]| {
    let mut choices = Choices::new(input);
    match choices.below(5) {
        0 => message(&mut choices),
        1 => hello(choices.rest()),
        2 => word(choices.rest()),
        3 => token(choices.rest()),
        _ => shown(&mut choices),
    }
});

fn message(choices: &mut Choices<'_>) {
    let kind = *choices.one(&Kind::ALL);
    let body = choices.rest();
    let Some(Ok(message)) = message_of(kind, body, ReplicaId(2), ReplicaId(1)) else { return };
    let (same, bytes) = body_of(&message).expect("it was said");
    assert_eq!((same, bytes.as_slice()), (kind, body));
}

fn hello(bytes: &[u8]) {
    let versions = Versions { least: 1, most: 2 };
    let program = Program { wire: versions, rules: versions, software: "fuzz".into() };
    let local = Local {
        cluster: ClusterId([7; 16]),
        incarnation: 1,
        replica: ReplicaId(1),
        address: None,
        program,
    };
    let again = hello_again(bytes);
    if let Ok(again) = &again {
        assert_eq!(again, bytes);
    }
    if greeted(&local, ReplicaId(2), bytes).is_ok() {
        assert!(again.is_ok());
    }
}

fn word(bytes: &[u8]) {
    let again = said_again(bytes);
    assert!(again.len() < 2, "two meanings");
    for again in again {
        assert_eq!(again, bytes);
    }
}

fn token(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(token) = Token::from_text(text) {
        let again = token.to_text();
        let read = Token::from_text(&again).expect("a token");
        assert_eq!(*read.to_text(), *again);
    }
}

/// To somebody who has only the beginning of a history.
fn shown(choices: &mut Choices<'_>) {
    let group = choices.one(histories()).group();
    let records = group.records();
    if records.is_empty() {
        return;
    }
    let has = 1 + choices.below(records.len());
    let (mut rows, mut fold) = (Memory::new(), Fold::open(&Memory::new()).expect("no rows"));
    for record in &records[..has] {
        let record = verify_one(Unverified::new(record.clone())).expect("a genuine record");
        let mut draft = Draft::on(&rows);
        fold.replay(&mut draft, &record).expect("no fault");
        let changes = draft.finish();
        rows.apply(changes);
    }
    let after = has as u64 - 1;
    let genuine = letter(&group.rows, after).expect("no fault").expect("a short history");
    let mut said = Vec::new();
    for record in &genuine {
        let mut record = record.clone();
        match choices.below(8) {
            1 => continue,
            2 => {
                let at = usize::from(choices.byte()) << 8 | usize::from(choices.byte());
                let at = at % record.len();
                record[at] ^= choices.byte();
            }
            3 => record = choices.piece().to_vec(),
            _ => {}
        }
        said.push(record);
    }
    let known = read_letter(&fold, &rows, &said).expect("no fault").map(|read| read.members);
    let enrolled = members::list(&group.rows).expect("no fault");
    if let Ok(known) = &known {
        // Nobody gets known whom nobody has let in.
        for key in known.values() {
            assert!(enrolled.iter().any(|member| member.member_key == *key));
        }
    }
    if said == genuine && fold.incarnation() == group.fold.incarnation() {
        let known = known.expect("a genuine letter");
        let active = enrolled.iter().filter(|member| member.is_active());
        let active: BTreeMap<_, _> = active.map(|member| (member.id, member.member_key)).collect();
        assert_eq!(known, active);
    }
}
