//! The encoding of the events of the group itself, and the rules that each must keep by itself.

use super::event_fields::{number, numbered, read_lock_key, read_name, read_u32};
use super::member_event::{
    Begun, Cause, Founder, Invited, Joined, MemberDetails, Role, RoleChange, is_address,
};
use super::{
    EventRefusal, InvitationKey, LogKey, MemberFingerprint, MemberKey, RecordHash, ReplicaId, door,
};
use crate::Refusal;
use crate::cbor::{Reader, Writer};

impl MemberDetails {
    pub(super) fn write(&self, out: &mut Writer) {
        out.map(3 + usize::from(self.lock_key.is_some()) + usize::from(self.address.is_some()));
        out.uint(1).text(&self.name);
        out.uint(2).bytes(&self.log_key.0);
        if let Some(key) = &self.lock_key {
            out.uint(3).bytes(&key.0);
        }
        out.uint(4).uint(self.rules.into());
        if let Some(address) = &self.address {
            out.uint(5).text(address);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let mut fields = reader.fields()?;
        fields.needs(reader, 1)?;
        let name = read_name(reader)?;
        fields.needs(reader, 2)?;
        let log_key = door::log_key(LogKey(reader.fixed()?))?;
        let lock_key = read_lock_key(&mut fields, reader, 3)?;
        fields.needs(reader, 4)?;
        let rules = read_u32(reader)?;
        let address = fields.has(reader, 5)?.then(|| read_address(reader)).transpose()?;
        fields.end(reader)?;
        if rules == 0 {
            return Err(EventRefusal::Shape("rules are numbered from 1").into());
        }
        Ok(MemberDetails { name, log_key, lock_key, rules, address })
    }
}

fn read_address(reader: &mut Reader<'_>) -> Result<String, Refusal> {
    let text = reader.text()?;
    if is_address(text) {
        Ok(text.to_owned())
    } else {
        Err(EventRefusal::Shape("an address is 1 to 255 printable characters of ASCII").into())
    }
}

impl Founder {
    pub(super) fn write(&self, out: &mut Writer) {
        out.map(3);
        out.uint(1).uint(self.id.0);
        out.uint(2).bytes(&self.member_key.0);
        out.uint(3);
        self.details.write(out);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let mut fields = reader.fields()?;
        fields.needs(reader, 1)?;
        let id = ReplicaId(reader.uint()?);
        fields.needs(reader, 2)?;
        let member_key = door::member_key(MemberKey(reader.fixed()?))?;
        fields.needs(reader, 3)?;
        let details = MemberDetails::read(reader)?;
        fields.end(reader)?;
        door::one_purpose(member_key, &details)?;
        Ok(Founder { id, member_key, details })
    }
}

impl Invited {
    pub(super) fn write(&self, out: &mut Writer) {
        out.map(2 + usize::from(self.named.is_some()));
        out.uint(1).bytes(&self.key.0);
        out.uint(2).uint(self.expires_ms);
        if let Some(named) = &self.named {
            out.uint(3).bytes(&named.0);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let mut fields = reader.fields()?;
        fields.needs(reader, 1)?;
        let key = door::invitation_key(InvitationKey(reader.fixed()?))?;
        fields.needs(reader, 2)?;
        let expires_ms = reader.uint()?;
        let named =
            if fields.has(reader, 3)? { Some(MemberFingerprint(reader.fixed()?)) } else { None };
        fields.end(reader)?;
        Ok(Invited { key, expires_ms, named })
    }
}

impl Joined {
    pub(super) fn write(&self, out: &mut Writer) {
        out.map(5);
        out.uint(1).bytes(&self.invitation.0);
        out.uint(2).bytes(&self.member_key.0);
        out.uint(3);
        self.details.write(out);
        out.uint(4).bytes(&self.proof);
        out.uint(5).bytes(&self.consent);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let mut fields = reader.fields()?;
        fields.needs(reader, 1)?;
        let invitation = door::invitation_key(InvitationKey(reader.fixed()?))?;
        fields.needs(reader, 2)?;
        let member_key = door::member_key(MemberKey(reader.fixed()?))?;
        fields.needs(reader, 3)?;
        let details = MemberDetails::read(reader)?;
        fields.needs(reader, 4)?;
        let proof = reader.fixed()?;
        fields.needs(reader, 5)?;
        let consent = reader.fixed()?;
        fields.end(reader)?;
        door::one_purpose(member_key, &details)?;
        door::not_the_invitation(invitation, member_key, &details)?;
        Ok(Joined { invitation, member_key, details, proof, consent })
    }
}

impl RoleChange {
    pub(super) fn write(&self, out: &mut Writer) {
        out.map(2).uint(1).uint(self.member.0);
        out.uint(2).uint(number(&Role::ALL, self.role));
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let mut fields = reader.fields()?;
        fields.needs(reader, 1)?;
        let member = ReplicaId(reader.uint()?);
        fields.needs(reader, 2)?;
        let role = numbered(reader, &Role::ALL, "an unknown role")?;
        fields.end(reader)?;
        Ok(RoleChange { member, role })
    }
}

impl Begun {
    pub(super) fn write(&self, out: &mut Writer) {
        out.map(3).uint(1).uint(number(&Cause::ALL, self.cause));
        out.uint(2);
        self.founder.write(out);
        out.uint(3).array(2).uint(self.last.0).bytes(&self.last.1.0);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let mut fields = reader.fields()?;
        fields.needs(reader, 1)?;
        let cause = numbered(reader, &Cause::ALL, "an unknown cause")?;
        fields.needs(reader, 2)?;
        let founder = Founder::read(reader)?;
        fields.needs(reader, 3)?;
        reader.array_of(2)?;
        let last = (reader.uint()?, RecordHash(reader.fixed()?));
        reader.close();
        fields.end(reader)?;
        Ok(Begun { cause, founder, last })
    }
}

/// The body that is nothing but a member's number.
pub(super) fn read_member(reader: &mut Reader<'_>) -> Result<ReplicaId, Refusal> {
    let mut fields = reader.fields()?;
    fields.needs(reader, 1)?;
    let member = ReplicaId(reader.uint()?);
    fields.end(reader)?;
    Ok(member)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{ClusterId, Event};
    use crate::ids::LockKey;
    use crate::lock::signatures::Signer;
    use crate::testing::{invitation_key, joined, member_details, member_key};

    fn read(bytes: &[u8]) -> Result<Event, Refusal> {
        let mut reader = Reader::new(bytes);
        let event = Event::read(&mut reader)?;
        reader.finish()?;
        Ok(event)
    }

    fn written(event: &Event) -> Vec<u8> {
        let mut out = Writer::new();
        event.write(&mut out);
        out.into_bytes()
    }

    #[test]
    fn what_is_written_is_read() {
        let member_key_of = |seed| MemberKey(member_key(seed).public().0);
        let place = (ClusterId([3; 16]), 7);
        let joined = joined(place, &invitation_key(20), &member_key(20), member_details(20));
        let key = joined.invitation;
        let bare = MemberDetails { address: None, ..member_details(21) };
        let full = MemberDetails { lock_key: Some(LockKey([9; 32])), ..member_details(21) };
        for details in [bare, full] {
            let founder = Founder { id: ReplicaId(9), member_key: member_key_of(21), details };
            for cause in Cause::ALL {
                let (founder, last) = (founder.clone(), (u64::MAX, RecordHash([4; 32])));
                let event = Event::IncarnationBegun(Box::new(Begun { cause, founder, last }));
                assert_eq!(read(&written(&event)), Ok(event));
            }
        }
        let fingerprint = joined.member_key.fingerprint();
        let mut events = vec![
            Event::MemberJoined(Box::new(joined)),
            Event::MemberApproved(ReplicaId(2)),
            Event::MemberRemoved(ReplicaId(u64::MAX)),
        ];
        for named in [None, Some(fingerprint)] {
            events.push(Event::MemberInvited(Invited { key, expires_ms: u64::MAX, named }));
        }
        for role in Role::ALL {
            events.push(Event::MemberRoleChanged(RoleChange { member: ReplicaId(3), role }));
        }
        for event in events {
            assert_eq!(event.since_rules(), 2);
            assert_eq!(read(&written(&event)), Ok(event));
        }
    }

    #[test]
    fn unknown_numbers_are_refused() {
        let change = RoleChange { member: ReplicaId(3), role: Role::Voter };
        let good = written(&Event::MemberRoleChanged(change));
        for number in 0..24 {
            let mut other = good.clone();
            *other.last_mut().unwrap() = number;
            assert_eq!(read(&other).is_ok(), (1..=2).contains(&number), "{number}");
        }
    }

    #[test]
    fn addresses_are_short_and_plain() {
        let longest = "x".repeat(255);
        for good in ["a", "192.0.2.1:4700", "[2001:db8::1]:1", "!~", longest.as_str()] {
            assert!(is_address(good), "{good}");
        }
        for bad in ["", " ", "a b", "a\t", "\u{7f}", "ä", &format!("{longest}x")] {
            assert!(!is_address(bad), "{bad:?}");
        }
    }

    /// A joining is signed for what it says: every field of the details is in the claim.
    #[test]
    fn claims_bind_everything() {
        let place = (ClusterId([3; 16]), 7);
        let (cluster, incarnation) = place;
        let (key, member) = (InvitationKey([1; 32]), MemberKey([2; 32]));
        let details = member_details(20);
        let claim = Joined::claim(cluster, incarnation, key, member, &details);
        assert!(claim.starts_with(b"lockstep join 1\0"));
        let other = |change: fn(&mut MemberDetails)| {
            let mut details = details.clone();
            change(&mut details);
            Joined::claim(cluster, incarnation, key, member, &details)
        };
        let others = [
            Joined::claim(ClusterId([4; 16]), incarnation, key, member, &details),
            Joined::claim(cluster, 8, key, member, &details),
            Joined::claim(cluster, incarnation, InvitationKey([2; 32]), member, &details),
            Joined::claim(cluster, incarnation, key, MemberKey([1; 32]), &details),
            other(|details| details.name.push('x')),
            other(|details| details.log_key = LogKey([5; 32])),
            other(|details| details.lock_key = Some(LockKey([5; 32]))),
            other(|details| details.rules += 1),
            other(|details| details.address = None),
        ];
        assert!(others.iter().all(|other| *other != claim));
    }
}
