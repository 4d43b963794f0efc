//! Telling how far long work is.

use std::fmt;

/// Takes what has been done and how often.
type Listener<'a> = dyn Fn(&str, u64) + Sync + 'a;

/// Whom to tell, if anybody.
#[derive(Clone, Copy, Default)]
pub struct Progress<'a>(Option<&'a Listener<'a>>);

impl<'a> Progress<'a> {
    /// Calls `listener` with what has been done and how often, now and then.
    pub fn to(listener: &'a Listener<'a>) -> Self {
        Progress(Some(listener))
    }

    pub(crate) fn tell(&self, what: &str, count: u64) {
        if let Some(listener) = self.0 {
            listener(what, count);
        }
    }
}

impl fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Progress").field(&self.0.is_some()).finish()
    }
}
