//! What was found, each linked to what it is about.

use std::collections::BTreeSet;

use super::{Page, escape, graph};
use crate::checks::{Finding, Severity};

/// Findings that are shown, at most.
const MAX_FINDINGS: usize = 2000;

pub(super) fn write(out: &mut String, page: &Page<'_>) {
    let report = page.report;
    *out += &format!("<section id=\"findings\"><h2>Findings: {}</h2>\n", report.findings.len());
    let (mut ids, mut left) = (BTreeSet::new(), MAX_FINDINGS);
    for severity in [Severity::Error, Severity::Warning, Severity::Note] {
        for found in report.findings.iter().filter(|found| found.check.severity == severity) {
            if left > 0 {
                left -= 1;
                finding(out, page, found, None, &mut ids);
            }
        }
    }
    let shown = report.findings.len().min(MAX_FINDINGS);
    if shown < report.findings.len() {
        let more = report.findings.len() - shown;
        *out += &format!("<p>{more} more, the least severe, are in the JSON report.</p>\n");
    }
    if !report.accepted.is_empty() {
        *out += &format!("<h3>Accepted: {}</h3>\n", report.accepted.len());
        for accepted in &report.accepted {
            let why = format!("{} (until {})", accepted.by.reason, accepted.by.expires);
            finding(out, page, &accepted.finding, Some(&why), &mut ids);
        }
    }
    *out += "</section>\n";
}

fn finding(
    out: &mut String,
    page: &Page<'_>,
    finding: &Finding,
    accepted: Option<&str>,
    ids: &mut BTreeSet<String>,
) {
    let fingerprint = finding.fingerprint();
    let class = match finding.check.severity {
        Severity::Error => "bad",
        Severity::Warning => "warn",
        Severity::Note => "dim",
    };
    let id = if ids.insert(fingerprint.clone()) {
        format!(" id=\"finding-{fingerprint}\"")
    } else {
        String::new()
    };
    *out += &format!(
        "<div class=\"box\"{id}><strong class=\"{class}\">{} {}</strong>: {}",
        finding.check.severity,
        finding.check.id,
        page.names.sentence(&finding.message)
    );
    let mut places = Vec::new();
    if let Some(record) = finding.record {
        places.push(match page.told.contains(&record) {
            true => format!("<a href=\"#event-{record}\">number {record}</a>"),
            false => format!("number {record}"),
        });
    }
    places.extend(finding.aum.map(|aum| format!("AUM {}", graph::link(page, &aum))));
    places.extend(finding.key.map(|key| page.names.linked(&key)));
    places.extend(finding.node.map(|node| format!("<code>{node}</code>")));
    places.extend(finding.row.as_ref().map(|row| format!("row <code>{}</code>", escape(row))));
    places.extend(finding.file.as_ref().map(|file| format!("file <bdi>{}</bdi>", escape(file))));
    places.extend(finding.offset.map(|offset| format!("byte {offset}")));
    if !places.is_empty() {
        *out += &format!("<br><span class=\"dim\">at {}</span>", places.join(", "));
    }
    if let Some(why) = accepted {
        *out += &format!("<br>Accepted: <bdi>{}</bdi>", escape(why));
    }
    *out += &format!(
        "<br>What to do: {} <span class=\"dim\">\u{b7} fingerprint {fingerprint}</span></div>\n",
        escape(finding.check.remedy)
    );
}
