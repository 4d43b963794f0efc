//! Keys, files and answers that people type.

use std::fs::{self, File};
use std::io::{BufRead, ErrorKind, IsTerminal, Read, Write};
use std::path::Path;

use ledger::history::ChangeReason;
use ledger::ids::{LockKey, NodeKey};
use ledger::limits::{MAX_VOTES, NOTE_BYTES};
use ledger::lock::signatures::is_weak;
use replica::local_api::bodies::{Base64, KeyBody};
use zeroize::Zeroizing;

use crate::args::Why;
use crate::exit::Failure;

/// Bytes of a file that holds a key or a secret, at most.
const MAX_FILE_BYTES: u64 = 64 * 1024;
/// Bytes of a file that holds a recovery blob in hex, at most.
const MAX_BLOB_BYTES: u64 = 4 << 20;

/// Splits arguments at commas and spaces; empty pieces are dropped.
pub(super) fn listed(arguments: &[String]) -> Vec<&str> {
    arguments.iter().flat_map(|argument| pieces(argument)).collect()
}

/// The same of one argument.
pub(super) fn pieces(argument: &str) -> impl Iterator<Item = &str> {
    argument.split(|c: char| c == ',' || c.is_whitespace()).filter(|piece| !piece.is_empty())
}

/// A trusted key with its votes, `tlpub:...` or `tlpub:...?votes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Voter {
    pub(super) key: LockKey,
    pub(super) votes: u64,
}

impl Voter {
    /// Parses the argument at `place`, counted from 1.
    pub(super) fn parse(place: usize, text: &str) -> Result<Self, Failure> {
        let (key, votes) = match text.split_once('?') {
            Some((key, votes)) => (key, Some(votes)),
            None => (text, None),
        };
        private_by_mistake(place, key)?;
        let key = key.parse::<LockKey>().map_err(|error| {
            Failure::new(format!("parsing key {place}: {error}"))
                .remedy("Give a public key: tlpub: and 64 hex digits.")
        })?;
        let votes = match votes {
            None => 1,
            Some(text) => {
                let wrong = |what: &str| {
                    Failure::new(format!("parsing key {place} votes: {text:?} {what}"))
                        .remedy(format!("Votes are a number from 1 to {MAX_VOTES}."))
                };
                let votes: i64 = text.parse().map_err(|_| wrong("is not a number"))?;
                u64::try_from(votes)
                    .ok()
                    .filter(|votes| (1..=MAX_VOTES).contains(votes))
                    .ok_or_else(|| wrong("is out of range"))?
            }
        };
        Ok(Voter { key, votes })
    }

    /// Parses a list of them, without repeats.
    pub(super) fn parse_all<'a>(
        pieces: impl IntoIterator<Item = (usize, &'a str)>,
    ) -> Result<Vec<Self>, Failure> {
        let mut voters: Vec<(usize, Voter)> = Vec::new();
        for (place, piece) in pieces {
            let voter = Voter::parse(place, piece)?;
            if let Some((first, _)) = voters.iter().find(|(_, other)| other.key == voter.key) {
                return Err(Failure::new(format!(
                    "key {place} is the same as key {first}: {}",
                    voter.key
                ))
                .remedy("Give each key once."));
            }
            voters.push((place, voter));
        }
        Ok(voters.into_iter().map(|(_, voter)| voter).collect())
    }

    /// As a request carries it.
    pub(super) fn body(&self) -> KeyBody {
        KeyBody {
            kind: 1,
            votes: self.votes,
            public: Some(Base64(self.key.0.to_vec())),
            meta: None,
        }
    }
}

/// Refuses what is no public key but something that should not have been typed here.
fn private_by_mistake(place: usize, text: &str) -> Result<(), Failure> {
    let what = if text.starts_with("nlpriv:") || text.starts_with("privkey:") {
        "a private key"
    } else if text.starts_with("tskey-") {
        "an auth key"
    } else if text.starts_with("disablement-secret:") {
        "a disablement secret"
    } else {
        return Ok(());
    };
    Err(Failure::new(format!("parsing key {place}: this is {what}, not a public key")).remedy(
        "Nothing was sent, but other users of this machine may have seen the command line. \
         Public keys begin with tlpub: ('lockstep lock' shows this node's).",
    ))
}

/// The node key to sign.
pub(super) fn node_key(what: &str, text: &str) -> Result<NodeKey, Failure> {
    let key = text
        .parse::<NodeKey>()
        .map_err(|error| Failure::new(format!("decoding {what}: {error}")))?;
    if key.is_zero() {
        return Err(Failure::new(format!("decoding {what}: the key is zero"))
            .remedy("Give the node's real key ('lockstep node list' shows it)."));
    }
    Ok(key)
}

/// A key that may sign a node's rotations: neither zero nor one for which anybody can sign.
pub(super) fn rotation_key(what: &str, text: &str) -> Result<LockKey, Failure> {
    let key = text
        .parse::<LockKey>()
        .map_err(|error| Failure::new(format!("decoding {what}: {error}")))?;
    if key.is_zero() || is_weak(&key) {
        return Err(Failure::new(format!(
            "decoding {what}: anybody could sign with this key (it is zero or of small order)"
        ))
        .remedy("Give the node's own tailnet lock key, or leave the rotation key out."));
    }
    Ok(key)
}

/// The argument, or what the file says that `file:PATH` names, without white space around it.
pub(super) fn or_file(argument: &str) -> Result<Zeroizing<String>, Failure> {
    match argument.strip_prefix("file:") {
        Some(path) => {
            let text = Zeroizing::new(small_file(Path::new(path))?);
            let text = str::from_utf8(&text)
                .map_err(|_| Failure::new(format!("reading {path}: it is not text")))?;
            Ok(Zeroizing::new(text.trim().to_owned()))
        }
        None => Ok(Zeroizing::new(argument.to_owned())),
    }
}

/// The argument, or what the file says that `file:PATH` names: a blob in hex may be long.
pub(super) fn or_blob_file(argument: &str) -> Result<String, Failure> {
    let Some(path) = argument.strip_prefix("file:") else { return Ok(argument.to_owned()) };
    let text = String::from_utf8(bounded_file(Path::new(path), MAX_BLOB_BYTES)?)
        .map_err(|_| Failure::new(format!("reading {path}: it is not text")))?;
    Ok(text.trim().to_owned())
}

/// Why keys are taken away, as the record keeps it.
pub(super) struct Said {
    /// The reason's name.
    pub(super) reason: Option<String>,
    /// Free text; an empty one is none.
    pub(super) note: Option<String>,
}

impl Why {
    /// What is said, checked.
    pub(super) fn said(&self) -> Result<Said, Failure> {
        let reason = self.reason.clone();
        if let Some(text) = &reason
            && !ChangeReason::ALL.iter().any(|reason| reason.name() == text)
        {
            return Err(Failure::usage(format!("--reason: {text:?} is none"))
                .remedy("A reason is compromised, rotated, left or other."));
        }
        let note = self.note.clone().filter(|note| !note.is_empty());
        if let Some(len) = note.as_ref().map(String::len).filter(|len| *len > NOTE_BYTES) {
            let what = format!("--note: it has {len} bytes, at most {NOTE_BYTES} are kept");
            return Err(Failure::usage(what));
        }
        Ok(Said { reason, note })
    }
}

/// All of a regular file that a key, a secret or a signature fits into.
pub(super) fn small_file(path: &Path) -> Result<Vec<u8>, Failure> {
    bounded_file(path, MAX_FILE_BYTES)
}

/// All of a regular file, if it has at most `max` bytes.
pub(super) fn bounded_file(path: &Path, max: u64) -> Result<Vec<u8>, Failure> {
    let failed =
        |what: &dyn std::fmt::Display| Failure::new(format!("reading {}: {what}", path.display()));
    // A FIFO would block before it could be looked at.
    let kind = fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => failed(&error).remedy("Give the name of a file that is there."),
        _ => failed(&error),
    })?;
    if !kind.is_file() {
        return Err(failed(&"it is not a regular file"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| failed(&error))?;
    let read = file.take(max + 1).read_to_end(&mut bytes);
    read.map_err(|error| failed(&error))?;
    if bytes.len() as u64 > max {
        return Err(failed(&format!("it has more than {max} bytes")));
    }
    Ok(bytes)
}

/// One line from stdin, without white space around it.
pub(super) fn from_stdin() -> Result<Zeroizing<String>, Failure> {
    Ok(Zeroizing::new(line_from_stdin()?.trim().to_owned()))
}

/// One line from stdin as it is; without any character if nothing comes any more.
fn line_from_stdin() -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let mut stdin = std::io::stdin().lock().take(MAX_FILE_BYTES);
    stdin
        .read_line(&mut text)
        .map_err(|error| Failure::new(format!("reading from stdin: {error}")))?;
    Ok(text)
}

/// Whether a question can be asked and answered.
pub(super) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Asks on the terminal; an empty answer means `default`, and none at all means no.
pub(super) fn confirmed(question: &str, default: bool) -> Result<bool, Failure> {
    let mut out = std::io::stdout().lock();
    let asked = write!(out, "{question} ").and_then(|()| out.flush());
    asked.map_err(|error| Failure::new(format!("writing to stdout: {error}")))?;
    let answer = line_from_stdin()?;
    if answer.is_empty() {
        return Ok(false);
    }
    Ok(match answer.trim().to_ascii_lowercase().as_str() {
        "" => default,
        "y" | "yes" | "sure" => true,
        _ => false,
    })
}

/// A word as a POSIX shell reads it back.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> String {
        LockKey([byte; 32]).to_tlpub()
    }

    #[test]
    fn lists_are_split_at_spaces_and_commas() {
        let words = ["a,b".to_owned(), ", c,".to_owned(), "d e".to_owned()];
        assert_eq!(listed(&words), ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn votes_are_1_to_4096() {
        let votes = |text: &str| Voter::parse(2, &format!("{}?{text}", key(1)));
        assert_eq!(votes("4096").unwrap().votes, 4096);
        assert_eq!(votes("+2").unwrap().votes, 2);
        assert_eq!(Voter::parse(1, &key(1)).unwrap().votes, 1);
        for bad in ["0", "-1", "4097", "x", "", "1.5", "99999999999999999999"] {
            let failure = votes(bad).unwrap_err();
            assert!(failure.what.starts_with("parsing key 2 votes: "), "{}", failure.what);
            assert_eq!(failure.remedy.unwrap(), "Votes are a number from 1 to 4096.");
        }
    }

    #[test]
    fn repeated_keys_are_named() {
        let (one, two) = (key(1), key(2));
        let again = format!("{one}?2");
        let list = [(1, one.as_str()), (2, two.as_str()), (4, again.as_str())];
        let failure = Voter::parse_all(list).unwrap_err();
        assert!(failure.what.starts_with("key 4 is the same as key 1: tlpub:01"));
    }

    #[test]
    fn private_keys_are_told_and_not_repeated() {
        for text in ["nlpriv:00ff", "privkey:00ff", "tskey-auth-00ff", "disablement-secret:00ff"] {
            let failure = Voter::parse(1, text).unwrap_err();
            assert!(!failure.what.contains("00ff") && failure.what.contains("this is a"));
        }
        let failure = Voter::parse(3, "nodekey:00ff").unwrap_err();
        assert_eq!(failure.what, "parsing key 3: key does not begin with \"tlpub:\"");
    }

    #[test]
    fn weak_keys_are_refused() {
        let zeros = "0".repeat(64);
        assert!(node_key("node-key", &format!("nodekey:{zeros}")).is_err());
        assert!(rotation_key("rotation-key", &format!("tlpub:{zeros}")).is_err());
        let one = format!("tlpub:01{}", "0".repeat(62));
        assert!(rotation_key("rotation-key", &one).is_err());
    }

    #[test]
    fn files_are_regular_and_small() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, "  nodekey:12\r\n").unwrap();
        let argument = format!("file:{}", path.display());
        assert_eq!(*or_file(&argument).unwrap(), "nodekey:12");
        assert_eq!(*or_file("nodekey:34").unwrap(), "nodekey:34");
        let whole = format!("file:{}", dir.path().display());
        assert!(or_file(&whole).unwrap_err().what.ends_with("it is not a regular file"));
        assert!(or_file("file:/nonexistent").unwrap_err().what.contains("No such file"));
        File::create(&path).unwrap().set_len(1 << 30).unwrap();
        assert!(or_file(&argument).unwrap_err().what.contains("more than 65536 bytes"));
    }

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("/run/lock.sock"), "/run/lock.sock");
        assert_eq!(quoted("a b'c"), r"'a b'\''c'");
        assert_eq!(quoted(""), "''");
    }
}
