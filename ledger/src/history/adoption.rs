//! Locks that exist elsewhere: their history is brought in whole, and some of them are followed.
//!
//! The history of a lock may be longer than an event can be. So an adoption begins with its root
//! and says what is to come; the AUMs follow in events of their own, and the epoch begins with the
//! one that makes the history complete. Nothing is in force before, and all of it can be given up.
//!
//! A followed lock is decided by somebody else's server. It is recorded as that server has it: the
//! door (`super::door`) raises an alarm instead of refusing, nothing is signed through us, and what
//! the server rewrites or withholds raises an alarm as well.

use super::effects::Step;
use super::event::{AdoptionBegun, Foreign, ForeignReason, Observed};
use super::lifecycle::{self, EpochEntry, Lifecycle};
use super::{Epoch, EventRefusal, SignedProposal, door, lock_changes, roster, row};
use crate::cbor::{Malformed, Reader, Writer};
use crate::ids::AumHash;
use crate::lock::signatures::Verified;
use crate::lock::{Authority, ChainId, Sealed};
use crate::rows::{Rows, tables};
use crate::{Failure, Fault};

/// Where the lock of an epoch came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption {
    /// The epoch that it is, or is to become.
    pub epoch: Epoch,
    /// The oldest AUM.
    pub root: AumHash,
    /// The head that was announced.
    pub head: AumHash,
    /// The number of AUMs that was announced.
    pub aums: u64,
    /// Whether somebody else's server decides the lock.
    pub followed: bool,
    /// AUMs that have been brought in so far, those that came while it was followed included.
    pub taken: u64,
    /// The record that began it.
    pub begun: u64,
    /// The record that made it complete, with which the epoch began; none before.
    pub adopted: Option<u64>,
    /// How its server showed it last.
    pub seen: Option<Seen>,
    /// AUMs that became the head of the followed lock although the door would have refused them.
    pub objections: u64,
    /// The last of them, and the record that brought it.
    pub objection: Option<(AumHash, u64)>,
    /// How often it was shown in a way that raised an alarm.
    pub alarms: u64,
    /// The last record that did.
    pub last_alarm: Option<u64>,
}

/// How the server of a followed lock showed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The head; none if there was no lock.
    pub head: Option<AumHash>,
    /// What was wrong with it.
    pub alarm: Option<Alarm>,
    /// The record that says so.
    pub record: u64,
}

/// What is wrong with how a server shows a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// There is no lock any more; nobody has seen the secret that would have to end it.
    Off,
    /// Its head is an ancestor of the head: AUMs that it had shown before are gone.
    Behind,
    /// Its head is on a branch that loses to one that is known.
    LosingBranch,
    /// It shows another lock.
    OtherLock,
    /// It shows AUMs without what comes before them.
    Unconnected,
    /// It shows an AUM that breaks the rules.
    BreaksRules,
}

impl Alarm {
    /// Every alarm; an alarm's place here plus 1 is its number, and 0 is none.
    pub const ALL: [Alarm; 6] = [
        Alarm::Off,
        Alarm::Behind,
        Alarm::LosingBranch,
        Alarm::OtherLock,
        Alarm::Unconnected,
        Alarm::BreaksRules,
    ];

    pub(super) fn number(alarm: Option<Alarm>) -> u64 {
        let place = alarm.and_then(|alarm| Self::ALL.iter().position(|other| *other == alarm));
        place.map_or(0, |place| place as u64 + 1)
    }

    /// A word for it, in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Alarm::Off => "lock-off",
            Alarm::Behind => "behind",
            Alarm::LosingBranch => "losing-branch",
            Alarm::OtherLock => "other-lock",
            Alarm::Unconnected => "unconnected",
            Alarm::BreaksRules => "breaks-rules",
        }
    }
}

impl From<ForeignReason> for Alarm {
    fn from(why: ForeignReason) -> Self {
        match why {
            ForeignReason::OtherLock => Alarm::OtherLock,
            ForeignReason::Unconnected => Alarm::Unconnected,
            ForeignReason::BreaksRules => Alarm::BreaksRules,
        }
    }
}

/// Where the lock of that epoch came from; none if it was initialized here.
pub fn of(rows: &dyn Rows, epoch: Epoch) -> Result<Option<Adoption>, Fault> {
    let key = epoch.0.to_be_bytes();
    let Some(value) = rows.get(tables::ADOPTIONS, &key)? else { return Ok(None) };
    row::decode(tables::ADOPTIONS, &key, &value, |reader| Adoption::read(epoch, reader)).map(Some)
}

/// The adoption that is under way or, while the lock is on, the one from which it came.
pub fn current(rows: &dyn Rows, lifecycle: Lifecycle) -> Result<Option<Adoption>, Fault> {
    match (lifecycle, lock_changes::next_epoch(lifecycle)) {
        (Lifecycle::On(epoch), _) | (_, Ok(epoch)) => of(rows, epoch),
        (_, Err(_)) => Ok(None),
    }
}

/// Refuses what would begin the epoch otherwise while a lock is being adopted as it.
pub(super) fn none_under_way(rows: &dyn Rows, epoch: Epoch) -> Result<(), Failure> {
    match of(rows, epoch)? {
        Some(_) => Err(EventRefusal::AdoptionUnderWay(epoch).into()),
        None => Ok(()),
    }
}

/// Whether the lock that is on exists elsewhere.
pub(super) fn is_adopted(rows: &dyn Rows, lifecycle: Lifecycle) -> Result<bool, Fault> {
    match lifecycle {
        Lifecycle::On(epoch) => Ok(of(rows, epoch)?.is_some()),
        _ => Ok(false),
    }
}

/// Refuses what only the server of a followed lock decides.
pub(super) fn decided_here(rows: &dyn Rows, lifecycle: Lifecycle) -> Result<(), Failure> {
    let Lifecycle::On(epoch) = lifecycle else { return Ok(()) };
    match of(rows, epoch)? {
        Some(adoption) if adoption.followed => Err(EventRefusal::Followed(epoch).into()),
        _ => Ok(()),
    }
}

/// An epoch that has begun.
type Begun = (Lifecycle, Authority);

/// Begins to bring a lock in; its root may be all of it.
pub(super) fn begin(
    step: &mut Step<'_>,
    lifecycle: Lifecycle,
    begun: &AdoptionBegun,
    whole: &Verified<&SignedProposal>,
) -> Result<Option<Begun>, Failure> {
    let epoch = lock_changes::next_epoch(lifecycle)?;
    none_under_way(&step.rows, epoch)?;
    let root = whole.part(begun.root.clone());
    let authority = Authority::bootstrap(&mut step.rows, ChainId(epoch.0), &root)?;
    let state_id = authority.state().state_id();
    if let Some(epoch) = lifecycle::by_state_id(&step.rows, state_id)? {
        return Err(EventRefusal::StateIdUsed(epoch).into());
    }
    step.adoption(epoch, begun);
    let adoption = Adoption {
        epoch,
        root: begun.root.hash(),
        head: begun.head,
        aums: begun.aums,
        followed: begun.followed,
        taken: 1,
        begun: step.index,
        adopted: None,
        seen: None,
        objections: 0,
        objection: None,
        alarms: 0,
        last_alarm: None,
    };
    settle(step, adoption, authority)
}

/// Brings AUMs in: of a lock that is being adopted, or of the one that is followed.
pub(super) fn take(
    step: &mut Step<'_>,
    rules: u32,
    (lifecycle, authority): (Lifecycle, Option<&Authority>),
    aums: &[Sealed],
    whole: &Verified<&SignedProposal>,
) -> Result<Option<Begun>, Failure> {
    let adoption = current(&step.rows, lifecycle)?.ok_or(EventRefusal::NoAdoption)?;
    let number = aums.len() as u64;
    let taken = adoption.taken.saturating_add(number);
    let Some(before) = authority else {
        if taken > adoption.aums {
            return Err(EventRefusal::NotAsAnnounced("there are more AUMs").into());
        }
        let chain = ChainId(adoption.epoch.0);
        let before = Authority::open(&step.rows, chain)?
            .ok_or_else(|| row::missing(tables::CHAINS, adoption.epoch))?;
        lock_changes::unknown(step, &before, aums)?;
        let next = lock_changes::informed(step, &before, aums, whole)?;
        step.aums(aums, next.head());
        return settle(step, Adoption { taken, ..adoption }, next);
    };
    if !adoption.followed {
        return Err(EventRefusal::NoAdoption.into());
    }
    lock_changes::unknown(step, before, aums)?;
    let (next, objected) = if rules >= door::SINCE_RULES {
        one_by_one(step, before, aums, whole)?
    } else {
        (lock_changes::informed(step, before, aums, whole)?, Vec::new())
    };
    step.aums(aums, next.head());
    for aum in &objected {
        step.objected(adoption.epoch, *aum);
    }
    lock_changes::trust_moved(step, before, &next, aums)?;
    let objection = objected.last().map(|aum| (*aum, step.index)).or(adoption.objection);
    let objections = adoption.objections.saturating_add(objected.len() as u64);
    put(step, &Adoption { taken, objections, objection, ..adoption });
    Ok(Some((lifecycle, next)))
}

/// Takes in the AUMs of a followed lock; gives those that the door would have refused.
fn one_by_one(
    step: &mut Step<'_>,
    before: &Authority,
    aums: &[Sealed],
    whole: &Verified<&SignedProposal>,
) -> Result<(Authority, Vec<AumHash>), Failure> {
    let (mut now, mut objected) = (before.clone(), Vec::new());
    for aum in aums {
        let objection = door::objection(&step.rows, &now, aum)?;
        now.inform(&mut step.rows, &[whole.part(aum.clone())])?;
        // A branch that loses changes nothing.
        if objection.is_some() && now.head() == aum.hash() {
            objected.push(aum.hash());
        }
    }
    Ok((now, objected))
}

/// Notes how far an adoption has come, and begins the epoch when nothing is missing.
fn settle(
    step: &mut Step<'_>,
    mut adoption: Adoption,
    authority: Authority,
) -> Result<Option<Begun>, Failure> {
    if adoption.taken < adoption.aums {
        put(step, &adoption);
        return Ok(None);
    }
    if authority.head() != adoption.head {
        return Err(EventRefusal::NotAsAnnounced("the rules choose another head").into());
    }
    adoption.adopted = Some(step.index);
    put(step, &adoption);
    let (epoch, genesis) = (adoption.epoch, adoption.root);
    let state_id = authority.state().state_id();
    let entry = EpochEntry { epoch, genesis, state_id, began: step.index, ended: None };
    lifecycle::put(&mut step.rows, &entry);
    step.lock_on(epoch, genesis);
    roster::lock(step)?;
    Ok(Some((Lifecycle::On(epoch), authority)))
}

/// Gives up what was brought in so far or, when the lock is on, ends the following of it. Deletes
/// as many rows as were brought in, in the first case.
pub(super) fn end(step: &mut Step<'_>, lifecycle: Lifecycle) -> Result<Lifecycle, Failure> {
    let adoption = current(&step.rows, lifecycle)?.ok_or(EventRefusal::NoAdoption)?;
    let epoch = adoption.epoch;
    if adoption.adopted.is_none() {
        Authority::erase(&mut step.rows, ChainId(epoch.0))?;
        step.rows.delete(tables::ADOPTIONS, epoch.0.to_be_bytes());
        step.adoption_gone(epoch);
        return Ok(lifecycle);
    }
    if !adoption.followed {
        return Err(EventRefusal::NoAdoption.into());
    }
    let entry = lifecycle::epoch(&step.rows, epoch)?;
    let entry = entry.ok_or_else(|| row::missing(tables::EPOCHS, epoch))?;
    lifecycle::release(&mut step.rows, &EpochEntry { ended: Some(step.index), ..entry });
    step.lock_off(epoch);
    roster::unlock(step)?;
    Ok(Lifecycle::Retired(epoch))
}

/// Notes how its server shows the followed lock, and judges it.
pub(super) fn observe(
    step: &mut Step<'_>,
    lifecycle: Lifecycle,
    authority: Option<&Authority>,
    observed: &Observed,
) -> Result<(), Failure> {
    let adoption = current(&step.rows, lifecycle)?.filter(|adoption| adoption.followed);
    let (Some(adoption), Some(authority)) = (adoption, authority) else {
        return Err(EventRefusal::NoAdoption.into());
    };
    let epoch = adoption.epoch;
    let (head, alarm) = judge(&step.rows, authority, observed)?;
    if let Some(seen) = adoption.seen.filter(|seen| (seen.head, seen.alarm) == (head, alarm)) {
        return Err(EventRefusal::AlreadyObserved(seen.record).into());
    }
    let record = step.index;
    let raised = u64::from(alarm.is_some());
    put(
        step,
        &Adoption {
            seen: Some(Seen { head, alarm, record }),
            alarms: adoption.alarms.saturating_add(raised),
            last_alarm: alarm.map(|_| record).or(adoption.last_alarm),
            ..adoption
        },
    );
    step.observed(epoch, head, alarm);
    Ok(())
}

/// The head that an observation shows, and what is wrong with it. Refuses a head that is said to be
/// on record and is not. A logarithm of the height in reads.
pub fn judge(
    rows: &dyn Rows,
    authority: &Authority,
    observed: &Observed,
) -> Result<(Option<AumHash>, Option<Alarm>), Failure> {
    Ok(match observed {
        Observed::Off => (None, Some(Alarm::Off)),
        Observed::Head(head) => (Some(*head), standing(rows, authority, *head)?),
        Observed::Foreign(Foreign { head, why, .. }) => (Some(*head), Some((*why).into())),
    })
}

fn standing(
    rows: &dyn Rows,
    authority: &Authority,
    head: AumHash,
) -> Result<Option<Alarm>, Failure> {
    let chain = authority.chain(rows);
    if chain.node(&head)?.is_none() {
        let epoch = Epoch(authority.chain_id().0);
        return Err(EventRefusal::UnknownAum { epoch, aum: head }.into());
    }
    if head == authority.head() {
        return Ok(None);
    }
    let behind = chain.is_ancestor(&head, &authority.head())?;
    Ok(Some(if behind { Alarm::Behind } else { Alarm::LosingBranch }))
}

fn put(step: &mut Step<'_>, adoption: &Adoption) {
    step.rows.put(tables::ADOPTIONS, adoption.epoch.0.to_be_bytes(), adoption.write());
}

impl Adoption {
    fn write(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(12).bytes(&self.root.0).bytes(&self.head.0).uint(self.aums).bool(self.followed);
        out.uint(self.taken).uint(self.begun);
        write_record(&mut out, self.adopted);
        match &self.seen {
            Some(seen) => {
                out.array(3).nullable_bytes(seen.head.as_ref().map(|head| head.0.as_slice()));
                out.uint(Alarm::number(seen.alarm)).uint(seen.record);
            }
            None => {
                out.null();
            }
        }
        out.uint(self.alarms);
        write_record(&mut out, self.last_alarm);
        out.uint(self.objections);
        match &self.objection {
            Some((aum, record)) => out.array(2).bytes(&aum.0).uint(*record),
            None => out.null(),
        };
        out.into_bytes()
    }

    fn read(epoch: Epoch, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.array_of(12)?;
        let root = AumHash(reader.fixed()?);
        let head = AumHash(reader.fixed()?);
        let aums = reader.uint()?;
        let followed = reader.bool()?;
        let (taken, begun) = (reader.uint()?, reader.uint()?);
        let adopted = read_record(reader)?;
        let seen = if reader.null() { None } else { Some(Seen::read(reader)?) };
        let alarms = reader.uint()?;
        let last_alarm = read_record(reader)?;
        let objections = reader.uint()?;
        let objection = if reader.null() {
            None
        } else {
            reader.array_of(2)?;
            let (aum, record) = (AumHash(reader.fixed()?), reader.uint()?);
            reader.close();
            Some((aum, record))
        };
        reader.close();
        Ok(Adoption {
            epoch,
            root,
            head,
            aums,
            followed,
            taken,
            begun,
            adopted,
            seen,
            objections,
            objection,
            alarms,
            last_alarm,
        })
    }
}

impl Seen {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.array_of(3)?;
        let head = if reader.null() { None } else { Some(AumHash(reader.fixed()?)) };
        let at = reader.clone();
        let alarm = match reader.uint()? {
            0 => None,
            number => {
                let place = usize::try_from(number - 1).ok();
                let alarm = place.and_then(|place| Alarm::ALL.get(place));
                Some(*alarm.ok_or_else(|| at.malformed("an unknown alarm"))?)
            }
        };
        let record = reader.uint()?;
        reader.close();
        Ok(Seen { head, alarm, record })
    }
}

fn write_record(out: &mut Writer, record: Option<u64>) {
    match record {
        Some(record) => out.uint(record),
        None => out.null(),
    };
}

fn read_record(reader: &mut Reader<'_>) -> Result<Option<u64>, Malformed> {
    Ok(if reader.null() { None } else { Some(reader.uint()?) })
}
