//! `lock sign --locked-out`: lists who is locked out, asks, and signs.

use ledger::ids::{LockKey, NodeKey};
use ledger::lock::signatures::is_weak;
use replica::local_api::bodies::{LockStatus, NodeBody, Peer};
use replica::local_api::client::ClientError;

use super::super::enabled;
use super::Session;
use super::node_keys::{Pair, sign_all};
use crate::args::Sign;
use crate::commands::change::{Done, Request};
use crate::commands::words::{can_ask, confirmed};
use crate::exit::Failure;
use crate::print::line;

/// A node that could be signed.
#[derive(Debug, PartialEq, Eq)]
struct LockedOut {
    name: String,
    addresses: String,
    stable_id: String,
    pair: Pair,
    /// Why it is out, if the daemon says.
    reason: Option<String>,
}

pub(super) fn run(args: &Sign, request: &Request, session: &Session) -> Result<(), Failure> {
    if !args.keys.is_empty() {
        return Err(Failure::usage("--locked-out finds the node keys itself")
            .remedy("Leave the flag out to sign the keys that you name."));
    }
    let found = args.with.chosen().and_then(|with| Ok((with, locked_out(session)?)));
    let (with, nodes) = match found {
        Ok(found) => found,
        Err(failure) => return request.conclude(Err(failure)).map(drop),
    };
    if nodes.is_empty() {
        request.say("No node is locked out.\n")?;
        return match request.json {
            true => request.conclude(Ok(Done::default())).map(drop),
            false => Ok(()),
        };
    }
    request.say(&plan(&nodes))?;
    let pairs: Vec<Pair> = nodes.iter().map(|node| node.pair).collect();
    if !args.confirm {
        if !can_ask() || request.json {
            return request.say(&to_run(&pairs, args, request, session));
        }
        if !confirmed("Sign all of them? [y/N]", false)? {
            return Ok(());
        }
    }
    sign_all(&pairs, with.as_ref(), request, session)
}

fn locked_out(session: &Session) -> Result<Vec<LockedOut>, Failure> {
    let status = enabled(session)?;
    match session.wait(session.client.nodes()) {
        Ok(nodes) => nodes.iter().filter(|node| !node.signed).map(LockedOut::of_roster).collect(),
        // A tailscaled says less: no lock keys, so that the nodes cannot rotate.
        Err(ClientError::NeedsLockstep { .. }) => Ok(of_status(&status)),
        Err(error) => Err(error.into()),
    }
}

impl LockedOut {
    fn of_roster(node: &NodeBody) -> Result<Self, Failure> {
        let unexpected = |error: ledger::ids::TextError| {
            Failure::new(format!("the daemon's answer about {}: {error}", line(&node.name)))
        };
        let node_key: NodeKey = node.node_key.parse().map_err(unexpected)?;
        let rotation = node.lock_key.as_deref().map(str::parse::<LockKey>).transpose();
        let rotation = rotation.map_err(unexpected)?.filter(|key| !is_weak(key));
        Ok(LockedOut {
            name: node.name.clone(),
            addresses: node.addresses.join(", "),
            stable_id: node.stable_id.clone(),
            pair: Pair { node_key, rotation },
            reason: Some(node.reason.clone()),
        })
    }

    fn of_peer(peer: &Peer) -> Self {
        LockedOut {
            name: peer.name.clone(),
            addresses: peer.addresses.as_deref().unwrap_or_default().join(", "),
            stable_id: peer.stable_id.clone(),
            pair: Pair { node_key: peer.node_key, rotation: None },
            reason: None,
        }
    }
}

/// The peers that the status lists, and this node itself.
fn of_status(status: &LockStatus) -> Vec<LockedOut> {
    let own = status.node_key.filter(|key| !status.node_key_signed && !key.is_zero());
    let own = own.map(|node_key| LockedOut {
        name: "this node".into(),
        addresses: String::new(),
        stable_id: String::new(),
        pair: Pair { node_key, rotation: Some(status.public_key).filter(|key| !is_weak(key)) },
        reason: None,
    });
    let peers = status.filtered_peers.iter().flatten().map(LockedOut::of_peer);
    own.into_iter().chain(peers).collect()
}

/// What would be signed: as `status` lists who is locked out, then the rotation key and why.
fn plan(nodes: &[LockedOut]) -> String {
    let mut text = String::from("The following nodes are locked out:\n");
    for node in nodes {
        let rotation = match node.pair.rotation {
            Some(key) => key.to_tlpub(),
            None => "no rotation key".to_owned(),
        };
        text.push_str(&format!(
            "\t{}\t{}\t{}\t{}\t{rotation}",
            line(&node.name),
            line(&node.addresses),
            line(&node.stable_id),
            node.pair.node_key
        ));
        if let Some(reason) = &node.reason {
            text.push_str(&format!("\t{}", line(reason)));
        }
        text.push('\n');
    }
    text
}

/// The command that signs these nodes and no others.
fn to_run(pairs: &[Pair], args: &Sign, request: &Request, session: &Session) -> String {
    let mut command = format!("lockstep lock sign{}", args.with.words());
    if request.named {
        command.push_str(&format!(" --request-id {}", request.id));
    }
    if request.json {
        command.push_str(" --json");
    }
    for pair in pairs {
        command.push_str(&format!(" {}", pair.node_key));
        if let Some(key) = pair.rotation {
            command.push_str(&format!(" {key}"));
        }
    }
    command.push_str(&session.socket_words());
    format!("If this is correct, please run this command:\n\t{command}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tailscaled_lists_its_peers_and_itself() {
        let peer = Peer {
            name: "bob.example.test.\x1b".into(),
            id: 7,
            stable_id: "n7CNTRL".into(),
            addresses: None,
            node_key: NodeKey([7; 32]),
            node_key_signature: Default::default(),
        };
        let status = LockStatus {
            enabled: true,
            public_key: LockKey([9; 32]),
            node_key: Some(NodeKey([1; 32])),
            filtered_peers: Some(vec![peer]),
            ..LockStatus::default()
        };
        let nodes = of_status(&status);
        let pairs = nodes.iter().map(|node| (node.pair.node_key.0[0], node.pair.rotation));
        assert_eq!(pairs.collect::<Vec<_>>(), [(1, Some(LockKey([9; 32]))), (7, None)]);
        let text = plan(&nodes);
        assert!(text.contains("\tbob.example.test.\\u{1b}\t\tn7CNTRL\tnodekey:0707"), "{text}");
        assert!(text.ends_with("\tno rotation key\n"), "{text}");
        let signed = LockStatus { node_key_signed: true, filtered_peers: None, ..status };
        assert_eq!(of_status(&signed), []);
    }
}
