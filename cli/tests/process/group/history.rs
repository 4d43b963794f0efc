//! Whether what clients saw can have been: what was acknowledged is on record exactly once and in
//! the order of real time, what has no answer once or never, what was refused never; and every
//! linearizable read saw a state that the group was in while it was asked.
//!
//! The records are the order; so it is enough to find, for each operation, the earliest place in it
//! that real time leaves: behind everything that had ended before it began.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Instant;

use serde_json::Value;

/// What somebody asked for.
#[derive(Debug)]
pub(super) enum What {
    /// A change, under this request ID; perhaps of a register to a value that nobody else writes.
    Change { request: String, register: Option<(u64, String)> },
    /// The value of a register.
    Look { register: u64 },
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Came {
    /// It is on record.
    Applied { index: u64, hash: String },
    /// Nobody can say.
    Unknown,
    /// It was refused, or there was nobody to ask.
    Refused(String),
    /// The register had this value; perhaps some time ago.
    Saw { value: String, stale: bool },
}

#[derive(Debug)]
pub(super) struct Asked {
    pub(super) began: Instant,
    pub(super) ended: Instant,
    pub(super) what: What,
    pub(super) came: Came,
}

/// How much was checked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) acknowledged: usize,
    pub(super) unknown: usize,
    pub(super) came_true: usize,
    pub(super) refused: usize,
    pub(super) reads: usize,
    pub(super) stale: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { acknowledged, unknown, came_true, refused, reads, stale } = self;
        write!(
            f,
            "{acknowledged} acknowledged, {unknown} without an answer ({came_true} on record), \
             {refused} refused, {reads} reads, {stale} stale ones"
        )
    }
}

/// Where the registers' values stand in the records.
#[derive(Default)]
struct Values<'a> {
    /// Register → the records that changed it, ascending.
    changes: BTreeMap<u64, Vec<u64>>,
    /// Value → its record, and when it was asked for.
    of: BTreeMap<&'a str, (u64, Instant)>,
}

pub(super) fn check(asked: &[Asked], records: &[Value]) -> Result<Counts, String> {
    let mut places: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    for (at, record) in records.iter().enumerate() {
        let (request, hash) = (record["request_id"].as_str(), record["hash"].as_str());
        let (Some(request), Some(hash)) = (request, hash) else {
            return Err(format!("not a record: {record}"));
        };
        if record["index"] != at as u64 {
            return Err(format!("record {at} is missing"));
        }
        if places.insert(request, (at as u64, hash)).is_some() {
            return Err(format!("request {request} is on record twice"));
        }
    }
    let mut counts = Counts::default();
    let mut values = Values::default();
    for one in asked {
        let What::Change { request, register } = &one.what else { continue };
        let place = places.get(request.as_str()).copied();
        match (&one.came, place) {
            (Came::Applied { index, hash }, Some(place)) if place == (*index, hash) => {
                counts.acknowledged += 1;
            }
            (Came::Applied { .. }, _) => {
                return Err(format!("acknowledged, but the records have {place:?}: {one:?}"));
            }
            (Came::Unknown, place) => {
                counts.unknown += 1;
                counts.came_true += usize::from(place.is_some());
            }
            (Came::Refused(_), None) => counts.refused += 1,
            (Came::Refused(why), Some(_)) => {
                return Err(format!("refused, but on record: {one:?}, because of {why}"));
            }
            (Came::Saw { .. }, _) => return Err(format!("no answer to a change: {one:?}")),
        }
        if let (Some((register, value)), Some((index, _))) = (register, place) {
            values.changes.entry(*register).or_default().push(index);
            if values.of.insert(value, (index, one.began)).is_some() {
                return Err(format!("value {value} was written twice: a mistake of the test"));
            }
        }
    }
    values.changes.values_mut().for_each(|changes| changes.sort_unstable());
    in_real_time(asked, &places, &values, &mut counts)?;
    Ok(counts)
}

/// Goes through the operations in the order in which they began, behind those that ended before.
fn in_real_time(
    asked: &[Asked],
    places: &BTreeMap<&str, (u64, &str)>,
    values: &Values<'_>,
    counts: &mut Counts,
) -> Result<(), String> {
    let mut by_start: Vec<&Asked> = asked.iter().collect();
    by_start.sort_by_key(|one| one.began);
    // Those that have a place, by when they ended.
    let mut ending: BTreeSet<(Instant, u64)> = BTreeSet::new();
    let mut floor = 0;
    for one in by_start {
        while let Some((ended, place)) = ending.first().copied().filter(|(at, _)| *at < one.began) {
            floor = floor.max(place);
            ending.remove(&(ended, place));
        }
        let place = match (&one.what, &one.came) {
            (What::Change { request, .. }, came) => {
                let Some((index, _)) = places.get(request.as_str()) else { continue };
                if *index < floor {
                    return Err(format!("record {index}, but {floor} was known before: {one:?}"));
                }
                if matches!(came, Came::Unknown) {
                    continue;
                }
                *index
            }
            (What::Look { register }, Came::Saw { value, stale }) => {
                let Some((written, asked_for)) = values.of.get(value.as_str()) else {
                    return Err(format!("a value that nobody wrote: {one:?}"));
                };
                if *asked_for > one.ended {
                    return Err(format!("a value from the future: {one:?}"));
                }
                if *stale {
                    counts.stale += 1;
                    continue;
                }
                counts.reads += 1;
                let place = floor.max(*written);
                let changes = values.changes.get(register).map_or(&[][..], Vec::as_slice);
                let next = changes.iter().find(|change| *change > written);
                if let Some(next) = next.filter(|next| **next <= place) {
                    return Err(format!(
                        "a stale read: record {next} had changed it, and {floor} was known: {one:?}"
                    ));
                }
                place
            }
            (What::Look { .. }, _) => continue,
        };
        ending.insert((one.ended, place));
    }
    Ok(())
}

/// A checker that finds nothing is worth nothing.
#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn records(requests: &[&str]) -> Vec<Value> {
        let lines = requests.iter().enumerate();
        lines
            .map(|(at, id)| json!({ "index": at, "hash": format!("h{at}"), "request_id": id }))
            .collect()
    }

    fn asked(zero: Instant, began: u64, ended: u64, what: What, came: Came) -> Asked {
        let at = |ms| zero + Duration::from_millis(ms);
        Asked { began: at(began), ended: at(ended), what, came }
    }

    fn write(request: &str, value: &str) -> What {
        What::Change { request: request.into(), register: Some((0, value.into())) }
    }

    fn applied(index: u64) -> Came {
        Came::Applied { index, hash: format!("h{index}") }
    }

    fn saw(value: &str) -> Came {
        Came::Saw { value: value.into(), stale: false }
    }

    const LOOK: What = What::Look { register: 0 };

    #[test]
    fn what_can_have_been_is_taken() {
        let zero = Instant::now();
        let story = [
            asked(zero, 0, 10, write("a", "A"), applied(0)),
            asked(zero, 20, 60, write("b", "B"), applied(1)),
            // While B is written either value may be seen; no older one behind a newer one.
            asked(zero, 25, 30, LOOK, saw("A")),
            asked(zero, 31, 50, LOOK, saw("B")),
            asked(zero, 70, 80, write("c", "C"), Came::Unknown),
            asked(zero, 90, 95, LOOK, saw("B")),
            asked(zero, 96, 99, LOOK, saw("C")),
            asked(zero, 96, 99, LOOK, Came::Saw { value: "A".into(), stale: true }),
            asked(zero, 100, 101, write("d", "D"), Came::Refused("no".into())),
            asked(zero, 102, 103, write("e", "E"), Came::Unknown),
        ];
        let counts = check(&story, &records(&["a", "b", "c"])).unwrap();
        let want =
            Counts { acknowledged: 2, unknown: 2, came_true: 1, refused: 1, reads: 4, stale: 1 };
        assert_eq!(counts, want);
    }

    #[test]
    fn what_cannot_have_been_is_found() {
        let zero = Instant::now();
        let a = || asked(zero, 0, 10, write("a", "A"), applied(0));
        let b = || asked(zero, 20, 30, write("b", "B"), applied(1));
        let found = |story: &[Asked], ids: &[&str], why: &str| {
            let wrong = check(story, &records(ids)).unwrap_err();
            assert!(wrong.contains(why), "{wrong}");
        };
        found(&[a()], &[], "acknowledged, but");
        found(&[a()], &["x", "a"], "acknowledged, but");
        found(&[a()], &["a", "b", "a"], "twice");
        found(&[a(), asked(zero, 20, 30, write("b", "B"), applied(0))], &["b", "a"], "but");
        let late = asked(zero, 20, 30, write("b", "B"), applied(0));
        let early = asked(zero, 0, 10, write("a", "A"), applied(1));
        found(&[late, early], &["b", "a"], "was known before");
        let refused = asked(zero, 0, 10, write("a", "A"), Came::Refused(String::new()));
        found(&[refused], &["a"], "refused, but on record");
        let stale = asked(zero, 40, 50, LOOK, saw("A"));
        found(&[a(), b(), stale], &["a", "b"], "a stale read");
        // A read that saw B makes A stale for those after it, although B has no answer.
        let open = asked(zero, 20, 100, write("b", "B"), Came::Unknown);
        let new = asked(zero, 30, 40, LOOK, saw("B"));
        let old = asked(zero, 50, 60, LOOK, saw("A"));
        found(&[a(), open, new, old], &["a", "b"], "a stale read");
        let early = asked(zero, 1, 2, LOOK, saw("B"));
        found(&[a(), b(), early], &["a", "b"], "from the future");
        let odd = asked(zero, 1, 2, LOOK, saw("X"));
        found(&[a(), odd], &["a"], "nobody wrote");
    }
}
