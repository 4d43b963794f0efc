//! Whether stdout and stderr were there when the process began.
//!
//! Where they are closed, the standard library opens /dev/null in their place before `main` (so that
//! no other file becomes stdout): whatever is printed is lost then, and nothing fails. So this looks
//! before that: the C library runs what stands in `.init_array` first.
#![expect(unsafe_code, reason = "the link section, and the numbers of two descriptors")]

use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

static NO_STDOUT: AtomicBool = AtomicBool::new(false);
static NO_STDERR: AtomicBool = AtomicBool::new(false);

// SAFETY: the section holds such functions, which are called one after the other before there is
// another thread; this one asks the system two questions and stores two flags.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = look;

extern "C" fn look() {
    NO_STDOUT.store(is_closed(1), Ordering::Relaxed);
    NO_STDERR.store(is_closed(2), Ordering::Relaxed);
}

fn is_closed(number: RawFd) -> bool {
    // SAFETY: the descriptor is only asked about. The system says so if there is none.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_getfd(descriptor) == Err(rustix::io::Errno::BADF)
}

/// Whether this process was started without stdout.
pub(super) fn no_stdout() -> bool {
    NO_STDOUT.load(Ordering::Relaxed)
}

/// Whether this process was started without stderr.
pub(super) fn no_stderr() -> bool {
    NO_STDERR.load(Ordering::Relaxed)
}
