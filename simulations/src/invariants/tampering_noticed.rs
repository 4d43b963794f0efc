//! Every way to change one record of a history, and that none of them goes unnoticed.

use ledger::cbor::Writer;
use ledger::history::{Fold, Proposal, Record, RecordHash, SignedProposal};
use ledger::lock::signatures::{PrivateKey, Unverified, Verified, verify_all};
use ledger::rows::Memory;

use super::records_verify::replay_one;
use super::{Broken, broken, faulty};
use crate::actors::images::Remembering;
use crate::world::Random;

const NAME: &str = "tampering_is_noticed";
/// Records of a history that are tampered with, besides the first and the last but one.
const PLACES: usize = 4;

/// Editing, swapping, repeating or removing any record before the last makes the audit fail, also
/// where whoever does it has the member's key.
///
/// Reason: a history that can be rewritten proves nothing. Tries every kind of edit at places drawn
/// by chance, and returns how many changes it has tried. Source: issue "any single edit, swap or
/// removal before the last record fails it".
pub fn tampering_is_noticed(
    records: &[Verified<Record>],
    member: &PrivateKey,
    random: &mut Random,
) -> Result<u64, Broken> {
    let Some(last) = records.len().checked_sub(1) else { return Ok(0) };
    let mut places: Vec<usize> = (0..PLACES).map(|_| random.place(last.max(1))).collect();
    places.extend([0, last.saturating_sub(1)]);
    let mut history = History::nothing()?;
    let mut tried = 0;
    // Up to each place the history is replayed once, whatever is tried there.
    for (place, record) in records[..last].iter().enumerate() {
        if places.contains(&place) {
            let next = &records[place + 1];
            let other = place + 1 + random.place(last - place);
            let mut ways: Vec<(String, Vec<&[u8]>)> = vec![
                ("removed".into(), vec![next.get().bytes()]),
                (format!("swapped with {other}"), vec![records[other].get().bytes()]),
                ("repeated".into(), vec![record.get().bytes(), record.get().bytes()]),
            ];
            let edits = edits(record.get(), records[other].get(), member, random);
            for (what, bytes) in &edits {
                ways.push((format!("edited, {what}"), vec![bytes, next.get().bytes()]));
            }
            for (what, instead) in ways {
                tried += 1;
                if history.goes_on_with(&instead) {
                    return Err(broken(NAME, format!("record {place} {what}: unnoticed")));
                }
            }
        }
        history.replay(record).map_err(|why| broken(NAME, why))?;
    }
    Ok(tried)
}

/// What an audit has come to.
#[derive(Clone)]
struct History {
    rows: Memory,
    fold: Fold,
}

impl History {
    fn nothing() -> Result<Self, Broken> {
        let rows = Memory::new();
        let fold = Fold::open(&rows).map_err(faulty(NAME))?;
        Ok(History { rows, fold })
    }

    fn replay(&mut self, record: &Verified<Record>) -> Result<(), String> {
        replay_one(&mut self.rows, &mut self.fold, record)
    }

    /// Whether an audit that reads these bytes next, as records, finds nothing.
    fn goes_on_with(&self, all: &[&[u8]]) -> bool {
        let decoded = all.iter().map(|bytes| Record::decode(bytes).map(Unverified::new));
        let Ok(decoded) = decoded.collect::<Result<Vec<_>, _>>() else { return false };
        let mut history = self.clone();
        verify_all(decoded, &Remembering)
            .into_iter()
            .all(|record| record.is_ok_and(|record| history.replay(&record).is_ok()))
    }
}

/// A record's bytes, each time changed in one way, with what was changed.
fn edits(
    record: &Record,
    other: &Record,
    member: &PrivateKey,
    random: &mut Random,
) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = record.bytes();
    let content = record.proposal().proposal().to_cbor();
    let content_at = bytes.windows(content.len()).position(|part| part == content).unwrap_or(0);
    let envelope_at = bytes.len() - record.proposal().bytes().len();
    let mut all = Vec::new();
    // A bit of: index and link; key and signature around the content; the content.
    let content_end = content_at + content.len();
    let parts = [
        ("a bit of its place", 0..envelope_at),
        ("a bit before its content", envelope_at..content_at),
        ("a bit of its content", content_at..content_end),
        ("a bit after its content", content_end..bytes.len()),
    ];
    for (what, part) in parts {
        if !part.is_empty() {
            let mut edited = bytes.to_vec();
            edited[part.start + random.place(part.len())] ^= 1 << random.below(8);
            all.push((what, edited));
        }
    }
    let at = random.place(bytes.len());
    let byte = random.below(256) as u8;
    all.push(("a byte more", [&bytes[..at], &[byte], &bytes[at..]].concat()));
    all.push(("a byte less", [&bytes[..at], &bytes[at + 1..]].concat()));
    all.push(("cut off", bytes[..at].to_vec()));
    // In its own encoding, so that nothing but the place is wrong.
    let (index, prev, proposal) = (record.index(), record.prev(), record.proposal());
    let wrong = RecordHash(random.bytes());
    all.push(("another index", sealed(index ^ (1 << random.below(8)), prev, proposal)));
    all.push(("another link", sealed(index, prev.map(|_| wrong), proposal)));
    all.push(("the content of another", sealed(index, prev, other.proposal())));
    // By whoever has the member's key, so that every signature holds.
    for (what, edit) in random_fields(random) {
        let mut proposal = proposal.proposal().clone();
        edit(&mut proposal, other.proposal().proposal());
        if let Ok(signed) = SignedProposal::sign(&proposal, member) {
            all.push((what, sealed(index, prev, &signed)));
        }
    }
    all.retain(|(_, edited)| edited != bytes);
    all
}

/// A change of a field, to what the same or another record has in its place.
type FieldEdit = (&'static str, fn(&mut Proposal, &Proposal));

/// A few of the fields that a member signs.
fn random_fields(random: &mut Random) -> Vec<FieldEdit> {
    let mut all: Vec<FieldEdit> = vec![
        ("another cluster", |edited, _| edited.cluster.0[0] ^= 1),
        ("another incarnation", |edited, _| edited.incarnation += 1),
        ("another last index", |edited, _| edited.last_index += 1),
        ("another request ID", |edited, other| edited.request = other.request.clone()),
        ("another digest", |edited, _| edited.digest[31] ^= 1),
        ("another part", |edited, _| edited.part += 1),
        ("another actor", |edited, _| edited.actor.name.push('n')),
        ("another time", |edited, _| edited.time_ms += 1),
        ("another event", |edited, other| edited.event = other.event.clone()),
    ];
    random.shuffle(&mut all);
    all.truncate(4);
    all
}

/// A record of that content in that place.
fn sealed(index: u64, prev: Option<RecordHash>, proposal: &SignedProposal) -> Vec<u8> {
    let mut out = Writer::new();
    out.map(3);
    out.uint(1).uint(index);
    out.uint(2).nullable_bytes(prev.as_ref().map(|hash| &hash.0[..]));
    out.uint(3).bytes(proposal.bytes());
    out.into_bytes()
}
