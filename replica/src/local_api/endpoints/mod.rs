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

use std::sync::Arc;

use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use ledger::lock::Key;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(super) use self::here::enforced;
use self::history::log_of;
#[cfg(test)]
pub(super) use self::lock::{deeplink_answer, signatures_of};
use super::api::Api;
use super::bodies::{KeyBody, from_go_json, to_json};
use super::call::Call;
use super::changes::Done;
use super::http::{self, Body};
use super::problem::Problem;
use super::reading::Reading;
use super::routes::{Endpoint, query};
use super::{answers, headers};

impl Api {
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
