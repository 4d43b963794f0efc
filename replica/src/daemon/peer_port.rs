//! The port for peers stays the same: where none was chosen, the one of the first start is taken
//! again, because the other members know it.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;

use ledger::history::{MemberKey, members};
use tokio::net::TcpListener;

use crate::disk::ROWS_DIR;
use crate::disk::rocks::Rocks;

/// Name of the file in the data directory.
const FILE: &str = "peer-port";

/// Listens for peers. A member without the file goes by the address that it has on record.
pub(super) async fn bind(
    data_dir: &Path,
    address: SocketAddr,
    member: MemberKey,
) -> io::Result<TcpListener> {
    if address.port() != 0 {
        return TcpListener::bind(address).await;
    }
    let path = data_dir.join(FILE);
    let remembered = match fs::read_to_string(&path) {
        // A damaged file is as good as none.
        Ok(text) => text.trim().parse::<u16>().ok().filter(|port| *port != 0),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if let Some(port) = remembered.or_else(|| recorded(data_dir, member)) {
        match TcpListener::bind(SocketAddr::new(address.ip(), port)).await {
            Ok(listener) => {
                if remembered.is_none() {
                    fs::write(&path, format!("{port}\n"))?;
                }
                return Ok(listener);
            }
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

/// The port that the others know, by the records.
fn recorded(data_dir: &Path, member: MemberKey) -> Option<u16> {
    let rows = data_dir.join(ROWS_DIR);
    // Before the first start there is nothing to be read.
    let rows = rows.is_dir().then(|| Rocks::open_read_only(&rows).ok()).flatten()?;
    let own = members::by_member_key(&rows, member).ok().flatten()?;
    own.details.address?.rsplit_once(':')?.1.parse().ok().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_port_of_the_first_start_is_taken_again() {
        let dir = tempfile::tempdir().unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let first = bind(dir.path(), any, MemberKey([1; 32])).await.unwrap();
        let port = first.local_addr().unwrap().port();
        // Somebody else has it now.
        let other = bind(dir.path(), any, MemberKey([1; 32])).await.unwrap();
        assert_ne!(other.local_addr().unwrap().port(), port);
        let newer = other.local_addr().unwrap().port();
        drop((first, other));
        let again = bind(dir.path(), any, MemberKey([1; 32])).await.unwrap();
        assert_eq!(again.local_addr().unwrap().port(), newer);
        drop(again);
        fs::write(dir.path().join(FILE), "x").unwrap();
        assert!(bind(dir.path(), any, MemberKey([1; 32])).await.is_ok());
    }
}
