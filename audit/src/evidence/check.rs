//! Whether what a bundle holds besides its records is what the records give, and whether a
//! checkpoint is of this history.

use std::collections::BTreeSet;

use ledger::formats::tlog::{Checkpoint, Note, Standing, VerifierKey, tiles_of};
use ledger::history::merkle;

use super::ustar::Member;
use super::write::all_aums;
use super::{Bundle, Evidence, NoEvidence};
use crate::checks::Finding;
use crate::checks::catalog::{
    BUNDLE_DIFFERS, BUNDLE_FORMAT, HEAD_ROOT, HEAD_SIGNATURE, HEAD_STALE, HEAD_UNSIGNED,
};
use crate::source::Place;

/// A checkpoint that was compared with a history.
#[derive(Debug)]
pub(crate) struct Compared {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) note: Note,
    /// Keys whose signatures hold.
    pub(crate) signers: Vec<VerifierKey>,
    /// Whether it is of this history.
    pub(crate) holds: bool,
}

fn at(member: &Member) -> Place {
    Place { file: Some(member.name.clone()), offset: Some(member.offset), record: None }
}

/// Findings about every file of a bundle that is not a record's.
pub(crate) fn compare_files(
    bundle: &Bundle,
    evidence: &Evidence,
    findings: &mut Vec<Finding>,
) -> Result<(), NoEvidence> {
    if let Some((offset, what)) = &bundle.malformed {
        let place = Place { offset: Some(*offset), ..Place::default() };
        findings.push(Finding::new(&BUNDLE_FORMAT, what.as_str()).at(&place));
    }
    let size = evidence.size();
    let mut differs = |name: &str, place: Place, how: &str| {
        let message = format!("{name} {how}");
        findings.push(Finding::new(&BUNDLE_DIFFERS, message).at(&place).subject(name));
    };
    let other = "is not what the records give";
    let missing = "is missing";
    let stray = "has no place in a bundle of these records";
    let mut tiles: BTreeSet<_> = bundle.tiles.keys().copied().collect();
    for tile in tiles_of(size) {
        let name = tile.to_string();
        tiles.remove(&tile);
        match bundle.tiles.get(&tile) {
            None => differs(&name, Place::default(), missing),
            Some(member) if bundle.content(member)? != evidence.tile(&tile)? => {
                differs(&name, at(member), other);
            }
            Some(_) => {}
        }
    }
    for tile in tiles {
        differs(&tile.to_string(), at(&bundle.tiles[&tile]), stray);
    }
    match &bundle.vkeys {
        None => differs("vkeys", Place::default(), missing),
        Some(member) if bundle.content(member)? != evidence.vkeys_text(size).into_bytes() => {
            differs("vkeys", at(member), other);
        }
        Some(_) => {}
    }
    let mut aums: BTreeSet<_> = bundle.aums.keys().copied().collect();
    for index in 0..size {
        for aum in all_aums(&evidence.decoded(index)?) {
            let hash = aum.hash();
            let first = aums.remove(&hash);
            let name = format!("aums/{hash}");
            match bundle.aums.get(&hash) {
                None => differs(&name, Place::default(), missing),
                Some(member) if first && bundle.content(member)? != aum.bytes() => {
                    differs(&name, at(member), other);
                }
                Some(_) => {}
            }
        }
    }
    for hash in aums {
        differs(&format!("aums/{hash}"), at(&bundle.aums[&hash]), stray);
    }
    Ok(())
}

/// Findings about the checkpoint of a bundle.
pub(crate) fn compare_head(
    bundle: &Bundle,
    evidence: &Evidence,
    witnesses: &[VerifierKey],
    findings: &mut Vec<Finding>,
) -> Result<Option<Compared>, NoEvidence> {
    let Some(member) = &bundle.checkpoint else {
        let message = "the bundle has no checkpoint: no log key has signed its end";
        findings.push(Finding::new(&HEAD_UNSIGNED, message));
        return Ok(None);
    };
    let place = at(member);
    let about = |finding: Finding| finding.at(&place);
    let (checkpoint, note) = match Checkpoint::of_note(&bundle.content(member)?) {
        Ok(read) => read,
        Err(error) => {
            findings.push(about(Finding::new(&HEAD_SIGNATURE, error.to_string())));
            return Ok(None);
        }
    };
    let size = checkpoint.size.min(evidence.size());
    let keys = evidence.vkeys(size);
    let mut signers = Vec::new();
    let mut forged = false;
    for key in keys.iter().chain(witnesses) {
        match note.by(key) {
            Standing::Signed(_) if !signers.contains(key) => signers.push(key.clone()),
            Standing::Signed(_) | Standing::Absent => {}
            Standing::Forged => forged = true,
        }
    }
    let known = signers.iter().any(|key| keys.contains(key));
    let mut holds = true;
    // Signatures of witnesses that nobody here knows are left alone.
    if forged || !known {
        let message = if forged {
            "a signature on the checkpoint does not hold"
        } else {
            "no log key on record has signed the checkpoint"
        };
        findings.push(about(Finding::new(&HEAD_SIGNATURE, message)));
        holds = false;
    }
    if checkpoint.origin != evidence.origin() {
        let message = format!("the checkpoint is of {}, not of this ledger", checkpoint.origin);
        findings.push(about(Finding::new(&HEAD_ROOT, message)));
        holds = false;
    } else if checkpoint.size > evidence.size() {
        let message = format!(
            "the checkpoint covers {} records; {} are here",
            checkpoint.size,
            evidence.size()
        );
        findings.push(about(Finding::new(&HEAD_STALE, message)));
        holds = false;
    } else if merkle::root_at(&*evidence.rows, checkpoint.size)? != checkpoint.root {
        let message =
            format!("the root over the first {} records is not the one signed", checkpoint.size);
        findings.push(about(Finding::new(&HEAD_ROOT, message)));
        holds = false;
    }
    if !holds {
        signers.clear();
    }
    Ok(Some(Compared { checkpoint, note, signers, holds }))
}
