//! `lock init`: the genesis, and the support secret on its way to the escrow.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::Response;
use ledger::Fault;
use ledger::history::SecretLabel;
use ledger::limits::{DISABLEMENT_SECRET_BYTES, LABEL_BYTES};
use ledger::lock::disablement::image;
use zeroize::Zeroizing;

use super::{body, keys};
use crate::daemon::{Escrow, accounts};
use crate::local_api::api::{Api, blocking};
use crate::local_api::bodies::{Base64, InitRequest, to_json};
use crate::local_api::call::Call;
use crate::local_api::changes::Plan;
use crate::local_api::http::Body;
use crate::local_api::problem::Problem;
use crate::operations::{Ground, init};

/// A secret for the escrow, and the value that the genesis has of it.
struct Support<'a> {
    escrow: &'a Escrow,
    secret: Zeroizing<Vec<u8>>,
    value: Vec<u8>,
}

impl Api {
    pub(super) async fn init(&self, call: &Call) -> Result<Response<Body>, Problem> {
        self.initialize(call).await.map_err(|problem| problem.during("initialization failed: "))
    }

    async fn initialize(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let mut request: InitRequest = body(call)?;
        let values: Vec<Vec<u8>> = request
            .disablement_values
            .iter()
            .flatten()
            .map(|value| value.as_ref().map(|bytes| bytes.0.clone()).unwrap_or_default())
            .collect();
        let support = self.support(call, request.support_disablement.take(), &values).await?;
        // The secret itself must not leave even a hash in the record.
        request.support_disablement = support.as_ref().map(|s| Base64(s.value.clone()));
        let arguments = to_json(&request);
        let order = init::Order {
            keys: keys(request.keys.clone()),
            labels: labels(call, &request, &values, support.as_ref())?,
            disablement_values: values,
            state_id: state_id()?,
        };
        let plan = self.signing(move |ground, key| init::plan(ground, &order, key).map(Some));
        let _turn = self.updating.lock().await;
        let done = match support {
            None => self.change(call, "init", &arguments, plan).await?,
            Some(support) => match self.earlier(call, "init", &arguments).await? {
                Some(done) => done,
                None => {
                    self.refused_before(&plan).await?;
                    let kept = support.escrow.keep(&support.secret).await.map_err(|error| {
                        Problem::bad(format!(
                            "the escrow {} did not take the support secret: {error}",
                            support.escrow.name()
                        ))
                        .with_remedy("nothing was initialized; see to the escrow and try again")
                    })?;
                    tracing::info!(escrow = support.escrow.describe(), "has the support secret");
                    match self.change(call, "init", &arguments, plan).await {
                        Err(problem) if !problem.is_unknown() => {
                            if !kept.withdraw() {
                                tracing::warn!("the support secret in the escrow is void");
                            }
                            return Err(problem);
                        }
                        changed => changed?,
                    }
                }
            },
        };
        let mut response = self.lock_status().await?;
        done.mark(&mut response);
        Ok(response)
    }

    /// What is wrong with a plan as far as can be known before it is proposed.
    async fn refused_before(&self, plan: &Arc<Plan>) -> Result<(), Problem> {
        let plan = plan.clone();
        self.look(move |ground: Ground<'_>| plan(ground).map(drop).map_err(Problem::from)).await
    }

    /// The support secret, if there is one: it needs an escrow, and must be one of the lock's.
    async fn support(
        &self,
        call: &Call,
        secret: Option<Base64>,
        values: &[Vec<u8>],
    ) -> Result<Option<Support<'_>>, Problem> {
        let secret = Zeroizing::new(secret.unwrap_or_default().0);
        if secret.is_empty() {
            return Ok(None);
        }
        let escrow = self.escrow.as_ref().ok_or_else(|| {
            Problem::bad("no escrow is configured that would receive the support secret")
                .with_remedy(
                    "initialize without --gen-disablement-for-support, or configure one \
                     ([support_escrow] in the daemon's configuration file)",
                )
        })?;
        if secret.len() > DISABLEMENT_SECRET_BYTES {
            return Err(Problem::bad(format!(
                "the support secret has more than {DISABLEMENT_SECRET_BYTES} bytes"
            )));
        }
        let _place = call.derivation()?;
        let derived = secret.clone();
        let value = blocking(move || image(&derived)).await?.to_vec();
        if !values.contains(&value) {
            return Err(Problem::bad(
                "the support secret's value is not among the disablement values",
            ));
        }
        Ok(Some(Support { escrow, secret, value }))
    }
}

/// Two random numbers.
fn state_id() -> Result<(u64, u64), Fault> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|e| Fault::from_error("drawing a state ID", e))?;
    let number =
        |half: &[u8]| half.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    Ok((number(&random[..8]), number(&random[8..])))
}

/// Where each secret is, as far as it was said: in the order of the values.
fn labels(
    call: &Call,
    request: &InitRequest,
    values: &[Vec<u8>],
    support: Option<&Support<'_>>,
) -> Result<Vec<SecretLabel>, Problem> {
    let holders = request.disablement_holders.as_deref().unwrap_or_default();
    if holders.len() > values.len() {
        return Err(Problem::bad("more holders of disablement secrets than values"));
    }
    if holders.iter().any(|holder| holder.len() > LABEL_BYTES) {
        return Err(Problem::bad(format!(
            "a holder of a disablement secret has more than {LABEL_BYTES} bytes"
        )));
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let made_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let maker = accounts::user_name(call.uid);
    let label = |(place, value): (usize, &Vec<u8>)| {
        let said = holders.get(place).filter(|holder| !holder.is_empty()).cloned();
        let for_support = support.filter(|support| support.value == *value);
        let holder =
            for_support.map(|support| format!("support: {}", support.escrow.name())).or(said);
        SecretLabel { maker: maker.clone(), made_ms, holder }
    };
    Ok(values.iter().enumerate().map(label).collect())
}
