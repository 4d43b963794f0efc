//! Private keys: the daemon's, which are files in `DATA_DIR/keys`, one a key, outside the database;
//! and tailnet-lock keys elsewhere, plain, sealed under a passphrase or as a systemd credential.
//!
//! Four keys, never shared: the member key signs proposals and identifies the replica to its
//! peers, the tailnet-lock key signs AUMs and node keys, the log key signs Merkle heads, and the
//! node key is the machine's X25519 key in the tailnet.

mod credential;
mod file;
mod node;
mod passphrase;
mod process;
mod sealed;
mod source;

use std::path::{Path, PathBuf};

use ledger::history::MemberKey;
use ledger::ids::NodeKey;
use ledger::lock::signatures::{PrivateKey, Signer};
use zeroize::Zeroizing;

pub use file::KeyFileError;
pub(crate) use file::create as create_private_file;
pub use node::NodePrivateKey;
pub use passphrase::{NotASource, Passphrase, PassphraseSource, ask_passphrase};
pub use process::guard_memory;
pub use source::{KeySource, StoredKey, generate_lock_key, store_lock_key};

use file::Directory;

/// The name of the key directory in the data directory.
const DIRECTORY: &str = "keys";

/// Which key a file holds. The text in the file begins with a tag of its own, so that one file
/// put in the place of another is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ed25519: proposals, and the replica's identity among its peers.
    Member,
    /// Ed25519: AUMs and node-key signatures.
    Lock,
    /// Ed25519: Merkle heads.
    Log,
    /// X25519: the machine's node key.
    Node,
}

impl Kind {
    /// The file's name.
    pub fn file(self) -> &'static str {
        match self {
            Kind::Member => "member.key",
            Kind::Lock => "lock.key",
            Kind::Log => "log.key",
            Kind::Node => "node.key",
        }
    }

    /// What precedes the hex digits in the file. Lock and node keys are spelled as Tailscale
    /// spells them.
    fn tag(self) -> &'static str {
        match self {
            Kind::Member => "lockstep-member-key:",
            Kind::Lock => "nlpriv:",
            Kind::Log => "lockstep-log-key:",
            Kind::Node => "privkey:",
        }
    }
}

/// The daemon's keys, in memory.
#[derive(Debug)]
pub struct Keys {
    /// Signs proposals.
    pub member: Box<PrivateKey>,
    /// Signs AUMs and node keys. A replica may run without one.
    pub lock: Option<Box<PrivateKey>>,
    /// Signs Merkle heads.
    pub log: Box<PrivateKey>,
    /// The machine's key in the tailnet.
    pub node: Box<NodePrivateKey>,
}

/// Where the daemon's tailnet-lock key comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LockKeyPlace {
    /// The data directory, which is given one if it has none.
    #[default]
    DataDir,
    /// Somewhere else, where it must be.
    Elsewhere(KeySource),
    /// Nowhere: this daemon signs nothing itself.
    Nowhere,
}

/// Where the daemon's tailnet-lock key is, and how it is opened if it is sealed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LockKeyChoice {
    /// Where it is.
    pub place: LockKeyPlace,
    /// Where its passphrase is. Without one a terminal is asked.
    pub passphrase: Option<PassphraseSource>,
}

impl LockKeyChoice {
    fn open(&self, directory: &Directory) -> Result<Option<Box<PrivateKey>>, KeyFileError> {
        let stored = match &self.place {
            LockKeyPlace::Nowhere => return Ok(None),
            LockKeyPlace::Elsewhere(source) => source.read()?,
            LockKeyPlace::DataDir => match directory.read(Kind::Lock)? {
                Some(text) => {
                    let path = directory.path(Kind::Lock);
                    StoredKey::parse(text.as_bytes(), path.display().to_string())?
                }
                None => return signing_key(directory, Kind::Lock).map(Box::new).map(Some),
            },
        };
        stored.open(self.passphrase.as_ref()).map(Some)
    }
}

/// Whether the data directory has a history already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// No: whatever key is missing is created.
    First,
    /// Yes: the member key must be there, since nobody could enrol another one for it.
    Again,
}

impl Keys {
    /// Reads the keys in `data_dir`, and creates those that are missing.
    ///
    /// A lock, log or node key whose file was taken away is created anew; the daemon then records
    /// the change. Files of another owner, readable by others, or not regular are refused.
    pub fn open(data_dir: &Path, start: Start, lock: &LockKeyChoice) -> Result<Keys, KeyFileError> {
        let directory = Directory::open(&data_dir.join(DIRECTORY))?;
        if start == Start::Again && !directory.has(Kind::Member)? {
            return Err(KeyFileError::MemberKeyLost { path: directory.path(Kind::Member) });
        }
        Ok(Keys {
            member: Box::new(signing_key(&directory, Kind::Member)?),
            lock: lock.open(&directory)?,
            log: Box::new(signing_key(&directory, Kind::Log)?),
            node: Box::new(node_key(&directory)?),
        })
    }

    /// Where the key directory of a data directory is.
    pub fn directory(data_dir: &Path) -> PathBuf {
        data_dir.join(DIRECTORY)
    }
}

/// The public half of the node key that `data_dir` holds.
pub fn read_node_key(data_dir: &Path) -> Result<NodeKey, KeyFileError> {
    Ok(node_key(&Directory::open(&data_dir.join(DIRECTORY))?)?.public())
}

/// The public half of the member key that `data_dir` holds, if it holds one. Nothing is made, so that
/// a daemon may be running there.
pub fn read_member_key(data_dir: &Path) -> Result<Option<MemberKey>, KeyFileError> {
    let path = data_dir.join(DIRECTORY).join(Kind::Member.file());
    if !path.exists() {
        return Ok(None);
    }
    let bytes = file::read_own(&path, file::MAX_BYTES)?;
    let key = file::text(&bytes).and_then(|text| from_text(&text, Kind::Member));
    let key = key.ok_or(KeyFileError::Content { path })?;
    Ok(Some(MemberKey(key.public().0)))
}

/// The public half of the member key of `data_dir`, which gets one if it has none and this is to be
/// its first start. Nobody else may be using the directory.
pub fn make_member_key(data_dir: &Path, start: Start) -> Result<MemberKey, KeyFileError> {
    let directory = Directory::open(&data_dir.join(DIRECTORY))?;
    if start == Start::Again && !directory.has(Kind::Member)? {
        return Err(KeyFileError::MemberKeyLost { path: directory.path(Kind::Member) });
    }
    Ok(MemberKey(signing_key(&directory, Kind::Member)?.public().0))
}

/// The keys that go with a replica's identity.
pub(crate) struct Renewed {
    pub(crate) member: Box<PrivateKey>,
    pub(crate) log: Box<PrivateKey>,
}

/// The keys for a new identity, in a directory of their own: made if they are not there.
pub(crate) fn renewed(path: &Path) -> Result<Renewed, KeyFileError> {
    let directory = Directory::open(path)?;
    Ok(Renewed {
        member: Box::new(signing_key(&directory, Kind::Member)?),
        log: Box::new(signing_key(&directory, Kind::Log)?),
    })
}

/// Puts member and log key in the place of those in `data_dir`, each in one step.
pub(crate) fn change_identity(data_dir: &Path, keys: &Keys) -> Result<(), KeyFileError> {
    let directory = Directory::open(&data_dir.join(DIRECTORY))?;
    directory.replace(Kind::Log, &to_text(&keys.log, Kind::Log))?;
    directory.replace(Kind::Member, &to_text(&keys.member, Kind::Member))
}

/// Replaces the node key file in `data_dir` by a new key: what a logout and login does.
///
/// The new file takes the old one's place in one step.
pub fn replace_node_key(data_dir: &Path, key: &NodePrivateKey) -> Result<(), KeyFileError> {
    Directory::open(&data_dir.join(DIRECTORY))?.replace(Kind::Node, &key.to_text())
}

fn signing_key(directory: &Directory, kind: Kind) -> Result<PrivateKey, KeyFileError> {
    let text = match directory.read(kind)? {
        Some(text) => text,
        None => {
            let mut seed = Zeroizing::new([0; 32]);
            getrandom::fill(seed.as_mut())?;
            let text = to_text(&PrivateKey::from_seed(&seed), kind);
            directory.create(kind, &text)?;
            text
        }
    };
    from_text(&text, kind).ok_or_else(|| KeyFileError::Content { path: directory.path(kind) })
}

fn node_key(directory: &Directory) -> Result<NodePrivateKey, KeyFileError> {
    if let Some(text) = directory.read(Kind::Node)? {
        return NodePrivateKey::from_text(&text)
            .ok_or_else(|| KeyFileError::Content { path: directory.path(Kind::Node) });
    }
    let key = NodePrivateKey::generate()?;
    directory.create(Kind::Node, &key.to_text())?;
    Ok(key)
}

/// Both halves in hex, so that a damaged file is noticed.
fn to_text(key: &PrivateKey, kind: Kind) -> Zeroizing<String> {
    let text = key.to_nlpriv();
    let digits = text.strip_prefix(Kind::Lock.tag()).unwrap_or(&text);
    let mut out = Zeroizing::new(String::with_capacity(kind.tag().len() + digits.len()));
    out.push_str(kind.tag());
    out.push_str(digits);
    out
}

fn from_text(text: &str, kind: Kind) -> Option<PrivateKey> {
    let digits = text.trim_end().strip_prefix(kind.tag())?;
    let mut nlpriv = Zeroizing::new(String::with_capacity(Kind::Lock.tag().len() + digits.len()));
    nlpriv.push_str(Kind::Lock.tag());
    nlpriv.push_str(digits);
    PrivateKey::from_nlpriv(&nlpriv).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn open(data_dir: &Path, start: Start) -> Result<Keys, KeyFileError> {
        Keys::open(data_dir, start, &LockKeyChoice::default())
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn keys_are_created_once_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path(), Start::First).unwrap();
        let again = open(dir.path(), Start::Again).unwrap();
        assert_eq!(first.member.public(), again.member.public());
        assert_eq!(first.node.public(), again.node.public());
        let lock = |keys: &Keys| keys.lock.as_ref().unwrap().public();
        assert_eq!(lock(&first), lock(&again));
        assert_ne!(first.member.public(), lock(&first));
        for kind in [Kind::Member, Kind::Lock, Kind::Log, Kind::Node] {
            let path = Keys::directory(dir.path()).join(kind.file());
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o600);
        }
        assert!(!format!("{first:?}").contains("priv"));
    }

    #[test]
    fn a_missing_lock_key_is_made_anew_but_a_member_key_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path(), Start::First).unwrap();
        let keys = Keys::directory(dir.path());
        std::fs::remove_file(keys.join("lock.key")).unwrap();
        let again = open(dir.path(), Start::Again).unwrap();
        assert_ne!(first.lock.unwrap().public(), again.lock.unwrap().public());
        std::fs::remove_file(keys.join("member.key")).unwrap();
        let error = open(dir.path(), Start::Again).unwrap_err();
        assert!(matches!(error, KeyFileError::MemberKeyLost { .. }), "{error}");
    }

    #[test]
    fn what_others_could_read_or_swap_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), Start::First).unwrap();
        let keys = Keys::directory(dir.path());
        let lock = keys.join("lock.key");

        set_mode(&lock, 0o640);
        let error = open(dir.path(), Start::Again).unwrap_err();
        assert!(matches!(error, KeyFileError::Mode { .. }), "{error}");
        set_mode(&lock, 0o600);

        set_mode(&keys, 0o755);
        let error = open(dir.path(), Start::Again).unwrap_err();
        assert!(matches!(error, KeyFileError::Mode { .. }), "{error}");
        set_mode(&keys, 0o700);

        std::fs::rename(&lock, keys.join("elsewhere")).unwrap();
        symlink(keys.join("elsewhere"), &lock).unwrap();
        assert!(open(dir.path(), Start::Again).is_err());
    }

    #[test]
    fn swapped_and_damaged_files_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), Start::First).unwrap();
        let keys = Keys::directory(dir.path());
        let log = std::fs::read_to_string(keys.join("log.key")).unwrap();
        for text in [log.replace("-log-", "-member-").replacen('0', "1", 1), log, String::new()] {
            std::fs::write(keys.join("lock.key"), text).unwrap();
            let error = open(dir.path(), Start::Again).unwrap_err();
            assert!(matches!(error, KeyFileError::NotALockKey { .. }), "{error}");
        }
    }

    #[test]
    fn a_half_made_file_of_an_earlier_start_is_swept_away() {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::directory(dir.path());
        std::fs::create_dir(&keys).unwrap();
        set_mode(&keys, 0o700);
        std::fs::write(keys.join("lock.key.new"), "nlpriv:00").unwrap();
        open(dir.path(), Start::First).unwrap();
        assert!(!keys.join("lock.key.new").exists());
    }

    #[test]
    fn the_lock_key_may_be_elsewhere_sealed_or_absent() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path(), Start::First).unwrap();
        let own = first.lock.unwrap();
        let file = |name: &str| dir.path().join(name);
        let passphrase = |text: &str| {
            file::create(&file(text), text).unwrap();
            Some(PassphraseSource::File(file(text)))
        };
        let (right, wrong) = (passphrase("right"), passphrase("wrong"));
        let with = |place, passphrase: &Option<_>| {
            let choice = LockKeyChoice { place, passphrase: passphrase.clone() };
            Keys::open(dir.path(), Start::Again, &choice).map(|keys| keys.lock)
        };
        assert!(with(LockKeyPlace::Nowhere, &None).unwrap().is_none());

        let elsewhere = LockKeyPlace::Elsewhere(KeySource::File(file("other")));
        assert!(with(elsewhere.clone(), &None).is_err(), "it is not made there");
        let other = generate_lock_key().unwrap();
        store_lock_key(&file("other"), &other, None).unwrap();
        let lock = with(elsewhere, &None).unwrap().unwrap();
        assert_eq!(lock.public(), other.public());

        // The key in the data directory, sealed.
        let path = Keys::directory(dir.path()).join("lock.key");
        std::fs::remove_file(&path).unwrap();
        let source = right.clone().unwrap();
        store_lock_key(&path, &own, Some(&source.read().unwrap())).unwrap();
        let lock = with(LockKeyPlace::DataDir, &right).unwrap().unwrap();
        assert_eq!(lock.public(), own.public());
        let error = with(LockKeyPlace::DataDir, &wrong).unwrap_err();
        assert!(matches!(error, KeyFileError::WrongPassphrase { .. }), "{error}");
    }
}
