//! Users and groups of this machine: from `/etc/passwd` and `/etc/group`, or by number.
//!
//! Directories such as LDAP are not asked: that takes the C library's plug-ins. Whoever is only
//! there is named by number.

use std::fs;

/// Why a user or group is unknown.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Neither a number nor a name in the file.
    #[error("{name:?} is neither a number nor listed in {file}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Where it was looked for.
        file: &'static str,
    },
    /// The file cannot be read.
    #[error("reading {file}: {source}")]
    File {
        /// Which one.
        file: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// The user ID of a name or number.
pub(crate) fn user_id(name: &str) -> Result<u32, AccountError> {
    id(name, PASSWD)
}

/// The group ID of a name or number.
pub(crate) fn group_id(name: &str) -> Result<u32, AccountError> {
    id(name, GROUP)
}

/// A name for people: the user's, or `uid N`.
pub(crate) fn user_name(uid: u32) -> String {
    let text = fs::read_to_string(PASSWD).unwrap_or_default();
    name_in(&text, uid).unwrap_or_else(|| format!("uid {uid}"))
}

fn id(name: &str, file: &'static str) -> Result<u32, AccountError> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let text = fs::read_to_string(file).map_err(|source| AccountError::File { file, source })?;
    id_in(&text, name).ok_or_else(|| AccountError::Unknown { name: name.to_owned(), file })
}

/// Both files have the name in the first field and the number in the third.
fn entries(text: &str) -> impl Iterator<Item = (&str, u32)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        Some((name, fields.nth(1)?.parse().ok()?))
    })
}

fn id_in(text: &str, name: &str) -> Option<u32> {
    entries(text).find(|(entry, _)| *entry == name).map(|(_, id)| id)
}

fn name_in(text: &str, id: u32) -> Option<String> {
    // The name goes into records: keep it to what accounts normally have.
    let plain =
        |name: &str| !name.is_empty() && name.len() <= 64 && !name.contains(char::is_control);
    entries(text).find(|(name, entry)| *entry == id && plain(name)).map(|(name, _)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        let text = "root:x:0:0:root:/root:/bin/sh\nbroken\nalice:x:1000:1000::/home/a:/bin/sh\n";
        assert_eq!(id_in(text, "alice"), Some(1000));
        assert_eq!(id_in(text, "bob"), None);
        assert_eq!(name_in(text, 0).as_deref(), Some("root"));
        assert_eq!(name_in(text, 7), None);
        assert_eq!(user_id("1234").unwrap(), 1234);
    }
}
