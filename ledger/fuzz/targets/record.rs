//! Records: what decodes is its own encoding, and a history takes it only in its place.
#![no_main]

use ledger::Refusal;
use ledger::cbor::Writer;
use ledger::history::{EventRefusal, Fold, Record, SignedProposal, Verdict};
use ledger::lock::signatures::{OneCore, Unverified, decode_and_verify, verify_one};
use ledger::rows::Draft;
use ledger_fuzz::histories;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: { histories(); }, |bytes: &[u8]| {
    let many = decode_and_verify(&[bytes], |bytes| Record::decode(bytes), &OneCore);
    let record = match Record::decode(bytes) {
        Ok(record) => record,
        Err(refusal) => {
            assert_eq!(many.into_iter().next().map(|one| one.map(drop)), Some(Err(refusal)));
            return;
        }
    };
    assert_eq!(record.bytes(), bytes);
    assert_eq!(record.hash(), Record::hash_of(bytes));
    assert_eq!(record.prev().is_none(), record.index() == 0);
    let mut again = Writer::new();
    again.map(3).uint(1).uint(record.index());
    again.uint(2).nullable_bytes(record.prev().as_ref().map(|hash| hash.0.as_slice()));
    again.uint(3).bytes(record.proposal().bytes());
    assert_eq!(again.into_bytes(), bytes);
    let proposal = record.proposal();
    assert_eq!(SignedProposal::decode(proposal.bytes()).as_ref(), Ok(proposal));

    let verified = verify_one(Unverified::new(record.clone()));
    let one = many.into_iter().next().expect("one verdict");
    assert_eq!(one.map(drop), verified.as_ref().map(drop).map_err(Clone::clone));
    let Ok(verified) = verified else { return };
    for history in histories() {
        let mut fold = history.fold.clone();
        let mut draft = Draft::on(&history.rows);
        let verdict = fold.replay(&mut draft, &verified).expect("sound rows");
        let changes = draft.finish();
        match verdict {
            Verdict::Sealed(sealed) => {
                assert_eq!(sealed, record);
                assert_eq!(record.index(), history.fold.next_index());
                assert_eq!(record.prev(), history.fold.last_hash());
                let mut rows = history.rows.clone();
                rows.apply(changes);
                let opened = Fold::open(&rows).expect("sound rows");
                assert_eq!(opened.fold_hash(), fold.fold_hash());
                assert_eq!(opened.last_hash(), Some(record.hash()));
            }
            Verdict::Refused(why) => {
                assert!(changes.is_empty());
                assert_eq!(fold.fold_hash(), history.fold.fold_hash());
                if record.index() != history.fold.next_index() {
                    let (got, want) = (record.index(), history.fold.next_index());
                    assert_eq!(why, Refusal::from(EventRefusal::RecordIndex { got, want }));
                }
            }
            Verdict::Repeated { .. } => unreachable!("a replay does not repeat"),
        }
    }
});
