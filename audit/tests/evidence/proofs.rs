//! Proofs hold for what they prove, with the keys of the log alone.

use audit::evidence::{NoEvidence, NotShown, check_proof};
use ledger::formats::tlog::VerifierKey;

use super::{checkpoint, evidence, history, key, log_key};

#[test]
fn each_record_can_be_proved_and_no_altered_proof_holds() {
    let group = history();
    let mut evidence = evidence(&group);
    let size = evidence.size();
    assert!(matches!(evidence.inclusion(0), Err(NoEvidence::NoCheckpoint)));
    let note = checkpoint(&evidence, size, &log_key());
    evidence.use_checkpoint(note.as_bytes()).unwrap();
    let keys = evidence.vkeys(size);
    for record in group.records() {
        let proof = evidence.inclusion(record.index()).unwrap().to_string();
        let shown = check_proof(proof.as_bytes(), &keys, None, None).unwrap();
        assert_eq!(shown.record, Some((record.index(), record.hash())));
        assert_eq!((shown.size, shown.signers.as_slice()), (size, keys.as_slice()));
        // Without a key that is known it shows nothing; with the history it does.
        let alone = check_proof(proof.as_bytes(), &[], None, None);
        assert!(matches!(alone, Err(NotShown::Undecided(_))));
        assert!(check_proof(proof.as_bytes(), &[], None, Some(&evidence)).is_ok());
    }
    let proof = evidence.inclusion(3).unwrap().to_string().into_bytes();
    for at in (0..proof.len()).step_by(7) {
        let mut altered = proof.clone();
        altered[at] ^= 1;
        assert!(check_proof(&altered, &keys, None, None).is_err(), "byte {at}");
    }
    assert!(matches!(evidence.inclusion(size), Err(NoEvidence::Beyond { .. })));
    let other: Vec<VerifierKey> =
        vec![VerifierKey::new("lockstep/other", keys[0].kind(), keys[0].key()).unwrap()];
    let elsewhere = check_proof(&proof, &other, None, None);
    assert!(matches!(elsewhere, Err(NotShown::OtherLog(_))));
}

#[test]
fn a_log_is_shown_to_have_only_grown() {
    let group = history();
    let mut evidence = evidence(&group);
    let size = evidence.size();
    let note = checkpoint(&evidence, size, &log_key());
    evidence.use_checkpoint(note.as_bytes()).unwrap();
    let keys = evidence.vkeys(size);
    for old in 1..=size {
        let proof = evidence.consistency(old).unwrap().to_string();
        let root = evidence.root_at(old).unwrap();
        let shown = check_proof(proof.as_bytes(), &keys, Some((old, root)), None).unwrap();
        assert_eq!(shown.old, Some(old));
        let wrong = check_proof(proof.as_bytes(), &keys, Some((old, [1; 32])), None);
        assert!(matches!(wrong, Err(NotShown::Wrong(_))), "{old}");
        let unknown = check_proof(proof.as_bytes(), &keys, None, None);
        assert!(matches!(unknown, Err(NotShown::Undecided(_))));
        assert!(check_proof(proof.as_bytes(), &keys, None, Some(&evidence)).is_ok());
    }
    assert!(matches!(evidence.consistency(size + 1), Err(NoEvidence::Beyond { .. })));
}

#[test]
fn a_checkpoint_from_elsewhere_has_to_be_of_this_history() {
    let group = history();
    let mut evidence = evidence(&group);
    let note = checkpoint(&evidence, 5, &log_key());
    evidence.use_checkpoint(note.as_bytes()).unwrap();
    assert!(evidence.inclusion(4).is_ok());
    assert!(matches!(evidence.inclusion(5), Err(NoEvidence::Beyond { .. })));
    let stranger = checkpoint(&evidence, 5, &key(0x77));
    assert!(evidence.use_checkpoint(stranger.as_bytes()).is_err());
    let other = note.replace("lockstep/", "lockstep/A");
    assert!(evidence.use_checkpoint(other.as_bytes()).is_err());
    assert!(evidence.use_checkpoint(b"").is_err());
}
