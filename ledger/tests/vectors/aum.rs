//! aum.json: logical AUMs, their encoding, hashes and static rules.

use ledger::lock::{AumKind, Sealed};

use crate::case::{Case, fails, hex, nullable_bytes, text};
use crate::forms;
use crate::report::{self, Pass, Verdict, same};

#[test]
fn aum() {
    report::run("aum.json", &[("aum", encodes)]);
}

fn encodes(case: &Case<'_>) -> Verdict {
    let aum = forms::aum(case.input("aum"));
    let bytes = aum.to_cbor();
    same("bytes", hex(&bytes).as_str(), text(case.expect("cbor_hex")))?;
    same("signature hash", hex(&aum.sig_hash().0).as_str(), text(case.expect("sig_hash_hex")))?;
    same("kind", AumKind::to_string(&aum.kind).as_str(), text(case.expect("kind_string")))?;
    let parent = aum.parent_hash().map(|hash| hash.0.to_vec());
    same("parent", parent, nullable_bytes(case.expect("parent_hex")))?;
    same("invalid", aum.check().is_err(), fails(case.expect("static_validate_error")))?;

    let sealed = Sealed::new(aum);
    same("sealed bytes", sealed.bytes(), &bytes)?;
    same("hash", sealed.hash().to_string().as_str(), text(case.expect("hash_b32")))?;
    same("hash in hex", sealed.hash().to_hex().as_str(), text(case.expect("hash_hex")))?;
    match Sealed::decode(&bytes) {
        Ok(decoded) => same("decoded", decoded, sealed)?,
        Err(e) => return Err(format!("our own bytes are refused: {e}")),
    }
    Ok(Pass::Same)
}
