//! `node pull`: what a node that is no signing node learns of the lock.

use std::path::PathBuf;

use audit::AllCores;
use ledger::history::NodeId;
use ledger::lock::client::Admission;
use replica::daemon::config::{Given, Surroundings, resolve_data_dir};
use replica::local_api::bodies::NodeBody;
use replica::node_client::{NotPulled, Owner, Store, StoreError, judged, pull};
use replica::node_rpc::Seen;
use replica::node_rpc::bodies::MapNode;
use serde::Serialize;

use super::Session;
use crate::args::Pull;
use crate::exit::Failure;
use crate::print;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Document<'a> {
    node: &'a str,
    lock: &'static str,
    head: Option<String>,
    began: usize,
    ended: usize,
    received: usize,
    sent: usize,
    settled: bool,
    local_disable: bool,
    peers: Vec<PeerDocument>,
}

#[derive(Debug, Serialize)]
struct PeerDocument {
    id: u64,
    name: String,
    node_key: String,
    let_in: bool,
    reason: String,
}

pub(super) fn run(args: Pull, session: &Session) -> Result<(), Failure> {
    let identity = session.wait(session.client.identity())?;
    let node = session.wait(session.client.node(&args.name))?;
    if node.id == identity.node_id {
        return Err(Failure::new(format!(
            "node {} is the daemon's own machine, which follows the ledger itself",
            node.id
        )));
    }
    let cluster = identity
        .cluster_id
        .parse()
        .map_err(|error| Failure::new(format!("the daemon's cluster ID: {error}")))?;
    let owner = Owner { cluster, node: NodeId(node.id) };
    let dir = match args.dir {
        Some(dir) => dir,
        None => default_dir(session, &node)?,
    };
    let mut store = Store::open(&dir, owner, &AllCores).map_err(unusable)?;
    if store.torn() {
        print::note("Part of the directory was damaged; what is missing is fetched again.");
    }
    let seen = session
        .wait(pull(&session.client, &node, &mut store, &AllCores))
        .map_err(|error| failed(error, &store))?;
    if args.local_disable || args.local_enable {
        store
            .change(|client, draft| {
                let done = if args.local_disable {
                    client.local_disable(draft)
                } else {
                    client.local_enable(draft)
                };
                done.map_err(|error| Changed::Refused(error.to_string()))
            })
            .map_err(|error| match error {
                Changed::Refused(why) => Failure::new(why),
                Changed::Store(error) => unusable(error),
            })?;
    }
    let peers = judged(&seen, &store, &AllCores);
    print::stdout(&if args.json {
        print::json(&document(&node, &store, &seen, &peers))?
    } else {
        text(&node, &store, &seen, &peers)
    })
}

/// Why a node did not set its lock aside.
enum Changed {
    Refused(String),
    Store(StoreError),
}

impl From<StoreError> for Changed {
    fn from(error: StoreError) -> Self {
        Changed::Store(error)
    }
}

/// A place of its own for each node, beside what belongs to the daemon.
fn default_dir(session: &Session, node: &NodeBody) -> Result<PathBuf, Failure> {
    let dir =
        resolve_data_dir(&session.given, &Given::in_environment(), &Surroundings::of_process())
            .map_err(|error| Failure::usage(error.to_string()))?;
    Ok(dir.join("nodes").join(node.id.to_string()))
}

fn unusable(error: StoreError) -> Failure {
    Failure::new(error.to_string()).remedy(sentence(error.remedy()))
}

fn failed(error: NotPulled, store: &Store) -> Failure {
    match error {
        NotPulled::Daemon(error) => error.into(),
        NotPulled::Store(error) => unusable(error),
        error => {
            let kept = match store.client().head() {
                Some(head) => format!("The node keeps the lock that it has, at head {head}."),
                None => "The node has no lock, as before.".to_owned(),
            };
            Failure::new(error.to_string()).remedy(kept)
        }
    }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

fn document<'a>(
    node: &'a NodeBody,
    store: &Store,
    seen: &Seen,
    peers: &[(MapNode, Admission)],
) -> Document<'a> {
    let client = store.client();
    Document {
        node: &node.name,
        lock: if client.head().is_some() { "on" } else { "off" },
        head: client.head().map(|head| head.to_string()),
        began: seen.began,
        ended: seen.ended,
        received: seen.received,
        sent: seen.sent,
        settled: seen.settled,
        local_disable: client.disabled_here(),
        peers: peers
            .iter()
            .map(|(peer, admission)| PeerDocument {
                id: peer.id,
                name: peer.name.clone(),
                node_key: peer.key.to_string(),
                let_in: admission.is_in(),
                reason: reason(admission),
            })
            .collect(),
    }
}

fn reason(admission: &Admission) -> String {
    match admission {
        Admission::NotAsked => "the lock is not applied".into(),
        Admission::Signed => "signed".into(),
        Admission::NoSignature => "nobody has signed it".into(),
        Admission::Refused(why) => why.to_string(),
        Admission::Obsolete => "a rotation has replaced its key".into(),
    }
}

fn text(node: &NodeBody, store: &Store, seen: &Seen, peers: &[(MapNode, Admission)]) -> String {
    let client = store.client();
    let name = print::line(&node.name);
    let mut text = String::new();
    if seen.ended > 0 {
        text.push_str(&format!("{name} has verified the secret and ended its lock.\n"));
    }
    match client.head() {
        Some(head) => {
            let began = if seen.began > 0 { "has a lock now" } else { "follows the lock" };
            text.push_str(&format!("{name} {began}: head {head}, {} new.\n", seen.received));
        }
        None => text.push_str(&format!("{name} has no lock.\n")),
    }
    if client.disabled_here() {
        text.push_str("It is disabled on this node alone: every node is let in.\n");
    }
    if !seen.settled {
        text.push_str("The daemon says that there is more than it has given.\n");
    }
    for (peer, admission) in peers {
        let verdict = if admission.is_in() { "lets in" } else { "locks out" };
        text.push_str(&format!(
            "\t{verdict}\t{}\t{}\n",
            print::line(&peer.name),
            print::line(&reason(admission))
        ));
    }
    text
}
