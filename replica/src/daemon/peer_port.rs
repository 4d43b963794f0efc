//! The port for peers stays the same: where none was chosen, the one of the first start is taken
//! again, because the other members know it.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;

use tokio::net::TcpListener;

/// Name of the file in the data directory.
const FILE: &str = "peer-port";

/// Listens for peers.
pub(super) async fn bind(data_dir: &Path, address: SocketAddr) -> io::Result<TcpListener> {
    if address.port() != 0 {
        return TcpListener::bind(address).await;
    }
    let path = data_dir.join(FILE);
    let remembered = match fs::read_to_string(&path) {
        // A damaged file costs no more than a new port.
        Ok(text) => text.trim().parse::<u16>().ok().filter(|port| *port != 0),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if let Some(port) = remembered {
        match TcpListener::bind(SocketAddr::new(address.ip(), port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) => tracing::warn!(
                port, %error,
                "the port that peers know is taken: they will be told of another one"
            ),
        }
    }
    let listener = TcpListener::bind(address).await?;
    fs::write(&path, format!("{}\n", listener.local_addr()?.port()))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_port_of_the_first_start_is_taken_again() {
        let dir = tempfile::tempdir().unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let first = bind(dir.path(), any).await.unwrap();
        let port = first.local_addr().unwrap().port();
        // Somebody else has it now.
        let other = bind(dir.path(), any).await.unwrap();
        assert_ne!(other.local_addr().unwrap().port(), port);
        let newer = other.local_addr().unwrap().port();
        drop((first, other));
        let again = bind(dir.path(), any).await.unwrap();
        assert_eq!(again.local_addr().unwrap().port(), newer);
        drop(again);
        fs::write(dir.path().join(FILE), "x").unwrap();
        assert!(bind(dir.path(), any).await.is_ok());
    }
}
