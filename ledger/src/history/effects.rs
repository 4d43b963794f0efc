//! What a record changes: one step's rows, and the effects that the fold hash covers.

use super::adoption::Alarm;
use super::auth_keys::AuthKeyEntry;
use super::event::{Acknowledged, AdoptionBegun};
use super::invitations::Invitation;
use super::members::Member;
use super::roster::{Node, Reason};
use super::{ClusterId, Epoch, FoldHash, InvitationKey, NodeId, RecordHash, RequestId};
use crate::cbor::Writer;
use crate::ids::{AumHash, SigHash, blake2s_parts};
use crate::lock::Sealed;
use crate::rows::Draft;

/// What precedes the chain of effects in the fold hash.
const TAG: &[u8] = b"lockstep fold 1\0";
/// Bytes of the effects of most records, at most.
const USUAL_BYTES: usize = 512;

/// The making of one record: its rows, which are dropped when it is refused, and its effects.
pub(super) struct Step<'a> {
    /// The rows as this record changes them.
    pub(super) rows: Draft<'a>,
    /// The index that the record will have.
    pub(super) index: u64,
    effects: Vec<u8>,
}

impl<'a> Step<'a> {
    pub(super) fn new(base: &'a Draft<'_>, index: u64) -> Self {
        Step { rows: Draft::on(base), index, effects: Vec::with_capacity(USUAL_BYTES) }
    }

    /// Appends the encoding of an effect: an array of its number and `len` items.
    fn effect(&mut self, number: u64, len: usize, write: impl FnOnce(&mut Writer)) {
        let mut out = Writer::after(std::mem::take(&mut self.effects));
        out.array(1 + len).uint(number);
        write(&mut out);
        self.effects = out.into_bytes();
    }

    /// The group exists.
    pub(super) fn group(&mut self, cluster: ClusterId, incarnation: u64) {
        self.effect(1, 2, |out| {
            out.bytes(&cluster.0).uint(incarnation);
        });
    }

    /// A part of a request is on record.
    pub(super) fn request(&mut self, request: &RequestId, digest: &[u8; 32], part: u32) {
        let index = self.index;
        self.effect(2, 4, |out| {
            out.text(request.as_str()).bytes(digest).uint(part.into()).uint(index);
        });
    }

    /// A member has these keys and this support.
    pub(super) fn member(&mut self, member: &Member) {
        self.effect(3, 6, |out| {
            out.uint(member.id.0);
            out.bytes(&member.member_key.0);
            out.bytes(&member.details.log_key.0);
            out.nullable_bytes(member.details.lock_key.as_ref().map(|key| key.0.as_slice()));
            out.uint(member.details.rules.into());
            match member.node {
                Some(node) => out.uint(node.0),
                None => out.null(),
            };
        });
    }

    /// A member takes part like this, or not.
    pub(super) fn standing(&mut self, member: &Member) {
        self.effect(24, 2, |out| {
            out.uint(member.id.0).uint(member.standing.number());
        });
    }

    /// An invitation is on record, and was used by this member, if by one.
    pub(super) fn invitation(&mut self, invitation: &Invitation) {
        self.effect(25, 4, |out| {
            out.bytes(&invitation.key.0).uint(invitation.expires_ms);
            out.nullable_bytes(invitation.named.as_ref().map(|named| named.0.as_slice()));
            match invitation.used {
                Some(member) => out.uint(member.0),
                None => out.null(),
            };
        });
    }

    /// An invitation is on record no more.
    pub(super) fn invitation_gone(&mut self, key: InvitationKey) {
        self.effect(26, 1, |out| {
            out.bytes(&key.0);
        });
    }

    /// An incarnation begins after that record.
    pub(super) fn incarnation(&mut self, incarnation: u64, last: (u64, RecordHash)) {
        self.effect(27, 3, |out| {
            out.uint(incarnation).uint(last.0).bytes(&last.1.0);
        });
    }

    /// A node has this name, key, signature and standing.
    pub(super) fn node(&mut self, node: &Node) {
        let standing = match node.standing.reason {
            Reason::LockOff => 0,
            Reason::Signed { .. } => 1,
            _ => 2,
        };
        self.effect(4, 6, |out| {
            out.uint(node.id.0);
            out.text(&node.name);
            out.bytes(&node.node_key.0);
            match node.member {
                Some(member) => out.uint(member.0),
                None => out.null(),
            };
            out.nullable_bytes(node.signature.as_ref().map(|sig| sig.to_cbor()).as_deref());
            out.uint(standing);
        });
    }

    /// A node is gone.
    pub(super) fn node_gone(&mut self, node: NodeId) {
        self.effect(5, 1, |out| {
            out.uint(node.0);
        });
    }

    /// An epoch begins.
    pub(super) fn lock_on(&mut self, epoch: Epoch, genesis: AumHash) {
        self.effect(6, 2, |out| {
            out.uint(epoch.0.into()).bytes(&genesis.0);
        });
    }

    /// AUMs are stored, and the head is this one.
    pub(super) fn aums(&mut self, aums: &[Sealed], head: AumHash) {
        self.effect(7, 2, |out| {
            out.array(aums.len());
            for aum in aums {
                out.bytes(&aum.hash().0);
            }
            out.bytes(&head.0);
        });
    }

    /// An AUM has become final.
    pub(super) fn settled(&mut self, epoch: Epoch, at: AumHash) {
        self.effect(22, 2, |out| {
            out.uint(epoch.0.into()).bytes(&at.0);
        });
    }

    /// An AUM was taken in that the door would have refused, had it been decided here.
    pub(super) fn objected(&mut self, epoch: Epoch, aum: AumHash) {
        self.effect(23, 2, |out| {
            out.uint(epoch.0.into()).bytes(&aum.0);
        });
    }

    /// An epoch ends.
    pub(super) fn lock_off(&mut self, epoch: Epoch) {
        self.effect(8, 1, |out| {
            out.uint(epoch.0.into());
        });
    }

    /// These rules are active.
    pub(super) fn rules(&mut self, rules: u32) {
        self.effect(9, 1, |out| {
            out.uint(rules.into());
        });
    }

    /// An auth key lets nodes in like this, or no more.
    pub(super) fn auth_key(&mut self, entry: &AuthKeyEntry) {
        self.effect(14, 5, |out| {
            out.text(entry.id.as_str()).bytes(&entry.hash.0).bool(entry.reusable);
            match entry.expires_ms {
                Some(expires) => out.uint(expires),
                None => out.null(),
            };
            out.bool(entry.is_spent() || entry.revoked.is_some());
        });
    }

    /// A node has applied this head of a lock, or ended it.
    pub(super) fn acknowledged(&mut self, said: &Acknowledged) {
        self.effect(16, 3, |out| {
            out.uint(said.node.0).uint(said.epoch.0.into());
            out.nullable_bytes(said.applied.head().as_ref().map(|head| head.0.as_slice()));
        });
    }

    /// This genesis of a node's waits for signatures.
    pub(super) fn genesis_waits(&mut self, node: NodeId, genesis: AumHash) {
        self.effect(17, 2, |out| {
            out.uint(node.0).bytes(&genesis.0);
        });
    }

    /// A revocation waits, with the signatures of this AUM.
    pub(super) fn revocation(&mut self, revocation: SigHash, aum: AumHash) {
        self.effect(11, 2, |out| {
            out.bytes(&revocation.0).bytes(&aum.0);
        });
    }

    /// A revocation waits no longer.
    pub(super) fn revocation_gone(&mut self, revocation: SigHash) {
        self.effect(12, 1, |out| {
            out.bytes(&revocation.0);
        });
    }

    /// A lock that exists elsewhere is being brought in as that epoch.
    pub(super) fn adoption(&mut self, epoch: Epoch, begun: &AdoptionBegun) {
        self.effect(18, 5, |out| {
            out.uint(epoch.0.into()).bytes(&begun.root.hash().0).bytes(&begun.head.0);
            out.uint(begun.aums).bool(begun.followed);
        });
    }

    /// What was brought in of a lock is given up.
    pub(super) fn adoption_gone(&mut self, epoch: Epoch) {
        self.effect(20, 1, |out| {
            out.uint(epoch.0.into());
        });
    }

    /// The server of a followed lock shows this head, if any, and this is wrong with it, if anything.
    pub(super) fn observed(&mut self, epoch: Epoch, head: Option<AumHash>, alarm: Option<Alarm>) {
        self.effect(21, 3, |out| {
            out.uint(epoch.0.into());
            out.nullable_bytes(head.as_ref().map(|head| head.0.as_slice()));
            out.uint(Alarm::number(alarm));
        });
    }

    /// The changes, and the fold hash after them.
    pub(super) fn finish(self, before: FoldHash) -> (crate::rows::Changes, FoldHash) {
        let hash = FoldHash(blake2s_parts(&[TAG, &before.0, &self.effects]));
        (self.rows.finish(), hash)
    }
}
