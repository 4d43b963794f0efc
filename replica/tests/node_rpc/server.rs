//! A front end without a network: JSON in, JSON out, and events recorded at once.

use ledger::history::{Event, Verdict};
use ledger::testing::Group;
use replica::node_rpc::bodies::{BootstrapRequest, Done, MapRequest};
use replica::node_rpc::{self, NotAnswered, Support};
use replica::operations::Ground;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A group of one, and who would keep its support secrets.
#[derive(Default)]
pub struct Server {
    pub group: Group,
    pub escrow: Vec<Support>,
}

/// Status and text of a call that has no answer.
pub type Refused = (u16, String);

impl Server {
    pub fn ground(&self) -> Ground<'_> {
        Ground { fold: &self.group.fold, rows: &self.group.rows }
    }

    /// Answers a call.
    pub fn call(&mut self, path: &str, body: &Value) -> Result<Value, Refused> {
        match path {
            "init/begin" => {
                let event = answered(node_rpc::begin(self.ground(), &request(body)?))?;
                self.record(event)?;
                json(&node_rpc::begun(self.ground()).unwrap())
            }
            "init/finish" => {
                let (now, request) = (self.now(), request(body)?);
                let finish = node_rpc::finish(self.ground(), &request, now, true);
                let finish = answered(finish)?;
                self.escrow.extend(finish.support);
                if let Some(event) = finish.event {
                    self.record(event)?;
                }
                json(&Done {})
            }
            "bootstrap" => {
                let request: BootstrapRequest = request(body)?;
                json(&answered(node_rpc::bootstrap(self.ground(), &request))?)
            }
            "sync/offer" => json(&answered(node_rpc::offer(self.ground(), &request(body)?))?),
            "sync/send" => {
                if let Some(event) = answered(node_rpc::send(self.ground(), &request(body)?))? {
                    self.record(event)?;
                }
                json(&answered(node_rpc::sent(self.ground()))?)
            }
            "sign" => {
                if let Some(event) = answered(node_rpc::sign(self.ground(), &request(body)?))? {
                    self.record(event)?;
                }
                json(&Done {})
            }
            "affected-sigs" => {
                json(&answered(node_rpc::affected_signatures(self.ground(), &request(body)?))?)
            }
            "disable" => {
                let event = answered(node_rpc::disable(self.ground(), &request(body)?))?;
                self.record(event)?;
                json(&Done {})
            }
            "map" => {
                let request: MapRequest = request(body)?;
                while let Some(event) =
                    answered(node_rpc::acknowledgement(self.ground(), &request))?
                {
                    self.record(event)?;
                }
                json(&answered(node_rpc::map(self.ground(), &request))?)
            }
            other => panic!("no call {other}"),
        }
    }

    /// The clock by which the group's proposals are dated.
    pub fn now(&self) -> u64 {
        let last = self.group.records().pop();
        last.map_or(0, |record| record.proposal().proposal().time_ms)
    }

    fn record(&mut self, event: Event) -> Result<(), Refused> {
        match self.group.propose(event) {
            Verdict::Sealed(_) => Ok(()),
            Verdict::Refused(refusal) => Err((409, refusal.to_string())),
            Verdict::Repeated { .. } => panic!("every proposal here is a request of its own"),
        }
    }
}

fn request<T: DeserializeOwned>(body: &Value) -> Result<T, Refused> {
    serde_json::from_value(body.clone()).map_err(|error| (400, error.to_string()))
}

fn answered<T>(result: Result<T, NotAnswered>) -> Result<T, Refused> {
    result.map_err(|why| {
        let text = why.to_string();
        assert!(!text.is_empty() && !text.contains('\n'), "{text:?}");
        assert!((400..500).contains(&why.status()), "{text}");
        (why.status(), text)
    })
}

fn json<T: Serialize>(answer: &T) -> Result<Value, Refused> {
    Ok(serde_json::to_value(answer).unwrap())
}
