//! `init/begin` and `init/finish`: a node brings a genesis, then signs all nodes.

use ledger::history::{
    BroughtGenesis, Event, EventRefusal, Initialization, NodeId, NodeSignature, SecretLabel,
    lifecycle, records, roster,
};
use ledger::limits::DISABLEMENT_SECRET_BYTES;
use ledger::lock::node_keys::{NodeKeySignature, authorize};
use ledger::lock::signatures::{Unverified, verify_one};
use ledger::lock::{Sealed, State};
use ledger::{Fault, Refusal};
use zeroize::Zeroizing;

use super::bodies::{InitBeginAnswer, InitBeginRequest, InitFinishRequest, NodeToSign};
use super::{GENESIS_WAITS_MS, NotAnswered, caller};
use crate::go_json::Base64;
use crate::operations::{Ground, NotPlanned};

/// Checks a genesis and plans to let it wait. A later one takes its place.
pub fn begin(ground: Ground<'_>, request: &InitBeginRequest) -> Result<Event, NotAnswered> {
    let node = caller(ground, request.node_key)?;
    if ground.fold.authority().is_some() {
        return Err(NotPlanned::LockOn.into());
    }
    let bad = |why: Refusal| NotAnswered::malformed("the genesis", why);
    let genesis = Sealed::decode(&request.genesis_aum.0).map_err(|why| bad(why.into()))?;
    if genesis.parent.is_some() {
        return Err(bad(EventRefusal::GenesisParent.into()));
    }
    let state = State::at_checkpoint(&genesis);
    let Some(state) = state else {
        let why = ledger::lock::NotInformed::BootstrapKind(genesis.kind);
        return Err(bad(why.into()));
    };
    let verified = verify_one(Unverified::new(genesis)).map_err(bad)?;
    state.admits_bootstrap(verified.get()).map_err(bad)?;
    let key = node.lock_key.ok_or(NotAnswered::InitializerNotTrusted)?;
    if state.key(&key.0).is_none() {
        return Err(NotAnswered::InitializerNotTrusted);
    }
    let genesis = verified.into_inner();
    Ok(Event::GenesisBrought(Box::new(BroughtGenesis { node: node.id, key, genesis })))
}

/// The answer once the genesis waits: every node of the roster, the caller among them.
pub fn begun(ground: Ground<'_>) -> Result<InitBeginAnswer, Fault> {
    let nodes = roster::list(ground.rows)?.into_iter().map(|node| NodeToSign {
        node_id: node.id.0,
        node_public: node.node_key,
        rotation_pubkey: node.lock_key.map(|key| Base64(key.0.to_vec())),
    });
    let nodes: Vec<_> = nodes.collect();
    Ok(InitBeginAnswer { need_signatures: Some(nodes).filter(|nodes| !nodes.is_empty()) })
}

/// A disablement secret for the escrow. It is wiped when dropped and shows nothing of itself.
pub struct Support(pub Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Support {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Support(..)")
    }
}

/// What finishing an initialization takes.
#[derive(Debug)]
pub struct Finish {
    /// The event; none if the same request was recorded before.
    pub event: Option<Event>,
    /// A secret that the escrow must have taken before the event is proposed.
    pub support: Option<Support>,
}

/// Plans the initialization with the genesis that waits. `now_ms` is the caller's clock, and
/// `escrow` says whether there is somebody to keep a support secret.
///
/// The same request again is answered as the first time: the client prints its disablement secrets
/// only after this call, so an answer that was lost must not lose them.
pub fn finish(
    ground: Ground<'_>,
    request: &InitFinishRequest,
    now_ms: u64,
    escrow: bool,
) -> Result<Finish, NotAnswered> {
    let node = caller(ground, request.node_key)?;
    let signatures = signatures(request)?;
    if ground.fold.authority().is_some() {
        return if finished(ground, node.id, &signatures)? {
            Ok(Finish { event: None, support: None })
        } else {
            Err(NotPlanned::LockOn.into())
        };
    }
    const BEGIN: &str = "no initialization has been begun, or it was begun too long ago";
    let waiting = lifecycle::waiting(ground.rows)?;
    let waiting = waiting.filter(|waiting| waiting.brought.node == node.id);
    let waiting = waiting.ok_or(NotAnswered::Nothing(BEGIN))?;
    let record = records::record(ground.rows, waiting.record)?;
    let record = record.ok_or_else(|| Fault::new("the record of a genesis is missing"))?;
    if now_ms.saturating_sub(record.proposal().proposal().time_ms) > GENESIS_WAITS_MS {
        return Err(NotAnswered::Nothing(BEGIN));
    }
    let genesis = waiting.brought.genesis;
    let state = State::at_checkpoint(&genesis)
        .ok_or_else(|| Fault::new("the genesis that waits is no checkpoint"))?;
    same_roster(ground, &signatures)?;
    for item in &signatures {
        let bad =
            |why: Refusal| NotAnswered::malformed(format!("signature of node {}", item.node), why);
        let verified = verify_one(Unverified::new(item.signature.clone())).map_err(bad)?;
        let node_key = roster::node(ground.rows, item.node)?.map(|node| node.node_key);
        let node_key = node_key.ok_or_else(|| bad(EventRefusal::UnknownNode(item.node).into()))?;
        authorize(&verified, node_key, &state).map_err(bad)?;
    }
    let support = match &request.support_disablement {
        Some(secret) if !secret.0.is_empty() => {
            let secret = Zeroizing::new(secret.0.clone());
            if !escrow {
                return Err(NotAnswered::NoEscrow);
            }
            if secret.len() > DISABLEMENT_SECRET_BYTES {
                return Err(NotPlanned::WrongSecret.into());
            }
            let value = state.disablement_value_of(&secret).ok_or(NotPlanned::WrongSecret)?;
            Some((Support(secret), value))
        }
        _ => None,
    };
    let (support, for_support) = support.unzip();
    let label = |value: &[u8]| SecretLabel {
        maker: node.name.clone(),
        made_ms: now_ms,
        holder: for_support.filter(|kept| kept == value).map(|_| "support".to_owned()),
    };
    let labels = state.disablement_values().map(label).collect();
    let init = Initialization { genesis, signatures, labels, brought_by: Some(node.id) };
    let event = Event::LockInitialized(Box::new(init));
    Ok(Finish { event: Some(event), support })
}

/// The signatures, ascending by node.
fn signatures(request: &InitFinishRequest) -> Result<Vec<NodeSignature>, NotAnswered> {
    let mut signatures = Vec::new();
    for (id, bytes) in request.signatures.iter().flatten() {
        let what = || format!("signature of node {id:?}");
        let unknown = || NotPlanned::UnknownNode(id.clone());
        let node = id.parse().map(NodeId).map_err(|_| unknown())?;
        let signature = NodeKeySignature::decode(&bytes.0)
            .map_err(|why| NotAnswered::malformed(what(), why))?;
        signatures.push(NodeSignature { node, signature });
    }
    signatures.sort_by_key(|item| item.node);
    Ok(signatures)
}

/// Whether the signatures are those of all nodes as they are now.
fn same_roster(ground: Ground<'_>, signatures: &[NodeSignature]) -> Result<(), NotAnswered> {
    let nodes = roster::list(ground.rows)?;
    let same = nodes.len() == signatures.len()
        && nodes.iter().zip(signatures).all(|(node, item)| {
            node.id == item.node && node.node_key.to_binary()[..] == item.signature.pubkey
        });
    if same {
        Ok(())
    } else {
        Err(NotAnswered::Conflict("nodes changed during initialization, try again".into()))
    }
}

/// Whether the lock was initialized by this node with these signatures.
fn finished(
    ground: Ground<'_>,
    node: NodeId,
    signatures: &[NodeSignature],
) -> Result<bool, NotAnswered> {
    let Some(epoch) = ground.fold.epoch() else { return Ok(false) };
    let Some(entry) = lifecycle::epoch(ground.rows, epoch)? else { return Ok(false) };
    let Some(record) = records::record(ground.rows, entry.began)? else { return Ok(false) };
    Ok(match &record.proposal().proposal().event {
        Event::LockInitialized(init) => {
            init.brought_by == Some(node) && init.signatures == signatures
        }
        _ => false,
    })
}
