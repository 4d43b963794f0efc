//! What happened, in dated sentences.

use std::collections::{BTreeMap, BTreeSet};

use ledger::history::Who;

use super::{MAX_EVENTS, Page, escape};
use crate::chronicle::Entry;
use crate::dates::date_time;

/// The entries that are told one by one.
pub(super) fn chosen(page: &Page<'_>) -> BTreeSet<u64> {
    let Some(told) = &page.report.chronicle else { return BTreeSet::new() };
    if told.entries.len() <= MAX_EVENTS {
        return told.entries.iter().map(|entry| entry.number).collect();
    }
    // What a finding is about, and what changed who may do what.
    let findings = page.report.findings.iter().filter_map(|finding| finding.record);
    let mut chosen: BTreeSet<u64> = findings.take(MAX_EVENTS / 4).collect();
    let turns = told.entries.iter().filter(|entry| is_turn(entry) || !entry.aums.is_empty());
    chosen.extend(turns.map(|entry| entry.number).take(MAX_EVENTS / 2));
    let ends = told.entries.iter().take(20).chain(told.entries.iter().rev().take(20));
    chosen.extend(ends.map(|entry| entry.number));
    chosen
}

/// Whether a reader should not miss it.
fn is_turn(entry: &Entry) -> bool {
    let joined = entry.kind == "node-added";
    (!entry.locked_out.is_empty() && !joined)
        || matches!(entry.kind.as_str(), "lock-initialized" | "lock-disabled" | "revocation-opened")
}

pub(super) fn write(out: &mut String, page: &Page<'_>) {
    *out += "<section id=\"events\"><h2>What happened</h2>\n";
    let Some(told) = page.report.chronicle.as_ref().filter(|told| !told.entries.is_empty()) else {
        *out += "<p>Nothing of it could be read.</p></section>\n";
        return;
    };
    if !told.has_records {
        *out += "<p class=\"dim\">This source holds authority updates (AUMs) alone, which carry no \
                 time and do not say who asked. They stand in the order of the chain.</p>\n";
    } else {
        *out += "<p class=\"dim\">Times are those of the clock of the machine that proposed each \
                 change (UTC); who asked is on that machine's word.</p>\n";
    }
    *out += "<ol class=\"events\">\n";
    let mut left_out: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in &told.entries {
        if page.told.contains(&entry.number) {
            skipped(out, &mut left_out);
            event(out, page, entry);
        } else {
            *left_out.entry(&entry.kind).or_default() += 1;
        }
    }
    skipped(out, &mut left_out);
    *out += "</ol></section>\n";
}

/// How many entries were left out here.
fn skipped(out: &mut String, left_out: &mut BTreeMap<&str, usize>) {
    if left_out.is_empty() {
        return;
    }
    let kinds: Vec<String> =
        left_out.iter().map(|(kind, count)| format!("{count} \u{d7} {}", escape(kind))).collect();
    *out += &format!("<li class=\"dim\">Not told one by one: {}.</li>\n", kinds.join(", "));
    left_out.clear();
}

fn event(out: &mut String, page: &Page<'_>, entry: &Entry) {
    let number = entry.number;
    let turn = if is_turn(entry) { " class=\"turn\"" } else { "" };
    *out += &format!("<li id=\"event-{number}\"{turn}>");
    if let Some(ms) = entry.time_ms {
        *out += &format!("<time>{}</time> ", date_time(ms));
    }
    if let Some(actor) = &entry.actor {
        let member = escape(&actor.member);
        *out += &match actor.who {
            Who::Member => format!("<bdi>{member}</bdi> of itself: "),
            Who::Uid(uid) if actor.name.is_empty() => {
                format!("User {uid} on <bdi>{member}</bdi>: ")
            }
            Who::Uid(uid) => {
                let name = escape(&actor.name);
                format!("<bdi>{name}</bdi> (user {uid}) on <bdi>{member}</bdi>: ")
            }
        };
    }
    *out += &format!("<span>{}</span>", page.names.sentence(&entry.what));
    for (names, how) in [(&entry.let_in, "let in"), (&entry.locked_out, "locked out")] {
        if !names.is_empty() {
            let class = if how == "let in" { "good" } else { "bad" };
            let names: Vec<String> =
                names.iter().map(|name| format!("<bdi>{}</bdi>", escape(name))).collect();
            let verb = if names.len() == 1 { "is" } else { "are" };
            let names = names.join(", ");
            if entry.kind == "node-added" && how == "locked out" {
                *out += &format!(" <span>{names} {verb} kept out until somebody signs it.</span>");
                continue;
            }
            *out += &format!(" <strong class=\"{class}\">{names} {verb} {how} by this.</strong>");
        }
    }
    *out += &format!(" <span class=\"dim\">\u{b7} number {number}");
    for aum in entry.aums.iter().filter(|aum| page.drawn.contains(aum)).take(4) {
        *out +=
            &format!(" \u{b7} <a href=\"#aum-{aum}\">AUM {}\u{2026}</a>", &aum.to_string()[..8]);
    }
    *out += "</span></li>\n";
}
