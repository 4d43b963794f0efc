//! Calls of nodes that are no signing nodes: what a client of the tailnet would ask its
//! coordination server, asked over this socket.

use std::sync::Arc;

use hyper::{Response, StatusCode};
use ledger::history::{acknowledgements, roster};

use super::{json, list, ours};
use crate::local_api::api::Api;
use crate::local_api::bodies::AcknowledgementBody;
use crate::local_api::call::Call;
use crate::local_api::changes::Plan;
use crate::local_api::http::Body;
use crate::local_api::problem::Problem;
use crate::node_rpc::bodies::{BootstrapRequest, MapRequest, SyncOfferRequest, SyncSendRequest};
use crate::node_rpc::{self, NotAnswered};
use crate::operations::NotPlanned;

impl Api {
    pub(super) async fn machine_map(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: MapRequest = ours(call)?;
        // Each thing that the node says by this is an event of its own.
        loop {
            let request = request.clone();
            let plan: Arc<Plan> =
                Arc::new(move |ground| Ok(node_rpc::acknowledgement(ground, &request)?));
            if !self.note(call, "node acknowledged", plan).await? {
                break;
            }
        }
        self.look(move |ground| Ok(json(&node_rpc::map(ground, &request)?))).await
    }

    pub(super) async fn machine_bootstrap(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: BootstrapRequest = ours(call)?;
        self.look(move |ground| Ok(json(&node_rpc::bootstrap(ground, &request)?))).await
    }

    pub(super) async fn machine_offer(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: SyncOfferRequest = ours(call)?;
        self.look(move |ground| Ok(json(&node_rpc::offer(ground, &request)?))).await
    }

    pub(super) async fn machine_send(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: SyncSendRequest = ours(call)?;
        let checked = request.clone();
        let new = self.look(move |ground| Ok(node_rpc::send(ground, &checked)?.is_some())).await?;
        if new {
            let plan: Arc<Plan> = Arc::new(move |ground| Ok(node_rpc::send(ground, &request)?));
            self.note(call, "node sent", plan).await?;
        }
        self.look(|ground| Ok(json(&node_rpc::sent(ground)?))).await
    }

    pub(super) async fn acknowledgements(&self) -> Result<Response<Body>, Problem> {
        self.look(|ground| {
            let mut all = Vec::new();
            for node in roster::list(ground.rows)? {
                for said in acknowledgements::by_node(ground.rows, node.id)? {
                    all.push(AcknowledgementBody {
                        node: node.id.0,
                        epoch: said.epoch.0,
                        head: said.applied.head().map(|head| head.to_string()),
                        record: said.record,
                    });
                }
            }
            list(all)
        })
        .await
    }
}

impl From<NotAnswered> for Problem {
    fn from(why: NotAnswered) -> Self {
        match why {
            NotAnswered::NotPlanned(why) => why.into(),
            why => {
                let status = StatusCode::from_u16(why.status()).unwrap_or(StatusCode::BAD_REQUEST);
                Problem::new(status, why.to_string())
            }
        }
    }
}

impl From<NotAnswered> for NotPlanned {
    fn from(why: NotAnswered) -> Self {
        match why {
            NotAnswered::NotPlanned(why) => why,
            NotAnswered::UnknownCaller(key) => NotPlanned::UnknownNodeKey(key),
            why => NotPlanned::NotTaken(why.to_string()),
        }
    }
}
