//! Names for keys that a reader can keep apart: `key 1`, `key 2`, in the order in which they came.

use std::collections::BTreeMap;

use ledger::ids::LockKey;

use super::escape;
use crate::chronicle::{Chronicle, short};

/// The names of all keys of a history.
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
        const BEGIN: &str = "tlpub:";
        let escaped = escape(text);
        let mut out = String::new();
        let mut rest = escaped.as_str();
        while let Some(at) = rest.find(BEGIN) {
            let (before, after) = rest.split_at(at);
            out += before;
            let end = after[BEGIN.len()..].bytes().take_while(u8::is_ascii_hexdigit).count();
            let (written, after) = after.split_at(BEGIN.len() + end);
            let known = written.get(..BEGIN.len() + 12).and_then(|start| self.written.get(start));
            match known {
                Some((number, holder)) => {
                    out += &format!("<a href=\"#key-{number}\">key {number}</a>");
                    if let Some(holder) = holder {
                        out += &format!(" (<bdi>{}</bdi>)", escape(holder));
                    }
                }
                None => out += written,
            }
            rest = after;
        }
        out += rest;
        out
    }
}
