//! What a key outside the daemon signs is what the daemon's own key would have signed, and nothing
//! else.

use ledger::lock::node_keys::{NodeKeySignature, resign, sign_credential, sign_direct};
use ledger::lock::{Aum, AumKind, Sealed};

use super::super::outside::{Asked, BadDraft, Draft};
use super::*;

const OWN: ReplicaId = ReplicaId(1);

fn draft(group: &Group, asked: &Asked, signer: u8) -> Draft {
    let draft = Draft::plan(ground(group), asked, key(signer).public(), OWN, None);
    draft.unwrap().unwrap()
}

fn head(group: &Group) -> ledger::ids::AumHash {
    group.fold.authority().unwrap().head()
}

fn enter(group: &mut Group, name: &str, n: u8, lock_key: Option<LockKey>) {
    let order = nodes::Order {
        name: name.into(),
        node_key: node_key(n),
        lock_key,
        auth_key: None,
        signature: None,
    };
    let event = nodes::add(ground(group), &order);
    sealed(group, event);
}

/// The event that comes of signing a draft elsewhere and planning again.
fn completed(
    group: &Group,
    asked: &Asked,
    draft: &Draft,
    signer: u8,
    head: ledger::ids::AumHash,
) -> Result<Event, NotPlanned> {
    let signed = draft.sign(&key(signer)).unwrap();
    let presigned = draft.signed(&signed).unwrap();
    presigned.plan(ground(group), asked, OWN, head).map(Option::unwrap)
}

#[test]
fn an_update_of_several_aums_is_signed_elsewhere_as_it_would_be_here() {
    let mut group = locked(&[2]);
    // Up to the checkpoint that is due, whatever a signature changes about the hashes before it.
    for seed in 10..60_u8 {
        let order = add_keys(&[seed]);
        let asked = Asked::Modify(order.clone());
        let draft = draft(&group, &asked, 2);
        let event = completed(&group, &asked, &draft, 2, head(&group)).unwrap();
        let here = modify::plan(ground(&group), &order, None, &key(2)).unwrap().unwrap();
        assert_eq!(event, here);
        sealed(&mut group, event);
    }
    let order = add_keys(&[70, 71, 72]);
    let asked = Asked::Modify(order.clone());
    let drafted = draft(&group, &asked, 2);
    assert_eq!(drafted.aums().len(), 3);
    let event = completed(&group, &asked, &drafted, 2, head(&group)).unwrap();
    assert_eq!(event, modify::plan(ground(&group), &order, None, &key(2)).unwrap().unwrap());
    sealed(&mut group, event);
}

#[test]
fn removing_a_key_signs_its_nodes_again_with_the_outside_key() {
    let mut group = locked(&[2, 3]);
    for n in 1..4 {
        enter(&mut group, &format!("n{n}"), n, Some(key(50 + n).public()));
        let event = sign::plan(ground(&group), node_key(n), Some(key(50 + n).public()), &key(3));
        sealed(&mut group, event.unwrap());
    }
    let order = modify::Order { remove: vec![key(3).public()], resign: true, ..Default::default() };
    let asked = Asked::Modify(order);
    let drafted = draft(&group, &asked, 2);
    assert_eq!((drafted.aums().len(), drafted.signatures().len()), (1, 3));
    let event = completed(&group, &asked, &drafted, 2, head(&group)).unwrap();
    sealed(&mut group, event);
    for n in 1..4 {
        let node = roster::by_node_key(&group.rows, node_key(n)).unwrap().unwrap();
        let signed = roster::Reason::Signed { key: key(2).public() };
        assert_eq!(node.standing.reason, signed);
    }
    // Not with the key that goes.
    let asked = Asked::Modify(modify::Order {
        remove: vec![key(2).public()],
        resign: true,
        ..Default::default()
    });
    let plan = Draft::plan(ground(&group), &asked, key(2).public(), OWN, None);
    assert!(matches!(plan, Err(NotPlanned::OwnKeyWhileResigning)));
}

#[test]
fn nodes_are_signed_and_rotated_elsewhere() {
    let mut group = locked(&[2]);
    let own = key(9).public();
    enter(&mut group, "a", 1, Some(own));
    enter(&mut group, "b", 2, None);
    let asked = Asked::Sign(vec![(node_key(2), None), (node_key(1), Some(own))]);
    let drafted = draft(&group, &asked, 2);
    let event = completed(&group, &asked, &drafted, 2, head(&group)).unwrap();
    sealed(&mut group, event);
    let node = |group: &Group, name: &str| roster::by_name(&group.rows, name).unwrap().unwrap();
    assert!(node(&group, "a").standing.is_in() && node(&group, "b").standing.is_in());

    // So often that the chain of rotations is trimmed, which signs all of its levels anew.
    for n in 20..45 {
        let asked = Asked::Rotate("a".into(), node_key(n));
        let former = node(&group, "a").signature.unwrap();
        let drafted = draft(&group, &asked, 9);
        let event = completed(&group, &asked, &drafted, 9, head(&group)).unwrap();
        let here = resign(&key(9), node_key(n), &former).unwrap();
        assert_eq!(event.signatures(), [&here]);
        sealed(&mut group, event);
        assert!(node(&group, "a").standing.is_in());
    }
    let refused = |text: &str, to: u8, signer: u8| {
        let asked = Asked::Rotate(text.into(), node_key(to));
        Draft::plan(ground(&group), &asked, key(signer).public(), OWN, None).unwrap_err()
    };
    let error = refused("a", 60, 8).to_string();
    assert!(error.ends_with(&format!("by its signature {own} may")), "{error}");
    let error = refused("b", 60, 8).to_string();
    assert!(error.ends_with("by its signature no key may"), "{error}");
    assert!(matches!(refused("b", 2, 2), NotPlanned::SameNodeKey(_)));
    assert!(matches!(refused("c", 60, 2), NotPlanned::UnknownNode(_)));
    // It is not this daemon's key that is not trusted.
    let asked = Asked::Sign(vec![(node_key(2), None)]);
    let stranger = Draft::plan(ground(&group), &asked, key(8).public(), OWN, None).unwrap_err();
    assert!(matches!(stranger, NotPlanned::KeyNotTrusted(who) if who == key(8).public()));
    // A trusted key signs directly what it may not rotate.
    let asked = Asked::Rotate("b".into(), node_key(61));
    assert_eq!(draft(&group, &asked, 2).signatures()[0].depth(), 1);
}

#[test]
fn what_was_signed_on_another_head_is_asked_for_again_or_refused() {
    let mut group = locked(&[2]);
    let first = head(&group);
    let asked = Asked::Modify(add_keys(&[4]));
    let stale = draft(&group, &asked, 2);
    let other = modify::plan(ground(&group), &add_keys(&[5]), None, &key(1)).unwrap().unwrap();
    sealed(&mut group, other);
    let error = completed(&group, &asked, &stale, 2, first).unwrap_err();
    assert!(matches!(error, NotPlanned::SignedForAnotherState), "{error}");
    let again = Draft::plan(ground(&group), &asked, key(2).public(), OWN, Some(first));
    let event = completed(&group, &asked, &again.unwrap().unwrap(), 2, first).unwrap();
    sealed(&mut group, event);

    // Somebody else's key 4 may have other votes: what was asked then is not asked now.
    let plan = Draft::plan(ground(&group), &asked, key(2).public(), OWN, Some(first));
    assert!(matches!(plan, Err(NotPlanned::Refused(Refusal::Overtaken(_)))), "{plan:?}");
    let nowhere = ledger::ids::AumHash([7; 32]);
    let plan = Draft::plan(ground(&group), &asked, key(2).public(), OWN, Some(nowhere));
    assert!(matches!(plan, Err(NotPlanned::SignedForAnotherLock)), "{plan:?}");
    let plan = Draft::plan(ground(&group), &asked, key(8).public(), OWN, None);
    assert!(matches!(plan, Err(NotPlanned::KeyNotTrusted(_))), "{plan:?}");
}

#[test]
fn only_the_signatures_that_were_asked_for_count() {
    let group = locked(&[2]);
    let asked = Asked::Modify(add_keys(&[4, 5]));
    let draft = draft(&group, &asked, 2);
    let signed = draft.sign(&key(2)).unwrap();
    assert!(draft.signed(&signed).is_ok());
    let wrong = |signed: &[[u8; 64]]| draft.signed(signed).unwrap_err();
    assert_eq!(wrong(&signed[..1]), BadDraft::Count { got: 1, want: 2 });
    assert_eq!(wrong(&[]), BadDraft::Count { got: 0, want: 2 });
    let more = [signed[0], signed[1], signed[1]];
    assert_eq!(wrong(&more), BadDraft::Count { got: 3, want: 2 });
    assert_eq!(wrong(&[signed[1], signed[0]]), BadDraft::NotSigned(1));
    assert_eq!(wrong(&[signed[0], [0; 64]]), BadDraft::NotSigned(2));
    let got = key(3).public();
    let other = draft.sign(&key(3)).unwrap_err();
    assert_eq!(other, BadDraft::OtherKey { want: key(2).public(), got });
}

/// Whoever writes the file could write anything into it: the offline signer takes only what a plan
/// makes.
#[test]
fn a_hostile_draft_is_not_signed() {
    let signer = key(2).public();
    let parent = ledger::ids::AumHash([1; 32]);
    let aum = |kind, fill: fn(&mut Aum)| {
        let mut aum = Aum::new(kind, Some(parent));
        fill(&mut aum);
        Sealed::new(aum)
    };
    let remove: fn(&mut Aum) = |aum| aum.key_id = Some(vec![7; 32]);
    let good = aum(AumKind::REMOVE_KEY, remove);
    let aums = |aums: Vec<Sealed>| Draft::new(signer, aums, Vec::new());
    assert!(aums(vec![good.clone()]).is_ok());
    assert_eq!(aums(vec![]), Err(BadDraft::Size));
    assert_eq!(aums(vec![good.clone(); 1025]), Err(BadDraft::Size));
    let genesis = Sealed::new(Aum { parent: None, ..good.clone().into_aum() });
    let short = Sealed::new(Aum { parent: Some(vec![1; 31]), ..good.clone().into_aum() });
    let signed = ledger::lock::revocation::cosign(good.clone(), &key(3)).unwrap();
    for (aum, says) in [
        (aum(AumKind::NO_OP, |_| {}), "it is a no-op"),
        (aum(AumKind(9), |_| {}), "it is a AUM?<9>"),
        (aum(AumKind::ADD_KEY, |_| {}), "must contain a key"),
        (genesis, "follows no AUM"),
        (short, "follows no AUM"),
        (signed, "signed already"),
    ] {
        let error = aums(vec![aum]).unwrap_err().to_string();
        assert!(error.starts_with("AUM 1: ") && error.contains(says), "{error}");
    }
    let error = aums(vec![good.clone(), good]).unwrap_err().to_string();
    assert!(error.starts_with("AUM 2: it does not follow"), "{error}");

    let bare = |mut signature: NodeKeySignature| {
        signature.signature.clear();
        signature
    };
    let direct = sign_direct(&key(2), node_key(1), Some(key(2).public())).unwrap();
    let nodes = |signature| Draft::new(signer, Vec::new(), vec![signature]);
    assert!(nodes(bare(direct.clone())).is_ok());
    assert!(nodes(bare(resign(&key(2), node_key(2), &direct).unwrap())).is_ok());
    let of_other = sign_direct(&key(3), node_key(1), Some(key(3).public())).unwrap();
    let credential = sign_credential(&key(2), key(4).public()).unwrap();
    let mut odd = bare(sign_direct(&key(2), node_key(1), None).unwrap());
    odd.nested = Some(Box::new(direct.clone()));
    for (signature, says) in [
        (direct.clone(), "signed already"),
        (bare(of_other.clone()), "another key's"),
        (bare(resign(&key(3), node_key(2), &of_other).unwrap()), "another key's"),
        (bare(credential), "no node key"),
        (odd, "neither a direct signature nor a rotation"),
    ] {
        let error = nodes(signature).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
