//! Signing with a lock key that the daemon does not hold: what is to be signed goes out, what was
//! signed comes in.

use std::sync::Arc;

use hyper::{Response, StatusCode};
use ledger::history::roster;
use ledger::ids::AumHash;

use super::here::enforced;
use super::{json, marked, no_content, ours, parsed};
use crate::local_api::api::{Api, blocking};
use crate::local_api::bodies::{
    AskedBody, BadSigning, Base64, REQUEST_SCHEMA, SignedRequest, SigningRequest, UnsignedRequest,
    UnsignedSignature, to_json,
};
use crate::local_api::call::Call;
use crate::local_api::changes::Plan;
use crate::local_api::http::Body;
use crate::local_api::problem::Problem;
use crate::operations::outside::Draft;
use crate::operations::{Ground, NotPlanned};

/// The verb under which such requests are recorded.
const VERB: &str = "signed outside";

impl Api {
    /// Says what is to be signed; nothing if this very request is on record already.
    pub(super) async fn unsigned(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: UnsignedRequest = ours(call)?;
        let asked = request.asked.asked()?;
        let signer = parsed("signer", &request.signer)?;
        let head: Option<AumHash> =
            request.head.as_deref().map(|head| parsed("head", head)).transpose()?;
        let arguments = arguments(&request.asked, &request.signer);
        if let Some(done) = self.earlier(call, VERB, &arguments).await? {
            return Ok(marked(json(&None::<SigningRequest>), &done));
        }
        let (own, cluster) = (self.node.replica(), self.node.cluster());
        let aside = self.aside();
        self.look(move |ground| {
            let authority = ground.authority()?;
            enforced(&aside, ground)?;
            let draft = Draft::plan(ground, &asked, signer, own, head)?;
            let draft = draft.ok_or_else(|| Problem::bad("there is nothing to change"))?;
            let state = authority.state();
            Ok(json(&Some(SigningRequest {
                schema: REQUEST_SCHEMA.to_owned(),
                cluster_id: cluster.to_string(),
                state_id: format!("{}:{}", state.state_id1, state.state_id2),
                head: head.unwrap_or(authority.head()).to_string(),
                signer: signer.to_tlpub(),
                asked: request.asked,
                aums: draft.aums().iter().map(|aum| Base64(aum.bytes().to_vec())).collect(),
                signatures: signatures(ground, &draft)?,
            })))
        })
        .await
    }

    /// Has recorded what was signed, if it is what is planned now.
    pub(super) async fn signed(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let signed: SignedRequest = ours(call)?;
        let request = &signed.request;
        if request.cluster_id != self.node.cluster().to_string() {
            return Err(Problem::new(StatusCode::CONFLICT, "it was made by another ledger")
                .with_remedy("submit it where it was exported"));
        }
        let (asked, head) = (request.asked.asked()?, request.head()?);
        let arguments = arguments(&request.asked, &request.signer);
        let presigned = blocking(move || signed.presigned()).await??;
        let (own, aside) = (self.node.replica(), self.aside());
        let plan: Arc<Plan> = Arc::new(move |ground| {
            enforced(&aside, ground)?;
            presigned.plan(ground, &asked, own, head)
        });
        let _turn = self.updating.lock().await;
        let done = self.change(call, VERB, &arguments, plan).await?;
        Ok(marked(no_content(), &done))
    }
}

/// The signatures to make, with the names of their nodes.
fn signatures(ground: Ground<'_>, draft: &Draft) -> Result<Vec<UnsignedSignature>, NotPlanned> {
    let mut signatures = Vec::new();
    for signature in draft.signatures() {
        let mut node = None;
        // A rotation is for a key that the roster does not know yet.
        for level in signature.levels() {
            if let (None, Some(key)) = (&node, level.node_key()) {
                node = roster::by_node_key(ground.rows, key)?;
            }
        }
        let name = node.map(|node| node.name).unwrap_or_default();
        signatures.push(UnsignedSignature { node: name, unsigned: Base64(signature.to_cbor()) });
    }
    Ok(signatures)
}

/// What was asked and by whose key, in one spelling.
fn arguments(asked: &AskedBody, signer: &str) -> Vec<u8> {
    let mut arguments = to_json(asked);
    arguments.extend_from_slice(signer.as_bytes());
    arguments
}

impl From<BadSigning> for Problem {
    fn from(bad: BadSigning) -> Self {
        Problem::bad(bad.to_string())
    }
}
