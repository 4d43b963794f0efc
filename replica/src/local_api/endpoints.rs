//! What each endpoint does.

use std::path::PathBuf;
use std::sync::Arc;

use hyper::{Response, StatusCode};
use ledger::Fault;
use ledger::formats::deeplink::Deeplink;
use ledger::history::lifecycle::{self, Lifecycle};
use ledger::history::roster;
use ledger::history::{ChangeReason, Epoch, members, records, requests};
use ledger::ids::{LockKey, NodeKey};
use ledger::lock::node_keys::NodeKeySignature;
use ledger::lock::signatures::{PrivateKey, Signer};
use ledger::lock::{Authority, ChainId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, mpsc};

use super::bodies::{
    Base64, DeeplinkAnswer, DeeplinkRequest, EpochBody, Identity, InitRequest, KeyBody,
    ModifyRequest, NodeAddRequest, NodeBody, NodeRemoveRequest, NodeRotateRequest, RecordLine,
    RemoveRequest, RequestBody, SignRequest, from_go_json, to_json,
};
use super::changes::{Done, Plan};
use super::http::{self, Body};
use super::problem::Problem;
use super::routes::{Endpoint, query};
use super::server::Call;
use super::{Access, answers};
use crate::keys::{Keys, NodePrivateKey};
use crate::node::{Handle, View};
use crate::operations::enrol::{self, own_node};
use crate::operations::{Ground, NotPlanned, disable, init, modify, nodes, sign};

/// Records in one answer, at most.
const PAGE_RECORDS: u64 = 1000;
/// Bytes of records after which an answer ends.
const PAGE_BYTES: usize = 4 << 20;
/// Bytes of a log that are made before they are sent.
const PIECE_BYTES: usize = 64 << 10;

/// What the local API works with.
#[derive(Debug)]
pub struct Api {
    node: Handle,
    keys: Arc<Keys>,
    data_dir: PathBuf,
    access: Access,
    /// Held while the machine's own node key is being replaced.
    rotating: Mutex<()>,
    /// Held while AUMs are planned and recorded: each stands on the one before, so this machine's
    /// changes queue up instead of overtaking each other.
    updating: Mutex<()>,
}

impl Api {
    /// An API on a running replica, with the keys of its machine.
    pub fn new(node: Handle, keys: Arc<Keys>, data_dir: PathBuf, access: Access) -> Self {
        let (rotating, updating) = (Mutex::new(()), Mutex::new(()));
        Api { node, keys, data_dir, access, rotating, updating }
    }

    pub(super) fn access(&self) -> Access {
        self.access
    }

    pub(super) fn node(&self) -> &Handle {
        &self.node
    }

    /// A view with everything in it that was acknowledged before.
    pub(super) async fn read(&self) -> Result<Arc<View>, Problem> {
        self.node
            .read()
            .await
            .map_err(|stopped| Problem::new(StatusCode::SERVICE_UNAVAILABLE, stopped.to_string()))
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
        plan: impl Fn(Ground<'_>, &PrivateKey) -> Result<Option<ledger::history::Event>, NotPlanned>
        + Send
        + Sync
        + 'static,
    ) -> Arc<Plan> {
        let keys = self.keys.clone();
        Arc::new(move |ground| plan(ground, keys.lock.as_deref().ok_or(NotPlanned::NoLockKey)?))
    }

    pub(super) async fn answer(self: &Arc<Self>, call: &Call) -> Result<Response<Body>, Problem> {
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
            E::NotYet(what) => Err(Problem::new(
                StatusCode::NOT_FOUND,
                format!("{what} is not part of this version of Lockstep"),
            )),
            E::Identity => self.identity().await,
            E::Records => self.records(call).await,
            E::EpochLog => self.epoch_log(call).await,
            E::Epochs => self.epochs().await,
            E::Request(id) => self.request(id).await,
            E::RemoveKeys => self.remove_keys(call).await,
            E::Nodes => {
                self.look(|ground| {
                    let nodes: Vec<_> =
                        roster::list(ground.rows)?.iter().map(answers::node).collect();
                    Ok(json(&nodes))
                })
                .await
            }
            E::NodeShow => self.node_show(call).await,
            E::NodeAdd => self.node_add(call).await,
            E::NodeRotate => self.node_rotate(call).await,
            E::NodeRemove => self.node_remove(call).await,
        }
    }

    // ---- tailscaled's ----

    async fn machine_status(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let peers = query(call.query.as_deref(), "peers").as_deref() != Some("false");
        let id = self.node.replica();
        self.look(move |ground| {
            let own = own_node(ground, id)?;
            Ok(json(&answers::machine_status(ground, own.as_ref(), peers)?))
        })
        .await
    }

    async fn lock_status(&self) -> Result<Response<Body>, Problem> {
        let (id, key) = (self.node.replica(), self.lock_key());
        self.look(move |ground| {
            let own = own_node(ground, id)?;
            Ok(json(&answers::lock_status(ground, own.as_ref(), key)?))
        })
        .await
    }

    async fn log(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let limit = limit(call)?;
        let fail = |problem: Problem| problem.during("reading log failed: ");
        let view = self.read().await.map_err(fail)?;
        let Some(authority) = view.fold().authority().cloned() else {
            return Err(fail(NotPlanned::LockOff.into()));
        };
        Ok(log_of(view, authority, limit))
    }

    async fn init(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: InitRequest = body(call)?;
        let fail = |problem: Problem| problem.during("initialization failed: ");
        if request.support_disablement.as_ref().is_some_and(|secret| !secret.0.is_empty()) {
            return Err(fail(
                Problem::bad("no escrow is configured that would receive the support secret")
                    .with_remedy("initialize without --gen-disablement-for-support"),
            ));
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|e| Fault::from_error("drawing a state ID", e))?;
        let number = |half: &[u8]| {
            half.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        let order = init::Order {
            keys: keys(request.keys.clone()),
            disablement_values: request
                .disablement_values
                .clone()
                .unwrap_or_default()
                .into_iter()
                .map(|value| value.map(|bytes| bytes.0).unwrap_or_default())
                .collect(),
            state_id: (number(&random[..8]), number(&random[8..])),
        };
        let plan = self.signing(move |ground, key| init::plan(ground, &order, key).map(Some));
        let _turn = self.updating.lock().await;
        let done = self.change(call, "init", &to_json(&request), plan).await.map_err(fail)?;
        let mut response = self.lock_status().await?;
        done.mark(&mut response);
        Ok(response)
    }

    async fn modify(&self, call: &Call) -> Result<Response<Body>, Problem> {
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
        Ok(marked(no_content(), &done))
    }

    async fn remove_keys(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: RemoveRequest = ours(call)?;
        let keys: Result<Vec<LockKey>, _> = request.keys.iter().map(|key| key.parse()).collect();
        let reason = match request.reason.as_deref() {
            None => None,
            Some(name) => Some(
                ChangeReason::ALL.into_iter().find(|reason| reason.name() == name).ok_or_else(
                    || Problem::bad("the reason is none of compromised, rotated, left, other"),
                )?,
            ),
        };
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
        let plan = self.signing(move |ground, key| {
            let seen = asked.fold().authority().map(Authority::state);
            modify::plan(ground, &order, seen, key)
        });
        self.change(call, verb, arguments, plan).await
    }

    async fn sign(&self, call: &Call) -> Result<Response<Body>, Problem> {
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
        let plan =
            self.signing(move |ground, key| sign::plan(ground, node_key, rotation, key).map(Some));
        let done = self.change(call, "sign", &to_json(&request), plan).await.map_err(fail)?;
        Ok(marked(empty(), &done))
    }

    async fn disable(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let fail = |problem: Problem| problem.during("tailnet-lock disable failed: ");
        let _place = call.occupancy.derivation(call.uid).ok_or_else(|| {
            let text = "another secret of yours is being checked";
            fail(Problem::new(StatusCode::SERVICE_UNAVAILABLE, text))
        })?;
        let secret = zeroize::Zeroizing::new(call.body.to_vec());
        let plan: Arc<Plan> = {
            let secret = secret.clone();
            Arc::new(move |ground| disable::plan(ground, &secret).map(Some))
        };
        let done = self.change(call, "disable", &secret, plan).await.map_err(fail)?;
        Ok(marked(empty(), &done))
    }

    async fn affected_signatures(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let id = call.body.to_vec();
        self.look(move |ground| {
            ground.authority()?;
            let mut signatures = Vec::new();
            if let Ok(key) = id.try_into().map(LockKey) {
                for node in roster::signed_by(ground.rows, key)? {
                    let node = roster::node(ground.rows, node)?;
                    let signature = node.filter(|node| node.standing.is_in());
                    let signature = signature.and_then(|node| node.signature);
                    signatures.extend(signature.map(|signature| Base64(signature.to_cbor())));
                }
            }
            list(signatures)
        })
        .await
    }

    async fn verify_deeplink(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: DeeplinkRequest = from_go_json(&call.body)
            .map_err(|_| Problem::bad("invalid JSON for verifyRequest body"))?;
        self.look(move |ground| {
            let Ok(authority) = ground.authority() else {
                let error = NotPlanned::LockOff.to_string();
                return Ok(json(&DeeplinkAnswer { error, ..DeeplinkAnswer::default() }));
            };
            let answer = match Deeplink::validate(&request.url, authority.state().state_id1) {
                Ok(link) => DeeplinkAnswer {
                    is_valid: true,
                    node_key: link.node_key,
                    tlpub: link.lock_key,
                    device_name: link.device_name,
                    os_name: link.os_name,
                    email_address: link.login_name,
                    ..DeeplinkAnswer::default()
                },
                Err(error) => {
                    DeeplinkAnswer { error: error.to_string(), ..DeeplinkAnswer::default() }
                }
            };
            Ok(json(&answer))
        })
        .await
    }

    // ---- ours ----

    async fn identity(&self) -> Result<Response<Body>, Problem> {
        let id = self.node.replica();
        let (cluster, incarnation) = (self.node.cluster(), self.node.incarnation());
        self.look(move |ground| {
            let member = members::member(ground.rows, id)?
                .ok_or_else(|| Fault::new(format!("replica {id} is not on record")))?;
            let own = own_node(ground, id)?;
            let on = matches!(ground.fold.lifecycle(), Lifecycle::On(_));
            Ok(json(&Identity {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                cluster_id: cluster.to_string(),
                incarnation,
                replica_id: id.to_string(),
                node_id: own.as_ref().map_or(0, |node| node.id.0),
                name: member.details.name.clone(),
                member_key: member.member_key.to_string(),
                lock_key: member.details.lock_key.map(|key| key.to_tlpub()),
                log_key: member.details.log_key.to_string(),
                node_key: own.map(|node| node.node_key.to_string()).unwrap_or_default(),
                epoch: ground.fold.epoch().map_or(0, |epoch| epoch.0),
                lock: if on { "on" } else { "off" }.to_owned(),
                rules: ground.fold.rules(),
                record_index: ground.fold.next_index().saturating_sub(1),
                record_hash: ground.fold.last_hash().map(|h| h.to_string()).unwrap_or_default(),
                fold_hash: ground.fold.fold_hash().to_string(),
            }))
        })
        .await
    }

    async fn records(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let number = |name: &str, default| match query(call.query.as_deref(), name).as_deref() {
            None | Some("") => Ok(default),
            Some(text) => text
                .parse::<u64>()
                .map_err(|_| Problem::bad(format!("the parameter {name} is not a number"))),
        };
        let (from, limit) = (number("from", 0)?, number("limit", PAGE_RECORDS)?);
        let lines = self.look(move |ground| {
            let mut lines = Vec::new();
            let limit = usize::try_from(limit.min(PAGE_RECORDS)).unwrap_or(0);
            for record in records::from(ground.rows, from)?.take(limit) {
                let line = RecordLine::from(&record?);
                serde_json::to_writer(&mut lines, &line)
                    .map_err(|e| Fault::from_error("writing a record", e))?;
                lines.push(b'\n');
                if lines.len() > PAGE_BYTES {
                    break;
                }
            }
            Ok(lines)
        });
        Ok(http::whole(StatusCode::OK, "application/x-ndjson", lines.await?))
    }

    async fn epoch_log(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let limit = limit(call)?;
        let epoch = query(call.query.as_deref(), "epoch").and_then(|text| text.parse().ok());
        let epoch = epoch.ok_or_else(|| Problem::bad("the parameter epoch is not a number"))?;
        let view = self.read().await?;
        let unknown =
            || Problem::new(StatusCode::NOT_FOUND, format!("the lock has had no epoch {epoch}"));
        lifecycle::epoch(view.rows(), Epoch(epoch))?.ok_or_else(unknown)?;
        let authority = Authority::open(view.rows(), ChainId(epoch))?.ok_or_else(unknown)?;
        Ok(log_of(view, authority, limit))
    }

    async fn epochs(&self) -> Result<Response<Body>, Problem> {
        self.look(|ground| {
            let last = ground.fold.epoch().map_or(0, |epoch| epoch.0);
            let mut epochs = Vec::new();
            for number in 1..=last {
                let Some(entry) = lifecycle::epoch(ground.rows, Epoch(number))? else { continue };
                let head = Authority::open(ground.rows, ChainId(number))?;
                epochs.push(EpochBody {
                    epoch: number,
                    state_id: format!("{}:{}", entry.state_id.0, entry.state_id.1),
                    genesis: entry.genesis.to_string(),
                    head: head.map(|authority| authority.head().to_string()).unwrap_or_default(),
                    initialized_record: entry.began,
                    disabled_record: entry.ended,
                });
            }
            Ok(json(&epochs))
        })
        .await
    }

    async fn request(&self, id: &str) -> Result<Response<Body>, Problem> {
        let id = super::routes::decode(id).unwrap_or_default();
        let request: ledger::history::RequestId = id
            .parse()
            .map_err(|error: ledger::history::BadRequestId| Problem::bad(error.to_string()))?;
        self.look(move |ground| {
            let first = requests::parts(ground.rows, &request)?.into_iter().next();
            let record = match &first {
                Some(part) => records::record(ground.rows, part.index)?,
                None => None,
            };
            Ok(json(&RequestBody {
                request_id: request.to_string(),
                applied: first.is_some(),
                record_index: first.map(|part| part.index),
                record_hash: record.map(|record| record.hash().to_string()),
                digest: first.map(|part| data_encoding::HEXLOWER.encode(&part.digest)),
            }))
        })
        .await
    }

    // ---- the roster ----

    async fn node_show(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let text = query(call.query.as_deref(), "node")
            .ok_or_else(|| Problem::bad("the parameter node is missing"))?;
        self.look(move |ground| Ok(json(&answers::node(&ground.node(&text)?)))).await
    }

    async fn node_add(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: NodeAddRequest = ours(call)?;
        let node_key: NodeKey = parsed("node_key", &request.node_key)?;
        let lock_key: Option<LockKey> =
            request.lock_key.as_deref().map(|key| parsed("lock_key", key)).transpose()?;
        let name = request.name.clone();
        let plan: Arc<Plan> = Arc::new(move |_| Ok(Some(nodes::add(&name, node_key, lock_key))));
        let done = self.change(call, "node add", &to_json(&request), plan).await?;
        self.shown(&request.name, &done).await
    }

    async fn node_rotate(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: NodeRotateRequest = ours(call)?;
        let Some(node_key) = &request.node_key else {
            return self.rotate_own(call, &request).await;
        };
        let node_key: NodeKey = parsed("node_key", node_key)?;
        let signature = request
            .signature
            .as_ref()
            .map(|bytes| NodeKeySignature::decode(&bytes.0))
            .transpose()
            .map_err(|error| Problem::bad(format!("the signature: {error}")))?;
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

    /// Gives this machine another node key: first on disk, then on record. After a crash in
    /// between the next start records it.
    async fn rotate_own(
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
        let node = self.look(move |ground| {
            let node = ground.node(&text)?;
            if node.member == Some(own) {
                Ok(node)
            } else {
                Err(Problem::bad(format!("node {} is another machine", node.id))
                    .with_remedy("give its new key with --node-key"))
            }
        });
        let node = node.await?;
        let data_dir = self.data_dir.clone();
        let current = node.node_key;
        let public = blocking(move || -> Result<NodeKey, Fault> {
            // A key whose recording was cut short is taken up again, so that repeating the
            // request does not make one after the other.
            let fault = |e| Fault::from_error("replacing the node key", e);
            let on_disk = crate::keys::read_node_key(&data_dir).map_err(fault)?;
            if on_disk != current {
                return Ok(on_disk);
            }
            let key = NodePrivateKey::generate()
                .map_err(|e| Fault::from_error("drawing a node key", e))?;
            crate::keys::replace_node_key(&data_dir, &key).map_err(fault)?;
            Ok(key.public())
        })
        .await??;
        let keys = self.keys.clone();
        let plan: Arc<Plan> =
            Arc::new(move |ground| enrol::rotate_own(ground, own, super::own(&keys, public)));
        let done = self.change(call, verb, &arguments, plan).await?;
        self.shown(&node.name, &done).await
    }

    async fn node_remove(&self, call: &Call) -> Result<Response<Body>, Problem> {
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

/// The log of an authority, sent while it is read: it may be long. When reading fails, the answer
/// breaks off in the middle, where no JSON ends.
fn log_of(view: Arc<View>, authority: Authority, limit: u64) -> Response<Body> {
    if limit == 0 {
        return json(&());
    }
    let (send, pieces) = mpsc::channel(2);
    tokio::task::spawn_blocking(move || {
        let chain = authority.chain(view.rows());
        let mut piece = b"[".to_vec();
        for (place, entry) in answers::log(chain, authority.head(), limit).enumerate() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(fault) => {
                    tracing::error!(%fault, "a log broke off");
                    return;
                }
            };
            piece.extend_from_slice(if place == 0 { b"\n\t" } else { b",\n\t" });
            for line in to_json(&entry).split_inclusive(|byte| *byte == b'\n') {
                piece.extend_from_slice(line);
                if line.ends_with(b"\n") {
                    piece.push(b'\t');
                }
            }
            if piece.len() >= PIECE_BYTES
                && send.blocking_send(std::mem::take(&mut piece).into()).is_err()
            {
                return;
            }
        }
        piece.extend_from_slice(b"\n]");
        let _ = send.blocking_send(piece.into());
    });
    http::in_pieces("application/json", pieces)
}

/// Runs what may block on its own thread.
pub(super) async fn blocking<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(f).await.map_err(|error| {
        Fault::from_error("a request's thread ended without an answer", error).into()
    })
}

fn keys(bodies: Option<Vec<KeyBody>>) -> Vec<ledger::lock::Key> {
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
