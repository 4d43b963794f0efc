//! Revocations as a daemon of ours shows them, before and after a step.

use replica::local_api::bodies::{RevocationBody, WhichRevocation};
use replica::local_api::client::{ClientError, Receipt};

use super::{Session, Taken, Which};
use crate::args::RevokeKeys;
use crate::commands::words::{can_ask, confirmed};
use crate::exit::Failure;
use crate::print;
use crate::print::revocations::{short, text};

/// Whether somebody can answer, and is to.
pub(super) fn asks(args: &RevokeKeys) -> bool {
    can_ask() && !args.confirm && !args.change.json
}

/// Shows the difference from now before anything is signed or undone, and asks for consent where
/// somebody can answer. Of a blob that is left to the step itself where nobody can: a daemon other than
/// ours has nothing to show.
pub(super) fn agreed(args: &RevokeKeys, which: &Which, session: &Session) -> Result<bool, Failure> {
    let ask = asks(args);
    if let (Which::Blob(_), false) = (which, ask) {
        return Ok(true);
    }
    match session.wait(session.client.revocation(&which.body())) {
        Ok(revocation) => print::note(&text(&revocation)),
        Err(ClientError::NeedsLockstep { .. }) if matches!(which, Which::Blob(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let question = match (args.cosign, args.finish) {
        (true, false) => "Sign this revocation? [y/N]",
        (false, true) => "Finish this revocation? [y/N]",
        _ => "Sign and finish this revocation? [y/N]",
    };
    if ask { confirmed(question, false) } else { Ok(true) }
}

/// What a daemon of ours has on record of a revocation, shown on stderr with its short name.
pub(super) fn told(aum: &[u8], receipt: Receipt, session: &Session) -> Taken {
    if receipt.outcome.is_none() {
        return receipt.into();
    }
    let revocation = session.wait(session.client.revocation(&WhichRevocation::blob(aum))).ok();
    if let Some(revocation) = &revocation {
        print::note(&format!("{}\n{}", text(revocation), next_steps(revocation, session)));
    }
    Taken { revocation, ..receipt.into() }
}

fn next_steps(revocation: &RevocationBody, session: &Session) -> String {
    let name = short(&revocation.id);
    let mut steps = format!(
        "On a signing node of this ledger its name is enough:\n\tlockstep lock revoke-keys --cosign \
         {name}"
    );
    if revocation.state == "ready" {
        let socket = session.socket_words();
        steps.push_str(&format!(
            "\nIt can be finished:\n\tlockstep lock revoke-keys --finish {name}{socket}"
        ));
    }
    steps
}

/// The revocations that wait.
pub(super) fn list(json: bool, session: &Session) -> Result<(), Failure> {
    let revocations = match session.wait(session.client.revocations()) {
        Ok(revocations) => revocations,
        Err(ClientError::NeedsLockstep { .. }) => {
            return Err(Failure::new("missing argument, expected a recovery blob").remedy(
                "Give the blob that an earlier step printed; a tailscaled keeps no list of them.",
            ));
        }
        Err(error) => return Err(error.into()),
    };
    if json {
        return print::stdout(&print::json(&revocations)?);
    }
    if revocations.is_empty() {
        return print::stdout("No revocation waits for signatures.\n");
    }
    let mut out = String::new();
    for revocation in &revocations {
        out.push_str(&format!("{}\n{}\n\n", text(revocation), commands(revocation, session)));
    }
    out.pop();
    print::stdout(&out)
}

fn commands(revocation: &RevocationBody, session: &Session) -> String {
    let name = short(&revocation.id);
    let verbs: &[&str] = match revocation.state.as_str() {
        "ready" => &["--cosign", "--finish"],
        "waiting" => &["--cosign"],
        _ => &["--withdraw"],
    };
    let lines: Vec<String> = verbs
        .iter()
        .map(|verb| format!("\tlockstep lock revoke-keys {verb} {name}{}", session.socket_words()))
        .collect();
    lines.join("\n")
}
