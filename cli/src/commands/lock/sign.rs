//! `lock sign`.

use ledger::ids::LockKey;
use replica::local_api::bodies::{AskedBody, Base64, SignBody, SignRequest};
use replica::local_api::client::ClientError;

use super::Session;
use crate::args::Sign;
use crate::commands::change::{Done, Request};
use crate::commands::outside;
use crate::commands::words::{node_key, or_file, rotation_key};
use crate::exit::Failure;
use crate::print;

pub(super) fn run(args: Sign, session: &Session) -> Result<(), Failure> {
    let request = Request::new(&args.change)?;
    outside::conclude(&request, sign(&args, &request, session))
}

fn sign(args: &Sign, request: &Request, session: &Session) -> Result<Option<Done>, Failure> {
    let words = args.keys.iter().map(|word| or_file(word)).collect::<Result<Vec<_>, _>>()?;
    if words.first().is_some_and(|word| word.starts_with("tskey-")) {
        return Err(Failure::new("signing an auth key: this version does not have it yet")
            .remedy("Sign the node's key once the node is there."));
    }
    let (node, rotation) = match words.as_slice() {
        [node] => (node, None),
        [node, rotation] => (node, Some(rotation)),
        _ => {
            return Err(Failure::new("usage: lockstep lock sign <node-key> [<rotation-key>]"));
        }
    };
    let node_key = node_key("node-key", node)?;
    let rotation = rotation.map(|key| rotation_key("rotation-key", key)).transpose()?;
    if let Some(with) = args.with.chosen()? {
        let item = SignBody {
            node_key: node_key.to_string(),
            rotation_key: rotation.as_ref().map(LockKey::to_tlpub),
        };
        let asked = AskedBody { sign: Some(vec![item]), ..AskedBody::default() };
        return outside::change(asked, &with, request, session);
    }
    let body =
        SignRequest { node_key, rotation_public: rotation.map(|key| Base64(key.0.to_vec())) };
    match session.wait(session.client.sign(&body, &request.asked())) {
        Ok(changed) => Ok(Some(Done { receipt: changed.receipt, node: None })),
        Err(error) => {
            if let ClientError::Status { text, .. } = &error
                && text.contains("this node is not trusted by")
            {
                print::note(
                    "Error: Signing is not available on this device because it does not have a \
                     trusted tailnet lock key.\n\nTry again on a signing device instead. \
                     'lockstep lock status' lists the trusted keys.\n",
                );
            }
            Err(request.failed(error))
        }
    }
}
