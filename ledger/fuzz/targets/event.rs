//! Proposals and the events in them: what decodes is its own encoding, and every history judges it
//! as a whole, leaves no trace of what it refuses, and replays what it has recorded.
//!
//! Input: a byte that says where the event happens and whether it is made genuine first, then the
//! proposal.
#![no_main]

use std::sync::LazyLock;

use ledger::history::members::{self, Member, Standing};
use ledger::history::{
    Begun, Event, Fold, KNOWN_RULES, MemberKey, NodeSignature, Proposal, Record, SignedProposal,
    Verdict, cosigning, invitations, records, roster,
};
use ledger::ids::AumHash;
use ledger::lock::node_keys::sign_direct;
use ledger::lock::revocation::cosign;
use ledger::lock::signatures::{PrivateKey, Signer, Unverified, verify_one};
use ledger::lock::{Aum, Sealed};
use ledger::rows::{Draft, Rows, tables};
use ledger::testing::{Group, invitation_key, joined, key, member_key};
use ledger_fuzz::{BEGINS, Choices, History, OPEN_INVITATION, histories, lock_key, public};
use libfuzzer_sys::fuzz_target;

fn member() -> &'static PrivateKey {
    static KEY: LazyLock<PrivateKey> = LazyLock::new(|| key(0xe1));
    &KEY
}

fuzz_target!(init: { histories(); }, |input: &[u8]| {
    let mut choices = Choices::new(input);
    let how = choices.byte();
    let bytes = choices.rest();
    if let Ok(signed) = SignedProposal::decode(bytes) {
        assert_eq!(signed.bytes(), bytes);
        let inner = signed.proposal().to_cbor();
        assert_eq!(Proposal::decode(&inner).as_ref(), Ok(signed.proposal()));
    }
    let Ok(proposal) = Proposal::decode(bytes) else { return };
    assert_eq!(proposal.to_cbor(), bytes);
    let signed = SignedProposal::sign(&proposal, member()).expect("what decodes is signed");
    assert_eq!(signed.proposal(), &proposal);
    assert_eq!(SignedProposal::decode(signed.bytes()), Ok(signed));

    let all = histories();
    let history = &all[usize::from(how >> 1) % all.len()];
    let mut group = history.group();
    // Of a member, in its place, and under an ID that nobody has used: the event decides.
    let mut proposal = Proposal {
        event: proposal.event,
        time_ms: proposal.time_ms,
        ..group.proposal(Event::AdoptionEnded)
    };
    proposal.request = "fuzzed".parse().expect("a request ID");
    if how & 1 == 1 {
        if let Event::IncarnationBegun(begun) = &proposal.event {
            return begins(history, group, begun);
        }
        make_genuine(&mut proposal.event, &group);
    }
    if let (Event::GroupCreated(founder), None) = (&proposal.event, history.fold.cluster())
        && founder.details.rules > KNOWN_RULES
    {
        return too_new(group, &proposal);
    }
    judged(history, group, &proposal);
});

/// Admits the event and holds the history to its laws.
fn judged(history: &History, mut group: Group, proposal: &Proposal) {
    let fold_hash = group.fold.fold_hash();
    // It checks itself that a refusal changes no row.
    match group.admit(proposal) {
        Verdict::Refused(_) => {
            assert_eq!(group.fold.fold_hash(), fold_hash);
            assert_eq!(group.fold.next_index(), history.fold.next_index());
            assert_eq!(group.rows, history.rows);
        }
        Verdict::Repeated { .. } => unreachable!("nobody has used this request ID"),
        Verdict::Sealed(record) => {
            assert_ne!(group.fold.fold_hash(), fold_hash);
            recorded(history, &group, &record);
            // The same once more is the same record, and changes nothing.
            let rows = group.rows.clone();
            match group.admit(proposal) {
                Verdict::Repeated { index, hash } => {
                    assert_eq!((index, hash), (record.index(), record.hash()));
                }
                verdict => panic!("recorded twice: {verdict:?}"),
            }
            assert_eq!(group.rows, rows);
        }
    }
}

/// A group that a later version has founded: no verdict, since to refuse it would be to disagree.
fn too_new(mut group: Group, proposal: &Proposal) {
    let Ok(signed) = SignedProposal::sign(proposal, &group.member) else { return };
    let Ok(verified) = verify_one(Unverified::new(signed)) else { return };
    let fold_hash = group.fold.fold_hash();
    let mut draft = Draft::on(&group.rows);
    match group.fold.admit(&mut draft, &verified) {
        Ok(Verdict::Refused(_)) => assert!(draft.finish().is_empty()),
        Ok(verdict) => panic!("under rules that nobody knows: {verdict:?}"),
        Err(fault) => assert!(fault.to_string().contains("install a newer version"), "{fault}"),
    }
    assert_eq!((group.fold.fold_hash(), group.fold.next_index()), (fold_hash, 0));
}

/// Begins an incarnation where the history ends, if there is a group.
fn begins(history: &History, mut group: Group, begun: &Begun) {
    let Some(last) = group.fold.last_hash() else { return };
    let mut begun = begun.clone();
    begun.last = (group.fold.next_index() - 1, last);
    begun.founder.id = group.fold.next_replica();
    begun.founder.member_key = MemberKey(member_key(BEGINS).public().0);
    match group.begin_incarnation(BEGINS, begun) {
        Verdict::Sealed(record) => {
            assert_eq!(group.fold.incarnation(), history.fold.incarnation() + 1);
            assert_eq!(members::live(&group.rows).expect("sound rows").len(), 1);
            recorded(history, &group, &record);
        }
        _ => assert_eq!(group.rows, history.rows),
    }
}

fn recorded(history: &History, group: &Group, record: &Record) {
    assert_eq!(Record::decode(record.bytes()).as_ref(), Ok(record));
    let stored = records::record(&group.rows, record.index()).expect("sound rows");
    assert_eq!(stored.as_ref(), Some(record));
    // Whoever replays it comes to the same rows.
    let verified = verify_one(Unverified::new(record.clone())).expect("it was verified");
    let mut rows = history.rows.clone();
    let mut fold = Fold::open(&rows).expect("sound rows");
    let mut draft = Draft::on(&rows);
    let verdict = fold.replay(&mut draft, &verified).expect("sound rows");
    assert_eq!(verdict, Verdict::Sealed(record.clone()));
    let changes = draft.finish();
    rows.apply(changes);
    assert_eq!(rows, group.rows);
    // And whoever opens the rows to the same fold.
    for fold in [&fold, &Fold::open(&rows).expect("sound rows")] {
        assert_eq!(fold.fold_hash(), group.fold.fold_hash());
        assert_eq!(fold.merkle_root(), group.fold.merkle_root());
        assert_eq!(fold.lifecycle(), group.fold.lifecycle());
        assert_eq!(head(fold), head(&group.fold));
    }
    let nodes = roster::list(&rows).expect("sound rows");
    assert_eq!(nodes.len() as u64, group.fold.nodes());
    cosigning::list(&rows).expect("sound rows");
    let voter = |member: &Member| member.standing == Standing::Voter;
    assert!(members::live(&rows).expect("sound rows").iter().any(voter));
    invitations::list(&rows).expect("sound rows");
    for table in tables::ALL {
        assert!(rows.scan(*table, &[][..]..&[][..]).expect("rows").all(|row| row.is_ok()));
    }
}

fn head(fold: &Fold) -> Option<AumHash> {
    let authority = fold.authority()?;
    assert!(!authority.state().keys().is_empty());
    Some(authority.head())
}

/// Signs what is to be signed with the member's lock key and puts AUMs on the head, so that more
/// than signatures decides.
fn make_genuine(event: &mut Event, group: &Group) {
    let head = group.fold.authority().map(|authority| authority.head());
    match event {
        Event::LockInitialized(initialization) => {
            initialization.genesis = signed(&initialization.genesis, None);
            sign_nodes(&mut initialization.signatures, group);
        }
        Event::AumsAdded(added) => {
            let mut parent = head;
            for aum in &mut added.aums {
                *aum = signed(aum, parent);
                parent = Some(aum.hash());
            }
            sign_nodes(&mut added.signatures, group);
        }
        Event::NodeKeysSigned(signatures) => sign_nodes(signatures, group),
        Event::RevocationOpened(opened) => {
            let mut aum = opened.aum.clone().into_aum();
            aum.signatures.clear();
            if let Ok(signed) = cosign(Sealed::new(aum), lock_key(1)) {
                opened.aum = signed;
            }
        }
        Event::GenesisBrought(brought) => {
            brought.key = public(1);
            brought.genesis = signed(&brought.genesis, None);
        }
        Event::AdoptionBegun(begun) => begun.root = signed(&begun.root, None),
        Event::MemberJoined(new) => {
            let place = (Group::CLUSTER, group.fold.incarnation());
            let keys = (invitation_key(OPEN_INVITATION), member_key(BEGINS));
            **new = joined(place, &keys.0, &keys.1, new.details.clone());
        }
        _ => {}
    }
}

fn signed(aum: &Sealed, parent: Option<AumHash>) -> Sealed {
    let mut aum: Aum = aum.clone().into_aum();
    aum.signatures.clear();
    aum.parent = parent.map(|parent| parent.0.to_vec());
    let unsigned = Sealed::new(aum);
    cosign(unsigned.clone(), lock_key(1)).unwrap_or(unsigned)
}

fn sign_nodes(signatures: &mut [NodeSignature], group: &Group) {
    for signature in signatures {
        let node = roster::node(&group.rows, signature.node).expect("sound rows");
        let signed = node.map(|node| sign_direct(lock_key(1), node.node_key, node.lock_key));
        if let Some(Ok(signed)) = signed {
            signature.signature = signed;
        }
    }
}
