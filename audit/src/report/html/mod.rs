//! The report as one HTML file: complete without scripts, without anything from elsewhere, and with
//! foreign text inert. What happened comes first, in dated sentences.

mod events;
mod findings;
mod graph;
mod lifelines;
mod names;
mod rest;

use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use self::names::Names;
use super::Report;
use crate::foreign::plain;
use crate::verdict::Verdict;

/// The only styles there are; the page's policy admits no others.
const STYLE: &str = include_str!("style.css");

/// Events that are told one by one, at most; of more, only those that matter.
const MAX_EVENTS: usize = 5000;

/// What the parts of the page know of the whole.
struct Page<'a> {
    report: &'a Report,
    names: Names,
    /// The numbers of the entries that are told one by one.
    told: std::collections::BTreeSet<u64>,
    /// AUMs that are drawn, by hash.
    drawn: std::collections::BTreeSet<ledger::ids::AumHash>,
}

impl Report {
    /// The report as an HTML document. It tells what happened if the audit kept its chronicle.
    pub fn to_html(&self) -> String {
        let names = self.chronicle.as_ref().map(Names::of).unwrap_or_default();
        let mut page =
            Page { report: self, names, told: Default::default(), drawn: Default::default() };
        page.told = events::chosen(&page);
        page.drawn = graph::chosen(&page);
        let digest = BASE64.encode(&Sha256::digest(STYLE));
        let title = format!("Audit of {}", escape(&self.source));
        let mut out = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
             style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"referrer\" content=\"no-referrer\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
             <header><h1>{title}</h1>\n"
        );
        rest::summary(&mut out, &page);
        out += "</header>\n<main>\n";
        events::write(&mut out, &page);
        rest::verdict_section(&mut out, &page);
        graph::write(&mut out, &page);
        lifelines::write(&mut out, &page);
        rest::epochs(&mut out, &page);
        rest::nodes(&mut out, &page);
        findings::write(&mut out, &page);
        rest::glossary(&mut out);
        out += "</main>\n</body>\n</html>\n";
        out
    }
}

/// Foreign text as text: nothing in it is markup, obeyed by a terminal, hidden or reordering.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in plain(text).chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            c => out.push(c),
        }
    }
    out
}

/// The verdict in one word for people.
fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "HOLDS",
        Verdict::Broken => "BROKEN",
        Verdict::Undecidable => "UNDECIDABLE",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_foreign_is_markup() {
        assert_eq!(
            escape("<script>'\"&\u{202e}\u{1b}[0m"),
            "&lt;script&gt;&#39;&quot;&amp;\\u{202e}\\u{1b}[0m"
        );
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import") && !STYLE.contains('<'));
    }
}
