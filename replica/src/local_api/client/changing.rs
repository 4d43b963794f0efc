//! Tailscaled's endpoints that change or make something.

use hyper::Method;
use zeroize::Zeroizing;

use super::{Asked, Changed, Client, ClientError, json};
use crate::local_api::bodies::{
    GenerateRequest, InitRequest, LockStatus, ModifyRequest, RevocationBody, SignRequest,
    WrapRequest,
};

impl Client {
    /// `POST tka/force-local-disable`: this node lets everybody in, as if the lock were off.
    pub async fn local_disable(&self) -> Result<(), ClientError> {
        self.call(Method::POST, "tka/force-local-disable", b"{}\n".to_vec(), &Asked::default())
            .await
            .map(drop)
    }

    /// `POST tka/init`.
    pub async fn init(
        &self,
        request: &InitRequest,
        asked: &Asked,
    ) -> Result<Changed<LockStatus>, ClientError> {
        self.change("tka/init", json(request), asked).await
    }

    /// `POST tka/modify`.
    pub async fn modify(
        &self,
        request: &ModifyRequest,
        asked: &Asked,
    ) -> Result<Changed<()>, ClientError> {
        self.change_without_answer("tka/modify", json(request), asked).await
    }

    /// `POST tka/sign`.
    pub async fn sign(
        &self,
        request: &SignRequest,
        asked: &Asked,
    ) -> Result<Changed<()>, ClientError> {
        self.change_without_answer("tka/sign", json(request), asked).await
    }

    /// `POST tka/disable` with the secret itself.
    pub async fn disable(&self, secret: &[u8], asked: &Asked) -> Result<Changed<()>, ClientError> {
        self.change_without_answer("tka/disable", secret.to_vec(), asked).await
    }

    /// `POST tka/wrap-preauth-key`: the auth key with a credential.
    pub async fn wrap_auth_key(
        &self,
        request: &WrapRequest,
    ) -> Result<Zeroizing<String>, ClientError> {
        let path = "tka/wrap-preauth-key";
        let (bytes, _) = self.call(Method::POST, path, json(request), &Asked::default()).await?;
        let text = Zeroizing::new(bytes.to_vec());
        let text = str::from_utf8(&text).map_err(|error| ClientError::Unexpected {
            path: path.to_owned(),
            what: error.to_string(),
        })?;
        Ok(Zeroizing::new(text.trim_end().to_owned()))
    }

    /// `POST tka/generate-recovery-aum`: the first signature on a revocation. The keys are IDs.
    pub async fn generate_revocation(
        &self,
        request: &GenerateRequest,
        asked: &Asked,
    ) -> Result<Changed<Vec<u8>>, ClientError> {
        self.blob("tka/generate-recovery-aum", json(request), asked).await
    }

    /// `POST tka/cosign-recovery-aum`: one more signature.
    pub async fn cosign_revocation(
        &self,
        aum: &[u8],
        asked: &Asked,
    ) -> Result<Changed<Vec<u8>>, ClientError> {
        self.blob("tka/cosign-recovery-aum", aum.to_vec(), asked).await
    }

    /// `POST tka/submit-recovery-aum`: the last step. A daemon of ours says how the revocation looked
    /// before it took effect.
    pub async fn submit_revocation(
        &self,
        aum: &[u8],
        asked: &Asked,
    ) -> Result<Changed<Option<RevocationBody>>, ClientError> {
        let path = "tka/submit-recovery-aum";
        let (bytes, receipt) = self.call(Method::POST, path, aum.to_vec(), asked).await?;
        Ok(Changed { value: serde_json::from_slice(&bytes).ok(), receipt })
    }
}
