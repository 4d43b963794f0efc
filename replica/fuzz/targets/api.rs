//! Bodies of requests on the local socket: what is read is written so that it reads the same, and a
//! plan made of it is an event that the history records or refuses as a whole.
//!
//! Input: which body, which history, then the JSON.
#![no_main]

use std::fmt::Debug;

use ledger::history::{ChangeReason, Event, ReplicaId, Verdict};
use ledger::ids::LockKey;
use ledger::lock::signatures::{PrivateKey, Signer, is_weak};
use ledger::lock::{Key, KeyKind, Meta, Sealed};
use ledger::testing::{Group, key};
use ledger_fuzz::{Choices, histories};
use libfuzzer_sys::fuzz_target;
use replica::local_api::bodies::*;
use replica::operations::outside::Draft;
use replica::operations::{Ground, NotPlanned, auth_keys, modify, revoke, sign};
use serde::Serialize;
use serde::de::DeserializeOwned;

fuzz_target!(init: { histories(); }, |input: &[u8]| {
    let mut choices = Choices::new(input);
    let which = choices.below(24);
    let mut at = At { group: choices.one(histories()).group(), signer: key(1) };
    let body = choices.rest();
    match which {
        0 => drop(go::<InitRequest>(body)),
        1 => go::<ModifyRequest>(body).into_iter().for_each(|request| at.modify(request)),
        2 => go::<SignRequest>(body).into_iter().for_each(|request| at.sign(request)),
        3 => drop(go::<WrapRequest>(body)),
        4 => drop(go::<DeeplinkRequest>(body)),
        5 => go::<GenerateRequest>(body).into_iter().for_each(|request| at.generate(request)),
        6 => at.cosign(Sealed::decode(body).ok().map(Box::new).map(revoke::Which::Blob)),
        7 => ours::<RemoveRequest>(body).into_iter().for_each(|request| at.remove(&request)),
        8 => drop(
            ours::<NodeAddRequest>(body)
                .map(|request| request.auth_key.map(|key| auth_keys::shown(key.expose()).is_ok())),
        ),
        9 => drop(ours::<NodeRotateRequest>(body)),
        10 => ours::<NodeRemoveRequest>(body).into_iter().for_each(|request| at.find(&request)),
        11 => drop(ours::<AuthKeyCreateRequest>(body)),
        12 => drop(ours::<AuthKeyRevokeRequest>(body)),
        13 => ours::<AskedBody>(body).into_iter().for_each(|request| at.outside(&request)),
        14 => ours::<SigningRequest>(body).into_iter().for_each(|request| at.draft(request)),
        15 => ours::<SignedRequest>(body).into_iter().for_each(|request| at.signed(&request)),
        16 => drop(ours::<OpenRevocationRequest>(body)),
        17 => at.cosign(ours::<WhichRevocation>(body).and_then(|which| which.which().ok())),
        18 => at.finish(ours::<FinishRevocationRequest>(body)),
        19 => drop(ours::<WithdrawRevocationRequest>(body)),
        20 => drop(ours::<AdoptionBeginRequest>(body)),
        21 => drop(ours::<AdoptionAumsRequest>(body)),
        22 => drop(ours::<AdoptionObserveRequest>(body)),
        _ => drop(ours::<AdoptionNodeRequest>(body)),
    }
});

/// As Go's decoder reads it: and what we would write is read the same, by it and strictly.
fn go<T: Serialize + DeserializeOwned + Default + PartialEq + Debug>(body: &[u8]) -> Option<T> {
    let request: T = from_go_json(body).ok()?;
    let written = to_json(&request);
    assert_eq!(from_go_json::<T>(&written).expect("our own JSON"), request);
    assert_eq!(serde_json::from_slice::<T>(&written).expect("our own JSON"), request);
    // What follows the first value does not count.
    let longer = [body, b" {\"Keys\": 7"].concat();
    if serde_json::from_slice::<serde_json::Value>(body).is_ok() {
        assert_eq!(from_go_json::<T>(&longer).expect("the same"), request);
    }
    Some(request)
}

fn ours<T: Serialize + DeserializeOwned + PartialEq + Debug>(body: &[u8]) -> Option<T> {
    let request: T = serde_json::from_slice(body).ok()?;
    let written = to_json(&request);
    assert_eq!(serde_json::from_slice::<T>(&written).expect("our own JSON"), request);
    Some(request)
}

/// A ledger and its signing node.
struct At {
    group: Group,
    signer: PrivateKey,
}

impl At {
    fn ground(&self) -> Ground<'_> {
        Ground { fold: &self.group.fold, rows: &self.group.rows }
    }

    /// What is planned is recorded, or refused as a whole, which the group checks.
    fn done(&mut self, planned: Result<Option<Event>, NotPlanned>) {
        match planned {
            Ok(Some(event)) => {
                let mut proposal = self.group.proposal(event);
                proposal.request = "fuzzed".parse().expect("an ID");
                let verdict = self.group.admit(&proposal);
                assert!(!matches!(verdict, Verdict::Repeated { .. }));
            }
            Ok(None) => {}
            Err(NotPlanned::Fault(fault)) => panic!("of sound rows: {fault}"),
            Err(why) => {
                assert!(!why.to_string().is_empty());
                let _ = why.remedy();
            }
        }
    }

    fn modify(&mut self, request: ModifyRequest) {
        let keys = |bodies: Option<Vec<KeyBody>>| -> Vec<Key> {
            bodies.unwrap_or_default().into_iter().map(key_of).collect()
        };
        let remove: Vec<LockKey> =
            keys(request.remove_keys).iter().filter_map(Key::lock_key).collect();
        let add = keys(request.add_keys);
        let weak = add.iter().any(|key| key.lock_key().is_some_and(|key| is_weak(&key)));
        let order = modify::Order { add, remove, ..modify::Order::default() };
        let planned = modify::plan(self.ground(), &order, None, &self.signer);
        assert!(!(weak && matches!(planned, Ok(Some(_)))));
        self.done(planned);
    }

    fn sign(&mut self, request: SignRequest) {
        let rotation = request.rotation_public.as_ref();
        let rotation = rotation.and_then(|key| key.0.as_slice().try_into().ok()).map(LockKey);
        let planned = sign::plan(self.ground(), request.node_key, rotation, &self.signer);
        self.done(planned.map(Some));
    }

    fn generate(&mut self, request: GenerateRequest) {
        let keys = request.keys.iter().flatten();
        let mut keys: Vec<LockKey> =
            keys.filter_map(|key| key.0.as_slice().try_into().ok()).map(LockKey).collect();
        keys.push(key(4).public());
        let about = revoke::About { keys, ..revoke::About::default() };
        let fork_from = request.fork_from.parse().ok();
        let planned = revoke::generate::plan(self.ground(), &about, fork_from, &self.signer);
        self.done(planned.map(|step| step.event));
    }

    fn cosign(&mut self, which: Option<revoke::Which>) {
        let Some(which) = which else { return };
        let planned = revoke::cosign::plan(self.ground(), &which, &self.signer);
        self.done(planned.map(|step| step.event));
    }

    fn finish(&mut self, request: Option<FinishRevocationRequest>) {
        let Some(which) = request.and_then(|request| request.which.which().ok()) else { return };
        let planned = revoke::finish::plan(self.ground(), &which, None, None);
        self.done(planned);
    }

    fn remove(&mut self, request: &RemoveRequest) {
        let keys: Option<Vec<LockKey>> = request.keys.iter().map(|key| key.parse().ok()).collect();
        let Some(remove) = keys else { return };
        let reason = ChangeReason::ALL
            .into_iter()
            .find(|reason| Some(reason.name()) == request.reason.as_deref());
        let (resign, note) = (request.resign, request.note.clone());
        let order = modify::Order { add: Vec::new(), remove, resign, reason, note };
        let planned = modify::plan(self.ground(), &order, None, &self.signer);
        self.done(planned);
    }

    fn find(&mut self, request: &NodeRemoveRequest) {
        if let Ok(node) = self.ground().node(&request.node) {
            assert!(self.ground().node(&node.stable_id()).is_ok());
        }
        let planned =
            replica::operations::nodes::remove(self.ground(), &request.node, ReplicaId(1));
        self.done(planned.map(Some));
    }

    fn outside(&mut self, request: &AskedBody) {
        let Ok(asked) = request.asked() else { return };
        let signer = self.signer.public();
        match Draft::plan(self.ground(), &asked, signer, ReplicaId(1), None) {
            Ok(Some(draft)) => {
                assert_eq!(draft.signer(), signer);
                let made = draft.sign(&self.signer).expect("it was drafted for this key");
                let signed = draft.signed(&made).expect("they hold");
                let head = self.group.fold.authority().expect("it was planned for one").head();
                let planned = signed.plan(self.ground(), &asked, ReplicaId(1), head);
                self.done(planned);
            }
            Ok(None) => {}
            Err(why) => self.done(Err(why)),
        }
    }

    fn draft(&mut self, request: SigningRequest) {
        let draft = request.draft();
        if let Ok(draft) = &draft {
            assert_eq!(request.signer().ok(), Some(draft.signer()));
        }
        for signer in [key(1), key(2)] {
            let Ok(signed) = request.clone().sign(&signer) else { continue };
            assert_eq!(request.signer().ok(), Some(signer.public()));
            assert!(signed.presigned().is_ok());
            self.signed(&signed);
        }
    }

    fn signed(&mut self, request: &SignedRequest) {
        let (Ok(signed), Ok(asked)) = (request.presigned(), request.request.asked.asked()) else {
            return;
        };
        let Ok(head) = request.request.head() else { return };
        let planned = signed.plan(self.ground(), &asked, ReplicaId(1), head);
        self.done(planned);
    }
}

fn key_of(body: KeyBody) -> Key {
    Key {
        kind: KeyKind(body.kind),
        votes: body.votes,
        public: body.public.map(|public| public.0),
        meta: body.meta.map(Meta),
    }
}
