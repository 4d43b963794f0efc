//! disablement.json: the KDF, and which secrets turn a lock off.

use ledger::lock::{Sealed, State, disablement};

use crate::case::{Case, bytes, flag, hex, text};
use crate::report::{self, Pass, Verdict, same};

#[test]
fn disablement() {
    report::run("disablement.json", &[("kdf", kdf), ("valid_disablement", valid)]);
}

fn kdf(case: &Case<'_>) -> Verdict {
    let image = disablement::image(&bytes(case.input("secret_hex")));
    same("value", hex(&image).as_str(), text(case.expect("value_hex")))?;
    Ok(Pass::Same)
}

fn valid(case: &Case<'_>) -> Verdict {
    let genesis = Sealed::decode(&bytes(case.input("bootstrap_hex"))).unwrap();
    let state = State::at_checkpoint(&genesis).unwrap();
    let found = state.disablement_value_of(&bytes(case.input("secret_hex")));
    same("valid", found.is_some(), flag(case.expect("valid")))?;
    Ok(Pass::Same)
}
