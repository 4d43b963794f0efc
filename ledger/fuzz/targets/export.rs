//! Histories that other programs have written: the output of `lock log --json`, the files of a
//! tailscaled's state directory, and the JSON under both.
#![no_main]

use ledger::formats::chonk_file::{FileRecord, LAST_ACTIVE_ANCESTOR, Store, path};
use ledger::formats::log_json::{self, Export};
use ledger::formats::{Json, JsonReader, Layout};
use ledger::lock::Sealed;
use ledger_fuzz::Choices;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    json(input);
    if let Ok(export) = log_json::read(input) {
        exported(input, &export);
    }
    file(input);
    directory(&mut Choices::new(input));
});

/// Whatever is read is written so that it reads the same.
fn json(input: &[u8]) {
    let mut reader = JsonReader::new(input);
    let value = match reader.value() {
        Ok(value) => value,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert!(reader.end_of_token() <= input.len());
    assert!(size(&value) <= input.len());
    for layout in [Layout::Indented, Layout::Compact] {
        let mut text = String::new();
        value.write(layout, 0, &mut text);
        let mut again = JsonReader::new(text.as_bytes());
        assert_eq!(again.value().as_ref(), Ok(&value), "{text}");
        assert!(again.finish().is_ok());
    }
}

/// A lower bound of the bytes that a value takes in a document.
fn size(value: &Json) -> usize {
    match value {
        Json::Null | Json::Bool(_) => 4,
        Json::Number(text) => text.len(),
        // An escape takes more bytes than what it stands for, but for `\u` of three bytes or less.
        Json::Text(text) => text.chars().count(),
        Json::List(items) => items.iter().map(size).sum::<usize>() + 2,
        Json::Object(pairs) => {
            let each = pairs.iter().map(|(name, value)| name.chars().count() + size(value) + 3);
            each.sum::<usize>() + 2
        }
    }
}

/// What an export says is either what the original writes for its AUMs, or said to be otherwise.
fn exported(input: &[u8], export: &Export) {
    assert!(export.messages.len() <= input.len() / 2);
    let aums: Vec<&Sealed> = export.messages.iter().filter_map(|m| m.aum.as_ref().ok()).collect();
    for message in &export.messages {
        assert!(message.offset < input.len());
    }
    let text = log_json::write(aums.iter().copied());
    let clean = export.respelled.is_none()
        && export.messages.iter().all(|m| m.oddities.is_empty() && m.aum.is_ok());
    if clean {
        let mut compact = String::new();
        let value = JsonReader::new(text.as_bytes()).value().expect("our own export is read");
        value.write(Layout::Compact, 0, &mut compact);
        compact.push('\n');
        let forms = [text.clone(), compact];
        let old = |text: &String| text.replace("\"DisablementValues\"", "\"DisablementSecrets\"");
        let olds: Vec<String> = forms.iter().map(old).collect();
        assert!(forms.iter().chain(&olds).any(|form| form.as_bytes() == input), "{text}");
    } else {
        assert_ne!(text.as_bytes(), input);
    }
    let again = log_json::read(text.as_bytes()).expect("our own export is read");
    assert_eq!(again.respelled, None);
    assert_eq!(again.messages.len(), aums.len());
    for (message, aum) in again.messages.iter().zip(&aums) {
        assert_eq!(message.aum.as_ref(), Ok(*aum));
        assert!(message.oddities.is_empty());
    }
}

/// A file of a store: written again it says the same.
fn file(bytes: &[u8]) {
    let Ok(record) = FileRecord::decode(bytes) else { return };
    let written = record.encode();
    assert_eq!(FileRecord::decode(&written).as_ref(), Ok(&record));
    // What follows it does not count.
    let longer = [bytes, b"more"].concat();
    assert_eq!(FileRecord::decode(&longer).as_ref(), Ok(&record));
    let Some(aum) = &record.aum else { return };
    let store = Store::read([(path(&aum.hash()).as_str(), bytes)]);
    assert!(store.damaged.is_empty());
    assert_eq!(store.aums.contains_key(&aum.hash()), !record.is_purged());
}

/// A store of several files, each behind its length; named after their AUMs, or after something
/// else.
fn directory(choices: &mut Choices<'_>) {
    let hint = choices.piece();
    let mut files: Vec<(String, &[u8])> = Vec::new();
    if choices.byte() & 1 == 1 {
        files.push((LAST_ACTIVE_ANCESTOR.to_owned(), hint));
    }
    while !choices.is_over() && files.len() < 20 {
        let how = choices.byte();
        let bytes = choices.piece();
        let name = match FileRecord::decode(bytes) {
            Ok(FileRecord { aum: Some(aum), .. }) if how & 7 != 0 => path(&aum.hash()),
            _ => String::from_utf8_lossy(choices.piece()).into_owned(),
        };
        files.push((name, bytes));
    }
    let read = || Store::read(files.iter().map(|(path, bytes)| (path.as_str(), *bytes)));
    let store = read();
    assert!(store.aums.len() + store.damaged.len() <= files.len());
    for (hash, aum) in &store.aums {
        assert_eq!(*hash, aum.hash());
    }
    assert_eq!(store.all().is_ok(), store.damaged.is_empty());
    let opened = store.open();
    assert_eq!(opened, read().open());
    if let Ok(opened) = opened {
        assert!(store.damaged.is_empty() && store.damaged_hint.is_none());
        assert!(opened.active.iter().all(|hash| store.aums.contains_key(hash)));
    }
}
