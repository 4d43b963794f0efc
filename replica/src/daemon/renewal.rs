//! A replica that has lost what it had promised, but not its member key, comes back as another.
//!
//! It may have voted, or acknowledged what it does not have any more, so it must never act under its
//! old identity again. It draws new keys, and asks the others, with its old member key, to invite the
//! new one and to take the old one out. When they have, the new keys take the place of the old ones,
//! what was in the database stays as [`LOST_DIR`], and records are fetched as by any new member.
//!
//! While the directory [`RENEWAL_DIR`] is there this is under way, whatever interrupts it: each step
//! can be repeated. There is one renewal within [`AT_MOST_EVERY`]: a disk that goes on to lose what is on
//! it is to be looked at.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ledger::lock::signatures::{PrivateKey, Signer};
use ledger::{Ailment, Fault};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::error::ServeError;
use crate::disk::neighbours::{self, Known};
use crate::disk::recovery::StartError;
use crate::disk::{ROWS_DIR, identity, watermark};
use crate::joining::Token;
use crate::keys::{self, Keys, Start};
use crate::node::{MADE_DIR, MAKING_DIR};

/// The new keys, and the old database once the new identity is there.
const RENEWAL_DIR: &str = "renewal";
/// The same once it is done, about to be deleted.
const DONE_DIR: &str = "renewal.done";
/// The database of the former identity, afterwards. Nothing needs it.
const LOST_DIR: &str = "db.lost";
/// Written when a renewal is done.
const RENEWED: &str = "renewed";
/// The time between two renewals, at least.
const AT_MOST_EVERY: Duration = Duration::from_secs(3600);
/// Precedes the private key of which the invitation's is made.
const INVITATION_TAG: &[u8] = b"lockstep renewal invitation 1\0";

/// Begins a renewal, if there is somebody to ask; says whether.
pub(super) fn begin(data_dir: &Path) -> bool {
    match try_begin(data_dir) {
        Ok(begun) => begun,
        Err(error) => {
            tracing::warn!(%error, "cannot ask the others to be let in under a new identity");
            false
        }
    }
}

fn try_begin(data_dir: &Path) -> Result<bool, ServeError> {
    // Another one would not fare better.
    if is_under_way(data_dir) {
        return Ok(false);
    }
    let Some(own) = keys::read_member_key(data_dir)? else { return Ok(false) };
    let Some(mut known) = neighbours::read(data_dir).map_err(StartError::from)? else {
        return Ok(false);
    };
    known.members.retain(|(_, key, _)| *key != own);
    if known.members.is_empty() {
        return Ok(false);
    }
    let last = fs::metadata(data_dir.join(RENEWED)).and_then(|renewed| renewed.modified());
    if last.ok().and_then(|last| last.elapsed().ok()).is_some_and(|age| age < AT_MOST_EVERY) {
        tracing::error!("less than an hour ago this replica came back under a new identity");
        return Ok(false);
    }
    neighbours::write(data_dir, &known).map_err(StartError::from)?;
    keys::renewed(&data_dir.join(RENEWAL_DIR))?;
    Ok(true)
}

/// Whether a renewal is under way in a data directory.
pub(super) fn is_under_way(data_dir: &Path) -> bool {
    data_dir.join(RENEWAL_DIR).exists()
}

/// A renewal that is under way.
pub(super) struct Renewal {
    data_dir: PathBuf,
    /// Whom to ask.
    others: Known,
    /// What the private key of the invitation is made of that they are asked for.
    invitation: Zeroizing<[u8; 32]>,
    /// The member key of before, until the new one is in its place.
    former: Option<Box<PrivateKey>>,
}

impl Renewal {
    /// Goes on with the renewal of a data directory, if one is under way: puts its keys among those
    /// that the daemon has opened. `first` says whether there is an identity.
    pub(super) fn under_way(
        data_dir: &Path,
        keys: &mut Keys,
        first: Start,
    ) -> Result<Option<Renewal>, ServeError> {
        if !is_under_way(data_dir) {
            // What a power cut has left of the last one.
            let done = data_dir.join(DONE_DIR);
            remove(&done).map_err(|source| ServeError::Io {
                doing: "removing",
                place: done.display().to_string(),
                source,
            })?;
            return Ok(None);
        }
        let keys::Renewed { member, log } = keys::renewed(&data_dir.join(RENEWAL_DIR))?;
        let changed = keys.member.public() == member.public();
        let others = neighbours::read(data_dir).map_err(StartError::from)?.ok_or_else(|| {
            let what = format!("{} is missing", data_dir.join(neighbours::FILE).display());
            StartError::from(Fault::new(what).of(Ailment::Damaged))
        })?;
        let invitation = invitation(&member);
        keys.log = log;
        let before = std::mem::replace(&mut keys.member, member);
        let former = (!changed).then_some(before);
        let renewal = Renewal { data_dir: data_dir.into(), others, invitation, former };
        // An identity beside the new keys is the new one.
        if changed && first == Start::Again {
            renewal.is_done()?;
            return Ok(None);
        }
        Ok(Some(renewal))
    }

    /// As if somebody had been given it.
    pub(super) fn token(&self) -> Token {
        let Known { cluster, incarnation, members } = &self.others;
        Token {
            cluster: *cluster,
            incarnation: *incarnation,
            members: members.iter().map(|(_, key, address)| (*key, address.clone())).collect(),
            secret: PrivateKey::from_seed(&self.invitation),
        }
    }

    /// The member key that it had.
    pub(super) fn former(&self) -> Option<&(dyn Signer + Send + Sync)> {
        self.former.as_deref().map(|former| former as _)
    }

    /// The others have let the new identity in: nothing of the old one but its evidence stays.
    pub(super) fn change_over(&self, keys: &Keys) -> Result<(), ServeError> {
        let path = |name: &str| self.data_dir.join(name);
        let (rows, aside) = (path(ROWS_DIR), path(RENEWAL_DIR).join(ROWS_DIR));
        let moved = || -> io::Result<()> {
            for made in [MAKING_DIR, MADE_DIR] {
                remove(&path(made))?;
            }
            if aside.exists() {
                // Then this one is of a start that was cut short.
                remove(&rows)?;
            } else if rows.exists() {
                fs::rename(&rows, &aside)?;
            }
            for file in [watermark::FILE, identity::FILE] {
                absent(fs::remove_file(path(file)))?;
            }
            fs::File::open(&self.data_dir)?.sync_all()
        };
        moved().map_err(|source| self.failed("moving the former database aside in", source))?;
        keys::change_identity(&self.data_dir, keys)?;
        Ok(())
    }

    /// The new identity has a database of its own.
    pub(super) fn is_done(&self) -> Result<(), ServeError> {
        let path = |name: &str| self.data_dir.join(name);
        let (directory, lost) = (path(RENEWAL_DIR), path(LOST_DIR));
        let aside = directory.join(ROWS_DIR);
        let ended = || -> io::Result<()> {
            if aside.exists() {
                remove(&lost)?;
                fs::rename(&aside, &lost)?;
            }
            fs::write(path(RENEWED), "")?;
            // As a whole: half of it would be taken for another renewal, with keys that are missing.
            remove(&path(DONE_DIR))?;
            fs::rename(&directory, path(DONE_DIR))?;
            fs::File::open(&self.data_dir)?.sync_all()?;
            remove(&path(DONE_DIR))
        };
        ended().map_err(|source| self.failed("ending the renewal in", source))?;
        tracing::info!(
            "this replica is back under a new identity; the former database is {LOST_DIR}"
        );
        Ok(())
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> ServeError {
        ServeError::Io { doing, place: self.data_dir.display().to_string(), source }
    }
}

/// The private half of the invitation's key for a member key: it follows from the private half of that.
fn invitation(member: &PrivateKey) -> Zeroizing<[u8; 32]> {
    let pair = member.to_pair();
    let digest = Sha256::new_with_prefix(INVITATION_TAG).chain_update(&pair[..32]).finalize();
    Zeroizing::new(digest.into())
}

fn remove(directory: &Path) -> io::Result<()> {
    absent(fs::remove_dir_all(directory))
}

/// What is not there need not be removed.
fn absent(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use ledger::history::{ClusterId, MemberKey, ReplicaId};
    use ledger::rows::raft::Identity;

    use super::*;
    use crate::keys::LockKeyChoice;

    fn keys(dir: &Path, start: Start) -> Keys {
        Keys::open(dir, start, &LockKeyChoice::default()).unwrap()
    }

    fn identity_of(replica: u64) -> Identity {
        Identity { cluster: [7; 16], replica, incarnation: 2 }
    }

    /// The directory of replica 3, with a database in which there is a file.
    fn replica(dir: &Path, others: &[(u64, MemberKey)]) -> Keys {
        let keys = keys(dir, Start::First);
        identity::write(dir, &identity_of(3)).unwrap();
        fs::write(dir.join(watermark::FILE), "").unwrap();
        fs::create_dir(dir.join(ROWS_DIR)).unwrap();
        fs::write(dir.join(ROWS_DIR).join("old"), "").unwrap();
        let own = (3, MemberKey(keys.member.public().0));
        let members = others.iter().chain([&own]);
        let members = members.map(|(id, key)| (ReplicaId(*id), *key, format!("{id}.example:1")));
        let (cluster, members) = (ClusterId([7; 16]), members.collect());
        neighbours::write(dir, &Known { cluster, incarnation: 2, members }).unwrap();
        keys
    }

    fn has(dir: &Path, name: &str) -> bool {
        dir.join(name).exists()
    }

    #[test]
    fn whoever_knows_nobody_else_stays_who_it_is() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!begin(dir.path()));
        replica(dir.path(), &[]);
        assert!(!begin(dir.path()));
        fs::write(dir.path().join(neighbours::FILE), "damaged").unwrap();
        assert!(!begin(dir.path()));
        assert!(!is_under_way(dir.path()));
    }

    #[test]
    fn each_step_can_be_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let other = MemberKey([1; 32]);
        let old = replica(dir, &[(1, other)]);
        assert!(begin(dir));
        assert!(!begin(dir), "it is under way");

        let mut opened = keys(dir, Start::Again);
        let renewal = Renewal::under_way(dir, &mut opened, Start::Again).unwrap().unwrap();
        assert_eq!(renewal.former().unwrap().public(), old.member.public());
        assert_ne!(opened.member.public(), old.member.public());
        assert_ne!(opened.log.public(), old.log.public());
        assert_eq!(opened.node.public(), old.node.public());
        let token = renewal.token();
        assert_eq!((token.cluster, token.incarnation), (ClusterId([7; 16]), 2));
        assert_eq!(token.members, [(other, "1.example:1".into())], "and not itself");
        let mut again = keys(dir, Start::Again);
        let same = Renewal::under_way(dir, &mut again, Start::Again).unwrap().unwrap();
        assert_eq!(again.member.public(), opened.member.public());
        assert_eq!(same.token().key(), token.key());

        renewal.change_over(&opened).unwrap();
        assert!(!has(dir, ROWS_DIR) && !has(dir, watermark::FILE) && !has(dir, identity::FILE));
        // A new database was begun, and that start cut short.
        fs::create_dir(dir.join(ROWS_DIR)).unwrap();
        fs::write(dir.join(ROWS_DIR).join("half"), "").unwrap();
        let mut again = keys(dir, Start::First);
        assert_eq!(again.member.public(), opened.member.public());
        let renewal = Renewal::under_way(dir, &mut again, Start::First).unwrap().unwrap();
        assert!(renewal.former().is_none(), "that key is gone");
        renewal.change_over(&again).unwrap();
        assert!(!has(dir, ROWS_DIR));

        // The new identity is there, and the start after it.
        fs::create_dir(dir.join(ROWS_DIR)).unwrap();
        identity::write(dir, &identity_of(4)).unwrap();
        let mut again = keys(dir, Start::Again);
        assert!(Renewal::under_way(dir, &mut again, Start::Again).unwrap().is_none());
        assert_eq!(again.member.public(), opened.member.public());
        assert!(has(dir, ROWS_DIR) && has(dir, LOST_DIR) && !is_under_way(dir));
        assert!(has(&dir.join(LOST_DIR), "old"));
        assert!(!begin(dir), "not twice within the hour");
        // Power went while the rest of it was deleted: the replica is as healthy as it was.
        fs::create_dir(dir.join(DONE_DIR)).unwrap();
        fs::write(dir.join(DONE_DIR).join("log.key"), "").unwrap();
        let mut again = keys(dir, Start::Again);
        assert!(Renewal::under_way(dir, &mut again, Start::Again).unwrap().is_none());
        assert!(!has(dir, DONE_DIR));
        assert_eq!(again.member.public(), opened.member.public());
    }
}
