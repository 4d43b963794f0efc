//! The steps of a revocation that somebody signs.

use data_encoding::HEXUPPER;
use ledger::history::{Event, Record};
use ledger::ids::{AumHash, LockKey};
use replica::local_api::bodies::{
    AskedBody, Base64, GenerateRequest, OpenRevocationRequest, RevokeBody, WhichRevocation,
};
use replica::local_api::client::{ClientError, Receipt};

use super::shown::told;
use super::{Ended, Session, Which, about};
use crate::args::RevokeKeys;
use crate::commands::change::Request;
use crate::commands::outside::{self, With};
use crate::commands::words::Said;
use crate::exit::Failure;

/// What the original sends for no fork point: the zero hash.
const ANY_FORK_POINT: [u8; 32] = [0; 32];

/// What came of signing.
pub(super) enum Signed {
    /// A file was written that says what is to be signed.
    Exported,
    /// The checkpoint with the signature.
    With(Vec<u8>, Receipt),
    /// The signature has been on record for longer than the revocation has waited.
    Gone(Receipt),
}

pub(super) const GONE: &str = "The signature is on record. The revocation waits no longer.\n";

/// The first step.
pub(super) fn begin(
    args: &RevokeKeys,
    keys: &[LockKey],
    request: &Request,
    session: &Session,
) -> Result<Ended, Failure> {
    let failed = |failure| about("generation of recovery AUM failed", failure);
    let fork_from = args.fork_from.as_deref().map(AumHash::from_any).transpose();
    let fork_from =
        fork_from.map_err(|error| Failure::new(format!("invalid fork-from hash: {error}")))?;
    let Said { reason, note } = args.why.said()?;
    let body = RevokeBody {
        keys: keys.iter().map(LockKey::to_tlpub).collect(),
        fork_from: fork_from.map(|hash| hash.to_string()),
        reason,
        note,
    };
    let (aum, receipt) = if let Some(with) = args.with.chosen()? {
        let asked = AskedBody { revoke: Some(body), ..AskedBody::default() };
        let done = outside::change(asked, &with, request, session).map_err(failed)?;
        let Some(done) = done else { return Ok(Ended::Exported) };
        match begun(keys, &with, &done.receipt, session)? {
            Some(aum) => (aum, done.receipt),
            None => return Ok(Ended::Done(done.receipt.into(), GONE.to_owned())),
        }
    } else if body.reason.is_some() || body.note.is_some() {
        // Only a ledger keeps them.
        let RevokeBody { keys, fork_from, reason, note } = body;
        let body = OpenRevocationRequest { keys, fork_from, reason, note, aum: None };
        let changed = session.wait(session.client.revocation_open(&body, &request.asked()));
        let changed = changed.map_err(|error| failed(request.failed(error)))?;
        (changed.value.aum.0, changed.receipt)
    } else {
        let body = GenerateRequest {
            keys: Some(keys.iter().map(|key| Base64(key.0.to_vec())).collect()),
            fork_from: fork_from.unwrap_or(AumHash(ANY_FORK_POINT)).to_string(),
        };
        let changed = session.wait(session.client.generate_revocation(&body, &request.asked()));
        let changed = changed.map_err(|error| failed(request.failed(error)))?;
        (changed.value, changed.receipt)
    };
    let said = format!(
        "Run the following command on another machine with a trusted tailnet lock key:\n\
         \tlockstep lock revoke-keys --cosign {}\n",
        HEXUPPER.encode(&aum)
    );
    Ok(Ended::Done(told(&aum, receipt, session), said))
}

/// The checkpoint of the revocation that a record has begun or joined; without a record, of the one
/// that waits with this signature already. `None`: it waits no longer.
fn begun(
    keys: &[LockKey],
    with: &With,
    receipt: &Receipt,
    session: &Session,
) -> Result<Option<Vec<u8>>, Failure> {
    let lost = || {
        Failure::new("the revocation is on record, but which one it is was not to be learnt")
            .remedy("'lockstep lock revoke-keys --cosign' lists those that wait.")
    };
    let Some(index) = receipt.record_index else {
        let mut keys: Vec<String> = keys.iter().map(LockKey::to_tlpub).collect();
        keys.sort();
        let signer = with.signer().to_tlpub();
        let mut waiting = session.wait(session.client.revocations())?;
        waiting.retain(|one| {
            one.keys == keys && one.signatures.iter().any(|signature| signature.key == signer)
        });
        return waiting.pop().map(|found| Some(found.aum.0)).ok_or_else(lost);
    };
    let line = session.wait(session.client.records(index, 1))?.pop().ok_or_else(lost)?;
    let record = Record::decode(&line.raw.0).map_err(|_| lost())?;
    let id = match &record.proposal().proposal().event {
        Event::RevocationOpened(opened) => opened.aum.sig_hash(),
        Event::RevocationSigned(signed) => signed.revocation,
        _ => return Err(lost()),
    };
    waiting(id.to_string(), session)
}

/// The checkpoint of a revocation by its name. `None`: it waits no longer.
fn waiting(name: String, session: &Session) -> Result<Option<Vec<u8>>, Failure> {
    match session.wait(session.client.revocation(&WhichRevocation::name(name))) {
        Ok(revocation) => Ok(Some(revocation.aum.0)),
        Err(ClientError::Status { status: 404, .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// One more signature.
pub(super) fn sign(
    args: &RevokeKeys,
    which: &Which,
    request: &Request,
    session: &Session,
) -> Result<Signed, Failure> {
    let failed = |failure| about("co-signing recovery AUM failed", failure);
    if let Some(with) = args.with.chosen()? {
        let asked = AskedBody { cosign: Some(which.body()), ..AskedBody::default() };
        let done = outside::change(asked, &with, request, session).map_err(failed)?;
        let Some(done) = done else { return Ok(Signed::Exported) };
        return Ok(match waiting(which.name()?, session)? {
            Some(aum) => Signed::With(aum, done.receipt),
            None => Signed::Gone(done.receipt),
        });
    }
    let changed = match which {
        Which::Name(_) => {
            let (body, asked) = (which.body(), request.asked());
            let call = session.client.revocation_sign(&body, &asked);
            session.wait(call).map(|changed| (changed.value.aum.0, changed.receipt))
        }
        Which::Blob(bytes) => {
            let asked = request.asked();
            let call = session.client.cosign_revocation(bytes, &asked);
            session.wait(call).map(|changed| (changed.value, changed.receipt))
        }
    };
    let (aum, receipt) = changed.map_err(|error| failed(request.failed(error)))?;
    Ok(Signed::With(aum, receipt))
}

/// What the original prints after a signature. The first command is for another machine, the
/// second for this one.
pub(super) fn signed_text(aum: &[u8], session: &Session) -> String {
    let blob = HEXUPPER.encode(aum);
    format!(
        "Co-signing completed successfully.\n\n\
         To accumulate an additional signature, run the following command on another machine with \
         a trusted tailnet lock key:\n\tlockstep lock revoke-keys --cosign {blob}\n\n\
         Alternatively if you are done with co-signing, complete recovery by running the following \
         command:\n\tlockstep lock revoke-keys --finish {blob}{}\n",
        session.socket_words()
    )
}
