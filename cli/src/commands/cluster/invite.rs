//! `cluster invite`.

use std::time::{SystemTime, UNIX_EPOCH};

use ledger::history::MemberFingerprint;
use replica::local_api::bodies::{InvitationBody, InviteRequest};
use replica::local_api::client::Asked;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::args::Invite;
use crate::commands::Session;
use crate::commands::change::{Done, Request};
use crate::commands::duration;
use crate::exit::Failure;
use crate::print;

pub(super) fn run(args: &Invite, session: &Session) -> Result<(), Failure> {
    let request = Request::new(&args.change)?;
    let mut made = None;
    let result = invite(args, &request, session).map(|(body, done)| {
        made = Some(body);
        done
    });
    let mut more = Map::new();
    if let Some(InvitationBody { token, expires, cluster_id }) = &made {
        if request.json {
            more.insert("token".into(), Value::String(token.expose().to_owned()));
            more.insert("expires".into(), Value::String(expires.clone()));
            more.insert("cluster_id".into(), Value::String(cluster_id.clone()));
        } else {
            let mut line = Zeroizing::new(String::with_capacity(token.expose().len() + 1));
            line.push_str(token.expose());
            line.push('\n');
            print::stdout(&line).map_err(|failure| Failure {
                what: format!("the token could not be printed and is lost. {}", failure.what),
                ..failure
            })?;
        }
        let then = match &args.named {
            Some(_) => "is a member at once.",
            None => "waits for 'lockstep cluster approve FINGERPRINT'.",
        };
        print::note(&format!(
            "The token is good for one machine, until {expires}. It is a secret and not shown \
             again.\nPut it into a file there and run:\n\tlockstep serve --join file:FILE\nThe \
             machine then {then}"
        ));
    }
    request.conclude_with(result, &more).map(drop)
}

fn invite(
    args: &Invite,
    request: &Request,
    session: &Session,
) -> Result<(InvitationBody, Done), Failure> {
    let expiry = duration::parse("--expiry", &args.expiry)?;
    let named = args.named.as_deref().map(fingerprint).transpose()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let expires_ms = u64::try_from(now.saturating_add(expiry).as_millis()).unwrap_or(u64::MAX);
    let named = named.map(|named| named.to_string());
    // The moment is another one each time; what was asked is how long.
    let asked_for =
        format!("cluster invite\n{}\n{}\n", args.expiry, named.as_deref().unwrap_or_default());
    let asked = Asked { digest: Some(Sha256::digest(asked_for).into()), ..request.asked() };
    let body = InviteRequest { expires_ms, named };
    let made = session.wait(session.client.group_invite(&body, &asked));
    let made = made.map_err(|error| request.failed(error))?;
    Ok((made.value, Done { receipt: made.receipt, node: None }))
}

/// The fingerprint that somebody typed.
pub(super) fn fingerprint(text: &str) -> Result<MemberFingerprint, Failure> {
    text.to_ascii_uppercase().parse().map_err(|error| {
        Failure::new(format!("parsing the fingerprint: {error}"))
            .remedy("It has 52 characters; 'lockstep cluster status --json' shows those that wait.")
    })
}
