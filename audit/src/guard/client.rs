//! Asking the process that has opened the directory.

use std::io::{self, BufReader, Read, Write};
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};

use ledger::Fault;
use ledger::rows::{RowIter, Rows, Table};

use super::messages::{FAULT, GET, LAST, MORE, NONE, OPEN, SCAN, VALUE, receive, send};
use super::server::TOO_LONG;
use super::{BYTES_A_SECOND, Guard, Limits};

/// The rows of a database that another process has open.
pub(crate) struct Guarded {
    link: Mutex<Link>,
}

struct Link {
    /// None if whoever answers is no process of ours.
    child: Option<Child>,
    /// None once it is told that nothing more comes.
    to: Option<Box<dyn Write + Send>>,
    from: BufReader<Box<dyn Read + Send>>,
    limits: Limits,
    /// Why it cannot be asked any more.
    lost: Option<String>,
}

impl Guarded {
    /// Starts the process and has it open the database of a data directory.
    pub(crate) fn open(guard: &Guard, dir: &Path, busy: bool) -> Result<Self, Fault> {
        let mut limits = guard.limits;
        limits.seconds = limits.seconds.saturating_add(size(dir) / BYTES_A_SECOND);
        let starting = |error| {
            Fault::from_error(
                format!("start {} to open the directory", guard.program.display()),
                error,
            )
        };
        // It may be told of the directory by a name that depends on where this process is.
        let dir = std::path::absolute(dir).map_err(starting)?;
        let mut child = Command::new(&guard.program)
            .args(&guard.arguments)
            .arg(&dir)
            .arg(if busy { "busy" } else { "still" })
            .args([limits.memory, limits.seconds, limits.files].map(|number| number.to_string()))
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(starting)?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Fault::new("the process that opens the directory has no pipes"));
        };
        Self::over(Some(child), Box::new(to), Box::new(from), limits)
    }

    /// Waits until whoever answers has the database open.
    pub(crate) fn over(
        child: Option<Child>,
        to: Box<dyn Write + Send>,
        from: Box<dyn Read + Send>,
        limits: Limits,
    ) -> Result<Self, Fault> {
        let from = BufReader::new(from);
        let mut link = Link { child, to: Some(to), from, limits, lost: None };
        match link.answer()? {
            (OPEN, _) => Ok(Guarded { link: Mutex::new(link) }),
            _ => Err(link.lose("it answered something else than was asked")),
        }
    }

    /// Why the process cannot be asked any more, if that is so. What was reported since is about
    /// the process and not about the directory.
    pub(crate) fn lost(&self) -> Option<String> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner).lost.clone()
    }

    fn ask(&self, kind: u8, parts: &[&[u8]]) -> Result<(u8, Vec<Vec<u8>>), Fault> {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.ask(kind, parts)
    }

    fn strange(&self) -> Fault {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.lose("it answered something else than was asked")
    }
}

impl Rows for Guarded {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        match self.ask(GET, &[table.0.as_bytes(), key])? {
            (VALUE, mut parts) if parts.len() == 1 => Ok(parts.pop()),
            (NONE, parts) if parts.is_empty() => Ok(None),
            _ => Err(self.strange()),
        }
    }

    fn scan(&self, table: Table, keys: Range<&[u8]>) -> Result<RowIter<'_>, Fault> {
        let mut pages = Pages {
            rows: self,
            table,
            next: Some(keys.start.to_vec()),
            end: keys.end.to_vec(),
            page: Vec::new().into_iter(),
        };
        // A table that cannot be read at all is told at once.
        pages.turn()?;
        Ok(Box::new(pages))
    }
}

/// The rows of a scan, page by page.
struct Pages<'a> {
    rows: &'a Guarded,
    table: Table,
    /// The first key of the next page; none at the end.
    next: Option<Vec<u8>>,
    end: Vec<u8>,
    page: std::vec::IntoIter<(Vec<u8>, Vec<u8>)>,
}

impl Pages<'_> {
    fn turn(&mut self) -> Result<(), Fault> {
        let Some(next) = self.next.take() else { return Ok(()) };
        let (kind, parts) = self.rows.ask(SCAN, &[self.table.0.as_bytes(), &next, &self.end])?;
        if !matches!(kind, MORE | LAST)
            || parts.len() % 2 == 1
            || (kind == MORE && parts.is_empty())
        {
            return Err(self.rows.strange());
        }
        let mut rows = Vec::with_capacity(parts.len() / 2);
        let mut before = None;
        let mut parts = parts.into_iter();
        while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
            // Whoever counts on the order shall not be kept for ever, and whoever asked for some rows
            // gets no others.
            let outside = key < next || (!self.end.is_empty() && key >= self.end);
            if outside || before.as_ref().is_some_and(|before| *before >= key) {
                return Err(self.rows.strange());
            }
            before = Some(key.clone());
            rows.push((key, value));
        }
        if kind == MORE {
            self.next = before.map(|mut key| {
                key.push(0);
                key
            });
        }
        self.page = rows.into_iter();
        Ok(())
    }
}

impl Iterator for Pages<'_> {
    type Item = Result<(Vec<u8>, Vec<u8>), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.as_slice().is_empty()
            && let Err(fault) = self.turn()
        {
            return Some(Err(fault));
        }
        self.page.next().map(Ok)
    }
}

impl Link {
    fn ask(&mut self, kind: u8, parts: &[&[u8]]) -> Result<(u8, Vec<Vec<u8>>), Fault> {
        if let Some(lost) = &self.lost {
            return Err(Fault::new(lost.clone()));
        }
        let sent = match &mut self.to {
            Some(to) => send(to, kind, parts),
            None => Err(io::Error::other("it is ended already")),
        };
        match sent {
            Ok(()) => self.answer(),
            Err(error) => Err(self.lose(&error.to_string())),
        }
    }

    /// Its next answer. A fault of the database is one; a process that is gone is another.
    fn answer(&mut self) -> Result<(u8, Vec<Vec<u8>>), Fault> {
        match receive(&mut self.from) {
            Ok(Some((FAULT, parts))) => {
                let text = parts.first().map(|text| String::from_utf8_lossy(text).into_owned());
                Err(Fault::new(text.unwrap_or_default()))
            }
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(self.lose("it ended")),
            Err(error) => Err(self.lose(&error.to_string())),
        }
    }

    /// It cannot be asked any more: ends it, and says why.
    fn lose(&mut self, why: &str) -> Fault {
        self.to = None;
        // One that has ended by itself keeps its status.
        let status = self.child.as_mut().map(|child| match why {
            "it ended" => child.wait(),
            _ => child.kill().and_then(|()| child.wait()),
        });
        let how = match status {
            Some(Ok(status)) => ended(status, self.limits).unwrap_or_else(|| why.to_owned()),
            Some(Err(error)) => error.to_string(),
            None => why.to_owned(),
        };
        let lost = format!("the process that had opened the directory is gone: {how}");
        self.lost = Some(lost.clone());
        Fault::new(lost)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The end of its input is the end of its work.
        self.to = None;
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// How it ended, in words.
fn ended(status: ExitStatus, limits: Limits) -> Option<String> {
    const ABORT: i32 = 6;
    const KILL: i32 = 9;
    const CPU: i32 = 24;
    const SIZE: i32 = 25;
    let mib = limits.memory >> 20;
    Some(match (status.signal(), status.code()) {
        (Some(ABORT), _) => {
            format!("it gave up, perhaps for want of memory (it may take {mib} MiB)")
        }
        // The limit that cannot be caught comes as this one.
        (Some(KILL), _) => {
            format!("it was killed, or used more than {} s of processor time", limits.seconds)
        }
        (Some(CPU), _) => format!("it used more than {} s of processor time", limits.seconds),
        (Some(SIZE), _) => "it tried to write a file".to_owned(),
        (Some(signal), _) => format!("it was ended by signal {signal}"),
        (None, Some(TOO_LONG)) => format!("it had no answer for {} s", limits.seconds),
        (None, Some(code)) => format!("it ended with code {code}"),
        (None, None) => return None,
    })
}

/// Bytes of the files below a directory, as far as they can be seen.
fn size(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(of).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use ledger::rows::tables;

    use super::*;

    /// Somebody who answers this, whatever is asked.
    fn answering(frames: &[(u8, &[&[u8]])]) -> Guarded {
        let mut said = Vec::new();
        for (kind, parts) in [(OPEN, &[][..])].iter().chain(frames) {
            send(&mut said, *kind, parts).unwrap();
        }
        let said = Box::new(io::Cursor::new(said));
        Guarded::over(None, Box::new(io::sink()), said, Limits::default()).unwrap()
    }

    /// The keys from `b` to `d`, or why there are none.
    fn scanned(rows: &Guarded) -> Result<Vec<Vec<u8>>, Fault> {
        rows.scan(tables::RECORDS, b"b"..b"d")?.map(|row| row.map(|(key, _)| key)).collect()
    }

    #[test]
    fn pages_follow_one_another() {
        let rows = answering(&[(MORE, &[b"b", b"1", b"b\x00", b"2"]), (LAST, &[b"c", b"3"])]);
        assert_eq!(scanned(&rows).unwrap(), [&b"b"[..], b"b\x00", b"c"]);
        assert_eq!(rows.lost(), None);
    }

    #[test]
    fn whoever_answers_with_other_rows_than_were_asked_for_is_asked_no_more() {
        for page in [
            &[&b"a"[..], b"before the first"][..],
            &[b"d", b"after the last"],
            &[b"d\x00", b"after the last"],
            &[b"c", b"", b"b", b"backwards"],
            &[b"c", b"", b"c", b"twice"],
            &[b"b"],
        ] {
            let rows = answering(&[(LAST, page), (LAST, &[])]);
            assert!(scanned(&rows).is_err(), "{page:?}");
            assert!(rows.lost().is_some(), "{page:?}");
            assert!(scanned(&rows).is_err(), "{page:?}");
        }
        // The second page begins where the first one ended.
        let rows = answering(&[(MORE, &[b"c", b""]), (LAST, &[b"b", b""])]);
        assert!(scanned(&rows).is_err());
        // No page goes on without a row.
        assert!(scanned(&answering(&[(MORE, &[])])).is_err());
        for (kind, parts) in [(NONE, &[&b"?"[..]][..]), (VALUE, &[]), (VALUE, &[b"", b""])] {
            let rows = answering(&[(kind, parts)]);
            assert!(rows.get(tables::RECORDS, b"b").is_err(), "{kind} {parts:?}");
            assert!(rows.lost().is_some());
        }
    }

    #[test]
    fn a_fault_of_the_database_is_no_loss_of_who_answers() {
        let rows = answering(&[(FAULT, &[b"a block is damaged"]), (NONE, &[])]);
        let fault = rows.get(tables::RECORDS, b"b").unwrap_err();
        assert_eq!(fault.to_string(), "a block is damaged");
        assert_eq!((rows.get(tables::RECORDS, b"b").unwrap(), rows.lost()), (None, None));
    }
}
