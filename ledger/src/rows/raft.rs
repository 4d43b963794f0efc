//! Rows of the Raft log and of what a replica must remember beside it.
//!
//! | table | key | value (CBOR arrays) |
//! | --- | --- | --- |
//! | `raft_log` | index, 8 bytes big-endian | [term, kind, data]; kind 0: a proposal, empty for a leader's first entry; 1: a change of the Raft group |
//! | `raft_state` | `base` | [index, term] of the entry before the first one kept |
//! | | `hard` | [term, vote, commit] |
//! | | `applied` | index of the last applied entry, written with what it changed |
//! | | `group` | [voters, learners, outgoing voters, next learners, leaves by itself] |
//! | | `identity` | [cluster ID, replica ID, incarnation] |
//! | | `neighbours` | [[replica ID, member key, address or null]...]: whom a replica that has just joined can ask |
//! | | `writes` | how many writes to the log were synced, in all the replica's life; written with each |
//! | | `heads` | [[replica ID, head]...]: the newest signed head of each of the others, bytes as on the wire |
//! | | `ahead` | [applied index, record index, record hash]: the last record that the log has led to; there while that is not the last one |
//!
//! These tables are this replica's own: they are neither derived from the records nor part of
//! the history.

use super::Table;
use crate::cbor::{Malformed, Reader, Writer};

/// Log index → entry.
pub const RAFT_LOG: Table = Table::named("raft_log");
/// The few values that the module documentation lists.
pub const RAFT_STATE: Table = Table::named("raft_state");
/// Both tables.
pub const TABLES: &[Table] = &[RAFT_LOG, RAFT_STATE];

/// Key of the [`Position`] before the first entry kept.
pub const BASE: &[u8] = b"base";
/// Key of the [`HardState`].
pub const HARD: &[u8] = b"hard";
/// Key of the index applied last.
pub const APPLIED: &[u8] = b"applied";
/// Key of the [`Group`].
pub const GROUP: &[u8] = b"group";
/// Key of the [`Identity`].
pub const IDENTITY: &[u8] = b"identity";
/// Key of [`Ahead`].
pub const AHEAD: &[u8] = b"ahead";

/// Key of [`Neighbour`]s.
pub const NEIGHBOURS: &[u8] = b"neighbours";

/// Key of the number of writes to the log that were synced; a row as that of the applied index.
pub const WRITES: &[u8] = b"writes";
/// Key of [`PeerHead`]s.
pub const HEADS: &[u8] = b"heads";

/// Members of a group, at most, in each role.
const GROUP_MEMBERS: usize = 4096;

/// The key of the entry at `index`.
pub fn log_key(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

/// The index in a key of `raft_log`; `None` if it is not such a key.
pub fn log_index(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

/// What an entry of the log is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EntryKind {
    /// A signed proposal, or nothing.
    #[default]
    Proposal = 0,
    /// A change of the Raft group.
    Group = 1,
}

/// The value of an entry.
pub fn entry_row(term: u64, kind: EntryKind, data: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.array(3).uint(term).uint(kind as u64).bytes(data);
    writer.into_bytes()
}

/// Term, kind and data of an entry.
pub fn entry_from_row(row: &[u8]) -> Result<(u64, EntryKind, Vec<u8>), Malformed> {
    let mut reader = Reader::new(row);
    reader.array_of(3)?;
    let term = reader.uint()?;
    let at = reader.clone();
    let kind = match reader.uint()? {
        0 => EntryKind::Proposal,
        1 => EntryKind::Group,
        _ => return Err(at.malformed("an unknown kind of entry")),
    };
    let data = reader.bytes()?.to_vec();
    reader.close();
    reader.finish()?;
    Ok((term, kind, data))
}

/// The row of the applied index.
pub fn applied_row(index: u64) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.uint(index);
    writer.into_bytes()
}

/// The applied index in its row.
pub fn applied_from_row(row: &[u8]) -> Result<u64, Malformed> {
    let mut reader = Reader::new(row);
    let index = reader.uint()?;
    reader.finish()?;
    Ok(index)
}

/// A place in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Index, from 1.
    pub index: u64,
    /// Term of the entry there.
    pub term: u64,
}

impl Position {
    /// As a row.
    pub fn to_row(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.array(2).uint(self.index).uint(self.term);
        writer.into_bytes()
    }

    /// From a row.
    pub fn from_row(row: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(row);
        reader.array_of(2)?;
        let position = Position { index: reader.uint()?, term: reader.uint()? };
        reader.close();
        reader.finish()?;
        Ok(position)
    }
}

/// What a Raft member must remember besides its log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HardState {
    /// The highest term seen.
    pub term: u64,
    /// The replica voted for in that term, 0 for none.
    pub vote: u64,
    /// The highest index known to be committed.
    pub commit: u64,
}

impl HardState {
    /// As a row.
    pub fn to_row(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.array(3).uint(self.term).uint(self.vote).uint(self.commit);
        writer.into_bytes()
    }

    /// From a row.
    pub fn from_row(row: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(row);
        reader.array_of(3)?;
        let state =
            HardState { term: reader.uint()?, vote: reader.uint()?, commit: reader.uint()? };
        reader.close();
        reader.finish()?;
        Ok(state)
    }
}

/// The members of the Raft group by their role, as of the applied index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// Members that vote.
    pub voters: Vec<u64>,
    /// Members that only receive.
    pub learners: Vec<u64>,
    /// Members that vote until a change of membership is complete.
    pub voters_outgoing: Vec<u64>,
    /// Outgoing voters that are to become learners.
    pub learners_next: Vec<u64>,
    /// Whether the change completes by itself.
    pub auto_leave: bool,
}

impl Group {
    /// As a row.
    pub fn to_row(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.array(5);
        for role in [&self.voters, &self.learners, &self.voters_outgoing, &self.learners_next] {
            writer.array(role.len());
            for member in role {
                writer.uint(*member);
            }
        }
        writer.bool(self.auto_leave);
        writer.into_bytes()
    }

    /// From a row.
    pub fn from_row(row: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(row);
        reader.array_of(5)?;
        let mut role = || {
            let mut members = Vec::new();
            for _ in 0..reader.array_up_to(GROUP_MEMBERS)? {
                members.push(reader.uint()?);
            }
            reader.close();
            Ok(members)
        };
        let (voters, learners) = (role()?, role()?);
        let (voters_outgoing, learners_next) = (role()?, role()?);
        let auto_leave = reader.bool()?;
        reader.close();
        reader.finish()?;
        Ok(Group { voters, learners, voters_outgoing, learners_next, auto_leave })
    }
}

/// A place in the records, and what a replica that has followed them so far has reached.
///
/// It is also the data of a raft-rs snapshot, as canonical CBOR: [record index, record hash, fold
/// hash]. So a snapshot leads to records, and is no copy of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordPointer {
    /// The last record's index, from 0.
    pub record: u64,
    /// Its hash.
    pub hash: [u8; 32],
    /// The fold hash behind it.
    pub fold: [u8; 32],
}

impl RecordPointer {
    /// As the data of a snapshot.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(3);
        self.write(&mut out);
        out.into_bytes()
    }

    /// From the data of a snapshot.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.array_of(3)?;
        let pointer = Self::read(&mut reader)?;
        reader.close();
        reader.finish()?;
        Ok(pointer)
    }

    fn write(&self, out: &mut Writer) {
        out.uint(self.record).bytes(&self.hash).bytes(&self.fold);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(RecordPointer { record: reader.uint()?, hash: reader.fixed()?, fold: reader.fixed()? })
    }
}

/// What a log, applied up to there, has led to, while that is not what the records are.
///
/// Records are ahead of the log if a replica that had fallen behind took them from its peers: the
/// entries from which they came are counted then, and not applied again. They are missing if damaged
/// ones could not be read: they are fetched before anything is applied on top of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    /// The log index, which is the applied one.
    pub index: u64,
    /// The last record that came from the log up to there.
    pub record: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

impl Ahead {
    /// As a row.
    pub fn to_row(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(3).uint(self.index).uint(self.record).bytes(&self.hash);
        out.into_bytes()
    }

    /// From a row.
    pub fn from_row(row: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(row);
        reader.array_of(3)?;
        let (index, record) = (reader.uint()?, reader.uint()?);
        let ahead = Ahead { index, record, hash: reader.fixed()? };
        reader.close();
        reader.finish()?;
        Ok(ahead)
    }
}

/// A member as it was named to a replica that has joined and has no records yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// Its replica ID.
    pub replica: u64,
    /// Its member key.
    pub key: [u8; 32],
    /// Where it is reached, `host:port`.
    pub address: Option<String>,
}

impl Neighbour {
    /// Several, as a row.
    pub fn to_row(all: &[Neighbour]) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(all.len());
        for Neighbour { replica, key, address } in all {
            out.array(3).uint(*replica).bytes(key);
            match address {
                Some(address) => out.text(address),
                None => out.null(),
            };
        }
        out.into_bytes()
    }

    /// Several, from a row.
    pub fn from_row(row: &[u8]) -> Result<Vec<Neighbour>, Malformed> {
        let mut reader = Reader::new(row);
        let mut all = Vec::new();
        for _ in 0..reader.array_up_to(GROUP_MEMBERS)? {
            reader.array_of(3)?;
            let (replica, key) = (reader.uint()?, reader.fixed()?);
            let address = if reader.null() { None } else { Some(reader.text()?.to_owned()) };
            reader.close();
            all.push(Neighbour { replica, key, address });
        }
        reader.close();
        reader.finish()?;
        Ok(all)
    }
}

/// What another replica has last said, under its signature, that it had reached.
///
/// Whoever remembers it can show it to that replica later, should it come back with less.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerHead {
    /// The replica that said so.
    pub replica: u64,
    /// The signed head, as it came over the wire.
    pub head: Vec<u8>,
}

impl PeerHead {
    /// Several, as a row.
    pub fn to_row(all: &[PeerHead]) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(all.len());
        for PeerHead { replica, head } in all {
            out.array(2).uint(*replica).bytes(head);
        }
        out.into_bytes()
    }

    /// Several, from a row.
    pub fn from_row(row: &[u8]) -> Result<Vec<PeerHead>, Malformed> {
        let mut reader = Reader::new(row);
        let mut all = Vec::new();
        for _ in 0..reader.array_up_to(GROUP_MEMBERS)? {
            reader.array_of(2)?;
            all.push(PeerHead { replica: reader.uint()?, head: reader.bytes()?.to_vec() });
            reader.close();
        }
        reader.close();
        reader.finish()?;
        Ok(all)
    }
}

/// Whose directory this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The cluster ID.
    pub cluster: [u8; 16],
    /// The replica ID.
    pub replica: u64,
    /// Which life of the group this is, from 1: restoring and recovering begin a new one.
    pub incarnation: u64,
}

impl Identity {
    /// As a row.
    pub fn to_row(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.array(3).bytes(&self.cluster).uint(self.replica).uint(self.incarnation);
        writer.into_bytes()
    }

    /// From a row.
    pub fn from_row(row: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(row);
        reader.array_of(3)?;
        let identity = Identity {
            cluster: reader.fixed()?,
            replica: reader.uint()?,
            incarnation: reader.uint()?,
        };
        reader.close();
        reader.finish()?;
        Ok(identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_they_were_written() {
        assert_eq!(log_index(&log_key(7)), Some(7));
        assert_eq!(log_index(b"short"), None);
        for kind in [EntryKind::Proposal, EntryKind::Group] {
            let row = entry_row(3, kind, b"data");
            assert_eq!(entry_from_row(&row), Ok((3, kind, b"data".to_vec())));
        }
        let record = RecordPointer { record: 7, hash: [1; 32], fold: [2; 32] };
        assert_eq!(RecordPointer::from_bytes(&record.to_bytes()), Ok(record));
        let neighbour = |replica, address: Option<&str>| Neighbour {
            replica,
            key: [3; 32],
            address: address.map(str::to_owned),
        };
        let neighbours = vec![neighbour(1, Some("a:1")), neighbour(2, None)];
        assert_eq!(Neighbour::from_row(&Neighbour::to_row(&neighbours)), Ok(neighbours));
        let heads = vec![PeerHead { replica: 3, head: vec![1, 2] }];
        assert_eq!(PeerHead::from_row(&PeerHead::to_row(&heads)), Ok(heads));
        let ahead = Ahead { index: 12, record: 7, hash: [7; 32] };
        assert_eq!(Ahead::from_row(&ahead.to_row()), Ok(ahead));
        assert_eq!(applied_from_row(&applied_row(9)), Ok(9));
        let position = Position { index: 5, term: 2 };
        assert_eq!(Position::from_row(&position.to_row()), Ok(position));
        let hard = HardState { term: 4, vote: 1, commit: 12 };
        assert_eq!(HardState::from_row(&hard.to_row()), Ok(hard));
        let group = Group {
            voters: vec![1, 2],
            learners: vec![9],
            voters_outgoing: vec![3],
            learners_next: vec![4],
            auto_leave: true,
        };
        assert_eq!(Group::from_row(&group.to_row()), Ok(group));
        let identity = Identity { cluster: [5; 16], replica: 1, incarnation: 1 };
        assert_eq!(Identity::from_row(&identity.to_row()), Ok(identity));
    }

    #[test]
    fn a_damaged_row_is_an_error() {
        let row = HardState { term: 4, vote: 1, commit: 12 }.to_row();
        for cut in 0..row.len() {
            assert!(HardState::from_row(&row[..cut]).is_err());
        }
        let row = entry_row(3, EntryKind::Group, b"data");
        assert!(entry_from_row(&[row.as_slice(), b"x"].concat()).is_err());
        assert!(entry_from_row(&[0x83, 0x03, 0x02, 0x40]).is_err());
    }
}
