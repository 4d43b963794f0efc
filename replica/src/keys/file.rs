//! Key files: who may own them, and how they come to be.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::Kind;

/// Bytes of a key file, at most.
const MAX_BYTES: u64 = 1024;

/// Why a key could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The system refused an operation.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The file or directory belongs to another user.
    #[error(
        "{} belongs to user {owner}, but the daemon runs as user {own}: make it the daemon's with \
         chown, or run the daemon as that user",
        path.display()
    )]
    Owner {
        /// Which one.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The daemon's user.
        own: u32,
    },
    /// Others may read or write the file or directory.
    #[error(
        "{} has mode {mode:04o}, so others can get at a private key: find out who could, then \
         chmod {want}",
        path.display()
    )]
    Mode {
        /// Which one.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they should be.
        want: &'static str,
    },
    /// Not a regular file, or not a directory.
    #[error("{} is not {want}", path.display())]
    Type {
        /// Which one.
        path: PathBuf,
        /// What it should be.
        want: &'static str,
    },
    /// The file does not hold a key of its kind.
    #[error(
        "{} does not hold the key that belongs there: put the right file back from your backup",
        path.display()
    )]
    Content {
        /// Which one.
        path: PathBuf,
    },
    /// The member key is gone though there is a history.
    #[error(
        "{} is missing though the data directory holds a history, and nobody else can sign for \
         this member: put the file back from your backup, or start with an empty data directory",
        path.display()
    )]
    MemberKeyLost {
        /// Where it should be.
        path: PathBuf,
    },
    /// The system has no randomness to give.
    #[error("drawing a random key: {0}")]
    Random(#[from] getrandom::Error),
}

/// The directory of the key files.
pub(super) struct Directory {
    path: PathBuf,
    own: u32,
}

impl Directory {
    /// Creates the directory with mode 0700 if it is missing, checks it, and sweeps away what an
    /// interrupted [`create`](Self::create) left.
    pub(super) fn open(path: &Path) -> Result<Self, KeyFileError> {
        let io = |doing| move |source| KeyFileError::Io { doing, path: path.into(), source };
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => sync_directory(path.parent().unwrap_or(Path::new(".")))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io("creating")(error)),
        }
        let own = rustix::process::geteuid().as_raw();
        let metadata = fs::symlink_metadata(path).map_err(io("looking at"))?;
        if !metadata.is_dir() {
            return Err(KeyFileError::Type { path: path.into(), want: "a directory" });
        }
        check_access(path, &metadata, own, "0700")?;
        let directory = Directory { path: path.into(), own };
        for kind in [Kind::Member, Kind::Lock, Kind::Log, Kind::Node] {
            match fs::remove_file(directory.draft(kind)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io("clearing")(error));
                }
                _ => {}
            }
        }
        Ok(directory)
    }

    pub(super) fn path(&self, kind: Kind) -> PathBuf {
        self.path.join(kind.file())
    }

    fn draft(&self, kind: Kind) -> PathBuf {
        self.path.join(format!("{}.new", kind.file()))
    }

    pub(super) fn has(&self, kind: Kind) -> Result<bool, KeyFileError> {
        let path = self.path(kind);
        match fs::symlink_metadata(&path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(KeyFileError::Io { doing: "looking at", path, source }),
        }
    }

    /// The text of a key file; `None` if there is none.
    pub(super) fn read(&self, kind: Kind) -> Result<Option<Zeroizing<String>>, KeyFileError> {
        let path = self.path(kind);
        let io = |doing| {
            let path = path.clone();
            move |source| KeyFileError::Io { doing, path, source }
        };
        let nofollow = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let opened =
            OpenOptions::new().read(true).custom_flags(nofollow.bits().cast_signed()).open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io("opening")(error)),
        };
        let metadata = file.metadata().map_err(io("looking at"))?;
        if !metadata.is_file() {
            return Err(KeyFileError::Type { path, want: "a regular file" });
        }
        check_access(&path, &metadata, self.own, "0600")?;
        // Reserved in one piece, so that no copy of the key is left behind by growing.
        let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES as usize + 1));
        file.take(MAX_BYTES).read_to_string(&mut text).map_err(io("reading"))?;
        Ok(Some(text))
    }

    /// Makes a key file, whole and synced or not at all. Fails if it exists.
    pub(super) fn create(&self, kind: Kind, text: &str) -> Result<(), KeyFileError> {
        self.write_draft(kind, text)?;
        let (draft, path) = (self.draft(kind), self.path(kind));
        // Unlike a rename, a link never takes the place of another file.
        fs::hard_link(&draft, &path)
            .and_then(|()| fs::remove_file(&draft))
            .map_err(|source| KeyFileError::Io { doing: "creating", path, source })?;
        sync_directory(&self.path)
    }

    /// Puts a new key file in the place of the old one.
    pub(super) fn replace(&self, kind: Kind, text: &str) -> Result<(), KeyFileError> {
        self.write_draft(kind, text)?;
        let path = self.path(kind);
        fs::rename(self.draft(kind), &path).map_err(|source| KeyFileError::Io {
            doing: "replacing",
            path,
            source,
        })?;
        sync_directory(&self.path)
    }

    fn write_draft(&self, kind: Kind, text: &str) -> Result<(), KeyFileError> {
        let draft = self.draft(kind);
        let io = |source| KeyFileError::Io { doing: "writing", path: draft.clone(), source };
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(io)?;
        file.write_all(text.as_bytes()).map_err(io)?;
        file.write_all(b"\n").map_err(io)?;
        file.sync_all().map_err(io)
    }
}

fn check_access(
    path: &Path,
    metadata: &fs::Metadata,
    own: u32,
    want: &'static str,
) -> Result<(), KeyFileError> {
    if metadata.uid() != own {
        return Err(KeyFileError::Owner { path: path.into(), owner: metadata.uid(), own });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Mode { path: path.into(), mode, want });
    }
    Ok(())
}

fn sync_directory(path: &Path) -> Result<(), KeyFileError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(|source| KeyFileError::Io {
        doing: "syncing",
        path: path.into(),
        source,
    })
}
