//! A node's directory: AUMs in one file, whose it is in another.
//!
//! | file | what |
//! | --- | --- |
//! | `node` | text: whose directory this is, and which locks are set aside on this node |
//! | `aums.cbor` | the AUMs of the lock that the node has, one after the other, in CBOR |
//! | `in-use` | empty: whoever holds its lock has the directory |
//!
//! `aums.cbor` only grows, and is synced before a change counts. Its end may be torn by a crash:
//! what cannot be read there is fetched again. Everything else is derived from it on opening.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ledger::history::{ClusterId, NodeId};
use ledger::ids::AumHash;
use ledger::lock::Sealed;
use ledger::lock::client::{Client, StateId, all_set_aside, set_aside};
use ledger::lock::signatures::Cores;
use ledger::rows::{Changes, Draft, Memory, Rows, tables};
use ledger::{Failure, Fault};
use rustix::fs::{FlockOperation, flock};

const TITLE: &str = "lockstep node 1";
const NODE_FILE: &str = "node";
const AUMS_FILE: &str = "aums.cbor";
const IN_USE_FILE: &str = "in-use";
/// Bytes of the file of AUMs that are read: a million AUMs of the usual size.
const MAX_AUM_BYTES: u64 = 256 << 20;
/// Bytes of the file that says whose directory it is.
const MAX_NODE_BYTES: u64 = 1 << 20;

/// Which node a directory belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The ledger whose roster has the node.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
}

/// Why a node's directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused an operation.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another process has it.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// It is another node's.
    #[error(
        "{} belongs to node {} of cluster {}, not to node {} of cluster {}",
        path.display(), found.node, found.cluster, wanted.node, wanted.cluster
    )]
    OtherNode {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        found: Owner,
        /// Who wanted it.
        wanted: Owner,
    },
    /// A file does not hold what belongs there.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// Which one.
        path: PathBuf,
    },
    /// A file is larger than it could become.
    #[error("{} is larger than {most} bytes", path.display())]
    TooLarge {
        /// Which one.
        path: PathBuf,
        /// What is read at most.
        most: u64,
    },
    /// What the file holds cannot be folded.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl StoreError {
    /// What the person who asked can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            StoreError::Io { .. } => {
                "name a directory that you may write with --dir, and make sure that its disk has \
                 space"
            }
            StoreError::InUse { .. } => "wait until it has ended",
            StoreError::OtherNode { .. } => "give each node a directory of its own with --dir",
            StoreError::Damaged { .. } | StoreError::TooLarge { .. } | StoreError::Fault(_) => {
                "delete the directory: the node fetches the lock again, and forgets a local-disable"
            }
        }
    }
}

/// An open directory.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    owner: Owner,
    aums: File,
    rows: Memory,
    client: Client,
    /// Whether the end of the file of AUMs could not be used.
    torn: bool,
    /// Held as long as the store is open.
    _in_use: File,
}

impl Store {
    /// Opens a node's directory, and makes it if it is missing. Verifies every AUM in it.
    pub fn open(dir: &Path, owner: Owner, cores: &dyn Cores) -> Result<Self, StoreError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io("creating", dir))?;
        let in_use = claim(dir)?;
        let mut rows = Memory::new();
        let set_aside = match read_node_file(dir)? {
            Some((found, _)) if found != owner => {
                let path = dir.to_owned();
                return Err(StoreError::OtherNode { path, found, wanted: owner });
            }
            Some((_, set_aside)) => set_aside,
            None => {
                write_node_file(dir, owner, &[])?;
                Vec::new()
            }
        };
        note(&mut rows, &set_aside);
        let path = dir.join(AUMS_FILE);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut aums = options.open(&path).map_err(io("opening", &path))?;
        let (found, readable) = read_aums(&mut aums, &path)?;
        let client = fold(&mut rows, &found, cores)?;
        let kept = client
            .authority()
            .map_or(Ok(0), |authority| authority.chain(&rows).nodes().map(Iterator::count))?;
        let size = aums.metadata().map_err(io("looking at", &path))?.len();
        let torn = readable < size || kept < found.len();
        let mut store =
            Store { dir: dir.to_owned(), owner, aums, rows, client, torn, _in_use: in_use };
        if torn {
            store.rewrite()?;
        }
        Ok(store)
    }

    /// The rows.
    pub fn rows(&self) -> &dyn Rows {
        &self.rows
    }

    /// What the node knows.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether something in the directory had to be dropped, to be fetched again.
    pub fn torn(&self) -> bool {
        self.torn
    }

    /// Does something with what the node knows. When it succeeds, it is on disk; when it is
    /// refused, nothing has changed. After a failure of the disk the store is to be opened anew.
    pub fn change<T, E: From<StoreError>>(
        &mut self,
        f: impl FnOnce(&mut Client, &mut Draft<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut client = self.client.clone();
        let mut draft = Draft::on(&self.rows);
        let done = f(&mut client, &mut draft)?;
        let changes = draft.finish();
        self.keep(changes)?;
        self.client = client;
        Ok(done)
    }

    fn keep(&mut self, changes: Changes) -> Result<(), StoreError> {
        let (mut added, mut deleted, mut aside) = (Vec::new(), false, false);
        for (table, _, value) in changes.iter() {
            if table == tables::AUMS {
                match value {
                    Some(bytes) => added.extend_from_slice(bytes),
                    None => deleted = true,
                }
            }
            aside |= table == tables::CLIENT;
        }
        self.rows.apply(changes);
        if deleted {
            self.rewrite()?;
        } else if !added.is_empty() {
            let path = self.dir.join(AUMS_FILE);
            self.aums
                .seek(SeekFrom::End(0))
                .and_then(|_| self.aums.write_all(&added))
                .and_then(|()| self.aums.sync_data())
                .map_err(io("writing", &path))?;
        }
        if aside {
            write_node_file(&self.dir, self.owner, &all_set_aside(&self.rows)?)?;
        }
        Ok(())
    }

    /// Writes the file of AUMs anew, from the rows.
    fn rewrite(&mut self) -> Result<(), StoreError> {
        let mut bytes = Vec::new();
        for row in self.rows.scan(tables::AUMS, &[][..]..&[][..])? {
            bytes.extend_from_slice(&row?.1);
        }
        let path = self.dir.join(AUMS_FILE);
        self.aums = replace(&self.dir, AUMS_FILE, &bytes).map_err(io("writing", &path))?;
        Ok(())
    }
}

fn io<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StoreError + 'a {
    move |source| StoreError::Io { doing, path: path.to_owned(), source }
}

/// Takes the directory, or says that somebody has it.
fn claim(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(IN_USE_FILE);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&path).map_err(io("opening", &path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse { path: dir.to_owned() }),
        Err(error) => Err(io("locking", &path)(error.into())),
    }
}

/// Puts a file in place, whole and synced.
fn replace(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<File> {
    let fresh = dir.join(format!("{name}.new"));
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut file = options.read(true).write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, dir.join(name))?;
    File::open(dir)?.sync_all()?;
    Ok(file)
}

fn read_up_to(file: &mut File, path: &Path, most: u64) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(io("reading", path))?;
    if bytes.len() as u64 > most {
        return Err(StoreError::TooLarge { path: path.to_owned(), most });
    }
    Ok(bytes)
}

/// The AUMs in the file, and how many of its bytes they are.
fn read_aums(file: &mut File, path: &Path) -> Result<(Vec<Sealed>, u64), StoreError> {
    let bytes = read_up_to(file, path, MAX_AUM_BYTES)?;
    let (mut aums, mut at) = (Vec::new(), 0);
    while let Ok((aum, len)) = Sealed::decode_first(&bytes[at..]) {
        aums.push(aum);
        at += len;
    }
    Ok((aums, at as u64))
}

/// Folds AUMs in any order, as far as they hold and hang together: whatever else the file has is
/// not believed.
fn fold(rows: &mut Memory, aums: &[Sealed], cores: &dyn Cores) -> Result<Client, StoreError> {
    let mut client = Client::open(rows)?;
    let Some(first) = aums.iter().find(|aum| aum.parent.is_none()) else { return Ok(client) };
    let mut step = |client: &mut Client, aums: Option<Vec<Sealed>>| -> Result<bool, Fault> {
        let mut draft = Draft::on(rows);
        let taken = match aums {
            Some(aums) => client.inform(&mut draft, aums, cores).map(drop),
            None => client.bootstrap(&mut draft, first),
        };
        let changes = draft.finish();
        match taken {
            Ok(()) => rows.apply(changes),
            Err(Failure::Refused(_)) => return Ok(false),
            Err(Failure::Fault(fault)) => return Err(fault),
        }
        Ok(true)
    };
    if !step(&mut client, None)? {
        return Ok(client);
    }
    let ordered = from(first.hash(), aums);
    if ordered.is_empty() || step(&mut client, Some(ordered.clone()))? {
        return Ok(client);
    }
    // Something in the middle is damaged: take what holds, one by one.
    for aum in ordered {
        step(&mut client, Some(vec![aum]))?;
    }
    Ok(client)
}

/// The AUMs that descend from `root`, without it, parents first.
fn from(root: AumHash, aums: &[Sealed]) -> Vec<Sealed> {
    let mut children: BTreeMap<AumHash, Vec<&Sealed>> = BTreeMap::new();
    for aum in aums {
        if let Some(parent) = aum.parent_hash() {
            children.entry(parent).or_default().push(aum);
        }
    }
    let mut ordered = Vec::new();
    let mut next = VecDeque::from([root]);
    while let Some(parent) = next.pop_front() {
        for aum in children.remove(&parent).unwrap_or_default() {
            next.push_back(aum.hash());
            ordered.push(aum.clone());
        }
    }
    ordered
}

fn note(rows: &mut Memory, state_ids: &[StateId]) {
    let base = Memory::new();
    let mut draft = Draft::on(&base);
    state_ids.iter().for_each(|state_id| set_aside(&mut draft, *state_id));
    let changes = draft.finish();
    rows.apply(changes);
}

fn write_node_file(dir: &Path, owner: Owner, state_ids: &[StateId]) -> Result<(), StoreError> {
    let path = dir.join(NODE_FILE);
    let text = node_text(owner, state_ids);
    replace(dir, NODE_FILE, text.as_bytes()).map(drop).map_err(io("writing", &path))
}

fn node_text(owner: Owner, state_ids: &[StateId]) -> String {
    let mut text = format!("{TITLE}\ncluster {}\nnode {}\n", owner.cluster, owner.node);
    for (id1, id2) in state_ids {
        text.push_str(&format!("local-disable {id1}:{id2}\n"));
    }
    text
}

/// Whose directory this is, and what is set aside; `None` in a new one.
fn read_node_file(dir: &Path) -> Result<Option<(Owner, Vec<StateId>)>, StoreError> {
    let path = dir.join(NODE_FILE);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io("opening", &path)(error)),
    };
    let bytes = read_up_to(&mut file, &path, MAX_NODE_BYTES)?;
    let parsed = std::str::from_utf8(&bytes).ok().and_then(parse);
    parsed.map(Some).ok_or(StoreError::Damaged { path })
}

fn parse(content: &str) -> Option<(Owner, Vec<StateId>)> {
    let mut lines = content.lines();
    let title = lines.next()?;
    let cluster = lines.next()?.strip_prefix("cluster ")?.parse().ok()?;
    let node = NodeId(lines.next()?.strip_prefix("node ")?.parse().ok()?);
    let owner = Owner { cluster, node };
    let state_ids: Option<Vec<StateId>> = lines
        .map(|line| {
            let (id1, id2) = line.strip_prefix("local-disable ")?.split_once(':')?;
            Some((id1.parse().ok()?, id2.parse().ok()?))
        })
        .collect();
    let state_ids = state_ids?;
    // One spelling only, so that damage is noticed.
    (title == TITLE && node_text(owner, &state_ids) == content).then_some((owner, state_ids))
}

#[cfg(test)]
mod tests {
    use ledger::lock::signatures::OneCore;
    use ledger::testing::{Chains, SECRET, genesis, key};

    use super::*;

    const OWNER: Owner = Owner { cluster: ClusterId([7; 16]), node: NodeId(3) };

    fn open(dir: &Path) -> Store {
        Store::open(dir, OWNER, &OneCore).unwrap()
    }

    #[derive(Debug, thiserror::Error)]
    enum Error {
        #[error(transparent)]
        Store(StoreError),
        #[error(transparent)]
        Failed(Failure),
    }

    impl From<StoreError> for Error {
        fn from(error: StoreError) -> Self {
            Error::Store(error)
        }
    }

    fn change(
        store: &mut Store,
        f: impl FnOnce(&mut Client, &mut Draft<'_>) -> Result<(), Failure>,
    ) -> Result<(), Error> {
        store.change(|client, draft| f(client, draft).map_err(Error::Failed))
    }

    fn filled(dir: &Path) -> Chains {
        let root = genesis(1, &[(&key(1), 1)]);
        let chains = Chains::of("G -> A -> B -> C\n A -> X", &root, &key(1));
        let mut store = open(dir);
        change(&mut store, |client, draft| client.bootstrap(draft, &root)).unwrap();
        for names in ["A X", "B", "C"] {
            let aums = chains.aums(names);
            change(&mut store, |client, draft| client.inform(draft, aums, &OneCore).map(drop))
                .unwrap();
        }
        chains
    }

    fn head(store: &Store) -> Option<AumHash> {
        store.client().head()
    }

    #[test]
    fn a_directory_is_one_nodes_and_one_process_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep").join("n");
        let store = open(&path);
        let again = Store::open(&path, OWNER, &OneCore);
        assert!(matches!(again, Err(StoreError::InUse { .. })));
        drop(store);
        let other = Owner { node: NodeId(4), ..OWNER };
        let error = Store::open(&path, other, &OneCore).unwrap_err();
        assert!(matches!(error, StoreError::OtherNode { .. }), "{error}");
        fs::write(path.join(NODE_FILE), "lockstep node 1\n").unwrap();
        let error = Store::open(&path, OWNER, &OneCore).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }

    #[test]
    fn what_was_kept_is_there_again() {
        let dir = tempfile::tempdir().unwrap();
        let chains = filled(dir.path());
        let mut store = open(dir.path());
        let best = head(&store);
        assert!(best.is_some() && !store.torn());
        let count = |store: &Store| {
            let authority = store.client().authority().unwrap();
            authority.chain(store.rows()).nodes().unwrap().count()
        };
        assert_eq!(count(&store), 5);
        change(&mut store, Client::local_disable).unwrap();
        drop(store);
        let mut store = open(dir.path());
        assert!(store.client().disabled_here());
        assert_eq!(head(&store), best);
        // A refused change is no change, here and on disk.
        let strange = Chains::of("G -> Z", chains.aum("G"), &key(9)).all();
        let refused =
            change(&mut store, |client, draft| client.inform(draft, strange, &OneCore).map(drop));
        assert!(matches!(refused, Err(Error::Failed(Failure::Refused(_)))), "{refused:?}");
        change(&mut store, |client, draft| client.disable(draft, SECRET, &OneCore)).unwrap();
        drop(store);
        let mut store = open(dir.path());
        assert_eq!(head(&store), None);
        assert_eq!(fs::metadata(dir.path().join(AUMS_FILE)).unwrap().len(), 0);
        // The same lock would still be set aside.
        let root = chains.aum("G").clone();
        change(&mut store, |client, draft| client.bootstrap(draft, &root)).unwrap();
        assert!(store.client().disabled_here());
        change(&mut store, Client::local_enable).unwrap();
        drop(store);
        assert!(!open(dir.path()).client().disabled_here());
    }

    /// Wherever a crash or damage ends the file, the node opens with AUMs that hold, and goes on.
    #[test]
    fn a_torn_file_gives_what_holds() {
        let whole = tempfile::tempdir().unwrap();
        let chains = filled(whole.path());
        let bytes = fs::read(whole.path().join(AUMS_FILE)).unwrap();
        let best = head(&open(whole.path()));
        let root_bytes = chains.aum("G").bytes().len();
        for cut in (0..bytes.len()).step_by(7) {
            let dir = tempfile::tempdir().unwrap();
            drop(open(dir.path()));
            fs::write(dir.path().join(AUMS_FILE), &bytes[..cut]).unwrap();
            let mut store = open(dir.path());
            assert_eq!(head(&store).is_some(), cut >= root_bytes, "{cut}");
            if head(&store).is_none() {
                let root = chains.aum("G").clone();
                change(&mut store, |client, draft| client.bootstrap(draft, &root)).unwrap();
            }
            let all = chains.all();
            change(&mut store, |client, draft| client.inform(draft, all, &OneCore).map(drop))
                .unwrap();
            drop(store);
            assert_eq!(head(&open(dir.path())), best, "{cut}");
        }
        for at in (0..bytes.len()).step_by(29) {
            let dir = tempfile::tempdir().unwrap();
            drop(open(dir.path()));
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x20;
            fs::write(dir.path().join(AUMS_FILE), &damaged).unwrap();
            let store = open(dir.path());
            assert!(store.torn(), "{at}");
            drop(store);
            assert!(!open(dir.path()).torn(), "{at}");
        }
    }
}
