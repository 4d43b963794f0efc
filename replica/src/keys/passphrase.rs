//! Passphrases: typed without an echo, or read from where the user says. Never an argument.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::credential::{credential, is_credential_name};
use super::{KeyFileError, file};

/// Bytes of a passphrase, at most.
const MAX_BYTES: usize = 1024;

/// A passphrase. Wiped when dropped; shows nothing of itself.
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}

impl PartialEq for Passphrase {
    fn eq(&self, other: &Self) -> bool {
        *self.0 == *other.0
    }
}

impl Passphrase {
    /// The text without the line end that an editor or terminal puts behind it; `None` if nothing
    /// is left, or too much.
    pub(super) fn new(bytes: Vec<u8>) -> Option<Self> {
        let mut bytes = Zeroizing::new(bytes);
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        (1..=MAX_BYTES).contains(&bytes.len()).then_some(Passphrase(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Where a passphrase comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PassphraseSource {
    /// `file:PATH`: a file with the same rules as a key file.
    File(PathBuf),
    /// `fd:N`: an open file or pipe that the process was started with.
    Fd(u32),
    /// `credential:NAME`: a systemd credential.
    Credential(String),
}

/// A word that names no source of a passphrase. It is not repeated: it may be the passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is none of file:PATH, fd:NUMBER and credential:NAME. A passphrase itself is never given \
     on a command line, where other users see it: if this was one, choose another"
)]
pub struct NotASource;

impl FromStr for PassphraseSource {
    type Err = NotASource;

    fn from_str(text: &str) -> Result<Self, NotASource> {
        let (kind, rest) = text.split_once(':').ok_or(NotASource)?;
        match kind {
            "file" if !rest.is_empty() => Ok(PassphraseSource::File(rest.into())),
            "fd" => rest.parse().map(PassphraseSource::Fd).map_err(|_| NotASource),
            "credential" if is_credential_name(rest) => {
                Ok(PassphraseSource::Credential(rest.to_owned()))
            }
            _ => Err(NotASource),
        }
    }
}

impl fmt::Display for PassphraseSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PassphraseSource::File(path) => write!(f, "file:{}", path.display()),
            PassphraseSource::Fd(number) => write!(f, "fd:{number}"),
            PassphraseSource::Credential(name) => write!(f, "credential:{name}"),
        }
    }
}

impl PassphraseSource {
    /// Reads the passphrase: all there is, up to 1,024 bytes.
    pub fn read(&self) -> Result<Passphrase, KeyFileError> {
        let bad = || KeyFileError::NoPassphrase { place: self.to_string() };
        let bytes = match self {
            PassphraseSource::File(path) => file::read_own(path, MAX_BYTES + 2)?,
            PassphraseSource::Credential(name) => credential(name, MAX_BYTES + 2)?,
            PassphraseSource::Fd(number) => from_fd(*number)?,
        };
        Passphrase::new(bytes.to_vec()).ok_or_else(bad)
    }
}

/// Reads from a descriptor of this process by its name below /dev, which opens the same pipe, or
/// the same file from its start.
fn from_fd(number: u32) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let path = Path::new("/dev/fd").join(number.to_string());
    let io = |doing| {
        let path = path.clone();
        move |source| KeyFileError::Io { doing, path, source }
    };
    let file = File::open(&path).map_err(io("opening"))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 2));
    file.take(MAX_BYTES as u64 + 2).read_to_end(&mut bytes).map_err(io("reading"))?;
    Ok(bytes)
}

/// Asks for a passphrase on the terminal, without an echo. Refuses where stdin is none.
pub fn ask_passphrase(prompt: &str) -> Result<Passphrase, KeyFileError> {
    let failed = |source: io::Error| KeyFileError::Terminal { source };
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(KeyFileError::NoTerminal);
    }
    let quiet = Quiet::set().map_err(failed)?;
    let mut stderr = io::stderr().lock();
    write!(stderr, "{prompt}: ").and_then(|()| stderr.flush()).map_err(failed)?;
    // Straight from the terminal: a buffer of the standard library would keep the text.
    let mut bytes = Zeroizing::new(vec![0; MAX_BYTES + 2]);
    let read = loop {
        match rustix::io::read(&stdin, bytes.as_mut_slice()) {
            Err(Errno::INTR) => {}
            read => break read.map_err(|error| failed(error.into()))?,
        }
    };
    drop(quiet);
    // The user's own line end was not shown either.
    let _ = writeln!(stderr);
    Passphrase::new(bytes[..read].to_vec())
        .ok_or_else(|| KeyFileError::NoPassphrase { place: "the terminal".to_owned() })
}

/// The terminal without an echo, until this is dropped.
struct Quiet(rustix::termios::Termios);

impl Quiet {
    fn set() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        // What was typed before the question was not meant as its answer.
        tcsetattr(&stdin, OptionalActions::Flush, &quiet)?;
        Ok(Quiet(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // There is nobody to tell; the next program sets the terminal for itself.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn one_line_end_is_not_part_of_it() {
        let bytes = |text: &[u8]| Passphrase::new(text.to_vec()).map(|p| p.bytes().to_vec());
        for (text, passphrase) in [
            (&b"a b\n"[..], &b"a b"[..]),
            (b"a\r\n", b"a"),
            (b"a\n\n", b"a\n"),
            (b" a ", b" a "),
            (b"\xff\x00", b"\xff\x00"),
        ] {
            assert_eq!(bytes(text).as_deref(), Some(passphrase));
        }
        assert_eq!(bytes(b""), None);
        assert_eq!(bytes(b"\r\n"), None);
        assert_eq!(bytes(&[b'x'; MAX_BYTES]).map(|bytes| bytes.len()), Some(MAX_BYTES));
        assert_eq!(bytes(&[b'x'; MAX_BYTES + 1]), None);
    }

    #[test]
    fn a_passphrase_on_the_command_line_is_not_taken_and_not_repeated() {
        for text in ["correct horse", "hunter2", "fd:x", "fd:-1", "credential:../x"] {
            let error = text.parse::<PassphraseSource>().unwrap_err().to_string();
            assert!(!error.contains(text), "{error}");
        }
        assert!("file:".parse::<PassphraseSource>().is_err());
        let source: PassphraseSource = "file:/a b".parse().unwrap();
        assert_eq!(source, PassphraseSource::File("/a b".into()));
        assert_eq!("fd:3".parse(), Ok(PassphraseSource::Fd(3)));
        assert_eq!("credential:pass".parse(), Ok(PassphraseSource::Credential("pass".into())));
    }

    #[test]
    fn a_passphrase_file_is_the_users_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pass");
        std::fs::write(&path, "correct horse\n").unwrap();
        let source = PassphraseSource::File(path.clone());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(source.read(), Err(KeyFileError::Mode { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(source.read().unwrap().bytes(), b"correct horse");
        std::fs::write(&path, [b'x'; 5000]).unwrap();
        assert!(matches!(source.read(), Err(KeyFileError::TooLarge { .. })));
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(source.read(), Err(KeyFileError::NoPassphrase { .. })));
    }

    #[test]
    fn a_pipe_is_read_by_its_number() {
        use std::os::fd::AsRawFd;
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"through a pipe\n").unwrap();
        drop(writer);
        let source = PassphraseSource::Fd(u32::try_from(reader.as_raw_fd()).unwrap());
        assert_eq!(source.read().unwrap().bytes(), b"through a pipe");
        assert!(PassphraseSource::Fd(9999).read().is_err());
    }
}
