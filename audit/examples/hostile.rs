//! Writes an evidence bundle of a history whose every free text would like to be markup, code or
//! something else than text, and prints these texts, one a line. For the tests of the reports in a
//! browser (interop/report.sh).

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fs;

use audit::{Live, Options, Stored, audit_live};
use ledger::history::{AumsAdded, ChangeReason, Event, NewNode, Verdict};
use ledger::lock::builder::Change;
use ledger::lock::{Key, Meta};
use ledger::testing::{Group, key, node_key};

/// Without control characters, which reports show in another form.
const CORPUS: &[&str] = &[
    "<script>alert(1)</script>",
    "\"><script>alert(2)</script>",
    "\"><img src=x onerror=alert(3)>",
    "'><img src=x onerror='alert(4)'>",
    "' onmouseover='alert(5)",
    "\" autofocus onfocus=\"alert(6)",
    "</style><svg onload=alert(7)>",
    "</svg><svg/onload=alert(8)>",
    "</title><base href=//evil.example>",
    "</title><title>pwned",
    "javascript:alert(9)",
    "<a href=javascript:alert(10)>x</a>",
    "<iframe srcdoc='<script>parent.alert(11)</script>'>",
    "<svg><animate onbegin=alert(12) attributeName=x dur=1s>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(13)>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>@import'//evil.example/x.css';</style>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<details open ontoggle=alert(14)>",
    "&lt;script&gt;alert(15)&lt;/script&gt;",
    "&#60;script&#62;alert(16)&#60;/script&#62;",
    "{{constructor.constructor('alert(17)')()}}",
    "${alert(18)}",
    "--><script>alert(19)</script><!--",
    "]]><script>alert(20)</script>",
    "#finding-0\" onclick=\"alert(21)",
    "tlpub:<script>alert(22)</script>",
];

fn main() -> Result<(), Box<dyn Error>> {
    let to = env::args().nth(1).ok_or("usage: hostile FILE")?;
    let mut group = Group::new();
    let initialization = group.initialization(1, &[2, 3]);
    group.apply(initialization);
    for (i, evil) in (0u8..).zip(CORPUS) {
        // Whoever asks is called so.
        let mut proposal = group.proposal(Event::NodeAdded(NewNode {
            name: format!("node-{i}"),
            node_key: node_key(0x40 + i),
            lock_key: None,
            own: false,
            signature: None,
            auth_key: None,
        }));
        proposal.actor.name = (*evil).to_owned();
        let Verdict::Sealed(_) = group.admit(&proposal) else { return Err("not recorded".into()) };
        // Keys have such metadata, and notes say it.
        let mut added = Key::ed25519(ledger::lock::signatures::Signer::public(&key(0x90 + i)), 1);
        added.meta = Some(Meta(BTreeMap::from([((*evil).to_owned(), (*evil).to_owned())])));
        let aums = group.build(&key(1), vec![Change::Add(added)]);
        let note = Some((*evil).to_owned());
        let (reason, fork, signatures) = (Some(ChangeReason::Other), false, Vec::new());
        group.apply(Event::AumsAdded(AumsAdded { aums, fork, signatures, reason, note }));
    }
    let records = group.records().into_iter().map(|record| {
        let (index, bytes) = (Some(record.index()), record.bytes().to_vec());
        Ok(Stored { index, bytes, shown: None })
    });
    let audited = audit_live("hostile", Live::of(records.collect()), &Options::default(), true);
    let evidence = audited.evidence.ok_or("no evidence")?;
    evidence.write_bundle(evidence.size(), fs::File::create(to)?)?;
    for evil in CORPUS {
        println!("{evil}");
    }
    Ok(())
}
