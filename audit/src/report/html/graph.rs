//! The graph of the AUMs: where it forks, who signed, which branch won and why.

use std::collections::{BTreeMap, BTreeSet};

use ledger::ids::AumHash;

use super::{Page, escape};
use crate::chronicle::{AumStanding, ChainStory, Chronicle, change};
use crate::questions::why;

/// AUMs of one chain that are drawn, at most; of more, those around forks and at the ends.
const MAX_DRAWN: usize = 150;
/// Height of a row.
const ROW: usize = 46;
/// Width of a lane.
const LANE: usize = 26;
/// Lanes that are drawn beside each other, at most.
const MAX_LANES: usize = 8;
/// Width of the picture.
const WIDTH: usize = 960;
/// Characters of a line of text.
const LINE: usize = 110;

/// The AUMs of a chain that are drawn.
fn shown(chain: &ChainStory) -> BTreeSet<usize> {
    let count = chain.aums.len();
    if count <= MAX_DRAWN {
        return (0..count).collect();
    }
    let mut shown: BTreeSet<usize> = (0..10).chain(count - 10..count).collect();
    shown.insert(chain.head);
    for (at, children) in chain.forks().take(MAX_DRAWN / 5) {
        shown.insert(at);
        shown.extend(children);
    }
    let bad = |at: &usize| chain.aums[*at].standing != AumStanding::Verified;
    shown.extend((0..count).filter(bad).take(MAX_DRAWN / 5));
    shown
}

/// The AUMs that are drawn, of all chains.
pub(super) fn chosen(page: &Page<'_>) -> BTreeSet<AumHash> {
    let chains = page.report.chronicle.iter().flat_map(|told| &told.chains);
    chains.flat_map(|chain| shown(chain).into_iter().map(|at| chain.aums[at].aum.hash())).collect()
}

pub(super) fn write(out: &mut String, page: &Page<'_>) {
    let Some(told) = page.report.chronicle.as_ref().filter(|told| !told.chains.is_empty()) else {
        return;
    };
    *out += "<section id=\"graph\"><h2>The chain of authority</h2>\n<p>Each dot is an authority \
             update (AUM), the oldest on top. Clients follow the green line; a red one lost, and \
             what was built on it is undone.</p>\n";
    for chain in &told.chains {
        if told.chains.len() > 1 {
            *out += &format!("<h3>Epoch {}</h3>\n", chain.epoch);
        }
        forks(out, page, chain);
        picture(out, page, told, chain);
    }
    *out += "</section>\n";
}

/// Forks in words.
fn forks(out: &mut String, page: &Page<'_>, chain: &ChainStory) {
    for (at, children) in chain.forks().take(50) {
        let fork = link(page, &chain.aums[at].aum.hash());
        let (won, lost) = (&chain.aums[children[0]], &chain.aums[children[1]]);
        let undone: usize = children[1..].iter().map(|child| chain.branch_size(*child)).sum();
        let signers = |aum| {
            let signers = Chronicle::signers(aum).map(|key| page.names.linked(&key));
            signers.collect::<Vec<_>>().join(", ")
        };
        *out += &format!(
            "<p class=\"box\">At {fork} the chain forks. {} (signed by {}, weight {}) won over {} \
             (signed by {}, weight {}) by {}. {undone} AUM{} undone by that.</p>\n",
            link(page, &won.aum.hash()),
            signers(&won.aum),
            won.weight,
            link(page, &lost.aum.hash()),
            signers(&lost.aum),
            lost.weight,
            why(won, lost),
            if undone == 1 { " is" } else { "s are" },
        );
    }
}

/// A reference to an AUM, linked if it is drawn.
pub(super) fn link(page: &Page<'_>, hash: &AumHash) -> String {
    let text = hash.to_string();
    let short = &text[..8];
    if page.drawn.contains(hash) {
        format!("<a class=\"hash\" href=\"#aum-{text}\">{short}\u{2026}</a>")
    } else {
        format!("<span class=\"hash\">{short}\u{2026}</span>")
    }
}

/// Where an AUM is drawn.
#[derive(Clone, Copy)]
struct Spot {
    lane: usize,
    row: usize,
}

fn picture(out: &mut String, page: &Page<'_>, told: &Chronicle, chain: &ChainStory) {
    let shown = shown(chain);
    let mut lanes: BTreeMap<usize, usize> = BTreeMap::new();
    let mut used = 1;
    for at in 0..chain.aums.len() {
        let lane = match chain.aums[at].parent {
            None => 0,
            Some(parent) if chain.aums[parent].children.first() == Some(&at) => {
                lanes.get(&parent).copied().unwrap_or_default()
            }
            Some(_) => {
                used += 1;
                (used - 1).min(MAX_LANES)
            }
        };
        lanes.insert(at, lane);
    }
    let lanes_drawn = used.min(MAX_LANES + 1);
    let mut spots: BTreeMap<usize, Spot> = BTreeMap::new();
    let mut gaps: Vec<(usize, usize)> = Vec::new();
    let (mut row, mut last) = (0, None);
    for at in &shown {
        if let Some(last) = last
            && at - last > 1
        {
            gaps.push((row, at - last - 1));
            row += 1;
        }
        spots.insert(*at, Spot { lane: lanes[at], row });
        row += 1;
        last = Some(*at);
    }
    let height = row * ROW + 8;
    *out += &format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"The AUMs of epoch {} and \
         how they follow each other\">\n",
        chain.epoch
    );
    for (at, spot) in &spots {
        edge(out, chain, &spots, *at, *spot);
    }
    let text_at = lanes_drawn * LANE + 24;
    for (row, count) in gaps {
        let y = row * ROW + 26;
        *out += &format!(
            "<text class=\"dim\" x=\"{text_at}\" y=\"{y}\">\u{22ee} {count} AUMs more</text>\n"
        );
    }
    for (at, spot) in &spots {
        dot(out, page, told, chain, *at, *spot, text_at);
    }
    *out += "</svg>\n";
}

fn centre(spot: Spot) -> (usize, usize) {
    (spot.lane * LANE + 18, spot.row * ROW + 20)
}

fn class(chain: &ChainStory, at: usize) -> &'static str {
    if chain.aums[at].active { "" } else { " lost" }
}

/// The line from an AUM up to its parent, or up to what is drawn above it.
fn edge(
    out: &mut String,
    chain: &ChainStory,
    spots: &BTreeMap<usize, Spot>,
    at: usize,
    spot: Spot,
) {
    let mut above = chain.aums[at].parent;
    while let Some(parent) = above {
        if let Some(from) = spots.get(&parent) {
            let ((x1, y1), (x2, y2)) = (centre(*from), centre(spot));
            let bend = y2.saturating_sub(ROW / 2).max(y1);
            *out += &format!(
                "<path class=\"edge{}\" d=\"M{x1} {y1} L{x1} {bend} L{x2} {y2}\"/>\n",
                class(chain, at)
            );
            return;
        }
        above = chain.aums[parent].parent;
    }
}

fn dot(
    out: &mut String,
    page: &Page<'_>,
    told: &Chronicle,
    chain: &ChainStory,
    at: usize,
    spot: Spot,
    text_at: usize,
) {
    let story = &chain.aums[at];
    let (x, y) = centre(spot);
    let hash = story.aum.hash().to_string();
    let entry = &told.entries[story.entry];
    let signers: Vec<String> =
        Chronicle::signers(&story.aum).map(|k| page.names.plain(&k)).collect();
    let outcome = match &story.standing {
        AumStanding::Verified if at == chain.head => "head",
        AumStanding::Verified if story.active => "in force",
        AumStanding::Verified => "undone",
        AumStanding::Rejected(_) => "rejected",
        AumStanding::OnRejected => "on a rejected one",
        AumStanding::Unrooted => "nobody can judge it",
    };
    let dropped = match story.departs {
        Some(departs) if departs.removed > 0 => chain.dropped(at),
        _ => Vec::new(),
    };
    let what = if dropped.is_empty() {
        page.names.text(&change(&story.aum))
    } else {
        let keys: Vec<String> = dropped.iter().map(|key| page.names.plain(key)).collect();
        format!("the trust in {} is taken back", keys.join(" and in "))
    };
    let first = format!("{} \u{b7} {}", &hash[..8], what);
    let second = format!(
        "{} \u{b7} weight {} \u{b7} signed by {} \u{b7} {outcome}",
        story.aum.kind,
        story.weight,
        if signers.is_empty() { "nobody".to_owned() } else { signers.join(", ") },
    );
    let number = entry.number;
    let (open, close) = if page.told.contains(&number) {
        (format!("<a href=\"#event-{number}\">"), "</a>")
    } else {
        (String::new(), "")
    };
    *out += &format!(
        "<g id=\"aum-{hash}\"><title>{hash}</title>{open}<circle class=\"dot{}\" cx=\"{x}\" \
         cy=\"{y}\" r=\"7\"/><text x=\"{text_at}\" y=\"{}\">{}</text>\
         <text class=\"dim\" x=\"{text_at}\" y=\"{}\">{}</text>{close}</g>\n",
        class(chain, at),
        y - 1,
        escape(&cut(&first)),
        y + 15,
        escape(&cut(&second)),
    );
}

/// The beginning of a line that would be too long.
fn cut(text: &str) -> String {
    if text.chars().count() <= LINE {
        return text.to_owned();
    }
    text.chars().take(LINE - 1).chain(['\u{2026}']).collect()
}
