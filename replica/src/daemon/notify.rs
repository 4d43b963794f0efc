//! What the service manager is told: the protocol of sd_notify(3), over `NOTIFY_SOCKET`.
//!
//! Its few lines of text need no library. The variables stay in this process's environment, which
//! no command that it runs inherits ([`super::command`]).

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

/// The service manager, if the daemon was started by one that wants to be told.
#[derive(Debug, Clone)]
pub(super) struct Manager {
    to: Option<Arc<(UnixDatagram, SocketAddr)>>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// As the environment says it.
    pub(super) fn of_process() -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let to = variable("NOTIFY_SOCKET").and_then(|place| match reach(&place) {
            Ok(to) => Some(Arc::new(to)),
            Err(error) => {
                tracing::warn!(?place, %error, "the service manager cannot be told anything");
                None
            }
        });
        let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|micros| ours && *micros > 0);
        Manager { to, watchdog: watchdog.map(Duration::from_micros) }
    }

    /// How long it waits for [`alive`](Self::alive) before it kills the daemon.
    pub(super) fn watchdog(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.to.is_some())
    }

    /// The daemon can serve.
    pub(super) fn ready(&self) {
        self.tell("READY=1");
    }

    /// The daemon's loop has answered.
    pub(super) fn alive(&self) {
        if self.watchdog.is_some() {
            self.tell("WATCHDOG=1");
        }
    }

    /// The daemon is about to end.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// What the daemon does, for people.
    pub(super) fn status(&self, text: &str) {
        self.tell(&format!("STATUS={}", text.replace('\n', " ")));
    }

    fn tell(&self, message: &str) {
        let Some(to) = &self.to else { return };
        let (socket, address) = &**to;
        // A manager that does not listen must not hold the daemon up.
        if let Err(error) = socket.send_to_addr(message.as_bytes(), address) {
            tracing::debug!(%error, message, "the service manager was not told");
        }
    }
}

/// A socket, and where to send: a path, or after `@` a name in the abstract namespace.
fn reach(place: &OsStr) -> std::io::Result<(UnixDatagram, SocketAddr)> {
    let address = match place.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(place)?,
        _ => {
            let what = "neither an absolute path nor a name that begins with @";
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, what));
        }
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 512];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    fn manager(place: &OsStr, watchdog: Option<Duration>) -> Manager {
        Manager { to: Some(Arc::new(reach(place).unwrap())), watchdog }
    }

    #[test]
    fn a_manager_is_told_at_a_path_and_at_an_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let at_path = UnixDatagram::bind(&path).unwrap();
        let told = manager(path.as_os_str(), Some(Duration::from_secs(10)));
        told.ready();
        told.status("serves\nas leader");
        told.alive();
        told.stopping();
        for message in ["READY=1", "STATUS=serves as leader", "WATCHDOG=1", "STOPPING=1"] {
            assert_eq!(heard(&at_path), message);
        }
        let name = format!("lockstep-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let abstracts = UnixDatagram::bind_addr(&address).unwrap();
        let told = manager(OsStr::new(&format!("@{name}")), None);
        told.alive();
        told.ready();
        assert_eq!(heard(&abstracts), "READY=1", "no watchdog was asked for");
    }

    #[test]
    fn a_manager_that_is_gone_is_no_matter() {
        let dir = tempfile::tempdir().unwrap();
        manager(dir.path().join("none").as_os_str(), None).ready();
        for place in ["relative", "@"] {
            let _ = reach(OsStr::new(place)).map(|_| assert_ne!(place, "relative"));
        }
        // A full queue does not hold the daemon up.
        let path = dir.path().join("notify");
        let _deaf = UnixDatagram::bind(&path).unwrap();
        let told = manager(path.as_os_str(), None);
        for _ in 0..10_000 {
            told.ready();
        }
    }
}
