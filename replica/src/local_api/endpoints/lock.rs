//! Tailscaled's endpoints, and what belongs to their verbs.

use std::sync::Arc;

use hyper::Response;
use ledger::Fault;
use ledger::formats::deeplink::Deeplink;
use ledger::history::roster;
use ledger::ids::LockKey;
use ledger::limits::{KEYS_WARNING, MAX_KEYS};
use ledger::lock::Authority;

use super::adoption::remark;
use super::here::enforced;
use super::revocations::reason;
use super::{body, empty, json, keys, limit, list, log_of, marked, no_content, ours, warn};
use crate::local_api::answers;
use crate::local_api::api::Api;
use crate::local_api::bodies::{
    Base64, DeeplinkAnswer, DeeplinkRequest, ModifyRequest, RemoveRequest, SignRequest,
    from_go_json, to_json,
};
use crate::local_api::call::Call;
use crate::local_api::changes::{Done, Plan};
use crate::local_api::http::Body;
use crate::local_api::problem::Problem;
use crate::local_api::routes::query;
use crate::operations::enrol::own_node;
use crate::operations::{Ground, NotPlanned, disable, modify, sign};

/// What the status says besides while the lock is set aside here.
const DISABLED_HERE: &str = "Tailnet lock is on, but disabled on this node alone: it lets every \
                             node in and signs none. 'lockstep lock local-enable' ends that.";

impl Api {
    pub(super) async fn machine_status(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let peers = query(call.query.as_deref(), "peers").as_deref() != Some("false");
        let id = self.node.replica();
        self.look(move |ground| {
            let own = own_node(ground, id)?;
            Ok(json(&answers::machine_status(ground, own.as_ref(), peers)?))
        })
        .await
    }

    pub(super) async fn lock_status(&self) -> Result<Response<Body>, Problem> {
        let (id, key, aside) = (self.node.replica(), self.lock_key(), self.aside());
        self.look(move |ground| {
            let own = own_node(ground, id)?;
            if enforced(&aside, ground).is_err() {
                let mut response = json(&answers::lock_off(own.as_ref(), key));
                warn(&mut response, DISABLED_HERE);
                return Ok(response);
            }
            let mut response = json(&answers::lock_status(ground, own.as_ref(), key)?);
            if let Some(remark) = remark(ground)? {
                warn(&mut response, &remark);
            }
            Ok(response)
        })
        .await
    }

    pub(super) async fn log(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let limit = limit(call)?;
        let fail = |problem: Problem| problem.during("reading log failed: ");
        let view = self.read().await.map_err(fail)?;
        let Some(authority) = view.fold().authority().cloned() else {
            return Err(fail(NotPlanned::LockOff.into()));
        };
        let ground = Ground { fold: view.fold(), rows: view.rows() };
        enforced(&self.aside(), ground).map_err(|why| fail(why.into()))?;
        Ok(log_of(view, authority, limit))
    }

    pub(super) async fn modify(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: ModifyRequest = body(call)?;
        let fail = |problem: Problem| {
            problem.during("tailnet-lock modify failed: modify tailnet-lock keys: ")
        };
        let remove: Result<Vec<LockKey>, Problem> = keys(request.remove_keys.clone())
            .iter()
            .map(|key| {
                modify::check_key(key)?;
                key.lock_key().ok_or_else(|| Problem::bad("a key to remove is malformed"))
            })
            .collect();
        let order = modify::Order {
            add: keys(request.add_keys.clone()),
            remove: remove.map_err(fail)?,
            ..modify::Order::default()
        };
        let done =
            self.modify_keys(call, "modify", &to_json(&request), order).await.map_err(fail)?;
        let mut response = marked(no_content(), &done);
        if request.add_keys.is_some_and(|keys| !keys.is_empty())
            && let Some(warning) = self.crowded()
        {
            warn(&mut response, &warning);
        }
        Ok(response)
    }

    /// What to say when hardly any key can be added any more.
    fn crowded(&self) -> Option<String> {
        let trusted = self.node.view().fold().authority()?.state().keys().len();
        (trusted >= KEYS_WARNING).then(|| {
            format!(
                "{trusted} keys are trusted; with {MAX_KEYS} no more can be added. Remove those \
                 that are not needed; 'lockstep lock remove --unused-preauth-keys' finds those of \
                 auth keys by which no node is in."
            )
        })
    }

    pub(super) async fn remove_keys(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: RemoveRequest = ours(call)?;
        let keys: Result<Vec<LockKey>, _> = request.keys.iter().map(|key| key.parse()).collect();
        let reason = reason(request.reason.as_deref())?;
        let order = modify::Order {
            add: Vec::new(),
            remove: keys.map_err(|error| Problem::bad(error.to_string()))?,
            resign: request.resign,
            reason,
            note: request.note.clone(),
        };
        let done = self.modify_keys(call, "remove", &to_json(&request), order).await?;
        Ok(marked(no_content(), &done))
    }

    /// The keys that are named must be as they were when this was asked; otherwise what was asked
    /// may no longer be what is wanted.
    async fn modify_keys(
        &self,
        call: &Call,
        verb: &'static str,
        arguments: &[u8],
        order: modify::Order,
    ) -> Result<Done, Problem> {
        let asked = self.read().await?;
        let _turn = self.updating.lock().await;
        let aside = self.aside();
        let plan = self.signing(move |ground, key| {
            enforced(&aside, ground)?;
            let seen = asked.fold().authority().map(Authority::state);
            modify::plan(ground, &order, seen, key)
        });
        self.change(call, verb, arguments, plan).await
    }

    pub(super) async fn sign(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: SignRequest = body(call)?;
        let fail = |problem: Problem| problem.during("signing failed: ");
        let rotation = match request.rotation_public.as_ref().map(|bytes| bytes.0.as_slice()) {
            None | Some([]) => None,
            Some(bytes) => {
                let key = <[u8; 32]>::try_from(bytes).map(LockKey).map_err(|_| {
                    fail(Problem::bad(format!(
                        "a rotation key has 32 bytes, this one has {}",
                        bytes.len()
                    )))
                })?;
                // The official command line sends zeros when it means none (weakness W15).
                Some(key).filter(|key| !key.is_zero())
            }
        };
        let node_key = request.node_key;
        let aside = self.aside();
        let plan = self.signing(move |ground, key| {
            enforced(&aside, ground)?;
            sign::plan(ground, node_key, rotation, key).map(Some)
        });
        let done = self.change_where_led(call, "sign", &to_json(&request), plan).await;
        let done = done.map_err(fail)?;
        Ok(marked(empty(), &done))
    }

    pub(super) async fn disable(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let fail = |problem: Problem| problem.during("tailnet-lock disable failed: ");
        let _place = call.derivation().map_err(fail)?;
        let secret = zeroize::Zeroizing::new(call.body.to_vec());
        let plan: Arc<Plan> = {
            let secret = secret.clone();
            Arc::new(move |ground| disable::plan(ground, &secret).map(Some))
        };
        let done = self.change(call, "disable", &secret, plan).await.map_err(fail)?;
        Ok(marked(empty(), &done))
    }

    pub(super) async fn affected_signatures(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let (id, aside) = (call.body.to_vec(), self.aside());
        self.look(move |ground| {
            ground.authority()?;
            enforced(&aside, ground)?;
            list(signatures_of(ground, id)?)
        })
        .await
    }

    pub(super) async fn verify_deeplink(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: DeeplinkRequest = from_go_json(&call.body)
            .map_err(|_| Problem::bad("invalid JSON for verifyRequest body"))?;
        let aside = self.aside();
        self.look(move |ground| {
            let active = ground.authority().and_then(|authority| {
                enforced(&aside, ground)?;
                Ok(authority)
            });
            let state_id = active.map(|authority| authority.state().state_id1);
            Ok(json(&deeplink_answer(&request, state_id.map_err(|why| why.to_string()))))
        })
        .await
    }
}

/// The signatures that rest on a key and hold; any bytes may be asked for.
pub(in crate::local_api) fn signatures_of(
    ground: Ground<'_>,
    key_id: Vec<u8>,
) -> Result<Vec<Base64>, Fault> {
    let mut signatures = Vec::new();
    if let Ok(key) = key_id.try_into().map(LockKey) {
        for node in roster::signed_by(ground.rows, key)? {
            let node = roster::node(ground.rows, node)?;
            let signature = node.filter(|node| node.standing.is_in());
            let signature = signature.and_then(|node| node.signature);
            signatures.extend(signature.map(|signature| Base64(signature.to_cbor())));
        }
    }
    Ok(signatures)
}

/// The verdict on a deeplink under the state ID of the lock, or why there is no lock.
pub(in crate::local_api) fn deeplink_answer(
    request: &DeeplinkRequest,
    state_id: Result<u64, String>,
) -> DeeplinkAnswer {
    let link = state_id.and_then(|state_id| {
        Deeplink::validate(&request.url, state_id).map_err(|error| error.to_string())
    });
    match link {
        Ok(link) => DeeplinkAnswer {
            is_valid: true,
            node_key: link.node_key,
            tlpub: link.lock_key,
            device_name: link.device_name,
            os_name: link.os_name,
            email_address: link.login_name,
            ..DeeplinkAnswer::default()
        },
        Err(error) => DeeplinkAnswer { error, ..DeeplinkAnswer::default() },
    }
}
