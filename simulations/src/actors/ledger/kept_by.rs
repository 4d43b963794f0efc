//! The ledger of a group: what somebody wants recorded goes to its machines, and the records that
//! come of it are verified and folded here, as by anybody who follows a group.

use ledger::history::{Event, Verdict};
use ledger::lock::signatures::{Unverified, verify_all};
use ledger::rows::Draft;
use ledger::{Fault, Refusal};

use super::{Ledger, Outcome, down};
use crate::actors::group::{Group, Nobody};
use crate::actors::images::Remembering;
use crate::invariants::Broken;
use crate::invariants::Result as Held;
use crate::world::disk::{Disk, Durable};
use crate::world::{Trace, Trouble};

/// Who keeps a ledger.
#[derive(Debug)]
pub(crate) enum Keeper {
    /// One member, on the disk of one process.
    Alone {
        /// The rules that it begins with.
        rules: u32,
    },
    /// A group of machines.
    Group(Box<Group<Nobody, Trace>>),
}

impl Ledger {
    /// Asks the group, until it is known what has become of it.
    pub(super) fn ask_the_group(&mut self, request: &str, event: Event) -> Result<Outcome, Fault> {
        if self.fold.is_none() {
            return Err(down());
        }
        let uid = self.uid;
        let recorded = self.group(|group| group.record(request, uid, event))?;
        self.follow()?;
        Ok(match recorded {
            Some(Ok(index)) => Outcome::Recorded(index),
            Some(Err(refusal)) => Outcome::Refused(refusal),
            None => return Err(Fault::new("no group keeps this ledger")),
        })
    }

    /// Does something with the group, if there is one. What does not hold there is no fault, but
    /// comes as one, and is found in `broken`.
    fn group<T>(
        &mut self,
        does: impl FnOnce(&mut Group<Nobody, Trace>) -> Held<T>,
    ) -> Result<Option<T>, Fault> {
        let Some(group) = &mut self.group else { return Ok(None) };
        let done = does(group);
        for (what, count) in std::mem::take(&mut group.tally) {
            self.happened.extend(std::iter::repeat_n(what, count as usize));
        }
        done.map(Some).map_err(|broken| {
            let fault = Fault::new(broken.to_string());
            self.broken = Some(broken);
            fault
        })
    }

    /// Takes the records that the group has and this disk has not.
    pub(super) fn follow(&mut self) -> Result<(), Fault> {
        let next = self.fold.as_ref().ok_or_else(down)?.next_index();
        let records = self.group(|group| group.records_from(next))?.unwrap_or_default();
        let bad = |why: Refusal| Fault::from_error("a record of the group's", why);
        let unverified = records.iter().cloned().map(Unverified::new).collect();
        for (record, verified) in records.iter().zip(verify_all(unverified, &Remembering)) {
            let fold = self.fold.as_mut().ok_or_else(down)?;
            let mut draft = Draft::on(self.process.disk.rows());
            match fold.replay(&mut draft, &verified.map_err(bad)?)? {
                Verdict::Sealed(_) => {}
                Verdict::Refused(why) => return Err(bad(why)),
                Verdict::Repeated { .. } => return Err(Fault::new("a record repeats another")),
            }
            let changes = draft.finish();
            self.process.disk.commit(changes, Durable::Now)?;
            self.acknowledge(record);
        }
        Ok(())
    }

    /// Something goes wrong that would have gone wrong with the one member's machine: it does with
    /// some machine of the group, if there is one.
    pub(crate) fn group_takes(&mut self, trouble: &Trouble) -> Result<bool, Fault> {
        match trouble {
            Trouble::Crash(..) | Trouble::Jump(..) | Trouble::Fill(..) => {
                Ok(self.group(Group::strike)?.is_some())
            }
            Trouble::Stall(..) | Trouble::Cut(..) => Ok(false),
        }
    }

    /// Nothing goes wrong with the group any more.
    pub(crate) fn calm_group(&mut self) -> Result<(), Fault> {
        self.group(Group::calm).map(|_| ())
    }

    /// What the group's machines have said since somebody last asked.
    pub(crate) fn lines(&mut self) -> Vec<String> {
        self.group.as_mut().map(|group| group.lines()).unwrap_or_default()
    }

    /// What did not hold of the group, if that is why it failed.
    pub(crate) fn broken(&mut self) -> Held<()> {
        self.broken.take().map_or(Ok(()), Err::<(), Broken>)
    }
}
