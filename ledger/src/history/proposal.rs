//! Proposals: an event that somebody wants recorded, and the proposing member's signature.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::{ClusterId, Event, EventRefusal, Joined, MemberKey, ReplicaId, RequestId};
use crate::Refusal;
use crate::cbor::{Malformed, Reader, Writer};
use crate::ids::blake2s;
use crate::limits::{ACTOR_NAME_BYTES, PROPOSAL_BYTES, RECORD_BYTES, REQUEST_PARTS};
use crate::lock::signatures::{Claim, Signed, Signer};

/// The first field of every proposal: no other document of ours or of Tailscale begins so.
const TAG: &str = "lockstep proposal 1";
/// What precedes the proposal's hash in the message that the member signs.
const SIGNATURE_TAG: &[u8] = b"lockstep member signature 1\0";

/// An event that somebody wants recorded (docs/ledger-format.md 2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The ledger that it is for.
    pub cluster: ClusterId,
    /// The group's incarnation, which restore and recover raise. Starts at 1.
    pub incarnation: u64,
    /// The last record index at which it may be admitted: afterwards it is void.
    pub last_index: u64,
    /// What the asker calls its request.
    pub request: RequestId,
    /// A digest of verb and arguments as asked, so that another request under the same ID is
    /// noticed. Not checked against the event.
    pub digest: [u8; 32],
    /// The place of this event among those of its request, from 0.
    pub part: u32,
    /// Who asked, and through which member.
    pub actor: Actor,
    /// The proposing member's clock: milliseconds since 1970. Data; of all verdicts only those
    /// on the expiry of auth keys and invitations depend on it.
    pub time_ms: u64,
    /// The event.
    pub event: Event,
}

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The member that vouches for the rest by its signature.
    pub member: ReplicaId,
    /// As whom the member knows the asker.
    pub who: Who,
    /// A name for people, as the member knows it; at most 256 bytes.
    pub name: String,
}

/// As whom a member knows an asker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The member itself, asked by nobody.
    Member,
    /// A user of the member's machine, by the local socket's peer credentials.
    Uid(u32),
}

impl Proposal {
    /// The canonical encoding.
    pub fn to_cbor(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.map(10);
        out.uint(1).text(TAG);
        out.uint(2).bytes(&self.cluster.0);
        out.uint(3).uint(self.incarnation);
        out.uint(4).uint(self.last_index);
        out.uint(5).text(self.request.as_str());
        out.uint(6).bytes(&self.digest);
        out.uint(7).uint(self.part.into());
        out.uint(8).array(3).uint(self.actor.member.0);
        match self.actor.who {
            Who::Member => out.array(1).uint(0),
            Who::Uid(uid) => out.array(2).uint(1).uint(uid.into()),
        };
        out.text(&self.actor.name);
        out.uint(9).uint(self.time_ms);
        out.uint(10);
        self.event.write(&mut out);
        out.into_bytes()
    }

    /// Decodes canonical bytes and checks what can be said without any state.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > PROPOSAL_BYTES {
            return Err(EventRefusal::TooLarge { bytes: bytes.len() }.into());
        }
        let mut reader = Reader::new(bytes);
        let r = &mut reader;
        let mut fields = r.fields()?;
        fields.needs(r, 1)?;
        let at = r.clone();
        if r.text()? != TAG {
            return Err(at.malformed("not a proposal of this format").into());
        }
        fields.needs(r, 2)?;
        let cluster = ClusterId(r.fixed()?);
        fields.needs(r, 3)?;
        let incarnation = r.uint()?;
        fields.needs(r, 4)?;
        let last_index = r.uint()?;
        fields.needs(r, 5)?;
        let request = r.text()?.parse().map_err(EventRefusal::from)?;
        fields.needs(r, 6)?;
        let digest = r.fixed()?;
        fields.needs(r, 7)?;
        let at = r.clone();
        let part = u32::try_from(r.uint()?).ok().filter(|part| *part < REQUEST_PARTS);
        let part = part.ok_or_else(|| at.malformed("a part number above 65535"))?;
        fields.needs(r, 8)?;
        let actor = Actor::read(r)?;
        fields.needs(r, 9)?;
        let time_ms = r.uint()?;
        fields.needs(r, 10)?;
        let event = Event::read(r)?;
        fields.end(r)?;
        reader.finish()?;
        Ok(Proposal {
            cluster,
            incarnation,
            last_index,
            request,
            digest,
            part,
            actor,
            time_ms,
            event,
        })
    }
}

impl Actor {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        reader.array_of(3)?;
        let member = ReplicaId(reader.uint()?);
        let who = Who::read(reader)?;
        let name = reader.text()?;
        if name.len() > ACTOR_NAME_BYTES {
            return Err(EventRefusal::Shape("the actor's name is longer than 256 bytes").into());
        }
        let name = name.to_owned();
        reader.close();
        Ok(Actor { member, who, name })
    }
}

impl Who {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let at = reader.clone();
        let len = reader.array()?;
        let kind = if len == 0 { None } else { Some(reader.uint()?) };
        let who = match (len, kind) {
            (1, Some(0)) => Who::Member,
            (2, Some(1)) => Who::Uid(
                u32::try_from(reader.uint()?)
                    .map_err(|_| at.malformed("a user ID of more than 32 bits"))?,
            ),
            _ => return Err(at.malformed("an unknown kind of actor")),
        };
        reader.close();
        Ok(who)
    }
}

/// A proposal with the signature of the member that vouches for it, in canonical bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedProposal {
    /// Apart, since a record changes hands many times on its way.
    proposal: Box<Proposal>,
    key: MemberKey,
    signature: [u8; 64],
    message: [u8; 32],
    bytes: Part,
}

/// Bytes that lie within others: those of a proposal within those of its record, if it has one.
#[derive(Clone)]
pub(super) struct Part {
    pub(super) whole: Arc<[u8]>,
    pub(super) at: Range<usize>,
}

impl Part {
    fn bytes(&self) -> &[u8] {
        &self.whole[self.at.clone()]
    }
}

impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Part {}

/// Without the bytes, in which a secret may stand that is not spent yet.
impl fmt::Debug for SignedProposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedProposal")
            .field("proposal", &self.proposal)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl SignedProposal {
    /// Signs a proposal with a member key. Refuses a proposal that nobody could decode, such as
    /// one that is too large or has a name that is none.
    pub fn sign(proposal: &Proposal, member: &dyn Signer) -> Result<Self, Refusal> {
        let bytes = proposal.to_cbor();
        let message = blake2s(&bytes);
        let signature = member.sign(&signed_message(&message));
        Self::decode(&envelope(&bytes, MemberKey(member.public().0), &signature))
    }

    /// Decodes canonical bytes; checks what can be said without any state, but no signature.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let unhashed = Unhashed::decode(bytes)?;
        let message = blake2s(unhashed.message);
        Ok(unhashed.hashed(message, Part { whole: bytes.into(), at: 0..bytes.len() }))
    }

    /// The proposal.
    pub fn proposal(&self) -> &Proposal {
        &self.proposal
    }

    /// The member key that signed it, whosever that is.
    pub fn key(&self) -> MemberKey {
        self.key
    }

    /// The canonical bytes: proposal, key and signature.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.bytes()
    }
}

/// A signed proposal, decoded but for the hash that is signed: hashes are computed for many at once.
pub(super) struct Unhashed<'a> {
    proposal: Box<Proposal>,
    key: MemberKey,
    signature: [u8; 64],
    /// What is to be hashed.
    pub(super) message: &'a [u8],
}

impl<'a> Unhashed<'a> {
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, Refusal> {
        if bytes.len() > RECORD_BYTES {
            return Err(EventRefusal::TooLarge { bytes: bytes.len() }.into());
        }
        let mut reader = Reader::new(bytes);
        let r = &mut reader;
        let mut fields = r.fields()?;
        fields.needs(r, 1)?;
        let message = r.bytes()?;
        fields.needs(r, 2)?;
        let key = MemberKey(r.fixed()?);
        fields.needs(r, 3)?;
        let signature = r.fixed()?;
        fields.end(r)?;
        reader.finish()?;
        let proposal = Box::new(Proposal::decode(message)?);
        Ok(Unhashed { proposal, key, signature, message })
    }

    /// The same with the hash of its message, and the bytes that were decoded.
    pub(super) fn hashed(self, message: [u8; 32], bytes: Part) -> SignedProposal {
        let Unhashed { proposal, key, signature, .. } = self;
        SignedProposal { proposal, key, signature, message, bytes }
    }
}

fn envelope(proposal: &[u8], key: MemberKey, signature: &[u8; 64]) -> Vec<u8> {
    let mut out = Writer::new();
    out.map(3);
    out.uint(1).bytes(proposal);
    out.uint(2).bytes(&key.0);
    out.uint(3).bytes(signature);
    out.into_bytes()
}

fn signed_message(hash: &[u8; 32]) -> Vec<u8> {
    [SIGNATURE_TAG, hash].concat()
}

impl Signed for SignedProposal {
    /// The member's signature, then those of the AUMs and of the node keys in the event's order,
    /// then the disablement secret, the signatures of a revocation that waits, or those of whoever
    /// joins.
    fn claims(&self, out: &mut Vec<Claim>) -> Result<(), Refusal> {
        out.push(Claim::Zip215 {
            key: self.key.0,
            message: signed_message(&self.message),
            signature: self.signature,
        });
        for aum in self.proposal.event.aums() {
            aum.claims(out)?;
        }
        if let Event::GenesisBrought(brought) = &self.proposal.event {
            brought.genesis.claims(out)?;
        }
        for signature in self.proposal.event.signatures() {
            signature.claims(out)?;
        }
        match &self.proposal.event {
            Event::LockDisabled(disablement) => out.push(Claim::Disablement {
                secret: disablement.secret.clone(),
                value: disablement.value,
            }),
            Event::RevocationOpened(opened) => opened.aum.claims(out)?,
            Event::MemberJoined(joined) => {
                let Joined { invitation, member_key, details, proof, consent } = &**joined;
                let Proposal { cluster, incarnation, .. } = *self.proposal;
                let message =
                    Joined::claim(cluster, incarnation, *invitation, *member_key, details);
                for (key, signature) in [(invitation.0, proof), (member_key.0, consent)] {
                    let (message, signature) = (message.clone(), *signature);
                    out.push(Claim::Zip215 { key, message, signature });
                }
            }
            Event::RevocationSigned(signed) => {
                out.extend(signed.signatures.iter().map(|(key, signature)| Claim::Zip215 {
                    key: key.0,
                    message: signed.revocation.0.to_vec(),
                    signature: *signature,
                }));
            }
            _ => {}
        }
        Ok(())
    }
}
