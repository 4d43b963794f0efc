//! What else one could use.

use std::time::Duration;

use crate::Work;

/// A rival: run here in turn with ours, or recorded elsewhere.
pub enum Rival<'a> {
    /// Runs in this process, as many units as ours.
    Here(&'static str, Work<'a>),
    /// Cannot run here; `seconds` per unit, as recorded.
    Recorded {
        /// What it is.
        what: &'static str,
        /// Seconds for one unit.
        seconds: f64,
    },
}

impl Rival<'_> {
    /// What it is, and whether it ran here.
    pub fn what(&self) -> String {
        match self {
            Rival::Here(what, _) => (*what).to_owned(),
            Rival::Recorded { what, .. } => format!("{what}, recorded on another machine"),
        }
    }

    pub(crate) fn time(&mut self, units: usize) -> Duration {
        match self {
            Rival::Here(_, work) => work(),
            Rival::Recorded { seconds, .. } => Duration::from_secs_f64(*seconds * units as f64),
        }
    }
}

/// The original, Go 1.26, one process on two cores, 2026-11-23. It cannot run here: it is not a
/// dependency of this project, and nothing of it is.
pub mod original {
    use super::Rival;

    const fn recorded(what: &'static str, seconds: f64) -> Rival<'static> {
        Rival::Recorded { what, seconds }
    }

    /// Decoding and hashing an AUM.
    pub const AUM: Rival<'static> = recorded("the original", 2.4e-6);
    /// Verifying and applying one AUM of the 2,000-AUM chain in memory.
    pub const REPLAY: Rival<'static> = recorded("the original, in memory", 44e-6);
    /// Authorizing a node key by a direct signature.
    pub const DIRECT: Rival<'static> = recorded("the original", 1.0 / 25_300.0);
    /// Authorizing a node key by a rotation two deep.
    pub const ROTATION: Rival<'static> = recorded("the original", 1.0 / 12_900.0);
    /// Finding the fork point for a key that was added at 10 of 1,000.
    pub const FORK_POINT: Rival<'static> = recorded("the original, key added at 10", 146e-3);
    /// One run of the disablement KDF.
    pub const DISABLEMENT: Rival<'static> = recorded("the original", 18.6e-3);
    /// Opening 2,000 AUMs from its directory store, the most that it can.
    pub const OPENING: Rival<'static> = recorded("the original, at its most, 2,000 AUMs", 63e-3);
}
