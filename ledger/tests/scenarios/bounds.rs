//! Bounds: what is at one is taken, what is beyond it is refused, and nobody runs into a wall
//! that only others could take away.

use ledger::history::{
    AumsAdded, Event, EventRefusal, MemberDetails, NewNode, NodeId, SecretLabel, SignedProposal,
    Verdict, Who,
};
use ledger::limits::{
    ACTOR_NAME_BYTES, DISABLEMENT_SECRET_BYTES, LABEL_BYTES, NAME_BYTES, NOTE_BYTES,
    PROPOSAL_BYTES, REQUEST_PARTS, ROSTER_AT_ONCE,
};
use ledger::lock::Key;
use ledger::lock::builder::Change;
use ledger::lock::signatures::Signer;
use ledger::testing::{Group, key, secret_value};
use ledger::{Refusal, history};

fn is_refused(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Refused(_))
}

fn named(name: &str, n: u32) -> Event {
    let mut node_key = [9; 32];
    node_key[..4].copy_from_slice(&n.to_be_bytes());
    Event::NodeAdded(NewNode {
        name: name.into(),
        node_key: ledger::ids::NodeKey(node_key),
        lock_key: Some(key(4).public()),
        own: false,
        signature: None,
        auth_key: None,
    })
}

/// Whatever the roster holds, the lock can be initialized and turned off; only adding ends.
#[test]
fn the_largest_roster_can_be_locked() {
    let mut group = Group::new();
    let most = u32::try_from(ROSTER_AT_ONCE).unwrap();
    for n in 0..most {
        group.apply(named(&format!("n{n}"), n));
    }
    let too_large = Refusal::Event(EventRefusal::RosterTooLarge);
    assert_eq!(group.refuse(named("one-more", most)), too_large);
    group.apply(Event::NodeRemoved(NodeId(7)));
    group.apply(named("one-more", most));

    // The genesis as large as it gets.
    let initialization = group.initialization(1, &[]);
    let Event::LockInitialized(mut init) = initialization else { unreachable!() };
    let mut state = init.genesis.state.clone().unwrap();
    let keys = state.keys.as_mut().unwrap();
    for n in 1..512_u32 {
        let mut public = [7; 32];
        public[..4].copy_from_slice(&n.to_be_bytes());
        let pairs = (0..128).map(|i| (format!("{i:03}"), "x".to_owned()));
        let meta = Some(ledger::lock::Meta(pairs.collect()));
        keys.push(Key { meta, ..Key::ed25519(ledger::ids::LockKey(public), 4096) });
    }
    init.genesis = ledger::lock::Authority::genesis(state, &group.lock).unwrap();
    let record = group.apply(Event::LockInitialized(init));
    println!("largest initialization: {} of {PROPOSAL_BYTES} bytes", record.bytes().len());
    assert!(group.node(NodeId(1)).standing.is_in());
    group.apply(group.disablement());
}

#[test]
fn names_notes_and_parts_have_ends() {
    let mut group = Group::new();
    let longest = "x".repeat(NAME_BYTES);
    group.apply(named(&longest, 1));
    for bad in ["", "-a", "a-", "A", "a.b", "a b", "ä", &format!("{longest}x")] {
        assert_eq!(group.refuse(named(bad, 2)), Refusal::Event(EventRefusal::Name), "{bad:?}");
        let details = MemberDetails { name: bad.into(), ..group.details() };
        assert_eq!(group.refuse(Event::MemberChanged(details)), Refusal::Event(EventRefusal::Name));
    }

    group.apply(group.initialization(1, &[]));
    let added = |group: &Group, note: &str| {
        let add = vec![Change::Add(Key::ed25519(key(3).public(), 1))];
        let aums = group.build(&group.lock, add);
        let (signatures, reason, note) = (Vec::new(), None, Some(note.to_owned()));
        Event::AumsAdded(AumsAdded { aums, fork: false, signatures, reason, note })
    };
    for bad in ["", &"ä".repeat(NOTE_BYTES / 2 + 1)] {
        let event = added(&group, bad);
        assert!(is_refused(&group.propose(event)), "a note of {} bytes", bad.len());
    }
    let event = added(&group, &"ä".repeat(NOTE_BYTES / 2));
    group.apply(event);

    let mut proposal = group.proposal(named("last-part", 3));
    proposal.part = REQUEST_PARTS;
    assert!(is_refused(&group.admit(&proposal)));
    proposal.part = REQUEST_PARTS - 1;
    proposal.actor.name = "x".repeat(ACTOR_NAME_BYTES + 1);
    assert!(is_refused(&group.admit(&proposal)));
    proposal.actor.name.pop();
    assert!(!is_refused(&group.admit(&proposal)));
}

#[test]
fn labels_are_as_many_as_values_and_have_ends() {
    let mut group = Group::new();
    let label = |maker: &str, holder: Option<&str>| SecretLabel {
        maker: maker.to_owned(),
        made_ms: 1,
        holder: holder.map(str::to_owned),
    };
    let labelled = |group: &Group, labels: Vec<SecretLabel>| {
        let Event::LockInitialized(mut init) = group.initialization(1, &[]) else { unreachable!() };
        init.labels = labels;
        Event::LockInitialized(init)
    };
    let longest = "x".repeat(LABEL_BYTES);
    let longer = format!("{longest}x");
    for bad in [
        vec![label("a", None), label("b", None)],
        vec![label("", None)],
        vec![label(&longer, None)],
        vec![label("a", Some(""))],
        vec![label("a", Some(&longer))],
    ] {
        let event = labelled(&group, bad);
        assert!(matches!(group.refuse(event), Refusal::Event(EventRefusal::Shape(_))));
    }
    let event = labelled(&group, vec![label(&longest, Some(&longest))]);
    group.apply(event);
}

#[test]
fn a_secret_has_an_end() {
    let mut group = Group::new();
    group.apply(group.initialization(1, &[]));
    for len in [0, DISABLEMENT_SECRET_BYTES + 1] {
        let event = Event::LockDisabled(history::Disablement {
            secret: vec![1; len],
            value: secret_value(),
        });
        assert!(matches!(group.refuse(event), Refusal::Event(EventRefusal::Shape(_))));
    }
}

#[test]
fn a_proposal_has_an_end() {
    let mut group = Group::new();
    let mut proposal = group.proposal(named("n", 1));
    proposal.actor.who = Who::Member;
    // Not a proposal at all, but as many bytes.
    let signed = SignedProposal::sign(&proposal, &group.member).unwrap();
    let beyond = vec![0; PROPOSAL_BYTES + 257];
    let refusal = SignedProposal::decode(&beyond).unwrap_err();
    assert!(matches!(refusal, Refusal::Event(EventRefusal::TooLarge { .. })), "{refusal}");
    let refusal = history::Record::decode(&beyond).unwrap_err();
    assert!(matches!(refusal, Refusal::Event(EventRefusal::TooLarge { .. })), "{refusal}");
    assert!(SignedProposal::decode(signed.bytes()).is_ok());
}
