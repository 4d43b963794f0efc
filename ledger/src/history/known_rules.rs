//! Which rules a program can execute.

use crate::Fault;

/// The first rules of all. A new group begins with those that its founder can execute.
pub const FIRST_RULES: u32 = 1;
/// The highest rules that this version can execute.
pub const KNOWN_RULES: u32 = 2;

/// The rules that a program can execute: all from the first up to a newest one.
///
/// An input of the fold, so that a test can run a program that knows more than this version
/// does; no program of this version can be made one of those.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KnownRules(u32);

impl KnownRules {
    /// What this version can execute.
    pub const THIS_VERSION: KnownRules = KnownRules(KNOWN_RULES);

    /// What the version after this one may execute: rules that bring nothing but their number.
    #[cfg(feature = "next-version")]
    pub const NEXT_VERSION: KnownRules = KnownRules(KNOWN_RULES + 1);

    /// The newest of them.
    pub fn newest(self) -> u32 {
        self.0
    }

    /// The rules, if they are among these.
    ///
    /// # Errors
    /// A [`Fault`]: the group is right and this program is too old. To refuse would be to disagree.
    pub fn executes(self, rules: u32) -> Result<u32, Fault> {
        let KnownRules(newest) = self;
        if rules > newest {
            return Err(Fault::new(format!(
                "the ledger goes on under rules {rules}, but this version knows only rules up to \
                 {newest}; install a newer version"
            )));
        }
        Ok(rules)
    }
}

impl Default for KnownRules {
    fn default() -> Self {
        KnownRules::THIS_VERSION
    }
}
