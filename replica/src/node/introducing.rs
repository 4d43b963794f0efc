//! How a member gets known to one that was away while everybody whom it knew was replaced.
//!
//! Whoever was away pins the keys of members that are gone by now, and is told of new ones by those
//! whom it knows. If none of these is left, a new member shows it a letter: the records since its
//! last one that have invited, let in and removed members. Each of them is signed by somebody who
//! was a member then, from those whom it knows up to the one who brings the letter. That is as much
//! as the word of one member whom it knows: it decides whom to talk to, and the records that it
//! fetches then decide the rest.

use std::collections::BTreeMap;

use ledger::Fault;
use ledger::history::{
    ClusterId, Event, Fold, InvitationKey, MemberFingerprint, MemberKey, Record, ReplicaId,
    invitations, members, records,
};
use ledger::limits::MEMBERS_AT_ONCE;
use ledger::lock::signatures::{Unverified, verify_all};
use ledger::rows::Rows;

use super::foresight::Threads;

/// Records of a letter, at most. Whoever has missed more has to join anew.
pub const LETTER_RECORDS: usize = 1024;
/// Bytes of them, at most.
pub const LETTER_BYTES: usize = 2 << 20;
/// Records whose signatures are checked together.
const VERIFIED_TOGETHER: usize = 128;

/// The records behind that one that say who the members are, as canonical bytes. `None`: they are
/// too many for a letter.
pub fn letter(rows: &dyn Rows, after: u64) -> Result<Option<Vec<Vec<u8>>>, Fault> {
    let (mut letter, mut bytes) = (Vec::new(), 0);
    for record in records::from(rows, after.saturating_add(1))? {
        let record = record?;
        if !concerns_members(&record.proposal().proposal().event) {
            continue;
        }
        bytes += record.bytes().len();
        if letter.len() == LETTER_RECORDS || bytes > LETTER_BYTES {
            return Ok(None);
        }
        letter.push(record.bytes().to_vec());
    }
    Ok(Some(letter))
}

fn concerns_members(event: &Event) -> bool {
    matches!(
        event,
        Event::MemberInvited(_)
            | Event::MemberJoined(_)
            | Event::MemberApproved(_)
            | Event::MemberRemoved(_)
    )
}

/// What a letter that is believed comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The members that take part.
    pub members: BTreeMap<ReplicaId, MemberKey>,
    /// The last of its records: behind that they are the members.
    pub record: u64,
}

/// Who the members are by a letter that belongs behind the last record of a fold and its rows; or why
/// it cannot be believed. What costs little is looked at first.
pub fn read_letter(
    fold: &Fold,
    rows: &dyn Rows,
    letter: &[Vec<u8>],
) -> Result<Result<Letter, String>, Fault> {
    let Some(last) = fold.next_index().checked_sub(1) else {
        return Ok(Err("this replica has no record yet".into()));
    };
    if letter.len() > LETTER_RECORDS {
        return Ok(Err(format!("more than {LETTER_RECORDS} records")));
    }
    let mut reading = Reading::new(fold, rows, last)?;
    let mut records = Vec::new();
    for bytes in letter {
        let record = match Record::decode(bytes) {
            Ok(record) => record,
            Err(refusal) => return Ok(Err(format!("a record that is none: {refusal}"))),
        };
        if let Err(what) = reading.take(&record) {
            return Ok(Err(format!("record {}: {what}", record.index())));
        }
        records.push(record);
    }
    let mut records = records.into_iter().peekable();
    while records.peek().is_some() {
        let some = records.by_ref().take(VERIFIED_TOGETHER).map(Unverified::new).collect();
        if let Some(refusal) = verify_all(some, &Threads::all()).into_iter().find_map(Result::err) {
            return Ok(Err(refusal.to_string()));
        }
    }
    Ok(Ok(Letter { members: reading.known, record: reading.last }))
}

/// Who the members are, as far as a letter has been read.
struct Reading {
    cluster: Option<ClusterId>,
    incarnation: u64,
    last: u64,
    known: BTreeMap<ReplicaId, MemberKey>,
    waiting: BTreeMap<ReplicaId, MemberKey>,
    invited: BTreeMap<InvitationKey, Option<MemberFingerprint>>,
    next_replica: ReplicaId,
}

impl Reading {
    fn new(fold: &Fold, rows: &dyn Rows, last: u64) -> Result<Self, Fault> {
        let (mut known, mut waiting) = (BTreeMap::new(), BTreeMap::new());
        for member in members::live(rows)? {
            let of = if member.is_active() { &mut known } else { &mut waiting };
            of.insert(member.id, member.member_key);
        }
        let invited = invitations::unused(rows)?.into_iter().map(|one| (one.key, one.named));
        Ok(Reading {
            cluster: fold.cluster(),
            incarnation: fold.incarnation(),
            last,
            known,
            waiting,
            invited: invited.collect(),
            next_replica: fold.next_replica(),
        })
    }

    /// Takes the next record, whose signatures nobody has checked yet.
    fn take(&mut self, record: &Record) -> Result<(), &'static str> {
        let (signed, proposal) = (record.proposal(), record.proposal().proposal());
        if record.index() <= self.last {
            return Err("out of order, or one that this replica has");
        }
        self.last = record.index();
        if (Some(proposal.cluster), proposal.incarnation) != (self.cluster, self.incarnation) {
            return Err("of another group");
        }
        if self.known.get(&proposal.actor.member) != Some(&signed.key()) {
            return Err("not signed by a member");
        }
        match &proposal.event {
            Event::MemberInvited(invitation) => {
                self.invited.insert(invitation.key, invitation.named);
            }
            Event::MemberJoined(joined) => {
                let fingerprint = joined.member_key.fingerprint();
                let of = match self.invited.remove(&joined.invitation) {
                    None => return Err("somebody joins without an invitation"),
                    Some(None) => &mut self.waiting,
                    Some(Some(named)) if named == fingerprint => &mut self.known,
                    Some(Some(_)) => return Err("somebody joins by the invitation of another one"),
                };
                of.insert(self.next_replica, joined.member_key);
                self.next_replica = ReplicaId(self.next_replica.0.saturating_add(1));
                if self.known.len() + self.waiting.len() > MEMBERS_AT_ONCE {
                    return Err("more members than there may be");
                }
            }
            Event::MemberApproved(id) => {
                let key = self.waiting.remove(id).ok_or("approves somebody who does not wait")?;
                self.known.insert(*id, key);
            }
            Event::MemberRemoved(id) => {
                self.known.remove(id);
                self.waiting.remove(id);
            }
            _ => return Err("not about members"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ledger::lock::signatures::Signer;
    use ledger::testing::{Group, invited, member_key};

    use super::*;
    use crate::node::View;

    fn view(group: &Group) -> View {
        View::new(9, group.fold.clone(), Box::new(group.rows.clone()))
    }

    fn key(seed: u8) -> MemberKey {
        MemberKey(member_key(seed).public().0)
    }

    fn read(view: &View, letter: &[Vec<u8>]) -> Result<BTreeMap<ReplicaId, MemberKey>, String> {
        let read = read_letter(view.fold(), view.rows(), letter).unwrap();
        read.map(|letter| letter.members)
    }

    /// Members 1 and 2 are replaced by 3 and 4 while somebody is away who knew them.
    fn replaced() -> (View, Group, Vec<Vec<u8>>) {
        let mut group = Group::new();
        let second = group.enrol(20);
        let away = view(&group);
        let after = group.fold.next_index() - 1;
        let third = group.enrol(21);
        group.speak(third, member_key(21));
        group.apply(Event::MemberRemoved(ReplicaId(1)));
        // This one waits, and is approved by one whom the one who was away does not know.
        group.apply(invited(30, None));
        let joining = group.joining(30, 44);
        group.apply(joining);
        group.apply(Event::MemberApproved(ReplicaId(4)));
        group.speak(ReplicaId(4), member_key(44));
        group.apply(Event::MemberRemoved(second));
        let letter = letter(&group.rows, after).unwrap().unwrap();
        (away, group, letter)
    }

    #[test]
    fn members_are_known_by_those_who_let_them_in() {
        let (away, group, letter) = replaced();
        assert_eq!(letter.len(), 7);
        let known = read(&away, &letter).unwrap();
        let expected: BTreeMap<_, _> = members::active(&group.rows)
            .unwrap()
            .into_iter()
            .map(|m| (m.id, m.member_key))
            .collect();
        assert_eq!(known, expected);
        assert_eq!(known, BTreeMap::from([(ReplicaId(3), key(21)), (ReplicaId(4), key(44))]));
        // It says nothing new to whoever has the records.
        let here = view(&group);
        assert_eq!(read(&here, &[]).unwrap(), known);
        assert!(read(&here, &letter).unwrap_err().contains("out of order"));
    }

    /// Whoever was never let in may sign what she likes.
    #[test]
    fn a_letter_by_a_stranger_is_not_believed() {
        let (away, ..) = replaced();
        let mut elsewhere = Group::new();
        elsewhere.enrol(20);
        let after = elsewhere.fold.next_index() - 1;
        let stranger = elsewhere.enrol(50);
        elsewhere.speak(stranger, member_key(50));
        elsewhere.apply(invited(51, Some(51)));
        let joining = elsewhere.joining(51, 51);
        elsewhere.apply(joining);
        let letter = letter(&elsewhere.rows, after).unwrap().unwrap();
        assert!(read(&away, &letter).is_ok(), "member 1 has let her in");
        let by_herself = &letter[2..];
        assert!(read(&away, by_herself).unwrap_err().contains("not signed by a member"));
    }

    /// A member may let in as many as there may be, not more.
    #[test]
    fn a_letter_names_no_more_members_than_there_may_be() {
        let mut group = Group::new();
        let (away, after) = (view(&group), group.fold.next_index() - 1);
        for seed in 1..MEMBERS_AT_ONCE as u8 {
            group.enrol(100 + seed);
        }
        let mut full = letter(&group.rows, after).unwrap().unwrap();
        assert_eq!(read(&away, &full).unwrap().len(), MEMBERS_AT_ONCE);
        // As whoever keeps the removal of another one back says it.
        group.apply(Event::MemberRemoved(ReplicaId(2)));
        let removal = group.fold.next_index() - 1;
        group.enrol(99);
        full.extend(letter(&group.rows, removal).unwrap().unwrap());
        assert!(read(&away, &full).unwrap_err().contains("more members than there may be"));
    }

    #[test]
    fn a_letter_in_which_something_is_missing_or_changed_is_not_believed() {
        let (away, _, letter) = replaced();
        let whole = read(&away, &letter).unwrap();
        for missing in 0..letter.len() {
            let mut less = letter.clone();
            less.remove(missing);
            // Who left may be kept back, and who came last: they are not known then.
            match read(&away, &less) {
                Ok(known) => assert!(known != whole && !known.contains_key(&ReplicaId(5))),
                Err(why) => assert!(why.starts_with("record"), "{why}"),
            }
        }
        for at in 0..letter.len() {
            for byte in (0..letter[at].len()).step_by(7) {
                let mut other = letter.clone();
                other[at][byte] ^= 1;
                if let Ok(known) = read(&away, &other) {
                    // Nothing of the place of a record counts but its order.
                    assert_eq!(known, whole, "byte {byte} of record {at}");
                }
            }
        }
        let mut swapped = letter.clone();
        swapped.swap(0, 1);
        assert!(read(&away, &swapped).is_err());
        let far = vec![letter[0].clone(); LETTER_RECORDS + 1];
        assert!(read(&away, &far).unwrap_err().contains("more than"));
    }
}
