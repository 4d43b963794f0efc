//! Locks that exist elsewhere: bringing one in, following it, and its tailnet's nodes.

use std::sync::Arc;

use hyper::Response;
use ledger::Fault;
use ledger::history::adoption::{self, Adoption, Alarm};
use ledger::history::{AdoptionBegun, Event, roster};
use ledger::ids::AumHash;
use ledger::limits::EVENT_AUMS;
use ledger::lock::Sealed;
use ledger::lock::node_keys::NodeKeySignature;

use super::{json, list, marked, ours, parsed};
use crate::local_api::answers;
use crate::local_api::api::Api;
use crate::local_api::bodies::{
    AdoptionAumsRequest, AdoptionBeginRequest, AdoptionBody, AdoptionNodeAnswer,
    AdoptionNodeRequest, AdoptionObserveRequest, AdoptionUnknownRequest, Base64, ObjectionBody,
    SeenBody,
};
use crate::local_api::call::Call;
use crate::local_api::changes::{Done, Plan};
use crate::local_api::http::Body;
use crate::local_api::problem::Problem;
use crate::operations::adopt::{self, Member, Shown};
use crate::operations::{Ground, NotPlanned};

/// Hashes that are looked up at once.
const MAX_HASHES: usize = 16_384;

impl Api {
    pub(super) async fn adoption(&self) -> Result<Response<Body>, Problem> {
        self.look(|ground| Ok(json(&current(ground)?))).await
    }

    pub(super) async fn adoption_begin(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: AdoptionBeginRequest = ours(call)?;
        let begun = AdoptionBegun {
            root: aum("root", &request.root)?,
            head: hash(&request.head)?,
            aums: request.aums,
            followed: request.followed,
        };
        let plan: Arc<Plan> = Arc::new(move |ground| adopt::begin(ground, &begun));
        let done = self.change(call, "adoption begin", &call.body, plan).await?;
        self.adopted(&done).await
    }

    pub(super) async fn adoption_aums(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: AdoptionAumsRequest = ours(call)?;
        not_too_many(request.aums.len(), EVENT_AUMS)?;
        let aums = (0..).zip(&request.aums).map(|(n, bytes)| aum(&format!("AUM {n}"), bytes));
        let aums = aums.collect::<Result<Vec<_>, _>>()?;
        let _turn = self.updating.lock().await;
        let plan: Arc<Plan> = Arc::new(move |ground| adopt::aums(ground, &aums));
        let done = self.change(call, "adoption aums", &call.body, plan).await?;
        self.adopted(&done).await
    }

    pub(super) async fn adoption_end(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let plan: Arc<Plan> = Arc::new(|_| Ok(Some(Event::AdoptionEnded)));
        let done = self.change(call, "adoption end", b"", plan).await?;
        self.adopted(&done).await
    }

    pub(super) async fn adoption_unknown(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: AdoptionUnknownRequest = ours(call)?;
        not_too_many(request.hashes.len(), MAX_HASHES)?;
        let hashes = request.hashes.iter().map(|text| hash(text)).collect::<Result<Vec<_>, _>>()?;
        self.look(move |ground| {
            let current = adoption::current(ground.rows, ground.fold.lifecycle())?;
            let unknown = match current {
                Some(adoption) => adopt::unknown(ground, adoption.epoch, &hashes)?,
                None => hashes,
            };
            list(unknown.iter().map(ToString::to_string).collect())
        })
        .await
    }

    pub(super) async fn adoption_observe(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: AdoptionObserveRequest = ours(call)?;
        not_too_many(request.aums.len(), EVENT_AUMS)?;
        let shown = Arc::new(Shown {
            head: request.head.as_deref().map(hash).transpose()?,
            aums: request.aums.into_iter().map(|bytes| bytes.0).collect(),
            more: request.more,
        });
        let _turn = self.updating.lock().await;
        // New AUMs are an event, and what is then to say of the head is another.
        loop {
            let shown = shown.clone();
            let plan: Arc<Plan> = Arc::new(move |ground| adopt::observe(ground, &shown));
            if !self.note(call, "adoption observed", plan).await? {
                break;
            }
        }
        self.adoption().await
    }

    pub(super) async fn adoption_node(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: AdoptionNodeRequest = ours(call)?;
        let signature = match &request.signature {
            None => None,
            Some(bytes) => Some(
                NodeKeySignature::decode(&bytes.0)
                    .map_err(|error| Problem::bad(format!("signature: {error}")))?,
            ),
        };
        let lock_key = request.lock_key.as_deref();
        let beside = request.beside.iter().map(|key| parsed("beside", key));
        let member = Arc::new(Member {
            name: request.name.clone(),
            node_key: parsed("node_key", &request.node_key)?,
            lock_key: lock_key.map(|key| parsed("lock_key", key)).transpose()?,
            signature,
            beside: beside.collect::<Result<_, _>>()?,
        });
        let planned = member.clone();
        let plan: Arc<Plan> = Arc::new(move |ground| adopt::node(ground, &planned));
        let done = self.change(call, "adoption node", &call.body, plan).await?;
        let changed = done.is_new();
        let response = self.look(move |ground| {
            let state = ground.authority()?.state();
            let node = roster::by_node_key(ground.rows, member.node_key)?
                .ok_or(NotPlanned::UnknownNodeKey(member.node_key))?;
            let out = (!node.standing.is_in())
                .then(|| adopt::why_out(state, &member).unwrap_or_else(|| answers::reason(&node)));
            let node = answers::node(&node);
            Ok(json(&AdoptionNodeAnswer { node, changed, locked_out: out }))
        });
        Ok(marked(response.await?, &done))
    }

    /// How an adoption stands after a change.
    async fn adopted(&self, done: &Done) -> Result<Response<Body>, Problem> {
        Ok(marked(self.adoption().await?, done))
    }
}

/// The lock that is being adopted, or that is on and was.
pub(super) fn current(ground: Ground<'_>) -> Result<Option<AdoptionBody>, Fault> {
    Ok(adoption::current(ground.rows, ground.fold.lifecycle())?.as_ref().map(body))
}

fn body(adoption: &Adoption) -> AdoptionBody {
    AdoptionBody {
        epoch: adoption.epoch.0,
        root: adoption.root.to_string(),
        head: adoption.head.to_string(),
        aums: adoption.aums,
        taken: adoption.taken,
        followed: adoption.followed,
        begun_record: adoption.begun,
        adopted_record: adoption.adopted,
        seen: adoption.seen.map(|seen| SeenBody {
            head: seen.head.map(|head| head.to_string()),
            alarm: seen.alarm.map(|alarm| alarm.name().to_owned()),
            text: seen.alarm.map(|alarm| meaning(alarm).to_owned()),
            record: seen.record,
        }),
        alarms: adoption.alarms,
        last_alarm_record: adoption.last_alarm,
        objections: adoption.objections,
        last_objection: adoption
            .objection
            .map(|(aum, record)| ObjectionBody { aum: aum.to_string(), record }),
    }
}

/// What an alarm means.
fn meaning(alarm: Alarm) -> &'static str {
    match alarm {
        Alarm::Off => "it says that tailnet lock is off, and nobody has shown a secret for that",
        Alarm::Behind => "its head went back: it no longer shows AUMs that it had shown",
        Alarm::LosingBranch => "a branch is active there that loses to one that it had shown",
        Alarm::OtherLock => "it shows another lock in place of this one",
        Alarm::Unconnected => "it shows AUMs and withholds those that come before them",
        Alarm::BreaksRules => "it shows an AUM that breaks the rules of tailnet lock",
    }
}

/// What a status says besides: that an adoption is not complete, or that the server of a followed
/// lock raises an alarm or has raised one.
pub(super) fn remark(ground: Ground<'_>) -> Result<Option<String>, Fault> {
    let Some(adoption) = adoption::current(ground.rows, ground.fold.lifecycle())? else {
        return Ok(None);
    };
    if adoption.adopted.is_none() {
        return Ok(Some(format!(
            "A lock that exists elsewhere is being adopted: {} of {} AUMs are on record, and \
             nothing of it is in force. Run the same 'lockstep adopt' again to complete it, or \
             'lockstep adopt --end' to give it up.",
            adoption.taken, adoption.aums
        )));
    }
    let alarm = adoption.seen.and_then(|seen| seen.alarm.map(|alarm| (seen.record, alarm)));
    let mut said = Vec::new();
    match (alarm, adoption.last_alarm) {
        (Some((record, alarm)), _) => said.push(format!(
            "ALARM: the server of the followed lock: {} (record {record}).",
            meaning(alarm)
        )),
        (None, Some(last)) => said.push(format!(
            "The server of the followed lock has raised {} alarms; the last is in record {last}.",
            adoption.alarms
        )),
        (None, None) => {}
    }
    if let Some((aum, record)) = adoption.objection {
        said.push(format!(
            "ALARM: the followed lock has taken {} AUMs that this ledger would have refused; the \
             last is {aum} (record {record}).",
            adoption.objections
        ));
    }
    Ok((!said.is_empty()).then(|| said.join(" ")))
}

fn aum(what: &str, bytes: &Base64) -> Result<Sealed, Problem> {
    Sealed::decode(&bytes.0).map_err(|error| Problem::bad(format!("{what}: {error}")))
}

fn hash(text: &str) -> Result<AumHash, Problem> {
    AumHash::from_any(text).map_err(|error| Problem::bad(format!("{text:?}: {error}")))
}

fn not_too_many(number: usize, most: usize) -> Result<(), Problem> {
    if number > most {
        return Err(Problem::bad(format!("{number} are more than the {most} of one request")));
    }
    Ok(())
}
