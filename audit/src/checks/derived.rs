//! Whether a database's derived rows are what the records give.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use data_encoding::HEXLOWER;
use ledger::Fault;
use ledger::lock::signatures::{Cores, Job};
use ledger::rows::{RowIter, Rows, Table, tables};

use super::Finding;
use super::catalog::CACHE_DIFFERS;
use crate::cores::AllCores;

/// Rows of one table that are reported one by one; the rest is counted.
const SHOWN: usize = 5;

/// Findings about every derived table, compared on all cores. A fault is one of reading `ours`, what
/// the records give.
pub(crate) fn derived(
    ours: &(dyn Rows + Sync),
    theirs: &(dyn Rows + Sync),
    findings: &mut Vec<Finding>,
) -> Result<(), Fault> {
    let derived = tables::ALL.iter().filter(|table| **table != tables::RECORDS);
    let mut all: Vec<_> = derived.map(|table| (*table, Ok(Vec::new()))).collect();
    let jobs = all.iter_mut().map(|(table, found)| -> Job<'_> {
        Box::new(move || *found = compare(*table, ours, theirs))
    });
    AllCores.run(jobs.collect());
    for (_, found) in all {
        findings.extend(found?);
    }
    Ok(())
}

/// Findings about these rows alone.
pub(crate) fn touched(
    keys: &BTreeSet<(Table, Vec<u8>)>,
    ours: &dyn Rows,
    theirs: &dyn Rows,
    findings: &mut Vec<Finding>,
) -> Result<(), Fault> {
    let mut found: BTreeMap<Table, usize> = BTreeMap::new();
    for (table, key) in keys {
        let how = match (ours.get(*table, key)?, theirs.get(*table, key)) {
            (_, Err(fault)) => fault.to_string(),
            (our, Ok(their)) if our == their => continue,
            (Some(_), Ok(None)) => "is missing".to_owned(),
            (None, Ok(_)) => "should not be there".to_owned(),
            (Some(_), Ok(Some(_))) => "is another than the records give".to_owned(),
        };
        let found = found.entry(*table).or_default();
        *found += 1;
        if *found <= SHOWN {
            findings.push(about(*table, key, &how));
        }
    }
    for (table, found) in found {
        more(table, found, findings);
    }
    Ok(())
}

fn more(table: Table, found: usize, findings: &mut Vec<Finding>) {
    if found > SHOWN {
        let message = format!("{} more rows of table {} differ", found - SHOWN, table.0);
        findings.push(Finding::new(&CACHE_DIFFERS, message).row(table, &[]));
    }
}

fn compare(table: Table, ours: &dyn Rows, theirs: &dyn Rows) -> Result<Vec<Finding>, Fault> {
    let mut findings = Vec::new();
    let all = || &[][..]..&[][..];
    let mut ours = ours.scan(table, all())?;
    let mut found = 0usize;
    let mut differs = |key: &[u8], how: &str| {
        found += 1;
        if found <= SHOWN {
            findings.push(about(table, key, how));
        }
    };
    let mut theirs = match theirs.scan(table, all()) {
        Ok(rows) => Theirs::Rows(rows),
        Err(fault) => Theirs::Broken(fault),
    };
    let (mut our, mut their) = (ours.next().transpose()?, theirs.next());
    while let Theirs::Rows(_) = theirs {
        let order = match (&our, &their) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((our, _)), Some((their, _))) => our.cmp(their),
        };
        match (order, &our, &their) {
            (Ordering::Less, Some((key, _)), _) => differs(key, "is missing"),
            (Ordering::Greater, _, Some((key, _))) => differs(key, "should not be there"),
            (_, Some((key, our)), Some((_, their))) if our != their => {
                differs(key, "is another than the records give");
            }
            _ => {}
        }
        if order.is_le() {
            our = ours.next().transpose()?;
        }
        if order.is_ge() {
            their = theirs.next();
        }
    }
    more(table, found, &mut findings);
    if let Theirs::Broken(fault) = theirs {
        findings.push(Finding::new(&CACHE_DIFFERS, fault.to_string()).row(table, &[]));
    }
    Ok(findings)
}

fn about(table: Table, key: &[u8], how: &str) -> Finding {
    let message = format!("row {} of table {} {how}", HEXLOWER.encode(key), table.0);
    Finding::new(&CACHE_DIFFERS, message).row(table, key)
}

/// The rows of a database that may not be readable to their end.
enum Theirs<'a> {
    Rows(RowIter<'a>),
    Broken(Fault),
}

impl Theirs<'_> {
    fn next(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        let Theirs::Rows(rows) = self else { return None };
        match rows.next()? {
            Ok(row) => Some(row),
            Err(fault) => {
                *self = Theirs::Broken(fault);
                None
            }
        }
    }
}
