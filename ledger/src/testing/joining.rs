//! Nodes of recorded tailnets, whose auth keys were somebody else's.

use crate::history::{
    AuthKeyHash, AuthKeyId, AuthKeyUse, Event, Fold, NewAuthKey, NewNode, auth_keys,
};
use crate::lock::node_keys::{is_pre_auth, pre_auth_id};
use crate::rows::Rows;

/// If a node joins by the credential of an auth key: the events by which an auth key of that ID is
/// issued, unless it is on record, and by which the node joins and shows it. Any other event as it is.
pub fn showing_auth_key(fold: &Fold, rows: &dyn Rows, event: Event) -> Vec<Event> {
    let Event::NodeAdded(new) = &event else { return vec![event] };
    let signer = new.signature.as_ref().and_then(|signature| signature.authorizing_key().ok());
    let state = fold.authority().map(|authority| authority.state());
    let meta = signer.and_then(|key| state?.key(&key.0)?.meta.as_ref()).map(|meta| &meta.0);
    let Some(meta) = meta.filter(|meta| is_pre_auth(meta)) else { return vec![event] };
    let text = format!("tskey-auth-{}-secret", pre_auth_id(meta).unwrap_or("kAny"));
    let Some(id) = AuthKeyId::of(&text) else { return vec![event] };
    let hash = AuthKeyHash::of(&text);
    let issued = auth_keys::auth_key(rows, &id).is_ok_and(|entry| entry.is_some());
    let issue = NewAuthKey { id: id.clone(), hash, reusable: true, expires_ms: None };
    let issue = (!issued).then_some(Event::AuthKeyCreated(issue));
    let joins = NewNode { auth_key: Some(AuthKeyUse { id, hash }), ..new.clone() };
    issue.into_iter().chain([Event::NodeAdded(joins)]).collect()
}
