//! `lock disable`.

use ledger::lock::disablement::DisablementText;
use zeroize::Zeroizing;

use super::Session;
use crate::args::Disable;
use crate::commands::change::{Done, Request};
use crate::commands::words::{from_stdin, or_file};
use crate::exit::Failure;

pub(super) fn run(args: Disable, session: &Session) -> Result<(), Failure> {
    let request = Request::new(&args.change)?;
    let words: Vec<_> = args.secret.into_iter().map(Zeroizing::new).collect();
    let result = disable(&words, &request, session);
    request.conclude(result).map(drop)
}

fn disable(
    words: &[Zeroizing<String>],
    request: &Request,
    session: &Session,
) -> Result<Done, Failure> {
    let [word] = words else {
        return Err(Failure::new("usage: lockstep lock disable <disablement-secret>"));
    };
    let text = if word.as_str() == "-" { from_stdin()? } else { or_file(word)? };
    let secret = secret(&text)?;
    let changed = session.wait(session.client.disable(&secret, &request.asked()));
    let changed = changed.map_err(|error| request.failed(error))?;
    Ok(Done { receipt: changed.receipt, node: None })
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
