//! Whatever is changed in a bundle is an error, or at least a warning that was not there.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use audit::checks::Severity;
use audit::demo::stolen_key;

use super::{Audited, audit, files, opened};

/// A bundle with a checkpoint.
fn whole() -> &'static [u8] {
    static BUNDLE: OnceLock<Vec<u8>> = OnceLock::new();
    BUNDLE.get_or_init(|| stolen_key().unwrap().bundle)
}

fn warnings(audited: &Audited) -> BTreeSet<String> {
    let findings = audited.report.findings.iter();
    let severe = findings.filter(|finding| finding.check.severity >= Severity::Warning);
    severe.map(|finding| finding.fingerprint()).collect()
}

/// Whether a change shows. What is no bundle any more shows in that.
fn shows(bytes: &[u8]) -> bool {
    static BEFORE: OnceLock<BTreeSet<String>> = OnceLock::new();
    let before = BEFORE.get_or_init(|| warnings(&audit(whole())));
    if opened(bytes).is_none() {
        return true;
    }
    let audited = audit(bytes);
    audited.report.exit_code != 0 || warnings(&audited).iter().any(|new| !before.contains(new))
}

/// An archive of these files, as an attentive forger writes it.
pub(crate) fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_path(name).unwrap();
        builder.append(&header, content.as_slice()).unwrap();
    }
    let mut bytes = builder.into_inner().unwrap();
    // The header's fixed fields as ours are.
    let blocks = bytes.len() / 512;
    let mut at = 0;
    while at < blocks {
        let header: &mut [u8] = &mut bytes[at * 512..(at + 1) * 512];
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        for (from, text) in
            [(100, "0000644\0"), (108, "0000000\0"), (116, "0000000\0"), (136, "00000000000\0")]
        {
            header[from..from + text.len()].copy_from_slice(text.as_bytes());
        }
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[329..337].copy_from_slice(b"0000000\0");
        header[337..345].copy_from_slice(b"0000000\0");
        header[148..156].copy_from_slice(b"        ");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = std::str::from_utf8(&header[124..135]).unwrap();
        let size = usize::from_str_radix(size, 8).unwrap();
        at += 1 + size.div_ceil(512);
    }
    bytes.truncate((at + 2) * 512);
    bytes
}

#[test]
fn the_forgers_archive_is_a_bundle() {
    assert!(archive(&files(whole())) == whole());
    assert!(!shows(whole()));
}

/// So many bits or bytes further on; each of them where `LOCKSTEP_EVERY_BIT` is set, which takes
/// some minutes.
fn step(usual: usize) -> usize {
    if std::env::var_os("LOCKSTEP_EVERY_BIT").is_some() { 1 } else { usual }
}

#[test]
fn no_bit_can_be_flipped_and_no_byte_deleted() {
    let bytes = whole();
    for bit in (0..bytes.len() * 8).step_by(step(1499)) {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(shows(&flipped), "bit {bit} of {}", bytes.len() * 8);
    }
    for at in (0..bytes.len()).step_by(step(1231)) {
        let mut shorter = bytes.to_vec();
        shorter.remove(at);
        assert!(shows(&shorter), "byte {at} deleted");
        assert!(shows(&bytes[..at]), "cut at {at}");
    }
}

#[test]
fn no_file_can_be_removed_swapped_repeated_or_changed() {
    let all = files(whole());
    for (i, (name, content)) in all.iter().enumerate() {
        // Without the checkpoint a bundle says only that it has none.
        if name != "checkpoint" {
            let mut less = all.clone();
            less.remove(i);
            assert!(shows(&archive(&less)), "{name} removed");
        }
        let mut flipped = all.clone();
        let middle = content.len() / 2;
        flipped[i].1[middle] ^= 4;
        assert!(shows(&archive(&flipped)), "{name} changed");
        let mut longer = all.clone();
        longer[i].1.push(b'\n');
        assert!(shows(&archive(&longer)), "{name} is longer");
        if let Some((_, next)) = all.get(i + 1).filter(|(_, next)| next != content) {
            let mut swapped = all.clone();
            swapped[i].1 = next.clone();
            swapped[i + 1].1 = content.clone();
            assert!(shows(&archive(&swapped)), "{name} and the next one swapped");
        }
    }
    for stray in
        ["aums/A", "notes", "record/999", "record/01", "tile/0/009", "tile/7/000.p/1", "zzz"]
    {
        let mut more = all.clone();
        more.push((stray.to_owned(), b"x".to_vec()));
        more.sort();
        assert!(shows(&archive(&more)), "{stray} added");
    }
    let mut repeated = all.clone();
    repeated.insert(0, all[0].clone());
    assert!(shows(&archive(&repeated)));
    let mut reversed = all;
    reversed.reverse();
    assert!(shows(&archive(&reversed)));
}

/// The end is cut off and everything made anew, by somebody without keys: the checkpoint that is
/// left says that there was more; without it a remembered head says it.
#[test]
fn a_cut_end_shows_as_long_as_the_checkpoint_is_there() {
    let audited = audit(whole());
    let evidence = audited.evidence.unwrap();
    let checkpoint = files(whole()).into_iter().find(|(name, _)| name == "checkpoint").unwrap();
    for size in [1, evidence.size() - 1] {
        let mut cut = Vec::new();
        evidence.write_bundle(size, &mut cut).unwrap();
        let mut all = files(&cut);
        assert!(!all.iter().any(|(name, _)| name == "checkpoint"));
        all.push(checkpoint.clone());
        all.sort();
        let audited = audit(&archive(&all));
        let found = super::ids(&audited);
        assert!(found.contains("head.stale"), "{found:?}");
    }
}
