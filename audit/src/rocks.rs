//! Reading a replica's data directory. Alone names rocksdb.

use std::path::Path;

/// Whether a directory looks like a replica's data directory.
pub(crate) fn is_data_dir(dir: &Path) -> bool {
    dir.join("db").join("CURRENT").is_file()
}
