//! What ails a disk, as far as the system and the database say so.

use std::io;

use ledger::{Ailment, Fault};
use rustix::io::Errno;

/// The fault of an operation that the system refused.
pub(crate) fn fault(what: impl Into<String>, error: io::Error) -> Fault {
    let ailment = match Errno::from_io_error(&error) {
        Some(Errno::NOSPC | Errno::DQUOT) => Ailment::NoSpace,
        _ => Ailment::Unknown,
    };
    Fault::from_error(what, error).of(ailment)
}

/// The same, of an error that the database passes on as a text.
pub(super) fn of_system_text(text: &str) -> Ailment {
    let says = |error: Errno| {
        let error = io::Error::from(error).to_string();
        // Behind the text Rust puts the number.
        error.split(" (os error").next().is_some_and(|said| text.contains(said))
    };
    if says(Errno::NOSPC) || says(Errno::DQUOT) {
        Ailment::NoSpace
    } else if says(Errno::NOENT) {
        // A file that the database knows of.
        Ailment::Damaged
    } else {
        Ailment::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_a_failing_one() {
        let of = |errno: Errno| fault("write", errno.into()).ailment();
        assert_eq!(of(Errno::NOSPC), Ailment::NoSpace);
        assert_eq!(of(Errno::DQUOT), Ailment::NoSpace);
        assert_eq!(of(Errno::IO), Ailment::Unknown);
        // As RocksDB says it.
        let text = "IO error: No space left on device: While appending to file: /x/db/000004.log";
        assert_eq!(of_system_text(text), Ailment::NoSpace);
        let text = "IO error: Input/output error: While fdatasync: /x/db/000004.log";
        assert_eq!(of_system_text(text), Ailment::Unknown);
        let text = "IO error: No such file or directory: While open a file for random read: /x";
        assert_eq!(of_system_text(text), Ailment::Damaged);
    }
}
