//! When each key was trusted.

use super::{Page, escape};
use crate::chronicle::{Chronicle, KeyLife};
use crate::dates::date;

/// Keys that are drawn, at most.
const MAX_KEYS: usize = 200;
/// Height of a row.
const ROW: usize = 30;
/// Where bars begin.
const FROM: usize = 90;
/// Where bars end.
const TO: usize = 940;

pub(super) fn write(out: &mut String, page: &Page<'_>) {
    let Some(told) = &page.report.chronicle else { return };
    let lives = told.lives();
    let keys = page.names.all();
    if keys.is_empty() {
        return;
    }
    *out += "<section id=\"keys\"><h2>Keys over time</h2>\n<p>Each bar is a time in which a key was \
             trusted, from the first event on the left to the last on the right: green if it still \
             is, red if the trust was withdrawn or undone, grey if the lock ended.</p>\n";
    let last = told.entries.len().max(2) - 1;
    let drawn = keys.len().min(MAX_KEYS);
    let height = drawn * ROW + 34;
    *out += &format!(
        "<svg viewBox=\"0 0 960 {height}\" role=\"img\" aria-label=\"Times of trust in each key\">\n\
         <path class=\"axis\" d=\"M{FROM} 20 L{TO} 20\"/>\n"
    );
    ends(out, told);
    // On branches that lost.
    let chains = told.chains.iter();
    let undone: Vec<_> = chains
        .flat_map(|chain| chain.undone_keys().into_iter().map(|times| (chain.epoch, times)))
        .collect();
    for (key, number) in keys.iter().take(MAX_KEYS) {
        let y = (number - 1) * ROW + 26;
        *out += &format!("<text x=\"4\" y=\"{}\">key {number}</text>\n", y + 16);
        for life in lives.iter().filter(|life| life.key == *key) {
            bar(out, told, life, last, y);
        }
        for (epoch, (_, from, until)) in undone.iter().filter(|(_, (undone, ..))| undone == key) {
            let what = format!("epoch {epoch}, undone");
            rect(out, " cut", (*from, *until), last, y, &what);
        }
    }
    *out += "</svg>\n<table><tr><th>Key</th><th>Whose</th><th>Public key</th></tr>\n";
    for (key, number) in &keys {
        let holder = page.names.holder(key).map_or(String::new(), escape);
        *out += &format!(
            "<tr id=\"key-{number}\"><td>key {number}</td><td><bdi>{holder}</bdi></td>\
             <td><code>{key}</code></td></tr>\n"
        );
    }
    *out += "</table></section>\n";
}

/// The dates of the first and the last event.
fn ends(out: &mut String, told: &Chronicle) {
    let time = |entry: Option<&crate::chronicle::Entry>| entry.and_then(|entry| entry.time_ms);
    if let Some(ms) = time(told.entries.first()) {
        *out += &format!("<text class=\"dim\" x=\"{FROM}\" y=\"14\">{}</text>\n", date(ms));
    }
    if let Some(ms) = time(told.entries.last()) {
        *out += &format!(
            "<text class=\"dim\" x=\"{TO}\" y=\"14\" text-anchor=\"end\">{}</text>\n",
            date(ms)
        );
    }
}

fn bar(out: &mut String, told: &Chronicle, life: &KeyLife, last: usize, y: usize) {
    let chain = &told.chains[life.chain];
    let entry = |at: usize| chain.aums[at].entry;
    let (end, class) = match (life.until, chain.ended) {
        (Some(at), _) => (entry(at), " cut"),
        (None, Some(entry)) => (entry, " over"),
        (None, None) => (last, ""),
    };
    let votes = if life.votes == 1 { "1 vote".to_owned() } else { format!("{} votes", life.votes) };
    let what = format!("epoch {}, {votes}", chain.epoch);
    rect(out, class, (entry(life.from), end), last, y, &what);
}

/// A bar between two entries.
fn rect(
    out: &mut String,
    class: &str,
    (from, end): (usize, usize),
    last: usize,
    y: usize,
    what: &str,
) {
    let x = |entry: usize| FROM + entry * (TO - FROM) / last;
    let width = x(end).saturating_sub(x(from)).max(3);
    *out += &format!(
        "<rect class=\"bar{class}\" x=\"{}\" y=\"{y}\" width=\"{width}\" height=\"18\" rx=\"3\">\
         <title>{what}</title></rect>\n",
        x(from)
    );
}
