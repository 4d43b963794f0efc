//! A running replica: one loop, and the handle through which everybody else uses it.

mod foresight;
mod handle;
mod keeper;
mod run;
mod start;
mod view;

pub use handle::{Handle, Outcome, Stopped, Submission};
pub use start::{Node, Options};
pub use view::View;
