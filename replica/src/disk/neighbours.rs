//! Who the others are: a small text file beside the database, for the day on which the database
//! cannot say so any more.
//!
//! ```text
//! lockstep neighbours 1
//! cluster AEBAGBAFAYDQQCIKBMGA2DQPCA
//! incarnation 1
//! 2 1f0d...(64 hex digits of the member key) b.example:7400
//! ```
//!
//! Each line names an active member with an address, by the records here or, of those that have joined
//! since, by the word of others; ascending by number. Nothing rests on it but the
//! way to them: they are believed by their keys, and what they say by their records.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use data_encoding::HEXLOWER;
use ledger::history::{ClusterId, MemberKey, ReplicaId};
use ledger::{Ailment, Fault};

use super::ailment::fault;
use super::identity::write_through;

/// Name of the file within a data directory.
pub const FILE: &str = "neighbours";

const TITLE: &str = "lockstep neighbours 1";
/// Bytes of the file, at most.
const MAX_BYTES: u64 = 1 << 20;

/// The group as this replica knew it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its life, from 1.
    pub incarnation: u64,
    /// Its active members that have an address, ascending by number: key and address
    /// (`host:port`).
    pub members: Vec<(ReplicaId, MemberKey, String)>,
}

/// Reads the file of a data directory; `None` if there is none.
pub fn read(dir: &Path) -> Result<Option<Known>, Fault> {
    let path = dir.join(FILE);
    let doing = |error| Fault::from_error(format!("read {}", path.display()), error);
    match fs::metadata(&path) {
        Ok(metadata) if metadata.len() > MAX_BYTES => return Err(damaged(&path)),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(doing(error)),
    }
    let bytes = fs::read(&path).map_err(doing)?;
    let known = String::from_utf8(bytes).ok().and_then(|content| parse(&content));
    known.map(Some).ok_or_else(|| damaged(&path))
}

/// Writes the file; when this returns it survives a power cut.
pub fn write(dir: &Path, known: &Known) -> Result<(), Fault> {
    write_through(dir, FILE, &text(known))
        .map_err(|e| fault(format!("write {}", dir.join(FILE).display()), e))
}

fn damaged(path: &Path) -> Fault {
    Fault::new(format!("{} is damaged", path.display())).of(Ailment::Damaged)
}

fn text(known: &Known) -> String {
    let mut out =
        format!("{TITLE}\ncluster {}\nincarnation {}\n", known.cluster, known.incarnation);
    for (id, key, address) in &known.members {
        out.push_str(&format!("{id} {} {address}\n", HEXLOWER.encode(&key.0)));
    }
    out
}

fn parse(content: &str) -> Option<Known> {
    let mut lines = content.lines();
    lines.next().filter(|title| *title == TITLE)?;
    let cluster = lines.next()?.strip_prefix("cluster ")?.parse().ok()?;
    let incarnation = lines.next()?.strip_prefix("incarnation ")?.parse().ok()?;
    let members = lines.map(|line| {
        let (id, rest) = line.split_once(' ')?;
        let (key, address) = rest.split_once(' ')?;
        let key = HEXLOWER.decode(key.as_bytes()).ok()?.try_into().ok()?;
        Some((ReplicaId(id.parse().ok()?), MemberKey(key), address.to_owned()))
    });
    let known = Known { cluster, incarnation, members: members.collect::<Option<_>>()? };
    // One spelling only, so that damage is noticed.
    (text(&known) == content).then_some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_read_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        let mut known = Known { cluster: ClusterId([7; 16]), incarnation: 2, members: Vec::new() };
        write(dir.path(), &known).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(known.clone()));
        known.members = vec![
            (ReplicaId(2), MemberKey([1; 32]), "b.example:7400".into()),
            (ReplicaId(5), MemberKey([2; 32]), "[::1]:7400".into()),
        ];
        write(dir.path(), &known).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(known));
        let path = dir.path().join(FILE);
        let whole = fs::read_to_string(&path).unwrap();
        for harmed in [
            String::new(),
            whole.trim_end().to_owned(),
            whole.replacen("2 01", "02 01", 1),
            whole.replacen("2 01", "2 0", 1),
            format!("{whole}\n"),
            whole.replacen("neighbours 1", "neighbours 2", 1),
        ] {
            fs::write(&path, harmed).unwrap();
            assert_eq!(read(dir.path()).unwrap_err().ailment(), Ailment::Damaged);
        }
        fs::write(&path, vec![b'x'; MAX_BYTES as usize + 1]).unwrap();
        read(dir.path()).unwrap_err();
    }
}
