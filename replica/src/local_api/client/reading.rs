//! Tailscaled's endpoints that only look.

use hyper::Method;

use super::{Asked, Client, ClientError, decode, json};
use crate::local_api::bodies::{
    Base64, DeeplinkAnswer, DeeplinkRequest, LockStatus, LogEntry, MachineStatus,
};

impl Client {
    /// `GET tka/status`.
    pub async fn lock_status(&self) -> Result<LockStatus, ClientError> {
        self.get("tka/status").await
    }

    /// `GET tka/status`, and what the daemon says besides.
    pub async fn lock_status_and_warning(
        &self,
    ) -> Result<(LockStatus, Option<String>), ClientError> {
        let path = "tka/status";
        let (bytes, receipt) = self.call(Method::GET, path, Vec::new(), &Asked::default()).await?;
        Ok((decode(path, &bytes)?, receipt.warning))
    }

    /// `GET tka/log`: newest first, at most `limit`; below 1 there is nothing to list.
    pub async fn log(&self, limit: i64) -> Result<Vec<LogEntry>, ClientError> {
        self.get_list(&format!("tka/log?limit={limit}")).await
    }

    /// `GET status`; without peers it is enough to learn the own stable ID.
    pub async fn machine_status(&self, peers: bool) -> Result<MachineStatus, ClientError> {
        self.get(if peers { "status" } else { "status?peers=false" }).await
    }

    /// `POST tka/affected-sigs`: the signatures that end when this key is no longer trusted.
    pub async fn affected_signatures(&self, key_id: &[u8]) -> Result<Vec<Vec<u8>>, ClientError> {
        let path = "tka/affected-sigs";
        let (bytes, _) = self.call(Method::POST, path, key_id.to_vec(), &Asked::default()).await?;
        let list: Option<Vec<Base64>> = decode(path, &bytes)?;
        Ok(list.unwrap_or_default().into_iter().map(|bytes| bytes.0).collect())
    }

    /// `POST tka/verify-deeplink`.
    pub async fn verify_deeplink(&self, url: &str) -> Result<DeeplinkAnswer, ClientError> {
        let path = "tka/verify-deeplink";
        let body = json(&DeeplinkRequest { url: url.to_owned() });
        let (bytes, _) = self.call(Method::POST, path, body, &Asked::default()).await?;
        decode(path, &bytes)
    }
}
