//! `lock status --all`: every node, why it is in or out, and who has heard that a lock has ended.

use std::fmt::Write as _;

use ledger::lock::node_keys::NodeKeySignature;
use replica::local_api::bodies::{AcknowledgementBody, AdoptionBody, EpochBody, NodeBody};
use serde::Serialize;

use super::line;

/// Levels of a signature from which on a node should be signed anew: no decoder takes more than 16.
const MANY_LEVELS: usize = 12;

/// What the block is made from.
pub(crate) struct Everyone<'a> {
    /// The roster.
    pub(crate) nodes: &'a [NodeBody],
    /// The daemon's own node.
    pub(crate) own: u64,
    /// All locks, oldest first.
    pub(crate) epochs: &'a [EpochBody],
    /// What nodes have said of them.
    pub(crate) said: &'a [AcknowledgementBody],
    /// Where the lock came from, if it existed elsewhere.
    pub(crate) adoption: Option<&'a AdoptionBody>,
}

/// A node in the JSON of `--all`.
#[derive(Debug, Serialize)]
pub(crate) struct NodeDocument<'a> {
    #[serde(flatten)]
    node: &'a NodeBody,
    rotation_depth: usize,
    acknowledged: Vec<&'a AcknowledgementBody>,
}

/// A lock that has ended, in the JSON of `--all`.
#[derive(Debug, Serialize)]
pub(crate) struct EndedDocument {
    epoch: u32,
    disabled_record: u64,
    acknowledged_by: Vec<u64>,
    not_acknowledged_by: Vec<u64>,
}

impl Everyone<'_> {
    /// The nodes for JSON.
    pub(crate) fn documents(&self) -> Vec<NodeDocument<'_>> {
        let of = |node| NodeDocument {
            node,
            rotation_depth: depth(node),
            acknowledged: self.said.iter().filter(|said| said.node == node.id).collect(),
        };
        self.nodes.iter().map(of).collect()
    }

    /// The locks that have ended, for JSON.
    pub(crate) fn ended(&self) -> Vec<EndedDocument> {
        let ended = |epoch: &EpochBody| {
            let disabled_record = epoch.disabled_record?;
            let (heard, not): (Vec<&NodeBody>, Vec<&NodeBody>) =
                self.nodes.iter().partition(|node| self.has_ended(node.id, epoch.epoch));
            let ids = |nodes: Vec<&NodeBody>| nodes.into_iter().map(|node| node.id).collect();
            Some(EndedDocument {
                epoch: epoch.epoch,
                disabled_record,
                acknowledged_by: ids(heard),
                not_acknowledged_by: ids(not),
            })
        };
        self.epochs.iter().filter_map(ended).collect()
    }

    /// Whether a node has said that it has ended a lock. The daemon's own machine has with the
    /// record itself.
    fn has_ended(&self, node: u64, epoch: u32) -> bool {
        let said = |said: &AcknowledgementBody| {
            said.node == node && said.epoch == epoch && said.head.is_none()
        };
        node == self.own || self.said.iter().any(said)
    }

    /// The text. Begins with a blank line.
    pub(crate) fn text(&self) -> String {
        let mut out = String::from("\nAll nodes:\n");
        for node in self.nodes {
            let own = if node.id == self.own { "\t(us)" } else { "" };
            let _ = writeln!(
                out,
                "\t{}\t{}\tsince record {}\t{}{own}",
                line(&node.name),
                line(&node.stable_id),
                node.since_record,
                line(&node.reason),
            );
            self.signature(&mut out, node);
            for said in self.said.iter().filter(|said| said.node == node.id) {
                let what = match &said.head {
                    Some(head) => format!("has applied head {}", line(head)),
                    None => "has ended the lock".into(),
                };
                let _ = writeln!(out, "\t\tepoch {}: {what} (record {})", said.epoch, said.record);
            }
        }
        let names = |ids: &[u64]| {
            let named = |id: &u64| {
                let node = self.nodes.iter().find(|node| node.id == *id);
                node.map(|node| line(&node.name)).unwrap_or_default()
            };
            match ids {
                [] => "nobody".into(),
                ids => ids.iter().map(named).collect::<Vec<_>>().join(", "),
            }
        };
        for ended in self.ended() {
            let _ = writeln!(
                out,
                "\nEpoch {} was disabled in record {}.\n\tacknowledged by: {}\n\tnot yet by: {}",
                ended.epoch,
                ended.disabled_record,
                names(&ended.acknowledged_by),
                names(&ended.not_acknowledged_by),
            );
        }
        if let Some(adoption) = self.adoption {
            out.push_str(&adopted(adoption));
        }
        out
    }

    fn signature(&self, out: &mut String, node: &NodeBody) {
        let Some(bytes) = &node.signature else { return };
        let depth = depth(node);
        let warning =
            if depth >= MANY_LEVELS { " (of at most 16: sign the node's key anew)" } else { "" };
        let _ = writeln!(out, "\t\trotation depth {depth}{warning}");
        match NodeKeySignature::decode(&bytes.0) {
            Ok(signature) => {
                for text in signature.to_string().lines() {
                    let _ = writeln!(out, "\t\t{}", line(text));
                }
            }
            Err(error) => {
                let _ = writeln!(out, "\t\tsignature: {error}");
            }
        }
    }
}

/// Where the lock came from, and how its server shows it.
fn adopted(adoption: &AdoptionBody) -> String {
    let mut out = match adoption.adopted_record {
        Some(record) => {
            let how = if adoption.followed { "followed" } else { "adopted" };
            format!("\nEpoch {} was {how} from elsewhere in record {record}.\n", adoption.epoch)
        }
        None => format!(
            "\nA lock is being adopted as epoch {}, since record {}.\n",
            adoption.epoch, adoption.begun_record
        ),
    };
    let _ = writeln!(out, "\troot {}, {} AUMs on record", line(&adoption.root), adoption.taken);
    if let Some(seen) = &adoption.seen {
        let head = seen.head.as_deref().unwrap_or("none");
        let _ = writeln!(out, "\tshown as head: {} (record {})", line(head), seen.record);
        if let Some(text) = &seen.text {
            let _ = writeln!(out, "\tALARM: {}", line(text));
        }
    }
    if let Some(record) = adoption.last_alarm_record {
        let _ = writeln!(out, "\talarms so far: {}, the last in record {record}", adoption.alarms);
    }
    if let Some(last) = &adoption.last_objection {
        let _ = writeln!(
            out,
            "\tALARM: {} AUMs that this ledger would have refused, the last in record {}:\n\t\t{}",
            adoption.objections,
            last.record,
            line(&last.aum)
        );
    }
    out
}

/// How many signatures are nested in a node's, itself included; 0 without one.
fn depth(node: &NodeBody) -> usize {
    let signature = node.signature.as_ref();
    signature.and_then(|bytes| NodeKeySignature::decode(&bytes.0).ok()).map_or(0, |s| s.depth())
}

#[cfg(test)]
mod tests {
    use ledger::ids::NodeKey;
    use ledger::lock::node_keys::{resign, sign_direct};
    use ledger::lock::signatures::{PrivateKey, Signer};
    use replica::local_api::bodies::{Base64, ObjectionBody, SeenBody};

    use super::*;

    fn node(id: u64, name: &str, rotations: u8) -> NodeBody {
        let (trusted, own) = (PrivateKey::from_seed(&[1; 32]), PrivateKey::from_seed(&[2; 32]));
        let mut signature = sign_direct(&trusted, NodeKey([100; 32]), Some(own.public())).unwrap();
        for n in 0..rotations {
            signature = resign(&own, NodeKey([n; 32]), &signature).unwrap();
        }
        NodeBody {
            id,
            stable_id: format!("n{id}CNTRL"),
            name: name.into(),
            addresses: Vec::new(),
            node_key: String::new(),
            lock_key: None,
            signature: (id != 3).then(|| Base64(signature.to_cbor())),
            signed: id != 3,
            reason: "a reason".into(),
            since_record: id + 10,
        }
    }

    #[test]
    fn everyone_with_signature_depth_and_what_they_have_heard() {
        let nodes = [node(1, "first", 0), node(2, "lap\x07top", 11), node(3, "phone", 0)];
        let ended = EpochBody { epoch: 1, disabled_record: Some(20), ..EpochBody::default() };
        let on = EpochBody { epoch: 2, ..EpochBody::default() };
        let said = |node, epoch, head: Option<&str>, record| AcknowledgementBody {
            node,
            epoch,
            head: head.map(str::to_owned),
            record,
        };
        let everyone = Everyone {
            nodes: &nodes,
            own: 1,
            epochs: &[ended, on],
            said: &[said(2, 1, None, 21), said(2, 2, Some("HEAD"), 25), said(3, 1, Some("OLD"), 9)],
            adoption: None,
        };
        let text = everyone.text();
        assert!(text.starts_with(
            "\nAll nodes:\n\tfirst\tn1CNTRL\tsince record 11\ta reason\t(us)\n\t\trotation depth \
             1\n\t\tSigKind: direct\n\t\tPubkey: [ZGRkZ]\n\t\tKeyID: tlpub:"
        ));
        assert!(text.contains(
            "\tlap\\u{7}top\tn2CNTRL\tsince record 12\ta reason\n\t\trotation depth 12 (of at \
             most 16: sign the node's key anew)\n\t\tSigKind: rotation\n"
        ));
        assert!(text.contains("\t\tepoch 1: has ended the lock (record 21)\n"));
        assert!(text.contains("\t\tepoch 2: has applied head HEAD (record 25)\n"));
        assert!(text.ends_with(
            "\tphone\tn3CNTRL\tsince record 13\ta reason\n\t\tepoch 1: has applied head OLD \
             (record 9)\n\nEpoch 1 was disabled in record 20.\n\tacknowledged by: first, \
             lap\\u{7}top\n\tnot yet by: phone\n"
        ));
        assert!(text.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
        let seen = SeenBody {
            head: Some("OLD".into()),
            alarm: Some("behind".into()),
            text: Some("its head went back".into()),
            record: 9,
        };
        let adoption = AdoptionBody {
            epoch: 2,
            root: "ROOT".into(),
            taken: 7,
            followed: true,
            adopted_record: Some(5),
            seen: Some(seen),
            alarms: 1,
            last_alarm_record: Some(9),
            objections: 2,
            last_objection: Some(ObjectionBody { aum: "EVIL".into(), record: 8 }),
            ..AdoptionBody::default()
        };
        let text = Everyone { adoption: Some(&adoption), ..everyone }.text();
        assert!(text.ends_with(
            "\nEpoch 2 was followed from elsewhere in record 5.\n\troot ROOT, 7 AUMs on \
             record\n\tshown as head: OLD (record 9)\n\tALARM: its head went back\n\talarms so \
             far: 1, the last in record 9\n\tALARM: 2 AUMs that this ledger would have refused, \
             the last in record 8:\n\t\tEVIL\n"
        ));
    }
}
