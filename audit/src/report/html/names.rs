//! Names for keys that a reader can keep apart: `key 1`, `key 2`, in the order in which they came.

use std::collections::BTreeMap;

use ledger::ids::LockKey;

use super::escape;
use crate::chronicle::{Chronicle, short};

/// Keys that get names, at most: others stand as they are.
const MAX_NAMED: usize = 2000;

/// The names of the keys of a history.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: BTreeMap<LockKey, usize>,
    /// As sentences write them, and whose they are.
    written: BTreeMap<String, (usize, Option<String>)>,
    holders: BTreeMap<LockKey, String>,
}

impl Names {
    pub(super) fn of(told: &Chronicle) -> Self {
        let mut names = Names::default();
        for (key, holder) in &told.holders {
            names.holders.insert(*key, holder.clone());
        }
        let trusted = told.lives().into_iter().map(|life| life.key);
        let named = told.entries.iter().flat_map(|entry| entry.keys.iter().copied());
        for key in trusted.chain(named) {
            let next = names.numbers.len() + 1;
            if next > MAX_NAMED && !names.numbers.contains_key(&key) {
                continue;
            }
            let number = *names.numbers.entry(key).or_insert(next);
            let holder = names.holders.get(&key).cloned();
            names.written.insert(short(&key), (number, holder));
        }
        names
    }

    /// Keys with their numbers, in the order of these.
    pub(super) fn all(&self) -> Vec<(LockKey, usize)> {
        let mut all: Vec<_> = self.numbers.iter().map(|(key, number)| (*key, *number)).collect();
        all.sort_by_key(|(_, number)| *number);
        all
    }

    /// Whose a key is.
    pub(super) fn holder(&self, key: &LockKey) -> Option<&str> {
        self.holders.get(key).map(String::as_str)
    }

    /// A key's name, without a link.
    pub(super) fn plain(&self, key: &LockKey) -> String {
        match self.numbers.get(key) {
            Some(number) => format!("key {number}"),
            None => short(key),
        }
    }

    /// A key's name, linked to its life.
    pub(super) fn linked(&self, key: &LockKey) -> String {
        match self.numbers.get(key) {
            Some(number) => format!("<a href=\"#key-{number}\">key {number}</a>"),
            None => escape(&short(key)),
        }
    }

    /// A sentence as HTML, in which keys have their names and links.
    pub(super) fn sentence(&self, text: &str) -> String {
        replaced(&escape(text), |written| {
            let (number, holder) = self.written.get(written)?;
            let mut link = format!("<a href=\"#key-{number}\">key {number}</a>");
            if let Some(holder) = holder {
                link += &format!(" (<bdi>{}</bdi>)", escape(holder));
            }
            Some(link)
        })
    }

    /// Text in which keys have their names. Not escaped.
    pub(super) fn text(&self, text: &str) -> String {
        replaced(text, |written| Some(format!("key {}", self.written.get(written)?.0)))
    }
}

/// Text with something else in the place of each key, whole or as [`short`] writes it.
fn replaced(text: &str, name: impl Fn(&str) -> Option<String>) -> String {
    const BEGIN: &str = "tlpub:";
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(BEGIN) {
        let (before, after) = rest.split_at(at);
        out += before;
        let end = after[BEGIN.len()..].bytes().take_while(u8::is_ascii_hexdigit).count();
        let (written, after) = after.split_at(BEGIN.len() + end);
        match written.get(..BEGIN.len() + 12).and_then(&name) {
            Some(name) => out += &name,
            None => out += written,
        }
        rest = after;
    }
    out + rest
}
