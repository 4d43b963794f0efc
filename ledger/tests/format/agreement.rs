//! The verifier over random histories: what the ledger seals, it takes, with the same hashes; what
//! the ledger does not, it refuses too.

use std::cell::RefCell;
use std::collections::BTreeMap;

use ledger::Refusal;
use ledger::history::door::finality::final_point;
use ledger::history::{
    Event, EventRefusal, Fold, KNOWN_RULES, SignedProposal, Verdict, adoption, cosigning,
};
use ledger::ids::AumHash;
use ledger::lock::{AumKind, Authority};
use ledger::testing::Group;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseResult, TestRunner};

use crate::cbor::{Value, encode};
use crate::door_moves;
use crate::member_moves;
use crate::moves::{moves, played_under};
use crate::verifier::Verifier;

/// A record of a proposal that nobody sealed.
fn forged(fold: &Fold, signed: &SignedProposal) -> Vec<u8> {
    let prev = fold.last_hash().map_or(Value::Null, |hash| Value::Bytes(hash.0.to_vec()));
    let fields = [Value::Uint(fold.next_index()), prev, Value::Bytes(signed.bytes().to_vec())];
    let keyed = fields.into_iter().zip(1..).map(|(value, key)| (Value::Uint(key), value));
    encode(&Value::Map(keyed.collect()))
}

/// A group and its verifier.
pub struct Pair {
    pub group: Group,
    verifier: Verifier,
}

impl Pair {
    /// A group without records.
    pub fn new(group: Group) -> Pair {
        Pair { group, verifier: Verifier::default() }
    }

    /// Both as they were, and what the group has just said of a proposal: the verifier says the same.
    pub fn agree(&mut self, signed: &SignedProposal, verdict: &Verdict) -> TestCaseResult {
        match verdict {
            Verdict::Sealed(record) => {
                let taken = self.verifier.take(record.bytes());
                prop_assert_eq!(taken, Ok(()), "{:?}", record.proposal().proposal().event);
                prop_assert_eq!(self.verifier.last_hash(), record.hash().0);
                prop_assert_eq!(self.verifier.fold_hash, self.group.fold.fold_hash().0);
            }
            other => {
                let record = forged(&self.group.fold, signed);
                prop_assert!(self.verifier.clone().take(&record).is_err(), "{:?}", other);
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_verifier_agrees_with_the_ledger(moves in moves(40), rules in 1..=KNOWN_RULES) {
        let (_, made) = played_under(rules, &moves);
        let mut pair = Pair::new(Group::unfounded_under(rules));
        for (signed, verdict) in made {
            prop_assert_eq!(&pair.group.admit_signed(signed.clone()), &verdict);
            pair.agree(&signed, &verdict)?;
        }
        prop_assert_eq!(pair.verifier.merkle_root(), pair.group.fold.merkle_root());
    }
}

/// What a proposal finds.
struct Found {
    rules: u32,
    head: Option<AumHash>,
    fixed: Option<AumHash>,
    noted: u64,
    waiting: usize,
}

impl Found {
    fn of(group: &Group) -> Found {
        let authority = group.fold.authority();
        let adoption = adoption::current(&group.rows, group.fold.lifecycle()).unwrap();
        Found {
            rules: group.fold.rules(),
            head: authority.map(Authority::head),
            fixed: authority.map(|now| final_point(&group.rows, now).unwrap().at.hash),
            noted: adoption.map_or(0, |adoption| adoption.objections),
            waiting: cosigning::list(&group.rows).unwrap().len(),
        }
    }

    /// What has become of a proposal, in a few words.
    fn names(&self, event: &Event, verdict: &Verdict, after: &Found) -> Vec<String> {
        let mut names = vec![match (verdict, event) {
            (Verdict::Sealed(_), Event::AumsAdded(added)) => {
                let (first, last) = (&added.aums[0], &added.aums[added.aums.len() - 1]);
                let checkpoint = last.kind == AumKind::CHECKPOINT;
                match (first.parent_hash() == self.head, checkpoint) {
                    (true, false) => "goes on".to_owned(),
                    (true, true) => "checkpoint on the head".to_owned(),
                    (false, _) => "fork".to_owned(),
                }
            }
            (Verdict::Sealed(_), other) => other.kind_name().to_owned(),
            (Verdict::Refused(Refusal::Event(refusal)), _) => format!("{refusal:?}"),
            (Verdict::Refused(Refusal::NotRevoked(refusal)), _) => format!("{refusal:?}"),
            _ => "refused otherwise".to_owned(),
        }];
        if matches!(event, Event::AumsAdded(_)) {
            if after.fixed != self.fixed {
                let at_once = after.fixed == after.head;
                names.push(if at_once { "final at once" } else { "final at last" }.to_owned());
            }
            if after.waiting < self.waiting {
                names.push("finished".to_owned());
            }
        }
        if after.noted > self.noted {
            names.push("noted".to_owned());
        }
        let short = |name: String| {
            let end = name.find(['(', '{']).unwrap_or(name.len());
            format!("{} {}", self.rules, name[..end].trim())
        };
        names.into_iter().map(short).collect()
    }
}

/// What must occur among the histories aimed at the door.
const MUST: &[&str] = &[
    "1 fork",
    "1 rules-activated",
    "2 goes on",
    "2 checkpoint on the head",
    "2 fork",
    "2 finished",
    "2 final at once",
    "2 final at last",
    "2 noted",
    "2 ForkWithoutRevocation",
    "2 NotARevocation",
    "2 Outvoted",
    "2 TakesNothing",
    "2 Contradicts",
    "2 Final",
    "2 ForkLoses",
    "2 revocation-opened",
    "2 revocation-signed",
];

/// Histories aimed at the door, from rules 1 or 2 on. Every verdict of the door occurs, but for that
/// on what a key may sign in all.
#[test]
fn the_verifier_agrees_at_the_door() {
    let config = ProptestConfig { source_file: Some(file!()), ..ProptestConfig::with_cases(192) };
    let counts = RefCell::new(BTreeMap::<String, u64>::new());
    let histories = (1..=KNOWN_RULES, door_moves::moves(100));
    let run = TestRunner::new(config).run(&histories, |(rules, moves)| {
        let (group, made) = door_moves::founded(rules);
        let mut pair = Pair::new(group);
        for (_, verdict) in &made {
            let Verdict::Sealed(record) = verdict else { panic!("{verdict:?}") };
            prop_assert_eq!(pair.verifier.take(record.bytes()), Ok(()));
        }
        for one in &moves {
            for event in one.events(&pair.group) {
                let found = Found::of(&pair.group);
                let Some((signed, verdict)) = one.make(&mut pair.group, event) else { continue };
                pair.agree(&signed, &verdict)?;
                let event = &signed.proposal().event;
                for name in found.names(event, &verdict, &Found::of(&pair.group)) {
                    *counts.borrow_mut().entry(name).or_default() += 1;
                }
            }
        }
        Ok(())
    });
    run.unwrap();
    let counts = counts.into_inner();
    println!("{counts:#?}");
    let never: Vec<&&str> = MUST.iter().filter(|name| !counts.contains_key(**name)).collect();
    assert!(never.is_empty(), "{never:?} never occurred: {counts:#?}");
}

/// What must occur among the histories of members.
const OF_MEMBERS: &[&str] = &[
    "1 KindNotActive",
    "1 FieldNotActive",
    "1 rules-activated",
    "2 member-invited",
    "2 member-joined",
    "2 member-approved",
    "2 member-role-changed",
    "2 member-removed",
    "2 member-changed",
    "2 node-added",
    "2 node-removed",
    "2 lock-initialized",
    "2 node-keys-signed",
    "2 incarnation-begun",
    "2 Exists",
    "2 BornExpired",
    "2 Unknown",
    "2 Used",
    "2 Expired",
    "2 ForAnother",
    "2 KeyOfMember",
    "2 BadClaim",
    "2 RulesNotSupported",
    "2 UnknownMember",
    "2 PendingMember",
    "2 RemovedMember",
    "2 AlreadyApproved",
    "2 AlreadyInRole",
    "2 LastVoter",
    "2 GroupRuns",
    "2 NotABeginning",
    "2 NotNextReplica",
    "2 OtherHistory",
    "2 OtherIncarnation",
];

/// Histories in which members come and go and the group begins anew, from rules 1 or 2 on. Every
/// verdict on them occurs, but for those that take more members or invitations than play here.
#[test]
fn the_verifier_agrees_on_members() {
    let config = ProptestConfig { source_file: Some(file!()), ..ProptestConfig::with_cases(256) };
    let counts = RefCell::new(BTreeMap::<String, u64>::new());
    let histories = (1..=KNOWN_RULES, member_moves::moves(100));
    let run = TestRunner::new(config).run(&histories, |(rules, moves)| {
        let (group, first) = member_moves::founded(rules);
        let mut pair = Pair::new(group);
        let Verdict::Sealed(record) = &first.verdict else { panic!("{:?}", first.verdict) };
        prop_assert_eq!(pair.verifier.take(record.bytes()), Ok(()));
        for one in &moves {
            let rules = pair.group.fold.rules();
            let Some(made) = one.make(&mut pair.group) else { continue };
            let (name, elsewhere) = match &made.verdict {
                Verdict::Sealed(_) => (made.signed.proposal().event.kind_name().to_owned(), false),
                // A record may hold what nobody admits on this way.
                Verdict::Refused(Refusal::Event(why)) => match why {
                    EventRefusal::GroupRuns | EventRefusal::NotABeginning => {
                        (format!("{why:?}"), true)
                    }
                    EventRefusal::Invitation { why, .. } => (format!("{why:?}"), false),
                    why => (format!("{why:?}"), false),
                },
                Verdict::Refused(Refusal::BadClaim(_)) => ("BadClaim".to_owned(), false),
                other => (format!("{other:?}"), false),
            };
            if !elsewhere {
                pair.agree(&made.signed, &made.verdict)?;
            }
            let end = name.find(['(', '{']).unwrap_or(name.len());
            let name = format!("{rules} {}", name[..end].trim());
            *counts.borrow_mut().entry(name).or_default() += 1;
        }
        prop_assert_eq!(pair.verifier.merkle_root(), pair.group.fold.merkle_root());
        Ok(())
    });
    run.unwrap();
    let counts = counts.into_inner();
    println!("{counts:#?}");
    let never: Vec<&&str> = OF_MEMBERS.iter().filter(|name| !counts.contains_key(**name)).collect();
    assert!(never.is_empty(), "{never:?} never occurred: {counts:#?}");
}
