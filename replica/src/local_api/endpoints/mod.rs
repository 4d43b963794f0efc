//! What each endpoint does.

mod adoption;
mod auth_keys;
mod group;
mod here;
mod history;
mod init;
mod lock;
mod machine;
mod nodes;
mod outside;
mod revocations;

use std::path::PathBuf;
use std::sync::Arc;

use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use ledger::Fault;
use ledger::history::Event;
use ledger::ids::LockKey;
use ledger::lock::Key;
use ledger::lock::signatures::{PrivateKey, Signer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use self::history::log_of;
#[cfg(test)]
pub(super) use self::lock::{deeplink_answer, signatures_of};
use super::bodies::{KeyBody, from_go_json, to_json};
use super::changes::{Done, Plan};
use super::http::{self, Body};
use super::problem::Problem;
use super::reading::{self, Reading};
use super::routes::{Endpoint, query};
use super::server::Call;
use super::{Access, answers, headers};
use crate::daemon::Escrow;
use crate::disk::local_disable::LocalDisable;
use crate::keys::Keys;
use crate::node::{Handle, View};
use crate::operations::{Ground, NotPlanned};

/// What the local API works with.
#[derive(Debug)]
pub struct Api {
    node: Handle,
    keys: Arc<Keys>,
    data_dir: PathBuf,
    access: Access,
    /// Where support secrets go, if the operator has said so.
    escrow: Option<Escrow>,
    /// Which locks are set aside on this machine.
    aside: Arc<LocalDisable>,
    /// Held while the machine's own node key is being replaced.
    rotating: Mutex<()>,
    /// Held while AUMs are planned and recorded: each stands on the one before, so this machine's
    /// changes queue up instead of overtaking each other.
    updating: Mutex<()>,
}

impl Api {
    /// An API on a running replica, with the keys of its machine.
    pub fn new(
        node: Handle,
        keys: Arc<Keys>,
        data_dir: PathBuf,
        access: Access,
        escrow: Option<Escrow>,
        aside: LocalDisable,
    ) -> Self {
        let (rotating, updating) = (Mutex::new(()), Mutex::new(()));
        Api { node, keys, data_dir, access, escrow, aside: Arc::new(aside), rotating, updating }
    }

    pub(super) fn access(&self) -> Access {
        self.access
    }

    pub(super) fn node(&self) -> &Handle {
        &self.node
    }

    /// The state for the request that is being answered: one with everything in it that was
    /// acknowledged before, unless a read makes do with less.
    pub(super) async fn read(&self) -> Result<Arc<View>, Problem> {
        reading::read(&self.node).await
    }

    fn lock_key(&self) -> Option<LockKey> {
        self.keys.lock.as_ref().map(|key| key.public())
    }

    /// Runs something on a fresh view, away from the threads that serve connections.
    async fn look<T: Send + 'static>(
        &self,
        f: impl FnOnce(Ground<'_>) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let view = self.read().await?;
        blocking(move || f(Ground { fold: view.fold(), rows: view.rows() })).await?
    }

    /// A plan that signs with the machine's lock key.
    fn signing(
        &self,
        plan: impl Fn(Ground<'_>, &PrivateKey) -> Result<Option<Event>, NotPlanned>
        + Send
        + Sync
        + 'static,
    ) -> Arc<Plan> {
        let keys = self.keys.clone();
        Arc::new(move |ground| plan(ground, keys.lock.as_deref().ok_or(NotPlanned::NoLockKey)?))
    }

    pub(super) async fn answer(self: &Arc<Self>, call: &Call) -> Result<Response<Body>, Problem> {
        Reading::of(call)?.answer(self.answer_here(call)).await
    }

    async fn answer_here(self: &Arc<Self>, call: &Call) -> Result<Response<Body>, Problem> {
        use Endpoint as E;
        match &call.endpoint {
            E::MachineStatus => self.machine_status(call).await,
            E::LockStatus => self.lock_status().await,
            E::Log => self.log(call).await,
            E::Init => self.init(call).await,
            E::Modify => self.modify(call).await,
            E::Sign => self.sign(call).await,
            E::Disable => self.disable(call).await,
            E::AffectedSignatures => self.affected_signatures(call).await,
            E::VerifyDeeplink => self.verify_deeplink(call).await,
            E::LocalDisable => self.local_disable(call).await,
            E::LocalEnable => self.local_enable(call).await,
            E::MachineMap => self.machine_map(call).await,
            E::MachineBootstrap => self.machine_bootstrap(call).await,
            E::MachineOffer => self.machine_offer(call).await,
            E::MachineSend => self.machine_send(call).await,
            E::Acknowledgements => self.acknowledgements().await,
            E::WrapAuthKey => self.wrap_auth_key(call).await,
            E::Identity => self.identity().await,
            E::Records => self.records(call).await,
            E::Checkpoint => self.checkpoint(call).await,
            E::Tile(tile) => self.tile(*tile).await,
            E::Record(index) => self.record_bytes(*index).await,
            E::EpochLog => self.epoch_log(call).await,
            E::Epochs => self.epochs().await,
            E::Request(id) => self.request(id).await,
            E::RemoveKeys => self.remove_keys(call).await,
            E::Unsigned => self.unsigned(call).await,
            E::Signed => self.signed(call).await,
            E::GenerateRevocation => self.generate_revocation(call).await,
            E::CosignRevocation => self.cosign_revocation(call).await,
            E::SubmitRevocation => self.submit_revocation(call).await,
            E::Revocations => self.revocations().await,
            E::RevocationShow => self.revocation_show(call).await,
            E::RevocationOpen => self.revocation_open(call).await,
            E::RevocationSign => self.revocation_sign(call).await,
            E::RevocationFinish => self.revocation_finish(call).await,
            E::RevocationWithdraw => self.revocation_withdraw(call).await,
            E::Nodes => self.node_list().await,
            E::NodeShow => self.node_show(call).await,
            E::NodeAdd => self.node_add(call).await,
            E::NodeRotate => self.node_rotate(call).await,
            E::NodeRemove => self.node_remove(call).await,
            E::AuthKeys => self.auth_keys().await,
            E::AuthKeyCreate => self.auth_key_create(call).await,
            E::AuthKeyRevoke => self.auth_key_revoke(call).await,
            E::CheckSecret => self.check_secret(call).await,
            E::Adoption => self.adoption().await,
            E::AdoptionBegin => self.adoption_begin(call).await,
            E::AdoptionAums => self.adoption_aums(call).await,
            E::AdoptionEnd => self.adoption_end(call).await,
            E::AdoptionUnknown => self.adoption_unknown(call).await,
            E::AdoptionObserve => self.adoption_observe(call).await,
            E::AdoptionNode => self.adoption_node(call).await,
            E::Group => self.group(call).await,
            E::GroupInvite => self.group_invite(call).await,
            E::GroupApprove => self.group_approve(call).await,
            E::GroupPromote => self.group_promote(call).await,
            E::GroupDemote => self.group_demote(call).await,
            E::GroupRemove => self.group_remove(call).await,
            E::GroupLeader => self.group_leader(call).await,
        }
    }
}

/// Runs what may block on its own thread.
pub(super) async fn blocking<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(f).await.map_err(|error| {
        Fault::from_error("a request's thread ended without an answer", error).into()
    })
}

fn keys(bodies: Option<Vec<KeyBody>>) -> Vec<Key> {
    bodies.unwrap_or_default().into_iter().map(answers::key).collect()
}

fn body<T: DeserializeOwned + Default>(call: &Call) -> Result<T, Problem> {
    from_go_json(&call.body).map_err(|_| Problem::bad("invalid JSON body"))
}

/// Our own requests are read strictly.
fn ours<T: DeserializeOwned>(call: &Call) -> Result<T, Problem> {
    serde_json::from_slice(&call.body)
        .map_err(|error| Problem::bad(format!("invalid JSON body: {error}")))
}

fn parsed<T: std::str::FromStr<Err = ledger::ids::TextError>>(
    what: &str,
    text: &str,
) -> Result<T, Problem> {
    text.parse().map_err(|error| Problem::bad(format!("{what}: {error}")))
}

/// The parameter `limit` as Go reads it: 50 if absent or empty; below 1 nothing is listed.
fn limit(call: &Call) -> Result<u64, Problem> {
    let text = query(call.query.as_deref(), "limit").unwrap_or_default();
    if text.is_empty() {
        return Ok(50);
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(&text);
    match text.parse::<i64>() {
        Ok(limit) => Ok(u64::try_from(limit).unwrap_or(0)),
        Err(_) => {
            let number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let why = if number { "value out of range" } else { "invalid syntax" };
            Err(Problem::bad(format!(
                "parsing 'limit' parameter: strconv.Atoi: parsing {text:?}: {why}"
            )))
        }
    }
}

fn json<T: Serialize>(value: &T) -> Response<Body> {
    http::whole(StatusCode::OK, "application/json", to_json(value))
}

/// As Go writes a nil slice: an empty list is `null`.
fn list<T: Serialize>(items: Vec<T>) -> Result<Response<Body>, Problem> {
    Ok(json(&Some(items).filter(|items| !items.is_empty())))
}

fn empty() -> Response<Body> {
    http::whole(StatusCode::OK, "text/plain; charset=utf-8", Vec::new())
}

fn no_content() -> Response<Body> {
    http::whole(StatusCode::NO_CONTENT, "", Vec::new())
}

fn marked(mut response: Response<Body>, done: &Done) -> Response<Body> {
    done.mark(&mut response);
    response
}

/// Says something to the person who asked for what was done.
fn warn(response: &mut Response<Body>, warning: &str) {
    if let Ok(value) = HeaderValue::from_str(warning) {
        response.headers_mut().insert(HeaderName::from_static(headers::WARNING), value);
    }
}
