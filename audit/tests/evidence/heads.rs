//! What vouches for the end of a bundle, and what does not.

use audit::trust_anchor::Anchors;
use audit::{Options, verify_bundle};
use ledger::formats::tlog::{Checkpoint, KeyType, Note, VerifierKey};
use ledger::lock::signatures::Signer;
use ledger::testing::key;

use super::{audit, bundle, checkpoint, evidence, files, history, ids, log_key, opened, signed};

/// The bundle of a history with this checkpoint, whatever it says.
fn with_checkpoint(note: &str) -> Vec<u8> {
    let group = history();
    let plain = super::whole_bundle(&group);
    // The archive is written by hand where the checkpoint has another length.
    let mut all = files(&plain);
    for (name, content) in &mut all {
        if name == "checkpoint" {
            *content = note.as_bytes().to_vec();
        }
    }
    super::tampering::archive(&all)
}

#[test]
fn a_checkpoint_counts_if_a_log_key_signed_this_history() {
    let group = history();
    let evidence = evidence(&group);
    let size = evidence.size();
    let good = with_checkpoint(&checkpoint(&evidence, size, &log_key()));
    assert_eq!(audit(&good).report.exit_code, 0);
    let earlier = with_checkpoint(&checkpoint(&evidence, size - 3, &log_key()));
    let audited = audit(&earlier);
    assert_eq!(audited.report.exit_code, 0);
    assert!(!audited.report.vouched.iter().any(|item| item.by == "checkpoint"));

    let stranger = with_checkpoint(&checkpoint(&evidence, size, &key(0x77)));
    let audited = audit(&stranger);
    assert_eq!(audited.report.exit_code, 1);
    assert!(ids(&audited).contains("head.signature"));

    let (origin, root) = (evidence.origin(), [7; 32]);
    let other = Checkpoint { origin: origin.clone(), size, root };
    let audited = audit(&with_checkpoint(&signed(&other, &log_key())));
    assert_eq!(audited.report.exit_code, 1);
    assert!(ids(&audited).contains("head.root"));

    let foreign = Checkpoint { origin: "lockstep/other".into(), size, root };
    assert_eq!(audit(&with_checkpoint(&signed(&foreign, &log_key()))).report.exit_code, 1);

    let later = Checkpoint { origin, size: size + 1, root };
    let audited = audit(&with_checkpoint(&signed(&later, &log_key())));
    assert!(ids(&audited).contains("head.stale"));
    assert!(ids(&audit(&bundle(&evidence, size))).contains("head.unsigned"));
}

#[test]
fn verifier_keys_are_anchors() {
    let group = history();
    let evidence = evidence(&group);
    let origin = evidence.origin();
    let bytes = super::whole_bundle(&group);
    let code = |vkeys: Vec<VerifierKey>, bytes: &[u8]| {
        let anchors = Anchors { vkeys, ..Anchors::default() };
        let options = Options { anchors, ..Options::default() };
        let report = verify_bundle("bundle", &opened(bytes).unwrap(), &options).report;
        (report.exit_code, report.to_json()["anchor"]["kind"].as_str().map(str::to_owned))
    };
    let named = |name: &str, seed: u8| {
        VerifierKey::new(name, KeyType::Ed25519, key(seed).public().0).unwrap()
    };
    let kind = |kind: &str| Some(kind.to_owned());
    assert_eq!(evidence.vkeys(1), [named(&origin, 0xe2)]);
    assert_eq!(code(vec![named(&origin, 0xe2)], &bytes), (0, kind("checkpoint")));
    let unsigned = bundle(&evidence, evidence.size());
    assert_eq!(code(vec![named(&origin, 0xe2)], &unsigned), (0, kind("vkey")));
    assert_eq!(code(vec![named(&origin, 0x77)], &bytes).0, 5);
    assert_eq!(code(vec![named("lockstep/other", 0xe2)], &bytes).0, 5);

    // A witness is known by its signature and by nothing else.
    let witness =
        VerifierKey::new("w.example", KeyType::Cosignature, key(0x55).public().0).unwrap();
    assert_eq!(code(vec![witness.clone()], &bytes).0, 3);
    let size = evidence.size();
    let head = Checkpoint { origin, size, root: evidence.root_at(size).unwrap() };
    let signatures = vec![
        head.sign(&log_key()).unwrap(),
        head.cosign("w.example", 1_700_000_000, &key(0x55)).unwrap(),
    ];
    let note = Note::new(head.to_string(), signatures).to_string();
    assert_eq!(code(vec![witness], &with_checkpoint(&note)), (0, kind("witness")));
}

#[test]
fn a_remembered_end_must_be_a_beginning_later() {
    let group = history();
    let evidence = evidence(&group);
    let at = |size: u64| {
        let bytes = bundle(&evidence, size);
        let report = audit(&bytes).report;
        (bytes, report.end().unwrap())
    };
    let (early, early_end) = at(4);
    let (late, late_end) = at(evidence.size());
    let code = |end: &Checkpoint, bytes: &[u8]| {
        let anchors = Anchors { remembered: Some(end.clone()), ..Anchors::default() };
        let options = Options { anchors, ..Options::default() };
        let audited = verify_bundle("bundle", &opened(bytes).unwrap(), &options);
        (audited.report.exit_code, ids(&audited))
    };
    assert_eq!(code(&early_end, &late).0, 0);
    assert_eq!(code(&early_end, &early).0, 0);
    let (exit, found) = code(&late_end, &early);
    assert!(exit == 3 && found.contains("head.stale"), "{exit} {found:?}");
    let other = Checkpoint { root: [1; 32], ..early_end.clone() };
    let (exit, found) = code(&other, &late);
    assert!(exit == 5 && found.contains("head.root"), "{exit} {found:?}");
    let other = Checkpoint { origin: "lockstep/other".into(), ..early_end.clone() };
    assert_eq!(code(&other, &late).0, 5);

    // An origin may be any text, but not one that changes how other text looks.
    let hidden = Checkpoint { origin: "lockstep/\u{202e}rehto".into(), ..early_end };
    let anchors = Anchors { remembered: Some(hidden), ..Anchors::default() };
    let options = Options { anchors, ..Options::default() };
    let text = verify_bundle("bundle", &opened(&late).unwrap(), &options).report.to_text();
    assert!(text.contains("lockstep/\\u{202e}rehto") && !text.contains('\u{202e}'), "{text}");
}
