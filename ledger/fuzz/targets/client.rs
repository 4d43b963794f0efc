//! The client's half of the lock under a hostile server: whatever it sends, what is refused leaves
//! no trace, the lock ends by a secret of its own alone, and the head is the one that the rules
//! choose among all AUMs that were taken in.
//!
//! Input: choices. The server has genuine AUMs of two locks and forged ones, and may send bytes of
//! its own.
#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ledger::Failure;
use ledger::ids::AumHash;
use ledger::lock::client::{Bootstrap, CHAIN, Client, Question, Reply, Round, Told, judge};
use ledger::lock::forks;
use ledger::lock::revocation::cosign;
use ledger::lock::signatures::{OneCore, Signer, is_weak};
use ledger::lock::sync::{Offer, intersection};
use ledger::lock::{Aum, AumKind, Chain, Key, Sealed};
use ledger::rows::{Draft, Memory};
use ledger::testing::{Chains, SECRET, genesis, key, secret_value};
use ledger_fuzz::{Choices, lock_key};
use libfuzzer_sys::fuzz_target;

/// What the server can send.
static AUMS: LazyLock<Vec<Sealed>> = LazyLock::new(|| {
    let one = genesis(1, &[(&key(1), 1), (&key(2), 2)]);
    let two = genesis(2, &[(&key(1), 1)]);
    let make = |name: &str| {
        let mut aum = Aum::new(AumKind::ADD_KEY, None);
        match name.as_bytes() {
            [b'+', seed] => aum.key = Some(Key::ed25519(key(*seed).public(), 1)),
            [b'-', seed] => {
                aum = Aum::new(AumKind::REMOVE_KEY, None);
                let seed = if seed.is_ascii_digit() { seed - b'0' } else { *seed };
                aum.key_id = Some(key(seed).public().0.to_vec());
            }
            _ => return None,
        }
        Some(aum)
    };
    let tree = "G -> A -> +a -> B -> -2 -> C\n A -> D -> E -> F -> H\n +a -> +b -> I\n G -> J";
    let mut all = vec![one.clone(), two.clone()];
    all.extend(Chains::with(tree, &one, &key(1), make).all());
    // The same branches with more votes behind them, and those of strangers.
    all.extend(Chains::with("G -> K -> -1 -> L", &one, &key(2), make).all());
    all.extend(Chains::with("G -> M -> N", &one, &key(9), make).all());
    all.extend(Chains::with("G -> O -> P", &two, &key(1), make).all());
    all
});

/// A node, its rows, and every AUM that it has taken in.
struct Node {
    rows: Memory,
    client: Client,
    taken: BTreeMap<AumHash, Sealed>,
    /// The KDF is slow; a run derives few times.
    derivations: usize,
}

impl Node {
    /// Does something whose rows stay only if it succeeds.
    fn does<T>(
        &mut self,
        f: impl FnOnce(&mut Client, &mut Draft<'_>) -> Result<T, Failure>,
    ) -> Option<T> {
        let (before, set_aside) = (self.client.head(), self.client.disabled_here());
        let mut draft = Draft::on(&self.rows);
        let result = f(&mut self.client, &mut draft);
        let changes = draft.finish();
        let done = match result {
            Ok(done) => {
                self.rows.apply(changes);
                Some(done)
            }
            Err(Failure::Refused(_)) => {
                assert!(changes.is_empty());
                assert_eq!(self.client.head(), before);
                assert_eq!(self.client.disabled_here(), set_aside);
                None
            }
            Err(Failure::Fault(fault)) => panic!("its own rows: {fault}"),
        };
        self.holds();
        done
    }

    fn holds(&mut self) {
        let again = Client::open(&self.rows).expect("its own rows");
        assert_eq!(again.head(), self.client.head());
        assert_eq!(again.state_id(), self.client.state_id());
        assert_eq!(again.disabled_here(), self.client.disabled_here());
        assert_eq!(
            self.client.enforced().is_some(),
            again.head().is_some() && !again.disabled_here()
        );
        let chain = Chain::new(&self.rows, CHAIN);
        let stored: Vec<AumHash> =
            chain.nodes().expect("rows").map(|node| node.expect("a row").0).collect();
        for hash in &stored {
            let aum = chain.aum(hash).expect("rows").expect("an AUM of its own");
            self.taken.insert(*hash, aum);
        }
        self.taken.retain(|hash, _| stored.contains(hash));
        let Some(authority) = self.client.authority() else {
            assert!(stored.is_empty());
            return;
        };
        // As somebody who has nothing but the AUMs finds it.
        let opened = forks::open(&self.taken, None).expect("one chain");
        assert_eq!(opened.head(), authority.head());
        assert_eq!(&opened.state, authority.state());
        assert!(
            authority.state().keys().iter().all(|key| !key.lock_key().is_some_and(|k| is_weak(&k)))
        );
        let offer = self.client.offer(&self.rows).expect("an offer");
        assert!(intersection(&self.rows, authority, &offer).is_ok());
        assert!(self.client.missing(&self.rows, &offer).expect("rows").is_empty());
        assert!(judge(&self.client, &[], &OneCore).is_empty());
    }
}

fuzz_target!(init: { secret_value(); }, |input: &[u8]| {
    let mut choices = Choices::new(input);
    let rows = Memory::new();
    let client = Client::open(&rows).expect("no rows");
    let mut node = Node { rows, client, taken: BTreeMap::new(), derivations: 0 };
    for _ in 0..24 {
        if choices.is_over() {
            break;
        }
        match choices.below(8) {
            0 => drop(node.does(Client::local_disable)),
            1 => drop(node.does(Client::local_enable)),
            2 => {
                let genesis = aum(&mut choices);
                let had = node.client.head();
                if node.does(|client, draft| client.bootstrap(draft, &genesis)).is_some() {
                    assert_eq!((had, node.client.head()), (None, Some(genesis.hash())));
                }
            }
            3 => {
                let aums = aums(&mut choices);
                node.does(|client, draft| client.inform(draft, aums, &OneCore));
            }
            _ => visited(&mut node, &mut choices),
        }
    }
});

/// One conversation.
fn visited(node: &mut Node, choices: &mut Choices<'_>) {
    let told = if choices.below(4) == 0 { Told::Off } else { Told::On(hash(choices)) };
    let Ok(mut round) = Round::begin(&node.client, &node.rows, told) else { return };
    let mut questions = 0;
    while let Some(question) = round.question() {
        questions += 1;
        assert!(questions <= 3);
        if let Question::Send { head, aums } = question {
            assert_eq!(Some(*head), node.client.head());
            assert!(aums.iter().all(|aum| node.taken.contains_key(&aum.hash())));
        }
        let reply = reply(node, choices, matches!(question, Question::Bootstrap { .. }));
        let secret = match &reply {
            Reply::Bootstrap(bootstrap) => bootstrap.secret.clone(),
            _ => None,
        };
        let had = node.client.head();
        let done = node.does(|client, draft| round.reply(client, draft, reply, &OneCore));
        if had.is_some() && node.client.head().is_none() {
            assert_eq!(secret.as_deref(), Some(SECRET));
            assert!(round.progress().ended && told == Told::Off);
        }
        if done.is_none() {
            assert!(round.question().is_none());
        }
    }
}

fn reply(node: &mut Node, choices: &mut Choices<'_>, bootstrap: bool) -> Reply {
    match choices.below(8) {
        // Mostly what was asked for.
        0 => Reply::Sent { head: hash(choices) },
        _ if bootstrap => {
            let genesis = (choices.below(4) > 0).then(|| aum(choices));
            let right = choices.below(3);
            let secret = match right {
                _ if node.derivations >= 2 => None,
                0 => None,
                1 => Some(SECRET.to_vec()),
                // A value is no secret.
                _ => Some(secret_value().to_vec()),
            };
            node.derivations += usize::from(secret.is_some() && node.client.head().is_some());
            Reply::Bootstrap(Bootstrap { genesis, secret })
        }
        1 => Reply::Sent { head: hash(choices) },
        _ => {
            let ancestors = (0..choices.below(5)).map(|_| hash(choices)).collect();
            Reply::Offer { offer: Offer { head: hash(choices), ancestors }, aums: aums(choices) }
        }
    }
}

fn aums(choices: &mut Choices<'_>) -> Vec<Sealed> {
    (0..choices.below(9)).map(|_| aum(choices)).collect()
}

/// A genuine AUM, a changed one, or bytes of the server's own.
fn aum(choices: &mut Choices<'_>) -> Sealed {
    let which = usize::from(choices.byte());
    if let Some(aum) = AUMS.get(which) {
        return aum.clone();
    }
    let base = choices.one(&AUMS).clone();
    if which < 200 {
        let mut bytes = base.bytes().to_vec();
        let at = usize::from(choices.byte()) << 1 | choices.below(2);
        let length = bytes.len();
        bytes[at % length] ^= choices.byte();
        return Sealed::decode(&bytes).unwrap_or(base);
    }
    // Signed, on any parent, by a key that may be trusted.
    let mut aum = base.into_aum();
    aum.signatures.clear();
    aum.parent = Some(hash(choices).0.to_vec());
    let signer = lock_key(1 + choices.byte() % 3);
    cosign(Sealed::new(aum), signer).expect("nobody has signed it")
}

fn hash(choices: &mut Choices<'_>) -> AumHash {
    let which = usize::from(choices.byte());
    AUMS.get(which).map_or(AumHash([0x55; 32]), Sealed::hash)
}
