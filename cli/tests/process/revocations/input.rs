//! What revoke-keys is not to be given: blobs, names and flags.

use std::collections::BTreeMap;
use std::fs::File;

use data_encoding::HEXUPPER;
use ledger::lock::revocation::cosign;
use ledger::lock::signatures::Signer;
use ledger::lock::{Aum, AumKind, Key, Sealed, State};
use ledger::testing::key;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::{OTHER, printed, private_file, stolen, waiting};
use crate::harness::{Place, tlpub};

/// The signature of a key on any AUM, as a blob on the command line.
fn blob(aum: Aum, by: u8) -> String {
    HEXUPPER.encode(cosign(Sealed::new(aum), &key(by)).unwrap().bytes())
}

#[test]
fn hostile_blobs_are_neither_signed_nor_finished() {
    let place = Place::new();
    let _daemon = place.start();
    stolen(&place);
    let begun = printed(&place.ok(&format!("lock revoke-keys {}", tlpub(4))), OTHER);
    let good = begun.rsplit(' ').next().unwrap().to_owned();
    let bytes = HEXUPPER.decode(good.as_bytes()).unwrap();
    let aum = Aum { signatures: Vec::new(), ..Sealed::decode(&bytes).unwrap().into_aum() };
    let changed = |change: &dyn Fn(&mut Aum)| {
        let mut aum = aum.clone();
        change(&mut aum);
        blob(aum, 2)
    };
    let state = |change: &dyn Fn(&mut State)| changed(&|aum| change(aum.state.as_mut().unwrap()));
    let mut noncanonical = good.clone();
    // The kind in two bytes.
    noncanonical.replace_range(4..6, "1805");
    let mut forged = Sealed::decode(&bytes).unwrap().into_aum();
    forged.signatures[0].signature = Some(vec![1; 64]);
    let forged = HEXUPPER.encode(Sealed::new(forged).bytes());
    let strange =
        HEXUPPER.encode(cosign(Sealed::decode(&bytes).unwrap(), &key(9)).unwrap().bytes());
    let records = place.records("").len();
    let cases = [
        (changed(&|aum| *aum = Aum::new(AumKind::NO_OP, aum.parent_hash())), "not a revocation"),
        (changed(&|aum| aum.parent = Some(vec![0xab; 32])), "not on the active chain"),
        (changed(&|aum| aum.parent = None), "no checkpoint on top of another AUM"),
        (state(&|state| state.state_id1 ^= 1), "it belongs to another lock"),
        (
            state(&|state| state.keys.as_mut().unwrap().push(Key::ed25519(key(8).public(), 1))),
            "never all trusted together",
        ),
        (
            state(&|state| state.disablement_values = Some(vec![Some(vec![1; 32])])),
            "change the disablement values",
        ),
        (noncanonical, "decoding recovery AUM: "),
        (forged, "invalid signature"),
        (strange, "not trusted at its fork point"),
        ("FF".repeat(40), "decoding recovery AUM: "),
        ("xyz".into(), "too short for a revocation's name"),
        ("not-a-name".into(), "parsing hex: "),
        ("NOSUCHNAME".into(), "no revocation that waits for signatures begins with"),
    ];
    for (word, what) in &cases {
        for flags in ["--cosign", "--finish", "--cosign --finish"] {
            let stderr = place.run(&format!("lock revoke-keys {flags} {word}")).fails(1);
            assert!(stderr.contains(what), "{flags} {word}: {stderr}");
            // Something to do about it, on a line of its own.
            assert!(stderr.lines().count() > 1, "{flags} {word}: {stderr}");
        }
    }
    // As long as a blob may be, and longer; and what is no file at all.
    place.write("long.hex", "A4".repeat(3 << 19));
    place.write("binary", [0xff, 0xfe, 0]);
    place.write("empty", "\r\n");
    File::create(place.file("huge")).unwrap().set_len(1 << 30).unwrap();
    mknodat(CWD, place.file("fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    for (file, what) in [
        ("long.hex", "decoding recovery AUM: "),
        ("huge", "reading huge: it has more than 4194304 bytes"),
        ("fifo", "reading fifo: it is not a regular file"),
        ("/", "reading /: it is not a regular file"),
        ("nothing.hex", "reading nothing.hex: No such file or directory"),
        ("binary", "reading binary: it is not text"),
        ("empty", "decoding recovery AUM: "),
        ("", "reading : No such file or directory"),
    ] {
        for flag in ["--cosign", "--finish"] {
            let stderr = place.run(&format!("lock revoke-keys {flag} file:{file}")).fails(1);
            assert!(stderr.contains(what), "{file}: {stderr}");
        }
    }
    assert_eq!(place.records("").len(), records);
    // A file is as good as the word itself, with line ends of any kind around it.
    place.write("blob.hex", format!("{}\r\n", good.to_lowercase()));
    let stderr = place.run("lock revoke-keys --cosign file:blob.hex").fails(1);
    assert!(stderr.contains("already signed"), "{stderr}");
}

/// Enough of a name is what no other revocation's name begins with.
#[test]
fn a_name_that_two_have_is_no_name() {
    let place = Place::new();
    let _daemon = place.start();
    place.init(&(2..=18).map(tlpub).collect::<Vec<_>>().join(" "));
    let begun = printed(&place.ok(&format!("lock revoke-keys {}", tlpub(18))), OTHER);
    let bytes = HEXUPPER.decode(begun.rsplit(' ').next().unwrap().as_bytes()).unwrap();
    let aum = Aum { signatures: Vec::new(), ..Sealed::decode(&bytes).unwrap().into_aum() };
    // Each choice of keys to revoke has a name of its own; two of them begin alike.
    let keys: Vec<_> = (3..18).map(|seed| Some(key(seed).public())).collect();
    let choice = |mask: u32| {
        let mut aum = aum.clone();
        let chosen = |trusted: &Key| {
            let place = keys.iter().position(|key| *key == trusted.lock_key());
            place.is_some_and(|place| mask & 1 << place != 0)
        };
        aum.state.as_mut().unwrap().keys.as_mut().unwrap().retain(|key| !chosen(key));
        aum
    };
    let mut names = BTreeMap::new();
    let (prefix, one, other) = (1..1 << 15)
        .find_map(|mask| {
            let prefix = Sealed::new(choice(mask)).sig_hash().to_hex()[..6].to_owned();
            let before = names.insert(prefix.clone(), mask)?;
            Some((prefix, before, mask))
        })
        .unwrap();
    for mask in [one, other] {
        place.ok(&format!("lock revoke-keys --cosign {}", blob(choice(mask), 2)));
    }
    for flag in ["--cosign", "--finish", "--withdraw"] {
        let stderr = place.run(&format!("lock revoke-keys {flag} {prefix}")).fails(1);
        let what = format!("2 revocations that wait for signatures begin with {prefix:?}");
        assert!(stderr.contains(&what) && stderr.contains("more of its name"), "{stderr}");
    }
    let name = Sealed::new(choice(one)).sig_hash().to_hex();
    place.ok(&format!("lock revoke-keys --withdraw {}", &name[..32]));
    place.ok(&format!("lock revoke-keys --withdraw {prefix}"));
    assert_eq!(waiting(&place).len(), 1);
}

#[test]
fn revoking_is_asked_for_properly() {
    let place = Place::new();
    let _daemon = place.start();
    stolen(&place);
    let own = place.own_key();
    for (words, code, what) in [
        ("".to_owned(), 1, "missing argument, expected one or more tailnet lock keys"),
        (format!("{own} --reason whim"), 2, "--reason: \"whim\" is none"),
        (format!("{own} --note {}", "x".repeat(1025)), 2, "--note: it has 1025 bytes"),
        (format!("{own} --fork-from abc"), 1, "invalid fork-from hash: "),
        (format!("{own} --fork-from {}", "ab".repeat(32)), 1, "no fork from "),
        (format!("{own} {own}"), 1, "key 2 is the same as key 1"),
        (format!("nlpriv:{}", "ab".repeat(64)), 1, "this is a private key"),
        (tlpub(9), 1, "no provided key is currently trusted"),
        ("--cosign --fork-from abc ABCDEF".into(), 2, "--fork-from belongs to the first step"),
        ("--cosign --withdraw ABCDEF".into(), 2, "--withdraw goes with neither"),
        ("--cosign ABCDEF ABCDEF".into(), 1, "expected one revocation, got 2 arguments"),
        ("--withdraw ABC".into(), 1, "too short for the name of a revocation"),
        ("--finish --key x.key ABCDEF".into(), 2, "nothing is signed in this step"),
        ("--withdraw --export x ABCDEF".into(), 2, "nothing is signed in this step"),
        (
            format!("--cosign --finish --key {} --export x ABCDEF", tlpub(2)),
            2,
            "what is exported is not signed yet",
        ),
        ("--cosign --reason left ABCDEF".into(), 2, "--reason: this step keeps none"),
        ("--withdraw --reason left ABCDEF".into(), 2, "--reason: this step keeps none"),
        ("--cosign --note gone ABCDEF".into(), 2, "--note: this step keeps none"),
    ] {
        let stderr = place.run(&format!("lock revoke-keys {words}")).fails(code);
        assert!(stderr.contains(what), "{words}: {stderr}");
        assert!(!stderr.contains(&"ab".repeat(64)), "{stderr}");
    }
    // A key without a say at the fork point.
    let late = private_file(&place, "late.key", 6);
    place.ok(&format!("lock add {}", tlpub(6)));
    let stderr = place.run(&format!("lock revoke-keys --key {late} {}", tlpub(4))).fails(1);
    assert!(stderr.contains("does not have a trusted tailnet lock key at the fork"), "{stderr}");

    // The reason and the note of a removal are in its record.
    let words = ["lock", "remove", "--reason", "left", "--note", "went home"];
    let ran = place.run_words(words.into_iter().map(str::to_owned).chain([tlpub(6)]));
    assert_eq!(ran.code, 0, "{ran:?}");
    let raw = place.records("").pop().unwrap()["raw"].as_str().unwrap().to_owned();
    let raw = data_encoding::BASE64.decode(raw.as_bytes()).unwrap();
    assert!(raw.windows(9).any(|bytes| bytes == b"went home"));
}
