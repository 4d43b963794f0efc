//! Bringing a history in: its beginning, its AUMs in pages, then the nodes.

use std::fmt::Write as _;

use ledger::history::requests;
use ledger::limits::EVENT_AUMS;
use ledger::lock::Sealed;
use replica::local_api::bodies::{
    ADOPTION_PAGE_BYTES, AdoptionAumsRequest, AdoptionBeginRequest, AdoptionBody,
    AdoptionNodeAnswer, AdoptionNodeRequest, Base64,
};
use replica::local_api::client::{Asked, Changed, ClientError, Receipt};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::members::Members;
use super::plan::Plan;
use crate::commands::Session;
use crate::commands::change::{Done, Request};
use crate::exit::Failure;
use crate::print::{self, line};

/// A lock that has been brought in.
pub(super) struct Brought {
    pub(super) adoption: AdoptionBody,
    pub(super) nodes: Vec<AdoptionNodeAnswer>,
    pub(super) not_brought: Vec<NotBrought>,
    receipt: Receipt,
}

/// A node that the ledger does not take in.
#[derive(Debug, Clone, Serialize)]
pub(super) struct NotBrought {
    name: String,
    pub(super) node_key: String,
    error: String,
}

impl NotBrought {
    /// That node, if it was refused for what it is: the others may still come.
    pub(super) fn of(node: &AdoptionNodeRequest, error: ClientError) -> Result<Self, ClientError> {
        if !matches!(error, ClientError::Status { status: 400 | 409 | 413, .. }) {
            return Err(error);
        }
        let error = Failure::from(error).what;
        Ok(NotBrought { name: node.name.clone(), node_key: node.node_key.clone(), error })
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let NotBrought { name, node_key, error } = self;
        format!("not brought in: {}\t{}\t{}", line(name), line(node_key), line(error))
    }
}

/// Brings a history and its nodes in. After it was cut short the same goes on where it stopped.
pub(super) fn bring(
    plan: &Plan,
    members: &Members,
    request: &Request,
    session: &Session,
) -> Result<Brought, Failure> {
    let client = &session.client;
    let head = plan.history.head.to_string();
    let digest = digest(plan);
    let mut part = 0;
    let mut next = || {
        let asked = Asked { digest: Some(digest), part, ..request.asked() };
        part += 1;
        asked
    };
    let begin = AdoptionBeginRequest {
        root: Base64(plan.root.bytes().to_vec()),
        head,
        aums: plan.history.aums.len() as u64,
        followed: plan.followed,
    };
    let mut last = changed(request, session.wait(client.adoption_begin(&begin, &next())))?;
    let rest = plan.history.aums.get(1..).unwrap_or_default();
    for page in pages(rest) {
        let asked = next();
        // Complete already: this command was run before.
        if last.0.adopted_record.is_some() {
            continue;
        }
        let aums = page.iter().map(|aum| Base64(aum.bytes().to_vec())).collect();
        let body = AdoptionAumsRequest { aums };
        last = changed(request, session.wait(client.adoption_aums(&body, &asked)))?;
        if last.0.adopted_record.is_none() {
            print::note(&format!("{} of {} AUMs are on record", last.0.taken, last.0.aums));
        }
    }
    let (adoption, mut receipt) = last;
    let Some(record) = adoption.adopted_record else {
        return Err(Failure::new(format!(
            "{} of {} AUMs are on record, and the adoption is not complete",
            adoption.taken, adoption.aums
        ))
        .remedy("Run 'lockstep adopt --end', and begin again."));
    };
    if receipt.record_index != Some(record) {
        // It was complete before this was asked.
        let line = session.wait(client.records(record, 1))?.into_iter().next();
        receipt.record_index = Some(record);
        receipt.record_hash = line.map(|line| line.hash);
        receipt.repeated = true;
    }
    let (mut nodes, mut not_brought) = (Vec::new(), Vec::new());
    for member in members.all() {
        match session.wait(client.adoption_node(&member, &next())) {
            Ok(answer) => nodes.push(answer.value),
            Err(error) => match NotBrought::of(&member, error) {
                Ok(node) => not_brought.push(node),
                Err(error) => return Err(request.failed(error)),
            },
        }
    }
    Ok(Brought { adoption, nodes, not_brought, receipt })
}

/// An answer to a part of the change.
fn changed(
    request: &Request,
    answer: Result<Changed<Option<AdoptionBody>>, ClientError>,
) -> Result<(AdoptionBody, Receipt), Failure> {
    let Changed { value, receipt } = answer.map_err(|error| request.failed(error))?;
    let adoption = value.ok_or_else(|| {
        Failure::new("the adoption was given up meanwhile").remedy("Run the same command again.")
    })?;
    Ok((adoption, receipt))
}

/// Stands for what was asked.
fn digest(plan: &Plan) -> [u8; 32] {
    let mut arguments = plan.root.hash().0.to_vec();
    arguments.extend(plan.history.head.0);
    arguments.extend((plan.history.aums.len() as u64).to_be_bytes());
    arguments.push(plan.followed.into());
    requests::digest("adopt", &arguments)
}

/// AUMs in pages that one request each can carry.
pub(super) fn pages(aums: &[Sealed]) -> impl Iterator<Item = &[Sealed]> {
    let mut left = aums;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = left.iter().take(EVENT_AUMS).take_while(|aum| {
            let first = bytes == 0;
            bytes += aum.bytes().len();
            first || bytes <= ADOPTION_PAGE_BYTES
        });
        let (page, rest) = left.split_at(fits.count());
        left = rest;
        (!page.is_empty()).then_some(page)
    })
}

impl Brought {
    /// How it ended, for the outcome.
    pub(super) fn done(&self) -> Done {
        Done { receipt: self.receipt.clone(), node: None }
    }

    /// What is told besides the outcome in JSON.
    pub(super) fn document(&self) -> Map<String, Value> {
        let node = |answer: &AdoptionNodeAnswer| {
            json!({
                "id": answer.node.id,
                "name": answer.node.name,
                "node_key": answer.node.node_key,
                "locked_out": answer.locked_out,
            })
        };
        let mut document = Map::new();
        document.insert("epoch".into(), self.adoption.epoch.into());
        document.insert("root".into(), self.adoption.root.clone().into());
        document.insert("head".into(), self.adoption.head.clone().into());
        document.insert("aums".into(), self.adoption.aums.into());
        document.insert("followed".into(), self.adoption.followed.into());
        document.insert("nodes".into(), self.nodes.iter().map(node).collect());
        if !self.not_brought.is_empty() {
            document.insert("not_brought".into(), json!(self.not_brought));
        }
        document
    }

    /// Fails if some of the nodes are missing.
    pub(super) fn whole(&self) -> Result<(), Failure> {
        if self.not_brought.is_empty() {
            return Ok(());
        }
        let all = self.nodes.len() + self.not_brought.len();
        Err(Failure::new(format!(
            "the lock is adopted, but {} of {all} nodes could not be brought in",
            self.not_brought.len()
        )))
    }

    /// What has become of it.
    pub(super) fn text(&self, session: &Session) -> Result<String, Failure> {
        let Brought { adoption, nodes, not_brought, .. } = self;
        let mut out = format!(
            "Adopted as epoch {} (record {}): {} AUMs, head {}.\n",
            adoption.epoch,
            adoption.adopted_record.unwrap_or_default(),
            adoption.aums,
            adoption.head
        );
        let status = session.wait(session.client.lock_status())?;
        let own = status.public_key;
        let trusted = status.trusted_keys.iter().flatten().any(|trusted| trusted.key == own);
        if !adoption.followed && !own.is_zero() && !trusted {
            let _ = writeln!(
                out,
                "This signing node's key {own} is not trusted by the lock: it signs nothing until \
                 a node with a trusted key has added it."
            );
        }
        out.push_str(&told(nodes));
        for node in not_brought {
            let _ = writeln!(out, "\t{}", node.text());
        }
        Ok(out)
    }
}

/// Who came in, and who is locked out and why.
pub(super) fn told(nodes: &[AdoptionNodeAnswer]) -> String {
    let mut out = String::new();
    let out_of = |answer: &&AdoptionNodeAnswer| answer.locked_out.is_some();
    let locked: Vec<&AdoptionNodeAnswer> = nodes.iter().filter(out_of).collect();
    if !nodes.is_empty() {
        let _ =
            writeln!(out, "Nodes: {} in, {} locked out.", nodes.len() - locked.len(), locked.len());
    }
    for answer in locked {
        let why = answer.locked_out.as_deref().unwrap_or_default();
        let (name, key) = (line(&answer.node.name), line(&answer.node.node_key));
        let _ = writeln!(out, "\tlocked out: {name}\t{key}\t{}", line(why));
    }
    out
}

#[cfg(test)]
mod tests {
    use ledger::testing::{Chains, genesis, key};

    use super::*;

    #[test]
    fn pages_hold_all_in_their_order() {
        let signer = key(1);
        let root = genesis(1, &[(&signer, 1)]);
        let names: Vec<String> = (0..1030).map(|n| format!("N{n}")).collect();
        let chains = Chains::of(&format!("G -> {}", names.join(" -> ")), &root, &signer);
        let all = chains.all();
        let split: Vec<&[Sealed]> = pages(&all).collect();
        assert_eq!(split.iter().map(|page| page.len()).collect::<Vec<_>>(), [1024, 6]);
        assert_eq!(split.concat(), all);
        assert_eq!(pages(&[]).count(), 0);
    }
}
