use ledger::history::{Fold, Record, Verdict, records};
use ledger::lock::signatures::{Unverified, Verified, verify_all};
use ledger::rows::{Draft, Memory, Rows};

use super::{Broken, broken, faulty};
use crate::actors::images::Remembering;

/// A history that has been checked: its records, and the rows and fold that come of them.
#[derive(Debug)]
pub struct Replayed {
    /// The records, whose signatures and secrets hold.
    pub records: Vec<Verified<Record>>,
    /// All tables.
    pub rows: Memory,
    /// The fold at their end.
    pub fold: Fold,
}

/// The records as the ledger has them verify and replay, one after the other, from nothing.
///
/// Reason: the history must convince whoever has only the records. Source: design "fold.replay
/// must reproduce the record"; issue "record chain and AUM chain verify at every step".
pub fn records_verify(ledger: &dyn Rows) -> Result<Replayed, Broken> {
    const NAME: &str = "records_verify";
    let all = records::from(ledger, 0).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut unverified = Vec::new();
    for record in all.map_err(faulty(NAME))? {
        let record = Record::decode(record.bytes()).map_err(|why| broken(NAME, why.to_string()))?;
        unverified.push(Unverified::new(record));
    }
    let mut records = Vec::new();
    for (index, record) in verify_all(unverified, &Remembering).into_iter().enumerate() {
        records.push(record.map_err(|why| broken(NAME, format!("record {index}: {why}")))?);
    }
    let (rows, fold) = replay(&records).map_err(|what| broken(NAME, what))?;
    Ok(Replayed { records, rows, fold })
}

/// Replays records from nothing; or says which does not follow.
pub(super) fn replay(records: &[Verified<Record>]) -> Result<(Memory, Fold), String> {
    let mut rows = Memory::new();
    let mut fold = Fold::open(&rows).map_err(|fault| fault.to_string())?;
    for (index, record) in records.iter().enumerate() {
        let mut draft = Draft::on(&rows);
        match fold.replay(&mut draft, record).map_err(|fault| fault.to_string())? {
            Verdict::Sealed(_) => {}
            other => return Err(format!("record {index}: {other:?}")),
        }
        let changes = draft.finish();
        rows.apply(changes);
    }
    Ok((rows, fold))
}
