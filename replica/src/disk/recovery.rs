//! What a data directory may still do: start afresh, go on, or neither.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ledger::history::{ClusterId, Fold, KnownRules, ReplicaId};
use ledger::rows::raft::{Identity, Neighbour};
use ledger::rows::watermark::Watermark;
use ledger::{Ailment, Fault};

use super::rocks::Rocks;
use super::watermark::{Marks, WatermarkFile};
use super::{Disk, Durable, ROWS_DIR, identity, log, watermark};
use crate::core::Saved;
use crate::core::applier::pointer;

/// Why a replica does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The disk or a file on it fails, or what it holds contradicts itself.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// There is an identity, but the database that its promises are in is gone.
    #[error(
        "{dir} belongs to replica {replica} of cluster {cluster}, but its database is missing",
        dir = dir.display()
    )]
    FreshDisk {
        /// The data directory.
        dir: PathBuf,
        /// The replica in its identity file.
        replica: ReplicaId,
        /// The cluster in its identity file.
        cluster: ClusterId,
    },
    /// There is a database that has been in use, but its identity file or its watermark is gone.
    #[error("{path} is missing, although the database beside it has been in use", path = path.display())]
    LostFile {
        /// The missing file.
        path: PathBuf,
    },
    /// The identity file and the database are of different replicas.
    #[error(
        "the database in {dir} belongs to replica {found_replica} of cluster {found_cluster}, \
         but its identity file names replica {replica} of cluster {cluster}",
        dir = dir.display()
    )]
    OtherIdentity {
        /// The data directory.
        dir: PathBuf,
        /// The replica in the identity file.
        replica: ReplicaId,
        /// The cluster in the identity file.
        cluster: ClusterId,
        /// The replica in the database.
        found_replica: ReplicaId,
        /// The cluster in the database.
        found_cluster: ClusterId,
    },
    /// The log ends before what this replica has promised to keep.
    #[error(
        "{dir} has lost what was acknowledged: its log reaches entry {} of term {} (term {}, vote \
         {}), but its watermark promises entry {} of term {} (term {}, vote {})",
        found.last_index, found.last_term, found.term, found.vote,
        promised.last_index, promised.last_term, promised.term, promised.vote,
        dir = dir.display()
    )]
    Short {
        /// The data directory.
        dir: PathBuf,
        /// What the watermark promises.
        promised: Watermark,
        /// What the database still has.
        found: Watermark,
    },
    /// The group has gone on under rules that this version does not know.
    #[error(
        "{dir} is under rules {rules}, and this version knows only rules up to {known}",
        dir = dir.display()
    )]
    NewerRules {
        /// The data directory.
        dir: PathBuf,
        /// The rules that are active there.
        rules: u32,
        /// The newest rules that this version knows.
        known: u32,
    },
    /// The directory is empty, and nobody asked to start a new group in it.
    #[error("{dir} holds no replica", dir = dir.display())]
    Empty {
        /// The data directory.
        dir: PathBuf,
    },
}

/// What to do about a data directory that has lost what makes a replica who it is.
pub const REPLACE: &str = "keep the directory as evidence, as it is (`lockstep audit verify DIR` looks at it), and do \
     not mix files of different moments; in a group let a new replica take its place: `lockstep \
     cluster remove` and `lockstep cluster invite` on another member, and here `lockstep serve \
     --join` with an empty data directory; a replica that was alone goes on from a backup \
     (`lockstep cluster restore`)";

impl StartError {
    /// What the operator can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            StartError::Fault(fault) => match fault.ailment() {
                Ailment::Damaged | Ailment::RolledBack => REPLACE,
                Ailment::NoSpace => "make room below the data directory, and start again",
                Ailment::Unknown => {
                    "make sure that no other process uses the directory, that the disk has space \
                     and is sound, and start again; if the directory is damaged, restore it whole \
                     from your own backup"
                }
            },
            StartError::FreshDisk { .. }
            | StartError::LostFile { .. }
            | StartError::OtherIdentity { .. }
            | StartError::Short { .. } => REPLACE,
            StartError::NewerRules { .. } => {
                "install a version that knows these rules: once all members have supported them \
                 and the group has gone over to them, it cannot go back to an older version"
            }
            StartError::Empty { .. } => "name the data directory of a replica",
        }
    }
}

/// A replica's disk, ready to go on.
#[derive(Debug)]
pub struct Recovered<D = Rocks, M = WatermarkFile> {
    /// The database.
    pub disk: D,
    /// Whose it is.
    pub identity: Identity,
    /// What the log says.
    pub saved: Saved,
    /// What was promised last.
    pub mark: Watermark,
    /// Where to promise more.
    pub watermark: M,
}

/// What an empty data directory becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fresh {
    /// The first replica's of this new cluster.
    Founder(ClusterId),
    /// That of a replica which a group has let in under this identity, and the members that it was
    /// told of.
    Joiner(Identity, Vec<Neighbour>),
    /// Nothing: that is an error.
    Refused,
}

/// The database of a replica and the files beside it.
pub trait Home {
    /// The database.
    type Disk: Disk;
    /// The watermark's file.
    type Marks: Marks;

    /// Where they are, for people.
    fn path(&self) -> &Path;
    /// What the identity file says, if there is one.
    fn identity(&self) -> Result<Option<Identity>, Fault>;
    /// Writes the identity file; when this returns it survives a power cut.
    fn set_identity(&self, identity: &Identity) -> Result<(), Fault>;
    /// Whether there is a database.
    fn has_rows(&self) -> Result<bool, Fault>;
    /// Opens the database, or makes it.
    fn open(&self) -> Result<Self::Disk, Fault>;
    /// The watermark, if there is a file of it.
    fn mark(&self) -> Result<Option<Watermark>, Fault>;
    /// Makes the watermark's file; when this returns it survives a power cut.
    fn create_marks(&self, mark: &Watermark) -> Result<Self::Marks, Fault>;
    /// Opens the watermark's file for writing.
    fn open_marks(&self) -> Result<Self::Marks, Fault>;
}

/// A data directory.
struct Directory<'a>(&'a Path);

impl Home for Directory<'_> {
    type Disk = Rocks;
    type Marks = WatermarkFile;

    fn path(&self) -> &Path {
        self.0
    }

    fn identity(&self) -> Result<Option<Identity>, Fault> {
        identity::read(self.0)
    }

    fn set_identity(&self, identity: &Identity) -> Result<(), Fault> {
        identity::write(self.0, identity)
    }

    fn has_rows(&self) -> Result<bool, Fault> {
        exists(&self.0.join(ROWS_DIR).join("CURRENT"))
    }

    fn open(&self) -> Result<Rocks, Fault> {
        Rocks::open(&self.0.join(ROWS_DIR))
    }

    fn mark(&self) -> Result<Option<Watermark>, Fault> {
        watermark::read(self.0)
    }

    fn create_marks(&self, mark: &Watermark) -> Result<WatermarkFile, Fault> {
        WatermarkFile::create(self.0, mark)
    }

    fn open_marks(&self) -> Result<WatermarkFile, Fault> {
        WatermarkFile::open(self.0)
    }
}

/// Opens the data directory of a replica; an empty one becomes what `fresh` says.
pub fn recover(dir: &Path, fresh: Fresh) -> Result<Recovered, StartError> {
    recover_knowing(dir, fresh, KnownRules::THIS_VERSION)
}

/// The same, in a program that executes those rules.
pub(crate) fn recover_knowing(
    dir: &Path,
    fresh: Fresh,
    known: KnownRules,
) -> Result<Recovered, StartError> {
    recover_from(&Directory(dir), fresh, known)
}

/// The same as [`recover`], wherever it is.
pub fn recover_at<H: Home>(
    home: &H,
    fresh: Fresh,
) -> Result<Recovered<H::Disk, H::Marks>, StartError> {
    recover_from(home, fresh, KnownRules::THIS_VERSION)
}

fn recover_from<H: Home>(
    home: &H,
    fresh: Fresh,
    known: KnownRules,
) -> Result<Recovered<H::Disk, H::Marks>, StartError> {
    let dir = home.path();
    let named = home.identity()?;
    let has_rows = home.has_rows()?;
    if let Some(identity) = &named
        && !has_rows
        && !planted!(FreshDisk)
    {
        let (cluster, replica) = log::names(identity);
        return Err(StartError::FreshDisk { dir: dir.to_owned(), replica, cluster });
    }
    if named.is_none() && !has_rows && fresh == Fresh::Refused {
        return Err(StartError::Empty { dir: dir.to_owned() });
    }
    let disk = home.open()?;
    let Some(identity) = log::identity(&disk.view())? else {
        // Created, but never a member's: a first start that was cut short.
        if let Some(identity) = named {
            if planted!(FreshDisk) {
                return begin(home, disk, identity, Saved::joined(), &[]);
            }
            let lost = Fault::new("the database has lost the row `identity`");
            return Err(lost.of(Ailment::Damaged).into());
        }
        return match fresh {
            Fresh::Founder(cluster) => {
                let identity = Identity { cluster: cluster.0, replica: 1, incarnation: 1 };
                let saved = Saved::founded(ReplicaId(identity.replica));
                begin(home, disk, identity, saved, &[])
            }
            Fresh::Joiner(identity, neighbours) => {
                begin(home, disk, identity, Saved::joined(), &neighbours)
            }
            Fresh::Refused => Err(StartError::Empty { dir: dir.to_owned() }),
        };
    };
    let view = disk.view();
    let rules = Fold::rules_of(&view)?;
    if rules > known.newest() {
        let dir = dir.to_owned();
        return Err(StartError::NewerRules { dir, rules, known: known.newest() });
    }
    let saved = log::load(&view, pointer(&Fold::open_knowing(&view, known)?))?;
    let (cluster, replica) = log::names(&identity);
    saved.check()?;
    match named {
        // The identity file comes last; until then the replica has promised nothing.
        None if saved == Saved::founded(replica) || saved == Saved::joined() => {
            return finish(home, disk, identity, saved);
        }
        None => return Err(StartError::LostFile { path: dir.join(identity::FILE) }),
        Some(named) if named != identity => {
            let (named_cluster, named_replica) = log::names(&named);
            return Err(StartError::OtherIdentity {
                dir: dir.to_owned(),
                replica: named_replica,
                cluster: named_cluster,
                found_replica: replica,
                found_cluster: cluster,
            });
        }
        Some(_) => {}
    }
    let Some(mark) = home.mark()? else {
        return Err(StartError::LostFile { path: dir.join(watermark::FILE) });
    };
    let reached = saved.promise();
    if !mark.kept_by(&reached) {
        return Err(StartError::Short { dir: dir.to_owned(), promised: mark, found: reached });
    }
    Ok(Recovered { disk, identity, saved, mark, watermark: home.open_marks()? })
}

/// Makes the directory whose database this is that of a member which has done nothing yet.
pub(crate) fn begin_in(
    dir: &Path,
    disk: Rocks,
    identity: Identity,
    saved: Saved,
) -> Result<Recovered, StartError> {
    begin(&Directory(dir), disk, identity, saved, &[])
}

fn begin<H: Home>(
    home: &H,
    disk: H::Disk,
    identity: Identity,
    saved: Saved,
    neighbours: &[Neighbour],
) -> Result<Recovered<H::Disk, H::Marks>, StartError> {
    let mut batch = log::founded(&identity, &saved);
    if !neighbours.is_empty() {
        log::introduce(&mut batch, neighbours);
    }
    disk.commit(batch, Durable::Now)?;
    finish(home, disk, identity, saved)
}

fn finish<H: Home>(
    home: &H,
    disk: H::Disk,
    identity: Identity,
    saved: Saved,
) -> Result<Recovered<H::Disk, H::Marks>, StartError> {
    let mark = saved.promise();
    let watermark = home.create_marks(&mark)?;
    home.set_identity(&identity)?;
    Ok(Recovered { disk, identity, saved, mark, watermark })
}

fn exists(path: &Path) -> Result<bool, Fault> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Fault::from_error(format!("look at {}", path.display()), error)),
    }
}
