//! How much room there is below a data directory.

use std::fs;
use std::path::Path;

use ledger::Fault;
use rustix::fs::statvfs;

use super::ROWS_DIR;
use super::ailment::fault;

/// Bytes that must be free before a replica whose disk was full goes on. Less would be used up in no
/// time, and each time costs the group a leader or a voter.
const ENOUGH_BYTES: u64 = 16 << 20;

/// Bytes that this user can still write below a directory.
pub fn free_bytes(dir: &Path) -> Result<u64, Fault> {
    let room = statvfs(dir).map_err(|e| fault(format!("look at {}", dir.display()), e.into()))?;
    Ok(room.f_bavail.saturating_mul(room.f_frsize))
}

/// Bytes that must be free in a data directory before its database is opened again: opening it
/// writes what is in its logs to tables.
pub fn needed_bytes(dir: &Path) -> u64 {
    let logs = fs::read_dir(dir.join(ROWS_DIR)).into_iter().flatten().flatten();
    let logs = logs.filter(|file| file.path().extension().is_some_and(|end| end == "log"));
    let bytes = logs.filter_map(|file| Some(file.metadata().ok()?.len()));
    bytes.fold(ENOUGH_BYTES, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_the_logs_needs_room_twice() {
        let dir = tempfile::tempdir().unwrap();
        assert!(free_bytes(dir.path()).unwrap() > 0);
        assert_eq!(needed_bytes(dir.path()), ENOUGH_BYTES);
        let rows = dir.path().join(ROWS_DIR);
        fs::create_dir(&rows).unwrap();
        fs::write(rows.join("000004.log"), [0; 500]).unwrap();
        fs::write(rows.join("000007.sst"), [0; 900]).unwrap();
        assert_eq!(needed_bytes(dir.path()), ENOUGH_BYTES + 500);
        assert!(free_bytes(&dir.path().join("none")).is_err());
    }
}
