//! Cosigning: revocations that wait for the signatures of more keys (spec 10).
//!
//! The original hands the half-signed checkpoint from machine to machine as a blob. Here it is
//! kept, so that whoever is to sign it finds it, and everybody sees who has. It is known by what is
//! signed, which stays the same while signatures are added. It ends when the checkpoint is added to
//! the chain, or when somebody withdraws it; until then it is kept, even if it has become stale.

use super::door::SINCE_RULES;
use super::door::finality::{self, Needs};
use super::effects::Step;
use super::event::{RevocationOpened, RevocationSigned, RevocationWithdrawn};
use super::lifecycle::Lifecycle;
use super::{Actor, Epoch, EventRefusal, Fold, records, row};
use crate::ids::{AumHash, LockKey, SigHash};
use crate::limits::{REVOCATIONS_OF_ACTOR, REVOCATIONS_OF_KEY, REVOCATIONS_PENDING};
use crate::lock::revocation::{Examined, NotRevoked, Stand, Votes, examine, votes, weakest_stand};
use crate::lock::{AumSignature, Authority, Sealed};
use crate::rows::{Rows, tables};
use crate::{Failure, Fault, Refusal};

/// A revocation that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The epoch of the lock whose keys it revokes.
    pub epoch: Epoch,
    /// The record that opened it.
    pub since: u64,
    /// What was opened, with all the signatures that came since.
    pub opened: RevocationOpened,
    /// For each of the checkpoint's signatures the record that brought it.
    pub signed: Vec<u64>,
}

impl Pending {
    /// What is signed: the name of the revocation.
    pub fn id(&self) -> SigHash {
        self.opened.aum.sig_hash()
    }
}

/// How a revocation that waits stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Its lock has been disabled.
    EpochOver,
    /// It is no revocation of the lock as it is now, and nobody signs it any more.
    Void(Refusal),
    /// It can be signed, and finished once it wins.
    Open(Box<Weighed>),
}

/// A revocation that can be signed: what it would do, and who is for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weighed {
    /// What it would change.
    pub examined: Examined,
    /// Its votes.
    pub votes: Votes,
    /// What the door asks of it; none under rules 1.
    pub door: Option<AtDoor>,
    /// Whether it takes effect for certain with everybody's signature who has not signed yet. Not
    /// all of them have their votes wherever the door counts.
    pub can_pass: bool,
}

/// The votes that the door asks of a revocation (docs/door.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtDoor {
    /// Where it has the fewest to spare.
    pub weakest: Stand,
    /// The votes at the final AUM, if it forks off before that.
    pub finality: Option<Needs>,
}

impl AtDoor {
    /// Whether the votes are enough.
    pub fn passes(&self) -> Result<(), Refusal> {
        if self.weakest.missing() > 0 {
            return Err(EventRefusal::Outvoted(self.weakest).into());
        }
        if let Some(by) = self.weakest.undoes {
            return Err(NotRevoked::Contradicts { by }.into());
        }
        match self.finality {
            Some(needs) if needs.votes < needs.needed => Err(EventRefusal::from(needs).into()),
            _ => Ok(()),
        }
    }

    /// Votes that are missing; 0 if the door is open.
    fn missing(&self) -> u64 {
        let at_final = self.finality.map_or(0, |it| it.needed.saturating_sub(it.votes));
        // Somebody has to sign who has a vote at least, whoever it is.
        let undoes = u64::from(self.weakest.undoes.is_some());
        self.weakest.missing().max(at_final).max(undoes)
    }
}

impl Weighed {
    /// Whether it would take effect as it is.
    pub fn passes(&self) -> bool {
        self.votes.wins && self.door.is_none_or(|door| door.missing() == 0)
    }

    /// Votes that it still needs to take effect whatever its hash will be.
    pub fn missing(&self) -> u64 {
        self.votes.missing().max(self.door.map_or(0, |door| door.missing()))
    }

    /// Votes with which the keys that it takes away cannot outvote it any more, besides those that
    /// it has.
    pub fn missing_to_be_safe(&self) -> u64 {
        self.votes.missing_to_be_safe().max(self.missing())
    }
}

/// That revocation, if it waits.
pub fn pending(rows: &dyn Rows, id: SigHash) -> Result<Option<Pending>, Fault> {
    let Some(value) = rows.get(tables::REVOCATIONS, &id.0)? else { return Ok(None) };
    row::decode(tables::REVOCATIONS, &id.0, &value, Pending::read).map(Some)
}

/// All revocations that wait, in the order in which they were opened.
pub fn list(rows: &dyn Rows) -> Result<Vec<Pending>, Fault> {
    let mut list: Vec<Pending> = rows
        .scan(tables::REVOCATIONS, &[][..]..&[][..])?
        .map(|item| {
            let (key, value) = item?;
            row::decode(tables::REVOCATIONS, &key, &value, Pending::read)
        })
        .collect::<Result<_, _>>()?;
    list.sort_by_key(|pending| pending.since);
    Ok(list)
}

/// How it stands now. As many steps as it would undo.
pub fn standing(rows: &dyn Rows, fold: &Fold, pending: &Pending) -> Result<Standing, Fault> {
    let authority = fold.authority();
    let Some(authority) = authority.filter(|_| fold.lifecycle() == Lifecycle::On(pending.epoch))
    else {
        return Ok(Standing::EpochOver);
    };
    match weigh(rows, fold.rules(), authority, &pending.opened.aum) {
        Ok(weighed) => Ok(Standing::Open(Box::new(weighed))),
        Err(Failure::Refused(refusal)) => Ok(Standing::Void(refusal)),
        Err(Failure::Fault(fault)) => Err(fault),
    }
}

/// Whether this is a revocation that may be signed; what it would change, and its votes under these
/// rules. Twice as many steps as it would undo.
pub fn weigh(
    rows: &dyn Rows,
    rules: u32,
    authority: &Authority,
    aum: &Sealed,
) -> Result<Weighed, Failure> {
    let examined = examine(rows, authority, aum)?;
    let door = at_door(rows, rules, authority, aum)?;
    let votes = votes(rows, authority, aum)?;
    let all = signed_by_all(aum, &votes);
    let can_pass = votes.can_win()
        && at_door(rows, rules, authority, &all)?.is_none_or(|door| door.missing() == 0);
    Ok(Weighed { examined, votes, door, can_pass })
}

fn at_door(
    rows: &dyn Rows,
    rules: u32,
    authority: &Authority,
    aum: &Sealed,
) -> Result<Option<AtDoor>, Failure> {
    if rules < SINCE_RULES {
        return Ok(None);
    }
    let weakest = weakest_stand(rows, authority, aum)?;
    Ok(Some(AtDoor { weakest, finality: finality::needs(rows, authority, aum)? }))
}

/// The revocation as if everybody had signed it who could: only who it is counts.
fn signed_by_all(aum: &Sealed, votes: &Votes) -> Sealed {
    let mut all = aum.clone().into_aum();
    all.signatures.extend(
        votes
            .others
            .iter()
            .map(|(key, _)| AumSignature { key_id: Some(key.0.to_vec()), signature: None }),
    );
    Sealed::new(all)
}

fn put(step: &mut Step<'_>, pending: &Pending) {
    let id = pending.id();
    step.rows.put(tables::REVOCATIONS, id.0, pending.write());
    step.revocation(id, pending.opened.aum.hash());
}

/// A revocation waits no longer.
pub(super) fn remove(step: &mut Step<'_>, id: SigHash) {
    step.rows.delete(tables::REVOCATIONS, id.0);
    step.revocation_gone(id);
}

/// A revocation begins to wait.
pub(super) fn open(
    step: &mut Step<'_>,
    rules: u32,
    (epoch, authority): (Epoch, &Authority),
    opened: &RevocationOpened,
    actor: &Actor,
) -> Result<(), Failure> {
    let id = opened.aum.sig_hash();
    if pending(&step.rows, id)?.is_some() {
        return Err(EventRefusal::RevocationPending(id).into());
    }
    let waiting = list(&step.rows)?;
    if waiting.len() >= REVOCATIONS_PENDING {
        return Err(EventRefusal::TooManyRevocations.into());
    }
    examine(&step.rows, authority, &opened.aum)?;
    if rules >= SINCE_RULES {
        within_quota(&step.rows, &waiting, opened, actor)?;
        weakest_stand(&step.rows, authority, &opened.aum)?;
    }
    let signed = vec![step.index; opened.aum.signatures.len()];
    put(step, &Pending { epoch, since: step.index, opened: opened.clone(), signed });
    Ok(())
}

/// Whether the key that opens a revocation, and whoever asks for it, leave room for others.
fn within_quota(
    rows: &dyn Rows,
    waiting: &[Pending],
    opened: &RevocationOpened,
    actor: &Actor,
) -> Result<(), Failure> {
    let first = |opened: &RevocationOpened| {
        let id = opened.aum.signatures.first()?.key_id.as_deref()?;
        Some(LockKey(id.try_into().ok()?))
    };
    let (mut of_key, mut of_actor) = (0, 0);
    for pending in waiting {
        of_key += usize::from(first(&pending.opened) == first(opened));
        let record = records::record(rows, pending.since)?;
        let record = record.ok_or_else(|| row::missing(tables::RECORDS, pending.since))?;
        let by = &record.proposal().proposal().actor;
        of_actor += usize::from((by.member, by.who) == (actor.member, actor.who));
    }
    match first(opened) {
        Some(key) if of_key >= REVOCATIONS_OF_KEY => {
            Err(EventRefusal::RevocationsOfKey(key).into())
        }
        _ if of_actor >= REVOCATIONS_OF_ACTOR => {
            Err(EventRefusal::RevocationsOfActor(actor.member).into())
        }
        _ => Ok(()),
    }
}

/// A revocation that waits gets signatures.
pub(super) fn sign(
    step: &mut Step<'_>,
    epoch: Epoch,
    authority: &Authority,
    signed: &RevocationSigned,
) -> Result<(), Failure> {
    let found = pending(&step.rows, signed.revocation)?;
    let found = found.filter(|pending| pending.epoch == epoch);
    let mut pending = found.ok_or(EventRefusal::UnknownRevocation(signed.revocation))?;
    let before = &pending.opened.aum.signatures;
    let by = |key: &LockKey| before.iter().any(|other| other.key_id.as_deref() == Some(&key.0));
    if signed.signatures.iter().any(|(key, _)| by(key)) {
        return Err(NotRevoked::AlreadySigned.into());
    }
    pending.signed.extend(signed.signatures.iter().map(|_| step.index));
    pending.opened.aum = signed.onto(pending.opened.aum);
    examine(&step.rows, authority, &pending.opened.aum)?;
    put(step, &pending);
    Ok(())
}

/// A revocation is given up.
pub(super) fn withdraw(
    step: &mut Step<'_>,
    withdrawn: &RevocationWithdrawn,
) -> Result<(), Failure> {
    let id = withdrawn.revocation;
    pending(&step.rows, id)?.ok_or(EventRefusal::UnknownRevocation(id))?;
    remove(step, id);
    Ok(())
}

/// The revocations that wait and are among these AUMs, which have just been added. Each must win:
/// whoever finishes one that loses would believe that it was done, and nothing has changed.
pub(super) fn finished(
    step: &Step<'_>,
    next: &Authority,
    aums: &[Sealed],
) -> Result<Vec<SigHash>, Failure> {
    let chain = next.chain(&step.rows);
    let mut finished = Vec::new();
    for aum in aums.iter().filter(|aum| aum.state.is_some()) {
        let id = aum.sig_hash();
        if pending(&step.rows, id)?.is_none() {
            continue;
        }
        if !chain.is_ancestor(&aum.hash(), &next.head())? {
            let weight = |hash: &AumHash| chain.node(hash).map(|node| node.map_or(0, |n| n.weight));
            let best = aum.parent_hash().map(|parent| chain.best_child(&parent)).transpose()?;
            let against = best.flatten().map(|best| weight(&best)).transpose()?.unwrap_or(0);
            let (aum, votes) = (aum.hash(), weight(&aum.hash())?);
            return Err(EventRefusal::ForkLoses { aum, votes, against }.into());
        }
        finished.push(id);
    }
    Ok(finished)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{AumsAdded, ChangeReason, Event, NodeSignature, Verdict};
    use crate::lock::builder::Change;
    use crate::lock::revocation::{cosign, generate};
    use crate::lock::signatures::{Signer, Unverified, verify_one};
    use crate::lock::{Aum, Key};
    use crate::rows::{Draft, Memory};
    use crate::testing::{Group, key};

    /// A lock that trusts seeds 1 to 3, and then 4, which signs a node.
    fn with_a_thief() -> Group {
        begun(Group::new())
    }

    fn begun(mut group: Group) -> Group {
        group.apply(group.initialization(1, &[2, 3]));
        trust(&mut group, 1, 4);
        let node = group.add_node("guest", 9);
        let signature = group.signature(&key(4), node);
        group.apply(Event::NodeKeysSigned(vec![NodeSignature { node, signature }]));
        group
    }

    fn trust(group: &mut Group, by: u8, seed: u8) {
        let change = Change::Add(Key::ed25519(key(seed).public(), 1));
        let aums = group.build(&key(by), vec![change]);
        group.apply(Group::added(aums));
    }

    fn revocation(group: &Group, of: u8, by: &[u8]) -> Sealed {
        let ids = [key(of).public().0.to_vec()];
        let authority = group.fold.authority().unwrap();
        let first = key(by[0]).public();
        let aum = generate(&group.rows, authority, &ids, &first, None).unwrap();
        by.iter().fold(Sealed::new(aum), |aum, seed| cosign(aum, &key(*seed)).unwrap())
    }

    fn opened(aum: Sealed, of: u8) -> Event {
        let (reason, note) = (Some(ChangeReason::Compromised), Some("laptop stolen".to_owned()));
        let keys = vec![key(of).public()];
        Event::RevocationOpened(Box::new(RevocationOpened { aum, keys, reason, note }))
    }

    fn signed(id: SigHash, by: &[u8]) -> Event {
        let mut signatures: Vec<(LockKey, [u8; 64])> =
            by.iter().map(|seed| (key(*seed).public(), key(*seed).sign(&id.0))).collect();
        signatures.sort();
        Event::RevocationSigned(RevocationSigned { revocation: id, signatures })
    }

    fn withdrawn(id: SigHash) -> Event {
        Event::RevocationWithdrawn(RevocationWithdrawn { revocation: id, note: None })
    }

    fn finished(aum: Sealed) -> Event {
        let (reason, note) = (None, None);
        Event::AumsAdded(AumsAdded {
            aums: vec![aum],
            fork: true,
            signatures: vec![],
            reason,
            note,
        })
    }

    fn refusal(group: &mut Group, event: Event) -> EventRefusal {
        match group.refuse(event) {
            Refusal::Event(refusal) => refusal,
            other => panic!("not an event's refusal: {other}"),
        }
    }

    fn stands(group: &Group, pending: &Pending) -> Standing {
        standing(&group.rows, &group.fold, pending).unwrap()
    }

    fn votes_of(group: &Group, pending: &Pending) -> Votes {
        match stands(group, pending) {
            Standing::Open(weighed) => weighed.votes,
            other => panic!("not open: {other:?}"),
        }
    }

    /// The records once more, from nothing.
    fn refolded(group: &Group) -> (Memory, Fold) {
        let mut rows = Memory::new();
        let mut fold = Fold::open(&rows).unwrap();
        for record in group.records() {
            let mut draft = Draft::on(&rows);
            let record = verify_one(Unverified::new(record)).unwrap();
            let verdict = fold.replay(&mut draft, &record).unwrap();
            assert!(matches!(verdict, Verdict::Sealed(_)), "{verdict:?}");
            let changes = draft.finish();
            rows.apply(changes);
        }
        (rows, fold)
    }

    #[test]
    fn a_revocation_gathers_signatures_and_wins() {
        let mut group = with_a_thief();
        let aum = revocation(&group, 4, &[1]);
        let id = aum.sig_hash();
        let since = group.apply(opened(aum.clone(), 4)).index();
        // The thief adds a key of his own; the revocation takes it away as well.
        trust(&mut group, 4, 5);
        let later = group.apply(signed(id, &[2, 3])).index();
        let waits = pending(&group.rows, id).unwrap().unwrap();
        assert_eq!((waits.since, &waits.signed[..]), (since, &[since, later, later][..]));
        assert_eq!(list(&group.rows).unwrap(), std::slice::from_ref(&waits));
        let Standing::Open(weighed) = stands(&group, &waits) else { panic!("not open") };
        assert_eq!(weighed.examined.removed.len(), 2);
        assert_eq!(weighed.examined.undone.len(), 2);
        let votes = &weighed.votes;
        assert_eq!((votes.present, votes.against, votes.taken), (3, Some(1), 0));
        assert!(votes.wins && votes.missing() == 0 && votes.missing_to_be_safe() == 0);
        let head = waits.opened.aum.hash();
        group.apply(finished(waits.opened.aum));
        assert_eq!(group.fold.authority().unwrap().head(), head);
        assert!(!group.node(crate::history::NodeId(1)).standing.is_in());
        assert_eq!(list(&group.rows).unwrap(), []);

        // With other signatures it would be another AUM and undo what has come since.
        let again = cosign(aum, &key(2)).unwrap();
        let refused = group.refuse(opened(again, 4));
        assert_eq!(refused, Refusal::NotRevoked(NotRevoked::InForce));
        let (rows, fold) = refolded(&group);
        assert_eq!(fold.fold_hash(), group.fold.fold_hash());
        assert_eq!(rows, group.rows);
    }

    #[test]
    fn one_that_waits_and_would_lose_is_refused() {
        let mut group = begun(Group::under_rules_1());
        // The same weight, and a hash that decides; one of the two loses.
        let aums: Vec<Sealed> = [1, 2, 3].map(|by| revocation(&group, 4, &[by])).into();
        let active = group.fold.authority().unwrap().head();
        let id = aums[0].sig_hash();
        group.apply(opened(aums[0].clone(), 4));
        if let Some(aum) = aums.iter().find(|aum| aum.hash() > active) {
            let refused = refusal(&mut group, finished(aum.clone()));
            let (votes, against) = (1, 1);
            assert_eq!(refused, EventRefusal::ForkLoses { aum: aum.hash(), votes, against });
        }
        let waits = pending(&group.rows, id).unwrap().unwrap();
        let votes = votes_of(&group, &waits);
        assert_eq!(votes.missing(), u64::from(!votes.wins));
        assert!(votes.can_win());
        assert_eq!(votes.others, [2, 3].map(|seed| (key(seed).public(), 1)));
    }

    #[test]
    fn what_cannot_wait_is_refused() {
        let mut group = with_a_thief();
        let aum = revocation(&group, 4, &[1]);
        let id = aum.sig_hash();
        assert_eq!(refusal(&mut group, signed(id, &[2])), EventRefusal::UnknownRevocation(id));
        assert_eq!(refusal(&mut group, withdrawn(id)), EventRefusal::UnknownRevocation(id));
        // Nobody has signed it, or somebody without a say.
        let bare = Sealed::new(Aum { signatures: Vec::new(), ..aum.clone().into_aum() });
        assert!(matches!(refusal(&mut group, opened(bare, 4)), EventRefusal::Shape(_)));
        let spoilt = cosign(aum.clone(), &key(4)).unwrap();
        let refused = group.refuse(opened(spoilt, 4));
        assert!(
            matches!(&refused, Refusal::NotRevoked(NotRevoked::UntrustedSigner { key: signer, .. })
                if *signer == key(4).public())
        );
        // It trusts what it is said to revoke; a signature is another's.
        assert!(matches!(refusal(&mut group, opened(aum.clone(), 2)), EventRefusal::Shape(_)));
        let mut forged = aum.clone().into_aum();
        forged.signatures[0].key_id = Some(key(2).public().0.to_vec());
        let refused = group.refuse(opened(Sealed::new(forged), 4));
        assert!(matches!(refused, Refusal::BadClaim(_)), "{refused}");

        group.apply(opened(aum.clone(), 4));
        assert_eq!(
            refusal(&mut group, opened(aum.clone(), 4)),
            EventRefusal::RevocationPending(id)
        );
        assert_eq!(group.refuse(signed(id, &[1])), Refusal::NotRevoked(NotRevoked::AlreadySigned));
        let refused = group.refuse(signed(id, &[2, 4]));
        assert!(matches!(refused, Refusal::NotRevoked(NotRevoked::UntrustedSigner { .. })));
        let mut false_one = signed(id, &[2]);
        if let Event::RevocationSigned(signed) = &mut false_one {
            signed.signatures[0].0 = key(3).public();
        }
        assert!(matches!(group.refuse(false_one), Refusal::BadClaim(_)));
        group.apply(withdrawn(id));
        assert_eq!(list(&group.rows).unwrap(), []);
        let (rows, fold) = refolded(&group);
        assert_eq!((fold.fold_hash(), &rows), (group.fold.fold_hash(), &group.rows));
    }

    #[test]
    fn only_so_many_wait() {
        let mut group = Group::under_rules_1();
        group.apply(group.initialization(1, &[2, 3]));
        let opened_by = |group: &mut Group, votes: u64| {
            let aums = group.build(&key(1), vec![Change::Votes(key(3).public().0.to_vec(), votes)]);
            group.apply(Group::added(aums));
            let aum = revocation(group, 2, &[1]);
            (aum.sig_hash(), opened(aum, 2))
        };
        let mut first = None;
        for votes in 0..REVOCATIONS_PENDING as u64 {
            let (id, event) = opened_by(&mut group, 2 + votes);
            group.apply(event);
            first.get_or_insert(id);
        }
        let (_, one_more) = opened_by(&mut group, 100);
        assert_eq!(refusal(&mut group, one_more.clone()), EventRefusal::TooManyRevocations);
        group.apply(withdrawn(first.unwrap()));
        group.apply(one_more);
    }

    #[test]
    fn what_has_become_stale_says_so_and_can_be_withdrawn() {
        let mut group = with_a_thief();
        let of_2 = revocation(&group, 2, &[1]);
        group.apply(opened(of_2.clone(), 2));
        let of_4 = revocation(&group, 4, &[1, 2, 3]);
        assert_eq!(of_4.parent_hash(), of_2.parent_hash());
        group.apply(finished(of_4));
        // It would trust 4 together with the others, as if it had never been revoked.
        let waits = pending(&group.rows, of_2.sig_hash()).unwrap().unwrap();
        let Standing::Void(refusal) = stands(&group, &waits) else { panic!("still open") };
        assert!(refusal.to_string().contains("never all trusted together"), "{refusal}");
        // From the same fork point, and what won there is heavier than all who could sign.
        let of_3 = revocation(&group, 3, &[1]);
        group.apply(opened(of_3.clone(), 3));
        let waits = pending(&group.rows, of_3.sig_hash()).unwrap().unwrap();
        let votes = votes_of(&group, &waits);
        assert_eq!((votes.present, votes.against, votes.taken), (1, Some(3), 1));
        assert!(!votes.wins && !votes.can_win());
        assert_eq!(votes.missing(), 3);

        let fork = group.fold.authority().unwrap().oldest().hash;
        trust(&mut group, 1, 6);
        trust(&mut group, 1, 7);
        let of_7 = revocation(&group, 7, &[6, 1]);
        assert_ne!(of_7.parent_hash(), Some(fork));
        group.apply(opened(of_7.clone(), 7));
        // A fork from further back takes its fork point away.
        let ids = [key(6).public().0.to_vec()];
        let authority = group.fold.authority().unwrap();
        let over =
            Sealed::new(generate(&group.rows, authority, &ids, &key(1).public(), None).unwrap());
        let over = [1, 2, 3].iter().fold(over, |aum, seed| cosign(aum, &key(*seed)).unwrap());
        group.apply(finished(over));
        let waits = pending(&group.rows, of_7.sig_hash()).unwrap().unwrap();
        let Standing::Void(refusal) = stands(&group, &waits) else { panic!("still open") };
        assert!(refusal.to_string().contains("not on the active chain"), "{refusal}");
        let refused = group.refuse(signed(waits.id(), &[2]));
        assert!(matches!(refused, Refusal::NotRevoked(NotRevoked::NotARevocation(_))));

        group.apply(group.disablement());
        for waits in list(&group.rows).unwrap() {
            assert_eq!(stands(&group, &waits), Standing::EpochOver);
            group.apply(withdrawn(waits.id()));
        }
        let (rows, fold) = refolded(&group);
        assert_eq!((fold.fold_hash(), &rows), (group.fold.fold_hash(), &group.rows));
    }
}
