//! The encoding of events, and the rules that an event must keep by itself.

use super::event::{
    Acknowledged, AdoptionBegun, Applied, AumsAdded, AuthKeyUse, BroughtGenesis, ChangedNode,
    Disablement, Event, Initialization, NewAuthKey, NewNode, Observed, RevocationOpened,
    RevocationSigned, RevocationWithdrawn, SecretLabel,
};
use super::event_fields::{
    read_aums, read_auth_key_id, read_lock_key, read_name, read_node_key, read_note, read_reason,
    read_signature, read_signatures, read_u32, write_aums, write_lock_key, write_note,
    write_reason, write_signature, write_signatures,
};
use super::member_codec::read_member;
use super::member_event::{Begun, Founder, Invited, Joined, MemberDetails, RoleChange};
use super::{AuthKeyHash, Epoch, EventRefusal, NodeId, door};
use crate::Refusal;
use crate::cbor::{Reader, Writer};
use crate::ids::{AumHash, LockKey};
use crate::limits::{DISABLEMENT_SECRET_BYTES, LABEL_BYTES};
use crate::lock::{Sealed, State};

impl Event {
    /// Writes the event: an array of its kind and its body.
    pub(super) fn write(&self, out: &mut Writer) {
        out.array(2).uint(self.kind());
        match self {
            Event::GroupCreated(founder) => founder.write(out),
            Event::LockInitialized(init) => {
                let optional = [
                    !init.signatures.is_empty(),
                    !init.labels.is_empty(),
                    init.brought_by.is_some(),
                ];
                out.map(1 + optional.into_iter().filter(|set| *set).count());
                out.uint(1).bytes(init.genesis.bytes());
                write_signatures(out, 2, &init.signatures);
                if !init.labels.is_empty() {
                    out.uint(3).array(init.labels.len());
                    init.labels.iter().for_each(|label| label.write(out));
                }
                if let Some(node) = init.brought_by {
                    out.uint(4).uint(node.0);
                }
            }
            Event::AumsAdded(added) => added.write(out),
            Event::NodeKeysSigned(signatures) => {
                out.map(usize::from(!signatures.is_empty()));
                write_signatures(out, 1, signatures);
            }
            Event::LockDisabled(disablement) => {
                out.map(2);
                out.uint(1).bytes(&disablement.secret);
                out.uint(2).bytes(&disablement.value);
            }
            Event::NodeAdded(node) => node.write(out),
            Event::NodeChanged(node) => node.write(out),
            Event::NodeRemoved(node) => {
                out.map(1).uint(1).uint(node.0);
            }
            Event::MemberChanged(details) => details.write(out),
            Event::RulesActivated(rules) => {
                out.map(1).uint(1).uint((*rules).into());
            }
            Event::RevocationOpened(opened) => opened.write(out),
            Event::RevocationSigned(signed) => signed.write(out),
            Event::RevocationWithdrawn(withdrawn) => withdrawn.write(out),
            Event::AuthKeyCreated(new) => new.write(out),
            Event::AuthKeyRevoked(id) => {
                out.map(1).uint(1).text(id.as_str());
            }
            Event::NodeAcknowledged(said) => said.write(out),
            Event::GenesisBrought(brought) => {
                out.map(3).uint(1).uint(brought.node.0);
                write_lock_key(out, 2, Some(&brought.key));
                out.uint(3).bytes(brought.genesis.bytes());
            }
            Event::AdoptionBegun(begun) => begun.write(out),
            Event::AumsAdopted(aums) => {
                out.map(1);
                write_aums(out, 1, aums);
            }
            Event::AdoptionEnded => {
                out.map(0);
            }
            Event::LockObserved(observed) => observed.write(out),
            Event::MemberInvited(invited) => invited.write(out),
            Event::MemberJoined(joined) => joined.write(out),
            Event::MemberApproved(member) | Event::MemberRemoved(member) => {
                out.map(1).uint(1).uint(member.0);
            }
            Event::MemberRoleChanged(change) => change.write(out),
            Event::IncarnationBegun(begun) => begun.write(out),
        }
    }

    /// Reads an event and checks what can be said of it without any state.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        reader.array_of(2)?;
        let kind = reader.uint()?;
        let event = match kind {
            1 => Event::GroupCreated(Founder::read(reader)?),
            2 => Event::LockInitialized(Box::new(Initialization::read(reader)?)),
            3 => Event::AumsAdded(AumsAdded::read(reader)?),
            4 => {
                let mut fields = reader.fields()?;
                fields.needs(reader, 1)?;
                let signatures = read_signatures(reader)?;
                fields.end(reader)?;
                Event::NodeKeysSigned(signatures)
            }
            5 => Event::LockDisabled(Disablement::read(reader)?),
            6 => Event::NodeAdded(NewNode::read(reader)?),
            7 => Event::NodeChanged(ChangedNode::read(reader)?),
            8 => {
                let mut fields = reader.fields()?;
                fields.needs(reader, 1)?;
                let node = NodeId(reader.uint()?);
                fields.end(reader)?;
                Event::NodeRemoved(node)
            }
            9 => Event::MemberChanged(MemberDetails::read(reader)?),
            10 => {
                let mut fields = reader.fields()?;
                fields.needs(reader, 1)?;
                let rules = read_u32(reader)?;
                fields.end(reader)?;
                Event::RulesActivated(rules)
            }
            11 => Event::RevocationOpened(Box::new(RevocationOpened::read(reader)?)),
            12 => Event::RevocationSigned(RevocationSigned::read(reader)?),
            13 => Event::RevocationWithdrawn(RevocationWithdrawn::read(reader)?),
            14 => Event::AuthKeyCreated(NewAuthKey::read(reader)?),
            15 => {
                let mut fields = reader.fields()?;
                fields.needs(reader, 1)?;
                let id = read_auth_key_id(reader)?;
                fields.end(reader)?;
                Event::AuthKeyRevoked(id)
            }
            16 => Event::NodeAcknowledged(Acknowledged::read(reader)?),
            17 => Event::GenesisBrought(Box::new(BroughtGenesis::read(reader)?)),
            18 => Event::AdoptionBegun(Box::new(AdoptionBegun::read(reader)?)),
            19 => {
                let mut fields = reader.fields()?;
                fields.needs(reader, 1)?;
                let aums = read_aums(reader)?;
                fields.end(reader)?;
                Event::AumsAdopted(aums)
            }
            20 => {
                reader.fields()?.end(reader)?;
                Event::AdoptionEnded
            }
            21 => Event::LockObserved(Observed::read(reader)?),
            22 => Event::MemberInvited(Invited::read(reader)?),
            23 => Event::MemberJoined(Box::new(Joined::read(reader)?)),
            24 => Event::MemberApproved(read_member(reader)?),
            25 => Event::MemberRoleChanged(RoleChange::read(reader)?),
            26 => Event::MemberRemoved(read_member(reader)?),
            27 => Event::IncarnationBegun(Box::new(Begun::read(reader)?)),
            kind => return Err(EventRefusal::UnknownKind(kind).into()),
        };
        reader.close();
        Ok(event)
    }
}

impl Initialization {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let mut fields = reader.fields()?;
        fields.needs(reader, 1)?;
        let genesis = Sealed::decode(reader.bytes()?)?;
        let signatures = if fields.has(reader, 2)? { read_signatures(reader)? } else { Vec::new() };
        let mut labels = Vec::new();
        if fields.has(reader, 3)? {
            let values = genesis.state.iter().flat_map(State::disablement_values).count();
            if reader.array()? != values || values == 0 {
                return Err(EventRefusal::Shape("labels for other disablement values").into());
            }
            for _ in 0..values {
                labels.push(SecretLabel::read(reader)?);
            }
            reader.close();
        }
        let brought_by = if fields.has(reader, 4)? { Some(NodeId(reader.uint()?)) } else { None };
        fields.end(reader)?;
        Ok(Initialization { genesis, signatures, labels, brought_by })
    }
}

impl BroughtGenesis {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let mut fields = reader.fields()?;
        fields.needs(reader, 1)?;
        let node = NodeId(reader.uint()?);
        fields.needs(reader, 2)?;
        let key = door::lock_key(LockKey(reader.fixed()?))?;
        fields.needs(reader, 3)?;
        let genesis = Sealed::decode(reader.bytes()?)?;
        fields.end(reader)?;
        Ok(BroughtGenesis { node, key, genesis })
    }
}

impl Acknowledged {
    fn write(&self, out: &mut Writer) {
        let head = self.applied.head();
        out.map(2 + usize::from(head.is_some()));
        out.uint(1).uint(self.node.0);
        out.uint(2).uint(self.epoch.0.into());
        if let Some(head) = head {
            out.uint(3).bytes(&head.0);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let mut fields = reader.fields()?;
        fields.needs(reader, 1)?;
        let node = NodeId(reader.uint()?);
        fields.needs(reader, 2)?;
        let epoch = Epoch(read_u32(reader)?);
        let applied = if fields.has(reader, 3)? {
            Applied::Head(AumHash(reader.fixed()?))
        } else {
            Applied::Disabled
        };
        fields.end(reader)?;
        Ok(Acknowledged { node, epoch, applied })
    }
}

impl SecretLabel {
    fn write(&self, out: &mut Writer) {
        out.map(2 + usize::from(self.holder.is_some()));
        out.uint(1).text(&self.maker);
        out.uint(2).uint(self.made_ms);
        if let Some(holder) = &self.holder {
            out.uint(3).text(holder);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let mut fields = reader.fields()?;
        fields.needs(reader, 1)?;
        let maker = read_label(reader)?;
        fields.needs(reader, 2)?;
        let made_ms = reader.uint()?;
        let holder = fields.has(reader, 3)?.then(|| read_label(reader)).transpose()?;
        fields.end(reader)?;
        Ok(SecretLabel { maker, made_ms, holder })
    }
}

fn read_label(reader: &mut Reader<'_>) -> Result<String, Refusal> {
    let text = reader.text()?;
    if (1..=LABEL_BYTES).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err(EventRefusal::Shape("a text of a label has 1 to 256 bytes").into())
    }
}

impl AumsAdded {
    fn write(&self, out: &mut Writer) {
        let optional = [!self.signatures.is_empty(), self.reason.is_some(), self.note.is_some()];
        out.map(2 + optional.into_iter().filter(|set| *set).count());
        write_aums(out, 1, &self.aums);
        out.uint(2).bool(self.fork);
        write_signatures(out, 3, &self.signatures);
        write_reason(out, 4, self.reason);
        write_note(out, 5, self.note.as_deref());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let mut fields = reader.fields()?;
        fields.needs(reader, 1)?;
        let aums = read_aums(reader)?;
        fields.needs(reader, 2)?;
        let fork = reader.bool()?;
        let signatures = if fields.has(reader, 3)? { read_signatures(reader)? } else { Vec::new() };
        let reason = read_reason(&mut fields, reader, 4)?;
        let note = read_note(&mut fields, reader, 5)?;
        fields.end(reader)?;
        Ok(AumsAdded { aums, fork, signatures, reason, note })
    }
}

impl Disablement {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let mut fields = reader.fields()?;
        fields.needs(reader, 1)?;
        let secret = reader.bytes()?;
        if !(1..=DISABLEMENT_SECRET_BYTES).contains(&secret.len()) {
            return Err(EventRefusal::Shape("a disablement secret has 1 to 1024 bytes").into());
        }
        let secret = secret.to_vec();
        fields.needs(reader, 2)?;
        let value = reader.fixed()?;
        fields.end(reader)?;
        Ok(Disablement { secret, value })
    }
}

impl NewNode {
    fn write(&self, out: &mut Writer) {
        let optional = [self.lock_key.is_some(), self.signature.is_some(), self.auth_key.is_some()];
        out.map(3 + optional.into_iter().filter(|set| *set).count());
        out.uint(1).text(&self.name);
        out.uint(2).bytes(&self.node_key.0);
        write_lock_key(out, 3, self.lock_key.as_ref());
        out.uint(4).bool(self.own);
        write_signature(out, 5, self.signature.as_ref());
        if let Some(shown) = &self.auth_key {
            out.uint(6).array(2).text(shown.id.as_str()).bytes(&shown.hash.0);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let mut fields = reader.fields()?;
        fields.needs(reader, 1)?;
        let name = read_name(reader)?;
        fields.needs(reader, 2)?;
        let node_key = read_node_key(reader)?;
        let lock_key = read_lock_key(&mut fields, reader, 3)?;
        fields.needs(reader, 4)?;
        let own = reader.bool()?;
        let signature = read_signature(&mut fields, reader, 5)?;
        let auth_key = if fields.has(reader, 6)? { Some(AuthKeyUse::read(reader)?) } else { None };
        fields.end(reader)?;
        Ok(NewNode { name, node_key, lock_key, own, signature, auth_key })
    }
}

impl ChangedNode {
    fn write(&self, out: &mut Writer) {
        let optional = [self.lock_key.is_some(), self.signature.is_some()];
        out.map(2 + optional.into_iter().filter(|set| *set).count());
        out.uint(1).uint(self.node.0);
        out.uint(2).bytes(&self.node_key.0);
        write_lock_key(out, 3, self.lock_key.as_ref());
        write_signature(out, 4, self.signature.as_ref());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let mut fields = reader.fields()?;
        fields.needs(reader, 1)?;
        let node = NodeId(reader.uint()?);
        fields.needs(reader, 2)?;
        let node_key = read_node_key(reader)?;
        let lock_key = read_lock_key(&mut fields, reader, 3)?;
        let signature = read_signature(&mut fields, reader, 4)?;
        fields.end(reader)?;
        Ok(ChangedNode { node, node_key, lock_key, signature })
    }
}

impl NewAuthKey {
    fn write(&self, out: &mut Writer) {
        out.map(3 + usize::from(self.expires_ms.is_some()));
        out.uint(1).text(self.id.as_str());
        out.uint(2).bytes(&self.hash.0);
        out.uint(3).bool(self.reusable);
        if let Some(expires) = self.expires_ms {
            out.uint(4).uint(expires);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let mut fields = reader.fields()?;
        fields.needs(reader, 1)?;
        let id = read_auth_key_id(reader)?;
        fields.needs(reader, 2)?;
        let hash = AuthKeyHash(reader.fixed()?);
        fields.needs(reader, 3)?;
        let reusable = reader.bool()?;
        let expires_ms = if fields.has(reader, 4)? { Some(reader.uint()?) } else { None };
        fields.end(reader)?;
        Ok(NewAuthKey { id, hash, reusable, expires_ms })
    }
}

impl AuthKeyUse {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        reader.array_of(2)?;
        let id = read_auth_key_id(reader)?;
        let hash = AuthKeyHash(reader.fixed()?);
        reader.close();
        Ok(AuthKeyUse { id, hash })
    }
}
