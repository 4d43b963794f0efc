//! Random histories of locks, aimed at the door of rules 2: long lines by several keys, forks from
//! anywhere on them by whom there is, revocations that often outvote what they take away, and locks
//! of other servers that take the same.

use std::sync::LazyLock;

use ledger::history::{
    AdoptionBegun, AumsAdded, Event, MemberDetails, NodeSignature, RevocationOpened,
    RevocationSigned, RevocationWithdrawn, SignedProposal, Verdict, Who, adoption, cosigning,
    roster,
};
use ledger::ids::AumHash;
use ledger::lock::node_keys::sign_direct;
use ledger::lock::revocation::cosign;
use ledger::lock::signatures::{PrivateKey, Signer};
use ledger::lock::{Aum, AumKind, Authority, Key, Meta, Sealed, State};
use ledger::rows::Memory;
use ledger::testing::{Group, genesis, key};
use proptest::prelude::*;

/// Lock keys in play: seeds from 1 on.
const KEYS: u8 = 6;

/// One move: what, where, by whom, about what.
#[derive(Debug, Clone)]
pub struct Move {
    what: u8,
    at: u8,
    since: u8,
    signers: u8,
    about: u8,
    flags: u8,
}

pub fn moves(most: usize) -> impl Strategy<Value = Vec<Move>> {
    let one = (0..42u8, any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>());
    let one = one.prop_map(|(what, at, since, signers, about, flags)| Move {
        what,
        at,
        since,
        signers,
        about,
        flags,
    });
    prop::collection::vec(one, most / 2..most)
}

/// The key ID of a key in play.
fn id(seed: u8) -> Vec<u8> {
    static IDS: LazyLock<Vec<Vec<u8>>> =
        LazyLock::new(|| (0..=KEYS).map(|seed| key(seed).public().0.to_vec()).collect());
    IDS[usize::from(seed)].clone()
}

fn cosigned(aum: Aum, by: &[PrivateKey]) -> Sealed {
    by.iter().fold(Sealed::new(aum), |aum, key| cosign(aum, key).unwrap())
}

/// The lock as it stands.
struct Lock<'a> {
    rows: &'a Memory,
    authority: &'a Authority,
    /// From the oldest AUM to the head.
    line: Vec<AumHash>,
}

impl<'a> Lock<'a> {
    fn of(group: &'a Group) -> Option<Lock<'a>> {
        let (rows, authority) = (&group.rows, group.fold.authority()?);
        let back = authority.chain(rows).back_from(authority.head());
        let mut line: Vec<AumHash> = back.map(|aum| aum.unwrap().hash()).collect();
        line.reverse();
        Some(Lock { rows, authority, line })
    }

    fn state(&self, at: &AumHash) -> State {
        let state = self.authority.chain(self.rows).state_at(at).unwrap().unwrap();
        State { last_aum: None, ..state }
    }
}

impl Move {
    fn flag(&self, n: u8) -> bool {
        self.flags & 1 << n != 0
    }

    /// One in eight.
    fn seldom(&self) -> bool {
        self.flags >> 5 == 0
    }

    /// Signers whom the state trusts, as chosen, at least one; seldom one whom it does not.
    fn signers(&self, state: &State) -> Vec<PrivateKey> {
        let trusted = (1..=KEYS).filter(|seed| state.key(&id(*seed)).is_some());
        let all: Vec<u8> = trusted.collect();
        let mut chosen: Vec<u8> =
            all.iter().copied().filter(|seed| self.signers & 1 << seed != 0).collect();
        if chosen.is_empty() {
            chosen.extend(all.get(usize::from(self.signers) % all.len().max(1)));
        }
        if chosen.is_empty() || self.signers > 250 {
            chosen.push(1 + self.about % KEYS);
        }
        chosen.sort_unstable();
        chosen.dedup();
        chosen.into_iter().map(key).collect()
    }

    /// Its parts, to be made in this order.
    pub fn events(&self, group: &Group) -> Vec<Event> {
        let adoption = adoption::current(&group.rows, group.fold.lifecycle()).unwrap();
        let followed = adoption.as_ref().is_some_and(|adoption| adoption.followed);
        let Some(lock) = Lock::of(group) else {
            // What could not be brought in as a whole is given up.
            return if adoption.is_some() { vec![Event::AdoptionEnded] } else { self.begun(group) };
        };
        let aums = match self.what {
            0..=9 => self.gone_on(&lock),
            10..=14 => vec![self.change(&lock)],
            15 => vec![self.sum(&lock)],
            16..=24 => vec![self.revocation(&lock)],
            25..=26 => vec![self.wild(&lock)],
            27..=28 => vec![self.fork(&lock)],
            29 => self.several(&lock),
            30..=38 if followed => vec![self.revocation(&lock)],
            30..=33 => return vec![self.opened(&lock)],
            34..=38 => return self.waiting(group).into_iter().collect(),
            39 => return vec![self.signed(group)],
            40 => {
                let rules = 1 + u32::from(self.about % 4).min(1);
                let details = MemberDetails { rules, ..group.details() };
                return vec![
                    Event::MemberChanged(details),
                    Event::RulesActivated(1 + u32::from(self.at % 3)),
                ];
            }
            _ if followed => return vec![Event::AdoptionEnded],
            _ if self.flags.is_multiple_of(8) => return vec![group.disablement()],
            _ => self.gone_on(&lock),
        };
        if followed {
            return vec![Event::AumsAdopted(aums)];
        }
        let fork = aums.first().and_then(|aum| aum.parent_hash()) != Some(lock.authority.head());
        vec![Event::AumsAdded(AumsAdded {
            aums,
            fork: fork || self.seldom(),
            signatures: Vec::new(),
            reason: None,
            note: None,
        })]
    }

    /// A lock begins: made here, or brought from elsewhere with a few AUMs.
    fn begun(&self, group: &Group) -> Vec<Event> {
        let own = &group.lock;
        let others: Vec<PrivateKey> =
            (2..=KEYS).filter(|seed| self.signers & 1 << seed != 0).map(key).collect();
        let mut trusted = vec![(own, 1 + u64::from(self.at % 2))];
        trusted.extend(others.iter().zip(0..).map(|(key, n)| {
            let votes = 1 + u64::from(self.since >> (n % 7) & 1) * 2;
            (key, votes)
        }));
        let root = genesis(group.fold.next_index(), &trusted);
        if self.what < 28 {
            let Event::LockInitialized(mut init) = group.initialization(0, &[]) else {
                return Vec::new();
            };
            init.genesis = root;
            return vec![Event::LockInitialized(init)];
        }
        let mut aums = vec![root.clone()];
        for n in 0..self.at % 3 {
            let mut aum = Aum::new(AumKind::NO_OP, Some(aums[usize::from(n)].hash()));
            aum.key_id = Some(vec![n]);
            if self.flag(1) {
                // It may have changed what our door would not let anybody change.
                aum = Aum::new(AumKind::CHECKPOINT, aum.parent_hash());
                let mut state = root.state.clone().unwrap();
                self.alter(&mut state);
                aum.state = Some(state);
            }
            aums.push(cosigned(aum, &[key(1)]));
        }
        let (head, count) = (aums[aums.len() - 1].hash(), aums.len() as u64);
        let followed = self.flag(0);
        let begun = AdoptionBegun { root, head, aums: count, followed };
        let mut events = vec![Event::AdoptionBegun(Box::new(begun))];
        if count > 1 {
            events.push(Event::AumsAdopted(aums.split_off(1)));
        }
        events
    }

    /// NoOps on the head.
    fn gone_on(&self, lock: &Lock<'_>) -> Vec<Sealed> {
        let signers = self.signers(lock.authority.state());
        let mut at = lock.authority.head();
        let one = |n: u8| {
            let mut aum = Aum::new(AumKind::NO_OP, Some(at));
            aum.key_id = Some(vec![n, self.about]);
            if self.seldom() && self.about.is_multiple_of(4) {
                // Which says nothing, since it is no checkpoint.
                aum.state = Some(lock.state(&lock.line[usize::from(self.since) % lock.line.len()]));
            }
            let aum = cosigned(aum, &signers);
            at = aum.hash();
            aum
        };
        (0..1 + self.at % 5).map(one).collect()
    }

    /// A change of the trusted keys on the head.
    fn change(&self, lock: &Lock<'_>) -> Sealed {
        let seed = 1 + self.about % KEYS;
        let known = lock.authority.state().key(&id(seed)).is_some();
        let votes = 1 + u64::from(self.at % 3);
        let head = Some(lock.authority.head());
        let mut aum;
        if !known {
            aum = Aum::new(AumKind::ADD_KEY, head);
            aum.key = Some(Key::ed25519(key(seed).public(), votes));
        } else if self.flag(0) && self.flag(1) {
            aum = Aum::new(AumKind::REMOVE_KEY, head);
            aum.key_id = Some(id(seed));
        } else {
            aum = Aum::new(AumKind::UPDATE_KEY, head);
            aum.key_id = Some(id(seed));
            if self.flag(2) {
                let purpose =
                    ["signing", "pre-auth key"][usize::from(self.flag(3) && self.flag(4))];
                aum.meta = Some(Meta([("purpose".to_owned(), purpose.to_owned())].into()));
            } else {
                aum.votes = Some(votes);
            }
        }
        cosigned(aum, &self.signers(lock.authority.state()))
    }

    /// A checkpoint on the head: of what it trusts, or seldom of something else.
    fn sum(&self, lock: &Lock<'_>) -> Sealed {
        let head = lock.authority.head();
        let mut state = lock.state(&head);
        let signers = self.signers(&state);
        if self.flag(0) {
            self.alter(&mut state);
        }
        let mut aum = Aum::new(AumKind::CHECKPOINT, Some(head));
        aum.state = Some(state);
        cosigned(aum, &signers)
    }

    fn alter(&self, state: &mut State) {
        let keys = state.keys.as_mut().unwrap();
        match self.about % 6 {
            0 => keys.reverse(),
            1 => keys[0].votes += 1,
            2 => keys.push(Key::ed25519(key(20).public(), 1)),
            3 => state.disablement_values = Some(vec![Some(vec![9; 32])]),
            4 => state.disablement_values.as_mut().unwrap().insert(0, Some(vec![9; 32])),
            _ => keys.retain(|key| key.id() != Some(&id(1 + self.at % KEYS))),
        }
    }

    /// A revocation of what one key of the line did, mostly by enough others.
    fn revocation(&self, lock: &Lock<'_>) -> Sealed {
        let len = lock.line.len();
        let depth = if self.flag(0) { len.min(6) } else { len };
        let fork = len - 1 - usize::from(self.at) % depth;
        let since =
            if self.flag(1) { len - 1 } else { fork + usize::from(self.since) % (len - fork) };
        let (at_fork, mut state) = (lock.state(&lock.line[fork]), lock.state(&lock.line[since]));
        let keys = state.keys.as_mut().unwrap();
        let one = keys[usize::from(self.about) % keys.len()].clone();
        let two = 1 + self.about % KEYS;
        let gone = |key: &Key| *key == one || self.seldom() && key.id() == Some(&id(two));
        keys.retain(|key| !gone(key));
        let mut signers = self.signers(&at_fork);
        if self.flag(2) || self.flag(3) {
            let left = |seed: &u8| at_fork.key(&id(*seed)).is_some_and(|key| !gone(key));
            signers = (1..=KEYS).filter(left).map(key).collect();
            if signers.is_empty() {
                signers = self.signers(&at_fork);
            }
            let fewer = if self.flag(3) { 0 } else { usize::from(self.signers) % signers.len() };
            signers.truncate(signers.len() - fewer);
        }
        let mut aum = Aum::new(AumKind::CHECKPOINT, Some(lock.line[fork]));
        aum.state = Some(state);
        cosigned(aum, &signers)
    }

    /// A checkpoint anywhere, of anything that was trusted anywhere, or of nothing of the kind.
    fn wild(&self, lock: &Lock<'_>) -> Sealed {
        let chain = lock.authority.chain(lock.rows);
        let all: Vec<AumHash> = chain.nodes().unwrap().map(|node| node.unwrap().0).collect();
        let fork = all[usize::from(self.at) % all.len()];
        let mut state = lock.state(&all[usize::from(self.since) % all.len()]);
        if self.flag(0) && self.flag(1) {
            self.alter(&mut state);
        }
        if self.flag(2) {
            state.keys.as_mut().unwrap().retain(|key| key.id() != Some(&id(1 + self.about % KEYS)));
        }
        let mut aum = Aum::new(AumKind::CHECKPOINT, Some(fork));
        aum.state = Some(state);
        cosigned(aum, &self.signers(&lock.state(&fork)))
    }

    /// A NoOp or a RemoveKey beside what is on record.
    fn fork(&self, lock: &Lock<'_>) -> Sealed {
        let chain = lock.authority.chain(lock.rows);
        let all: Vec<AumHash> = chain.nodes().unwrap().map(|node| node.unwrap().0).collect();
        let fork = all[usize::from(self.at) % all.len()];
        let state = lock.state(&fork);
        let kind = [AumKind::NO_OP, AumKind::REMOVE_KEY][usize::from(self.flag(0))];
        let mut aum = Aum::new(kind, Some(fork));
        let keys = state.keys();
        aum.key_id = keys[usize::from(self.about) % keys.len()].id().map(<[u8]>::to_vec);
        cosigned(aum, &self.signers(&state))
    }

    /// A revocation in one event with other AUMs, before or after.
    fn several(&self, lock: &Lock<'_>) -> Vec<Sealed> {
        let revocation = self.revocation(lock);
        let on = |at: AumHash, state: &State| {
            let aum = Aum::new(AumKind::NO_OP, Some(at));
            cosigned(aum, &self.signers(state))
        };
        match self.about % 4 {
            0 => {
                let mut aums = self.gone_on(lock);
                aums.push(revocation);
                aums
            }
            1 => vec![on(lock.authority.head(), lock.authority.state()), self.fork(lock)],
            _ => {
                let after = on(revocation.hash(), revocation.state.as_ref().unwrap());
                vec![revocation, after]
            }
        }
    }

    /// A revocation begins to wait with one signature or with all that it has.
    fn opened(&self, lock: &Lock<'_>) -> Event {
        let mut aum = match self.what {
            30 => self.wild(lock),
            31 => self.sum(lock),
            _ => self.revocation(lock),
        }
        .into_aum();
        if !self.flag(4) {
            aum.signatures.truncate(1);
        }
        let aum = Sealed::new(aum);
        let (keys, reason, note) = (Vec::new(), None, None);
        Event::RevocationOpened(Box::new(RevocationOpened { aum, keys, reason, note }))
    }

    /// A revocation that waits is signed, finished or, seldom, withdrawn.
    fn waiting(&self, group: &Group) -> Option<Event> {
        let waiting = cosigning::list(&group.rows).unwrap();
        let pending = waiting.get(usize::from(self.at) % waiting.len().max(1))?;
        let revocation = pending.id();
        Some(match self.flags % 4 {
            0 if self.seldom() => {
                Event::RevocationWithdrawn(RevocationWithdrawn { revocation, note: None })
            }
            0..=1 => Event::AumsAdded(AumsAdded {
                aums: vec![pending.opened.aum.clone()],
                fork: true,
                signatures: Vec::new(),
                reason: None,
                note: None,
            }),
            _ => {
                let signed = |seed: &u8| {
                    let mut by = pending.opened.aum.signatures.iter();
                    by.any(|signature| signature.key_id == Some(id(*seed)))
                };
                let chosen = |seed: &u8| self.signers & 1 << seed != 0;
                let seeds =
                    (1..=KEYS).filter(|seed| chosen(seed) && (self.seldom() || !signed(seed)));
                let mut signatures: Vec<_> =
                    seeds.map(|seed| (key(seed).public(), key(seed).sign(&revocation.0))).collect();
                signatures.sort();
                signatures.truncate(1 + usize::from(self.about % 2));
                Event::RevocationSigned(RevocationSigned { revocation, signatures })
            }
        })
    }

    /// The nodes are signed by one of the keys.
    fn signed(&self, group: &Group) -> Event {
        let signer = key(1 + self.about % KEYS);
        let sign = |node: roster::Node| {
            let signature = sign_direct(&signer, node.node_key, node.lock_key).unwrap();
            NodeSignature { node: node.id, signature }
        };
        Event::NodeKeysSigned(roster::list(&group.rows).unwrap().into_iter().map(sign).collect())
    }

    /// Makes a part of the move.
    pub fn make(&self, group: &mut Group, event: Event) -> Option<(SignedProposal, Verdict)> {
        let mut proposal = group.proposal(event);
        if self.since.is_multiple_of(3) {
            proposal.actor.who = Who::Member;
        }
        let signed = SignedProposal::sign(&proposal, &group.member).ok()?;
        Some((signed.clone(), group.admit_signed(signed)))
    }
}

/// A group that begins under these rules, with two nodes, before any move.
pub fn founded(rules: u32) -> (Group, Vec<(SignedProposal, Verdict)>) {
    let mut group = Group::unfounded_under(rules);
    let founding = group.founding();
    let node = |name: &str, byte: u8| {
        Event::NodeAdded(ledger::history::NewNode {
            name: name.into(),
            node_key: ledger::testing::node_key(byte),
            lock_key: None,
            own: false,
            signature: None,
            auth_key: None,
        })
    };
    let made = [founding, node("a", 1), node("b", 2)].map(|event| {
        let proposal = group.proposal(event);
        let signed = SignedProposal::sign(&proposal, &group.member).unwrap();
        (signed.clone(), group.admit_signed(signed))
    });
    (group, made.into())
}
