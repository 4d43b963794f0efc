//! What a guest and its host say to each other.
//!
//! ```text
//! ask     [1, invitation key, member key, [name, log key, lock key or null, rules, address or null],
//!          proof, consent, bound, renewal]
//! renewal null or [member key, signature]
//! answer  [0, reason]                        turned away
//!         [1, fingerprint]                   waits for approval
//!         [2, replica ID, incarnation, [[replica ID, member key, address or null]...]]  let in
//!         [3, reason]                        not now: to be asked again
//! ```
//!
//! `proof` and `consent` are those of the record ([`Joined`]). `bound` is the invitation key's
//! signature over a tag, the connection's binding and the member key: whoever passes an ask on over
//! another connection cannot make it. `renewal` comes from a member that has lost what it had promised,
//! and is to be another one: its former member key signs the same under another tag, with the key
//! of the invitation, which it has drawn itself.

use std::collections::BTreeMap;

use ledger::Refusal;
use ledger::cbor::{Malformed, Reader, Writer};
use ledger::history::{
    InvitationKey, Joined, LogKey, MemberDetails, MemberFingerprint, MemberKey, ReplicaId,
};
use ledger::ids::LockKey;
use ledger::lock::signatures::{Claim, Signed};

use crate::peers::{Binding, Peer};

const VERSION: u64 = 1;
/// Precedes what `bound` signs.
const BOUND_TAG: &[u8] = b"lockstep join connection 1\0";
/// Precedes what a renewal signs.
const RENEWAL_TAG: &[u8] = b"lockstep renewal 1\0";
/// Members of a group, at most, with those that were removed.
const MEMBERS: usize = 4096;
/// Bytes of a reason.
const REASON_BYTES: usize = 1024;

/// What a guest asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) joined: Joined,
    pub(super) bound: [u8; 64],
    pub(super) renewal: Option<Renewal>,
}

/// Whose place whoever asks is to take: its own, under its former key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Renewal {
    pub(super) former: MemberKey,
    pub(super) signature: [u8; 64],
}

/// What `bound` signs.
pub(super) fn bound_message(binding: Binding, member_key: MemberKey) -> Vec<u8> {
    [BOUND_TAG, &binding.0, &member_key.0].concat()
}

/// What a renewal signs.
pub(super) fn renewal_message(binding: Binding, joined: &Joined) -> Vec<u8> {
    [RENEWAL_TAG, &binding.0, &joined.invitation.0, &joined.member_key.0].concat()
}

/// An ask, on the connection that it came by.
pub(super) struct OnConnection<'a> {
    pub(super) ask: &'a Ask,
    pub(super) binding: Binding,
}

impl Signed for OnConnection<'_> {
    fn claims(&self, out: &mut Vec<Claim>) -> Result<(), Refusal> {
        let Joined { invitation, member_key, .. } = &self.ask.joined;
        out.push(Claim::Zip215 {
            key: invitation.0,
            message: bound_message(self.binding, *member_key),
            signature: self.ask.bound,
        });
        if let Some(Renewal { former, signature }) = self.ask.renewal {
            let message = renewal_message(self.binding, &self.ask.joined);
            out.push(Claim::Zip215 { key: former.0, message, signature });
        }
        Ok(())
    }
}

/// Who a new member is, and who the others are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduction {
    /// Its number.
    pub replica: ReplicaId,
    /// The group's life, from 1.
    pub incarnation: u64,
    /// The members, itself included, as its host knows them.
    pub peers: Introduced,
}

/// Members as somebody names them who is trusted only to lead to them: the records say more.
pub type Introduced = BTreeMap<ReplicaId, Peer>;

/// What a host answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    TurnedAway(String),
    /// It may be asked again.
    NotNow(String),
    Waits(MemberFingerprint),
    LetIn(Introduction),
}

impl Ask {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let Joined { invitation, member_key, details, proof, consent } = &self.joined;
        let mut out = Writer::new();
        out.array(8).uint(VERSION).bytes(&invitation.0).bytes(&member_key.0);
        out.array(5).text(&details.name).bytes(&details.log_key.0);
        out.nullable_bytes(details.lock_key.as_ref().map(|key| key.0.as_slice()));
        out.uint(details.rules.into());
        nullable_text(&mut out, details.address.as_deref());
        out.bytes(proof).bytes(consent).bytes(&self.bound);
        match &self.renewal {
            Some(Renewal { former, signature }) => {
                out.array(2).bytes(&former.0).bytes(signature);
            }
            None => {
                out.null();
            }
        }
        out.into_bytes()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.array_of(8)?;
        let at = reader.clone();
        if reader.uint()? != VERSION {
            return Err(at.malformed("another version of the conversation"));
        }
        let (invitation, member_key) = (InvitationKey(reader.fixed()?), MemberKey(reader.fixed()?));
        reader.array_of(5)?;
        let name = reader.text()?.to_owned();
        let log_key = LogKey(reader.fixed()?);
        let lock_key = if reader.null() { None } else { Some(LockKey(reader.fixed()?)) };
        let at = reader.clone();
        let rules = u32::try_from(reader.uint()?).map_err(|_| at.malformed("not 32 bits"))?;
        let address = read_nullable_text(&mut reader)?;
        reader.close();
        let (proof, consent, bound) = (reader.fixed()?, reader.fixed()?, reader.fixed()?);
        let renewal = if reader.null() {
            None
        } else {
            reader.array_of(2)?;
            let (former, signature) = (MemberKey(reader.fixed()?), reader.fixed()?);
            reader.close();
            Some(Renewal { former, signature })
        };
        reader.close();
        reader.finish()?;
        let details = MemberDetails { name, log_key, lock_key, rules, address };
        Ok(Ask {
            joined: Joined { invitation, member_key, details, proof, consent },
            bound,
            renewal,
        })
    }
}

impl Answer {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new();
        match self {
            Answer::TurnedAway(reason) => write_reason(&mut out, 0, reason),
            Answer::NotNow(reason) => write_reason(&mut out, 3, reason),
            Answer::Waits(fingerprint) => {
                out.array(2).uint(1).bytes(&fingerprint.0);
            }
            Answer::LetIn(Introduction { replica, incarnation, peers }) => {
                out.array(4).uint(2).uint(replica.0).uint(*incarnation);
                write_peers(&mut out, peers);
            }
        }
        out.into_bytes()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let at = reader.clone();
        let len = reader.array()?;
        let kind = reader.uint()?;
        let answer = match (kind, len) {
            (0, 2) => Answer::TurnedAway(read_reason(&mut reader)?),
            (3, 2) => Answer::NotNow(read_reason(&mut reader)?),
            (1, 2) => Answer::Waits(MemberFingerprint(reader.fixed()?)),
            (2, 4) => {
                let (replica, incarnation) = (ReplicaId(reader.uint()?), reader.uint()?);
                let peers = read_peers(&mut reader)?;
                Answer::LetIn(Introduction { replica, incarnation, peers })
            }
            _ => return Err(at.malformed("an answer of an unknown kind")),
        };
        reader.close();
        reader.finish()?;
        Ok(answer)
    }
}

fn write_reason(out: &mut Writer, kind: u64, reason: &str) {
    let end = reason.floor_char_boundary(REASON_BYTES);
    out.array(2).uint(kind).text(&reason[..end]);
}

fn read_reason(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    let at = reader.clone();
    let reason = reader.text()?;
    if reason.len() > REASON_BYTES {
        return Err(at.malformed("a reason that is too long"));
    }
    Ok(reason.to_owned())
}

pub(super) fn write_peers(out: &mut Writer, peers: &Introduced) {
    out.array(peers.len());
    for (id, peer) in peers {
        out.array(3).uint(id.0).bytes(&peer.key.0);
        nullable_text(out, peer.address.as_deref());
    }
}

pub(super) fn read_peers(reader: &mut Reader<'_>) -> Result<Introduced, Malformed> {
    let mut peers = Introduced::new();
    for _ in 0..reader.array_up_to(MEMBERS)? {
        reader.array_of(3)?;
        let (id, key) = (ReplicaId(reader.uint()?), MemberKey(reader.fixed()?));
        let address = read_nullable_text(reader)?;
        reader.close();
        peers.insert(id, Peer { key, address });
    }
    reader.close();
    Ok(peers)
}

fn nullable_text(out: &mut Writer, text: Option<&str>) {
    match text {
        Some(text) => out.text(text),
        None => out.null(),
    };
}

fn read_nullable_text(reader: &mut Reader<'_>) -> Result<Option<String>, Malformed> {
    if reader.null() { Ok(None) } else { Ok(Some(reader.text()?.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_were_written() {
        let details = MemberDetails {
            name: "b".into(),
            log_key: LogKey([3; 32]),
            lock_key: Some(LockKey([4; 32])),
            rules: 2,
            address: Some("b.example:7400".into()),
        };
        let joined = Joined {
            invitation: InvitationKey([1; 32]),
            member_key: MemberKey([2; 32]),
            details,
            proof: [5; 64],
            consent: [6; 64],
        };
        let renewal = Renewal { former: MemberKey([8; 32]), signature: [9; 64] };
        for renewal in [None, Some(renewal)] {
            let ask = Ask { joined: joined.clone(), bound: [7; 64], renewal };
            assert_eq!(Ask::from_bytes(&ask.to_bytes()).as_ref(), Ok(&ask));
        }
        let peer = |address: Option<&str>| Peer {
            key: MemberKey([8; 32]),
            address: address.map(str::to_owned),
        };
        let peers = BTreeMap::from([(ReplicaId(1), peer(Some("a:1"))), (ReplicaId(4), peer(None))]);
        for answer in [
            Answer::TurnedAway("it has expired".into()),
            Answer::NotNow("too few members are up".into()),
            Answer::Waits(MemberFingerprint([9; 32])),
            Answer::LetIn(Introduction { replica: ReplicaId(4), incarnation: 2, peers }),
        ] {
            let bytes = answer.to_bytes();
            assert_eq!(Answer::from_bytes(&bytes).as_ref(), Ok(&answer));
            for cut in 0..bytes.len() {
                assert!(Answer::from_bytes(&bytes[..cut]).is_err());
            }
        }
        let long = Answer::TurnedAway("ü".repeat(REASON_BYTES));
        assert!(Answer::from_bytes(&long.to_bytes()).is_ok(), "cut to what may be said");
    }
}
