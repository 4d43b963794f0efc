//! What a daemon of ours serves about locks that exist elsewhere.

use super::{Asked, Changed, Client, ClientError, json};
use crate::local_api::bodies::{
    AdoptionAumsRequest, AdoptionBeginRequest, AdoptionBody, AdoptionNodeAnswer,
    AdoptionNodeRequest, AdoptionObserveRequest, AdoptionUnknownRequest,
};

impl Client {
    /// `GET lockstep/adoption`.
    pub async fn adoption(&self) -> Result<Option<AdoptionBody>, ClientError> {
        self.get("lockstep/adoption").await
    }

    /// `POST lockstep/adoption/begin`. Resumes an adoption that began with the same.
    pub async fn adoption_begin(
        &self,
        request: &AdoptionBeginRequest,
        asked: &Asked,
    ) -> Result<Changed<Option<AdoptionBody>>, ClientError> {
        self.change("lockstep/adoption/begin", json(request), asked).await
    }

    /// `POST lockstep/adoption/aums`.
    pub async fn adoption_aums(
        &self,
        request: &AdoptionAumsRequest,
        asked: &Asked,
    ) -> Result<Changed<Option<AdoptionBody>>, ClientError> {
        self.change("lockstep/adoption/aums", json(request), asked).await
    }

    /// `POST lockstep/adoption/end`: gives an adoption up, or ends the following of a lock.
    pub async fn adoption_end(
        &self,
        asked: &Asked,
    ) -> Result<Changed<Option<AdoptionBody>>, ClientError> {
        self.change("lockstep/adoption/end", b"{}\n".to_vec(), asked).await
    }

    /// `POST lockstep/adoption/unknown`: which of these AUMs are not on record.
    pub async fn adoption_unknown(
        &self,
        request: &AdoptionUnknownRequest,
    ) -> Result<Vec<String>, ClientError> {
        let path = "lockstep/adoption/unknown";
        let changed = self.change::<Option<_>>(path, json(request), &Asked::default()).await?;
        Ok(changed.value.unwrap_or_default())
    }

    /// `POST lockstep/adoption/observe`: records what a server shows, if it is news.
    pub async fn adoption_observe(
        &self,
        request: &AdoptionObserveRequest,
    ) -> Result<Option<AdoptionBody>, ClientError> {
        let path = "lockstep/adoption/observe";
        Ok(self.change(path, json(request), &Asked::default()).await?.value)
    }

    /// `POST lockstep/adoption/node`.
    pub async fn adoption_node(
        &self,
        request: &AdoptionNodeRequest,
        asked: &Asked,
    ) -> Result<Changed<AdoptionNodeAnswer>, ClientError> {
        self.change("lockstep/adoption/node", json(request), asked).await
    }
}
