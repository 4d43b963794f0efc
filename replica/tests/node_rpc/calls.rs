//! Calls that are refused and why, calls that are repeated, and servers that lie.

use ledger::history::{Event, lifecycle};
use ledger::ids::AumHash;
use ledger::lock::builder::Change;
use ledger::lock::node_keys::{NodeKeySignature, sign_direct};
use ledger::lock::signatures::{PrivateKey, Signer};
use ledger::lock::{Aum, AumKind, AumSignature, Key, Sealed};
use ledger::testing::{Group, SECRET, genesis, key, node_key};
use replica::go_json::Base64;
use replica::node_rpc::bodies::{InitFinishRequest, TkaInfo};
use replica::node_rpc::{finish, info};
use serde_json::{Value, json};

use crate::histories::Node;
use crate::server::Server;

fn b64(bytes: &[u8]) -> Value {
    serde_json::to_value(Base64(bytes.to_vec())).unwrap()
}

fn nodekey(byte: u8) -> String {
    node_key(byte).to_string()
}

/// A server with the nodes 20 and 21, whose lock is on.
fn locked() -> Server {
    locked_in(Group::new())
}

fn locked_in(group: Group) -> Server {
    let mut server = Server { group, ..Server::default() };
    server.group.add_node("one", 20);
    server.group.add_node("two", 21);
    server.group.apply(server.group.initialization(1, &[2, 3]));
    server
}

fn head(server: &Server) -> AumHash {
    server.group.fold.authority().unwrap().head()
}

fn records(server: &Server) -> u64 {
    server.group.fold.next_index()
}

/// The call is refused with that status and leaves no record.
fn refuses(server: &mut Server, path: &str, body: &Value, status: u16, says: &str) {
    let before = records(server);
    let (got, text) = server.call(path, body).unwrap_err();
    assert_eq!(got, status, "{path}: {text}");
    assert!(text.contains(says), "{path}: {text}");
    assert_eq!(records(server), before);
}

/// An AUM on `parent` that carries `name`, signed by these.
fn no_op(parent: AumHash, name: &[u8], signers: &[&PrivateKey]) -> Sealed {
    let mut aum = Aum::new(AumKind::NO_OP, Some(parent));
    aum.key_id = Some(name.to_vec());
    let message = aum.sig_hash();
    for signer in signers {
        aum.signatures.push(AumSignature {
            key_id: Some(signer.public().0.to_vec()),
            signature: Some(signer.sign(&message.0).to_vec()),
        });
    }
    Sealed::new(aum)
}

fn send(server: &Server, aums: &[Sealed], interactive: bool) -> Value {
    let aums: Vec<Value> = aums.iter().map(|aum| b64(aum.bytes())).collect();
    let head = head(server).to_string();
    json!({
        "Version": 133, "NodeKey": nodekey(20), "Head": head, "MissingAUMs": aums,
        "Interactive": interactive,
    })
}

#[test]
fn a_node_initializes_the_lock_once_and_may_ask_again() {
    let mut server = Server::default();
    server.group.add_node("one", 20);
    server.group.add_node("two", 21);
    let maker = key(20);
    let begin = |genesis: &Sealed| json!({"Version": 133, "NodeKey": nodekey(20), "GenesisAUM": b64(genesis.bytes())});
    let signatures = |server: &Server| {
        let signed = server.group.signatures(&key(20)).into_iter();
        signed
            .map(|item| (item.node.to_string(), b64(&item.signature.to_cbor())))
            .collect::<serde_json::Map<_, _>>()
    };
    let finish_of = |byte: u8, signatures: &serde_json::Map<String, Value>| json!({"Version": 133, "NodeKey": nodekey(byte), "Signatures": signatures});
    let root = genesis(1, &[(&maker, 1)]);
    let body = finish_of(20, &signatures(&server));
    refuses(&mut server, "init/finish", &body, 404, "begun");
    let stranger = genesis(1, &[(&key(9), 1)]);
    refuses(&mut server, "init/begin", &begin(&stranger), 400, "does not trust the initializing");
    let child = no_op(root.hash(), b"x", &[&maker]);
    refuses(&mut server, "init/begin", &begin(&child), 400, "has a parent");
    let mut spelled = root.bytes().to_vec();
    spelled.push(0);
    let other_spelling = json!({"NodeKey": nodekey(20), "GenesisAUM": b64(&spelled)});
    refuses(&mut server, "init/begin", &other_spelling, 400, "the genesis");

    let answer = server.call("init/begin", &begin(&root)).unwrap();
    let needed = answer["NeedSignatures"].as_array().unwrap();
    assert_eq!(needed.len(), 2);
    assert_eq!(needed[0]["NodeID"], 1);
    assert_eq!(needed[0]["NodePublic"], nodekey(20));
    assert_eq!(needed[1]["RotationPubkey"], b64(&key(21).public().0));

    // Another node cannot finish it, nor can its own when nodes have changed meanwhile.
    let body = finish_of(21, &signatures(&server));
    refuses(&mut server, "init/finish", &body, 404, "begun");
    let early = signatures(&server);
    server.group.add_node("late", 22);
    refuses(&mut server, "init/finish", &finish_of(20, &early), 409, "nodes changed");
    let mut swapped = signatures(&server);
    swapped.insert("3".into(), swapped["1"].clone());
    refuses(&mut server, "init/finish", &finish_of(20, &swapped), 409, "nodes changed");
    let by_another =
        server.group.signature(&key(9), server.group.node(ledger::history::NodeId(3)).id);
    let mut untrusted = signatures(&server);
    untrusted.insert("3".into(), b64(&by_another.to_cbor()));
    refuses(&mut server, "init/finish", &finish_of(20, &untrusted), 400, "signature of node 3");

    // Support secrets need an escrow, and must be secrets of the genesis.
    let request = |secret: &[u8]| {
        let mut body = finish_of(20, &signatures(&server));
        body["SupportDisablement"] = b64(secret);
        serde_json::from_value::<InitFinishRequest>(body).unwrap()
    };
    let now = server.now();
    let why = finish(server.ground(), &request(SECRET), now, false).unwrap_err();
    assert!(why.status() == 400 && why.to_string().contains("escrow"), "{why}");
    let why = finish(server.ground(), &request(b"another"), now, true).unwrap_err();
    assert!(why.status() == 400 && why.to_string().contains("incorrect"), "{why}");
    let done = finish(server.ground(), &request(SECRET), now, true).unwrap();
    assert_eq!(*done.support.as_ref().unwrap().0, SECRET);
    assert_eq!(format!("{:?}", done.support), "Some(Support(..))");
    // What was begun does not wait for ever.
    let late = finish(server.ground(), &request(SECRET), now + 601_000, true).unwrap_err();
    assert_eq!(late.status(), 404);

    let whole = finish_of(20, &signatures(&server));
    assert_eq!(server.call("init/finish", &whole).unwrap(), json!({}));
    assert_eq!(head(&server), root.hash());
    assert!(lifecycle::waiting(&server.group.rows).unwrap().is_none());
    // Its answer may have been lost: the same again is answered, and nothing happens.
    let before = records(&server);
    assert_eq!(server.call("init/finish", &whole).unwrap(), json!({}));
    assert_eq!(records(&server), before);
    let body = finish_of(21, &signatures(&server));
    refuses(&mut server, "init/finish", &body, 409, "already");
    refuses(&mut server, "init/begin", &begin(&genesis(2, &[(&maker, 1)])), 409, "already enabled");
}

#[test]
fn aums_are_taken_whole_or_not_at_all() {
    let mut server = locked();
    let root = head(&server);
    let lock = key(1);
    let unknown = json!({"NodeKey": nodekey(99), "Head": root.to_string(), "MissingAUMs": []});
    refuses(&mut server, "sync/send", &unknown, 403, "not in the roster");
    refuses(&mut server, "sync/send", &json!({"NodeKey": nodekey(20), "Head": "x"}), 400, "");

    let a = no_op(root, b"a", &[&lock]);
    let b = no_op(a.hash(), b"b", &[&lock]);
    let orphan = no_op(AumHash([7; 32]), b"o", &[&lock]);
    let untrusted = no_op(a.hash(), b"u", &[&key(9)]);
    for bad in [&orphan, &untrusted] {
        let body = send(&server, &[a.clone(), bad.clone()], false);
        refuses(&mut server, "sync/send", &body, 400, "the updates");
    }
    let mut forged = b.clone().into_aum();
    forged.signatures[0].signature = Some(vec![3; 64]);
    let body = send(&server, &[a.clone(), Sealed::new(forged)], false);
    refuses(&mut server, "sync/send", &body, 400, "signature");
    let mut padded = send(&server, &[], false);
    padded["MissingAUMs"] = json!([b64(&[a.bytes(), &[0]].concat())]);
    refuses(&mut server, "sync/send", &padded, 400, "update 0");

    let body = send(&server, &[a.clone(), b.clone(), a.clone()], false);
    assert_eq!(server.call("sync/send", &body).unwrap()["Head"], b.hash().to_string());
    // The same again, and nothing at all, change nothing.
    let before = records(&server);
    for again in [&body, &send(&server, &[], false)] {
        assert_eq!(server.call("sync/send", again).unwrap()["Head"], b.hash().to_string());
    }
    assert_eq!(records(&server), before);

    // A change stands on the head or is refused.
    let rival = no_op(root, b"z", &[&lock]);
    for interactive in [true, false] {
        let body = send(&server, std::slice::from_ref(&rival), interactive);
        assert!(server.call("sync/send", &body).is_err());
    }
    assert_eq!(records(&server), before);

    let mut many = vec![no_op(b.hash(), &0_u32.to_be_bytes(), &[&lock])];
    for n in 1..1025_u32 {
        many.push(no_op(many.last().unwrap().hash(), &n.to_be_bytes(), &[&lock]));
    }
    let body = send(&server, &many, false);
    refuses(&mut server, "sync/send", &body, 413, "1024");
    let ancestors = vec![root.to_string(); 1002];
    let offer = json!({"NodeKey": nodekey(20), "Head": root.to_string(), "Ancestors": ancestors});
    refuses(&mut server, "sync/offer", &offer, 413, "1001");
    let nowhere = AumHash([9; 32]).to_string();
    let offer = json!({"NodeKey": nodekey(20), "Head": nowhere, "Ancestors": [nowhere]});
    refuses(&mut server, "sync/offer", &offer, 409, "no intersection");
}

#[test]
fn a_long_chain_comes_in_pages() {
    // One key signs it all, more than the door lets it.
    let mut server = locked_in(Group::under_rules_1());
    let mut node = Node::joins(&mut server, "late", 30);
    let lock = key(1);
    for _ in 0..3 {
        let mut aums: Vec<Sealed> = Vec::new();
        for n in 0..1000_u32 {
            let parent = aums.last().map_or(head(&server), Sealed::hash);
            aums.push(no_op(parent, &n.to_be_bytes(), &[&lock]));
        }
        server.call("sync/send", &send(&server, &aums, false)).unwrap();
    }
    let mut offers = 0;
    let seen = node
        .visits_with(&mut server, |path, answer| {
            if path == "sync/offer" {
                offers += 1;
                assert!(answer["MissingAUMs"].as_array().is_none_or(|aums| aums.len() <= 1024));
            }
        })
        .unwrap();
    assert_eq!((seen.received, seen.settled), (3000, true));
    assert_eq!(offers, 3);
    assert_eq!(node.client.head(), Some(head(&server)));
}

/// Without the door an interactive change stands on the head or is refused; another one may lose, and
/// is kept.
#[test]
fn what_loses_is_kept_where_there_is_no_door() {
    let mut server = locked_in(Group::under_rules_1());
    let root = head(&server);
    let (a, z) = (no_op(root, b"a", &[&key(1)]), no_op(root, b"z", &[&key(1)]));
    let first = send(&server, std::slice::from_ref(&a), false);
    server.call("sync/send", &first).unwrap();
    let interactive = send(&server, std::slice::from_ref(&z), true);
    let outcome = server.call("sync/send", &interactive);
    let wins = z.hash() < a.hash();
    assert_eq!(outcome.is_ok(), wins, "{outcome:?}");
    let stored = send(&server, std::slice::from_ref(&z), false);
    let answer = server.call("sync/send", &stored).unwrap();
    let expected = if wins { z.hash() } else { a.hash() };
    assert_eq!(answer["Head"], expected.to_string());
    let chain = server.group.fold.authority().unwrap().chain(&server.group.rows);
    assert!(chain.node(&z.hash()).unwrap().is_some());
}

#[test]
fn signatures_and_secrets_are_checked() {
    let mut server = locked();
    let submit = |signature: &NodeKeySignature| json!({"NodeKey": nodekey(20), "Signature": b64(&signature.to_cbor())});
    let unknown = sign_direct(&key(1), node_key(99), None).unwrap();
    refuses(&mut server, "sign", &submit(&unknown), 404, "unknown node key");
    let untrusted = sign_direct(&key(9), node_key(20), None).unwrap();
    refuses(&mut server, "sign", &submit(&untrusted), 400, "the signature");
    let mut forged = sign_direct(&key(2), node_key(20), None).unwrap();
    forged.signature[0] ^= 1;
    refuses(&mut server, "sign", &submit(&forged), 400, "the signature");
    let garbage = json!({"NodeKey": nodekey(20), "Signature": b64(b"\xff")});
    refuses(&mut server, "sign", &garbage, 400, "the signature");

    // By another trusted key: kept, once; it then rests on that key.
    let good = sign_direct(&key(2), node_key(20), None).unwrap();
    let before = records(&server);
    for _ in 0..2 {
        assert_eq!(server.call("sign", &submit(&good)).unwrap(), json!({}));
    }
    assert_eq!(records(&server), before + 1);
    let affected = |id: &[u8]| json!({"NodeKey": nodekey(21), "KeyID": b64(id)});
    let by_2 = server.call("affected-sigs", &affected(&key(2).public().0)).unwrap();
    assert_eq!(by_2["Signatures"], json!([b64(&good.to_cbor())]));
    for nothing in [&b""[..], b"\x01\x02", &[0; 32]] {
        let answer = server.call("affected-sigs", &affected(nothing)).unwrap();
        assert_eq!(answer["Signatures"], Value::Null);
    }
    // Once the key is not trusted, its signature holds no longer and is not given.
    server.group.apply(server.group.removal(key(2).public()));
    let by_2 = server.call("affected-sigs", &affected(&key(2).public().0)).unwrap();
    assert_eq!(by_2["Signatures"], Value::Null);

    let root = server.group.fold.authority().unwrap().oldest().hash;
    let disable = |head: AumHash, secret: &[u8]| {
        let head = head.to_string();
        json!({"NodeKey": nodekey(20), "Head": head, "DisablementSecret": b64(secret)})
    };
    refuses(&mut server, "disable", &disable(root, b"guess"), 400, "incorrect");
    refuses(&mut server, "disable", &disable(AumHash([9; 32]), SECRET), 409, "has changed");
    assert_eq!(server.call("disable", &disable(root, SECRET)).unwrap(), json!({}));
    for (path, body) in [
        ("disable", disable(root, SECRET)),
        ("sign", submit(&good)),
        ("affected-sigs", affected(&[0; 32])),
        ("sync/offer", json!({"NodeKey": nodekey(20), "Head": root.to_string()})),
        ("sync/send", json!({"NodeKey": nodekey(20), "Head": root.to_string()})),
    ] {
        refuses(&mut server, path, &body, 409, "not active");
    }
    // The secret is public now, for nodes that had that lock.
    let ask = |head: &str| json!({"NodeKey": nodekey(20), "Head": head});
    let answer = server.call("bootstrap", &ask(&root.to_string())).unwrap();
    assert_eq!(answer, json!({"DisablementSecret": b64(SECRET)}));
    assert_eq!(server.call("bootstrap", &ask("")).unwrap(), answer);
    refuses(&mut server, "bootstrap", &ask(&AumHash([9; 32]).to_string()), 404, "off");
}

#[test]
fn each_node_is_told_what_concerns_its_own_lock() {
    let mut server = Server::default();
    server.group.add_node("one", 20);
    let off = TkaInfo { head: None, disabled: true };
    assert_eq!(info(server.ground(), None).unwrap(), off);
    server.group.apply(server.group.initialization(1, &[]));
    let first = head(&server);
    let on = |head| TkaInfo { head: Some(head), disabled: false };
    assert_eq!(info(server.ground(), None).unwrap(), on(first));
    assert_eq!(info(server.ground(), Some(first)).unwrap(), on(first));
    assert_eq!(info(server.ground(), Some(AumHash([9; 32]))).unwrap(), on(first));
    server.group.apply(server.group.disablement());
    assert_eq!(info(server.ground(), Some(first)).unwrap(), off);
    server.group.apply(server.group.initialization(2, &[]));
    let second = head(&server);
    assert_eq!(info(server.ground(), Some(first)).unwrap(), off);
    assert_eq!(info(server.ground(), None).unwrap(), on(second));
    assert_eq!(serde_json::to_value(off).unwrap(), json!({"Disabled": true}));
    assert_eq!(serde_json::to_value(on(second)).unwrap(), json!({"Head": second.to_string()}));
}

/// Control-protocol 6.3: the lock ended and another began while the node was away.
#[test]
fn a_node_that_missed_the_end_of_its_lock_heals() {
    let mut server = locked();
    let mut node = Node::joins(&mut server, "away", 30);
    node.agrees(&mut server);
    let first = node.client.head().unwrap();
    server.group.apply(server.group.disablement());
    server.group.apply(server.group.initialization(2, &[]));
    server.group.apply(server.group.disablement());
    server.group.apply(server.group.initialization(3, &[]));
    let seen = node.visits(&mut server);
    assert_eq!((seen.ended, seen.began, seen.settled), (1, 1, true));
    assert_ne!(node.client.head(), Some(first));
    node.agrees(&mut server);
}

/// What a hostile server says makes no node drop its lock, nor take another one.
#[test]
fn servers_that_lie_move_nothing() {
    let mut server = locked();
    let mut node = Node::joins(&mut server, "n", 30);
    node.agrees(&mut server);
    let before = node.client.head().unwrap();
    let change = Change::Add(Key::ed25519(key(4).public(), 1));
    let added = server.group.build(&server.group.lock, vec![change]);
    server.group.apply(Group::added(added));

    let foreign = genesis(9, &[(&key(9), 1)]);
    let foreign_child = no_op(foreign.hash(), b"x", &[&key(9)]);
    let strange = no_op(before, b"x", &[&key(9)]);
    type Lie = Box<dyn FnMut(&str, &mut Value)>;
    let map_says = |info: Value| -> Lie {
        Box::new(move |path, answer| {
            if path == "map" {
                answer["TKAInfo"] = info.clone();
            }
        })
    };
    let off_with = |reply: Value| -> Lie {
        let reply = reply.clone();
        Box::new(move |path, answer| match path {
            "map" => answer["TKAInfo"] = json!({"Disabled": true}),
            "bootstrap" => *answer = reply.clone(),
            _ => {}
        })
    };
    let offers = |aums: Vec<Value>| -> Lie {
        Box::new(move |path, answer| {
            if path == "sync/offer" {
                answer["MissingAUMs"] = json!(aums);
            }
        })
    };
    let offers_head = |head: AumHash| -> Lie {
        Box::new(move |path, answer| {
            if path == "sync/offer" {
                answer["Head"] = head.to_string().into();
                answer["Ancestors"] = json!([head.to_string()]);
            }
        })
    };
    let lies: Vec<(&str, Lie)> = vec![
        ("off, without a proof", map_says(json!({"Disabled": true}))),
        ("neither on nor off", map_says(json!({}))),
        ("a head that is none", map_says(json!({"Head": "x"}))),
        ("off, and nothing", off_with(json!({}))),
        ("off, with a genesis", off_with(json!({"GenesisAUM": b64(foreign.bytes())}))),
        ("off, with a guess", off_with(json!({"DisablementSecret": b64(b"guess")}))),
        ("off, with the value", {
            let value = ledger::testing::secret_value();
            off_with(json!({"DisablementSecret": b64(&value)}))
        }),
        ("a stranger's AUM", offers(vec![b64(strange.bytes())])),
        ("another lock's AUMs", offers(vec![b64(foreign.bytes()), b64(foreign_child.bytes())])),
        ("no AUM at all", offers(vec![b64(b"\xff\xff")])),
        ("no common ancestor", offers_head(foreign.hash())),
        (
            "no answer",
            Box::new(|path, answer| {
                if path == "sync/offer" {
                    *answer = json!([1, 2]);
                }
            }),
        ),
    ];
    for (name, lie) in lies {
        assert!(node.visits_with(&mut server, lie).is_err(), "{name}");
        assert_eq!(node.client.head(), Some(before), "{name}");
        assert!(node.client.enforced().is_some(), "{name}");
    }
    // Withholding is possible, and shows: the node knows that there is more.
    let seen = node.visits_with(&mut server, offers(Vec::new())).unwrap();
    assert!(!seen.settled);
    assert_eq!(node.client.head(), Some(before));

    // A node without a lock takes no genesis that does not verify.
    let mut fresh = Node::joins(&mut server, "m", 31);
    let mut forged = foreign.clone().into_aum();
    forged.signatures[0].signature = Some(vec![1; 64]);
    let forged = b64(Sealed::new(forged).bytes());
    let result = fresh.visits_with(&mut server, |path, answer| {
        if path == "bootstrap" {
            answer["GenesisAUM"] = forged.clone();
        }
    });
    assert!(result.is_err());
    assert_eq!(fresh.client.head(), None);
    node.agrees(&mut server);
    fresh.agrees(&mut server);

    // No secret of a lock is in an event before it has ended it.
    for record in server.group.records() {
        assert!(!matches!(record.proposal().proposal().event, Event::LockDisabled(_)));
    }
}
