//! A file system of its own that is small enough to be filled. It takes root.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::statvfs;

/// Bytes that are written at a time.
const PIECE: usize = 4096;

/// A tmpfs that is mounted for as long as this lives.
pub struct Small {
    path: PathBuf,
}

impl Small {
    /// Mounts one of so many MiB at a directory that it makes.
    pub fn mount(path: &Path, mib: u32) -> Small {
        fs::create_dir(path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m,mode=0700"), "lockstep-test"]);
        let status = mount.arg(path).status().unwrap();
        assert!(status.success(), "a file system cannot be mounted: {status}");
        Small { path: path.to_owned() }
    }

    /// Bytes that are free.
    pub fn free(&self) -> u64 {
        let room = statvfs(&self.path).unwrap();
        room.f_bavail * room.f_frsize
    }

    /// Takes room away until so many bytes are left. Whatever holds room in reserve keeps it.
    pub fn fill(&self, leave: u64) {
        let mut filler = File::options().append(true).create(true).open(self.filler()).unwrap();
        while self.free() > leave {
            if let Err(error) = filler.write_all(&[0; PIECE]) {
                assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
                return;
            }
        }
    }

    /// Gives all of it back.
    pub fn clear(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // At once, whoever still has a file in it.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
