//! `lock remove`.

use ledger::ids::{LockKey, NodeKey};
use ledger::lock::node_keys::NodeKeySignature;
use ledger::lock::{Key, Meta};
use replica::local_api::bodies::{
    AskedBody, Base64, LockStatus, ModifyBody, ModifyRequest, RemoveRequest, SignRequest,
    TrustedKey,
};
use replica::local_api::client::{Asked, ClientError};

use super::add::missing_keys;
use super::{Session, enabled};
use crate::args::Remove;
use crate::commands::change::{Done, Request};
use crate::commands::outside::{self, With};
use crate::commands::words::{Said, Voter, can_ask, confirmed, listed};
use crate::exit::Failure;
use crate::print;

/// The warning of the original, before keys are removed whose nodes nobody signs again.
const WARNING: &str = "\
Warning
Removal of a signing key(s) without resigning nodes (--re-sign=false)
will cause any nodes signed by the given key(s) to be locked out
of the Tailscale network. Proceed with caution.
";

pub(super) fn run(args: Remove, session: &Session) -> Result<(), Failure> {
    let resign = match (args.resign, args.re_sign) {
        (Some(_), Some(_)) => {
            return Err(Failure::usage("--resign and --re-sign are the same flag")
                .remedy("Give one of them."));
        }
        (resign, re_sign) => resign.or(re_sign).unwrap_or(true),
    };
    let request = Request::new(&args.change)?;
    if args.confirm {
        return Err(Failure::usage("--confirm: it belongs to --unused-preauth-keys"));
    }
    outside::conclude(&request, remove(&args, resign, &request, session))
}

/// `None`: the user thought better of it, or it is to be signed elsewhere.
fn remove(
    args: &Remove,
    resign: bool,
    request: &Request,
    session: &Session,
) -> Result<Option<Done>, Failure> {
    let keys = Voter::parse_all((1..).zip(listed(&args.keys)))?;
    let said = args.why.said()?;
    let repeated = request.on_record(session)?;
    let status = if repeated { None } else { Some(enabled(session)?) };
    if keys.is_empty() {
        return Err(missing_keys());
    }
    let keys: Vec<LockKey> = keys.iter().map(|voter| voter.key).collect();
    let with = args.with.chosen()?;
    if let Some(status) = &status {
        allowed(&keys, resign, with.as_ref().map_or(status.public_key, With::signer), status)?;
    }
    if !resign && !repeated && can_ask() {
        print::stdout(WARNING)?;
        if !confirmed("Are you sure you want to remove the signing key(s)? [Y/n]", true)? {
            print::stdout("aborting removal of signing key(s)\n")?;
            return Ok(None);
        }
    }
    removed(&keys, resign, said, with.as_ref(), request, session)
}

/// Has the keys removed; `None`: it is to be signed elsewhere.
pub(super) fn removed(
    keys: &[LockKey],
    resign: bool,
    said: Said,
    with: Option<&With>,
    request: &Request,
    session: &Session,
) -> Result<Option<Done>, Failure> {
    if let Some(with) = with {
        let modify = ModifyBody {
            remove: keys.iter().map(LockKey::to_tlpub).collect(),
            resign,
            reason: said.reason,
            note: said.note,
            ..ModifyBody::default()
        };
        let asked = AskedBody { modify: Some(modify), ..AskedBody::default() };
        return outside::change(asked, with, request, session);
    }
    let failed = |error| request.failed(error);
    let recorded = said.reason.is_some() || said.note.is_some();
    let body = RemoveRequest {
        keys: keys.iter().map(LockKey::to_tlpub).collect(),
        resign,
        reason: said.reason,
        note: said.note,
    };
    let receipt = match session.wait(session.client.remove_keys(&body, &request.asked())) {
        Ok(changed) => changed.receipt,
        // A tailscaled knows only the single steps.
        Err(ClientError::NeedsLockstep { .. }) if !recorded => {
            if resign {
                for key in keys {
                    sign_again(key, session)?;
                }
            }
            let keys = keys.iter().map(|key| Voter { key: *key, votes: 1 }.body()).collect();
            let body = ModifyRequest { add_keys: None, remove_keys: Some(keys) };
            session.wait(session.client.modify(&body, &request.asked())).map_err(failed)?.receipt
        }
        Err(error) => return Err(failed(error)),
    };
    Ok(Some(Done { receipt, ..Done::default() }))
}

/// The two removals that the original refuses before it asks its daemon.
fn allowed(
    keys: &[LockKey],
    resign: bool,
    signer: LockKey,
    status: &LockStatus,
) -> Result<(), Failure> {
    let trusted = status.trusted_keys.as_deref().unwrap_or_default();
    let left = trusted.iter().filter(|other| !keys.contains(&other.key) && can_sign(other));
    if trusted.len() == 1 || left.count() == 0 {
        return Err(Failure::new(
            "cannot remove the last trusted signing key; use 'lockstep lock disable' to disable \
             tailnet lock instead, or add another signing key before removing one",
        ));
    }
    if resign && keys.contains(&signer) {
        return Err(Failure::new(
            "cannot remove local trusted signing key while resigning; run command on a different \
             node or with --re-sign=false",
        ));
    }
    Ok(())
}

/// Whether somebody has the private half of a trusted key: not of one that was made to wrap an auth
/// key.
fn can_sign(trusted: &TrustedKey) -> bool {
    let meta = trusted.metadata.clone().map(Meta);
    Key { meta, ..Key::ed25519(trusted.key, trusted.votes) }.can_sign()
}

/// Signs the nodes of a key again, one by one, as the original's command line does.
fn sign_again(key: &LockKey, session: &Session) -> Result<(), Failure> {
    let about = |what: String| Failure::new(format!("affected sigs for key {key}: {what}"));
    let signatures = session
        .wait(session.client.affected_signatures(&key.0))
        .map_err(|error| about(Failure::from(error).what))?;
    for bytes in signatures {
        let signature =
            NodeKeySignature::decode(&bytes).map_err(|error| about(error.to_string()))?;
        let node_key: NodeKey =
            signature.node_key().ok_or_else(|| about("a signature without a node key".into()))?;
        let rotation_public = signature.wrapping_key().map(|key| Base64(key.to_vec()));
        let body = SignRequest { node_key, rotation_public };
        session
            .wait(session.client.sign(&body, &Asked::default()))
            .map_err(|error| about(Failure::from(error).what))?;
    }
    Ok(())
}
