//! What the targets share: a replica's data directory, and somebody who answers for its rows.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};

use ledger::history::Record;
use ledger::rows::{Draft, Memory, Rows, Table, raft, tables};
use ledger::testing::{log_rows, replica_files};

/// The watermark and identity files of a replica whose log ends at `last`.
pub fn write_files(dir: &Path, last: u64) {
    fs::create_dir_all(dir).expect("a directory");
    for (name, bytes) in replica_files(last) {
        fs::write(dir.join(name), bytes).expect("a file");
    }
}

/// The rows, and those of a log from which the records came.
pub fn with_log(rows: &Memory, all: &[Record]) -> Memory {
    let mut rows = rows.clone();
    let mut draft = Draft::on(&rows);
    for (table, key, value) in log_rows(all, 0) {
        draft.put(table, key, value);
    }
    let changes = draft.finish();
    rows.apply(changes);
    rows
}

/// Answers for rows, but for some questions, which get bytes of somebody's choice.
#[derive(Clone)]
pub struct Answering(Arc<Mutex<Said>>);

struct Said {
    rows: Memory,
    asked: Vec<u8>,
    questions: u64,
    odd: Vec<(u64, Vec<u8>)>,
    /// Rows of a page, at most.
    page: usize,
    out: VecDeque<u8>,
}

impl Answering {
    /// Answers truly, whatever the rows are.
    pub fn of(rows: Memory) -> Self {
        Self::oddly(rows, Vec::new(), usize::MAX)
    }

    /// Answers the questions of these places with these bytes, and scans with so many rows at once.
    pub fn oddly(rows: Memory, odd: Vec<(u64, Vec<u8>)>, page: usize) -> Self {
        let mut said =
            Said { rows, asked: Vec::new(), questions: 0, odd, page, out: VecDeque::new() };
        said.answer(|_| frame(b'O', &[]));
        Answering(Arc::new(Mutex::new(said)))
    }
}

impl Write for Answering {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut said = self.0.lock().expect("nobody panics");
        said.asked.extend(bytes);
        while let Some((long, rest)) = said.asked.split_first_chunk::<4>() {
            let long = u32::from_be_bytes(*long) as usize;
            let Some(question) = rest.get(..long).map(<[u8]>::to_vec) else { break };
            said.asked.drain(..4 + long);
            said.answer(|said| said.genuine(&question));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Answering {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics").out.read(into)
    }
}

impl Said {
    fn answer(&mut self, genuine: impl FnOnce(&Self) -> Vec<u8>) {
        let odd = self.odd.iter().find(|(at, _)| *at == self.questions);
        let answer = odd.map_or_else(|| genuine(self), |(_, bytes)| bytes.clone());
        self.questions += 1;
        self.out.extend(answer);
    }

    fn genuine(&self, question: &[u8]) -> Vec<u8> {
        let (kind, mut rest) = question.split_first().expect("a question");
        let mut parts = Vec::new();
        while let Some((long, after)) = rest.split_first_chunk::<4>() {
            let (part, after) = after.split_at(u32::from_be_bytes(*long) as usize);
            parts.push(part);
            rest = after;
        }
        let table =
            |name: &[u8]| *every_table().iter().find(|t| t.0.as_bytes() == name).expect("one");
        match (kind, parts.as_slice()) {
            (b'G', [name, key]) => match self.rows.get(table(name), key).expect("no fault") {
                Some(value) => frame(b'V', &[&value]),
                None => frame(b'N', &[]),
            },
            (b'S', [name, start, end]) => {
                let found = self.rows.scan(table(name), start..end).expect("no fault");
                let mut found = found.map(|row| row.expect("no fault")).peekable();
                let rows: Vec<_> = found.by_ref().take(self.page).collect();
                let parts: Vec<&[u8]> =
                    rows.iter().flat_map(|(key, value)| [key.as_slice(), value]).collect();
                frame(if found.peek().is_some() { b'M' } else { b'L' }, &parts)
            }
            _ => panic!("not a question"),
        }
    }
}

/// Every table of a replica.
pub fn every_table() -> &'static [Table] {
    static ALL: LazyLock<Vec<Table>> =
        LazyLock::new(|| tables::ALL.iter().chain(raft::TABLES).copied().collect());
    &ALL
}

/// A frame of these parts.
pub fn frame(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut body = vec![kind];
    for part in parts {
        body.extend((part.len() as u32).to_be_bytes());
        body.extend(*part);
    }
    [&(body.len() as u32).to_be_bytes(), body.as_slice()].concat()
}
