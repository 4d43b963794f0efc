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

const TITLE: &str = "lockstep identity 1";

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
        None => Err(Fault::new(format!("{} is damaged", path.display())).of(Ailment::Damaged)),
    }
}

/// Writes the identity of a new data directory; when this returns it survives a power cut.
pub fn write(dir: &Path, identity: &Identity) -> Result<(), Fault> {
    write_through(dir, &text(identity))
        .map_err(|e| fault(format!("write {}", dir.join(FILE).display()), e))
}

fn write_through(dir: &Path, text: &str) -> io::Result<()> {
    let (path, fresh) = (dir.join(FILE), dir.join("identity.new"));
    let mut file = fs::File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, &path)?;
    fs::File::open(dir)?.sync_all()
}

fn text(identity: &Identity) -> String {
    format!(
        "{TITLE}\ncluster {}\nreplica {}\nincarnation {}\n",
        ClusterId(identity.cluster),
        identity.replica,
        identity.incarnation
    )
}

fn parse(content: &str) -> Option<Identity> {
    let mut lines = content.lines();
    let title = lines.next()?;
    let cluster: ClusterId = lines.next()?.strip_prefix("cluster ")?.parse().ok()?;
    let replica = lines.next()?.strip_prefix("replica ")?.parse().ok()?;
    let incarnation = lines.next()?.strip_prefix("incarnation ")?.parse().ok()?;
    let identity = Identity { cluster: cluster.0, replica, incarnation };
    // One spelling only, so that damage is noticed.
    (title == TITLE && text(&identity) == content).then_some(identity)
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
        fs::write(&path, whole + "\n").unwrap();
        assert!(read(dir.path()).is_err());
    }
}
