//! What a running daemon serves of tailnet lock, ours or a tailscaled, as an audit takes it.

use audit::source::{Aums, Shown, ShownNode, tailscaled};
use ledger::lock::node_keys::{NodeKeySignature, SigKind};
use replica::local_api::bodies::{Base64, LockStatus, Peer, Signature};
use replica::local_api::client::{Client, ClientError};

/// AUMs that are asked of a tailscaled, which has no limit of its own.
pub(super) const LOG_LIMIT: i64 = 1_000_000;

/// A tailscaled's log from the head back, and the lock as its status shows it; none if the lock is
/// off there.
pub(super) async fn history(client: &Client) -> Result<Option<Aums>, ClientError> {
    let before = client.lock_status().await?;
    if !before.enabled {
        return Ok(None);
    }
    let log = client.log(LOG_LIMIT).await?;
    let after = client.lock_status().await?;
    // Only if the head did not move while the log was asked for.
    let shown = (after.head == before.head).then(|| shown(&after));
    let log = log.into_iter().map(|entry| (entry.hash, entry.raw.0));
    Ok(Some(tailscaled(log, shown)))
}

/// The lock as a status shows it.
pub(super) fn shown(status: &LockStatus) -> Shown {
    let keys = status.trusted_keys.iter().flatten();
    let own = status.node_key.filter(|key| !key.is_zero() && status.enabled).map(|key| ShownNode {
        name: "the daemon's own node".to_owned(),
        node_key: key,
        signature: status.node_key_signature.as_ref().and_then(signature),
        admitted: status.node_key_signed,
    });
    let listed = |peers: &Option<Vec<Peer>>, admitted| {
        let peer = |peer: &Peer| ShownNode {
            name: peer.name.trim_end_matches('.').to_owned(),
            node_key: peer.node_key,
            signature: signature(&peer.node_key_signature),
            admitted,
        };
        peers.iter().flatten().map(peer).collect::<Vec<_>>()
    };
    let mut nodes: Vec<ShownNode> = own.into_iter().collect();
    nodes.extend(listed(&status.visible_peers, true));
    nodes.extend(listed(&status.filtered_peers, false));
    Shown {
        head: status.head.filter(|_| status.enabled),
        // Keys that cannot be told apart are not compared.
        trusted_keys: keys.filter(|k| !k.key.is_zero()).map(|k| (k.key, k.votes)).collect(),
        nodes,
    }
}

/// The signature; none if it is the empty one that stands for none.
pub(super) fn signature(body: &Signature) -> Option<NodeKeySignature> {
    let bytes = |bytes: &Option<Base64>| bytes.clone().unwrap_or_default().0;
    (*body != Signature::default()).then(|| NodeKeySignature {
        kind: SigKind(body.sig_kind),
        pubkey: bytes(&body.pubkey),
        key_id: bytes(&body.key_id),
        signature: bytes(&body.signature),
        nested: body.nested.as_deref().and_then(signature).map(Box::new),
        wrapping: bytes(&body.wrapping_pubkey),
    })
}
