//! What a program can do: an input of every replica, so that tests can run a program that can
//! do more than this version.

use ledger::history::{FIRST_RULES, KnownRules};

use crate::peers::{Program, Versions};

/// Versions of the protocol between members that this program speaks.
const WIRE: Versions = Versions { least: 1, most: 1 };

/// The versions that a program supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Supported {
    wire: Versions,
    rules: KnownRules,
    version: &'static str,
}

impl Supported {
    /// What this version does.
    pub const THIS_VERSION: Supported = Supported {
        wire: WIRE,
        rules: KnownRules::THIS_VERSION,
        version: env!("CARGO_PKG_VERSION"),
    };

    /// What the version after this one may do, for tests of rolling upgrades: it speaks one more
    /// version of the wire protocol and executes one more rule number, both of which mean the
    /// same as the ones before. It writes what this version writes, so that going back is possible
    /// until the rules have risen.
    #[cfg(feature = "next-version")]
    pub const NEXT_VERSION: Supported = Supported {
        wire: Versions { least: WIRE.least, most: WIRE.most + 1 },
        rules: KnownRules::NEXT_VERSION,
        version: concat!(env!("CARGO_PKG_VERSION"), "+next"),
    };

    /// The same, with other versions of the wire protocol.
    #[cfg(feature = "next-version")]
    pub fn speaking(self, wire: Versions) -> Self {
        Supported { wire, ..self }
    }

    /// The rules that it executes.
    pub fn rules(self) -> KnownRules {
        self.rules
    }

    /// The program's version, for people.
    pub fn version(self) -> &'static str {
        self.version
    }

    /// How the program introduces itself to its peers.
    pub fn program(self) -> Program {
        Program {
            wire: self.wire,
            rules: Versions { least: FIRST_RULES, most: self.rules.newest() },
            software: format!("lockstep {}", self.version),
        }
    }
}

impl Default for Supported {
    fn default() -> Self {
        Supported::THIS_VERSION
    }
}
