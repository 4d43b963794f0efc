//! `lock revoke-keys`.

mod shown;
mod signing;

use data_encoding::HEXLOWER_PERMISSIVE;
use ledger::history::requests;
use ledger::ids::LockKey;
use ledger::lock::Sealed;
use replica::local_api::bodies::{
    FinishRevocationRequest, RevocationBody, WhichRevocation, WithdrawRevocationRequest,
};
use replica::local_api::client::{Changed, Receipt};
use serde_json::Map;

use self::shown::{agreed, asks, list, told};
use self::signing::{GONE, Signed, begin, sign, signed_text};
use super::Session;
use super::add::missing_keys;
use crate::args::RevokeKeys;
use crate::commands::change::{Done, Request};
use crate::commands::words::{Said, Voter, listed, or_blob_file};
use crate::exit::Failure;
use crate::print;

/// Characters of a revocation's name from which on a word is taken for one.
const NAME: std::ops::RangeInclusive<usize> = 6..=64;

/// A step, and what it needs beside its flags.
enum Step {
    Begin(Vec<LockKey>),
    /// Cosign, finish, or one after the other.
    Continue {
        cosign: bool,
        finish: bool,
        which: Which,
    },
    Withdraw(String),
    List,
}

/// Which revocation is meant.
enum Which {
    /// How its name begins.
    Name(String),
    /// The checkpoint itself.
    Blob(Vec<u8>),
}

impl Which {
    /// A word on the command line: hex that is an AUM is a blob, whatever else it could be.
    fn parse(word: &str) -> Result<Self, Failure> {
        let is_name = NAME.contains(&word.len()) && word.bytes().all(|b| b.is_ascii_alphanumeric());
        let bytes = match HEXLOWER_PERMISSIVE.decode(word.as_bytes()) {
            Ok(bytes) => bytes,
            Err(_) if is_name => return Ok(Which::Name(word.to_owned())),
            Err(_) if (1..*NAME.start()).contains(&word.len()) => {
                return Err(Failure::new(format!("{word:?} is too short for a revocation's name"))
                    .remedy(EXPECTED));
            }
            Err(error) => {
                return Err(Failure::new(format!("parsing hex: {error}")).remedy(EXPECTED));
            }
        };
        match Sealed::decode(&bytes) {
            Ok(_) => Ok(Which::Blob(bytes)),
            Err(_) if is_name => Ok(Which::Name(word.to_owned())),
            Err(error) => {
                Err(Failure::new(format!("decoding recovery AUM: {error}")).remedy(EXPECTED))
            }
        }
    }

    fn body(&self) -> WhichRevocation {
        match self {
            Which::Name(name) => WhichRevocation::name(name),
            Which::Blob(bytes) => WhichRevocation::blob(bytes.as_slice()),
        }
    }

    /// By what it is found on record.
    fn name(&self) -> Result<String, Failure> {
        match self {
            Which::Name(name) => Ok(name.clone()),
            Which::Blob(bytes) => Sealed::decode(bytes)
                .map(|aum| aum.sig_hash().to_string())
                .map_err(|error| Failure::new(format!("decoding recovery AUM: {error}"))),
        }
    }
}

const EXPECTED: &str = "Give the blob that an earlier step printed, or the first 6 characters of a \
                        revocation's name ('lockstep lock revoke-keys --cosign' lists them).";

/// How far it went.
#[expect(clippy::large_enum_variant, reason = "one in a run")]
enum Ended {
    /// The user thought better of it.
    Aborted,
    /// What is to be signed was written to a file.
    Exported,
    /// The step is taken; this is to be said.
    Done(Taken, String),
}

/// What came of a step.
struct Taken {
    done: Done,
    /// The revocation as it stands on record then.
    revocation: Option<RevocationBody>,
}

impl From<Receipt> for Taken {
    fn from(receipt: Receipt) -> Self {
        Taken { done: Done { receipt, node: None }, revocation: None }
    }
}

pub(super) fn run(args: RevokeKeys, session: &Session) -> Result<(), Failure> {
    let request = Request::new(&args.change)?;
    let step = step(&args)?;
    if let Step::List = step {
        return list(args.change.json, session);
    }
    match take(&args, step, &request, session) {
        Ok(Ended::Aborted) => print::stdout("aborting, nothing was changed\n"),
        Ok(Ended::Exported) => Ok(()),
        Ok(Ended::Done(Taken { done, revocation }, said)) => {
            let mut more = Map::new();
            if let Some(revocation) = revocation {
                let value = serde_json::to_value(revocation);
                let failed = |error| Failure::new(format!("writing JSON: {error}"));
                more.insert("revocation".to_owned(), value.map_err(failed)?);
            }
            request.conclude_with(Ok(done), &more)?;
            request.say(&said)
        }
        Err(failure) => request.conclude(Err(failure)).map(drop),
    }
}

fn step(args: &RevokeKeys) -> Result<Step, Failure> {
    let (cosign, finish) = (args.cosign, args.finish);
    if !(cosign || finish || args.withdraw) {
        let keys = Voter::parse_all((1..).zip(listed(&args.words)))?;
        if keys.is_empty() {
            return Err(missing_keys());
        }
        return Ok(Step::Begin(keys.iter().map(|voter| voter.key).collect()));
    }
    if args.withdraw && (cosign || finish) {
        return Err(Failure::usage("--withdraw goes with neither --cosign nor --finish"));
    }
    if args.fork_from.is_some() {
        return Err(Failure::usage(
            "--fork-from belongs to the first step, with the keys to revoke",
        ));
    }
    if !cosign && (args.with.key.is_some() || args.with.export.is_some()) {
        return Err(Failure::usage("--key and --export: nothing is signed in this step"));
    }
    if finish && args.with.export.is_some() {
        return Err(Failure::usage("--finish: what is exported is not signed yet")
            .remedy("Leave it out, and finish when the signature has been brought here."));
    }
    if args.why.reason.is_some() && !finish {
        return Err(Failure::usage("--reason: this step keeps none")
            .remedy("Give it with the first step, or with --finish."));
    }
    if args.why.note.is_some() && !(finish || args.withdraw) {
        return Err(Failure::usage("--note: this step keeps none")
            .remedy("Give it with the first step, with --finish or with --withdraw."));
    }
    match args.words.as_slice() {
        [] => Ok(Step::List),
        [word] if args.withdraw => Ok(Step::Withdraw(word.clone())),
        [word] => {
            let which = Which::parse(&or_blob_file(word)?)?;
            Ok(Step::Continue { cosign, finish, which })
        }
        words => {
            let what = format!("expected one revocation, got {} arguments", words.len());
            Err(Failure::new(what).remedy(EXPECTED))
        }
    }
}

fn take(
    args: &RevokeKeys,
    step: Step,
    request: &Request,
    session: &Session,
) -> Result<Ended, Failure> {
    match step {
        Step::Begin(keys) => begin(args, &keys, request, session),
        Step::Continue { cosign, finish, which } => {
            let both = (cosign && finish).then(|| digest(args, &which)).transpose()?;
            let part = |number| both.map(|digest| request.part(digest, number));
            let (first, second) = (part(0), part(1));
            // What is on record was agreed to then, and may wait no longer.
            if !request.on_record(session)? && !agreed(args, &which, session)? {
                return Ok(Ended::Aborted);
            }
            let mut which = which;
            if cosign {
                let (taken, aum) =
                    match sign(args, &which, first.as_ref().unwrap_or(request), session)? {
                        Signed::Exported => return Ok(Ended::Exported),
                        Signed::Gone(receipt) => (receipt.into(), None),
                        Signed::With(aum, receipt) => (told(&aum, receipt, session), Some(aum)),
                    };
                let text = match &aum {
                    Some(aum) => signed_text(aum, session),
                    None => GONE.to_owned(),
                };
                if !finish {
                    return Ok(Ended::Done(taken, text));
                }
                // What has been signed is of use whatever comes of the next step.
                request.say(&text)?;
                which = aum.map_or(which, Which::Blob);
            }
            let done = finished(args, &which, second.as_ref().unwrap_or(request), session)?;
            Ok(Ended::Done(done, "Recovery completed.\n".to_owned()))
        }
        Step::Withdraw(name) => {
            let body = WithdrawRevocationRequest { revocation: name, note: args.why.said()?.note };
            let changed = session.wait(session.client.revocation_withdraw(&body, &request.asked()));
            let receipt = changed.map_err(|error| request.failed(error))?.receipt;
            Ok(Ended::Done(receipt.into(), "The revocation was withdrawn.\n".to_owned()))
        }
        Step::List => Ok(Ended::Aborted),
    }
}

/// What is asked by `--cosign --finish`, which are two changes.
fn digest(args: &RevokeKeys, which: &Which) -> Result<[u8; 32], Failure> {
    let Said { reason, note } = args.why.said()?;
    let asked = print::json(&(which.body(), reason, note, args.with.words()))?;
    Ok(requests::digest("revoke cosign finish", asked.as_bytes()))
}

fn finished(
    args: &RevokeKeys,
    which: &Which,
    request: &Request,
    session: &Session,
) -> Result<Taken, Failure> {
    let failed = |error| about("submitting recovery AUM failed", request.failed(error));
    let Said { reason, note } = args.why.said()?;
    let receipt = match which {
        Which::Blob(bytes) if reason.is_none() && note.is_none() => {
            let changed = session.wait(session.client.submit_revocation(bytes, &request.asked()));
            let Changed { value, receipt } = changed.map_err(failed)?;
            if let Some(before) = value.filter(|_| !(args.cosign || asks(args))) {
                print::note(&print::revocations::text(&before));
            }
            receipt
        }
        which => {
            let body = FinishRevocationRequest { which: which.body(), reason, note };
            let changed = session.wait(session.client.revocation_finish(&body, &request.asked()));
            changed.map_err(failed)?.receipt
        }
    };
    if receipt.outcome.is_some() {
        print::note("'lockstep node list' shows the nodes that must be signed again, if any.");
    }
    Ok(receipt.into())
}

/// A failure, after what was being done.
fn about(what: &str, failure: Failure) -> Failure {
    if failure.what.is_empty() {
        return failure;
    }
    Failure { what: format!("{what}: {}", failure.what), ..failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(word: &str) -> bool {
        matches!(Which::parse(word), Ok(Which::Name(name)) if name == word)
    }

    #[test]
    fn blobs_are_told_from_names() {
        assert!(matches!(Which::parse("a2010302f6"), Ok(Which::Blob(bytes)) if bytes.len() == 5));
        assert!(matches!(Which::parse("A2010302F6"), Ok(Which::Blob(_))));
        for word in ["ABCDEF", "abcdef", "0123456789", &"a".repeat(64), "MZXW6YTBOI"] {
            assert!(name(word), "{word}");
        }
        for (word, what) in [
            ("xyz", "\"xyz\" is too short for a revocation's name"),
            ("", "decoding recovery AUM: "),
            ("ffff", "decoding recovery AUM: "),
            ("a0", "decoding recovery AUM: "),
            ("not-a-name", "parsing hex: "),
            (&"ff".repeat(33), "decoding recovery AUM: "),
        ] {
            let failure = Which::parse(word).err().unwrap();
            assert!(failure.what.starts_with(what), "{word}: {}", failure.what);
            assert_eq!(failure.code, crate::exit::Code::Failed);
        }
    }
}
