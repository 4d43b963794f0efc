//! Systemd credentials (systemd.exec(5), `LoadCredential=`).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::{KeyFileError, file};

/// Whether a word can name a credential: one that cannot leave the directory.
pub(super) fn is_credential_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=255).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.')
}

/// The content of a credential, of so many bytes at most.
pub(super) fn credential(name: &str, max: usize) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let missing = || KeyFileError::NoCredentials { name: name.to_owned() };
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|value| !value.is_empty());
    credential_in(Path::new(&directory.ok_or_else(missing)?), name, max)
}

fn credential_in(
    directory: &Path,
    name: &str,
    max: usize,
) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let path = directory.join(name);
    file::read_checked(&path, max, |metadata| check_credential(&path, metadata))
}

/// The service manager gives credentials to the service's user, or keeps them its own and lets
/// that user read by an access list; the mode's group bits then show the list's mask.
fn check_credential(path: &Path, metadata: &fs::Metadata) -> Result<(), KeyFileError> {
    let own = rustix::process::geteuid().as_raw();
    if metadata.uid() != own && metadata.uid() != 0 {
        return Err(KeyFileError::Owner { path: path.into(), owner: metadata.uid(), own });
    }
    let mode = metadata.mode() & 0o7777;
    let foreign = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if mode & foreign != 0 {
        return Err(KeyFileError::Mode { path: path.into(), mode, want: "0400" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use ledger::lock::signatures::Signer;
    use ledger::testing::key;

    use super::super::source::StoredKey;
    use super::super::{Kind, to_text};
    use super::*;

    #[test]
    fn credentials_are_the_services_or_the_managers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock-key");
        file::create(&path, &to_text(&key(1), Kind::Lock)).unwrap();
        let read = || credential_in(dir.path(), "lock-key", file::MAX_BYTES);
        let stored = StoredKey::parse(&read().unwrap(), "credential:lock-key".into()).unwrap();
        assert_eq!(stored.public(), key(1).public());
        for (mode, of_root, of_user) in [
            (0o400, true, true),
            // An access list of the service manager shows as a group that may read.
            (0o440, true, false),
            (0o460, false, false),
            (0o404, false, false),
        ] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let root = rustix::process::geteuid().is_root();
            assert_eq!(read().is_ok(), if root { of_root } else { of_user }, "{mode:o}");
        }
        assert!(credential_in(dir.path(), "other", 10).is_err());
    }
}
