//! The roster.

use std::sync::Arc;

use hyper::Response;
use ledger::Fault;
use ledger::history::roster;
use ledger::ids::{LockKey, NodeKey};
use ledger::lock::node_keys::NodeKeySignature;

use super::here::enforced;
use super::{json, marked, ours, parsed};
use crate::keys::NodePrivateKey;
use crate::local_api::answers;
use crate::local_api::api::{Api, blocking};
use crate::local_api::bodies::{
    Base64, NodeAddRequest, NodeBody, NodeRemoveRequest, NodeRotateRequest, to_json,
};
use crate::local_api::call::Call;
use crate::local_api::changes::{Done, Plan};
use crate::local_api::http::Body;
use crate::local_api::problem::Problem;
use crate::local_api::routes::query;
use crate::operations::enrol;
use crate::operations::{Ground, NotPlanned, auth_keys, nodes};

impl Api {
    pub(super) async fn node_list(&self) -> Result<Response<Body>, Problem> {
        self.look(|ground| {
            let nodes: Vec<_> = roster::list(ground.rows)?.iter().map(answers::node).collect();
            Ok(json(&nodes))
        })
        .await
    }

    pub(super) async fn node_show(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let text = query(call.query.as_deref(), "node")
            .ok_or_else(|| Problem::bad("the parameter node is missing"))?;
        self.look(move |ground| Ok(json(&answers::node(&ground.node(&text)?)))).await
    }

    pub(super) async fn node_add(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: NodeAddRequest = ours(call)?;
        let node_key: NodeKey = parsed("node_key", &request.node_key)?;
        let lock_key: Option<LockKey> =
            request.lock_key.as_deref().map(|key| parsed("lock_key", key)).transpose()?;
        let auth_key =
            request.auth_key.as_ref().map(|key| auth_keys::shown(key.expose())).transpose()?;
        // What was asked, without the secret in it.
        let mut arguments = to_json(&NodeAddRequest { auth_key: None, ..request.clone() });
        arguments.extend(auth_key.iter().flat_map(|shown| shown.hash.0));
        let order = nodes::Order {
            name: request.name.clone(),
            node_key,
            lock_key,
            auth_key,
            signature: signature(request.signature.as_ref())?,
        };
        let plan: Arc<Plan> = Arc::new(move |ground| Ok(Some(nodes::add(ground, &order))));
        let done = self.change(call, "node add", &arguments, plan).await?;
        self.shown(&request.name, &done).await
    }

    pub(super) async fn node_rotate(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: NodeRotateRequest = ours(call)?;
        let Some(node_key) = &request.node_key else {
            return self.rotate_drawn(call, &request).await;
        };
        let node_key: NodeKey = parsed("node_key", node_key)?;
        let signature = signature(request.signature.as_ref())?;
        let text = request.node.clone();
        let own = self.node.replica();
        let plan: Arc<Plan> = Arc::new(move |ground| {
            let node = ground.node(&text)?;
            if node.member == Some(own) {
                return Err(NotPlanned::OwnNodeKey(node.id));
            }
            Ok(Some(nodes::rotate(&node, node_key, signature.clone())))
        });
        let done = self.change(call, "node rotate", &to_json(&request), plan).await?;
        self.shown(&node_key.to_string(), &done).await
    }

    /// Gives a machine a node key that is drawn here.
    async fn rotate_drawn(
        &self,
        call: &Call,
        request: &NodeRotateRequest,
    ) -> Result<Response<Body>, Problem> {
        if request.signature.is_some() {
            return Err(Problem::bad("a signature needs the node key that it is for"));
        }
        let (verb, arguments) = ("node rotate", to_json(request));
        let _turn = self.rotating.lock().await;
        if let Some(done) = self.earlier(call, verb, &arguments).await? {
            return self.shown(&request.node, &done).await;
        }
        let (text, own) = (request.node.clone(), self.node.replica());
        let aside = self.aside();
        let node = self.look(move |ground| {
            let node = ground.node(&text)?;
            // The lock key signs for the new one.
            if node.member == Some(own) {
                enforced(&aside, ground)?;
            }
            Ok(node)
        });
        let node = node.await?;
        let plan: Arc<Plan> = if node.member == Some(own) {
            let public = self.replace_own_key(node.node_key).await?;
            let keys = self.keys.clone();
            Arc::new(move |ground| {
                enrol::rotate_own(ground, own, crate::local_api::own(&keys, public))
            })
        } else {
            // Another machine's: nobody keeps the private half, so this is for trials.
            let public = drawn()?.public();
            let text = request.node.clone();
            Arc::new(move |ground| Ok(Some(nodes::rotate(&ground.node(&text)?, public, None))))
        };
        let done = self.change(call, verb, &arguments, plan).await?;
        self.shown(&node.name, &done).await
    }

    /// Puts another node key in the place of this machine's: first on disk, then, by the caller, on
    /// record. After a crash in between the next start records it.
    async fn replace_own_key(&self, current: NodeKey) -> Result<NodeKey, Problem> {
        let data_dir = self.data_dir.clone();
        let public = blocking(move || -> Result<NodeKey, Fault> {
            // A key whose recording was cut short is taken up again, so that repeating the
            // request does not make one after the other.
            let fault = |e| Fault::from_error("replacing the node key", e);
            let on_disk = crate::keys::read_node_key(&data_dir).map_err(fault)?;
            if on_disk != current {
                return Ok(on_disk);
            }
            let key = drawn()?;
            crate::keys::replace_node_key(&data_dir, &key).map_err(fault)?;
            Ok(key.public())
        });
        Ok(public.await??)
    }

    pub(super) async fn node_remove(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: NodeRemoveRequest = ours(call)?;
        let own = self.node.replica();
        let (text, before) = (request.node.clone(), self.read().await?);
        let plan: Arc<Plan> = Arc::new(move |ground| nodes::remove(ground, &text, own).map(Some));
        let done = self.change(call, "node remove", &to_json(&request), plan).await?;
        let ground = Ground { fold: before.fold(), rows: before.rows() };
        let response = match ground.node(&request.node) {
            Ok(node) => json(&answers::node(&node)),
            // Removed by an earlier try of this request.
            Err(_) => gone(&request.node),
        };
        Ok(marked(response, &done))
    }

    /// The entry as it is after a change.
    async fn shown(&self, text: &str, done: &Done) -> Result<Response<Body>, Problem> {
        let text = text.to_owned();
        let response = self.look(move |ground| {
            Ok(match ground.node(&text) {
                Ok(node) => json(&answers::node(&node)),
                // Something else has happened to it since.
                Err(_) => gone(&text),
            })
        });
        Ok(marked(response.await?, done))
    }
}

fn signature(bytes: Option<&Base64>) -> Result<Option<NodeKeySignature>, Problem> {
    let decoded = bytes.map(|bytes| NodeKeySignature::decode(&bytes.0)).transpose();
    decoded.map_err(|error| Problem::bad(format!("the signature: {error}")))
}

/// An entry that is no longer there, for whoever repeats a request.
fn gone(text: &str) -> Response<Body> {
    json(&NodeBody {
        id: 0,
        stable_id: String::new(),
        name: text.to_owned(),
        addresses: Vec::new(),
        node_key: String::new(),
        lock_key: None,
        signature: None,
        signed: false,
        reason: "no longer in the roster".to_owned(),
        since_record: 0,
    })
}

fn drawn() -> Result<NodePrivateKey, Fault> {
    NodePrivateKey::generate().map_err(|e| Fault::from_error("drawing a node key", e))
}
