//! What was changed and what was refused. The private keys of the recorded nodes were not kept; so
//! five daemons of ours over one ledger have keys of their own, the recorded requests go to them in
//! their order with these keys in place of the recorded ones, and after each step the ledger must
//! have come to what the recorded one had come to: the same changes on the chain, the same trusted
//! keys with their votes and metadata, the same nodes in and out for the same reasons.
//!
//! What was refused must be refused and leave no record, with the same status code where that says
//! 403, 404 or 405; the texts are our own. Signatures are verified. Answers that the recording test
//! gave in the place of the coordination server say nothing about a daemon, and are left out.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use data_encoding::{BASE64, HEXLOWER};
use ledger::history::roster::{self, Reason};
use ledger::history::{ChangedNode, Event, KnownRules, NewNode, Who};
use ledger::ids::{AumHash, LockKey, NodeKey};
use ledger::lock::node_keys::{AuthKey, NodeKeySignature, resign};
use ledger::lock::signatures::{Signer, Unverified, verify_one};
use ledger::lock::{AumKind, Meta, Sealed};
use ledger::testing::{key, node_key, showing_auth_key};
use serde_json::Value;

use super::{Counts, Exchange, Happened, History, Registration, exchanges, happenings};
use super::{injected_steps, step};
use crate::daemon::Escrow;
use crate::daemon::config::{Config, Given, Surroundings};
use crate::disk::local_disable::LocalDisable;
use crate::keys::{Keys, LockKeyChoice, Start};
use crate::local_api::api::Api;
use crate::local_api::server::tests::ask_bytes;
use crate::local_api::{Access, own, random_request_id};
use crate::node::{Node, Options, Outcome, Submission, View};
use crate::operations::Ground;
use crate::operations::enrol::details;

/// The recorded nodes.
const NODES: [&str; 5] = ["node1", "node2", "node3", "node4", "node5"];

/// The user that the daemons run as, their operator, and somebody else.
const OWN: u32 = 500;
const OPERATOR: u32 = 501;
const NOBODY: u32 = 65534;

/// A recorded node's daemon.
struct Daemon {
    api: Arc<Api>,
    keys: Arc<Keys>,
    recorded_key: LockKey,
}

/// The daemons, and what of theirs stands for what was recorded.
struct World {
    node: Node,
    daemons: BTreeMap<&'static str, Daemon>,
    /// Checkpoints of revocations: recorded bytes and ours.
    blobs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Registrations to come, the next one last.
    to_come: Vec<Registration>,
    _dirs: Vec<tempfile::TempDir>,
}

/// Status code and body of an answer.
struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl World {
    async fn new() -> World {
        let mut to_come: Vec<Registration> = happenings()
            .into_iter()
            .filter_map(|happened| match happened {
                Happened::Registered { register } => Some(register),
                Happened::Called(_) => None,
            })
            .collect();
        to_come.reverse();
        let (mut dirs, mut keys) = (Vec::new(), Vec::new());
        for _ in NODES {
            let dir = tempfile::tempdir().unwrap();
            keys.push(open_keys(dir.path()));
            dirs.push(dir);
        }
        // The ledger is that of the first one, which initializes the lock.
        let founder = Some(details(
            "first",
            own(&keys[0], keys[0].node.public()),
            None,
            KnownRules::THIS_VERSION,
        ));
        let dir = dirs[0].path().join("ledger");
        std::fs::create_dir(&dir).unwrap();
        let node = Node::start(Options::alone(dir, Arc::new(key(1)), founder)).await.unwrap();
        let mut daemons = BTreeMap::new();
        for (name, (keys, dir)) in NODES.into_iter().zip(keys.into_iter().zip(&dirs)) {
            let access = Access { own: OWN, operator: Some(OPERATOR) };
            let aside = LocalDisable::open(dir.path()).unwrap();
            let (handle, path) = (node.handle().clone(), dir.path().into());
            let api = Api::new(handle, keys.clone(), path, access, escrow(dir.path()), aside);
            let register = to_come.iter().find(|register| register.name == name).unwrap();
            let recorded_key = register.lock_key.parse().unwrap();
            daemons.insert(name, Daemon { api: Arc::new(api), keys, recorded_key });
        }
        World { node, daemons, blobs: BTreeMap::new(), to_come, _dirs: dirs }
    }

    fn view(&self) -> Arc<View> {
        self.node.handle().view()
    }

    fn records(&self) -> u64 {
        self.view().fold().next_index()
    }

    /// The key of ours that stands for a recorded one.
    fn key(&self, recorded: LockKey) -> LockKey {
        let daemon = self.daemons.values().find(|daemon| daemon.recorded_key == recorded);
        daemon.map_or(recorded, Daemon::lock_key)
    }

    /// Has the nodes join that had registered by that step.
    async fn register(&mut self, by: u32) {
        while let Some(next) = self.to_come.pop_if(|next| step(&next.step) <= by) {
            let (view, event) = (self.view(), self.registration(&next));
            for event in showing_auth_key(view.fold(), view.rows(), event) {
                self.record(event).await;
            }
        }
    }

    fn registration(&self, register: &Registration) -> Event {
        let node_key: NodeKey = register.node_key.parse().unwrap();
        let lock_key = Some(self.daemons[register.name.as_str()].lock_key());
        let Some(former) = &register.former else {
            // The signature of a node with an auth key is by the credential's keys alone.
            let signature = register.signature.as_ref();
            let signature = signature.map(|bytes| NodeKeySignature::decode(&bytes.0).unwrap());
            let name = register.name.clone();
            let new = NewNode { name, node_key, lock_key, own: false, signature, auth_key: None };
            return Event::NodeAdded(new);
        };
        let former: NodeKey = former.parse().unwrap();
        let node = roster::by_node_key(self.view().rows(), former).unwrap().unwrap();
        let signer = self.daemons[register.name.as_str()].signer();
        let signature = resign(signer, node_key, &node.signature.unwrap()).unwrap();
        let signature = Some(signature);
        Event::NodeChanged(ChangedNode { node: node.id, node_key, lock_key, signature })
    }

    async fn record(&self, event: Event) {
        let submission = Submission {
            request: random_request_id().unwrap(),
            digest: [0; 32],
            part: 0,
            who: Who::Uid(0),
            name: "root".to_owned(),
            event,
        };
        let outcome = self.node.handle().submit(submission).await;
        assert!(matches!(outcome, Outcome::Applied { .. }), "{outcome:?}");
    }

    async fn ask(&self, exchange: &Exchange, history: &History) -> Answer {
        let uid = match exchange.user.as_str() {
            "root" => 0,
            _ if exchange.step.contains("operator") => OPERATOR,
            _ => NOBODY,
        };
        let request = self.request(exchange, history);
        let answer = ask_bytes(&self.daemons[exchange.node.as_str()].api, uid, &request).await;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&answer[..end]).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, body: answer[end + 4..].to_vec() }
    }

    /// The request in bytes, with our keys, AUMs and checkpoints in the place of the recorded ones.
    fn request(&self, exchange: &Exchange, history: &History) -> Vec<u8> {
        let body = match &exchange.body {
            Some(text) => {
                let mut text = text.clone();
                for daemon in self.daemons.values() {
                    let (theirs, ours) = (daemon.recorded_key, daemon.lock_key());
                    text = text.replace(&BASE64.encode(&theirs.0), &BASE64.encode(&ours.0));
                    text = text.replace(&HEXLOWER.encode(&theirs.0), &HEXLOWER.encode(&ours.0));
                }
                for (theirs, ours) in self.chains(exchange.step(), history) {
                    text = text.replace(&theirs.to_string(), &ours.to_string());
                }
                text.into_bytes()
            }
            None => {
                let body = exchange.body();
                self.blobs.get(&body).cloned().unwrap_or(body)
            }
        };
        let mut head = format!("{}\r\n", exchange.line);
        for (name, value) in &exchange.headers {
            let length = body.len().to_string();
            let value = if name == "Content-Length" { &length } else { value };
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let body = match exchange.chunked {
            true => [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat(),
            false => body,
        };
        [head.into_bytes(), body].concat()
    }

    /// The AUMs of the recorded chain, and those of ours that stand for them.
    fn chains(&self, step: u32, history: &History) -> Vec<(AumHash, AumHash)> {
        let view = self.view();
        let theirs = hashes(history.after(step).ground());
        theirs.into_iter().zip(hashes(ground(&view))).collect()
    }
}

impl Daemon {
    fn signer(&self) -> &dyn Signer {
        self.keys.lock.as_deref().unwrap()
    }

    fn lock_key(&self) -> LockKey {
        self.signer().public()
    }
}

fn open_keys(dir: &Path) -> Arc<Keys> {
    Arc::new(Keys::open(dir, Start::First, &LockKeyChoice::default()).unwrap())
}

/// An escrow that keeps support secrets in a file there.
fn escrow(dir: &Path) -> Option<Escrow> {
    let config = dir.join("config.toml");
    let settings = format!("[support_escrow]\nfile = {:?}\n", dir.join("support secret"));
    std::fs::write(&config, settings).unwrap();
    let given = Given {
        config: Some(config),
        data_dir: Some(dir.into()),
        socket: Some(dir.join("s.sock")),
        ..Given::default()
    };
    let config = Config::resolve(given, Given::default(), &Surroundings::default()).unwrap();
    config.support_escrow
}

fn ground(view: &View) -> Ground<'_> {
    Ground { fold: view.fold(), rows: view.rows() }
}

/// The active chain from its oldest AUM on.
fn chain(ground: Ground<'_>) -> Vec<Sealed> {
    let Some(authority) = ground.fold.authority() else { return Vec::new() };
    let back = authority.chain(ground.rows).back_from(authority.head());
    let mut chain: Vec<Sealed> = back.map(Result::unwrap).collect();
    chain.reverse();
    chain
}

fn hashes(ground: Ground<'_>) -> Vec<AumHash> {
    chain(ground).iter().map(Sealed::hash).collect()
}

/// What a ledger has come to, apart from random values.
#[derive(Debug, PartialEq)]
struct Outline {
    enabled: bool,
    chain: Vec<AumKind>,
    trusted: Vec<(LockKey, u64, Option<Meta>)>,
    nodes: Vec<Standing>,
}

/// Why a node is in or out.
#[derive(Debug, PartialEq)]
struct Standing {
    name: String,
    node_key: NodeKey,
    why: &'static str,
    /// The key that lets it in, or did.
    signer: Option<LockKey>,
    /// How deeply its signature is nested, and which key may rotate it.
    signature: Option<(usize, Option<LockKey>)>,
}

impl Outline {
    /// Of a ledger whose keys are shown as `key` says.
    fn of(ground: Ground<'_>, key: impl Fn(LockKey) -> LockKey) -> Outline {
        let authority = ground.fold.authority();
        let keys = authority.iter().flat_map(|authority| authority.state().keys());
        let trusted = keys.map(|trusted| {
            let meta = trusted.meta.clone().filter(|meta| !meta.0.is_empty());
            (key(trusted.lock_key().unwrap()), trusted.votes, meta)
        });
        let mut trusted: Vec<_> = trusted.collect();
        trusted.sort_by_key(|(key, ..)| *key);
        let nodes = roster::list(ground.rows).unwrap().into_iter().map(|node| {
            let (why, signer) = match node.standing.reason {
                Reason::LockOff => ("lock off", None),
                Reason::Signed { key } => ("signed", Some(key)),
                Reason::NeverSigned => ("never signed", None),
                Reason::NodeKeyChanged { .. } => ("node key changed", None),
                Reason::SignerNotTrusted { key, .. } => ("signer not trusted", Some(key)),
            };
            let signature = node.signature.as_ref().map(|signature| {
                // Rule `no-rotation-key`: zeros there are none here.
                let wrapping = signature.wrapping_key().and_then(|key| key.try_into().ok());
                let wrapping = wrapping.map(LockKey).filter(|key| !key.is_zero());
                (signature.depth(), wrapping.map(&key))
            });
            let signer = signer.map(&key);
            let (name, node_key) = (node.name, node.node_key);
            Standing { name, node_key, why, signer, signature }
        });
        Outline {
            enabled: authority.is_some(),
            chain: chain(ground).iter().map(|aum| aum.kind).collect(),
            trusted,
            nodes: nodes.collect(),
        }
    }
}

/// Why ours does otherwise on purpose: the rule of docs/differences.md. `answer` is ours.
fn rule(
    world: &World,
    history: &History,
    exchange: &Exchange,
    answer: &Answer,
) -> Option<&'static str> {
    let endpoint = exchange.endpoint();
    let refused = (400..500).contains(&answer.status);
    if exchange.headers.iter().any(|(name, _)| name == "X-Tailscale-Reason") {
        return (exchange.status == 400 && answer.status == 200).then_some("no-reason-header");
    }
    if !(exchange.succeeded() && refused) {
        return None;
    }
    let request: Value = serde_json::from_slice(&exchange.body()).unwrap_or_default();
    let now = history.after(exchange.step());
    let trusted = now.fold.authority().is_some_and(|authority| {
        let key = world.daemons[exchange.node.as_str()].recorded_key;
        authority.state().key(&key.0).is_some()
    });
    match endpoint {
        "modify" | "sign" => {
            let bytes = |key: &Value| BASE64.decode(key.as_str()?.as_bytes()).ok();
            let added = request["AddKeys"].as_array().into_iter().flatten();
            let mut keys = added.map(|key| &key["Public"]).chain([&request["RotationPublic"]]);
            keys.any(|key| bytes(key).is_some_and(|key| key.len() != 32))
                .then_some("keys-well-formed")
        }
        "force-local-disable" | "log" => {
            let text = String::from_utf8_lossy(&answer.body);
            text.contains("disabled alone (local-disable)").then_some("local-disable-lasts")
        }
        "generate-recovery-aum" => {
            let known =
                hashes(now.ground()).iter().any(|aum| request["ForkFrom"] == aum.to_string());
            let automatic = request["ForkFrom"]
                .as_str()
                .is_none_or(|text| text.is_empty() || text.bytes().all(|byte| byte == b'A'));
            (!trusted || !(known || automatic)).then_some("a-say-at-the-fork")
        }
        "cosign-recovery-aum" => {
            let aum = Sealed::decode(&exchange.body()).unwrap();
            if aum.kind != AumKind::CHECKPOINT {
                return Some("revocations-only");
            }
            (!trusted).then_some("a-say-at-the-fork")
        }
        "submit-recovery-aum" => {
            let before = history.after(exchange.step() - 1);
            (hashes(before.ground()) == hashes(now.ground())).then_some("no-lost-finish")
        }
        _ => None,
    }
}

/// Whether an answer to a change is like the recorded one, but for random values.
fn same_shape(world: &mut World, history: &History, exchange: &Exchange, ours: &[u8]) -> bool {
    match exchange.endpoint() {
        "init" => {
            let fields = |bytes: &[u8]| {
                let value: Value = serde_json::from_slice(bytes).unwrap();
                value.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
            };
            fields(&exchange.answer()) == fields(ours)
        }
        "wrap-preauth-key" => {
            let read = |bytes: &[u8]| {
                let text = std::str::from_utf8(bytes).unwrap();
                match AuthKey::parse(text) {
                    AuthKey::Wrapped(wrapped) => {
                        // The credential is the only thing in it that somebody signs.
                        let joined = wrapped.join(node_key(77)).unwrap();
                        let by = joined.authorizing_key().unwrap();
                        Some((wrapped.auth_key.to_string(), joined.depth(), by))
                    }
                    AuthKey::Plain(_) => None,
                }
            };
            read(&exchange.answer()) == read(ours)
        }
        "generate-recovery-aum" | "cosign-recovery-aum" => {
            let theirs = Sealed::decode(&exchange.answer()).unwrap();
            let ours = Sealed::decode(ours).unwrap();
            world.blobs.insert(theirs.bytes().to_vec(), ours.bytes().to_vec());
            let alike = same_checkpoint(world, history, exchange.step(), &theirs, &ours);
            alike && verify_one(Unverified::new(ours)).is_ok()
        }
        _ => ours.is_empty() && exchange.answer().is_empty(),
    }
}

/// The same place, keys and signers.
fn same_checkpoint(
    world: &World,
    history: &History,
    step: u32,
    theirs: &Sealed,
    ours: &Sealed,
) -> bool {
    let place = world.chains(step, history);
    let parents = (theirs.parent_hash().unwrap(), ours.parent_hash().unwrap());
    let keys = |aum: &Sealed, key: &dyn Fn(LockKey) -> LockKey| {
        let keys = aum.state.as_ref().unwrap().keys().iter();
        let mut keys: Vec<_> =
            keys.map(|trusted| (key(trusted.lock_key().unwrap()), trusted.votes)).collect();
        keys.sort();
        keys
    };
    let signers = |aum: &Sealed, key: &dyn Fn(LockKey) -> LockKey| {
        let ids = aum.signatures.iter().map(|signature| signature.key_id.clone().unwrap());
        ids.map(|id| key(LockKey(id.try_into().unwrap()))).collect::<Vec<_>>()
    };
    let (map, own) = (|key: LockKey| world.key(key), |key: LockKey| key);
    place.contains(&parents)
        && keys(theirs, &map) == keys(ours, &own)
        && signers(theirs, &map) == signers(ours, &own)
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_changes_come_to_the_same_and_refusals_to_nothing() {
    let history = History::recorded();
    let mut world = World::new().await;
    let (mut alike, mut by_rule) = (Counts::default(), Counts::default());
    let mut wrong = Vec::new();
    let all = exchanges();
    let injected_steps = injected_steps();
    for (index, exchange) in all.iter().enumerate() {
        world.register(exchange.step()).await;
        if let Some(why) = left_out(exchange, &injected_steps) {
            by_rule.add(why);
            continue;
        }
        let before = world.records();
        let answer = world.ask(exchange, &history).await;
        let exact = exchange.succeeded() || [403, 404, 405].contains(&exchange.status);
        let fits =
            answer.status == exchange.status || (!exact && (400..500).contains(&answer.status));
        let place = format!("{exchange}: {} instead of {}", answer.status, exchange.status);
        if !fits {
            let text = String::from_utf8_lossy(&answer.body);
            match rule(&world, &history, exchange, &answer) {
                Some(rule) => by_rule.add(rule),
                None => wrong.push(format!("{place}: {text}")),
            }
        } else if exchange.is_read() && exchange.succeeded() {
            alike.add("reads answered");
        } else if exchange.succeeded() {
            match same_shape(&mut world, &history, exchange, &answer.body) {
                true => alike.add("changes"),
                false => wrong.push(format!("{exchange}: an answer of another shape")),
            }
        } else {
            let error: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let said = error["Error"].as_str().is_some_and(|text| !text.is_empty());
            match said || exchange.line.starts_with("HEAD ") {
                true => alike.add("refusals"),
                false => wrong.push(format!("{exchange}: a refusal without a reason")),
            }
        }
        if !exchange.succeeded() && world.records() != before {
            wrong.push(format!("{exchange} left a record"));
        }
        let ends = all.get(index + 1).is_none_or(|next| next.step != exchange.step);
        if ends && !exchange.is_read() {
            let view = world.view();
            let (theirs, ours) = (history.after(exchange.step()).ground(), ground(&view));
            let theirs = Outline::of(theirs, |key| world.key(key));
            let ours = Outline::of(ours, |key| key);
            if ours != theirs {
                wrong.push(format!("{exchange} came to {ours:?}\n  and was to be {theirs:?}"));
            }
        }
    }
    println!("localapi_exchanges.json: as recorded: {alike}; by rule: {by_rule}");
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(alike.all() + by_rule.all(), all.len());
    world.node.stop().await.unwrap();
}

/// Why an exchange is not repeated: its answer was about something that ours does not have.
fn left_out(
    exchange: &Exchange,
    injected_steps: &std::collections::BTreeSet<u32>,
) -> Option<&'static str> {
    if exchange.succeeded() {
        return None;
    }
    let text = exchange.answer.as_deref().unwrap_or_default();
    if injected_steps.contains(&exchange.step()) {
        Some("injected")
    } else if text.contains("pricing plan") {
        Some("no-plans")
    } else if text.contains("https://unused/machine/") {
        Some("no-server")
    } else {
        None
    }
}
