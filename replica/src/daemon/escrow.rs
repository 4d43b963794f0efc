//! The escrow: where the operator wants the support secret to be, which turns the lock off if all
//! others are lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ledger::lock::disablement::secret_to_text;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::command::{BadCommand, CommandFailed, ConfiguredCommand};
use crate::keys::{KeyFileError, create_private_file};

/// `[support_escrow]` in the configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EscrowSettings {
    name: Option<String>,
    file: Option<PathBuf>,
    command: Option<Vec<String>>,
    timeout_seconds: Option<u64>,
}

/// Bytes of an escrow's name.
const NAME_BYTES: usize = 128;
/// How long a command may take at most: `lock init` waits for it, whose exchange ends after 300 s, and
/// nobody could say then whether the secret counts.
const LONGEST: Duration = Duration::from_secs(240);

/// Where the support secret goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escrow {
    name: String,
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    File(PathBuf),
    Command(ConfiguredCommand),
}

/// Why there can be no such escrow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadEscrow {
    /// Neither or both.
    #[error("it needs one of file and command")]
    NotOne,
    /// A file whose place depends on where the daemon runs.
    #[error("the file {} is not named by its absolute path", .0.display())]
    Relative(PathBuf),
    /// A limit for something that has no command.
    #[error("timeout_seconds is for a command")]
    Timeout,
    /// A name that people could not read.
    #[error("the name is empty, longer than {NAME_BYTES} bytes, or has control characters")]
    Name,
    /// The command.
    #[error(transparent)]
    Command(#[from] BadCommand),
}

/// Why the escrow has not got the secret.
#[derive(Debug, thiserror::Error)]
pub enum EscrowFailed {
    /// The file is there already: it may hold another secret.
    #[error("the file {} exists already and may hold the secret of an earlier lock", .0.display())]
    Exists(PathBuf),
    /// The file could not be made.
    #[error(transparent)]
    File(KeyFileError),
    /// The command failed.
    #[error(transparent)]
    Command(#[from] CommandFailed),
}

/// A secret that the escrow has got.
#[derive(Debug)]
pub(crate) struct Kept {
    file: Option<PathBuf>,
}

impl TryFrom<EscrowSettings> for Escrow {
    type Error = BadEscrow;

    fn try_from(settings: EscrowSettings) -> Result<Self, BadEscrow> {
        let EscrowSettings { name, file, command, timeout_seconds } = settings;
        let place = match (file, command) {
            (Some(_), None) if timeout_seconds.is_some() => return Err(BadEscrow::Timeout),
            (Some(file), None) if file.is_absolute() => Place::File(file),
            (Some(file), None) => return Err(BadEscrow::Relative(file)),
            (None, Some(argv)) => {
                let timeout = timeout_seconds.map(Duration::from_secs);
                Place::Command(ConfiguredCommand::within(LONGEST, argv, timeout)?)
            }
            _ => return Err(BadEscrow::NotOne),
        };
        let name = name.unwrap_or_else(|| "escrow".to_owned());
        let plain = !name.contains(|c: char| c.is_control());
        if plain && (1..=NAME_BYTES).contains(&name.len()) {
            Ok(Escrow { name, place })
        } else {
            Err(BadEscrow::Name)
        }
    }
}

impl Escrow {
    /// Its name, as the operator put it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its name and place, for people.
    pub fn describe(&self) -> String {
        match &self.place {
            Place::File(path) => format!("{} (file {})", self.name, path.display()),
            Place::Command(command) => format!("{} (command {})", self.name, command.program()),
        }
    }

    /// Gives the secret away; when this returns it is where it should be, across a power cut.
    pub(crate) async fn keep(&self, secret: &[u8]) -> Result<Kept, EscrowFailed> {
        let text = secret_to_text(secret);
        match &self.place {
            Place::File(path) => match create_private_file(path, &text) {
                Ok(()) => Ok(Kept { file: Some(path.clone()) }),
                Err(KeyFileError::Exists { path }) => Err(EscrowFailed::Exists(path)),
                Err(error) => Err(EscrowFailed::File(error)),
            },
            Place::Command(command) => {
                let line = Zeroizing::new(format!("{}\n", *text));
                command.run(Some(line.as_bytes()), &[]).await?;
                Ok(Kept { file: None })
            }
        }
    }
}

impl Kept {
    /// Takes back a secret that has become void, where that is possible, so that the next can be
    /// given. Says whether it was.
    pub(crate) fn withdraw(self) -> bool {
        let remove = |path: &Path| fs::remove_file(path);
        match &self.file {
            Some(path) => match remove(path) {
                Ok(()) => true,
                Err(error) => {
                    tracing::warn!(%error, path = %path.display(), "a void secret stays there");
                    false
                }
            },
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn escrow(settings: &str) -> Result<Escrow, BadEscrow> {
        toml::from_str::<EscrowSettings>(settings).unwrap().try_into()
    }

    #[test]
    fn settings_name_one_place() {
        let file = escrow("name = 'the safe'\nfile = '/safe/secret'").unwrap();
        assert_eq!(file.describe(), "the safe (file /safe/secret)");
        let command = escrow("command = ['/bin/put', '-x']\ntimeout_seconds = 5").unwrap();
        assert_eq!(command.describe(), "escrow (command /bin/put)");
        for (settings, error) in [
            ("", BadEscrow::NotOne),
            ("file = '/a'\ncommand = ['/b']", BadEscrow::NotOne),
            ("file = 'a'", BadEscrow::Relative("a".into())),
            ("file = '/a'\ntimeout_seconds = 5", BadEscrow::Timeout),
            ("file = '/a'\nname = ''", BadEscrow::Name),
            ("file = '/a'\nname = \"a\\u001bb\"", BadEscrow::Name),
            ("command = ['put']", BadCommand::Relative("put".into()).into()),
            (
                "command = ['/put']\ntimeout_seconds = 241",
                BadCommand::Timeout { longest: LONGEST }.into(),
            ),
        ] {
            assert_eq!(escrow(settings), Err(error), "{settings}");
        }
    }

    #[tokio::test]
    async fn a_file_is_made_once_and_is_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let escrow = escrow(&format!("file = {path:?}")).unwrap();
        let kept = escrow.keep(&[0xab; 4]).await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "disablement-secret:ABABABAB\n");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        let again = escrow.keep(&[0xcd; 4]).await.unwrap_err();
        assert!(matches!(again, EscrowFailed::Exists(_)), "{again}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "disablement-secret:ABABABAB\n");
        assert!(kept.withdraw());
        escrow.keep(&[0xcd; 4]).await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "disablement-secret:CDCDCDCD\n");
    }

    #[tokio::test]
    async fn a_command_reads_the_secret_from_stdin() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("got");
        let put = format!("command = ['/bin/cp', '/dev/stdin', {path:?}]");
        escrow(&put).unwrap().keep(&[0xab; 4]).await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "disablement-secret:ABABABAB\n");
        let failed = escrow("command = ['/bin/false']").unwrap().keep(&[0xab; 4]).await;
        assert!(!failed.unwrap_err().to_string().contains("ABAB"));
    }
}
