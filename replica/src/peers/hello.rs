//! The first frame in either direction, before any Raft byte.
//!
//! ```text
//! hello    [cluster ID, wire least, wire most, rules least, rules most, software,
//!           [incarnation, own replica ID, expected replica ID, own address or null,
//!            the other end's last signed head that is remembered here, or null]
//!           or null for a joiner]
//! goodbye  [reason]
//! ```
//!
//! Whoever dialled speaks first. The other end answers with its own hello, or says goodbye with
//! the reason; so a member counts as reached only once it has agreed.
//!
//! A member may have moved while nobody could tell the others, so it says where it is reached. And a
//! copy of its disk may have been put back: so whoever speaks to it shows what it had signed before,
//! ahead of anything that it could vote for or acknowledge.

use std::time::Duration;

use ledger::cbor::{Malformed, Reader, Writer};
use ledger::history::{ClusterId, ReplicaId, is_address};
use tokio::io::{AsyncRead, AsyncWrite};

use super::frame::{self, FrameError, Kind};
use super::message::Head;

/// Bytes of the software's name and version.
const SOFTWARE_BYTES: usize = 64;

/// A range of versions, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// The oldest.
    pub least: u32,
    /// The newest.
    pub most: u32,
}

impl Versions {
    /// The newest version that both know.
    pub fn newest_in_common(self, other: Versions) -> Option<u32> {
        let newest = self.most.min(other.most);
        (newest >= self.least.max(other.least)).then_some(newest)
    }
}

impl std::fmt::Display for Versions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {}", self.least, self.most)
    }
}

/// What a member says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// The cluster.
    pub cluster: ClusterId,
    /// The cluster's present life, from 1.
    pub incarnation: u64,
    /// Oneself.
    pub replica: ReplicaId,
    /// Where others reach it, `host:port`.
    pub address: Option<String>,
    /// The program that speaks for it.
    pub program: Program,
}

/// What a program can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Wire versions that this program speaks.
    pub wire: Versions,
    /// Rules that this program executes.
    pub rules: Versions,
    /// Name and version of the program, for people: at most 64 printable ASCII characters, the
    /// rest is cut off.
    pub software: String,
}

/// What both ends have agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The wire version to speak.
    pub wire: u32,
    /// Rules that the other end executes.
    pub rules: Versions,
    /// The other end's program.
    pub software: String,
}

/// What comes of two hellos that agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    /// What both have agreed on.
    pub session: Session,
    /// Where the other end says that it is reached.
    pub address: Option<String>,
    /// What the other end remembers that this one had signed. Its signature is not checked here.
    pub remembered: Option<Head>,
}

/// Why a connection ends, as told to the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// Another cluster.
    Cluster = 1,
    /// Another life of the cluster.
    Incarnation = 2,
    /// The replica IDs do not belong to the keys.
    Replica = 3,
    /// No wire version in common.
    Wire = 4,
    /// No rules in common.
    Rules = 5,
    /// The other end is no member any more.
    Removed = 6,
    /// Too many connections.
    Busy = 7,
    /// What the other end sent breaks the rules of this protocol.
    Malformed = 8,
    /// A newer connection of the same member has taken this one's place.
    Superseded = 9,
    /// This end stops.
    Stopping = 10,
}

impl Reason {
    const ALL: [Reason; 10] = [
        Reason::Cluster,
        Reason::Incarnation,
        Reason::Replica,
        Reason::Wire,
        Reason::Rules,
        Reason::Removed,
        Reason::Busy,
        Reason::Malformed,
        Reason::Superseded,
        Reason::Stopping,
    ];
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Reason::Cluster => "it belongs to another cluster",
            Reason::Incarnation => "it lives in another incarnation of the cluster",
            Reason::Replica => "the replica IDs do not belong to these member keys",
            Reason::Wire => "no version of the wire protocol in common",
            Reason::Rules => "no version of the rules in common",
            Reason::Removed => "this replica was removed from the group",
            Reason::Busy => "too many connections",
            Reason::Malformed => "it did not understand what it was sent",
            Reason::Superseded => "a newer connection with the same member key took its place",
            Reason::Stopping => "it stops",
        })
    }
}

/// Why two ends do not talk.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    /// The other end belongs to another cluster.
    #[error("it belongs to cluster {0}, not to ours")]
    Cluster(ClusterId),
    /// The other end lives in another incarnation.
    #[error("it lives in incarnation {theirs} of the cluster, this replica in {ours}")]
    Incarnation {
        /// Ours.
        ours: u64,
        /// Theirs.
        theirs: u64,
    },
    /// It takes itself, or us, for another replica than the keys say.
    #[error("it says that it is replica {own} and takes us for replica {expected}")]
    Replica {
        /// Whom it says it is.
        own: ReplicaId,
        /// Whom it takes us for.
        expected: ReplicaId,
    },
    /// No wire version in common.
    #[error("it speaks wire versions {theirs}, this replica {ours}")]
    Wire {
        /// Ours.
        ours: Versions,
        /// Theirs.
        theirs: Versions,
    },
    /// No rules in common.
    #[error("it executes rules {theirs}, this replica {ours}")]
    Rules {
        /// Ours.
        ours: Versions,
        /// Theirs.
        theirs: Versions,
    },
    /// Its key is one of a removed member.
    #[error("it was removed from the group")]
    Removed,
    /// There are too many connections like this one already.
    #[error("it has too many connections")]
    Busy,
    /// A member where a joiner was expected, or the other way round.
    #[error("a joiner's hello from a member, or a member's from a joiner")]
    Purpose,
    /// The other end has refused us.
    #[error("it refused this replica: {0}")]
    Refused(Reason),
    /// Its hello is not one.
    #[error("its hello: {0}")]
    Malformed(#[from] Malformed),
    /// The connection failed before both had said hello.
    #[error("{0}")]
    Frame(#[from] FrameError),
}

impl HelloError {
    /// What the other end is told; nothing if it is gone or has refused us.
    pub(super) fn reason(&self) -> Option<Reason> {
        Some(match self {
            HelloError::Cluster(_) => Reason::Cluster,
            HelloError::Incarnation { .. } => Reason::Incarnation,
            HelloError::Replica { .. } => Reason::Replica,
            HelloError::Wire { .. } => Reason::Wire,
            HelloError::Rules { .. } => Reason::Rules,
            HelloError::Removed => Reason::Removed,
            HelloError::Busy => Reason::Busy,
            HelloError::Purpose | HelloError::Malformed(_) => Reason::Malformed,
            HelloError::Frame(FrameError::Place(_) | FrameError::TooLong { .. }) => {
                Reason::Malformed
            }
            HelloError::Frame(_) | HelloError::Refused(_) => return None,
        })
    }

    /// Whether the other end broke the protocol, rather than differing from us.
    pub(super) fn is_violation(&self) -> bool {
        self.reason() == Some(Reason::Malformed)
            || matches!(self, HelloError::Frame(FrameError::Kind(_)))
    }
}

/// Members name themselves and each other; joiners have no number yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) incarnation: u64,
    pub(super) own: ReplicaId,
    pub(super) expected: ReplicaId,
    pub(super) address: Option<String>,
    pub(super) remembered: Option<Head>,
}

/// A hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) cluster: ClusterId,
    pub(super) wire: Versions,
    pub(super) rules: Versions,
    pub(super) software: String,
    pub(super) ends: Option<Ends>,
}

impl Hello {
    /// What a member says to that member, of which it remembers that head.
    pub(super) fn to_member(local: &Local, expected: ReplicaId, remembered: Option<Head>) -> Self {
        let Local { incarnation, replica: own, .. } = *local;
        let address = local.address.clone();
        Hello {
            ends: Some(Ends { incarnation, own, expected, address, remembered }),
            ..Self::to_joiner(local.cluster, &local.program)
        }
    }

    /// What a member and a joiner say to each other.
    pub(super) fn to_joiner(cluster: ClusterId, program: &Program) -> Self {
        let printable = program.software.chars().filter(|c| matches!(c, ' '..='~'));
        Hello {
            cluster,
            wire: program.wire,
            rules: program.rules,
            software: printable.take(SOFTWARE_BYTES).collect(),
            ends: None,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(7).bytes(&self.cluster.0);
        for versions in [self.wire, self.rules] {
            out.uint(versions.least.into()).uint(versions.most.into());
        }
        out.text(&self.software);
        match &self.ends {
            Some(Ends { incarnation, own, expected, address, remembered }) => {
                out.array(5).uint(*incarnation).uint(own.0).uint(expected.0);
                match address {
                    Some(address) => out.text(address),
                    None => out.null(),
                };
                match remembered {
                    Some(head) => head.write(&mut out),
                    None => drop(out.null()),
                }
            }
            None => {
                out.null();
            }
        }
        out.into_bytes()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.array_of(7)?;
        let cluster = ClusterId(reader.fixed()?);
        let (wire, rules) = (versions(&mut reader)?, versions(&mut reader)?);
        let at = reader.clone();
        let software = reader.text()?;
        if software.len() > SOFTWARE_BYTES || !software.chars().all(|c| matches!(c, ' '..='~')) {
            return Err(at.malformed("not a short printable text"));
        }
        let mut ends = None;
        if !reader.null() {
            reader.array_of(5)?;
            let incarnation = reader.uint()?;
            let (own, expected) = (ReplicaId(reader.uint()?), ReplicaId(reader.uint()?));
            let at = reader.clone();
            let address = if reader.null() { None } else { Some(reader.text()?.to_owned()) };
            if address.as_deref().is_some_and(|address| !is_address(address)) {
                return Err(at.malformed("no address"));
            }
            let remembered = if reader.null() { None } else { Some(Head::read(&mut reader)?) };
            reader.close();
            ends = Some(Ends { incarnation, own, expected, address, remembered });
        }
        reader.close();
        reader.finish()?;
        Ok(Hello { cluster, wire, rules, software: software.to_owned(), ends })
    }

    /// What this end, which says `self`, makes of the other end's bytes.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn judge(&self, theirs: &[u8]) -> Result<Met, HelloError> {
        self.agree(Hello::decode(theirs)?)
    }

    /// Whether this end, which says `self`, and the other one, which says `theirs`, can talk.
    fn agree(&self, theirs: Hello) -> Result<Met, HelloError> {
        // Versions first: what a newer program means by the rest, only it knows.
        let ours = self.wire;
        let wire = ours
            .newest_in_common(theirs.wire)
            .ok_or(HelloError::Wire { ours, theirs: theirs.wire })?;
        if theirs.cluster != self.cluster {
            return Err(HelloError::Cluster(theirs.cluster));
        }
        match (&self.ends, &theirs.ends) {
            (None, None) => {}
            (Some(ours), Some(theirs)) => {
                if ours.incarnation != theirs.incarnation && !planted!(ForgetIncarnation) {
                    let (ours, theirs) = (ours.incarnation, theirs.incarnation);
                    return Err(HelloError::Incarnation { ours, theirs });
                }
                let Ends { own, expected, .. } = *theirs;
                if (own, expected) != (ours.expected, ours.own) {
                    return Err(HelloError::Replica { own, expected });
                }
            }
            _ => return Err(HelloError::Purpose),
        }
        if self.rules.newest_in_common(theirs.rules).is_none() {
            return Err(HelloError::Rules { ours: self.rules, theirs: theirs.rules });
        }
        let session = Session { wire, rules: theirs.rules, software: theirs.software };
        let said = theirs.ends.map(|ends| (ends.address, ends.remembered));
        let (address, remembered) = said.unwrap_or_default();
        Ok(Met { session, address, remembered })
    }
}

fn versions(reader: &mut Reader<'_>) -> Result<Versions, Malformed> {
    let mut number = || {
        let at = reader.clone();
        u32::try_from(reader.uint()?).map_err(|_| at.malformed("not 32 bits"))
    };
    Ok(Versions { least: number()?, most: number()? })
}

pub(super) fn goodbye(reason: Reason) -> Vec<u8> {
    let mut out = Writer::new();
    out.array(1).uint(reason as u64);
    out.into_bytes()
}

pub(super) fn read_goodbye(bytes: &[u8]) -> Result<Reason, Malformed> {
    let mut reader = Reader::new(bytes);
    reader.array_of(1)?;
    let at = reader.clone();
    let number = reader.uint()?;
    let reason = Reason::ALL.into_iter().find(|reason| *reason as u64 == number);
    reader.close();
    reader.finish()?;
    reason.ok_or_else(|| at.malformed("an unknown reason"))
}

/// Says goodbye, if anybody still listens.
pub(super) async fn refuse<S: AsyncWrite + Unpin>(stream: &mut S, reason: Reason, chunk: Duration) {
    let mut frames = Vec::new();
    frame::put(&mut frames, Kind::Goodbye, &goodbye(reason));
    if frame::write(stream, &frames, chunk).await.is_ok() {
        let _ = tokio::time::timeout(chunk, tokio::io::AsyncWriteExt::shutdown(stream)).await;
    }
}

/// Says hello on a connection that this end has dialled, and waits for the answer.
pub(super) async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    ours: &Hello,
    chunk: Duration,
) -> Result<Met, HelloError> {
    let mut frames = Vec::new();
    frame::put(&mut frames, Kind::Hello, &ours.encode());
    let written = frame::write(stream, &frames, chunk).await;
    // A peer that refuses at once may have said why before it stopped listening.
    let answer = frame::read(stream, &[Kind::Hello, Kind::Goodbye], chunk, chunk).await;
    let agreed = match answer {
        Ok((Kind::Goodbye, body)) => Err(HelloError::Refused(read_goodbye(&body)?)),
        Ok((_, body)) => Hello::decode(&body)
            .map_err(HelloError::from)
            .and_then(|theirs| written.map_err(HelloError::from).and(ours.agree(theirs))),
        Err(error) => Err(error.into()),
    };
    if let Some(reason) = agreed.as_ref().err().and_then(HelloError::reason) {
        refuse(stream, reason, chunk).await;
    }
    agreed
}

/// Waits for the hello on a connection that the other end has dialled, and answers it. With
/// `turned_away` it is answered with that reason, whatever it says.
pub(super) async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    ours: &Hello,
    turned_away: Option<HelloError>,
    chunk: Duration,
) -> Result<Met, HelloError> {
    let agreed = match frame::read(stream, &[Kind::Hello], chunk, chunk).await {
        Err(error) => Err(error.into()),
        Ok((_, body)) => Hello::decode(&body)
            .map_err(HelloError::from)
            .and_then(|theirs| turned_away.map_or_else(|| ours.agree(theirs), Err)),
    };
    match &agreed {
        Ok(_) => {
            let mut frames = Vec::new();
            frame::put(&mut frames, Kind::Hello, &ours.encode());
            frame::write(stream, &frames, chunk).await?;
        }
        Err(error) => {
            if let Some(reason) = error.reason() {
                refuse(stream, reason, chunk).await;
            }
        }
    }
    agreed
}

#[cfg(test)]
mod tests {
    use ledger::history::{FoldHash, RecordHash};
    use ledger::limits::ADDRESS_BYTES;

    use super::*;

    fn local() -> Local {
        Local {
            cluster: ClusterId([7; 16]),
            incarnation: 2,
            replica: ReplicaId(1),
            address: Some("[::1]:7400".into()),
            program: Program {
                wire: Versions { least: 1, most: 3 },
                rules: Versions { least: 1, most: 1 },
                software: "lockstep 0.1.0\n".into(),
            },
        }
    }

    fn ours() -> Hello {
        Hello::to_member(&local(), ReplicaId(2), None)
    }

    fn theirs() -> Hello {
        let head = Head {
            record: 1 << 33,
            hash: RecordHash([1; 32]),
            fold: FoldHash([2; 32]),
            writes: u64::MAX,
            signature: [3; 64],
        };
        let address = Some("x".repeat(ADDRESS_BYTES));
        let local = Local { replica: ReplicaId(2), address, ..local() };
        Hello::to_member(&local, ReplicaId(1), Some(head))
    }

    #[test]
    fn hellos_have_one_spelling() {
        for hello in [ours(), theirs(), Hello::to_joiner(local().cluster, &local().program)] {
            let bytes = hello.encode();
            assert_eq!(Hello::decode(&bytes).unwrap(), hello);
            for at in 0..bytes.len() {
                assert!(Hello::decode(&bytes[..at]).is_err());
                let mut other = bytes.clone();
                other[at] ^= 1;
                if let Ok(read) = Hello::decode(&other) {
                    assert_eq!(read.encode(), other);
                    assert_ne!(read, hello);
                }
            }
        }
        for reason in Reason::ALL {
            assert_eq!(read_goodbye(&goodbye(reason)).unwrap(), reason);
        }
        assert!(read_goodbye(&[0x81, 0]).is_err());
        assert!(theirs().encode().len() <= Kind::Hello.most());
    }

    #[test]
    fn ends_that_differ_do_not_talk_and_say_why() {
        let Met { session, address, remembered } = ours().agree(theirs()).unwrap();
        assert_eq!((session.wire, session.software.as_str()), (3, "lockstep 0.1.0"));
        assert_eq!(address.map(|address| address.len()), Some(ADDRESS_BYTES));
        assert_eq!(remembered.map(|head| head.record), Some(1 << 33));
        let with = |change: &dyn Fn(&mut Hello)| {
            let mut hello = theirs();
            change(&mut hello);
            ours().agree(hello).map(|met| met.session.wire).map_err(|error| error.reason())
        };
        let refused = |reason| Err(Some(reason));
        assert_eq!(with(&|h| h.wire = Versions { least: 2, most: 2 }), Ok(2));
        assert_eq!(with(&|h| h.wire = Versions { least: 4, most: 9 }), refused(Reason::Wire));
        assert_eq!(with(&|h| h.wire = Versions { least: 3, most: 2 }), refused(Reason::Wire));
        assert_eq!(with(&|h| h.rules = Versions { least: 2, most: 3 }), refused(Reason::Rules));
        assert_eq!(with(&|h| h.cluster = ClusterId([8; 16])), refused(Reason::Cluster));
        assert_eq!(with(&|h| h.ends = None), refused(Reason::Malformed));
        type Change = fn(&mut Ends);
        let ends: [(Change, Reason); 3] = [
            (|e| e.incarnation = 3, Reason::Incarnation),
            (|e| e.own = ReplicaId(3), Reason::Replica),
            (|e| e.expected = ReplicaId(3), Reason::Replica),
        ];
        for (change, reason) in ends {
            let with_ends = with(&|h| h.ends.iter_mut().for_each(change));
            assert_eq!(with_ends, refused(reason));
        }
    }
}
