//! Members, invitations and incarnations: kinds 22 to 27, and what section 5 says of them.

use super::{Verifier, name, own_key};
use crate::cbor::{Fields, Result, Value, encode};
use crate::tailscale::{Hash, blake2s, check, zip215};

/// The standings of effect 24.
pub(super) const REMOVED: u64 = 0;
const WAITS: u64 = 1;
const LEARNER: u64 = 2;
pub(super) const VOTES: u64 = 3;

#[derive(Clone)]
pub(super) struct Member {
    pub(super) key: Hash,
    pub(super) log_key: Hash,
    pub(super) lock_key: Option<Hash>,
    pub(super) rules: u64,
    /// Whether it says where it is reached.
    pub(super) addressed: bool,
    pub(super) node: Option<u64>,
    pub(super) standing: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Member,
    Log,
    Lock,
}

#[derive(Clone)]
pub(super) struct Invitation {
    expires: u64,
    named: Option<Hash>,
    used: Option<u64>,
}

impl Member {
    pub(super) fn takes_part(&self) -> bool {
        self.standing >= LEARNER
    }

    fn keys(&self) -> Vec<(Hash, Purpose)> {
        let mut keys = vec![(self.key, Purpose::Member), (self.log_key, Purpose::Log)];
        keys.extend(self.lock_key.map(|key| (key, Purpose::Lock)));
        keys
    }
}

/// A member's details, for the member with that key and machine. It is to vote.
pub(super) fn details(value: &Value, key: Hash, node: Option<u64>) -> Result<Member> {
    let body = value.fields(&[1, 2, 4], &[3, 5])?;
    name(body.get(1))?;
    let log_key = own_key(body.get(2))?;
    let lock_key = body.may(3).map(own_key).transpose()?;
    let rules = body.get(4).uint()?;
    check((1..=u64::from(u32::MAX)).contains(&rules), "rules")?;
    if let Some(address) = body.may(5) {
        let address = address.text()?;
        let plain = address.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
        check(plain && (1..=255).contains(&address.len()), "not an address")?;
    }
    let addressed = body.may(5).is_some();
    let different = log_key != key && lock_key.is_none_or(|lock| lock != key && lock != log_key);
    check(different, "one key for two purposes")?;
    Ok(Member { key, log_key, lock_key, rules, addressed, node, standing: VOTES })
}

fn nullable(number: Option<u64>) -> Value {
    number.map_or(Value::Null, Value::Uint)
}

impl Verifier {
    /// Effect 3.
    pub(super) fn put_member(&mut self, id: u64, member: Member) {
        self.effect(vec![
            Value::Uint(3),
            Value::Uint(id),
            Value::Bytes(member.key.to_vec()),
            Value::Bytes(member.log_key.to_vec()),
            member.lock_key.map_or(Value::Null, |key| Value::Bytes(key.to_vec())),
            Value::Uint(member.rules),
            nullable(member.node),
        ]);
        for (key, purpose) in member.keys() {
            self.member_keys.insert(key, (id, purpose));
        }
        self.members.insert(id, member);
    }

    /// Effect 24.
    fn set_standing(&mut self, id: u64, standing: u64) -> Result<()> {
        self.members.get_mut(&id).ok_or("an unknown member")?.standing = standing;
        self.effect(vec![Value::Uint(24), Value::Uint(id), Value::Uint(standing)]);
        Ok(())
    }

    /// Effect 25.
    fn put_invitation(&mut self, key: Hash, invitation: Invitation) {
        self.effect(vec![
            Value::Uint(25),
            Value::Bytes(key.to_vec()),
            Value::Uint(invitation.expires),
            invitation.named.map_or(Value::Null, |named| Value::Bytes(named.to_vec())),
            nullable(invitation.used),
        ]);
        self.invitations.insert(key, invitation);
    }

    pub(super) fn change_member(&mut self, id: u64, changed: Member) -> Result<()> {
        check(!changed.addressed || self.rules >= 2, "rules 1 know no addresses")?;
        check(changed.rules >= self.rules, "the member cannot execute the rules")?;
        if self.rules >= 2 {
            self.its_own(id, &changed)?;
        }
        self.put_member(id, changed);
        Ok(())
    }

    fn its_own(&self, id: u64, member: &Member) -> Result<()> {
        let left = |id: &u64| self.members.get(id).is_some_and(|member| member.standing == REMOVED);
        let taken = |(key, purpose): &(Hash, Purpose)| match self.member_keys.get(key) {
            Some((holder, Purpose::Lock)) if *purpose == Purpose::Lock && left(holder) => false,
            Some(known) => *known != (id, *purpose),
            None => false,
        };
        check(!member.keys().iter().any(taken), "a key that another member has or had")
    }

    fn next_member(&self) -> u64 {
        self.members.last_key_value().map_or(1, |(last, _)| last + 1)
    }

    pub(super) fn member_event(&mut self, kind: u64, body: &Value, time: u64) -> Result<()> {
        check(self.rules >= 2, "a kind of rules 2")?;
        match kind {
            22 => self.invite(body.fields(&[1, 2], &[3])?, time),
            23 => self.join(body.fields(&[1, 2, 3, 4, 5], &[])?, time),
            24 => {
                let id = body.fields(&[1], &[])?.get(1).uint()?;
                let member = self.members.get(&id).ok_or("an unknown member")?;
                check(member.standing == WAITS, "it does not wait")?;
                check(member.rules >= self.rules, "it cannot execute the rules")?;
                self.set_standing(id, VOTES)
            }
            25 => {
                let body = body.fields(&[1, 2], &[])?;
                let id = body.get(1).uint()?;
                let standing = match body.get(2).uint()? {
                    1 => VOTES,
                    2 => LEARNER,
                    _ => return Err("an unknown role".into()),
                };
                let member = self.members.get(&id).ok_or("an unknown member")?;
                check(member.takes_part(), "it takes no part")?;
                check(member.standing != standing, "it has that role")?;
                self.not_the_last_voter(id)?;
                self.set_standing(id, standing)
            }
            _ => {
                let id = body.fields(&[1], &[])?.get(1).uint()?;
                let member = self.members.get(&id).ok_or("an unknown member")?;
                check(member.standing != REMOVED, "removed already")?;
                self.not_the_last_voter(id)?;
                self.remove_member(id)
            }
        }
    }

    fn not_the_last_voter(&self, id: u64) -> Result<()> {
        let mut voters = self.members.iter().filter(|(_, member)| member.standing == VOTES);
        let alone = self.members[&id].standing == VOTES && voters.all(|(other, _)| *other == id);
        check(!alone, "the last voter")
    }

    fn remove_member(&mut self, id: u64) -> Result<()> {
        let mut member = self.members[&id].clone();
        if let Some(machine) = member.node.take() {
            let mut node = self.nodes.get(&machine).ok_or("no such machine")?.clone();
            node.member = None;
            self.put_node(machine, node);
            self.put_member(id, member);
        }
        self.set_standing(id, REMOVED)
    }

    fn invite(&mut self, body: Fields<'_>, time: u64) -> Result<()> {
        let key = own_key(body.get(1))?;
        let expires = body.get(2).uint()?;
        let named = body.may(3).map(Value::fixed).transpose()?;
        check(!self.invitations.contains_key(&key), "invited already")?;
        check(!self.member_keys.contains_key(&key), "a member's key")?;
        check(expires >= time, "born expired")?;
        let unused = self.invitations.iter().filter(|(_, invitation)| invitation.used.is_none());
        if unused.clone().count() >= 64 {
            let expired = unused.filter(|(_, invitation)| invitation.expires < time);
            let expired: Vec<Hash> = expired.map(|(key, _)| *key).collect();
            check(!expired.is_empty(), "too many invitations")?;
            for key in expired {
                self.invitations.remove(&key);
                self.effect(vec![Value::Uint(26), Value::Bytes(key.to_vec())]);
            }
        }
        self.put_invitation(key, Invitation { expires, named, used: None });
        Ok(())
    }

    fn join(&mut self, body: Fields<'_>, time: u64) -> Result<()> {
        let (invited_by, key) = (own_key(body.get(1))?, own_key(body.get(2))?);
        let mut member = details(body.get(3), key, None)?;
        check(member.keys().iter().all(|(key, _)| *key != invited_by), "the invitation's key")?;
        let cluster = self.cluster.ok_or("no group")?;
        let claim = [
            Value::Bytes(cluster.to_vec()),
            Value::Uint(self.incarnation),
            Value::Bytes(invited_by.to_vec()),
            Value::Bytes(key.to_vec()),
            body.get(3).clone(),
        ];
        let claim = [&b"lockstep join 1\0"[..], &encode(&Value::Array(claim.to_vec()))].concat();
        zip215(&invited_by, &claim, &body.get(4).fixed::<64>()?)?;
        zip215(&key, &claim, &body.get(5).fixed::<64>()?)?;

        let invitation = self.invitations.get(&invited_by).ok_or("no such invitation")?.clone();
        check(invitation.used.is_none() && invitation.expires >= time, "used or expired")?;
        if let Some(named) = invitation.named {
            let fingerprint = blake2s(&[b"lockstep member fingerprint 1\0", &key]);
            check(named == fingerprint, "it names another key")?;
        }
        let live = self.members.values().filter(|member| member.standing != REMOVED);
        check(live.count() < 32, "too many members")?;
        check(member.rules >= self.rules, "it cannot execute the rules")?;
        let id = self.next_member();
        self.its_own(id, &member)?;
        member.standing = if invitation.named.is_some() { VOTES } else { WAITS };
        let standing = member.standing;
        self.put_member(id, member);
        self.set_standing(id, standing)?;
        self.put_invitation(invited_by, Invitation { used: Some(id), ..invitation });
        Ok(())
    }

    pub(super) fn begin_incarnation(&mut self, body: Fields<'_>, incarnation: u64) -> Result<()> {
        check((1..=2).contains(&body.get(1).uint()?), "an unknown cause")?;
        let founder = body.get(2).fields(&[1, 2, 3], &[])?;
        let [index, hash] = body.get(3).tuple()?;
        let (index, hash): (u64, Hash) = (index.uint()?, hash.fixed()?);
        let key = own_key(founder.get(2))?;
        let member = details(founder.get(3), key, None)?;

        check(self.rules >= 2, "a kind of rules 2")?;
        check(incarnation == self.incarnation + 1, "not the next incarnation")?;
        check(
            index.checked_add(1) == Some(self.next) && Some(hash) == self.last,
            "another history",
        )?;
        let id = founder.get(1).uint()?;
        check(id == self.next_member(), "not the next member")?;
        check(member.rules >= self.rules, "it cannot execute the rules")?;
        let free = |(key, purpose): (Hash, Purpose)| match self.member_keys.get(&key) {
            Some((_, Purpose::Lock)) => purpose == Purpose::Lock,
            Some(_) => false,
            None => true,
        };
        check(member.keys().into_iter().all(free), "a key that a member has or had")?;
        self.effect(vec![
            Value::Uint(27),
            Value::Uint(incarnation),
            Value::Uint(index),
            Value::Bytes(hash.to_vec()),
        ]);
        let all: Vec<u64> = self.members.keys().copied().collect();
        for id in all {
            if self.members[&id].standing != REMOVED {
                self.remove_member(id)?;
            }
        }
        self.invitations.clear();
        self.put_member(id, member);
        self.set_standing(id, VOTES)?;
        self.incarnation = incarnation;
        Ok(())
    }
}
