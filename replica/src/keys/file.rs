//! Key files: who may own them, and how they come to be.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::Kind;

/// Bytes of a key file, at most.
pub(super) const MAX_BYTES: usize = 1024;

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
        "{} belongs to user {owner}, but this process runs as user {own}: make it this user's with \
         chown, or run as the other",
        path.display()
    )]
    Owner {
        /// Which one.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The process's user.
        own: u32,
    },
    /// Others may read or write the file or directory.
    #[error(
        "{} has mode {mode:04o}, so others can get at the secret in it: find out who could, then \
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
    /// The file is larger than what belongs there.
    #[error("{} has more than {max} bytes: it is another file", path.display())]
    TooLarge {
        /// Which one.
        path: PathBuf,
        /// Bytes, at most.
        max: usize,
    },
    /// There is something where a key is to be put.
    #[error(
        "{} exists, and a key file never takes the place of another file: choose another name",
        path.display()
    )]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// Text where a file was expected that is no file's name.
    #[error("a key is named by its file, or credential:NAME, and this is {what}: {advice}")]
    NotAFile {
        /// What it is.
        what: &'static str,
        /// What to do about it.
        advice: &'static str,
    },
    /// The file does not hold a tailnet-lock key.
    #[error(
        "{place} holds no tailnet-lock key: {why}. Such files are made by 'lockstep key generate'"
    )]
    NotALockKey {
        /// Which one.
        place: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The key is sealed, and nobody said how to open it.
    #[error(
        "{place} is sealed: say with --passphrase-from where its passphrase is, or run this on a terminal"
    )]
    Sealed {
        /// Which one.
        place: String,
    },
    /// The passphrase does not open the key.
    #[error("{place} does not open: the passphrase is another one, or the file is damaged")]
    WrongPassphrase {
        /// Which one.
        place: String,
    },
    /// There is not enough memory to derive a key.
    #[error("not enough memory to open or seal a key (64 MiB in a new file)")]
    Memory,
    /// There is no passphrase where it should be.
    #[error("{place} gives no passphrase: it is empty, or longer than 1024 bytes")]
    NoPassphrase {
        /// Where it was looked for.
        place: String,
    },
    /// A passphrase can be asked for on a terminal only.
    #[error("stdin is no terminal on which to ask for a passphrase: use --passphrase-from")]
    NoTerminal,
    /// The terminal failed.
    #[error("asking for a passphrase on the terminal: {source}")]
    Terminal {
        /// Why.
        source: io::Error,
    },
    /// The service manager has given no credentials.
    #[error(
        "there is no credential {name}: CREDENTIALS_DIRECTORY is not set. Add \
         LoadCredential={name}:PATH or LoadCredentialEncrypted= to the unit"
    )]
    NoCredentials {
        /// Which one was asked for.
        name: String,
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
         this member: put the file back from your backup, or join as a new replica with an empty \
         data directory (lockstep cluster invite on another member)",
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
        let directory = Directory { path: path.into() };
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
        if !self.has(kind)? {
            return Ok(None);
        }
        let bytes = read_own(&path, MAX_BYTES)?;
        text(&bytes).map(Some).ok_or(KeyFileError::Content { path })
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

/// All of a regular file that is this user's alone, if it has at most `max` bytes.
pub(super) fn read_own(path: &Path, max: usize) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let own = rustix::process::geteuid().as_raw();
    read_checked(path, max, |metadata| check_access(path, metadata, own, "0600"))
}

/// All of a regular file that passes a check, if it has at most `max` bytes.
pub(super) fn read_checked(
    path: &Path,
    max: usize,
    check: impl FnOnce(&fs::Metadata) -> Result<(), KeyFileError>,
) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let io = |doing| move |source| KeyFileError::Io { doing, path: path.into(), source };
    // Opening a FIFO must not wait for its writer.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(io("opening"))?;
    let metadata = file.metadata().map_err(io("looking at"))?;
    if !metadata.is_file() {
        return Err(KeyFileError::Type { path: path.into(), want: "a regular file" });
    }
    check(&metadata)?;
    // Reserved in one piece, so that no copy of the key is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(max + 1));
    file.take(max as u64 + 1).read_to_end(&mut bytes).map_err(io("reading"))?;
    if bytes.len() > max {
        return Err(KeyFileError::TooLarge { path: path.into(), max });
    }
    Ok(bytes)
}

/// Bytes as text, if they are any.
pub(super) fn text(bytes: &[u8]) -> Option<Zeroizing<String>> {
    str::from_utf8(bytes).ok().map(|text| Zeroizing::new(text.to_owned()))
}

/// Makes a key file of mode 0600 with one line of text, whole and synced or not at all. Fails if
/// anything is there.
pub(crate) fn create(path: &Path, text: &str) -> Result<(), KeyFileError> {
    let io = |doing| move |source| KeyFileError::Io { doing, path: path.into(), source };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.into() },
        _ => io("creating")(error),
    })?;
    let line = Zeroizing::new(format!("{text}\n"));
    let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Half a key is none; what cannot be removed is found by its name in the message.
        let _ = fs::remove_file(path);
        return Err(io("writing")(error));
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_directory(parent.unwrap_or(Path::new("."))).inspect_err(|_| {
        // Whoever is told that it failed would find it in the way.
        let _ = fs::remove_file(path);
    })
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
