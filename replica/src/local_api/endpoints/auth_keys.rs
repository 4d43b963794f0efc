//! Auth keys: issued, listed, revoked and wrapped.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::{Response, StatusCode};
use ledger::Fault;
use ledger::history::{AuthKeyId, NewAuthKey, auth_keys};
use ledger::lock::node_keys::wrap_auth_key;
use ledger::lock::signatures::PrivateKey;
use zeroize::Zeroizing;

use super::here::enforced;
use super::{body, empty, json, marked, ours};
use crate::local_api::answers;
use crate::local_api::api::{Api, blocking};
use crate::local_api::bodies::{AuthKeyCreateRequest, AuthKeyRevokeRequest, WrapRequest, to_json};
use crate::local_api::call::Call;
use crate::local_api::changes::{Done, Plan};
use crate::local_api::http::{self, Body};
use crate::local_api::problem::Problem;
use crate::operations::{self, disable};

impl Api {
    pub(super) async fn auth_keys(&self) -> Result<Response<Body>, Problem> {
        let now = now_ms();
        self.look(move |ground| {
            let entries = auth_keys::list(ground.rows)?;
            let entries: Vec<_> = entries.iter().map(|e| answers::auth_key(e, now)).collect();
            Ok(json(&entries))
        })
        .await
    }

    /// The daemon never sees the key: whoever asks has made it, and keeps it.
    pub(super) async fn auth_key_create(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: AuthKeyCreateRequest = ours(call)?;
        let new = NewAuthKey {
            id: auth_key_id(&request.id)?,
            hash: request.hash.parse().map_err(|e| Problem::bad(format!("hash: {e}")))?,
            reusable: request.reusable,
            expires_ms: request.expires_ms,
        };
        let id = new.id.clone();
        let plan: Arc<Plan> =
            Arc::new(move |_| Ok(Some(operations::auth_keys::create(new.clone()))));
        let done = self.change(call, "authkey create", &to_json(&request), plan).await?;
        self.auth_key(id, &done).await
    }

    pub(super) async fn auth_key_revoke(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: AuthKeyRevokeRequest = ours(call)?;
        let id = auth_key_id(&request.id)?;
        let revoked = id.clone();
        let plan: Arc<Plan> =
            Arc::new(move |_| Ok(Some(operations::auth_keys::revoke(revoked.clone()))));
        let done = self.change(call, "authkey revoke", &to_json(&request), plan).await?;
        self.auth_key(id, &done).await
    }

    /// The entry after a change; `null` if the change was made earlier for another one.
    async fn auth_key(&self, id: AuthKeyId, done: &Done) -> Result<Response<Body>, Problem> {
        let now = now_ms();
        let response = self.look(move |ground| {
            let entry = auth_keys::auth_key(ground.rows, &id)?;
            Ok(json(&entry.map(|entry| answers::auth_key(&entry, now))))
        });
        Ok(marked(response.await?, done))
    }

    /// Signs a credential with the key that is brought, whoever trusts it (spec 8.4). As in the
    /// original this changes nothing: the key is added to the trusted ones by another request.
    pub(super) async fn wrap_auth_key(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: WrapRequest = body(call)?;
        let signer = PrivateKey::from_nlpriv(request.tka_key.expose())
            .map_err(|_| Problem::bad("invalid JSON body"))?;
        let aside = self.aside();
        self.look(move |ground| {
            ground.authority()?;
            Ok(enforced(&aside, ground)?)
        })
        .await?;
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed).map_err(|e| Fault::from_error("drawing a key", e))?;
        let fresh = PrivateKey::from_seed(&seed);
        let wrapped = blocking(move || wrap_auth_key(&signer, request.ts_key.expose(), &fresh));
        let wrapped = wrapped.await?.map_err(|error| Problem::bad(error.to_string()))?;
        let text = wrapped.as_bytes().to_vec();
        Ok(http::whole(StatusCode::OK, "text/plain; charset=utf-8", text))
    }

    /// Whether a disablement secret is right, without using it.
    pub(super) async fn check_secret(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let _place = call.derivation()?;
        let secret = Zeroizing::new(call.body.to_vec());
        self.look(move |ground| Ok(disable::value_of(ground, &secret).map(drop)?)).await?;
        Ok(empty())
    }
}

fn auth_key_id(text: &str) -> Result<AuthKeyId, Problem> {
    text.parse().map_err(|error| Problem::bad(format!("id: {error}")))
}

/// This machine's clock, for what is shown to people.
fn now_ms() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
