use ledger::history::{Fold, Record, Verdict, records};
use ledger::lock::signatures::{Unverified, Verified, verify_all};
use ledger::rows::{Draft, Memory, Rows};

use super::{Broken, broken, faulty};
use crate::actors::images::Remembering;

const NAME: &str = "records_verify";

/// A history that has been checked: its records, and the rows and fold that come of them.
#[derive(Debug, Default)]
pub struct Replayed {
    /// The records, whose signatures and secrets hold.
    pub records: Vec<Verified<Record>>,
    /// All tables.
    pub rows: Memory,
    /// The fold at their end; none before there is a record.
    pub fold: Option<Fold>,
}

impl Replayed {
    /// Checks and replays the records that are new; whether there are any.
    pub fn follow(&mut self, ledger: &dyn Rows) -> Result<bool, Broken> {
        let from = self.records.len();
        let new = records::from(ledger, from as u64);
        let new = new.and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(faulty(NAME))?;
        if new.is_empty() {
            return Ok(false);
        }
        let mut unverified = Vec::new();
        for record in new {
            let record = Record::decode(record.bytes());
            unverified.push(Unverified::new(record.map_err(|why| broken(NAME, why.to_string()))?));
        }
        let mut fold = match self.fold.take() {
            Some(fold) => fold,
            None => Fold::open(&self.rows).map_err(faulty(NAME))?,
        };
        for (place, record) in verify_all(unverified, &Remembering).into_iter().enumerate() {
            let bad = |why: String| broken(NAME, format!("record {}: {why}", from + place));
            let record = record.map_err(|why| bad(why.to_string()))?;
            replay_one(&mut self.rows, &mut fold, &record).map_err(bad)?;
            self.records.push(record);
        }
        self.fold = Some(fold);
        Ok(true)
    }
}

/// The records as the ledger has them verify and replay, one after the other, from nothing.
///
/// Reason: the history must convince whoever has only the records. Source: design "fold.replay
/// must reproduce the record"; issue "record chain and AUM chain verify at every step".
pub fn records_verify(ledger: &dyn Rows) -> Result<Replayed, Broken> {
    let mut replayed = Replayed::default();
    replayed.follow(ledger)?;
    Ok(replayed)
}

/// Replays one record more; or says why it does not follow.
pub(super) fn replay_one(
    rows: &mut Memory,
    fold: &mut Fold,
    record: &Verified<Record>,
) -> Result<(), String> {
    let mut draft = Draft::on(rows);
    match fold.replay(&mut draft, record).map_err(|fault| fault.to_string())? {
        Verdict::Sealed(_) => {}
        other => return Err(format!("{other:?}")),
    }
    let changes = draft.finish();
    rows.apply(changes);
    Ok(())
}
