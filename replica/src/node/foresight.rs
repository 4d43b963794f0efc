//! Checks and folds entries while the log is being synced.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use ledger::Fault;
use ledger::history::SignedProposal;
use ledger::lock::signatures::{Cores, Job, Unverified, verify_all};
use ledger::rows::raft::{EntryKind, Position};

use super::View;
use crate::core::LogEntry;
use crate::core::applier::{Applied, Checked, apply};

/// Entries that are being written, and what they stand on if nothing lies between.
struct Ahead {
    entries: Vec<LogEntry>,
    base: Option<Arc<View>>,
}

/// What was found out about them.
struct Found {
    checked: Vec<(Position, Checked)>,
    /// What they come to on top of that view, should it still be the newest when exactly they are
    /// committed.
    folded: Option<(Arc<View>, Applied)>,
}

/// Who looks.
enum Eyes {
    Beside {
        ahead: Sender<Ahead>,
        found: Receiver<Found>,
    },
    /// Whoever writes does, at once.
    #[cfg(feature = "testing")]
    AtOnce(VecDeque<Found>),
}

/// Looks at the entries of each write ahead of their commitment: a thread does, beside the loop.
pub(super) struct Foresight {
    eyes: Eyes,
    cores: Threads,
    under_way: usize,
    checked: BTreeMap<(u64, u64), (Position, Checked)>,
}

impl Foresight {
    pub(super) fn start() -> Result<Self, Fault> {
        let (ahead, to_do) = channel::<Ahead>();
        let (tell, found) = channel();
        let cores = Threads::all();
        thread::Builder::new()
            .name("foresight".into())
            .spawn(move || {
                for ahead in to_do {
                    if tell.send(look(ahead, &cores)).is_err() {
                        break;
                    }
                }
            })
            .map_err(|e| Fault::from_error("start the thread that looks ahead", e))?;
        let eyes = Eyes::Beside { ahead, found };
        Ok(Foresight { eyes, cores, under_way: 0, checked: BTreeMap::new() })
    }

    /// One that needs no thread.
    #[cfg(feature = "testing")]
    pub(super) fn at_once() -> Self {
        let (eyes, cores) = (Eyes::AtOnce(VecDeque::new()), Threads { count: 1 });
        Foresight { eyes, cores, under_way: 0, checked: BTreeMap::new() }
    }

    /// The cores that signatures are checked on.
    pub(super) fn cores(&self) -> Threads {
        self.cores
    }

    /// Starts to look at entries that are about to be written.
    pub(super) fn ahead(&mut self, entries: &[LogEntry], newest: &Arc<View>) -> Result<(), Fault> {
        let Some(first) = entries.first() else { return Ok(()) };
        let next = first.position.index == newest.applied() + 1;
        let base = (next && self.under_way == 0).then(|| newest.clone());
        let new = Ahead { entries: entries.to_vec(), base };
        match &mut self.eyes {
            Eyes::Beside { ahead, .. } => ahead.send(new).map_err(|_| ended())?,
            #[cfg(feature = "testing")]
            Eyes::AtOnce(found) => found.push_back(look(new, &self.cores)),
        }
        self.under_way += 1;
        Ok(())
    }

    /// What committed entries come to on top of `newest`: as foreseen, or else folded now.
    pub(super) fn apply(
        &mut self,
        newest: &Arc<View>,
        entries: &[&LogEntry],
    ) -> Result<Applied, Fault> {
        while self.under_way > 0 && !self.unknown(entries).is_empty() {
            let Found { checked, folded } = match &mut self.eyes {
                Eyes::Beside { found, .. } => found.recv().map_err(|_| ended())?,
                #[cfg(feature = "testing")]
                Eyes::AtOnce(found) => found.pop_front().ok_or_else(ended)?,
            };
            self.under_way -= 1;
            let same = checked.len() == entries.len()
                && checked.iter().zip(entries).all(|((at, _), entry)| *at == entry.position);
            if let Some((base, applied)) = folded
                && same
                && Arc::ptr_eq(&base, newest)
            {
                return Ok(applied);
            }
            self.remember(checked);
        }
        // Nobody looked at entries that were in the log at the start.
        let unknown: Vec<LogEntry> = self.unknown(entries).into_iter().cloned().collect();
        self.remember(check(&unknown, &self.cores));
        let known = entries.iter().filter_map(|entry| self.checked.get(&place(entry.position)));
        let known = known.map(|(position, checked)| (*position, checked));
        apply(newest.fold(), newest.rows(), known)
    }

    /// Forgets entries up to `applied`, and with them those that other ones replaced.
    pub(super) fn forget(&mut self, applied: u64) {
        self.checked.retain(|(index, _), _| *index > applied);
    }

    fn unknown<'e>(&self, entries: &[&'e LogEntry]) -> Vec<&'e LogEntry> {
        let known = |entry: &LogEntry| self.checked.contains_key(&place(entry.position));
        entries.iter().copied().filter(|entry| !known(entry)).collect()
    }

    fn remember(&mut self, checked: Vec<(Position, Checked)>) {
        self.checked.extend(checked.into_iter().map(|found| (place(found.0), found)));
    }
}

fn place(position: Position) -> (u64, u64) {
    (position.index, position.term)
}

fn ended() -> Fault {
    Fault::new("the thread that looks ahead has ended")
}

fn look(ahead: Ahead, cores: &dyn Cores) -> Found {
    let checked = check(&ahead.entries, cores);
    let folded = ahead.base.and_then(|base| {
        let entries = checked.iter().map(|(position, checked)| (*position, checked));
        // A fault comes up again when the entries are committed.
        let applied = apply(base.fold(), base.rows(), entries).ok()?;
        Some((base, applied))
    });
    Found { checked, folded }
}

/// Decodes entries and checks their signatures; the answers are in the order of the entries.
pub(crate) fn check(entries: &[LogEntry], cores: &dyn Cores) -> Vec<(Position, Checked)> {
    let mut checked = Vec::with_capacity(entries.len());
    let mut places = Vec::with_capacity(entries.len());
    let mut proposals = Vec::with_capacity(entries.len());
    for (place, entry) in entries.iter().enumerate() {
        let refused = if entry.kind != EntryKind::Proposal || entry.data.is_empty() {
            None
        } else {
            match SignedProposal::decode(&entry.data) {
                Ok(proposal) => {
                    places.push(place);
                    proposals.push(Unverified::new(proposal));
                    None
                }
                Err(refusal) => Some(Err(refusal)),
            }
        };
        checked.push((entry.position, refused));
    }
    for (place, verdict) in places.into_iter().zip(verify_all(proposals, cores)) {
        checked[place].1 = Some(verdict);
    }
    checked
}

/// As many threads as the machine has cores, for as long as there is something to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Threads {
    count: usize,
}

impl Threads {
    pub(crate) fn all() -> Self {
        Threads { count: thread::available_parallelism().map_or(1, usize::from) }
    }
}

impl Cores for Threads {
    fn count(&self) -> usize {
        self.count
    }

    fn run_beside<'a>(&self, own: &mut dyn FnMut(), jobs: Vec<Job<'a>>) {
        let threads = self.count.min(jobs.len());
        let jobs = Mutex::new(VecDeque::from(jobs));
        let work = || {
            loop {
                let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                match job {
                    Some(job) => job(),
                    None => break,
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            own();
            work();
        });
    }
}

#[cfg(test)]
mod tests {
    use ledger::history::{Event, Fold, NewNode, Verdict};
    use ledger::ids::NodeKey;
    use ledger::rows::{Memory, Rows};
    use ledger::testing::Group;

    use super::*;

    /// A node joins; its name is taken; a leader's first entry; nothing that decodes; one more.
    fn entries(group: &mut Group) -> Vec<LogEntry> {
        let mut joins = |name: &str, byte| {
            let proposal = group.proposal(Event::NodeAdded(NewNode {
                name: name.into(),
                node_key: NodeKey([byte; 32]),
                lock_key: None,
                own: false,
                signature: None,
                auth_key: None,
            }));
            SignedProposal::sign(&proposal, &group.member).unwrap().bytes().to_vec()
        };
        let data =
            [joins("a", 1), joins("a", 2), Vec::new(), b"no proposal".to_vec(), joins("b", 3)];
        let kind = EntryKind::Proposal;
        let entry = |(index, data)| LogEntry { position: Position { index, term: 2 }, kind, data };
        (7..).zip(data).map(entry).collect()
    }

    fn view(applied: u64, fold: Fold, rows: &Memory) -> Arc<View> {
        Arc::new(View::new(applied, fold, Box::new(rows.clone())))
    }

    /// Applies the entries, so many at a time, after `ahead` has said what is being written.
    fn applied(
        ahead: impl FnOnce(&mut Foresight, &[LogEntry], &Arc<View>),
        parts: &[usize],
    ) -> (Memory, Vec<(Position, Verdict)>) {
        let mut group = Group::new();
        let entries = entries(&mut group);
        let mut rows = group.rows.clone();
        let mut newest = view(6, group.fold.clone(), &rows);
        let mut foresight = Foresight::start().unwrap();
        ahead(&mut foresight, &entries, &newest);
        let mut all = Vec::new();
        let mut left = entries.iter();
        for part in parts {
            let part: Vec<_> = left.by_ref().take(*part).collect();
            let Applied { fold, changes, verdicts } = foresight.apply(&newest, &part).unwrap();
            let index = part.last().unwrap().position.index;
            foresight.forget(index);
            rows.apply(changes);
            all.extend(verdicts);
            newest = view(index, fold, &rows);
        }
        assert_eq!(newest.fold().next_index(), 3);
        (rows, all)
    }

    #[test]
    fn what_was_foreseen_is_what_is_folded_afterwards() {
        let (rows, verdicts) = applied(|_, _, _| (), &[5]);
        let sealed = |(_, verdict): &&(_, Verdict)| matches!(verdict, Verdict::Sealed(_));
        assert_eq!((verdicts.len(), verdicts.iter().filter(sealed).count()), (4, 2));
        let same = |foreseen: (Memory, Vec<_>)| {
            assert_eq!(foreseen.1, verdicts);
            for table in ledger::rows::tables::ALL {
                let all = |rows: &Memory| -> Vec<_> {
                    rows.scan(*table, b"".as_slice()..b"").unwrap().map(Result::unwrap).collect()
                };
                assert_eq!(all(&foreseen.0), all(&rows), "{}", table.0);
            }
        };
        // Together as they were written, in two parts, and written in two parts.
        let together = |foresight: &mut Foresight, entries: &[LogEntry], newest: &Arc<View>| {
            foresight.ahead(entries, newest).unwrap();
        };
        same(applied(together, &[5]));
        same(applied(together, &[2, 3]));
        let apart = |foresight: &mut Foresight, entries: &[LogEntry], newest: &Arc<View>| {
            foresight.ahead(&entries[..3], newest).unwrap();
            foresight.ahead(&entries[3..], newest).unwrap();
        };
        same(applied(apart, &[3, 2]));
        same(applied(apart, &[5]));
        // Other entries took their places before they were committed.
        same(applied(
            |foresight, entries, newest| {
                let mut others = entries.to_vec();
                for other in &mut others {
                    other.position.term = 1;
                    other.data = Vec::new();
                }
                foresight.ahead(&others, newest).unwrap();
                foresight.ahead(entries, newest).unwrap();
            },
            &[5],
        ));
    }
}
