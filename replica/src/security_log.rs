//! What was denied, in a file of its own: `DATA_DIR/security.log`, a JSON object on each line.
//!
//! It is local and for people: no verdict rests on it, and a log that cannot be written stops
//! nothing. It holds no secret, and of what others send only what is named here, escaped and cut.
//! It stays small however much is denied: each sort of denial of each party has a budget of lines
//! a minute, what goes beyond is counted, and the file is set aside once when it has grown.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::rfc3339::rfc3339;

/// Name of the file in the data directory; the one set aside has `.1` behind it.
const FILE: &str = "security.log";
/// Bytes from which the file is set aside; together the two have twice as many, and a line.
const MOST_BYTES: u64 = 1 << 20;
/// Lines a minute of one sort of denial of one party.
const LINES: u32 = 20;
/// For how long those are counted.
const SPAN: Duration = Duration::from_secs(60);
/// Parties that are told apart.
const PARTIES: usize = 256;
/// Characters of a detail, before escaping.
const DETAIL_CHARS: usize = 300;

/// What was denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Denial {
    /// A user of the local API may not do that, or it was no program that asked.
    Permission,
    /// A user has too many connections.
    Crowded,
    /// A change that a user may ask for was refused.
    Change,
    /// Somebody who wants to join has no valid invitation, or is not who it says.
    Joiner,
    /// A peer broke the protocol, or claimed what is not so.
    Peer,
}

impl Denial {
    /// All of them.
    pub(crate) const ALL: [Denial; 5] =
        [Denial::Permission, Denial::Crowded, Denial::Change, Denial::Joiner, Denial::Peer];

    /// Its name in the log and the metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Denial::Permission => "permission-denied",
            Denial::Crowded => "too-many-connections",
            Denial::Change => "change-refused",
            Denial::Joiner => "joiner-refused",
            Denial::Peer => "peer-misbehaved",
        }
    }
}

/// The log of one data directory.
#[derive(Debug)]
pub(crate) struct SecurityLog {
    /// None if it only counts.
    path: Option<PathBuf>,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    file: Option<(File, u64)>,
    parties: BTreeMap<(Denial, String), Budget>,
    counts: BTreeMap<Denial, u64>,
    /// Whether the last line could not be written: that is said once.
    failing: bool,
}

#[derive(Debug)]
struct Budget {
    since: Instant,
    lines: u32,
    /// Denials since the last line that have none.
    silent: u64,
}

impl SecurityLog {
    /// That of a data directory. The file is made when there is something to write.
    pub(crate) fn of(data_dir: &Path) -> Self {
        SecurityLog { path: Some(data_dir.join(FILE)), inside: Mutex::default() }
    }

    /// One that only counts: a simulated machine has no files.
    #[cfg(feature = "testing")]
    pub(crate) fn unwritten() -> Self {
        SecurityLog { path: None, inside: Mutex::default() }
    }

    /// Denied: to whom, and what. Neither may be a secret. Says whether it is worth a line: this
    /// party has not had too many of this sort lately.
    pub(crate) fn denied(&self, denial: Denial, who: &str, what: &str) -> bool {
        self.denied_at(denial, who, what, Instant::now())
    }

    /// How often it was denied since the start, lines that were spared included.
    pub(crate) fn count(&self, denial: Denial) -> u64 {
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.counts.get(&denial).copied().unwrap_or(0)
    }

    fn denied_at(&self, denial: Denial, who: &str, what: &str, now: Instant) -> bool {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        *inside.counts.entry(denial).or_default() += 1;
        let Some(silent) = inside.admit(denial, who, now) else { return false };
        let Some(path) = &self.path else { return true };
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut line = Map::new();
        line.insert("time".into(), rfc3339(u64::try_from(time).unwrap_or(u64::MAX)).into());
        line.insert("event".into(), denial.name().into());
        line.insert("who".into(), plain(who).into());
        line.insert("what".into(), plain(what).into());
        if silent > 0 {
            line.insert("not_shown_before".into(), json!(silent));
        }
        let line = format!("{}\n", Value::Object(line));
        let written = inside.write(path, line.as_bytes());
        if let Err(error) = &written
            && !inside.failing
        {
            let path = path.display();
            tracing::warn!(%path, %error, "a denied operation could not be written down");
        }
        inside.failing = written.is_err();
        true
    }
}

impl Inside {
    /// Whether there is to be a line, and how many before it had none.
    fn admit(&mut self, denial: Denial, who: &str, now: Instant) -> Option<u64> {
        let key = (denial, who.to_owned());
        if self.parties.len() >= PARTIES && !self.parties.contains_key(&key) {
            let oldest = self.parties.iter().min_by_key(|(_, budget)| budget.since);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.parties.remove(&oldest);
            }
        }
        let fresh = || Budget { since: now, lines: 0, silent: 0 };
        let budget = self.parties.entry(key).or_insert_with(fresh);
        if now.saturating_duration_since(budget.since) >= SPAN {
            (budget.since, budget.lines) = (now, 0);
        }
        if budget.lines >= LINES {
            budget.silent += 1;
            return None;
        }
        budget.lines += 1;
        Some(std::mem::take(&mut budget.silent))
    }

    fn write(&mut self, path: &Path, line: &[u8]) -> io::Result<()> {
        let full = self.file.as_ref().is_some_and(|(_, bytes)| *bytes >= MOST_BYTES);
        if full {
            self.file = None;
        }
        let (mut file, mut bytes) = match self.file.take() {
            Some(open) => open,
            None => open(path)?,
        };
        file.write_all(line)?;
        bytes += line.len() as u64;
        self.file = Some((file, bytes));
        Ok(())
    }
}

/// Opens the file to go on with, after setting it aside if it is full.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let aside = path.with_extension("log.1");
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.len() >= MOST_BYTES => fs::rename(path, &aside)?,
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    // The umask may have taken more away, and an earlier file may have been opened up.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

/// Text without anything that a terminal or a viewer would act on.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == DETAIL_CHARS {
            out.push_str("...");
            break;
        }
        if c.is_ascii_graphic() || c == ' ' {
            out.push(c);
        } else {
            out.extend(c.escape_unicode());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path) -> Vec<Value> {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_denial_is_a_line_of_json_that_only_its_owner_reads() {
        let dir = tempfile::tempdir().unwrap();
        let log = SecurityLog::of(dir.path());
        let path = dir.path().join(FILE);
        assert!(!path.exists(), "nothing was denied yet");
        log.denied(Denial::Permission, "uid 1000", "POST \u{202e}\u{1b}[2Jx\n{\"a\"}");
        let found = lines(&path);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0]["event"], "permission-denied");
        assert_eq!(found[0]["who"], "uid 1000");
        let text = r#"POST \u{202e}\u{1b}[2Jx\u{a}{"a"}"#;
        assert_eq!(found[0]["what"], text);
        assert!(found[0]["time"].as_str().unwrap().ends_with('Z'));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // Another daemon goes on behind it.
        SecurityLog::of(dir.path()).denied(Denial::Peer, "replica 2", &"x".repeat(5000));
        assert_eq!(lines(&path).len(), 2);
        assert_eq!(lines(&path)[1]["what"].as_str().unwrap().len(), DETAIL_CHARS + 3);
    }

    #[test]
    fn one_party_cannot_crowd_out_another() {
        let dir = tempfile::tempdir().unwrap();
        let log = SecurityLog::of(dir.path());
        let path = dir.path().join(FILE);
        let start = Instant::now();
        for _ in 0..1000 {
            log.denied_at(Denial::Permission, "uid 1000", "x", start);
        }
        log.denied_at(Denial::Permission, "uid 1001", "y", start);
        log.denied_at(Denial::Change, "uid 1000", "z", start);
        assert_eq!(lines(&path).len(), LINES as usize + 2);
        assert_eq!(log.count(Denial::Permission), 1001);
        // In the next minute the next line says how many had none.
        log.denied_at(Denial::Permission, "uid 1000", "x", start + SPAN);
        let last = lines(&path).pop().unwrap();
        assert_eq!(last["not_shown_before"], 1000 - u64::from(LINES));
        // Whoever comes under ever new names is forgotten again.
        for name in 0..10_000 {
            log.denied_at(Denial::Joiner, &name.to_string(), "x", start + SPAN);
        }
        assert!(log.inside.lock().unwrap().parties.len() <= PARTIES);
    }

    #[test]
    fn two_bounded_files_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let log = SecurityLog::of(dir.path());
        let what = "w".repeat(DETAIL_CHARS);
        let mut now = Instant::now();
        for at in 0..12_000 {
            log.denied_at(Denial::Joiner, &format!("{}", at % 200), &what, now);
            now += Duration::from_secs(1);
        }
        let files: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap()).collect();
        assert_eq!(files.len(), 2);
        for file in files {
            let metadata = file.metadata().unwrap();
            assert!(metadata.len() < MOST_BYTES + 1024, "{file:?} {}", metadata.len());
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
            assert!(!lines(&file.path()).is_empty());
        }
    }

    #[test]
    fn a_place_that_cannot_be_written_stops_nothing() {
        let log = SecurityLog::of(Path::new("/nonexistent"));
        log.denied(Denial::Peer, "replica 2", "x");
        log.denied(Denial::Peer, "replica 2", "x");
        assert_eq!(log.count(Denial::Peer), 2);
    }
}
