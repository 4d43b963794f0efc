//! The signed head of the records, in the form of C2SP (c2sp.org/tlog-checkpoint).

use ledger::Fault;
use ledger::formats::tlog::{Checkpoint, Note, origin};
use ledger::history::{merkle, records};
use ledger::lock::signatures::Signer;

use super::Ground;

/// The checkpoint of the first `size` records (of all of them, if not said), signed with this
/// replica's log key. The one of all is cosigned at that time (seconds since 1970) as well, so that
/// it says when it was current. None before record 0, and for more records than there are.
pub fn signed(
    ground: Ground<'_>,
    size: Option<u64>,
    log: &dyn Signer,
    time: u64,
) -> Result<Option<Vec<u8>>, Fault> {
    let Some(first) = records::record(ground.rows, 0)? else { return Ok(None) };
    let all = ground.fold.next_index();
    let size = size.unwrap_or(all);
    if size == 0 || size > all {
        return Ok(None);
    }
    let root = merkle::root_at(ground.rows, size)?;
    let checkpoint = Checkpoint { origin: origin(&first.hash()), size, root };
    let no_name = || Fault::new("the ledger's origin can be no key's name: a bug");
    let own = checkpoint.sign(log).ok_or_else(no_name)?;
    let mut signatures = vec![own];
    if size == all {
        signatures.extend(checkpoint.cosign(&checkpoint.origin, time, log));
    }
    let note = Note::new(checkpoint.to_string(), signatures);
    Ok(Some(note.to_string().into_bytes()))
}

#[cfg(test)]
mod tests {
    use ledger::formats::tlog::{KeyType, Standing, VerifierKey};
    use ledger::testing::{Group, key};

    use super::*;

    #[test]
    fn it_is_signed_by_the_log_key_and_says_when() {
        let group = Group::new();
        let ground = Ground { fold: &group.fold, rows: &group.rows };
        let bytes = signed(ground, None, &key(9), 1_700_000_000).unwrap().unwrap();
        let (checkpoint, note) = Checkpoint::of_note(&bytes).unwrap();
        assert_eq!((checkpoint.size, checkpoint.root), (1, group.fold.merkle_root()));
        for kind in [KeyType::Ed25519, KeyType::Cosignature] {
            let by = VerifierKey::new(&checkpoint.origin, kind, key(9).public().0).unwrap();
            assert!(matches!(note.by(&by), Standing::Signed(_)), "{kind:?}");
        }
        assert_eq!(signed(ground, Some(2), &key(9), 1).unwrap(), None, "there are not so many");
        let other = VerifierKey::new(&checkpoint.origin, KeyType::Ed25519, key(8).public().0);
        assert!(matches!(note.by(&other.unwrap()), Standing::Absent));
    }

    #[test]
    fn there_is_none_before_the_first_record() {
        let group = Group::unfounded();
        let ground = Ground { fold: &group.fold, rows: &group.rows };
        assert_eq!(signed(ground, None, &key(9), 1).unwrap(), None);
    }
}
