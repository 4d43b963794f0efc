//! The HTML report is complete by itself, and nothing foreign in it is more than text.

use std::collections::{BTreeMap, BTreeSet};

use ledger::history::{Event, NewNode};
use ledger::lock::signatures::Signer;
use ledger::lock::{Authority, Meta};
use ledger::testing::{Group, genesis_state, key, node_key};

use super::history::history;
use super::{kept, of_export, of_group, of_story};

/// The values of an attribute.
fn values<'a>(html: &'a str, attribute: &str) -> Vec<&'a str> {
    let begin = format!(" {attribute}=\"");
    html.split(begin.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// What must be so of every page.
fn sound(html: &str) {
    let ids = values(html, "id");
    let once: BTreeSet<_> = ids.iter().collect();
    assert_eq!(ids.len(), once.len(), "an ID stands twice");
    for target in values(html, "href") {
        let id = target.strip_prefix('#').unwrap_or_else(|| panic!("{target} leads elsewhere"));
        assert!(once.contains(&id), "nothing has the ID {id}");
    }
    assert!(html.contains("default-src 'none'"));
    for never in ["<script", "<img", "<iframe", "<object", "<embed", "<form", "<link", "<base"] {
        assert!(!html.to_lowercase().contains(never), "{never}");
    }
    let (before, style) = html.split_once("<style>").unwrap();
    let (style, after) = style.split_once("</style>").unwrap();
    assert!(!style.contains("url(") && !style.contains("@import"));
    for tag in [before, after]
        .iter()
        .flat_map(|part| part.split('<').skip(1))
        .filter(|tag| !tag.starts_with('!'))
    {
        let tag = tag.split('>').next().unwrap();
        // What stands between quotes is a value, and escaped.
        let names = tag.split('"').step_by(2).collect::<String>().to_lowercase();
        for word in names.split_whitespace().skip(1).filter(|word| *word != "/") {
            let name = word.split('=').next().unwrap();
            let known = [
                "id",
                "class",
                "href",
                "lang",
                "charset",
                "http-equiv",
                "content",
                "name",
                "d",
                "viewbox",
                "role",
                "aria-label",
                "x",
                "y",
                "cx",
                "cy",
                "r",
                "rx",
                "width",
                "height",
                "text-anchor",
            ];
            assert!(known.contains(&name), "<{tag}>");
        }
    }
    let bad = html.chars().find(|c| {
        (c.is_control() && *c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
    });
    assert_eq!(bad, None);
    for tag in
        ["section", "table", "ol", "ul", "svg", "g", "p", "div", "li", "tr", "a", "bdi", "dl"]
    {
        let opened =
            html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn the_stolen_key_is_told_from_the_theft_to_the_new_key() {
    let report = of_story(&kept());
    let html = report.to_html();
    sound(&html);
    let order = [
        "What happened",
        "2026-03-02 09:00:00 UTC",
        "The lock was switched on",
        "printer",
        "A revocation of <a",
        "Ben&#39;s laptop was stolen on the train",
        "The trust in <a",
        "One AUM that came after that point is undone.",
        "Node ben-laptop left the roster.",
        "Verdict: HOLDS",
        "What was not checked",
        "The chain of authority",
        "is taken back",
        "Keys over time",
        "epoch 1, undone",
        "Epochs",
        "Nodes at the end",
        "Findings",
        "Glossary",
    ];
    let mut at = 0;
    for part in order {
        let found = html[at..].find(part).unwrap_or_else(|| panic!("{part} is not there in order"));
        at += found;
    }
    assert!(html.contains("are locked out by this"));
    for finding in &report.findings {
        assert!(html.contains(&format!("id=\"finding-{}\"", finding.fingerprint())));
    }
    let told = report.chronicle.as_ref().unwrap();
    for entry in &told.entries {
        assert!(html.contains(&format!("id=\"event-{}\"", entry.number)));
    }
    for story in told.chains.iter().flat_map(|chain| &chain.aums) {
        assert!(html.contains(&format!("id=\"aum-{}\"", story.aum.hash())));
    }
}

#[test]
fn other_histories_have_sound_pages_too() {
    sound(&of_group(&history(), &kept()).to_html());
    sound(&of_group(&Group::unfounded(), &kept()).to_html());
    // Without what happened there is a page as well.
    sound(&of_group(&history(), &audit::Options::default()).to_html());
}

/// Names and metadata that would like to be markup, code, or to hide.
const CORPUS: &[&str] = &[
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</style><svg onload=alert(1)>",
    "</title><base href=//evil.example>",
    "javascript:alert(1)",
    "\u{1b}]8;;http://evil.example\u{7}click\u{1b}]8;;\u{7}",
    "\u{202e}gnp.exe",
    "&lt;script&gt;",
    "{{constructor.constructor('alert(1)')()}}",
    "tlpub:<script>alert(1)</script>",
];

#[test]
fn hostile_names_and_metadata_stay_text() {
    for evil in CORPUS {
        let mut state = genesis_state(1, &[(&key(1), 1)]);
        let meta = BTreeMap::from([((*evil).to_owned(), (*evil).to_owned())]);
        state.keys.as_mut().unwrap()[0].meta = Some(Meta(meta));
        let root = Authority::genesis(state, &key(1)).unwrap();
        let mut report = of_export(&[root], &kept());
        report.source = (*evil).to_owned();
        let told = report.chronicle.as_mut().unwrap();
        told.entries[0].what = (*evil).to_owned();
        told.holders.insert(key(1).public(), (*evil).to_owned());
        for finding in &mut report.findings {
            finding.message = (*evil).to_owned();
            finding.file = Some((*evil).to_owned());
        }
        for item in &mut report.unchecked {
            item.reason = (*evil).to_owned();
        }
        let html = report.to_html();
        sound(&html);
        for item in ["<script", "<img", "<svg onload", "<base"] {
            assert!(!html.contains(item), "{evil}");
        }
    }
}

/// An actor's name is the only free text of a record that a stranger chooses.
#[test]
fn hostile_actors_stay_text() {
    let mut group = Group::new();
    for (i, evil) in CORPUS.iter().enumerate() {
        let name = format!("node-{i}");
        let mut proposal = group.proposal(Event::NodeAdded(NewNode {
            name,
            node_key: node_key(0x40 + i as u8),
            lock_key: None,
            own: false,
            signature: None,
            auth_key: None,
        }));
        proposal.actor.name = (*evil).to_owned();
        assert!(matches!(group.admit(&proposal), ledger::history::Verdict::Sealed(_)));
    }
    let html = of_group(&group, &kept()).to_html();
    sound(&html);
}

#[test]
fn a_long_history_is_summed_up() {
    let mut group = Group::new();
    for _ in 0..5100 {
        let details = group.details();
        group.apply(Event::MemberChanged(details));
    }
    let html = of_group(&group, &kept()).to_html();
    sound(&html);
    assert!(html.contains("Not told one by one: "));
    assert!(html.len() < 2 << 20, "{} bytes", html.len());
}
