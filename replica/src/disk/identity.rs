//! Whose directory this is: a small text file beside the database, and the same in a row of it.
//!
//! A replica's promises are on its disk. So an old identity on a fresh database, or an old
//! database under a fresh identity, must not take part: it could vote twice in one term.
//!
//! ```text
//! lockstep identity 1
//! cluster AEBAGBAFAYDQQCIKBMGA2DQPCA
//! replica 1
//! incarnation 1
//! ```

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use ledger::history::ClusterId;
use ledger::rows::raft::Identity;
use ledger::{Ailment, Fault};

use super::ailment::fault;

/// Name of the file within a data directory.
pub const FILE: &str = "identity";

/// The format of a data directory: of the files in it and of what the tables hold.
const FORMAT: u32 = 1;
/// What stands before its number on the file's first line.
const TITLE: &str = "lockstep identity ";

/// Reads the identity of a data directory; `None` if there is no such file.
pub fn read(dir: &Path) -> Result<Option<Identity>, Fault> {
    let path = dir.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Fault::from_error(format!("read {}", path.display()), error)),
    };
    match parse(&text) {
        Some(identity) => Ok(Some(identity)),
        None => Err(match format_of(&text) {
            Some(format) if format > FORMAT => Fault::new(format!(
                "{} is of disk format {format}, and this version knows only format {FORMAT}; \
                 install a newer version",
                path.display()
            )),
            _ => Fault::new(format!("{} is damaged", path.display())).of(Ailment::Damaged),
        }),
    }
}

/// Writes the identity of a new data directory; when this returns it survives a power cut.
pub fn write(dir: &Path, identity: &Identity) -> Result<(), Fault> {
    write_through(dir, FILE, &text(identity))
        .map_err(|e| fault(format!("write {}", dir.join(FILE).display()), e))
}

/// Puts a small file in the place of the one of that name, whole or not at all, and syncs it.
pub(super) fn write_through(dir: &Path, name: &str, text: &str) -> io::Result<()> {
    let (path, fresh) = (dir.join(name), dir.join(format!("{name}.new")));
    let mut file = fs::File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, &path)?;
    fs::File::open(dir)?.sync_all()
}

fn text(identity: &Identity) -> String {
    format!(
        "{TITLE}{FORMAT}\ncluster {}\nreplica {}\nincarnation {}\n",
        ClusterId(identity.cluster),
        identity.replica,
        identity.incarnation
    )
}

fn parse(content: &str) -> Option<Identity> {
    let mut lines = content.lines();
    lines.next()?;
    let cluster: ClusterId = lines.next()?.strip_prefix("cluster ")?.parse().ok()?;
    let replica = lines.next()?.strip_prefix("replica ")?.parse().ok()?;
    let incarnation = lines.next()?.strip_prefix("incarnation ")?.parse().ok()?;
    let identity = Identity { cluster: cluster.0, replica, incarnation };
    // One spelling only, so that damage is noticed.
    (text(&identity) == content).then_some(identity)
}

/// The format that the first line names, if it names one.
fn format_of(content: &str) -> Option<u32> {
    content.lines().next()?.strip_prefix(TITLE)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        let identity = Identity { cluster: [7; 16], replica: 3, incarnation: 2 };
        write(dir.path(), &identity).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(identity));
        let path = dir.path().join(FILE);
        let whole = fs::read_to_string(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(read(dir.path()).is_err(), "{cut}");
        }
        fs::write(&path, format!("{whole}\n")).unwrap();
        assert!(read(dir.path()).is_err());
        fs::write(&path, whole.replacen("identity 1", "identity 2", 1)).unwrap();
        let newer = read(dir.path()).unwrap_err().to_string();
        assert!(newer.contains("disk format 2") && newer.contains("newer version"), "{newer}");
    }
}
