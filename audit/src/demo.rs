//! A sample history, made by the real ledger: a stolen key, the revocation that undid it, and a new
//! key in its place. All keys in it are made from fixed seeds: nobody may use them for anything.

use ledger::formats::tlog::{Checkpoint, Note};
use ledger::history::{
    Actor, AumsAdded, ChangeReason, ChangedNode, ClusterId, Event, Fold, Founder, Initialization,
    KNOWN_RULES, LogKey, MemberDetails, MemberKey, NewNode, NodeId, NodeSignature, Proposal,
    Record, ReplicaId, RevocationOpened, RevocationSigned, SignedProposal, Verdict, Who, roster,
};
use ledger::ids::NodeKey;
use ledger::lock::builder::{Change, UpdateBuilder};
use ledger::lock::node_keys::sign_direct;
use ledger::lock::revocation::{cosign, generate};
use ledger::lock::signatures::{PrivateKey, Signer, Unverified, verify_one};
use ledger::lock::{Authority, Key, Sealed, State, disablement};
use ledger::rows::{Draft, Memory};
use ledger::{Fault, Refusal};

use crate::audit::{Live, Options, audit_live};
use crate::evidence::NoEvidence;
use crate::records::Stored;

/// A story, told by a ledger.
#[derive(Debug)]
pub struct Story {
    /// The evidence bundle.
    pub bundle: Vec<u8>,
    /// A day after its end, in milliseconds since 1970.
    pub now_ms: u64,
}

/// Why a story could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NoStory {
    /// The ledger refused an event: its rules have changed, and the story has to change too.
    #[error("the ledger refused it: {0}")]
    Refused(#[from] Refusal),
    /// The ledger failed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// No evidence could be made of it.
    #[error(transparent)]
    Evidence(#[from] NoEvidence),
    /// Something is not there that a former event has made.
    #[error("the story lost its thread: {0}")]
    Lost(&'static str),
}

/// The morning of the first day: 2026-03-02, 09:00 UTC.
const MORNING_MS: u64 = 1_772_442_000_000;
const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 1440 * MINUTE_MS;
/// The ledger's ID.
const CLUSTER: ClusterId = ClusterId(*b"stolen-key-story");

/// People, by the user IDs that the signing node knows them by.
const ADA: (u32, &str) = (1000, "ada");
const BEN: (u32, &str) = (1001, "ben");

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed(&[seed; 32])
}

fn node_key(seed: u8) -> NodeKey {
    NodeKey([seed; 32])
}

/// A ledger of one member while its story is told.
struct Teller {
    rows: Memory,
    fold: Fold,
    member: PrivateKey,
    now_ms: u64,
    actor: (u32, &'static str),
    records: Vec<Record>,
}

impl Teller {
    fn event(&mut self, minutes: u64, event: Event) -> Result<(), NoStory> {
        self.now_ms += minutes * MINUTE_MS;
        let number = self.records.len();
        let proposal = Proposal {
            cluster: CLUSTER,
            incarnation: 1,
            last_index: self.fold.next_index() + 100,
            request: format!("story-{number}").parse().map_err(|_| NoStory::Lost("a request"))?,
            digest: [0; 32],
            part: 0,
            actor: Actor {
                member: ReplicaId(1),
                who: Who::Uid(self.actor.0),
                name: self.actor.1.to_owned(),
            },
            time_ms: self.now_ms,
            event,
        };
        let signed = SignedProposal::sign(&proposal, &self.member)?;
        let verified = verify_one(Unverified::new(signed))?;
        let mut draft = Draft::on(&self.rows);
        let verdict = self.fold.admit(&mut draft, &verified)?;
        let changes = draft.finish();
        match verdict {
            Verdict::Sealed(record) => self.records.push(record),
            Verdict::Refused(refusal) => return Err(refusal.into()),
            Verdict::Repeated { .. } => return Err(NoStory::Lost("a request was repeated")),
        }
        self.rows.apply(changes);
        Ok(())
    }

    fn join(&mut self, minutes: u64, name: &str, seed: u8, own: bool) -> Result<NodeId, NoStory> {
        let id = self.fold.next_node();
        let lock_key = if own { key(1) } else { key(seed) }.public();
        let node = NewNode {
            name: name.to_owned(),
            node_key: node_key(seed),
            lock_key: Some(lock_key),
            own,
            signature: None,
            auth_key: None,
        };
        self.event(minutes, Event::NodeAdded(node))?;
        Ok(id)
    }

    /// A signature by which a key lets a node in.
    fn signature(&self, signer: &PrivateKey, node: NodeId) -> Result<NodeSignature, NoStory> {
        let entry = roster::node(&self.rows, node)?.ok_or(NoStory::Lost("a node"))?;
        let signature = sign_direct(signer, entry.node_key, entry.lock_key);
        let signature = signature.map_err(|_| NoStory::Lost("a signature"))?;
        Ok(NodeSignature { node, signature })
    }

    fn sign(&mut self, minutes: u64, signer: &PrivateKey, nodes: &[NodeId]) -> Result<(), NoStory> {
        let signatures = nodes.iter().map(|node| self.signature(signer, *node));
        let signatures = signatures.collect::<Result<_, _>>()?;
        self.event(minutes, Event::NodeKeysSigned(signatures))
    }

    fn authority(&self) -> Result<Authority, NoStory> {
        self.fold.authority().cloned().ok_or(NoStory::Lost("the lock is off"))
    }

    fn change(&mut self, minutes: u64, signer: &PrivateKey, change: Change) -> Result<(), NoStory> {
        let authority = self.authority()?;
        let mut builder = UpdateBuilder::new(&self.rows, &authority, Some(signer))?;
        builder.change(change)?;
        let aums = builder.finish()?;
        let (reason, note) = (None, None);
        let added = AumsAdded { aums, fork: false, signatures: Vec::new(), reason, note };
        self.event(minutes, Event::AumsAdded(added))
    }
}

/// Ben's key is stolen. The thief lets a machine in and makes a key of its own trusted. Ada and the
/// signing node revoke both, sign the honest nodes again, and Ben gets a new key.
pub fn stolen_key() -> Result<Story, NoStory> {
    let rows = Memory::new();
    let fold = Fold::open(&rows)?;
    let (member, now_ms, records) = (key(0xe1), MORNING_MS, Vec::new());
    let mut story = Teller { rows, fold, member, now_ms, actor: ADA, records };
    let (office, ada, ben, thief, bens_new) = (key(1), key(2), key(3), key(9), key(0x33));
    let (log, secrets) = (key(0xe2), [&[0xa1; 32], &[0xa2; 32]]);

    // The first day: a ledger, a lock, four machines.
    story.event(
        0,
        Event::GroupCreated(Founder {
            id: ReplicaId(1),
            member_key: MemberKey(story.member.public().0),
            details: MemberDetails {
                name: "office".to_owned(),
                log_key: LogKey(log.public().0),
                lock_key: Some(office.public()),
                rules: KNOWN_RULES,
                address: None,
            },
        }),
    )?;
    let office_node = story.join(1, "office", 0x41, true)?;
    let adas = story.join(4, "ada-laptop", 2, false)?;
    let bens = story.join(6, "ben-laptop", 3, false)?;
    let trusted = [&office, &ada, &ben].map(|key| Key::ed25519(key.public(), 1));
    let values = secrets.map(|secret| Some(disablement::image(secret).to_vec()));
    let state = State {
        last_aum: None,
        disablement_values: Some(values.to_vec()),
        keys: Some(trusted.to_vec()),
        state_id1: 2026,
        state_id2: 302,
    };
    let genesis = Authority::genesis(state, &office)?;
    let nodes = [office_node, adas, bens];
    let signatures = nodes.iter().map(|node| story.signature(&office, *node));
    let signatures = signatures.collect::<Result<_, _>>()?;
    let (labels, brought_by) = (Vec::new(), None);
    let init = Initialization { genesis, signatures, labels, brought_by };
    story.event(15, Event::LockInitialized(Box::new(init)))?;
    story.actor = BEN;
    let database = story.join(90, "database", 0x51, false)?;
    story.sign(2, &ben, &[database])?;

    // Three weeks later, at night: somebody has Ben's key.
    story.now_ms = MORNING_MS + 21 * DAY_MS - 6 * 60 * MINUTE_MS;
    let printer = story.join(0, "printer", 0x66, false)?;
    story.sign(1, &ben, &[printer])?;
    story.change(3, &ben, Change::Add(Key::ed25519(thief.public(), 1)))?;
    let camera = story.join(5, "camera", 0x67, false)?;
    story.sign(1, &thief, &[camera])?;

    // In the morning: a revocation, which two of three honest keys have to sign.
    story.now_ms = MORNING_MS + 21 * DAY_MS + 12 * MINUTE_MS;
    story.actor = ADA;
    let stolen = [ben.public(), thief.public()];
    let ids: Vec<Vec<u8>> = stolen.iter().map(|key| key.0.to_vec()).collect();
    let authority = story.authority()?;
    let aum = generate(&story.rows, &authority, &ids, &office.public(), None);
    let aum = aum.map_err(|_| NoStory::Lost("the revocation"))?;
    let opened = cosign(Sealed::new(aum), &office)?;
    let mut keys = stolen.to_vec();
    keys.sort_unstable();
    let note = Some("Ben's laptop was stolen on the train".to_owned());
    let reason = Some(ChangeReason::Compromised);
    let revocation = opened.sig_hash();
    story.event(
        0,
        Event::RevocationOpened(Box::new(RevocationOpened {
            aum: opened.clone(),
            keys,
            reason,
            note: note.clone(),
        })),
    )?;
    let whole = cosign(opened, &ada)?;
    let adas_signature = ada.sign(&revocation.0);
    let signatures = vec![(ada.public(), adas_signature)];
    story.event(9, Event::RevocationSigned(RevocationSigned { revocation, signatures }))?;
    let (aums, signatures) = (vec![whole], Vec::new());
    let added = AumsAdded { aums, fork: true, signatures, reason, note };
    story.event(2, Event::AumsAdded(added))?;

    // The honest machine is let in again; the thief's are not. Ben gets a new machine and key.
    story.sign(4, &ada, &[database])?;
    story.event(1, Event::NodeRemoved(bens))?;
    story.actor = BEN;
    let fresh = story.join(180, "ben-new-laptop", 0x33, false)?;
    story.actor = ADA;
    story.sign(5, &office, &[fresh])?;
    story.change(1, &ada, Change::Add(Key::ed25519(bens_new.public(), 1)))?;
    story.actor = BEN;
    let rotated = node_key(0x34);
    let entry = roster::node(&story.rows, fresh)?.ok_or(NoStory::Lost("a node"))?;
    let signature = sign_direct(&bens_new, rotated, entry.lock_key);
    let signature = Some(signature.map_err(|_| NoStory::Lost("a signature"))?);
    let lock_key = entry.lock_key;
    let changed = ChangedNode { node: fresh, node_key: rotated, lock_key, signature };
    story.event(30, Event::NodeChanged(changed))?;

    finish(story, &log)
}

/// The bundle of what was told, with a checkpoint that the member's log key has signed.
fn finish(story: Teller, log: &PrivateKey) -> Result<Story, NoStory> {
    let now_ms = story.now_ms + DAY_MS;
    let records = story.records.into_iter().map(|record| {
        let (index, bytes) = (Some(record.index()), record.bytes().to_vec());
        Ok(Stored { index, bytes, shown: None })
    });
    let live = Live::of(records.collect());
    let options = Options { now_ms, ..Options::default() };
    let audited = audit_live("story", live, &options, true);
    let mut evidence = audited.evidence.ok_or(NoStory::Lost("its records"))?;
    let size = evidence.size();
    let checkpoint = Checkpoint { origin: evidence.origin(), size, root: evidence.root_at(size)? };
    let signature = checkpoint.sign(log).ok_or(NoStory::Lost("the checkpoint"))?;
    let note = Note::new(checkpoint.to_string(), vec![signature]);
    evidence.use_checkpoint(note.to_string().as_bytes())?;
    let mut bundle = Vec::new();
    evidence.write_bundle(size, &mut bundle)?;
    Ok(Story { bundle, now_ms })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::audit::verify_bundle;
    use crate::source::{Detected, detect_bytes};

    #[test]
    fn the_story_holds_and_is_the_same_each_time() {
        let story = stolen_key().unwrap();
        assert_eq!(story.bundle, stolen_key().unwrap().bundle);
        let Ok(Detected::Bundle(bundle)) = detect_bytes(&story.bundle, Path::new("history.tar"))
        else {
            panic!("it is no bundle");
        };
        let now_ms = story.now_ms;
        let options = Options { now_ms, chronicle: true, ..Options::default() };
        let report = verify_bundle("history.tar", &bundle, &options).report;
        assert_eq!(report.exit_code, 0, "{:#?}", report.findings);
        let ids: BTreeSet<_> = report.findings.iter().map(|found| found.check.id).collect();
        for id in ["revocation.won", "fork.resolved", "key.revoked-later", "node.locked-out"] {
            assert!(ids.contains(id), "{id}: {ids:?}");
        }
        let told = report.chronicle.as_ref().unwrap();
        let out: BTreeSet<_> =
            told.nodes.iter().filter(|node| !node.admitted).map(|node| &*node.name).collect();
        assert_eq!(out, ["camera", "printer"].into());
    }
}
