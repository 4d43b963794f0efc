//! The head of the page, the verdict, epochs, nodes and the glossary.

use data_encoding::HEXLOWER;

use super::{Page, escape, verdict};
use crate::verdict::Verdict;

/// One line: what was audited, and what came of it.
pub(super) fn summary(out: &mut String, page: &Page<'_>) {
    let report = page.report;
    let kind = report.kind.map_or("unknown form".to_owned(), |kind| kind.to_string());
    let class = match report.verdict {
        Verdict::Holds => "good",
        Verdict::Broken => "bad",
        Verdict::Undecidable => "warn",
    };
    *out += &format!(
        "<p class=\"big {class}\">The history {}.</p>\n<p class=\"dim\">Form: {kind}.",
        match report.verdict {
            Verdict::Holds => "holds",
            Verdict::Broken => "is broken: it does not add up",
            Verdict::Undecidable => "cannot be decided",
        }
    );
    if let Some(sha256) = &report.sha256 {
        *out += &format!(" SHA-256 of the file: <code>{}</code>.", HEXLOWER.encode(sha256));
    }
    *out += "</p>\n<nav><a href=\"#events\">What happened</a> \u{b7} <a href=\"#verdict\">Verdict\
             </a> \u{b7} <a href=\"#findings\">Findings</a> \u{b7} <a href=\"#glossary\">Glossary\
             </a></nav>\n";
}

/// The verdict, what it rests on, and what was not checked.
pub(super) fn verdict_section(out: &mut String, page: &Page<'_>) {
    let report = page.report;
    *out += &format!(
        "<section id=\"verdict\"><h2>Verdict: {}</h2>\n<p>{}</p>\n<p><strong>What to do:</strong> \
         {}</p>\n",
        verdict(report.verdict),
        escape(&report.status()),
        escape(&report.action())
    );
    if !report.vouched.is_empty() {
        *out += "<h3>What vouches for what</h3>\n<table><tr><th>Fact</th><th>Vouched for by</th>\
                 <th>How</th></tr>\n";
        for item in &report.vouched {
            *out += &format!(
                "<tr><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                escape(item.fact),
                escape(item.by),
                escape(&item.why)
            );
        }
        *out += "</table>\n";
    }
    *out += "<h3>What was not checked</h3>\n";
    if report.unchecked.is_empty() {
        *out += "<p>Nothing.</p>\n";
    } else {
        *out += "<ul>\n";
        for item in &report.unchecked {
            let reason = escape(&item.reason);
            *out += &format!("<li><strong>{}</strong>: {reason}</li>\n", escape(item.id));
        }
        *out += "</ul>\n";
    }
    *out += "</section>\n";
}

/// The lives of the lock.
pub(super) fn epochs(out: &mut String, page: &Page<'_>) {
    let Some(told) = page.report.chronicle.as_ref().filter(|told| !told.chains.is_empty()) else {
        return;
    };
    *out += "<section id=\"epochs\"><h2>Epochs</h2>\n<table><tr><th>Epoch</th><th>State ID</th>\
             <th>Began</th><th>Ended</th><th>AUMs</th></tr>\n";
    let number = |entry: usize| {
        let number = told.entries.get(entry).map_or(entry as u64, |entry| entry.number);
        if page.told.contains(&number) {
            format!("<a href=\"#event-{number}\">number {number}</a>")
        } else {
            format!("number {number}")
        }
    };
    for chain in &told.chains {
        let began = chain.began.map_or("not complete".to_owned(), number);
        let ended = chain.ended.map_or("it is the current one".to_owned(), number);
        *out += &format!(
            "<tr><td>{}</td><td>{}:{}</td><td>{began}</td><td>{ended}</td><td>{}</td></tr>\n",
            chain.epoch,
            chain.state_id.0,
            chain.state_id.1,
            chain.aums.len()
        );
    }
    *out += "</table></section>\n";
}

/// Nodes that are listed, at most.
const MAX_NODES: usize = 1000;

/// Who is in and who is out, and why.
pub(super) fn nodes(out: &mut String, page: &Page<'_>) {
    let Some(told) = page.report.chronicle.as_ref().filter(|told| !told.nodes.is_empty()) else {
        return;
    };
    *out += "<section id=\"nodes\"><h2>Nodes at the end</h2>\n<table><tr><th>Node</th><th>Is</th>\
             <th>Because</th></tr>\n";
    // Those that are out first.
    let mut nodes: Vec<_> = told.nodes.iter().collect();
    nodes.sort_by_key(|node| node.admitted);
    for node in nodes.iter().take(MAX_NODES) {
        let (class, is) = if node.admitted { ("good", "let in") } else { ("bad", "locked out") };
        let since = match node.since {
            Some(record) if page.told.contains(&record) => {
                format!(" since <a href=\"#event-{record}\">number {record}</a>")
            }
            Some(record) => format!(" since number {record}"),
            None => String::new(),
        };
        *out += &format!(
            "<tr><td><bdi>{}</bdi></td><td class=\"{class}\">{is}{since}</td><td>{}</td></tr>\n",
            escape(&node.name),
            page.names.sentence(&node.why)
        );
    }
    *out += "</table>\n";
    if nodes.len() > MAX_NODES {
        *out += &format!("<p>{} nodes more are let in.</p>\n", nodes.len() - MAX_NODES);
    }
    *out += "</section>\n";
}

/// Words and what they mean.
const GLOSSARY: &[(&str, &str)] = &[
    (
        "Tailnet lock",
        "A rule of a private network: no machine is let in because a server says so, \
      only if a trusted key has signed for it.",
    ),
    (
        "Trusted key",
        "A key that may sign for machines and for changes of the trusted keys. The \
      list of trusted keys is the authority. A stolen one lets its thief do both.",
    ),
    (
        "AUM",
        "Authority update message: one signed change to the trusted keys. Each names the one \
      before it, so that together they form a chain.",
    ),
    (
        "Checkpoint",
        "An AUM that writes down the whole list of trusted keys. The first AUM is one. \
      So is a revocation.",
    ),
    (
        "Fork",
        "Two AUMs that name the same one before them. Every machine chooses the same branch: \
      the one whose signers have more votes. What stands on the other one is undone.",
    ),
    (
        "Revocation",
        "Taking the trust in a stolen key back: other keys sign a new branch from before \
      the theft that leaves the key out. It wins if they have more votes than the thief.",
    ),
    (
        "Weight, votes",
        "Each trusted key has votes. The weight of an AUM is the sum of its signers\u{2019}.",
    ),
    (
        "Node",
        "A machine of the network. It is let in if its node key is signed by a trusted key, and \
      locked out otherwise.",
    ),
    (
        "Rotation",
        "A node that changes its node key and signs the new one itself, with a key that \
      its signature allows for that.",
    ),
    (
        "Record",
        "One entry of the ledger: what was asked for, by whom and when, signed by the \
      member that proposed it.",
    ),
    ("Member", "A machine that keeps the ledger and proposes records."),
    ("Epoch", "One life of the lock, from switching it on to switching it off with a secret."),
    (
        "Disablement secret",
        "A secret that switches the lock off on all nodes. Revealing it spends it.",
    ),
    ("Head", "The last AUM of the branch that clients follow, or the last record."),
    ("Genesis", "The first AUM of a lock."),
];

pub(super) fn glossary(out: &mut String) {
    *out += "<section id=\"glossary\"><h2>Glossary</h2>\n<dl>\n";
    for (word, meaning) in GLOSSARY {
        *out += &format!("<dt>{word}</dt><dd>{meaning}</dd>\n");
    }
    *out += "</dl></section>\n";
}
