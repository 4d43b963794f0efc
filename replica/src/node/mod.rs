//! A running replica: one loop, and the handle through which everybody else uses it.

mod agreement;
mod fetching;
mod foresight;
mod full;
mod group;
mod handle;
mod introducing;
mod keeper;
mod kept;
mod librarian;
mod mend;
mod peering;
mod proposals;
mod reach;
mod run;
mod scrub;
mod start;
mod supported;
mod surroundings;
#[cfg(feature = "testing")]
pub mod testing;
mod view;

pub use agreement::{Disagreement, SignedHead};
pub(crate) use foresight::{Threads, check};
pub use group::introduced;
pub use handle::{Handle, Outcome, Stopped, Submission};
pub use introducing::{LETTER_BYTES, LETTER_RECORDS, Letter, letter, read_letter};
pub use librarian::Portions;
pub(crate) use mend::{MADE_DIR, MAKING_DIR};
pub use start::{Node, Options, Peering};
pub use supported::Supported;
pub(crate) use surroundings::SystemClock;
pub use surroundings::{Clock, Way};
pub use view::{GroupView, Impaired, View};
