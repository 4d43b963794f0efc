//! Revocations: tailscaled's three endpoints, and those that wait on record.

use std::sync::{Arc, Mutex, PoisonError};

use hyper::{Response, StatusCode};
use ledger::Fault;
use ledger::history::{ChangeReason, Event, cosigning, records};
use ledger::ids::{AumHash, LockKey};
use ledger::lock::Sealed;
use ledger::lock::signatures::PrivateKey;

use super::here::enforced;
use super::{body, empty, json, list, marked, ours, parsed};
use crate::local_api::api::Api;
use crate::local_api::bodies::{
    BadWhich, FinishRevocationRequest, GenerateRequest, OpenRevocationRequest, RevocationBody,
    WhichRevocation, WithdrawRevocationRequest, to_json,
};
use crate::local_api::call::Call;
use crate::local_api::changes::{Done, Plan};
use crate::local_api::http::{self, Body};
use crate::local_api::problem::Problem;
use crate::local_api::revocation_body;
use crate::operations::revoke::{self, About, Step, Which, cosign, finish, generate, withdraw};
use crate::operations::{Ground, NotPlanned};

/// The checkpoint that a plan leads to, once its event is recorded.
type Outcome = Arc<Mutex<Option<Sealed>>>;

impl Api {
    pub(super) async fn generate_revocation(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: GenerateRequest = body(call)?;
        let fork_from = match request.fork_from.as_str() {
            "" => None,
            text => Some(parsed::<AumHash>("decoding fork-from", text)?),
        };
        // The official command line sends the zero hash when it means none.
        let fork_from = fork_from.filter(|hash| hash.0 != [0; 32]);
        let keys = request.keys.iter().flatten().map(|key| {
            <[u8; 32]>::try_from(&key.0[..]).map(LockKey).map_err(|_| {
                let len = key.0.len();
                Problem::bad(format!("a tailnet-lock key has 32 bytes, this one has {len}"))
            })
        });
        let about = About { keys: keys.collect::<Result<_, _>>()?, ..About::default() };
        let step = move |ground: Ground<'_>, key: &PrivateKey| {
            generate::plan(ground, &about, fork_from, key)
        };
        let (aum, done) = self.signed_step(call, "revoke", &to_json(&request), step).await?;
        Ok(marked(cbor(&aum), &done))
    }

    pub(super) async fn cosign_revocation(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let which = Which::Blob(Box::new(decoded(&call.body)?));
        let step = move |ground: Ground<'_>, key: &PrivateKey| cosign::plan(ground, &which, key);
        let (aum, done) = self.signed_step(call, "revoke cosign", &call.body, step).await?;
        Ok(marked(cbor(&aum), &done))
    }

    pub(super) async fn submit_revocation(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let which = Which::Blob(Box::new(decoded(&call.body)?));
        let (done, before) = self.finished(call, &call.body, which, None, None).await?;
        // Our command line shows what it has undone; the original expects no answer.
        let shown = before.filter(|_| call.request_id.is_some() && done.is_new());
        Ok(marked(shown.as_ref().map_or_else(empty, json), &done))
    }

    pub(super) async fn revocations(&self) -> Result<Response<Body>, Problem> {
        self.look(|ground| {
            let waiting = cosigning::list(ground.rows)?;
            let bodies: Result<Vec<RevocationBody>, Fault> =
                waiting.iter().map(|pending| revocation_body::pending(ground, pending)).collect();
            list(bodies?)
        })
        .await
    }

    pub(super) async fn revocation_show(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let which = ours::<WhichRevocation>(call)?.which()?;
        self.look(move |ground| {
            let shown = match &which {
                Which::Name(name) => {
                    revocation_body::pending(ground, &revoke::find(ground, name)?)?
                }
                Which::Blob(aum) => revocation_body::revocation(ground, aum)?,
            };
            Ok(json(&shown))
        })
        .await
    }

    pub(super) async fn revocation_open(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: OpenRevocationRequest = ours(call)?;
        let fork_from = fork_from(request.fork_from.as_deref())?;
        let about = About {
            keys: keys(&request.keys)?,
            reason: reason(request.reason.as_deref())?,
            note: request.note.clone(),
        };
        let (verb, arguments) = ("revoke", to_json(&request));
        let (aum, done) = match &request.aum {
            None => {
                let step = move |ground: Ground<'_>, key: &PrivateKey| {
                    generate::plan(ground, &about, fork_from, key)
                };
                self.signed_step(call, verb, &arguments, step).await?
            }
            Some(_) if fork_from.is_some() => {
                return Err(Problem::bad("a checkpoint says itself where it forks off"));
            }
            Some(aum) => {
                let aum = decoded(&aum.0)?;
                let step = move |ground: Ground<'_>| generate::import(ground, aum.clone(), &about);
                self.stepped(call, verb, &arguments, step).await?
            }
        };
        self.revocation_shown(aum, &done).await
    }

    pub(super) async fn revocation_sign(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: WhichRevocation = ours(call)?;
        let which = request.which()?;
        let step = move |ground: Ground<'_>, key: &PrivateKey| cosign::plan(ground, &which, key);
        let (aum, done) = self.signed_step(call, "revoke cosign", &to_json(&request), step).await?;
        self.revocation_shown(aum, &done).await
    }

    pub(super) async fn revocation_finish(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: FinishRevocationRequest = ours(call)?;
        let (which, reason) = (request.which.which()?, reason(request.reason.as_deref())?);
        let note = request.note.clone();
        let (done, _) = self.finished(call, &to_json(&request), which, reason, note).await?;
        Ok(marked(empty(), &done))
    }

    pub(super) async fn revocation_withdraw(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: WithdrawRevocationRequest = ours(call)?;
        let asked = request.clone();
        let plan: Arc<Plan> = Arc::new(move |ground| {
            withdraw::plan(ground, &asked.revocation, asked.note.as_deref()).map(Some)
        });
        let done = self.change(call, "revoke withdraw", &to_json(&request), plan).await?;
        Ok(marked(empty(), &done))
    }

    /// A step that the machine's lock key signs.
    async fn signed_step(
        &self,
        call: &Call,
        verb: &'static str,
        arguments: &[u8],
        step: impl Fn(Ground<'_>, &PrivateKey) -> Result<Step, NotPlanned> + Send + Sync + 'static,
    ) -> Result<(Sealed, Done), Problem> {
        let keys = self.keys.clone();
        self.stepped(call, verb, arguments, move |ground| {
            ground.authority()?;
            step(ground, keys.lock.as_deref().ok_or(NotPlanned::NoLockKey)?)
        })
        .await
    }

    /// A step towards a revocation; gives the checkpoint with the signatures on record.
    async fn stepped(
        &self,
        call: &Call,
        verb: &'static str,
        arguments: &[u8],
        step: impl Fn(Ground<'_>) -> Result<Step, NotPlanned> + Send + Sync + 'static,
    ) -> Result<(Sealed, Done), Problem> {
        let outcome = Outcome::default();
        let (planned, aside) = (outcome.clone(), self.aside());
        let plan: Arc<Plan> = Arc::new(move |ground| {
            enforced(&aside, ground)?;
            let Step { event, aum } = step(ground)?;
            *planned.lock().unwrap_or_else(PoisonError::into_inner) = Some(aum);
            Ok(event)
        });
        let _turn = self.updating.lock().await;
        let done = self.change(call, verb, arguments, plan).await?;
        let planned = outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        let aum = match (planned, done.index()) {
            (Some(aum), _) => aum,
            // Recorded by an earlier try of this request.
            (None, Some(index)) => self.look(move |ground| recorded(ground, index)).await?,
            (None, None) => return Err(Fault::new("a step of a revocation led nowhere").into()),
        };
        Ok((aum, done))
    }

    /// The last step; gives how a revocation that was brought along looked before.
    async fn finished(
        &self,
        call: &Call,
        arguments: &[u8],
        which: Which,
        reason: Option<ChangeReason>,
        note: Option<String>,
    ) -> Result<(Done, Option<RevocationBody>), Problem> {
        let (asked, aside) = (which.clone(), self.aside());
        let before: Arc<Mutex<Option<RevocationBody>>> = Arc::default();
        let looked = before.clone();
        let plan: Arc<Plan> = Arc::new(move |ground| {
            enforced(&aside, ground)?;
            if let Which::Blob(aum) = &asked {
                let shown = revocation_body::revocation(ground, aum)?;
                *looked.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
            }
            finish::plan(ground, &asked, reason, note.as_deref())
        });
        let _turn = self.updating.lock().await;
        let done = self.change(call, "revoke finish", arguments, plan).await?;
        if let (Which::Blob(aum), true) = (which, done.is_new()) {
            // One that did not wait on record may have been overtaken in the last moment.
            self.look(move |ground| Ok(finish::took_effect(ground, &aum)?)).await?;
        }
        let before = before.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok((done, before))
    }

    async fn revocation_shown(&self, aum: Sealed, done: &Done) -> Result<Response<Body>, Problem> {
        let shown =
            self.look(move |ground| Ok(json(&revocation_body::revocation(ground, &aum)?))).await?;
        Ok(marked(shown, done))
    }
}

/// The checkpoint that a record was about: with the signatures that are on record now if it waits
/// still, otherwise as that record left it.
fn recorded(ground: Ground<'_>, index: u64) -> Result<Sealed, Problem> {
    let event = |index: u64| -> Result<Event, Fault> {
        let record = records::record(ground.rows, index)?
            .ok_or_else(|| Fault::new(format!("record {index} is missing")))?;
        Ok(record.proposal().proposal().event.clone())
    };
    let id = match event(index)? {
        Event::RevocationOpened(opened) => opened.aum.sig_hash(),
        Event::RevocationSigned(signed) => signed.revocation,
        _ => return Err(Fault::new(format!("record {index} is about no revocation")).into()),
    };
    if let Some(pending) = cosigning::pending(ground.rows, id)? {
        return Ok(pending.opened.aum);
    }
    let mut later = Vec::new();
    for at in (0..=index).rev() {
        match event(at)? {
            Event::RevocationSigned(signed) if signed.revocation == id => later.push(signed),
            Event::RevocationOpened(opened) if opened.aum.sig_hash() == id => {
                let signed = later.iter().rev();
                return Ok(signed.fold(opened.aum, |aum, signed| signed.onto(aum)));
            }
            _ => {}
        }
    }
    Err(Fault::new(format!("the beginning of revocation {id} is missing")).into())
}

fn decoded(bytes: &[u8]) -> Result<Sealed, Problem> {
    Sealed::decode(bytes).map_err(|error| BadWhich::from(error).into())
}

impl From<BadWhich> for Problem {
    fn from(bad: BadWhich) -> Self {
        let problem = Problem::bad(bad.to_string());
        match bad {
            BadWhich::NotOne => problem,
            BadWhich::Aum(_) => {
                problem.with_remedy("copy the blob again, whole, from the command that printed it")
            }
        }
    }
}

fn keys(texts: &[String]) -> Result<Vec<LockKey>, Problem> {
    texts.iter().map(|text| parsed("keys", text)).collect()
}

fn fork_from(text: Option<&str>) -> Result<Option<AumHash>, Problem> {
    let hash = text.map(AumHash::from_any).transpose();
    hash.map_err(|error| Problem::bad(format!("fork_from: {error}")))
}

/// A reason by its name.
pub(super) fn reason(name: Option<&str>) -> Result<Option<ChangeReason>, Problem> {
    let Some(name) = name else { return Ok(None) };
    let known = ChangeReason::ALL.into_iter().find(|reason| reason.name() == name);
    known
        .map(Some)
        .ok_or_else(|| Problem::bad("the reason is none of compromised, rotated, left, other"))
}

fn cbor(aum: &Sealed) -> Response<Body> {
    http::whole(StatusCode::OK, "application/octet-stream", aum.bytes().to_vec())
}
