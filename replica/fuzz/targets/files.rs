//! Files that a daemon and its operator have: keys, sealed keys, passphrases, the configuration,
//! the identity, the watermark, the neighbours, which locks are set aside. What is refused stays as it was; what is
//! read and written again reads the same.
//!
//! Input: which file, then its content.
#![no_main]

use std::cell::OnceCell;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ledger::history::Epoch;
use ledger::lock::signatures::Signer;
use ledger_fuzz::Choices;
use libfuzzer_sys::fuzz_target;
use replica::daemon::config::{
    Config, Given, Surroundings, resolve_client_socket, resolve_data_dir,
};
use replica::disk::local_disable::LocalDisable;
use replica::disk::{identity, neighbours, watermark};
use replica::keys::{KeySource, Keys, Kind, LockKeyChoice, PassphraseSource, Start, read_node_key};

thread_local! {
    static DIRECTORY: OnceCell<tempfile::TempDir> = const { OnceCell::new() };
}

fn directory() -> PathBuf {
    DIRECTORY.with(|cell| {
        let made = || {
            let directory = tempfile::Builder::new().tempdir_in("/dev/shm");
            let directory = directory.or_else(|_| tempfile::tempdir()).expect("a directory");
            write(&directory.path().join("passphrase"), b"correct horse\n");
            directory
        };
        cell.get_or_init(made).path().to_owned()
    })
}

fn write(path: &Path, bytes: &[u8]) {
    let mut open = fs::OpenOptions::new();
    let mut file =
        open.create(true).truncate(true).write(true).mode(0o600).open(path).expect("a file");
    file.write_all(bytes).expect("a file");
}

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices::new(input);
    let which = choices.below(9);
    let bytes = choices.rest();
    let dir = directory();
    match which {
        0 => key(&dir, bytes, false),
        // The KDF takes memory and time.
        7 => key(&dir, bytes, true),
        1 => keys(&dir, bytes),
        2 => config(&dir, bytes),
        3 => founded(&dir, bytes),
        4 => mark(&dir, bytes),
        5 => set_aside(&dir, bytes),
        8 => known(&dir, bytes),
        _ => passphrase(&dir, bytes),
    }
});

/// A lock key, plain or sealed.
fn key(dir: &Path, bytes: &[u8], unseal: bool) {
    let path = dir.join("key");
    write(&path, bytes);
    let source = KeySource::parse(path.as_os_str()).expect("a path");
    let stored = match source.read() {
        Ok(stored) => stored,
        Err(error) => return not_repeated(&error.to_string(), bytes),
    };
    let (public, sealed) = (stored.public(), stored.is_sealed());
    if sealed && !unseal {
        return;
    }
    let passphrase = PassphraseSource::File(dir.join("passphrase"));
    match stored.open(Some(&passphrase)) {
        Ok(key) => {
            assert_eq!(key.public(), public);
            if !sealed {
                let text = String::from_utf8_lossy(bytes);
                assert!(text.trim_end().eq_ignore_ascii_case(&key.to_nlpriv()));
            }
        }
        Err(error) => {
            assert!(sealed);
            not_repeated(&error.to_string(), bytes);
        }
    }
}

/// No message shows what may be a key.
fn not_repeated(message: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for run in text.split(|c: char| !c.is_ascii_hexdigit()).filter(|run| run.len() >= 16) {
        assert!(!message.contains(run), "{message}");
    }
}

/// The daemon's own keys, one of which is something else.
fn keys(dir: &Path, bytes: &[u8]) {
    let data = dir.join("data");
    fs::create_dir_all(&data).expect("a directory");
    let choice = LockKeyChoice::default();
    let first = Keys::open(&data, Start::First, &choice);
    let Ok(first) = first else { panic!("{first:?}") };
    let kinds = [Kind::Member, Kind::Lock, Kind::Log, Kind::Node];
    let kind = kinds[bytes.first().map_or(0, |byte| usize::from(byte % 4))];
    let path = Keys::directory(&data).join(kind.file());
    let was = fs::read(&path).expect("a key");
    let bytes = bytes.get(1..).unwrap_or_default();
    write(&path, bytes);
    match Keys::open(&data, Start::Again, &choice) {
        Ok(again) => {
            let others = [
                (Kind::Member, again.member.public() == first.member.public()),
                (Kind::Log, again.log.public() == first.log.public()),
                (Kind::Node, again.node.public() == first.node.public()),
            ];
            assert!(others.iter().all(|(other, same)| *other == kind || *same));
            assert_eq!(read_node_key(&data).ok(), Some(again.node.public()));
        }
        Err(error) => not_repeated(&error.to_string(), bytes),
    }
    assert_eq!(fs::read(&path).expect("a key"), bytes);
    write(&path, &was);
    let restored = Keys::open(&data, Start::Again, &choice).expect("its own keys");
    assert_eq!(restored.member.public(), first.member.public());
}

fn config(dir: &Path, bytes: &[u8]) {
    let path = dir.join("config.toml");
    write(&path, bytes);
    let given = Given { config: Some(path), ..Given::default() };
    let home = Surroundings { home: Some("/home/ada".into()), ..Surroundings::default() };
    let resolve = || Config::resolve(given.clone(), Given::default(), &home);
    let socket = resolve_client_socket(&given, &Given::default(), &home);
    let data_dir = resolve_data_dir(&given, &Given::default(), &home);
    match resolve() {
        Ok(config) => {
            // Whoever reads less of it finds the same.
            assert_eq!(socket.ok(), Some(config.socket.clone()));
            assert_eq!(data_dir.ok(), Some(config.data_dir.clone()));
            assert_eq!(format!("{config:?}"), format!("{:?}", resolve().expect("the same file")));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn founded(dir: &Path, bytes: &[u8]) {
    let dir = dir.join("identity");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir(&dir).expect("a directory");
    write(&dir.join("identity"), bytes);
    let Ok(read) = identity::read(&dir) else { return };
    let read = read.expect("a file is there");
    fs::remove_file(dir.join("identity")).expect("a file");
    identity::write(&dir, &read).expect("an identity");
    assert_eq!(fs::read(dir.join("identity")).expect("a file"), bytes);
}

fn mark(dir: &Path, bytes: &[u8]) {
    let dir = dir.join("watermark");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir(&dir).expect("a directory");
    write(&dir.join("watermark"), bytes);
    let _ = watermark::read(&dir);
    assert_eq!(fs::read(dir.join("watermark")).expect("a file"), bytes);
}

fn known(dir: &Path, bytes: &[u8]) {
    let dir = dir.join("neighbours");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir(&dir).expect("a directory");
    let path = dir.join(neighbours::FILE);
    write(&path, bytes);
    let Ok(read) = neighbours::read(&dir) else { return };
    fs::remove_file(&path).expect("a file");
    neighbours::write(&dir, &read.expect("a file is there")).expect("neighbours");
    assert_eq!(fs::read(&path).expect("a file"), bytes);
}

fn set_aside(dir: &Path, bytes: &[u8]) {
    let dir = dir.join("aside");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir(&dir).expect("a directory");
    let path = dir.join("local-disable");
    write(&path, bytes);
    let Ok(aside) = LocalDisable::open(&dir) else { return };
    let (epoch, new) = (Epoch(2), (7, 40));
    let had = aside.has(epoch, new);
    assert_eq!(aside.add(epoch, new).expect("a directory"), !had);
    assert!(LocalDisable::open(&dir).expect("its own file").has(epoch, new));
    assert!(aside.remove(epoch, new).expect("a directory"));
    assert!(!LocalDisable::open(&dir).expect("its own file").has(epoch, new));
    if !had {
        // Everything else is as it was.
        assert_eq!(fs::read(&path).expect("a file"), bytes);
    }
}

fn passphrase(dir: &Path, bytes: &[u8]) {
    let path = dir.join("words");
    write(&path, bytes);
    if let Err(error) = PassphraseSource::File(path).read() {
        assert!(bytes.is_empty() || !error.to_string().contains("correct horse"));
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(source) = text.parse::<PassphraseSource>()
    {
        assert_eq!(source.to_string().parse(), Ok(source));
    }
}
