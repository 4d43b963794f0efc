//! What all commands that change something share: the request ID and how the outcome is told.

use data_encoding::HEXLOWER;
use ledger::history::RequestId;
use replica::local_api::bodies::{NodeBody, RequestBody};
use replica::local_api::client::{Asked, ClientError, Receipt};
use serde::Serialize;
use serde_json::{Map, Value};

use super::Session;
use crate::args::Change;
use crate::exit::{Code, Failure};
use crate::print;

/// A change that is about to be asked for, under the name by which it can be repeated.
pub(super) struct Request {
    /// Its ID.
    pub(super) id: String,
    /// Whether the user chose the ID: it may be a repetition.
    pub(super) named: bool,
    /// Whether the outcome is wanted as JSON.
    pub(super) json: bool,
    digest: Option<[u8; 32]>,
    part: u32,
}

/// How a change ended.
#[derive(Default)]
pub(super) struct Done {
    /// What the daemon's headers said.
    pub(super) receipt: Receipt,
    /// The node that was changed, if it was one.
    pub(super) node: Option<NodeBody>,
}

/// The JSON of `--json`.
#[derive(Serialize)]
struct Outcome<'a> {
    outcome: &'static str,
    record_index: Option<u64>,
    record_hash: Option<&'a str>,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(flatten)]
    node: Option<&'a NodeBody>,
    #[serde(flatten)]
    more: &'a Map<String, Value>,
}

impl Request {
    /// Takes the user's ID or draws one.
    pub(super) fn new(change: &Change) -> Result<Self, Failure> {
        let id = match &change.request_id {
            Some(id) => {
                id.parse::<RequestId>()
                    .map_err(|error| Failure::usage(format!("--request-id: {error}")))?;
                id.clone()
            }
            None => {
                let mut bytes = [0; 16];
                random(&mut bytes)?;
                HEXLOWER.encode(&bytes)
            }
        };
        Ok(Request {
            id,
            named: change.request_id.is_some(),
            json: change.json,
            digest: None,
            part: 0,
        })
    }

    /// One of several changes under this ID; `digest` stands for all that was asked.
    pub(super) fn part(&self, digest: [u8; 32], part: u32) -> Request {
        Request { id: self.id.clone(), digest: Some(digest), part, ..*self }
    }

    /// Text for people: on stdout, unless `--json` keeps that for the outcome.
    pub(super) fn say(&self, text: &str) -> Result<(), Failure> {
        if self.json {
            print::note(text.trim_end());
            Ok(())
        } else {
            print::stdout(text)
        }
    }

    /// What became of this request earlier, if the user has named it: what it made and printed
    /// was printed then. `digest` stands for what is asked now; it must be what was asked then.
    pub(super) fn earlier(
        &self,
        digest: [u8; 32],
        session: &Session,
    ) -> Result<Option<Receipt>, Failure> {
        let Some(found) = self.found(session)? else { return Ok(None) };
        if found.digest != Some(HEXLOWER.encode(&digest)) {
            return Err(Failure::new(format!(
                "request {} was used for something else in record {}",
                self.id,
                found.record_index.unwrap_or_default()
            ))
            .remedy("Choose another request ID."));
        }
        Ok(Some(Receipt {
            outcome: Some("applied".into()),
            record_index: found.record_index,
            record_hash: found.record_hash,
            request_id: Some(found.request_id),
            repeated: true,
            warning: None,
        }))
    }

    /// Whether this request is on record. Then what a command checks before it asks for a change
    /// was checked when it was made, and may look different now.
    pub(super) fn on_record(&self, session: &Session) -> Result<bool, Failure> {
        Ok(self.found(session)?.is_some())
    }

    /// What is on record under this ID. One that was drawn just now cannot be.
    fn found(&self, session: &Session) -> Result<Option<RequestBody>, Failure> {
        if !self.named {
            return Ok(None);
        }
        let found = session.wait(session.client.request(&self.id))?;
        Ok(found.applied.then_some(found))
    }

    /// As the client wants it.
    pub(super) fn asked(&self) -> Asked {
        Asked { digest: self.digest, part: self.part, ..Asked::by(self.id.clone()) }
    }

    /// What a failed call means for the change.
    pub(super) fn failed(&self, error: ClientError) -> Failure {
        let unknown = error.outcome_unknown() || matches!(&error, ClientError::Unexpected { .. });
        let answered = matches!(&error, ClientError::Status { .. });
        let tailscaled = matches!(&error, ClientError::Transport { tailscaled: true, .. });
        let failure = Failure::from(error);
        if !unknown {
            // What was done under that name is on record.
            let reused = failure.what.starts_with(&format!("request {} was used", self.id));
            return if answered && self.named && !reused { in_doubt(failure) } else { failure };
        }
        let what = format!("the outcome is unknown: {}", failure.what);
        if tailscaled {
            let remedy = "Look what has become of it ('lockstep lock status', 'lockstep lock log') \
                          before you run it again: a tailscaled knows no request IDs.";
            return Failure { code: Code::Unknown, what, remedy: None }.remedy(remedy);
        }
        Failure { code: Code::Unknown, what, remedy: None }.remedy(format!(
            "Run the same command again with --request-id {}: Lockstep applies it once at most.",
            self.id
        ))
    }

    /// Tells the outcome: JSON if it is wanted; failures go on to stderr.
    pub(super) fn conclude(
        &self,
        result: Result<Done, Failure>,
    ) -> Result<Option<NodeBody>, Failure> {
        self.conclude_with(result, &Map::new())
    }

    /// As [`conclude`](Self::conclude), with more fields in the JSON.
    pub(super) fn conclude_with(
        &self,
        result: Result<Done, Failure>,
        more: &Map<String, Value>,
    ) -> Result<Option<NodeBody>, Failure> {
        if self.json {
            print::stdout(&print::json(&self.outcome(&result, more))?)?;
        }
        let done = result?;
        if let Some(warning) = &done.receipt.warning {
            print::note(&format!("Warning: {warning}"));
        }
        if done.receipt.repeated {
            print::note("This request was on record already; nothing was done twice.");
        }
        Ok(done.node)
    }

    fn outcome<'a>(
        &'a self,
        result: &'a Result<Done, Failure>,
        more: &'a Map<String, Value>,
    ) -> Outcome<'a> {
        let (outcome, receipt, error) = match result {
            Ok(done) => ("applied", Some(&done.receipt), None),
            Err(Failure { code: Code::Unknown, what, .. }) => ("unknown", None, Some(what)),
            Err(failure) => ("refused", None, Some(&failure.what)),
        };
        Outcome {
            outcome,
            record_index: receipt.and_then(|receipt| receipt.record_index),
            record_hash: receipt.and_then(|receipt| receipt.record_hash.as_deref()),
            request_id: &self.id,
            error: error.map(|what| print::without_secrets(what)),
            node: result.as_ref().ok().and_then(|done| done.node.as_ref()),
            more,
        }
    }
}

/// A refusal speaks of the attempt that it answers; whoever names a request may have asked before.
fn in_doubt(failure: Failure) -> Failure {
    let warning = "If an earlier attempt with this request ID had no answer, it may be recorded yet: \
                   run the command again later to see.";
    let remedy =
        failure.remedy.as_ref().map_or(warning.to_owned(), |remedy| format!("{remedy}\n{warning}"));
    failure.remedy(remedy)
}

/// Fills `bytes` with the system's randomness.
pub(super) fn random(bytes: &mut [u8]) -> Result<(), Failure> {
    getrandom::fill(bytes).map_err(|error| Failure::new(format!("no randomness: {error}")))
}
