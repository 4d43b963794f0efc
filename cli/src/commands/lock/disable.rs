//! `lock disable`.

use ledger::lock::disablement::DisablementText;
use replica::local_api::client::ClientError;
use serde_json::json;
use zeroize::Zeroizing;

use super::Session;
use crate::args::Disable;
use crate::commands::change::{Done, Request};
use crate::commands::words::{from_stdin, or_file};
use crate::exit::Failure;
use crate::print;

pub(super) fn run(args: Disable, session: &Session) -> Result<(), Failure> {
    let request = Request::new(&args.change)?;
    let check = args.check;
    let words: Vec<_> = args.secret.into_iter().map(Zeroizing::new).collect();
    if check {
        return check_only(&words, &request, session);
    }
    let result = disable(&words, &request, session);
    request.conclude(result).map(drop)
}

/// Asks whether the secret is right. Nothing is recorded, so there is no outcome.
fn check_only(
    words: &[Zeroizing<String>],
    request: &Request,
    session: &Session,
) -> Result<(), Failure> {
    let secret = typed(words)?;
    let checked = session.wait(session.client.check_disablement(&secret));
    let wrong = matches!(&checked, Err(ClientError::Status { status: 400, .. }));
    if request.json && (checked.is_ok() || wrong) {
        print::stdout(&print::json(&json!({ "valid": checked.is_ok() }))?)?;
    }
    checked?;
    if request.json {
        return Ok(());
    }
    print::stdout("The secret is right: it would disable tailnet lock. Nothing was changed.\n")
}

fn disable(
    words: &[Zeroizing<String>],
    request: &Request,
    session: &Session,
) -> Result<Done, Failure> {
    let secret = typed(words)?;
    let changed = session.wait(session.client.disable(&secret, &request.asked()));
    let changed = changed.map_err(|error| request.failed(error))?;
    Ok(Done { receipt: changed.receipt, node: None })
}

/// The secret that the words name: itself, `-` or `file:PATH`.
fn typed(words: &[Zeroizing<String>]) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let [word] = words else {
        return Err(Failure::new("usage: lockstep lock disable <disablement-secret>"));
    };
    let text = if word.as_str() == "-" { from_stdin()? } else { or_file(word)? };
    secret(&text)
}

/// The secret in `text`, which is never repeated.
fn secret(text: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if !text.starts_with("disablement") {
        return Err(Failure::new(
            "parsing argument 1: expected value with \"disablement-secret:\" prefix",
        )
        .remedy("The secrets were printed by 'lockstep lock init'."));
    }
    match DisablementText::parse(text) {
        Ok(DisablementText::Secret(secret)) => Ok(secret),
        Ok(DisablementText::Value(_)) => Err(Failure::new(
            "parsing argument 1: this is a disablement value, which everybody may know; disabling \
             takes the secret",
        )
        .remedy(
            "The secrets begin with disablement-secret: and were printed by 'lockstep lock \
                 init'.",
        )),
        Err(error) => Err(Failure::new(format!("parsing disablement 1: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_secrets_disable() {
        assert_eq!(*secret("disablement-secret:aB").unwrap(), [0xab]);
        for bad in ["disablement:abcd", "abcd", "disablement-secret:abcx", "tlpub:abcd", ""] {
            let failure = secret(bad).unwrap_err();
            assert!(!failure.what.contains("abc"), "{}", failure.what);
        }
    }
}
