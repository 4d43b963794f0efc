//! The group of replicas.

use super::{Asked, Changed, Client, ClientError, json};
use crate::local_api::bodies::{
    ApproveRequest, GroupBody, InvitationBody, InviteRequest, LeaderBody, MemberChangeBody,
    MemberRequest,
};

impl Client {
    /// `GET lockstep/group`.
    pub async fn group(&self) -> Result<GroupBody, ClientError> {
        self.get("lockstep/group").await
    }

    /// `POST lockstep/group/invite`: the token is in the answer and nowhere else.
    pub async fn group_invite(
        &self,
        request: &InviteRequest,
        asked: &Asked,
    ) -> Result<Changed<InvitationBody>, ClientError> {
        self.change("lockstep/group/invite", json(request), asked).await
    }

    /// `POST lockstep/group/approve`.
    pub async fn group_approve(
        &self,
        request: &ApproveRequest,
        asked: &Asked,
    ) -> Result<Changed<Option<MemberChangeBody>>, ClientError> {
        self.change("lockstep/group/approve", json(request), asked).await
    }

    /// `POST lockstep/group/promote`.
    pub async fn group_promote(
        &self,
        request: &MemberRequest,
        asked: &Asked,
    ) -> Result<Changed<Option<MemberChangeBody>>, ClientError> {
        self.change("lockstep/group/promote", json(request), asked).await
    }

    /// `POST lockstep/group/demote`.
    pub async fn group_demote(
        &self,
        request: &MemberRequest,
        asked: &Asked,
    ) -> Result<Changed<Option<MemberChangeBody>>, ClientError> {
        self.change("lockstep/group/demote", json(request), asked).await
    }

    /// `POST lockstep/group/remove`.
    pub async fn group_remove(
        &self,
        request: &MemberRequest,
        asked: &Asked,
    ) -> Result<Changed<Option<MemberChangeBody>>, ClientError> {
        self.change("lockstep/group/remove", json(request), asked).await
    }

    /// `POST lockstep/group/transfer-leader`: changes no record.
    pub async fn group_leader(
        &self,
        request: &MemberRequest,
        asked: &Asked,
    ) -> Result<Changed<LeaderBody>, ClientError> {
        self.change("lockstep/group/transfer-leader", json(request), asked).await
    }
}
