//! `node ...`: the roster.

use ledger::ids::{LockKey, NodeKey};
use ledger::lock::node_keys::{AuthKey, is_wrapped};
use replica::local_api::bodies::{
    AskedBody, Base64, NodeAddRequest, NodeBody, NodeRemoveRequest, NodeRotateRequest, RotateBody,
    SecretText,
};
use replica::local_api::client::{Changed, ClientError};
use zeroize::Zeroizing;

use super::Session;
use super::change::{Done, Request};
use super::{outside, words};
use crate::args::{Added, List, Named, NamedChange, NodeCommand, Rotate};
use crate::exit::Failure;
use crate::print;

/// Runs a subcommand.
pub(super) fn run(command: NodeCommand, session: &Session) -> Result<(), Failure> {
    match command {
        NodeCommand::Add(args) => add(args, session),
        NodeCommand::List(args) => list(args, session),
        NodeCommand::Show(args) => show(args, session),
        NodeCommand::Rotate(args) => rotate(args, session),
        NodeCommand::Pull(args) => super::pull::run(args, session),
        NodeCommand::Remove(args) => remove(args, session),
    }
}

fn add(args: Added, session: &Session) -> Result<(), Failure> {
    let request = Request::new(&args.change)?;
    // From here on the argument is wiped when it is dropped.
    let auth_key = args.auth_key.map(Zeroizing::new);
    let result = (|| {
        let node_key = words::node_key("node-key", &args.node_key)?;
        let shown = auth_key.as_ref().map(|word| shown(word, node_key)).transpose()?;
        let (auth_key, signature) = shown.unwrap_or_default();
        let lock_key = args.lock_key.as_deref();
        let lock_key = lock_key.map(|key| words::rotation_key("lock-key", key)).transpose()?;
        let body = NodeAddRequest {
            name: args.name,
            node_key: node_key.to_string(),
            lock_key: lock_key.as_ref().map(LockKey::to_tlpub),
            auth_key,
            signature,
        };
        done(&request, session.wait(session.client.node_add(&body, &request.asked())))
    })();
    conclude(&request, result)
}

/// What a node shows of its auth key, and the signature that it makes with the credential of a
/// wrapped one, as its client would: the private key of the credential goes nowhere.
fn shown(word: &str, node_key: NodeKey) -> Result<(Option<SecretText>, Option<Base64>), Failure> {
    let text = if word == "-" { words::from_stdin()? } else { words::or_file(word)? };
    match AuthKey::parse(&text) {
        AuthKey::Wrapped(wrapped) => {
            let signature = wrapped
                .join(node_key)
                .map_err(|error| Failure::new(format!("using the auth key: {error}")))?;
            let signature = Base64(signature.to_cbor());
            Ok((Some(SecretText::new(wrapped.auth_key.as_str())), Some(signature)))
        }
        AuthKey::Plain(_) if is_wrapped(&text) => {
            Err(Failure::new("the auth key is damaged: its credential cannot be read")
                .remedy("Copy it again, whole, as 'lockstep lock sign' printed it."))
        }
        AuthKey::Plain(text) => Ok((Some(SecretText::new(text.as_str())), None)),
    }
}

fn list(args: List, session: &Session) -> Result<(), Failure> {
    let client = session.reading(args.read);
    let nodes = session.wait(client.nodes())?;
    if args.json {
        return print::stdout(&session.json(&nodes)?);
    }
    let lock = session.wait(client.lock_status())?;
    print::stdout(&print::nodes::list(&nodes, lock.enabled))
}

fn show(args: Named, session: &Session) -> Result<(), Failure> {
    let node = session.wait(session.reading(args.read).node(&args.node))?;
    print::stdout(&if args.json { session.json(&node)? } else { print::nodes::show(&node) })
}

fn rotate(args: Rotate, session: &Session) -> Result<(), Failure> {
    let request = Request::new(&args.change)?;
    match new_key(&args, &request, session) {
        Ok(None) => Ok(()),
        Ok(Some(done)) => conclude(&request, Ok(done)),
        Err(failure) => conclude(&request, Err(failure)),
    }
}

/// `None`: it is to be signed elsewhere.
fn new_key(args: &Rotate, request: &Request, session: &Session) -> Result<Option<Done>, Failure> {
    let node_key = args.node_key.as_deref();
    let node_key = node_key.map(|key| words::node_key("node-key", key)).transpose()?;
    if let Some(with) = args.with.chosen()? {
        let Some(node_key) = node_key else {
            return Err(Failure::usage("--key needs --node-key: it signs the new node key"));
        };
        let rotate = RotateBody { node: args.node.clone(), node_key: node_key.to_string() };
        let asked = AskedBody { rotate: Some(rotate), ..AskedBody::default() };
        let Some(done) = outside::change(asked, &with, request, session)? else {
            return Ok(None);
        };
        // It is recorded, even if it cannot be shown.
        let node = session.wait(session.client.node(&node_key.to_string())).ok();
        return Ok(Some(Done { node, ..done }));
    }
    let signature = match &args.signature {
        Some(path) => Some(Base64(words::small_file(path)?)),
        None => None,
    };
    let node_key = node_key.as_ref().map(NodeKey::to_string);
    let body = NodeRotateRequest { node: args.node.clone(), node_key, signature };
    let changed = session.wait(session.client.node_rotate(&body, &request.asked()));
    done(request, changed).map(Some)
}

fn remove(args: NamedChange, session: &Session) -> Result<(), Failure> {
    let request = Request::new(&args.change)?;
    let body = NodeRemoveRequest { node: args.node };
    let result = session.wait(session.client.node_remove(&body, &request.asked()));
    let node = request.conclude(done(&request, result))?;
    match node {
        Some(node) if !request.json => print::stdout(&format!("Removed {}.\n", named(&node))),
        _ => Ok(()),
    }
}

fn done(
    request: &Request,
    result: Result<Changed<NodeBody>, ClientError>,
) -> Result<Done, Failure> {
    let changed = result.map_err(|error| request.failed(error))?;
    Ok(Done { receipt: changed.receipt, node: Some(changed.value) })
}

/// Tells the outcome; in text, the entry as it is now.
fn conclude(request: &Request, result: Result<Done, Failure>) -> Result<(), Failure> {
    match request.conclude(result)? {
        Some(node) if !request.json => print::stdout(&print::nodes::show(&node)),
        _ => Ok(()),
    }
}

fn named(node: &NodeBody) -> String {
    format!("node {} ({})", node.id, print::line(&node.name))
}
