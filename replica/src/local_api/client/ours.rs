//! What a daemon of ours serves and no other.

use hyper::Method;
use hyper::body::Bytes;
use ledger::formats::tlog::Tile;

use super::{Asked, Changed, Client, ClientError, decode, escape, json};
use crate::local_api::bodies::{
    AcknowledgementBody, AuthKeyBody, AuthKeyCreateRequest, AuthKeyRevokeRequest, EpochBody,
    FinishRevocationRequest, Identity, LogEntry, NodeAddRequest, NodeBody, NodeRemoveRequest,
    NodeRotateRequest, OpenRevocationRequest, RecordLine, RemoveRequest, RequestBody,
    RevocationBody, SignedRequest, SigningRequest, UnsignedRequest, WhichRevocation,
    WithdrawRevocationRequest,
};

impl Client {
    /// `POST lockstep/local-enable`: takes that back.
    pub async fn local_enable(&self) -> Result<(), ClientError> {
        self.call(Method::POST, "lockstep/local-enable", b"{}\n".to_vec(), &Asked::default())
            .await
            .map(drop)
    }

    /// `GET lockstep/acknowledgements`, by node and epoch.
    pub async fn acknowledgements(&self) -> Result<Vec<AcknowledgementBody>, ClientError> {
        self.get_list("lockstep/acknowledgements").await
    }

    /// A call of a node that is no signing node (`node_rpc`), below `lockstep/machine/`.
    pub async fn machine(&self, path: &str, body: Vec<u8>) -> Result<Bytes, ClientError> {
        let path = format!("lockstep/machine/{path}");
        Ok(self.call(Method::POST, &path, body, &Asked::default()).await?.0)
    }

    /// `GET lockstep/identity`.
    pub async fn identity(&self) -> Result<Identity, ClientError> {
        self.get("lockstep/identity").await
    }

    /// `GET lockstep/records`: one page from record `from` on, oldest first; empty at the end. A
    /// page may hold fewer than `limit` records though more follow.
    pub async fn records(&self, from: u64, limit: u64) -> Result<Vec<RecordLine>, ClientError> {
        let path = format!("lockstep/records?from={from}&limit={limit}");
        let (bytes, _) = self.call(Method::GET, &path, Vec::new(), &Asked::default()).await?;
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| decode(&path, line)).collect()
    }

    /// `GET lockstep/checkpoint`: a signed note over the first `size` records.
    pub async fn checkpoint(&self, size: u64) -> Result<Vec<u8>, ClientError> {
        let path = format!("lockstep/checkpoint?size={size}");
        let (bytes, _) = self.call(Method::GET, &path, Vec::new(), &Asked::default()).await?;
        Ok(bytes.to_vec())
    }

    /// `GET lockstep/tile/...`: a tile of the Merkle tree over the record hashes.
    pub async fn tile(&self, tile: &Tile) -> Result<Vec<u8>, ClientError> {
        let path = format!("lockstep/{tile}");
        let (bytes, _) = self.call(Method::GET, &path, Vec::new(), &Asked::default()).await?;
        Ok(bytes.to_vec())
    }

    /// `GET lockstep/log`: the AUMs of an epoch, as [`log`](Self::log) has them of the present.
    pub async fn epoch_log(&self, epoch: u32, limit: i64) -> Result<Vec<LogEntry>, ClientError> {
        self.get_list(&format!("lockstep/log?epoch={epoch}&limit={limit}")).await
    }

    /// `GET lockstep/epochs`, oldest first.
    pub async fn epochs(&self) -> Result<Vec<EpochBody>, ClientError> {
        self.get_list("lockstep/epochs").await
    }

    /// `GET lockstep/requests/ID`: whether a request is already on record.
    pub async fn request(&self, request_id: &str) -> Result<RequestBody, ClientError> {
        self.get(&format!("lockstep/requests/{}", escape(request_id))).await
    }

    /// `GET lockstep/nodes`, by ID.
    pub async fn nodes(&self) -> Result<Vec<NodeBody>, ClientError> {
        self.get_list("lockstep/nodes").await
    }

    /// `GET lockstep/nodes/show`: by name, ID or node key.
    pub async fn node(&self, node: &str) -> Result<NodeBody, ClientError> {
        self.get(&format!("lockstep/nodes/show?node={}", escape(node))).await
    }

    /// `POST lockstep/nodes/add`.
    pub async fn node_add(
        &self,
        request: &NodeAddRequest,
        asked: &Asked,
    ) -> Result<Changed<NodeBody>, ClientError> {
        self.change("lockstep/nodes/add", json(request), asked).await
    }

    /// `POST lockstep/nodes/rotate`.
    pub async fn node_rotate(
        &self,
        request: &NodeRotateRequest,
        asked: &Asked,
    ) -> Result<Changed<NodeBody>, ClientError> {
        self.change("lockstep/nodes/rotate", json(request), asked).await
    }

    /// `POST lockstep/nodes/remove`; answers with the entry as it was.
    pub async fn node_remove(
        &self,
        request: &NodeRemoveRequest,
        asked: &Asked,
    ) -> Result<Changed<NodeBody>, ClientError> {
        self.change("lockstep/nodes/remove", json(request), asked).await
    }

    /// `POST lockstep/remove`: removes keys and signs their nodes again, as one record.
    pub async fn remove_keys(
        &self,
        request: &RemoveRequest,
        asked: &Asked,
    ) -> Result<Changed<()>, ClientError> {
        self.change_without_answer("lockstep/remove", json(request), asked).await
    }

    /// `GET lockstep/authkeys`, in the order in which they were issued.
    pub async fn auth_keys(&self) -> Result<Vec<AuthKeyBody>, ClientError> {
        self.get_list("lockstep/authkeys").await
    }

    /// `POST lockstep/authkeys/create`. `None` if the request was recorded earlier, for another
    /// key.
    pub async fn auth_key_create(
        &self,
        request: &AuthKeyCreateRequest,
        asked: &Asked,
    ) -> Result<Changed<Option<AuthKeyBody>>, ClientError> {
        self.change("lockstep/authkeys/create", json(request), asked).await
    }

    /// `POST lockstep/authkeys/revoke`.
    pub async fn auth_key_revoke(
        &self,
        request: &AuthKeyRevokeRequest,
        asked: &Asked,
    ) -> Result<Changed<Option<AuthKeyBody>>, ClientError> {
        self.change("lockstep/authkeys/revoke", json(request), asked).await
    }

    /// `POST lockstep/check-disablement`: whether a secret is right, without using it. A wrong one
    /// is refused.
    pub async fn check_disablement(&self, secret: &[u8]) -> Result<(), ClientError> {
        let (path, body) = ("lockstep/check-disablement", secret.to_vec());
        self.call(Method::POST, path, body, &Asked::default()).await.map(drop)
    }

    /// `POST lockstep/unsigned`: what a key outside the daemon is to sign. Nothing, with a receipt,
    /// if the same request is on record already.
    pub async fn unsigned(
        &self,
        request: &UnsignedRequest,
        asked: &Asked,
    ) -> Result<Changed<Option<SigningRequest>>, ClientError> {
        self.change("lockstep/unsigned", json(request), asked).await
    }

    /// `POST lockstep/signed`: has recorded what was signed.
    pub async fn signed(
        &self,
        signed: &SignedRequest,
        asked: &Asked,
    ) -> Result<Changed<()>, ClientError> {
        self.change_without_answer("lockstep/signed", json(signed), asked).await
    }

    /// `GET lockstep/revocations`: those that wait, oldest first.
    pub async fn revocations(&self) -> Result<Vec<RevocationBody>, ClientError> {
        self.get_list("lockstep/revocations").await
    }

    /// `POST lockstep/revocations/show`: one that waits or was brought along.
    pub async fn revocation(&self, which: &WhichRevocation) -> Result<RevocationBody, ClientError> {
        self.ask("lockstep/revocations/show", which).await
    }

    /// `POST lockstep/revocations/open`.
    pub async fn revocation_open(
        &self,
        request: &OpenRevocationRequest,
        asked: &Asked,
    ) -> Result<Changed<RevocationBody>, ClientError> {
        self.change("lockstep/revocations/open", json(request), asked).await
    }

    /// `POST lockstep/revocations/sign`, with the daemon's key.
    pub async fn revocation_sign(
        &self,
        which: &WhichRevocation,
        asked: &Asked,
    ) -> Result<Changed<RevocationBody>, ClientError> {
        self.change("lockstep/revocations/sign", json(which), asked).await
    }

    /// `POST lockstep/revocations/finish`.
    pub async fn revocation_finish(
        &self,
        request: &FinishRevocationRequest,
        asked: &Asked,
    ) -> Result<Changed<()>, ClientError> {
        self.change_without_answer("lockstep/revocations/finish", json(request), asked).await
    }

    /// `POST lockstep/revocations/withdraw`.
    pub async fn revocation_withdraw(
        &self,
        request: &WithdrawRevocationRequest,
        asked: &Asked,
    ) -> Result<Changed<()>, ClientError> {
        self.change_without_answer("lockstep/revocations/withdraw", json(request), asked).await
    }
}
