//! The daemon's settings: flag, then environment, then configuration file, then default.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ledger::history::is_address;
use serde::Deserialize;

use super::accounts::{self, AccountError};
use super::command::{BadCommand, ConfiguredCommand};
use super::escrow::{BadEscrow, Escrow, EscrowSettings};
use super::hook::HookSettings;
use crate::keys::{KeyFileError, KeySource, LockKeyChoice, LockKeyPlace, NotASource};

/// Bytes of a configuration file, at most.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// What was said in one place: on the command line or in the environment. `None`: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// `--config`: the configuration file.
    pub config: Option<PathBuf>,
    /// `--data-dir`: keys and database.
    pub data_dir: Option<PathBuf>,
    /// `--socket`: the Unix socket of the local API.
    pub socket: Option<PathBuf>,
    /// `--socket-group`: the group, by name or number, that may read.
    pub socket_group: Option<String>,
    /// `--operator`: the user, by name or number, who may change things besides root.
    pub operator: Option<String>,
    /// `--name`: this node's name in the roster.
    pub name: Option<String>,
    /// `--peer-listen`: where other replicas connect.
    pub peer_listen: Option<SocketAddr>,
    /// `--peer-address`: where other replicas reach this one, if not where it listens.
    pub peer_address: Option<String>,
    /// `--join`: an invitation's place, `file:PATH` or `-`.
    pub join: Option<String>,
    /// `--health-listen`: where health and metrics are served.
    pub health_listen: Option<SocketAddr>,
    /// `--lock-key`: a key file, `credential:NAME` or `none`.
    pub lock_key: Option<PathBuf>,
    /// `--passphrase-from`: `file:PATH`, `fd:N` or `credential:NAME`.
    pub passphrase_from: Option<String>,
}

/// The configuration file: TOML, the flags' names with `_` for `-`. Unknown keys are refused.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ConfigFile {
    data_dir: Option<PathBuf>,
    socket: Option<PathBuf>,
    socket_group: Option<String>,
    operator: Option<String>,
    name: Option<String>,
    peer_listen: Option<SocketAddr>,
    peer_address: Option<String>,
    health_listen: Option<SocketAddr>,
    lock_key: Option<PathBuf>,
    passphrase_from: Option<String>,
    support_escrow: Option<EscrowSettings>,
    on_locked_out: Option<HookSettings>,
}

/// All settings, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Keys and database.
    pub data_dir: PathBuf,
    /// The local API's socket.
    pub socket: PathBuf,
    /// The group ID that may read; then the socket has mode 0660, otherwise 0600.
    pub socket_group: Option<u32>,
    /// The user ID that may change things besides root and the daemon's own.
    pub operator: Option<u32>,
    /// This node's name, if it was given; otherwise it is derived from the host's.
    pub name: Option<String>,
    /// Where other replicas connect. Port 0 takes a free one, and later the same.
    pub peer_listen: SocketAddr,
    /// Where other replicas reach this one, `host:port`, if not at `peer_listen`.
    pub peer_address: Option<String>,
    /// The invitation by which it joins a group, on its first start.
    pub join: Option<JoinFrom>,
    /// Where health and metrics are served. Port 0 takes a free one.
    pub health_listen: SocketAddr,
    /// The daemon's tailnet-lock key.
    pub lock_key: LockKeyChoice,
    /// Where support secrets go.
    pub support_escrow: Option<Escrow>,
    /// Run for each node that the lock locks out.
    pub on_locked_out: Option<ConfiguredCommand>,
}

/// Why the settings do not hold together.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The configuration file cannot be read.
    #[error("reading the configuration file {}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The configuration file is not what it should be.
    #[error("the configuration file {}: {what}", path.display())]
    Content {
        /// Which one.
        path: PathBuf,
        /// What is wrong, with its line.
        what: String,
    },
    /// Others can write the configuration file, which names commands to be run.
    #[error(
        "the configuration file {} names commands that the daemon runs, and {what}: make it root's \
         or the daemon's own, and nobody else's to write (chmod o-w)",
        path.display()
    )]
    Foreign {
        /// Which one.
        path: PathBuf,
        /// Who can write it.
        what: String,
    },
    /// A user or group that does not exist.
    #[error("{flag}: {source}")]
    Account {
        /// The flag or key.
        flag: &'static str,
        /// Why.
        source: AccountError,
    },
    /// What is to be the lock key's file is none.
    #[error("--lock-key: {0}")]
    LockKey(#[from] KeyFileError),
    /// What is to be the passphrase's place is none.
    #[error("--passphrase-from: {0}")]
    Passphrase(#[from] NotASource),
    /// Peers could not reach it there.
    #[error("--peer-address: {0}")]
    PeerAddress(String),
    /// No place of an invitation.
    #[error("--join: give file:PATH, or - for stdin; an invitation is a secret and no argument")]
    Join,
    /// There can be no such escrow.
    #[error("support_escrow: {0}")]
    Escrow(#[from] BadEscrow),
    /// There can be no such command.
    #[error("on_locked_out: {0}")]
    Hook(#[from] BadCommand),
    /// There is no default place for something.
    #[error("{0} is not given, and neither HOME nor an XDG directory says where it would be")]
    NoDefault(&'static str),
    /// A path that cannot be one.
    #[error("{flag}: {} is longer than the {max} bytes that a socket's path may have", path.display())]
    SocketPath {
        /// The flag or key.
        flag: &'static str,
        /// The path.
        path: PathBuf,
        /// The limit.
        max: usize,
    },
}

/// The path of a Unix socket has at most this many bytes (sun_path less its final zero).
const MAX_SOCKET_PATH: usize = 107;

/// What the defaults depend on, so that they can be tested.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Whether the process runs as root.
    pub root: bool,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `XDG_STATE_HOME`.
    pub xdg_state_home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    pub xdg_runtime_dir: Option<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Self {
        let path = |name| {
            let value = std::env::var_os(name).map(PathBuf::from);
            value.filter(|path| path.is_absolute())
        };
        Surroundings {
            root: rustix::process::geteuid().is_root(),
            home: path("HOME"),
            xdg_state_home: path("XDG_STATE_HOME"),
            xdg_runtime_dir: path("XDG_RUNTIME_DIR"),
        }
    }

    /// The default data directory: `/var/lib/lockstep` as root, else below the state directory.
    pub fn data_dir(&self) -> Option<PathBuf> {
        if self.root {
            return Some("/var/lib/lockstep".into());
        }
        let state = self.xdg_state_home.clone();
        let state = state.or_else(|| Some(self.home.as_ref()?.join(".local/state")))?;
        Some(state.join("lockstep"))
    }

    /// The default socket: in `/run/lockstep` as root, else below the runtime directory, else in
    /// the default data directory.
    pub fn socket(&self) -> Option<PathBuf> {
        const NAME: &str = "lockstep.sock";
        if self.root {
            return Some(Path::new("/run/lockstep").join(NAME));
        }
        match &self.xdg_runtime_dir {
            Some(runtime) => Some(runtime.join("lockstep").join(NAME)),
            None => Some(self.data_dir()?.join(NAME)),
        }
    }
}

impl Given {
    /// What the environment says: `LOCKSTEP_CONFIG`, `LOCKSTEP_DATA_DIR`, `LOCKSTEP_SOCKET`.
    pub fn in_environment() -> Self {
        let path = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        Given {
            config: path("LOCKSTEP_CONFIG"),
            data_dir: path("LOCKSTEP_DATA_DIR"),
            socket: path("LOCKSTEP_SOCKET"),
            ..Given::default()
        }
    }
}

impl Config {
    /// Puts together what the flags, the environment, the configuration file and the defaults
    /// say, in this order.
    pub fn resolve(
        flags: Given,
        environment: Given,
        surroundings: &Surroundings,
    ) -> Result<Config, ConfigError> {
        let file = match flags.config.as_ref().or(environment.config.as_ref()) {
            Some(path) => ConfigFile::read_for_daemon(path)?,
            None => ConfigFile::default(),
        };
        let data_dir = flags
            .data_dir
            .or(environment.data_dir)
            .or(file.data_dir)
            .or_else(|| surroundings.data_dir())
            .ok_or(ConfigError::NoDefault("--data-dir"))?;
        let socket =
            resolve_socket(flags.socket.or(environment.socket).or(file.socket), surroundings)?;
        let group = flags.socket_group.or(environment.socket_group).or(file.socket_group);
        let operator = flags.operator.or(environment.operator).or(file.operator);
        let account = |flag| move |source| ConfigError::Account { flag, source };
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let peer = flags.peer_listen.or(environment.peer_listen).or(file.peer_listen);
        let health = flags.health_listen.or(environment.health_listen).or(file.health_listen);
        let lock_key = flags.lock_key.or(environment.lock_key).or(file.lock_key);
        let passphrase =
            flags.passphrase_from.or(environment.passphrase_from).or(file.passphrase_from);
        Ok(Config {
            data_dir,
            socket,
            socket_group: group
                .map(|group| accounts::group_id(&group))
                .transpose()
                .map_err(account("--socket-group"))?,
            operator: operator
                .map(|user| accounts::user_id(&user))
                .transpose()
                .map_err(account("--operator"))?,
            name: flags.name.or(environment.name).or(file.name),
            peer_listen: peer.unwrap_or(loopback),
            peer_address: peer_address(
                flags.peer_address.or(environment.peer_address).or(file.peer_address),
                peer.unwrap_or(loopback),
            )?,
            join: flags.join.or(environment.join).as_deref().map(JoinFrom::parse).transpose()?,
            health_listen: health.unwrap_or(loopback),
            lock_key: LockKeyChoice {
                place: lock_key.map_or(Ok(LockKeyPlace::DataDir), lock_key_place)?,
                passphrase: passphrase.as_deref().map(str::parse).transpose()?,
            },
            support_escrow: file.support_escrow.map(Escrow::try_from).transpose()?,
            on_locked_out: file.on_locked_out.map(ConfiguredCommand::try_from).transpose()?,
        })
    }
}

impl Config {
    /// What is in force, by the names of the configuration file; `None` where nothing is set. No
    /// secret is among it: those stand in files of their own.
    pub fn in_force(&self) -> Vec<(&'static str, Option<String>)> {
        let path = |path: &Path| Some(path.display().to_string());
        let lock_key = match &self.lock_key.place {
            LockKeyPlace::DataDir => "in the data directory".to_owned(),
            LockKeyPlace::Elsewhere(source) => source.to_string(),
            LockKeyPlace::Nowhere => "none".to_owned(),
        };
        let join = self.join.as_ref().map(|from| match from {
            JoinFrom::File(path) => format!("file:{}", path.display()),
            JoinFrom::Stdin => "-".to_owned(),
        });
        vec![
            ("data_dir", path(&self.data_dir)),
            ("socket", path(&self.socket)),
            ("socket_group", self.socket_group.map(|group| group.to_string())),
            ("operator", self.operator.map(|user| user.to_string())),
            ("name", self.name.clone()),
            ("peer_listen", Some(self.peer_listen.to_string())),
            ("peer_address", self.peer_address.clone()),
            ("join", join),
            ("health_listen", Some(self.health_listen.to_string())),
            ("lock_key", Some(lock_key)),
            ("passphrase_from", self.lock_key.passphrase.as_ref().map(ToString::to_string)),
            ("support_escrow", self.support_escrow.as_ref().map(Escrow::describe)),
            ("on_locked_out", self.on_locked_out.as_ref().map(|hook| hook.program().to_owned())),
        ]
    }
}

/// Where peers reach this replica, if it was said. It must be said where it listens everywhere.
fn peer_address(given: Option<String>, listen: SocketAddr) -> Result<Option<String>, ConfigError> {
    let wrong = |what: String| Err(ConfigError::PeerAddress(what));
    match given {
        Some(address) => {
            let port = address
                .rsplit_once(':')
                .and_then(|(host, port)| (!host.is_empty()).then(|| port.parse::<u16>().ok())?);
            if !is_address(&address) || port.is_none_or(|port| port == 0) {
                return wrong(format!("{address:?} is not a host and a port, as in signer1:7400"));
            }
            Ok(Some(address))
        }
        None if listen.ip().is_unspecified() => wrong(format!(
            "--peer-listen {listen} listens everywhere: say where the other replicas reach it, as \
             in --peer-address signer1.example:7400"
        )),
        None => Ok(None),
    }
}

/// Where an invitation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinFrom {
    /// In a file.
    File(PathBuf),
    /// On standard input, to its end.
    Stdin,
}

impl JoinFrom {
    fn parse(text: &str) -> Result<Self, ConfigError> {
        match (text, text.strip_prefix("file:")) {
            ("-", _) => Ok(JoinFrom::Stdin),
            (_, Some(path)) if !path.is_empty() => Ok(JoinFrom::File(path.into())),
            _ => Err(ConfigError::Join),
        }
    }
}

fn lock_key_place(word: PathBuf) -> Result<LockKeyPlace, KeyFileError> {
    if word.as_os_str() == "none" {
        return Ok(LockKeyPlace::Nowhere);
    }
    KeySource::parse(word.as_os_str()).map(LockKeyPlace::Elsewhere)
}

/// The socket that commands talk to: flag, environment, configuration file, default.
pub fn resolve_client_socket(
    flags: &Given,
    environment: &Given,
    surroundings: &Surroundings,
) -> Result<PathBuf, ConfigError> {
    let given = flags.socket.as_ref().or(environment.socket.as_ref()).cloned();
    let given = match (given, flags.config.as_ref().or(environment.config.as_ref())) {
        (None, Some(path)) => ConfigFile::read(path)?.socket,
        (given, _) => given,
    };
    resolve_socket(given, surroundings)
}

/// The data directory that commands mean: flag, environment, configuration file, default.
pub fn resolve_data_dir(
    flags: &Given,
    environment: &Given,
    surroundings: &Surroundings,
) -> Result<PathBuf, ConfigError> {
    let given = flags.data_dir.as_ref().or(environment.data_dir.as_ref()).cloned();
    let given = match (given, flags.config.as_ref().or(environment.config.as_ref())) {
        (None, Some(path)) => ConfigFile::read(path)?.data_dir,
        (given, _) => given,
    };
    given.or_else(|| surroundings.data_dir()).ok_or(ConfigError::NoDefault("--data-dir"))
}

fn resolve_socket(
    given: Option<PathBuf>,
    surroundings: &Surroundings,
) -> Result<PathBuf, ConfigError> {
    let path = given.or_else(|| surroundings.socket()).ok_or(ConfigError::NoDefault("--socket"))?;
    if path.as_os_str().len() > MAX_SOCKET_PATH {
        return Err(ConfigError::SocketPath { flag: "--socket", path, max: MAX_SOCKET_PATH });
    }
    Ok(path)
}

impl ConfigFile {
    /// As [`read`](Self::read), by a daemon that would run the commands in it.
    fn read_for_daemon(path: &Path) -> Result<Self, ConfigError> {
        let file = ConfigFile::read(path)?;
        if file.support_escrow.is_none() && file.on_locked_out.is_none() {
            return Ok(file);
        }
        let metadata = std::fs::metadata(path)
            .map_err(|source| ConfigError::File { path: path.into(), source })?;
        let own = rustix::process::geteuid().as_raw();
        let foreign = |what| Err(ConfigError::Foreign { path: path.into(), what });
        if metadata.uid() != own && metadata.uid() != 0 {
            return foreign(format!("it belongs to user {}", metadata.uid()));
        }
        if metadata.mode() & 0o002 != 0 {
            return foreign("everybody may write it".to_owned());
        }
        Ok(file)
    }

    fn read(path: &Path) -> Result<Self, ConfigError> {
        use std::io::Read;
        let io = |source| ConfigError::File { path: path.into(), source };
        let content = |what: String| ConfigError::Content { path: path.into(), what };
        let file = std::fs::File::open(path).map_err(io)?;
        if !file.metadata().map_err(io)?.is_file() {
            return Err(content("not a regular file".into()));
        }
        let mut text = String::new();
        file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(io)?;
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(content(format!("larger than {MAX_FILE_BYTES} bytes")));
        }
        toml::from_str(&text).map_err(|e| content(e.to_string().trim_end().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> Surroundings {
        Surroundings { home: Some("/home/u".into()), ..Surroundings::default() }
    }

    #[test]
    fn defaults_of_root_and_of_others() {
        let root = Surroundings { root: true, ..user() };
        let config = Config::resolve(Given::default(), Given::default(), &root).unwrap();
        assert_eq!(config.data_dir, Path::new("/var/lib/lockstep"));
        assert_eq!(config.socket, Path::new("/run/lockstep/lockstep.sock"));
        assert!(config.health_listen.ip().is_loopback());

        let config = Config::resolve(Given::default(), Given::default(), &user()).unwrap();
        assert_eq!(config.data_dir, Path::new("/home/u/.local/state/lockstep"));
        assert_eq!(config.socket, Path::new("/home/u/.local/state/lockstep/lockstep.sock"));

        let xdg = Surroundings {
            xdg_state_home: Some("/s".into()),
            xdg_runtime_dir: Some("/r".into()),
            ..user()
        };
        let config = Config::resolve(Given::default(), Given::default(), &xdg).unwrap();
        assert_eq!(config.data_dir, Path::new("/s/lockstep"));
        assert_eq!(config.socket, Path::new("/r/lockstep/lockstep.sock"));

        let nowhere = Surroundings::default();
        let error = Config::resolve(Given::default(), Given::default(), &nowhere).unwrap_err();
        assert!(matches!(error, ConfigError::NoDefault("--data-dir")));
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, "data_dir = '/file'\nsocket = '/file.sock'\nname = 'file'\n")
            .unwrap();
        let environment = Given {
            config: Some(path),
            data_dir: Some("/env".into()),
            socket: Some("/env.sock".into()),
            ..Given::default()
        };
        let flags = Given { data_dir: Some("/flag".into()), ..Given::default() };
        let config = Config::resolve(flags.clone(), environment.clone(), &user()).unwrap();
        assert_eq!(config.data_dir, Path::new("/flag"));
        assert_eq!(config.socket, Path::new("/env.sock"));
        assert_eq!(config.name.as_deref(), Some("file"));
        let only_file = Given { data_dir: None, socket: None, ..environment };
        let socket = resolve_client_socket(&flags, &only_file, &user()).unwrap();
        assert_eq!(socket, Path::new("/file.sock"));
    }

    #[test]
    fn unknown_keys_and_accounts_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, "data-dir = '/x'\n").unwrap();
        let given = |path| Given { config: Some(path), ..Given::default() };
        let error = Config::resolve(given(path), Given::default(), &user()).unwrap_err();
        assert!(error.to_string().contains("data-dir"), "{error}");
        let given = Given { operator: Some("no such user".into()), ..Given::default() };
        let error = Config::resolve(given, Given::default(), &user()).unwrap_err();
        assert!(error.to_string().starts_with("--operator: "), "{error}");
        let given =
            Given { socket: Some(format!("/{}", "x".repeat(107)).into()), ..Given::default() };
        assert!(Config::resolve(given, Given::default(), &user()).is_err());
    }

    #[test]
    fn commands_are_not_taken_from_a_file_that_everybody_may_write() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        let with = |text: &str, mode| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let flags = Given { config: Some(path.clone()), ..Given::default() };
            Config::resolve(flags, Given::default(), &user())
        };
        let hook = "[on_locked_out]\ncommand = ['/bin/true']\n";
        let escrow = "[support_escrow]\nfile = '/secret'\n";
        assert!(with("name = 'a'\n", 0o666).is_ok());
        for text in [hook, escrow] {
            assert!(with(text, 0o644).is_ok());
            let error = with(text, 0o666).unwrap_err();
            assert!(matches!(error, ConfigError::Foreign { .. }), "{error}");
        }
    }

    #[test]
    fn the_documented_file_is_one() {
        let page = include_str!("../../../docs/configuration.md");
        let block = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
        let file: ConfigFile = toml::from_str(block.unwrap()).unwrap();
        let escrow = Escrow::try_from(file.support_escrow.unwrap()).unwrap();
        assert_eq!(escrow.describe(), "the vault (file /secure/support-secret)");
        let hook = ConfiguredCommand::try_from(file.on_locked_out.unwrap()).unwrap();
        assert_eq!(hook.program(), "/usr/local/bin/tell-admins");
        let place = lock_key_place(file.lock_key.unwrap()).unwrap();
        assert!(matches!(place, LockKeyPlace::Elsewhere(KeySource::Credential(_))));
        assert!(file.passphrase_from.unwrap().parse::<crate::keys::PassphraseSource>().is_ok());
    }
}
