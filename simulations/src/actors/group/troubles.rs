//! What goes wrong with machines and ways.

use std::borrow::BorrowMut;

use super::{Due, Group};
use crate::invariants::Result;
use crate::world::clock::SECOND;
use crate::world::{Fault, Mix, Ms, ProcessId, Random, Trace, Trouble};

/// Any trouble that the mix allows among so many machines; several at once where a machine is cut
/// off from all others.
pub(crate) fn drawn(mix: &Mix, random: &mut Random, machines: usize) -> Vec<Trouble> {
    let who = random.place(machines);
    let other = (who + 1 + random.place(machines - 1)) % machines;
    let ms = random.between(50, 6 * SECOND);
    let by = random.between(50, 25 * SECOND) as i64;
    let others = (0..machines).filter(|other| *other != who);
    let troubles = match random.below(8) {
        0 | 1 => vec![Trouble::Crash(who, ms)],
        2 => vec![Trouble::Stall(who, ms)],
        3 => vec![Trouble::Jump(who, if random.chance(500) { by } else { -by })],
        4 => vec![Trouble::Cut(who, other, ms)],
        // Nothing gets out, or in, or both.
        5 => others.map(|other| Trouble::Cut(who, other, ms)).collect(),
        6 => others
            .flat_map(|other| [Trouble::Cut(who, other, ms), Trouble::Cut(other, who, ms)])
            .collect(),
        _ => vec![Trouble::Fill(who, ms)],
    };
    // Often enough within a minute, whatever the rate is elsewhere.
    let fault = troubles.first().map(Trouble::fault);
    let happens = fault.is_some_and(|fault| mix.rate(fault) > 0);
    if happens { troubles } else { Vec::new() }
}

impl<A: std::fmt::Display, T: BorrowMut<Trace>> Group<A, T> {
    pub(super) fn trouble(&mut self, trouble: Trouble) -> Result<()> {
        let now = self.now();
        self.say(format_args!("{trouble}"));
        match trouble {
            Trouble::Crash(who, ms) => {
                if self.random.chance(300) && self.sites[who].machine.is_some() {
                    self.sites[who].disk.fail_next_write();
                    return Ok(());
                }
                self.crash(who, ms)?;
                self.rot(who);
                Ok(())
            }
            Trouble::Stall(who, ms) => {
                let site = &mut self.sites[who];
                site.stalled_until = site.stalled_until.max(now + ms);
                Ok(())
            }
            Trouble::Jump(who, by) => {
                self.sites[who].jump(by);
                Ok(())
            }
            Trouble::Cut(from, to, ms) => {
                self.network.cut(from, to, now + ms);
                Ok(())
            }
            Trouble::Fill(who, ms) => {
                self.sites[who].full = true;
                self.sites[who].disk.set_full(true);
                self.agenda.plan(now + ms, Due::HasSpace(who));
                Ok(())
            }
        }
    }

    /// Bits flip on a disk that lies still, if the group can do without it.
    fn rot(&mut self, who: ProcessId) {
        if self.mix.rate(Fault::Rot) > 0
            && self.random.chance(300)
            && self.lasting != Some(who)
            && self.may_do_without(who)
            && self.sites[who].disk.rot()
        {
            self.say(format_args!("a bit flips on the disk of machine {who}"));
            // Until it is known what it has cost.
            if let Some(member) = self.sites[who].replica {
                self.lost.insert(member);
                self.suspects.insert(who);
            }
        }
    }

    /// How long an interval may be in which nobody is asked.
    pub(super) fn soon(&mut self, most: Ms) -> Ms {
        let now = self.now();
        now + self.random.between(50, most)
    }
}
