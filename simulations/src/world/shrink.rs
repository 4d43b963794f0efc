//! Which part of a scenario is enough to fail.

use std::collections::BTreeSet;
use std::fmt;

use super::Fault;

/// The part of a scenario that is run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The steps, by their place; all if there is none.
    pub steps: Option<BTreeSet<usize>>,
    /// Kinds of faults that do not happen.
    pub calm: BTreeSet<Fault>,
}

impl Kept {
    /// Whether that step is run.
    pub fn has(&self, step: usize) -> bool {
        self.steps.as_ref().is_none_or(|steps| steps.contains(&step))
    }

    /// Parses steps as they are displayed: `1,4-7`.
    pub fn parse_steps(text: &str) -> Option<BTreeSet<usize>> {
        let mut steps = BTreeSet::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
            if last - first.min(last) > 1_000_000 {
                return None;
            }
            steps.extend(first..=last);
        }
        Some(steps)
    }

    /// Parses kinds of faults: `loss,delay`.
    pub fn parse_calm(text: &str) -> Option<BTreeSet<Fault>> {
        text.split(',').filter(|name| !name.is_empty()).map(Fault::named).collect()
    }
}

/// As flags of the command.
impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(steps) = &self.steps {
            f.write_str(" --steps ")?;
            let mut rest = steps.iter().copied().peekable();
            let mut comma = "";
            while let Some(first) = rest.next() {
                let mut last = first;
                while let Some(next) = rest.next_if(|next| *next == last + 1) {
                    last = next;
                }
                write!(f, "{comma}{first}")?;
                if last > first {
                    write!(f, "-{last}")?;
                }
                comma = ",";
            }
        }
        if !self.calm.is_empty() {
            let names: Vec<&str> = self.calm.iter().map(|fault| fault.name()).collect();
            write!(f, " --calm {}", names.join(","))?;
        }
        Ok(())
    }
}

/// Leaves out as much of a failing scenario of `steps` steps as it can while it still `fails`,
/// trying at most `tries` times: first whole kinds of faults, then runs of steps, the longest
/// first (delta debugging: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing
/// Input", 2002).
pub fn shrink(
    steps: usize,
    kinds: &[Fault],
    mut tries: usize,
    mut fails: impl FnMut(&Kept) -> bool,
) -> Kept {
    let mut kept = Kept { steps: Some((0..steps).collect()), calm: BTreeSet::new() };
    let mut attempt = |kept: &mut Kept, less: Kept| {
        let better = tries > 0 && fails(&less);
        tries = tries.saturating_sub(1);
        if better {
            *kept = less;
        }
        better
    };
    for kind in kinds {
        let mut less = kept.clone();
        less.calm.insert(*kind);
        attempt(&mut kept, less);
    }
    let mut run = steps.div_ceil(2);
    while run > 0 {
        let mut from = 0;
        let mut smaller = false;
        loop {
            let all: Vec<usize> = kept.steps.iter().flatten().copied().collect();
            if from >= all.len() {
                break;
            }
            let until = (from + run).min(all.len());
            let left = all[..from].iter().chain(&all[until..]).copied().collect();
            let less = Kept { steps: Some(left), calm: kept.calm.clone() };
            if attempt(&mut kept, less) {
                smaller = true;
            } else {
                from += run;
            }
        }
        run = match run {
            1 if smaller => 1,
            1 => 0,
            _ => run.div_ceil(2),
        };
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_failure_needs_is_left() {
        let needed = [3, 17, 18, 40];
        let kept = shrink(64, &Fault::ALL, 10_000, |kept| {
            needed.iter().all(|step| kept.has(*step)) && !kept.calm.contains(&Fault::Crash)
        });
        assert_eq!(kept.steps, Some(needed.into_iter().collect()));
        assert_eq!(kept.calm.len(), Fault::ALL.len() - 1);
        let text = kept.to_string();
        assert!(text.starts_with(" --steps 3,17-18,40 --calm loss,"), "{text}");
        assert_eq!(Kept::parse_steps("3,17-18,40"), kept.steps);
        let names = text.split(' ').next_back().unwrap();
        assert_eq!(Kept::parse_calm(names), Some(kept.calm));
        assert_eq!(Kept::parse_steps("3,x"), None);
    }

    #[test]
    fn it_stops_when_its_tries_are_spent() {
        let mut runs = 0;
        let kept = shrink(1000, &[], 10, |_| {
            runs += 1;
            false
        });
        assert_eq!((runs, kept.steps.map(|steps| steps.len())), (10, Some(1000)));
    }
}
