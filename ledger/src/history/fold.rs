//! The fold: admits proposals, replays records, and refuses without a trace.

use super::effects::Step;
use super::known_rules::KnownRules;
use super::lifecycle::Lifecycle;
use super::members::Member;
use super::merkle::{self, MerkleHash};
use super::roster::Judge;
use super::scalars::Scalars;
use super::{
    Begun, ClusterId, Epoch, Event, EventRefusal, FoldHash, Founder, NodeId, Proposal, Record,
    RecordHash, ReplicaId, SignedProposal, acknowledgements, adoption, auth_keys, cosigning,
    incarnations, invitations, lock_changes, members, records, requests, roster, row,
};
use crate::limits::ROSTER_AT_ONCE;
use crate::lock::signatures::Verified;
use crate::lock::{Authority, ChainId};
use crate::rows::{Changes, Draft, Rows, tables};
use crate::{Failure, Fault, Refusal};

/// What became of a proposal or record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is recorded.
    Sealed(Record),
    /// This part of this request was recorded before; nothing changed.
    Repeated {
        /// The first record.
        index: u64,
        /// Its hash.
        hash: RecordHash,
    },
    /// It is not recorded, and nothing changed.
    Refused(Refusal),
}

/// The state that decides the verdict on the next proposal, apart from the rows.
///
/// All scalars are one row, so that opening costs the same at any length of the history.
#[derive(Debug, Clone)]
pub struct Fold {
    scalars: Scalars,
    /// The authority of the current epoch, while the lock is on.
    authority: Option<Authority>,
    /// What the program that folds can execute. No part of the history.
    known: KnownRules,
}

const ROW: &[u8] = b"fold";

/// On which way a proposal comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A running group admits it.
    Admitted,
    /// Somebody begins an incarnation with it.
    Beginning,
    /// It was recorded.
    Recorded,
}

/// What the judgement of a proposal leads to.
enum Judged {
    Admitted(Box<Admitted>),
    Repeated(u64),
}

struct Admitted {
    changes: Changes,
    scalars: Scalars,
    authority: Option<Authority>,
}

impl Fold {
    /// Reads the fold. Without rows it is the one before record 0.
    ///
    /// # Errors
    /// A [`Fault`] where rows are missing or damaged, or of a ledger whose active rules this
    /// version does not know.
    pub fn open(rows: &dyn Rows) -> Result<Fold, Fault> {
        Self::open_knowing(rows, KnownRules::THIS_VERSION)
    }

    /// The same, in a program that executes those rules.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_knowing(rows: &dyn Rows, known: KnownRules) -> Result<Fold, Fault> {
        let scalars = scalars(rows)?;
        known.executes(scalars.rules)?;
        let authority = match scalars.lifecycle {
            Lifecycle::On(epoch) => {
                let authority = Authority::open(rows, ChainId(epoch.0))?;
                Some(authority.ok_or_else(|| row::missing(tables::CHAINS, epoch))?)
            }
            _ => None,
        };
        Ok(Fold { scalars, authority, known })
    }

    /// The active rules of a ledger, whether this version knows them or not.
    ///
    /// # Errors
    /// A [`Fault`] where the row is damaged.
    pub fn rules_of(rows: &dyn Rows) -> Result<u32, Fault> {
        Ok(scalars(rows)?.rules)
    }

    /// Judges a proposal. If it is sealed, its record and rows are in the draft; if not, draft and
    /// fold are as before.
    pub fn admit(
        &mut self,
        draft: &mut Draft<'_>,
        proposal: &Verified<SignedProposal>,
    ) -> Result<Verdict, Fault> {
        self.seal(draft, proposal, Way::Admitted)
    }

    /// Judges an [`IncarnationBegun`](Event::IncarnationBegun), which [`admit`](Self::admit) always
    /// refuses, and refuses everything else. For a group that does not run: whoever restores or
    /// recovers it begins its next incarnation so.
    pub fn begin_incarnation(
        &mut self,
        draft: &mut Draft<'_>,
        proposal: &Verified<SignedProposal>,
    ) -> Result<Verdict, Fault> {
        self.seal(draft, proposal, Way::Beginning)
    }

    fn seal(
        &mut self,
        draft: &mut Draft<'_>,
        proposal: &Verified<SignedProposal>,
        way: Way,
    ) -> Result<Verdict, Fault> {
        let proposal = &proposal.part(proposal.get());
        match self.judge(draft, proposal, way) {
            Ok(Judged::Admitted(admitted)) => {
                let record =
                    Record::seal(self.next_index(), self.last_hash(), (*proposal.get()).clone());
                self.settle(draft, *admitted, &record);
                Ok(Verdict::Sealed(record))
            }
            Ok(Judged::Repeated(index)) => {
                let record = records::record(draft, index)?;
                let record = record.ok_or_else(|| row::missing(tables::RECORDS, index))?;
                Ok(Verdict::Repeated { index, hash: record.hash() })
            }
            Err(Failure::Refused(refusal)) => Ok(Verdict::Refused(refusal)),
            Err(Failure::Fault(fault)) => Err(fault),
        }
    }

    /// Judges a record that somebody says was sealed next. The verdict is
    /// [`Sealed`](Verdict::Sealed) with the same record or [`Refused`](Verdict::Refused).
    pub fn replay(
        &mut self,
        draft: &mut Draft<'_>,
        record: &Verified<Record>,
    ) -> Result<Verdict, Fault> {
        Ok(match self.follow(draft, record)? {
            None => Verdict::Sealed(record.get().clone()),
            Some(refusal) => Verdict::Refused(refusal),
        })
    }

    /// The same, without a copy of the record: why it is refused, if it is.
    pub fn follow(
        &mut self,
        draft: &mut Draft<'_>,
        record: &Verified<Record>,
    ) -> Result<Option<Refusal>, Fault> {
        let proposal = record.part(record.get().proposal());
        let record = record.get();
        let index = record.index();
        let want = self.next_index();
        if index != want {
            return Ok(Some(EventRefusal::RecordIndex { got: index, want }.into()));
        }
        if record.prev() != self.last_hash() && !planted!(IgnoreLinks) {
            return Ok(Some(EventRefusal::RecordLink { index }.into()));
        }
        let refusal = match self.judge(draft, &proposal, Way::Recorded) {
            Ok(Judged::Admitted(admitted)) => {
                self.settle(draft, *admitted, record);
                return Ok(None);
            }
            Ok(Judged::Repeated(first)) => EventRefusal::RecordRepeats { index, first },
            Err(Failure::Refused(why)) => EventRefusal::Record { index, why: Box::new(why) },
            Err(Failure::Fault(fault)) => return Err(fault),
        };
        Ok(Some(refusal.into()))
    }

    fn settle(&mut self, draft: &mut Draft<'_>, admitted: Admitted, record: &Record) {
        draft.absorb(admitted.changes);
        self.scalars = admitted.scalars;
        self.authority = admitted.authority;
        self.scalars.last_hash = Some(record.hash());
        records::put(draft, record);
        merkle::append(draft, &mut self.scalars.frontier, record.hash());
        self.save(draft);
    }

    /// Puts the row that [`open`](Self::open) reads. Every record does so by itself, unless the
    /// draft [leaves](Draft::leaving_out) the table out; then the row is not even written down.
    pub fn save(&self, draft: &mut Draft<'_>) {
        if !draft.leaves_out(tables::HISTORY) {
            draft.put(tables::HISTORY, ROW, self.scalars.write());
        }
    }

    fn judge(
        &self,
        draft: &Draft<'_>,
        signed: &Verified<&SignedProposal>,
        way: Way,
    ) -> Result<Judged, Failure> {
        let proposal = signed.get().proposal();
        let mut scalars = self.scalars.clone();
        let mut step = Step::new(draft, self.next_index());
        if let (None, Event::GroupCreated(founder)) = (scalars.cluster, &proposal.event) {
            begin(&mut step, &mut scalars, proposal, founder, self.known)?;
        }
        let cluster = scalars.cluster.ok_or(EventRefusal::NoGroup)?;
        if proposal.cluster != cluster {
            return Err(EventRefusal::OtherCluster.into());
        }
        match (&proposal.event, way) {
            (Event::IncarnationBegun(_), Way::Admitted) => {
                return Err(EventRefusal::GroupRuns.into());
            }
            (Event::IncarnationBegun(begun), _) => {
                self.begin_anew(&mut step, &mut scalars, proposal, begun)?;
            }
            (_, Way::Beginning) => return Err(EventRefusal::NotABeginning.into()),
            _ => {}
        }
        let (got, want) = (proposal.incarnation, scalars.incarnation);
        if got != want {
            return Err(EventRefusal::OtherIncarnation { got, want }.into());
        }
        let id = proposal.actor.member;
        let member = members::member(&step.rows, id)?.ok_or(EventRefusal::UnknownMember(id))?;
        let member = member.active()?;
        if member.member_key != signed.get().key() {
            return Err(EventRefusal::OtherMemberKey(id).into());
        }
        if let Some(index) = requests::recorded(&step.rows, proposal)?
            && !planted!(RepeatRequests)
        {
            return Ok(Judged::Repeated(index));
        }
        let next = self.next_index();
        let last_index = proposal.last_index;
        if next > last_index {
            return Err(EventRefusal::Expired { last_index, next }.into());
        }
        let (since, active) = (proposal.event.since_rules(), scalars.rules);
        if since > active {
            let kind = proposal.event.kind();
            return Err(EventRefusal::KindNotActive { kind, since, active }.into());
        }
        requests::record(&mut step, proposal);
        let mut authority = self.authority.clone();
        self.apply(&mut step, &mut scalars, &mut authority, signed, member)?;
        let (changes, fold_hash) = step.finish(self.scalars.fold_hash);
        scalars.fold_hash = fold_hash;
        Ok(Judged::Admitted(Box::new(Admitted { changes, scalars, authority })))
    }

    /// What the event does, once its proposal is in order.
    fn apply(
        &self,
        step: &mut Step<'_>,
        scalars: &mut Scalars,
        authority: &mut Option<Authority>,
        signed: &Verified<&SignedProposal>,
        member: Member,
    ) -> Result<(), Failure> {
        let state = authority.as_ref().map(Authority::state);
        let asks = scalars.rules >= roster::AUTH_KEYS_SINCE_RULES;
        let asks_for_auth_keys = asks.then_some(scalars.lifecycle);
        let judge = Judge { state, asks_for_auth_keys };
        let proposal = signed.get().proposal();
        match &proposal.event {
            // Record 0 has begun the group before there was a member to ask.
            Event::GroupCreated(_) if step.index == 0 => {}
            Event::GroupCreated(_) => return Err(EventRefusal::GroupExists.into()),
            Event::LockInitialized(init) => {
                let lifecycle = scalars.lifecycle;
                let begun = lock_changes::initialize(step, lifecycle, init, &member, signed)?;
                scalars.lifecycle = begun.0;
                *authority = Some(begun.1);
            }
            Event::AumsAdded(added) => {
                let now = authority.as_ref().ok_or(EventRefusal::LockOff)?;
                adoption::decided_here(&step.rows, scalars.lifecycle)?;
                *authority = Some(lock_changes::add_aums(
                    step,
                    (scalars.rules, asks_for_auth_keys),
                    now,
                    added,
                    signed,
                )?);
            }
            Event::NodeKeysSigned(signatures) => {
                state.ok_or(EventRefusal::LockOff)?;
                adoption::decided_here(&step.rows, scalars.lifecycle)?;
                roster::sign(step, judge, signatures, signed)?;
            }
            Event::LockDisabled(disablement) => {
                let (epoch, now) = on(scalars.lifecycle, authority.as_ref())?;
                adoption::decided_here(&step.rows, scalars.lifecycle)?;
                scalars.lifecycle = lock_changes::disable(step, epoch, now, disablement)?;
                *authority = None;
            }
            Event::NodeAdded(new) => {
                let signature = new.signature.as_ref().map(|item| signed.part(item.clone()));
                let id = scalars.next_node;
                if scalars.nodes >= ROSTER_AT_ONCE {
                    return Err(EventRefusal::RosterTooLarge.into());
                }
                roster::add(step, judge, id, new, &member, signature.as_ref())?;
                if let Some(shown) = &new.auth_key {
                    auth_keys::show(step, state, shown, new.signature.as_ref(), proposal.time_ms)?;
                }
                scalars.next_node = NodeId(id.0.saturating_add(1));
                scalars.nodes += 1;
            }
            Event::NodeChanged(changed) => {
                let signature = changed.signature.as_ref().map(|item| signed.part(item.clone()));
                roster::change(step, judge, changed, signature)?;
            }
            Event::NodeRemoved(node) => {
                roster::remove(step, *node)?;
                scalars.nodes = scalars.nodes.saturating_sub(1);
            }
            Event::MemberChanged(details) => {
                members::change(step, member, details, scalars.rules)?;
            }
            Event::RulesActivated(rules) => {
                activate(step, scalars, *rules, self.known)?;
            }
            Event::RevocationOpened(opened) => {
                let (epoch, now) = on(scalars.lifecycle, authority.as_ref())?;
                adoption::decided_here(&step.rows, scalars.lifecycle)?;
                cosigning::open(step, scalars.rules, (epoch, now), opened, &proposal.actor)?;
            }
            Event::RevocationSigned(added) => {
                let (epoch, now) = on(scalars.lifecycle, authority.as_ref())?;
                cosigning::sign(step, epoch, now, added)?;
            }
            Event::RevocationWithdrawn(withdrawn) => cosigning::withdraw(step, withdrawn)?,
            Event::AuthKeyCreated(new) => auth_keys::create(step, new, proposal.time_ms)?,
            Event::AuthKeyRevoked(id) => auth_keys::revoke(step, id)?,
            Event::NodeAcknowledged(said) => acknowledgements::acknowledge(step, said)?,
            Event::GenesisBrought(brought) => {
                lock_changes::bring(step, scalars.lifecycle, brought, signed)?;
            }
            Event::AdoptionBegun(begun) => {
                if let Some(now) = adoption::begin(step, scalars.lifecycle, begun, signed)? {
                    (scalars.lifecycle, *authority) = (now.0, Some(now.1));
                }
            }
            Event::AumsAdopted(aums) => {
                let (lifecycle, before) = (scalars.lifecycle, authority.as_ref());
                if let Some(now) =
                    adoption::take(step, scalars.rules, (lifecycle, before), aums, signed)?
                {
                    (scalars.lifecycle, *authority) = (now.0, Some(now.1));
                }
            }
            Event::AdoptionEnded => {
                scalars.lifecycle = adoption::end(step, scalars.lifecycle)?;
                *authority = None;
            }
            Event::LockObserved(observed) => {
                adoption::observe(step, scalars.lifecycle, authority.as_ref(), observed)?;
            }
            Event::MemberInvited(invited) => {
                invitations::invite(step, invited, member.id, proposal.time_ms)?;
            }
            Event::MemberJoined(joined) => {
                let id = scalars.next_replica;
                members::join(step, joined, id, proposal.time_ms, scalars.rules)?;
                scalars.next_replica = following(id);
            }
            Event::MemberApproved(id) => members::approve(step, *id, scalars.rules)?,
            Event::MemberRoleChanged(change) => members::change_role(step, *change)?,
            Event::MemberRemoved(id) => members::remove(step, *id)?,
            // It has begun before there was a member to ask.
            Event::IncarnationBegun(_) => {}
        }
        Ok(())
    }

    /// The group begins anew: its records go on, with another member.
    fn begin_anew(
        &self,
        step: &mut Step<'_>,
        scalars: &mut Scalars,
        proposal: &Proposal,
        begun: &Begun,
    ) -> Result<(), Failure> {
        let before = incarnations::Before {
            incarnation: scalars.incarnation,
            rules: scalars.rules,
            last: self.next_index().checked_sub(1).zip(self.last_hash()),
            next_replica: scalars.next_replica,
        };
        incarnations::begin(step, &before, proposal, begun)?;
        scalars.incarnation = proposal.incarnation;
        scalars.next_replica = following(begun.founder.id);
        Ok(())
    }

    /// The authority of the current epoch; none while the lock is off.
    pub fn authority(&self) -> Option<&Authority> {
        self.authority.as_ref()
    }

    /// The number of nodes in the roster.
    pub fn nodes(&self) -> u64 {
        self.scalars.nodes
    }

    /// The number that the next node of the roster gets.
    pub fn next_node(&self) -> NodeId {
        self.scalars.next_node
    }

    /// The number that the next member gets. No number is given twice, in whichever incarnation.
    pub fn next_replica(&self) -> ReplicaId {
        self.scalars.next_replica
    }

    /// The ledger, once record 0 is written.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.scalars.cluster
    }

    /// The group's incarnation, from 1; 0 before record 0.
    pub fn incarnation(&self) -> u64 {
        self.scalars.incarnation
    }

    /// The active rules.
    pub fn rules(&self) -> u32 {
        self.scalars.rules
    }

    /// The rules that the program which folds can execute.
    pub fn known(&self) -> KnownRules {
        self.known
    }

    /// The index of the next record, which is also their number.
    pub fn next_index(&self) -> u64 {
        self.scalars.frontier.size()
    }

    /// The hash of the last record; none before record 0.
    pub fn last_hash(&self) -> Option<RecordHash> {
        self.scalars.last_hash
    }

    /// The chained hash over everything that can change a verdict.
    pub fn fold_hash(&self) -> FoldHash {
        self.scalars.fold_hash
    }

    /// The root of the Merkle tree over all record hashes.
    pub fn merkle_root(&self) -> MerkleHash {
        self.scalars.frontier.root()
    }

    /// The current epoch of the lock, or its last one.
    pub fn epoch(&self) -> Option<Epoch> {
        self.scalars.lifecycle.epoch()
    }

    /// Whether the lock is on.
    pub fn lifecycle(&self) -> Lifecycle {
        self.scalars.lifecycle
    }
}

fn scalars(rows: &dyn Rows) -> Result<Scalars, Fault> {
    match rows.get(tables::HISTORY, ROW)? {
        Some(value) => row::decode(tables::HISTORY, ROW, &value, Scalars::read),
        None => Ok(Scalars::before_record_0()),
    }
}

/// The epoch and the authority of the lock that is on.
fn on(
    lifecycle: Lifecycle,
    authority: Option<&Authority>,
) -> Result<(Epoch, &Authority), EventRefusal> {
    match (lifecycle, authority) {
        (Lifecycle::On(epoch), Some(authority)) => Ok((epoch, authority)),
        _ => Err(EventRefusal::LockOff),
    }
}

/// Begins the group, whose founder then proposes as its first member.
fn begin(
    step: &mut Step<'_>,
    scalars: &mut Scalars,
    proposal: &Proposal,
    founder: &Founder,
    known: KnownRules,
) -> Result<(), Failure> {
    if proposal.incarnation != 1 || founder.id != ReplicaId(1) {
        return Err(EventRefusal::Shape("a group begins with replica 1, in incarnation 1").into());
    }
    scalars.cluster = Some(proposal.cluster);
    scalars.incarnation = proposal.incarnation;
    scalars.rules = known.executes(founder.details.rules)?;
    step.group(proposal.cluster, proposal.incarnation);
    scalars.next_replica = following(founder.id);
    members::found(step, founder)
}

fn following(id: ReplicaId) -> ReplicaId {
    ReplicaId(id.0.saturating_add(1))
}

/// Rules follow each other one by one, once every member can execute the next.
fn activate(
    step: &mut Step<'_>,
    scalars: &mut Scalars,
    asked: u32,
    known: KnownRules,
) -> Result<(), Failure> {
    let active = scalars.rules;
    if active.checked_add(1) != Some(asked) {
        return Err(EventRefusal::RulesNotNext { asked, active }.into());
    }
    members::all_support(&step.rows, asked)?;
    scalars.rules = known.executes(asked)?;
    step.rules(asked);
    Ok(())
}
