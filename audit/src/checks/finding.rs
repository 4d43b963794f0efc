//! One finding and the place it is about.

use data_encoding::HEXLOWER;
use ledger::ids::{AumHash, LockKey, NodeKey};
use ledger::rows::Table;
use sha2::{Digest, Sha256};

use super::Check;

/// Something found, with everything that locates it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was found.
    pub check: &'static Check,
    /// What exactly, in words. May hold foreign text: escape it where people read it.
    pub message: String,
    /// The AUM that it is about.
    pub aum: Option<AumHash>,
    /// The index of the record that it is about.
    pub record: Option<u64>,
    /// The trusted key that it is about.
    pub key: Option<LockKey>,
    /// The node key that it is about.
    pub node: Option<NodeKey>,
    /// The row of a database that it is about, as `table/key` with the key in hex.
    pub row: Option<String>,
    /// The file below the source that it is about.
    pub file: Option<String>,
    /// The byte offset in that file, or in the source if it is one file.
    pub offset: Option<u64>,
    /// What else it is about that has no field of its own, such as a rule of a policy.
    pub subject: Option<String>,
}

impl Finding {
    /// A finding about the source as a whole.
    pub fn new(check: &'static Check, message: impl Into<String>) -> Self {
        let message = message.into();
        Finding {
            check,
            message,
            aum: None,
            record: None,
            key: None,
            node: None,
            row: None,
            file: None,
            offset: None,
            subject: None,
        }
    }

    /// The finding, about an AUM.
    pub fn aum(self, hash: AumHash) -> Self {
        Finding { aum: Some(hash), ..self }
    }

    /// The finding, about a record.
    pub fn record(self, index: u64) -> Self {
        Finding { record: Some(index), ..self }
    }

    /// The finding, about a trusted key.
    pub fn key(self, key: LockKey) -> Self {
        Finding { key: Some(key), ..self }
    }

    /// The finding, about a node key.
    pub fn node(self, key: NodeKey) -> Self {
        Finding { node: Some(key), ..self }
    }

    /// The finding, about a row of a database, or a whole table if the key is empty.
    pub fn row(self, table: Table, key: &[u8]) -> Self {
        Finding { row: Some(format!("{}/{}", table.0, HEXLOWER.encode(key))), ..self }
    }

    /// The finding, about something that has no field of its own.
    pub fn subject(self, subject: impl Into<String>) -> Self {
        Finding { subject: Some(subject.into()), ..self }
    }

    /// The finding, about a place in a file.
    pub fn at(self, place: &crate::source::Place) -> Self {
        Finding {
            file: self.file.or_else(|| place.file.clone()),
            offset: self.offset.or(place.offset),
            record: self.record.or(place.record),
            ..self
        }
    }

    /// 16 hex digits that stay the same as long as the same thing is found in the same history,
    /// wherever its bytes lie and however it is worded.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        let mut field = |name: &str, value: &[u8]| {
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name);
            hash.update((value.len() as u64).to_be_bytes());
            hash.update(value);
        };
        field("id", self.check.id.as_bytes());
        if let Some(aum) = &self.aum {
            field("aum", &aum.0);
        }
        if let Some(record) = self.record {
            field("record", &record.to_be_bytes());
        }
        if let Some(key) = &self.key {
            field("key", &key.0);
        }
        if let Some(node) = &self.node {
            field("node", &node.0);
        }
        if let Some(row) = &self.row {
            field("row", row.as_bytes());
        }
        if let Some(subject) = &self.subject {
            field("subject", subject.as_bytes());
        }
        let located = self.aum.is_some()
            || self.record.is_some()
            || self.key.is_some()
            || self.node.is_some()
            || self.row.is_some()
            || self.subject.is_some();
        if !located {
            field("file", self.file.as_deref().unwrap_or_default().as_bytes());
            field("offset", &self.offset.unwrap_or_default().to_be_bytes());
        }
        HEXLOWER.encode(&hash.finalize()[..8])
    }
}
