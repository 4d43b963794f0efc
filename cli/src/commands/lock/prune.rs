//! `lock remove --unused-preauth-keys`: the trusted keys of auth keys by which no node is in.
//!
//! Each auth key that is signed leaves a trusted key behind, and a lock holds 512. Once its node is
//! signed by another key, or when it never came, that key is of no use.

use std::collections::BTreeMap;

use ledger::ids::LockKey;
use ledger::lock::node_keys::{is_pre_auth, pre_auth_id};
use replica::local_api::bodies::{AuthKeyBody, LockStatus, TrustedKey};
use replica::local_api::client::ClientError;
use serde_json::{Map, Value};

use super::remove::removed;
use super::{Session, enabled};
use crate::args::Remove;
use crate::commands::change::{Done, Request};
use crate::commands::words::{can_ask, confirmed, quoted};
use crate::exit::Failure;
use crate::print::line;

/// A trusted key that may go.
struct Unused {
    key: LockKey,
    /// The auth key, if the metadata name it.
    auth_key: Option<String>,
    /// What the ledger knows of that: `valid`, `used`, `expired` or `revoked`.
    state: Option<String>,
}

pub(super) fn run(args: &Remove, session: &Session) -> Result<(), Failure> {
    let request = &Request::new(&args.change)?;
    if !args.keys.is_empty() || args.resign.is_some() || args.re_sign.is_some() {
        return Err(Failure::usage(
            "--unused-preauth-keys finds the keys itself, and locks nobody \
             out",
        )
        .remedy("Leave the keys and --resign out."));
    }
    let found = args.with.chosen().and_then(|with| Ok((with, args.why.said()?, unused(session)?)));
    let (with, said, unused) = match found {
        Ok(found) => found,
        Err(failure) => return request.conclude(Err(failure)).map(drop),
    };
    if unused.is_empty() {
        request.say("No trusted key of an auth key is unused.\n")?;
        return if request.json { conclude(request, Ok(Done::default()), &[]) } else { Ok(()) };
    }
    request.say(&plan(&unused))?;
    if !args.confirm {
        if !can_ask() || request.json {
            return request.say(&to_run(&unused, args, request, session));
        }
        if !confirmed("Remove all of them? [y/N]", false)? {
            return Ok(());
        }
    }
    let keys: Vec<LockKey> = unused.iter().map(|unused| unused.key).collect();
    // A node that has joined by one of them in the meantime is signed again, not locked out.
    match removed(&keys, true, said, with.as_ref(), request, session) {
        Ok(None) => Ok(()),
        Ok(Some(done)) => {
            conclude(request, Ok(done), &keys)?;
            request.say(&format!("Removed: {}\n", keys.len()))
        }
        Err(failure) => conclude(request, Err(failure), &keys),
    }
}

fn conclude(
    request: &Request,
    result: Result<Done, Failure>,
    keys: &[LockKey],
) -> Result<(), Failure> {
    let mut more = Map::new();
    if result.is_ok() {
        let keys = keys.iter().map(|key| Value::String(key.to_tlpub()));
        more.insert("removed".into(), keys.collect());
    }
    request.conclude_with(result, &more).map(drop)
}

fn unused(session: &Session) -> Result<Vec<Unused>, Failure> {
    let status = enabled(session)?;
    let mut unused = Vec::new();
    for trusted in candidates(&status) {
        let affected = session.wait(session.client.affected_signatures(&trusted.key.0));
        if affected?.is_empty() {
            let auth_key = trusted.metadata.as_ref().and_then(pre_auth_id).map(str::to_owned);
            unused.push(Unused { key: trusted.key, auth_key, state: None });
        }
    }
    if !unused.is_empty() {
        let known = auth_keys(session)?;
        for one in &mut unused {
            let entry = one.auth_key.as_ref().and_then(|id| known.get(id));
            one.state = entry.map(|entry| entry.state.clone());
        }
    }
    Ok(unused)
}

/// The trusted keys that were made for auth keys. This node's own key is none, whatever its
/// metadata say.
fn candidates(status: &LockStatus) -> impl Iterator<Item = &TrustedKey> {
    let own = status.public_key;
    status.trusted_keys.iter().flatten().filter(move |trusted| {
        trusted.key != own && trusted.metadata.as_ref().is_some_and(is_pre_auth)
    })
}

/// What the ledger knows of auth keys; a tailscaled's coordination server does not say.
fn auth_keys(session: &Session) -> Result<BTreeMap<String, AuthKeyBody>, Failure> {
    match session.wait(session.client.auth_keys()) {
        Ok(entries) => Ok(entries.into_iter().map(|entry| (entry.id.clone(), entry)).collect()),
        Err(ClientError::NeedsLockstep { .. }) => Ok(BTreeMap::new()),
        Err(error) => Err(error.into()),
    }
}

fn plan(unused: &[Unused]) -> String {
    let mut text = String::from(
        "The following trusted keys were made for auth keys, and no node is in by them:\n",
    );
    for one in unused {
        text.push_str(&format!("\t{}", one.key));
        match &one.auth_key {
            Some(id) => text.push_str(&format!("\t(pre-auth key {})", line(id))),
            None => text.push_str("\t(pre-auth key)"),
        }
        match one.state.as_deref() {
            Some("valid") => text.push_str("\tstill valid: it would let nobody in any more"),
            Some(state) => text.push_str(&format!("\t{}", line(state))),
            None => {}
        }
        text.push('\n');
    }
    text
}

/// The command that removes these keys and no others.
fn to_run(unused: &[Unused], args: &Remove, request: &Request, session: &Session) -> String {
    let mut command = format!("lockstep lock remove{}", args.with.words());
    if let Some(reason) = &args.why.reason {
        command.push_str(&format!(" --reason={}", quoted(reason)));
    }
    if let Some(note) = &args.why.note {
        command.push_str(&format!(" --note={}", quoted(note)));
    }
    if request.named {
        command.push_str(&format!(" --request-id {}", request.id));
    }
    if request.json {
        command.push_str(" --json");
    }
    for one in unused {
        command.push_str(&format!(" {}", one.key));
    }
    command.push_str(&session.socket_words());
    format!("If this is correct, please run this command:\n\t{command}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted(byte: u8, pairs: &[(&str, &str)]) -> TrustedKey {
        let metadata = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        TrustedKey {
            kind: "25519".into(),
            key: LockKey([byte; 32]),
            metadata: Some(metadata),
            votes: 1,
        }
    }

    #[test]
    fn only_keys_of_auth_keys_and_never_the_own_one() {
        let purpose = ("purpose", "pre-auth key");
        let status = LockStatus {
            public_key: LockKey([1; 32]),
            trusted_keys: Some(vec![
                trusted(1, &[purpose]),
                trusted(2, &[purpose, ("authkey_stableid", "k2")]),
                trusted(3, &[("authkey_stableid", "k3")]),
                trusted(4, &[purpose]),
            ]),
            ..LockStatus::default()
        };
        let found: Vec<u8> = candidates(&status).map(|trusted| trusted.key.0[0]).collect();
        assert_eq!(found, [2, 4]);
    }

    #[test]
    fn the_plan_says_what_is_lost() {
        let unused = |auth_key: Option<&str>, state: Option<&str>| Unused {
            key: LockKey([2; 32]),
            auth_key: auth_key.map(str::to_owned),
            state: state.map(str::to_owned),
        };
        let text = plan(&[
            unused(Some("k1"), Some("valid")),
            unused(Some("k2"), Some("revoked")),
            unused(None, None),
        ]);
        let key = LockKey([2; 32]).to_tlpub();
        assert_eq!(
            text,
            format!(
                "The following trusted keys were made for auth keys, and no node is in by \
                 them:\n\t{key}\t(pre-auth key k1)\tstill valid: it would let nobody in any \
                 more\n\t{key}\t(pre-auth key k2)\trevoked\n\t{key}\t(pre-auth key)\n"
            )
        );
    }
}
