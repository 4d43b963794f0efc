//! Power cuts. A killed process leaves everything that it wrote, synced or not; a machine whose
//! power fails does not. So the daemon runs with a library before the C library's (`power.c`) that
//! notes what each change of a file has overwritten and what a sync has covered since; and once the
//! daemon is killed, what was not covered is taken back: dropped, torn, or full of holes.

mod cuts;
mod undo;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::harness::Place;

/// Chance that is the same each time: splitmix64.
#[derive(Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

/// How a daemon treats its syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syncs {
    /// As they are.
    Made,
    /// It has forgotten all of them.
    Forgotten,
}

/// Lets a daemon run on a machine whose power can fail from now on. What is on its disk by now is
/// durable.
pub(crate) fn powered(place: &Place, mut command: Command, syncs: Syncs) -> Command {
    let side = side(place);
    let _ = std::fs::remove_dir_all(&side);
    std::fs::create_dir(&side).unwrap();
    command.env("LD_PRELOAD", library()).env("POWER_ROOT", place.data()).env("POWER_SIDE", side);
    if syncs == Syncs::Forgotten {
        command.env("POWER_IGNORE_SYNC", "1");
    }
    command
}

/// From now on every sync of such a daemon fails.
pub(crate) fn break_disk(place: &Place) {
    std::fs::write(side(place).join("fail"), "").unwrap();
}

/// The power has failed, and the daemon is gone: so is what no sync has covered, or some of it.
/// Returns how many changes were not durable.
pub(crate) fn taken_back(place: &Place, chance: &mut Chance) -> usize {
    undo::undo(&place.data(), &side(place), chance)
}

fn side(place: &Place) -> PathBuf {
    place.file("power")
}

/// The library, compiled once for all tests.
fn library() -> &'static Path {
    static BUILT: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = BUILT.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/process/power/power.c");
        let path = dir.path().join("power.so");
        let mut compile = Command::new("cc");
        compile.args(["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]).arg(&path).arg(source);
        let compiled = compile.args(["-ldl", "-lpthread"]).output().unwrap();
        let said = String::from_utf8_lossy(&compiled.stderr);
        assert!(compiled.status.success(), "{said}");
        (dir, path)
    });
    path
}
