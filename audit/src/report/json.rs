//! The report as JSON, schema `lockstep.audit/1`.

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use ledger::formats::tlog::origin;
use serde_json::{Map, Value, json};

use super::Report;
use crate::accept::Accepted;

use crate::checks::Finding;
use crate::trust_anchor::Anchored;

impl Report {
    /// The end of the history the last time, if this audit goes on from there.
    fn resumed(&self) -> Option<&str> {
        match &self.anchored {
            Anchored::By { kind: "resume", value } => Some(value),
            _ => None,
        }
    }

    /// The report as a JSON document. Counts are numbers; what can pass 2^53 is a string.
    pub fn to_json(&self) -> Value {
        let ledger = self.ledger.as_ref();
        let hash = |bytes: &[u8; 32]| BASE32_NOPAD.encode(bytes);
        let mut source = Map::new();
        source.insert("kind".into(), json!(self.kind.map(|kind| kind.to_string())));
        if let Some(sha256) = &self.sha256 {
            source.insert("sha256".into(), json!(HEXLOWER.encode(sha256)));
        }
        let keys = self.trusted_keys.iter().map(|key| json!({"key": key.key, "votes": key.votes}));
        let unchecked =
            self.unchecked.iter().map(|item| json!({"id": item.id, "reason": item.reason}));
        let vouched = self.vouched.iter();
        let vouched = vouched.map(|it| json!({"fact": it.fact, "by": it.by, "why": it.why}));
        json!({
            "schema": "lockstep.audit/1",
            "source": source,
            "verdict": self.verdict.to_string(),
            "exit_code": self.exit_code,
            "anchor": anchor(&self.anchored),
            "origin": ledger.and_then(|facts| facts.origin.as_ref()).map(origin),
            "size": ledger.map(|facts| facts.verified_records),
            "root": ledger.map(|facts| hash(&facts.root)),
            "resumed_from": self.resumed(),
            "oldest": self.oldest.map(|hash| hash.to_string()),
            "head": self.head.map(|hash| hash.to_string()),
            "state_id": self.state_id.map(|(a, b)| format!("{a}:{b}")),
            "aums": self.aums,
            "verified": self.verified,
            "records": ledger.map_or(0, |facts| facts.records),
            "record_hash": ledger.and_then(|facts| facts.record_hash).map(|h| h.to_string()),
            "fold_hash": ledger.map(|facts| facts.fold_hash.to_string()),
            "lock": ledger.map(|facts| facts.lock),
            "nodes": ledger.map(|facts| json!({
                "admitted": facts.nodes.admitted,
                "locked_out": facts.nodes.locked_out,
            })),
            "checkpoint": ledger.and_then(|facts| facts.checkpoint.as_ref()).map(|seen| json!({
                "size": seen.size,
                "signers": seen.signers,
            })),
            "waiting": ledger.map(|facts| facts.waiting),
            "epochs": self.epochs,
            "trusted_keys": keys.collect::<Vec<_>>(),
            "findings": self.findings.iter().map(finding).collect::<Vec<_>>(),
            "accepted": self.accepted.iter().map(accepted).collect::<Vec<_>>(),
            "vouched": vouched.collect::<Vec<_>>(),
            "unchecked": unchecked.collect::<Vec<_>>(),
            "undecided": self.undecided,
        })
    }
}

fn anchor(anchored: &Anchored) -> Value {
    match anchored {
        Anchored::No => Value::Null,
        Anchored::By { kind, value } => json!({"kind": kind, "value": value, "matches": true}),
        Anchored::Unknown { kind, value } => json!({"kind": kind, "value": value}),
        Anchored::Contradicted { kind, value, found } => {
            json!({"kind": kind, "value": value, "matches": false, "found": found})
        }
    }
}

fn accepted(accepted: &Accepted) -> Value {
    let mut object = finding(&accepted.finding);
    object["reason"] = json!(accepted.by.reason);
    object["expires"] = json!(accepted.by.expires);
    object
}

fn finding(finding: &Finding) -> Value {
    let mut object = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            object.insert(name.into(), value);
        }
    };
    set("id", Some(json!(finding.check.id)));
    set("severity", Some(json!(finding.check.severity.to_string())));
    set("fingerprint", Some(json!(finding.fingerprint())));
    set("message", Some(json!(finding.message)));
    set("remedy", Some(json!(finding.check.remedy)));
    set("doc", Some(json!(finding.check.doc())));
    set("aum", finding.aum.map(|hash| json!(hash.to_string())));
    set("record", finding.record.map(|index| json!(index)));
    set("key", finding.key.map(|key| json!(key.to_tlpub())));
    set("node", finding.node.map(|key| json!(key.to_string())));
    set("row", finding.row.as_ref().map(|row| json!(row)));
    set("file", finding.file.as_ref().map(|file| json!(file)));
    set("subject", finding.subject.as_ref().map(|subject| json!(subject)));
    set("offset", finding.offset.map(|offset| json!(offset)));
    Value::Object(object)
}
