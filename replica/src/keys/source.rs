//! Where a tailnet-lock key lies, and how it is taken from there.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use ledger::ids::LockKey;
use ledger::lock::signatures::{PrivateKey, Signer};
use zeroize::Zeroizing;

use super::credential::{credential, is_credential_name};
use super::passphrase::{Passphrase, PassphraseSource, ask_passphrase};
use super::sealed::{self, NotOpened, SealedKey};
use super::{KeyFileError, Kind, file, from_text, to_text};

/// Where a tailnet-lock key lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file of this user's alone: the key itself, or a sealed one.
    File(PathBuf),
    /// A systemd credential with the same content.
    Credential(String),
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySource::File(path) => path.display().fmt(f),
            KeySource::Credential(name) => write!(f, "credential:{name}"),
        }
    }
}

impl KeySource {
    /// What somebody means by a word: a file's name, or `credential:NAME`. A key itself is
    /// refused and not repeated.
    pub fn parse(word: &OsStr) -> Result<Self, KeyFileError> {
        let text = word.to_str().unwrap_or_default();
        let not = |what, advice| Err(KeyFileError::NotAFile { what, advice });
        for private in ["nlpriv:", "privkey:", sealed::PREFIX] {
            if text.starts_with(private) {
                return not(
                    "a private key",
                    "other users may have seen it on the command line, so make another with \
                     'lockstep key generate'",
                );
            }
        }
        if text.starts_with("tlpub:") || text.starts_with("nlpub:") {
            return not("a public key", "name the file that holds its private half");
        }
        match text.strip_prefix("credential:") {
            Some(name) if is_credential_name(name) => Ok(KeySource::Credential(name.to_owned())),
            Some(_) => not(
                "no credential's name",
                "a name has letters, digits and . _ - only, and does not begin with a dot",
            ),
            None if word.is_empty() => not("nothing", "give the file's name"),
            None => Ok(KeySource::File(word.into())),
        }
    }

    /// Reads what lies there. A sealed key stays sealed.
    pub fn read(&self) -> Result<StoredKey, KeyFileError> {
        let bytes = match self {
            KeySource::File(path) => file::read_own(path, file::MAX_BYTES)?,
            KeySource::Credential(name) => credential(name, file::MAX_BYTES)?,
        };
        StoredKey::parse(&bytes, self.to_string())
    }
}

/// A tailnet-lock key as it was found.
#[derive(Debug)]
pub struct StoredKey {
    place: String,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Plain(Box<PrivateKey>),
    Sealed(Box<SealedKey>),
}

impl StoredKey {
    pub(super) fn parse(bytes: &[u8], place: String) -> Result<Self, KeyFileError> {
        let bad = |why| KeyFileError::NotALockKey { place: place.clone(), why };
        let text = file::text(bytes).ok_or_else(|| bad("it is not text"))?;
        let line = text.trim_end_matches(['\n', '\r']);
        let form = if line.starts_with(sealed::PREFIX) {
            Form::Sealed(Box::new(SealedKey::from_text(line).map_err(bad)?))
        } else if line.starts_with(Kind::Lock.tag()) {
            let key = from_text(line, Kind::Lock);
            Form::Plain(Box::new(key.ok_or_else(|| bad("the key in it is damaged"))?))
        } else {
            return Err(bad(other(line)));
        };
        Ok(StoredKey { place, form })
    }

    /// The public half. A sealed file only claims it until it is opened.
    pub fn public(&self) -> LockKey {
        match &self.form {
            Form::Plain(key) => key.public(),
            Form::Sealed(sealed) => sealed.public(),
        }
    }

    /// Whether a passphrase is needed.
    pub fn is_sealed(&self) -> bool {
        matches!(self.form, Form::Sealed(_))
    }

    /// The key. A sealed one is opened with the passphrase from `source` or, where none is named,
    /// from the terminal.
    pub fn open(self, source: Option<&PassphraseSource>) -> Result<Box<PrivateKey>, KeyFileError> {
        let StoredKey { place, form } = self;
        let sealed = match form {
            Form::Plain(key) => return Ok(key),
            Form::Sealed(sealed) => sealed,
        };
        let passphrase = match source {
            Some(source) => source.read()?,
            None => match ask_passphrase(&format!("Passphrase of {place}")) {
                Err(KeyFileError::NoTerminal) => return Err(KeyFileError::Sealed { place }),
                asked => asked?,
            },
        };
        match sealed.open(&passphrase) {
            Ok(key) => Ok(Box::new(key)),
            Err(NotOpened::Memory) => Err(KeyFileError::Memory),
            Err(NotOpened::Passphrase) => Err(KeyFileError::WrongPassphrase { place }),
            Err(NotOpened::OtherKey) => {
                Err(KeyFileError::NotALockKey { place, why: "it holds another key than it names" })
            }
        }
    }
}

/// What a file holds that is no lock key.
fn other(line: &str) -> &'static str {
    if line.starts_with(Kind::Member.tag()) || line.starts_with(Kind::Log.tag()) {
        "it holds another key of a signing node"
    } else if line.starts_with(Kind::Node.tag()) {
        "it holds a node key"
    } else if line.starts_with("tlpub:") || line.starts_with("nlpub:") {
        "it holds a public key"
    } else {
        "it begins neither with nlpriv: nor with lockstep-sealed-key:"
    }
}

/// Draws a new key.
pub fn generate_lock_key() -> Result<Box<PrivateKey>, KeyFileError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut())?;
    Ok(Box::new(PrivateKey::from_seed(&seed)))
}

/// Makes a file that holds a key, sealed if there is a passphrase. Never takes the place of
/// another file.
pub fn store_lock_key(
    path: &Path,
    key: &PrivateKey,
    passphrase: Option<&Passphrase>,
) -> Result<(), KeyFileError> {
    let Some(passphrase) = passphrase else { return file::create(path, &to_text(key, Kind::Lock)) };
    let mut salt = [0; 32];
    getrandom::fill(&mut salt)?;
    let sealed = SealedKey::seal(key, passphrase, salt).map_err(|_| KeyFileError::Memory)?;
    file::create(path, &sealed.to_text())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use ledger::testing::key;

    use super::*;

    fn parse(word: &str) -> Result<KeySource, String> {
        KeySource::parse(OsStr::new(word)).map_err(|error| error.to_string())
    }

    fn error(source: &KeySource) -> String {
        source.read().unwrap_err().to_string()
    }

    #[test]
    fn a_word_names_a_file_or_a_credential_and_never_a_key() {
        assert_eq!(parse("a b"), Ok(KeySource::File("a b".into())));
        assert_eq!(parse("credential:lock-key"), Ok(KeySource::Credential("lock-key".into())));
        for name in ["../x", "", ".x", "a/b", "a b"] {
            assert!(parse(&format!("credential:{name}")).unwrap_err().contains("no credential's"));
        }
        for word in ["nlpriv:00ff00ff", "privkey:00ff00ff", "lockstep-sealed-key:00ff00ff"] {
            let error = parse(word).unwrap_err();
            assert!(error.contains("a private key") && !error.contains("00ff"), "{error}");
        }
        assert!(parse("tlpub:00").unwrap_err().contains("its private half"));
        assert!(parse("").is_err());
    }

    #[test]
    fn a_key_is_stored_and_read_in_both_forms() {
        let dir = tempfile::tempdir().unwrap();
        let (plain, sealed) = (dir.path().join("plain"), dir.path().join("sealed"));
        let pass = dir.path().join("pass");
        file::create(&pass, "correct horse").unwrap();
        let source = PassphraseSource::File(pass);
        store_lock_key(&plain, &key(1), None).unwrap();
        store_lock_key(&sealed, &key(1), Some(&source.read().unwrap())).unwrap();
        for path in [&plain, &sealed] {
            let mode = std::fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o600);
            let stored = KeySource::File(path.clone()).read().unwrap();
            assert_eq!(stored.is_sealed(), path == &sealed);
            assert_eq!(stored.public(), key(1).public());
            assert!(!format!("{stored:?}").contains("nlpriv"));
            assert_eq!(stored.open(Some(&source)).unwrap().public(), key(1).public());
            let again = store_lock_key(path, &key(2), None);
            assert!(matches!(again, Err(KeyFileError::Exists { .. })));
        }
        assert!(!std::fs::read_to_string(&sealed).unwrap().contains("nlpriv"));
        let other = dir.path().join("other");
        file::create(&other, "wrong").unwrap();
        let stored = KeySource::File(sealed).read().unwrap();
        let error = stored.open(Some(&PassphraseSource::File(other))).unwrap_err();
        assert!(matches!(error, KeyFileError::WrongPassphrase { .. }), "{error}");
    }

    #[test]
    fn hostile_key_files_are_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let source = KeySource::File(path.clone());
        let private = to_text(&key(1), Kind::Lock);
        for (content, says) in [
            ("", "begins neither"),
            ("nlpriv:", "damaged"),
            (&private[..100], "damaged"),
            (&format!("{}\n\nmore", *private), "damaged"),
            (&private.replace("nlpriv:", "lockstep-member-key:"), "another key of a signing node"),
            (&private.replace("nlpriv:", "privkey:"), "a node key"),
            (&key(1).public().to_tlpub(), "a public key"),
            ("lockstep-sealed-key:AAAA", "expected a map"),
            ("lockstep-sealed-key:%%", "base64"),
        ] {
            file::create(&path, content).unwrap();
            let error = error(&source);
            assert!(error.contains(says), "{content}: {error}");
            let digits = &private["nlpriv:".len()..][..16];
            assert!(!error.contains(digits), "{error}");
            std::fs::remove_file(&path).unwrap();
        }
        std::fs::write(&path, b"nlpriv:\xff\xfe").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(error(&source).contains("not text"));
        // A sparse file of 1 GiB costs nothing to refuse.
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 30).unwrap();
        assert!(error(&source).contains("more than 1024 bytes"));
        std::fs::remove_file(&path).unwrap();

        assert!(error(&source).contains("No such file"));
        std::fs::create_dir(&path).unwrap();
        assert!(error(&source).contains("not a regular file"));
        std::fs::remove_dir(&path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from_raw_mode(0o600))
            .unwrap();
        assert!(error(&source).contains("not a regular file"));
        std::fs::remove_file(&path).unwrap();

        store_lock_key(&path, &key(1), None).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(error(&source).contains("mode 0640"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        assert!(source.read().is_ok());
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(KeySource::File(link).read().is_err());
    }
}
