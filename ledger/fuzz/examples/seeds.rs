//! Writes what the targets begin with into `corpus` here and in the fuzz directories of `replica`
//! and `audit`: the project's own vectors and recordings, and the records of the shared histories.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, BASE64URL, HEXLOWER_PERMISSIVE};
use ledger::formats::chonk_file::FileRecord;
use ledger::formats::tlog::{
    Checkpoint, ConsistencyProof, InclusionProof, KeyType, Note, VerifierKey,
};
use ledger::history::records;
use ledger::ids::AumHash;
use ledger::lock::Sealed;
use ledger::lock::node_keys::NodeKeySignature;
use ledger::lock::signatures::Signer;
use ledger_fuzz::{AUTH_KEY, histories};
use serde_json::Value;

/// Bytes of a seed, at most: fuzzing what is longer is slow.
const MOST: usize = 16 << 10;

/// The seeds of each target, by the directory of its corpus.
#[derive(Default)]
struct Seeds(BTreeMap<PathBuf, BTreeSet<Vec<u8>>>);

impl Seeds {
    fn put(&mut self, package: &str, target: &str, seed: impl Into<Vec<u8>>) {
        let seed = seed.into();
        if seed.len() <= MOST {
            let corpus = root().join(package).join("fuzz/corpus").join(target);
            self.0.entry(corpus).or_default().insert(seed);
        }
    }

    fn write(&self) {
        for (corpus, seeds) in &self.0 {
            fs::create_dir_all(corpus).unwrap();
            for seed in seeds {
                let name = AumHash::of(seed).to_hex();
                fs::write(corpus.join(format!("seed-{}", &name[..16])), seed).unwrap();
            }
            println!("{:6} {}", seeds.len(), corpus.strip_prefix(root()).unwrap().display());
        }
    }
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn unpacked(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).unwrap();
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    bytes
}

fn packed(directory: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(directory)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "gz"));
    paths.sort();
    paths
}

fn main() {
    let mut seeds = Seeds::default();
    for path in packed("ledger/tests/data/vectors") {
        let document = serde_json::from_slice(&unpacked(&path)).unwrap();
        vectors(&document, &mut seeds);
    }
    for directory in ["ledger/tests/data/vectors/log_json", "audit/tests/data/recorded"] {
        packed(directory).iter().for_each(|path| exports(path, &mut seeds));
    }
    recordings(&mut seeds);
    lives(&mut seeds);
    texts(&mut seeds);
    seeds.write();
}

/// Bytes behind their length, as the targets take them.
fn piece(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), bytes].concat()
}

/// Every string of the vectors that stands for bytes, to whom they may concern.
fn vectors(value: &Value, seeds: &mut Seeds) {
    match value {
        Value::String(text) => match HEXLOWER_PERMISSIVE.decode(text.as_bytes()) {
            Ok(bytes) => binary(&bytes, seeds),
            Err(_) => seeds.put("ledger", "texts", text.as_bytes()),
        },
        Value::Array(items) => items.iter().for_each(|item| vectors(item, seeds)),
        Value::Object(pairs) => {
            if let Some(Value::Object(files)) = pairs.get("files_hex") {
                directory(files.values().filter_map(Value::as_str), seeds);
            }
            pairs.values().for_each(|value| vectors(value, seeds));
        }
        _ => {}
    }
}

fn binary(bytes: &[u8], seeds: &mut Seeds) {
    if Sealed::decode_first(bytes).is_ok() {
        seeds.put("ledger", "aum", bytes);
        seeds.put("audit", "verify", [&[0], bytes].concat());
        seeds.put("audit", "verify", [&[2, 1][..], &piece(bytes)].concat());
        // A cosigner is given it.
        seeds.put("replica", "api", [&[6, 5], bytes].concat());
    }
    if NodeKeySignature::decode(bytes).is_ok() {
        seeds.put("ledger", "signature", bytes);
    }
    if FileRecord::decode(bytes).is_ok() {
        seeds.put("ledger", "export", bytes);
    }
    if bytes.len() <= 80 {
        for target in ["aum", "signature"] {
            seeds.put("ledger", target, bytes);
        }
    }
}

/// A store, in the forms of the targets that read one.
fn directory<'a>(files: impl Iterator<Item = &'a str>, seeds: &mut Seeds) {
    let files: Vec<Vec<u8>> =
        files.filter_map(|hex| HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()).collect();
    store(&files, seeds);
}

fn store(files: &[Vec<u8>], seeds: &mut Seeds) {
    let named: Vec<u8> = files.iter().flat_map(|file| [vec![1], piece(file)].concat()).collect();
    seeds.put("ledger", "export", [&[0, 0, 0][..], &named].concat());
    for (layout, hint) in [(0, 2), (1, 2), (2, 0)] {
        seeds.put("audit", "verify", [&[1, layout, hint][..], &named].concat());
    }
}

/// Exports and state directories that the original has written, and what a tailscaled served.
fn exports(path: &Path, seeds: &mut Seeds) {
    let bytes = unpacked(path);
    let name = path.to_string_lossy();
    if name.ends_with(".tar.gz") {
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut files = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut file = Vec::new();
            entry.unwrap().read_to_end(&mut file).unwrap();
            files.push(file);
        }
        files.retain(|file| file.len() > 32);
        files.truncate(12);
        return store(&files, seeds);
    }
    if name.ends_with(".log.json.gz") {
        seeds.put("replica", "replies", [&[1, 1], bytes.as_slice()].concat());
        let mut log = vec![2];
        let entries: Value = serde_json::from_slice(&bytes).unwrap();
        for entry in entries.as_array().into_iter().flatten() {
            let raw = BASE64.decode(entry["Raw"].as_str().unwrap_or_default().as_bytes()).unwrap();
            seeds.put("ledger", "aum", raw.as_slice());
            log.push(1);
            log.extend(piece(&raw));
        }
        seeds.put("audit", "verify", log);
    } else if name.ends_with(".status.json.gz") {
        seeds.put("replica", "replies", [&[0, 1], bytes.as_slice()].concat());
    } else if !name.contains("expect") {
        seeds.put("ledger", "export", bytes.as_slice());
        seeds.put("audit", "verify", [&[0], bytes.as_slice()].concat());
        let export: Value = serde_json::from_slice(&bytes).unwrap();
        for message in export["Messages"].as_array().into_iter().flatten().take(40) {
            let raw = message["Raw"].as_str().unwrap_or_default();
            seeds.put("ledger", "aum", BASE64URL.decode(raw.as_bytes()).unwrap());
        }
    }
}

/// What the official programs asked and were answered.
fn recordings(seeds: &mut Seeds) {
    let data = root().join("replica/tests/data");
    let exchanges: Value =
        serde_json::from_slice(&unpacked(&data.join("localapi_exchanges.json.gz"))).unwrap();
    for exchange in exchanges.as_array().unwrap() {
        let text = |field: &str| exchange[field].as_str().unwrap_or_default();
        let (line, body) = (text("line"), text("body"));
        let mut request = format!("{line}\r\n");
        for header in exchange["headers"].as_array().into_iter().flatten() {
            let (name, value) = (&header[0], &header[1]);
            let (name, value) = (name.as_str().unwrap(), value.as_str().unwrap());
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("\r\n{body}"));
        seeds.put("replica", "http", request);
        let path = line.split(['?', ' ']).nth(1).unwrap_or_default();
        let path = path.rsplit('/').next().unwrap_or_default();
        let which = [
            "init",
            "modify",
            "sign",
            "wrap-preauth-key",
            "verify-deeplink",
            "generate-recovery-aum",
        ];
        if let Some(which) = which.iter().position(|which| *which == path) {
            for history in [2, 5, 6] {
                seeds.put("replica", "api", [&[which as u8, history], body.as_bytes()].concat());
            }
        }
        let answered = ["status", "log", "", "affected-sigs", "verify-deeplink"];
        if let Some(which) = answered.iter().position(|which| *which == path) {
            let answer = text("answer").as_bytes();
            seeds.put("replica", "replies", [&[which as u8, 1], answer].concat());
        }
    }
    let calls =
        "bootstrap sync/offer sync/send sign affected-sigs disable map init/begin init/finish";
    let rpcs: Value = serde_json::from_slice(&unpacked(&data.join("node_rpc.json.gz"))).unwrap();
    for rpc in rpcs.as_array().unwrap() {
        let path = rpc["path"].as_str().unwrap_or_default();
        let Some(which) = calls.split(' ').position(|call| call == path) else { continue };
        for history in [2, 5, 6] {
            let request = rpc["request"].to_string();
            seeds.put(
                "replica",
                "calls",
                [&[which as u8, history, 1], request.as_bytes()].concat(),
            );
        }
        let answer = rpc["answer"].to_string();
        seeds.put(
            "replica",
            "visit",
            [&[5, 0, 0, 0, 0xe0][..], &piece(answer.as_bytes())].concat(),
        );
    }
    let chunked =
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    seeds.put("replica", "http", chunked);
}

/// The records of the shared histories, and steps through them.
fn lives(seeds: &mut Seeds) {
    for (place, history) in (0u8..).zip(histories()) {
        seeds.put("audit", "verify", [3, place]);
        for record in records::from(&history.rows, 0).unwrap() {
            let record = record.unwrap();
            seeds.put("ledger", "record", record.bytes());
            let proposal = record.proposal().proposal().to_cbor();
            // Where it has happened, where it has not yet, and made genuine there.
            for at in [place, place.saturating_sub(1)] {
                for genuine in [0, 1] {
                    seeds.put(
                        "ledger",
                        "event",
                        [&[at << 1 | genuine], proposal.as_slice()].concat(),
                    );
                }
            }
        }
        for table in 0..23 {
            for how in [0, 1, 2, 4, 6] {
                seeds.put("ledger", "rows", [table, place, how, 0, 0, 7, 1]);
            }
        }
        // A table's first row goes, becomes another or is replaced, in pages of every size.
        for table in 0..30 {
            for how in [0, 2, 4] {
                let change = [&[0, place, table % 4, table, how, 0, 0, 7][..], &piece(b"new")];
                seeds.put("audit", "beside", change.concat());
            }
            let said =
                [&[1, place, 0, table, 1, table % 9, 2][..], &piece(b"key"), &piece(b"value")];
            seeds.put("audit", "beside", said.concat());
        }
        // A node visits a server with this life three times.
        seeds.put("replica", "visit", [[place, 0, 0, 0, 0, 0, 0, 0]; 3].concat());
        seeds.put(
            "replica",
            "visit",
            [place, 0, 0, 0, 0, 0, 0, 0, 0xa0, 0, 0xa0, 0, 0xb0, 0, 0xa0],
        );
    }
    // A server that shows one AUM after the other, by their places in the target's list.
    for last in 0..24u8 {
        let aums: Vec<u8> = (0..last.min(8)).map(|back| last - last.min(7) + back).collect();
        let inform = [&[2, 0, 3, aums.len() as u8][..], &aums].concat();
        seeds.put("ledger", "client", inform);
        let visit = [2, 0, 4, 1, last, 3, 3, last, 0, aums.len() as u8];
        seeds.put("ledger", "client", [&visit[..], &aums].concat());
    }
    let store: Vec<u8> = (0..30u8).flat_map(|n| [n % 6, 0x80, n, 1 + n % 3, 1, n % 4]).collect();
    for length in (6..=store.len()).step_by(6) {
        seeds.put("ledger", "store", [&[0, 5, 0xe0, 1, 9, 1, 1, 0][..], &store[..length]].concat());
    }
}

/// Signed notes, checkpoints and proofs.
fn logs(seeds: &mut Seeds) {
    let head = Checkpoint { origin: "lockstep/log".into(), size: 9, root: [3; 32] };
    let signatures = vec![
        head.sign(ledger_fuzz::lock_key(2)).unwrap(),
        head.cosign("w", 1, ledger_fuzz::lock_key(3)).unwrap(),
    ];
    let checkpoint = Note::new(head.to_string(), signatures);
    seeds.put("ledger", "texts", checkpoint.to_string());
    let hashes = vec![[1; 32]; 3];
    let extra = Some(b"a record".to_vec());
    let proof =
        InclusionProof { extra, index: 4, hashes: hashes.clone(), checkpoint: checkpoint.clone() };
    seeds.put("ledger", "texts", proof.to_string());
    seeds.put("ledger", "texts", ConsistencyProof { old: 4, hashes, checkpoint }.to_string());
    let vkey =
        VerifierKey::new("lockstep/log", KeyType::Ed25519, ledger_fuzz::lock_key(2).public().0)
            .unwrap();
    seeds.put("ledger", "texts", vkey.to_string());
    seeds.put("ledger", "texts", "tile/0/x001/234.p/5");
}

/// Files and words that people write.
fn texts(seeds: &mut Seeds) {
    let hex = "0123456789abcdef".repeat(4);
    for prefix in [
        "tlpub:",
        "nlpub:",
        "nodekey:",
        "disablement:",
        "disablement-secret:",
        "member:",
        "log:",
        "invitation:",
        "",
    ] {
        seeds.put("ledger", "texts", format!("{prefix}{hex}"));
    }
    let key = ledger_fuzz::lock_key(1);
    for text in [AUTH_KEY, &key.to_nlpriv(), "request-1", "AEBAGBAFAYDQQCIKBMGA2DQPCA"] {
        seeds.put("ledger", "texts", text);
    }
    let wrapped = ledger::lock::node_keys::wrap_auth_key(key, AUTH_KEY, ledger_fuzz::lock_key(2));
    seeds.put("ledger", "texts", wrapped.unwrap().as_bytes());
    let link = ledger::formats::deeplink::Deeplink {
        node_key: format!("nodekey:{hex}"),
        lock_key: format!("tlpub:{hex}"),
        device_name: "laptop".into(),
        os_name: "linux".into(),
        login_name: "ada@example.com".into(),
    };
    seeds.put("ledger", "texts", link.to_url(7).unwrap());
    logs(seeds);
    // The manual's examples: a policy, and a list of acceptances.
    let manual = fs::read_to_string(root().join("docs/audit.md")).unwrap();
    let examples = manual.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    for (which, content) in (2..).zip(examples).chain([(2, "2026-11-26T18:25Z")]) {
        seeds.put("audit", "beside", [&[which], content.as_bytes()].concat());
    }
    for which in 0..4u8 {
        for at in 0..8u8 {
            // A proof, a status and what an auditor has kept, each with a bit that is another.
            seeds.put("audit", "beside", [4, which, at, 0, at * 30, 0, 1]);
            seeds.put("audit", "beside", [5, which % 2, at / 4, at * 30, 0, 1]);
            seeds.put("audit", "beside", [6, 0, at, 4, 0, at * 30, 0, 1, which]);
        }
    }
    let mut file = |which: u8, content: &str| {
        seeds.put("replica", "files", [&[which], content.as_bytes()].concat());
    };
    file(0, &format!("{}\n", *key.to_nlpriv()));
    file(0, SEALED);
    for kind in 0..4u8 {
        file(1, &format!("{}{}\n", char::from(kind), *key.to_nlpriv()));
    }
    file(2, CONFIG);
    file(3, "lockstep identity 1\ncluster AEBAGBAFAYDQQCIKBMGA2DQPCA\nreplica 1\nincarnation 1\n");
    let known = "lockstep neighbours 1\ncluster AEBAGBAFAYDQQCIKBMGA2DQPCA\nincarnation 1\n";
    file(8, &format!("{known}2 {hex} b.example:7400\n"));
    file(5, "lockstep local-disable 1\n1 7:0\n2 7:40\n");
    file(6, "file:/etc/passphrase");
    let mut mark = vec![4];
    let slot =
        ledger::rows::watermark::Watermark { term: 3, vote: 1, last_term: 3, last_index: 40 };
    mark.extend(slot.to_slot(0));
    mark.resize(1 + ledger::rows::watermark::FILE_BYTES, 0);
    seeds.put("replica", "files", mark);
}

/// A configuration that names everything.
const CONFIG: &str = r#"data_dir = "/var/lib/lockstep"
socket = "/run/lockstep/lockstep.sock"
name = "signer"
peer_listen = "127.0.0.1:0"
health_listen = "127.0.0.1:0"
lock_key = "credential:lock"
passphrase_from = "credential:passphrase"
operator = "root"
"#;

/// A sealed key.
const SEALED: &str = "lockstep-sealed-key:\
        pgF4GmxvY2tzdGVwIHNlYWxlZCBsb2NrIGtleSAxAlggiojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQP\
        b1wDgxoAAQAAAwQEWCAAAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHwVYIAD2SS92Fzgu7bxNvqKv\
        NfHFSReXbsff4mgm2g7rz94bBlggvhsRNMT5s3V3ja0hm+n3vf576+hYZnsnjbudBG+yR8w=";
